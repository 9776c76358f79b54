/* guard.c - runs a list of guardrails.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   guardrail --> check --> (asks, waits) --> verdict --> next check ... --> mark --> next guardrail ... --> done
 *
 * In the order of the config, one after the other, so that each check sees the texts as the one before
 * left them. A guardrail that blocks or replaces ends the run: what follows would be for nothing.
 */
#include "guard_inner.h"

#include "dialect_parts.h"
#include "iso.h"

#include <string.h>

enum { RESULTS_BYTES_MAX = 1 << 20, IDS_BYTES_MAX = 4096 };

/* What is known of the guardrail that is at work. */
struct progress {
    struct pk_guard_mark mark;
    struct pk_buf checks;                /* their results, as the items of a JSON array */
    struct pk_buf passed, failed, erred; /* ids, separated by commas */
    bool begun;
    int at; /* the check that is next or at work */
};

struct pk_guard_run {
    struct pk_arena *arena;
    const struct pk_guards *lists[2];
    bool async;
    struct pk_guard_call call;
    struct pk_guard_doc request, response;
    int list, at; /* the guardrail that is next or at work */
    struct progress now;
    struct pk_check_run check;
    int64_t check_started_us;
    bool waiting; /* the check has asked for something */
    struct pk_buf results;
    struct pk_guard_mark *marks; /* room for every guardrail */
    struct pk_guard_outcome outcome;
};

static struct pk_guard_doc *examined(struct pk_guard_run *run)
{
    return run->call.phase == PK_GUARD_INPUT ? &run->request : &run->response;
}

/* --- results --------------------------------------------------------------------------------- */

static void print_time(struct pk_buf *out, const char *name, int64_t at_us)
{
    char text[PK_ISO_BYTES];

    pk_iso_print(at_us, text);
    pk_member_text(out, name, pk_str_of(text));
}

static void print_bool(struct pk_buf *out, const char *name, bool value)
{
    pk_dialect_raw(out, name, value ? PK_STR("true") : PK_STR("false"));
}

static void print_ms(struct pk_buf *out, const char *name, int64_t us)
{
    pk_member_key(out, name);
    pk_buf_addf(out, "%lld", (long long)(us / 1000));
}

static void print_data(struct pk_buf *out, const struct pk_check_run *r)
{
    pk_member_key(out, "data");
    pk_buf_addc(out, '{');
    pk_member_text(out, "explanation", r->why);
    if (r->extra.len) {
        pk_buf_addc(out, ',');
        pk_buf_add(out, r->extra);
    }
    pk_buf_addc(out, '}');
}

/* One item of "checks", with the members and in the order of Portkey's. */
static void print_check(struct pk_guard_run *run, bool verdict, int64_t now_us)
{
    const struct pk_check_run *r = &run->check;
    struct pk_buf *out = &run->now.checks;

    if (out->len)
        pk_buf_addc(out, ',');
    pk_buf_addc(out, '{');
    if (r->error.len)
        pk_dialect_raw(out, "data", PK_STR("null"));
    else
        print_data(out, r);
    print_bool(out, "verdict", verdict);
    pk_member_text(out, "id", r->check->id);
    print_ms(out, "execution_time", now_us - run->check_started_us);
    print_bool(out, "transformed", r->transformed);
    print_time(out, "created_at", run->check_started_us);
    pk_dialect_raw(out, "log", PK_STR("null"));
    print_bool(out, "fail_on_error", r->check->fail_on_error);
    if (r->error.len) {
        pk_member_key(out, "error");
        pk_buf_adds(out, "{\"name\":\"Check error\",\"message\":");
        pk_json_quote(out, r->error);
        pk_buf_addc(out, '}');
    }
    pk_buf_addc(out, '}');
}

