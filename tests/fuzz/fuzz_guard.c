/* fuzz_guard.c - any text as a list of guardrails, as the texts that they look at, as what a webhook answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * List, request, answer and reply are separated by 0xff. The answer is there for guardrails of output.
 */
#include "dialect.h"
#include "fuzz.h"
#include "guard.h"

enum { STEPS_MAX = PK_GUARDS_MAX * PK_CHECKS_MAX * 2 };

static void check_error(const struct pk_error *err)
{
    PK_ASSERT(err->code != PK_OK && err->msg[0] && !strchr(err->msg, '\n'));
}

static void check_json(struct pk_arena *arena, pk_str text, enum pk_json_type type)
{
    struct pk_error err = {0};
    struct pk_json doc;

    PK_ASSERT(pk_json_parse(arena, text, "json", &doc, &err) && pk_json_type(&doc, 0) == type);
}

/* Answers what it asks until it is done. */
static void drive(struct pk_guard_run *run, pk_str reply)
{
    struct pk_error none = {0}, failed = {.code = PK_TIMEOUT, .msg = "too late"};
    int64_t now_us = 1;

    for (int i = 0; i < STEPS_MAX; i++, now_us += 1000) {
        switch (pk_guard_next(run, now_us)) {
        case PK_GUARD_DONE: return;
        case PK_GUARD_ASK:
            PK_ASSERT(pk_guard_question(run)->url.len && pk_guard_question(run)->target);
            PK_ASSERT(pk_guard_question(run)->timeout_ms > 0);
            pk_guard_answer(run, i % 3 ? 200 : 503, reply, i % 5 ? &none : &failed);
            break;
        case PK_GUARD_QUERY:
            PK_ASSERT(pk_guard_query(run)->sql.len);
            pk_guard_row(run, i % 3 - 1, i % 5 ? &none : &failed);
            break;
        }
    }
    PK_ASSERT(!"it ends");
}

static void check_outcome(struct pk_arena *arena, const struct pk_guard_outcome *o)
{
    bool decided = o->result >= PK_GUARD_WARNED;

    PK_ASSERT(decided ? o->by && !o->by->verdict : o->mark_count >= 0);
    check_json(arena, o->results, PK_JSON_ARRAY);
    if (o->request_changed)
        check_json(arena, o->request, PK_JSON_OBJECT);
    if (o->response_changed)
        check_json(arena, o->response, PK_JSON_OBJECT);
    for (int i = 0; i < o->mark_count; i++) {
        const struct pk_guard_mark *m = &o->marks[i];

        PK_ASSERT(m->guardrail && m->ended_us >= m->started_us);
        if (m->feedback.given)
            check_json(arena, m->feedback.metadata, PK_JSON_OBJECT);
    }
}

static void run(struct pk_arena *arena, const struct pk_guards *list,
                const struct pk_guard_call *call, pk_str reply)
{
    struct pk_error err = {0};

    for (int async = 0; async < 2; async++) {
        struct pk_guard_run *r = pk_guard_start(arena, list, NULL, async, call, &err);

        if (!r) {
            check_error(&err);
            return;
        }
        drive(r, reply);
        check_outcome(arena, pk_guard_outcome(r));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str rest = fuzz_text(bytes, size);
    pk_str list = fuzz_part(&rest), request = fuzz_part(&rest);
    pk_str answer = fuzz_part(&rest), reply = fuzz_part(&rest);
    enum pk_guard_phase phase = answer.len ? PK_GUARD_OUTPUT : PK_GUARD_INPUT;
    const struct pk_guard_call call = {
        .phase = phase,
        .front = size % 2 ? &pk_dialect_openai : &pk_dialect_anthropic,
        .request = request,
        .response = answer,
        .model = PK_STR("m"),
        .provider = PK_STR("openai"),
        .operation = PK_STR("chat"),
        .metadata = PK_STR("{\"a\":\"b\"}"),
        .headers = PK_STR("authorization: Bearer a.b.c\n"),
    };
    struct pk_guardrail stored = {.phase = phase};
    struct pk_guards *guards;
    struct pk_error err = {0};

    if (pk_guards_parse(&arena, list, phase, "list", &guards, &err))
        run(&arena, guards, &call, reply);
    else
        check_error(&err);
    if (pk_guardrail_check(&arena, list, &stored, &err)) {
        struct pk_guards alone = {.list = &stored, .count = 1};

        if (stored.phase == phase)
            run(&arena, &alone, &call, reply);
    } else {
        check_error(&err);
    }
    pk_arena_free(&arena);
    return 0;
}