/* The feedback's own metadata, and which checks had which outcome. */
static pk_str feedback_metadata(struct pk_guard_run *run, pk_str metadata)
{
    const struct progress *p = &run->now;
    struct pk_buf out = pk_buf_in(run->arena, RESULTS_BYTES_MAX);
    pk_str open = metadata.len ? pk_str_trim(metadata) : PK_STR("{}");

    pk_buf_add(&out, pk_str_sub(open, 0, open.len - 1));
    while (out.len && strchr(" \t\r\n", out.at[out.len - 1]))
        out.len--;
    pk_member_key(&out, "successfulChecks");
    pk_json_quote(&out, pk_buf_str(&p->passed));
    pk_member_key(&out, "failedChecks");
    pk_json_quote(&out, pk_buf_str(&p->failed));
    pk_member_key(&out, "erroredChecks");
    pk_json_quote(&out, pk_buf_str(&p->erred));
    pk_buf_addc(&out, '}');
    return pk_buf_str(&out);
}

static void print_feedback(struct pk_buf *out, const struct pk_guard_feedback *f)
{
    pk_member_key(out, "feedback");
    if (!f->given) {
        pk_buf_adds(out, "null");
        return;
    }
    pk_buf_addf(out, "{\"value\":%lld,\"weight\":%.6g,\"metadata\":", (long long)f->value,
                f->weight);
    pk_buf_add(out, f->metadata);
    pk_buf_addc(out, '}');
}

static void print_guardrail(struct pk_guard_run *run)
{
    const struct pk_guard_mark *m = &run->now.mark;
    const struct pk_guardrail *g = m->guardrail;
    struct pk_buf *out = &run->results;

    if (out->len > 1)
        pk_buf_addc(out, ',');
    pk_buf_addc(out, '{');
    print_bool(out, "verdict", m->verdict);
    pk_member_text(out, "id", g->id);
    print_bool(out, "transformed", m->transformed);
    pk_member_key(out, "checks");
    pk_buf_addc(out, '[');
    if (!run->now.checks.failed)
        pk_buf_add(out, pk_buf_str(&run->now.checks));
    pk_buf_addc(out, ']');
    print_feedback(out, &m->feedback);
    print_ms(out, "execution_time", m->ended_us - m->started_us);
    print_bool(out, "async", g->async);
    pk_dialect_raw(out, "type", g->mutator ? PK_STR("\"mutator\"") : PK_STR("\"guardrail\""));
    print_time(out, "created_at", m->started_us);
    print_bool(out, "deny", g->action == PK_GUARD_BLOCK);
    pk_buf_addc(out, '}');
}

/* --- a guardrail ------------------------------------------------------------------------------ */

static const struct pk_guardrail *current(const struct pk_guard_run *run)
{
    const struct pk_guards *list = run->lists[run->list];

    return &list->list[run->at];
}

/* Moves to the next guardrail that is of this run; false at the end. */
static bool find_guardrail(struct pk_guard_run *run)
{
    for (; run->list < 2; run->list++, run->at = 0) {
        const struct pk_guards *list = run->lists[run->list];

        for (; list && run->at < list->count; run->at++)
            if (list->list[run->at].async == run->async)
                return true;
    }
    return false;
}

static void begin_guardrail(struct pk_guard_run *run, int64_t now_us)
{
    const struct pk_guardrail *g = current(run);
    struct progress *p = &run->now;

    *p = (struct progress){
        .begun = true,
        .mark = {.guardrail = g, .verdict = true, .started_us = now_us},
        .checks = pk_buf_in(run->arena, RESULTS_BYTES_MAX),
    };
    p->passed = p->failed = p->erred = pk_buf_in(run->arena, IDS_BYTES_MAX);
}

static enum pk_guard_result result_of(const struct pk_guard_mark *m)
{
    if (m->verdict)
        return m->transformed ? PK_GUARD_CHANGED : PK_GUARD_PASSED;
    switch (m->guardrail->action) {
    case PK_GUARD_WARN: return PK_GUARD_WARNED;
    case PK_GUARD_RETRY: return PK_GUARD_TRY_AGAIN;
    case PK_GUARD_REPLACE: return PK_GUARD_REPLACED;
    case PK_GUARD_REDACT:
    case PK_GUARD_BLOCK: return PK_GUARD_BLOCKED;
    }
    return PK_GUARD_BLOCKED;
}

/* Writes down what came of it. False when the run is over with this. */
static bool end_guardrail(struct pk_guard_run *run, int64_t now_us)
{
    struct pk_guard_outcome *o = &run->outcome;
    struct pk_guard_mark *m = &run->now.mark;
    const struct pk_guard_feedback *f =
        m->verdict ? &m->guardrail->on_success : &m->guardrail->on_fail;

    m->ended_us = now_us;
    m->failed = pk_buf_str(&run->now.failed);
    m->feedback = *f;
    if (f->given)
        m->feedback.metadata = feedback_metadata(run, f->metadata);
    print_guardrail(run);
    run->marks[o->mark_count++] = *m;
    enum pk_guard_result result = result_of(m);
    if (result > o->result) {
        o->result = result;
        o->by = &run->marks[o->mark_count - 1];
    }
    run->now.begun = false;
    run->at++;
    return run->async || o->result < PK_GUARD_TRY_AGAIN;
}

/* --- a check ---------------------------------------------------------------------------------- */

static void begin_check(struct pk_guard_run *run, int64_t now_us)
{
    const struct pk_guardrail *g = current(run);

    run->check_started_us = now_us;
    run->check = (struct pk_check_run){
        .arena = run->arena,
        .guardrail = g,
        .check = &g->checks[run->now.at],
        .call = &run->call,
        .request = &run->request,
        .response = run->call.phase == PK_GUARD_OUTPUT ? &run->response : NULL,
        .doc = examined(run),
    };
    run->check.check->kind->body->run(&run->check);
}

static void add_id(struct pk_buf *to, pk_str id)
{
    if (to->len)
        pk_buf_addc(to, ',');
    pk_buf_add(to, id);
}

/* Texts that the check has changed go into their document, for the next to see. */
static void apply_changes(struct pk_guard_run *run)
{
    struct pk_check_run *r = &run->check;
    struct pk_error err = {0};

    for (int i = 0; i < r->doc->count; i++) {
        if (!r->doc->pieces[i].changed)
            continue;
        if (!pk_guard_doc_apply(r->doc, &err))
            pk_check_err(r, "%s", err.msg);
        return;
    }
}

static void end_check(struct pk_guard_run *run, int64_t now_us)
{
    struct pk_check_run *r = &run->check;
    struct progress *p = &run->now;
    bool verdict;

    apply_changes(run);
    if (r->error.len)
        verdict = !r->check->fail_on_error;
    else
        verdict = r->final ? r->verdict : r->verdict != r->check->negate;
    /* What Portkey reports of a check that erred: that it did not pass. */
    print_check(run, r->error.len ? false : verdict, now_us);
    add_id(r->error.len ? &p->erred : verdict ? &p->passed : &p->failed, r->check->id);
    p->mark.transformed = p->mark.transformed || r->transformed;
    if (!verdict && p->mark.verdict) {
        p->mark.verdict = false;
        p->mark.why = r->error.len ? r->error : r->why;
    }
    if (!verdict && r->error.len)
        add_id(&p->failed, r->check->id);
    p->at++;
    if (!verdict && p->mark.guardrail->sequential)
        p->at = p->mark.guardrail->check_count;
}

/* Runs checks until one wants something; NULL verdicts are not possible. */
static enum pk_guard_want run_checks(struct pk_guard_run *run, int64_t now_us)
{
    while (run->now.at < run->now.mark.guardrail->check_count) {
        if (run->now.mark.guardrail->checks[run->now.at].disabled) {
            run->now.at++;
            continue;
        }
        begin_check(run, now_us);
        run->waiting = run->check.want != PK_GUARD_DONE;
        if (run->waiting)
            return run->check.want;
        end_check(run, now_us);
    }
    return PK_GUARD_DONE;
}

/* --- the run ---------------------------------------------------------------------------------- */

static struct pk_guard_doc document(struct pk_arena *arena, const struct pk_guard_call *call,
                                    enum pk_guard_phase phase)
{
    return (struct pk_guard_doc){.arena = arena, .front = call->front, .phase = phase};
}

struct pk_guard_run *pk_guard_start(struct pk_arena *arena, const struct pk_guards *own,
                                    const struct pk_guards *more, bool async,
                                    const struct pk_guard_call *call, struct pk_error *err)
{
    struct pk_guard_run *run = pk_alloc(arena, sizeof *run);
    size_t most = (own ? (size_t)own->count : 0) + (more ? (size_t)more->count : 0);
    void *marks = pk_alloc(arena, most * sizeof *run->marks);

    if (!run || !marks) {
        (void)pk_fail(err, PK_NO_MEMORY, "guardrail: out of memory");
        return NULL;
    }
    run->arena = arena;
    run->marks = marks;
    run->lists[0] = own;
    run->lists[1] = more;
    run->async = async;
    run->call = *call;
    run->results = pk_buf_in(arena, RESULTS_BYTES_MAX);
    run->request = document(arena, call, PK_GUARD_INPUT);
    run->response = document(arena, call, PK_GUARD_OUTPUT);
    pk_buf_addc(&run->results, '[');
    if (!pk_guard_doc_open(&run->request, call->request, err) ||
        (call->phase == PK_GUARD_OUTPUT && !pk_guard_doc_open(&run->response, call->response, err)))
        return NULL;
    return run;
}

static void finish(struct pk_guard_run *run)
{
    struct pk_guard_outcome *o = &run->outcome;

    pk_buf_addc(&run->results, ']');
    o->request = run->request.text;
    o->response = run->response.text;
    o->request_changed = run->request.changed;
    o->response_changed = run->response.changed;
    o->results = run->results.failed ? PK_STR("[]") : pk_buf_str(&run->results);
    o->marks = run->marks;
}

/* The verdict of a check that was waiting, and the rest of its guardrail. */
static enum pk_guard_want go_on(struct pk_guard_run *run, int64_t now_us)
{
    if (run->waiting) {
        run->check.want = PK_GUARD_DONE;
        if (run->check.error.len == 0)
            run->check.check->kind->body->resume(&run->check);
        run->waiting = run->check.want != PK_GUARD_DONE;
        if (run->waiting)
            return run->check.want;
        end_check(run, now_us);
    }
    return run_checks(run, now_us);
}

enum pk_guard_want pk_guard_next(struct pk_guard_run *run, int64_t now_us)
{
    bool more = true;

    while (more && (run->now.begun || find_guardrail(run))) {
        if (!run->now.begun)
            begin_guardrail(run, now_us);
        enum pk_guard_want want = go_on(run, now_us);
        if (want != PK_GUARD_DONE)
            return want;
        more = end_guardrail(run, now_us);
    }
    finish(run);
    return PK_GUARD_DONE;
}

const struct pk_guard_question *pk_guard_question(const struct pk_guard_run *run)
{
    PK_ASSERT(run->waiting && run->check.want == PK_GUARD_ASK);
    return &run->check.question;
}

const struct pk_guard_query *pk_guard_query(const struct pk_guard_run *run)
{
    PK_ASSERT(run->waiting && run->check.want == PK_GUARD_QUERY);
    return &run->check.query;
}

void pk_guard_answer(struct pk_guard_run *run, int status, pk_str body, const struct pk_error *err)
{
    PK_ASSERT(run->waiting);
    run->check.status = status;
    run->check.body = body;
    if (err->code != PK_OK)
        pk_check_err(&run->check, "%s", err->msg);
}

void pk_guard_row(struct pk_guard_run *run, int truth, const struct pk_error *err)
{
    PK_ASSERT(run->waiting);
    run->check.truth = truth;
    if (err->code != PK_OK)
        pk_check_err(&run->check, "%s", err->msg);
}

const struct pk_guard_outcome *pk_guard_outcome(const struct pk_guard_run *run)
{
    return &run->outcome;
}
