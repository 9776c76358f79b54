/* call_guard.c - guardrails on a call's way: the states guard_in, guard_out and guard_after.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   guard_in      before a target is asked; once for each list of guardrails, from the client's own request
 *   guard_out     once an answer is whole, from a provider or from the cache; before it is judged, or, of a
 *                 stream that has gone out already, before its end is passed on
 *   guard_after   async ones, when the client has had its answer: they change nothing any more
 *
 * A request that was denied stays so for every target with the same list. What a run asks others for goes
 * through the state ask, what it asks the store for through PK_OP_QUERY.
 */
#include "call_inner.h"

#include "dialect_parts.h"

enum { HOOKS_BYTES_MAX = 2 << 20, FAILED_CHECKS_SHOWN = 80 };

static const char hooks_failed[] =
    "The guardrail checks defined in the config failed. You can find more information in the "
    "`hook_results` object.";

/* --- lists ------------------------------------------------------------------------------------ */

/* Answers are looked at when they are somebody's words: a vector, a score or a file is not. */
static bool has_phase(const struct pk_call *c, enum pk_guard_phase phase)
{
    return phase == PK_GUARD_INPUT || c->operation->front;
}

static const struct pk_guards *own(const struct pk_call *c, enum pk_guard_phase phase)
{
    return has_phase(c, phase) ? pk_call_target(c)->guards[phase] : NULL;
}

static const struct pk_guards *given(const struct pk_call *c, enum pk_guard_phase phase)
{
    return has_phase(c, phase) ? c->req->guards[phase] : NULL;
}

static bool any_sync(const struct pk_call *c, enum pk_guard_phase phase)
{
    const struct pk_guards *list = own(c, phase), *more = given(c, phase);

    return (list && list->any_sync) || (more && more->any_sync);
}

bool pk_call_guarded(const struct pk_call *c, enum pk_guard_phase phase)
{
    const struct pk_guards *list = pk_call_target(c)->guards[phase], *more = c->req->guards[phase];

    return (list && list->any_sync) || (more && more->any_sync);
}

static bool any_async(const struct pk_call *c, enum pk_guard_phase phase)
{
    const struct pk_guards *list = own(c, phase), *more = given(c, phase);

    return (list && list->any_async) || (more && more->any_async);
}

static bool by_target(const struct pk_call *c)
{
    const struct pk_guards *list = own(c, PK_GUARD_INPUT), *more = given(c, PK_GUARD_INPUT);

    return (list && list->by_target) || (more && more->by_target);
}

bool pk_call_holds(const struct pk_call *c)
{
    const struct pk_guards *list = own(c, PK_GUARD_OUTPUT), *more = given(c, PK_GUARD_OUTPUT);

    return (list && list->hold) || (more && more->hold);
}

bool pk_call_ends_checked(const struct pk_call *c)
{
    return any_sync(c, PK_GUARD_OUTPUT) && !pk_call_holds(c);
}

/* --- a run ------------------------------------------------------------------------------------ */

static bool begin(struct pk_call *c, enum pk_guard_phase phase, bool async)
{
    const struct pk_target *t = pk_call_target(c);
    const struct pk_guard_call what = {
        .phase = phase,
        .front = c->front,
        .request = c->body.text,
        .response = phase == PK_GUARD_OUTPUT ? c->answer.body : PK_NONE,
        .model = pk_params_model(c->arena, &t->params, &c->body),
        .provider = pk_str_of(t->provider->name),
        .operation = pk_str_of(c->operation->name),
        .metadata = c->req->metadata,
        .headers = c->req->headers,
        .now_us = pk_call_now_us(c),
    };

    c->guards.asking = c->guards.querying = false;
    c->guards.run =
        pk_guard_start(c->arena, own(c, phase), given(c, phase), async, &what, &c->error);
    return c->guards.run != NULL;
}

static int ask(struct pk_call *c, enum pk_call_state then)
{
    const struct pk_guard_question *q = pk_guard_question(c->guards.run);
    const struct pk_exchange ex = {
        .method = q->get ? PK_GET : PK_POST,
        .url = q->url,
        .headers = q->headers,
        .body = q->body,
        .target = q->target,
    };

    c->guards.asking = true;
    return pk_call_ask(c, &ex, q->timeout_ms, then);
}

/* Goes on with the run until it has to wait, which is what it returns then, or is done: PK_CALL_AGAIN. */
static int drive(struct pk_call *c, const struct pk_event *ev, enum pk_call_state state)
{
    struct pk_call_guards *g = &c->guards;
    struct pk_error none = {0};

    if (g->asking)
        pk_guard_answer(g->run, c->asked.status, pk_buf_str(&c->asked.body), &c->asked.error);
    else if (g->querying)
        pk_guard_row(g->run, ev->truth, ev->kind == PK_EV_FAIL ? &ev->error : &none);
    g->asking = g->querying = false;
    switch (pk_guard_next(g->run, pk_call_now_us(c))) {
    case PK_GUARD_ASK: return ask(c, state);
    case PK_GUARD_QUERY: g->querying = true; return pk_call_wait(c, state, PK_OP_QUERY);
    case PK_GUARD_DONE: break;
    }
    return PK_CALL_AGAIN;
}

/* --- what came of it ---------------------------------------------------------------------------- */

/* As far as there is room: the attempts, and a question to the embedder, always have some. */
static void note_span(struct pk_call *c, const struct pk_guard_mark *m)
{
    struct pk_record *r = &c->record;

    if (r->span_count + 1 + PK_ATTEMPTS_MAX - r->attempts >= PK_SPANS_MAX)
        return;
    struct pk_span *spans = pk_alloc_row(c->arena, r->spans, r->span_count, sizeof *spans);
    if (!spans)
        return;
    r->spans = spans;
    r->spans[r->span_count++] = (struct pk_span){
        .kind = PK_SPAN_GUARDRAIL,
        .name = m->guardrail->id,
        .target_path = pk_call_target(c)->path,
        .started_us = m->started_us,
        .ended_us = m->ended_us,
        .status = m->verdict                              ? 200
                  : m->guardrail->action == PK_GUARD_WARN ? 246
                                                          : 446,
        .code = m->verdict || m->guardrail->action == PK_GUARD_WARN ? PK_OK : PK_DENIED,
        .message = m->verdict ? PK_NONE
                              : pk_copyf(c->arena, "%.*s: %.*s", PK_FMT(m->failed), PK_FMT(m->why)),
        .quotes = true, /* of the text, or of a webhook */
        .own = m->failed.len,
    };
}

static void note_feedback(struct pk_call *c, const struct pk_guard_mark *m)
{
    struct pk_record *r = &c->record;
    uint64_t random = pk_random_next(&c->random);

    if (!m->feedback.given || r->feedback_count == PK_FEEDBACK_MAX)
        return;
    struct pk_feedback *rows = pk_alloc_row(c->arena, r->feedback, r->feedback_count, sizeof *rows);
    if (!rows)
        return;
    r->feedback = rows;
    struct pk_feedback *f = &rows[r->feedback_count++];
    *f = (struct pk_feedback){
        .at_us = pk_call_now_us(c),
        .trace_id = r->trace_id,
        .value = m->feedback.value,
        .weight = m->feedback.weight,
        .metadata = m->feedback.metadata,
    };
    pk_uuid7(f->at_us, random, f->id);
}

static const struct pk_guard_outcome *take_outcome(struct pk_call *c)
{
    const struct pk_guard_outcome *o = pk_guard_outcome(c->guards.run);

    for (int i = 0; i < o->mark_count; i++) {
        note_span(c, &o->marks[i]);
        note_feedback(c, &o->marks[i]);
    }
    c->guards.ran = true;
    c->guards.run = NULL;
    return o;
}

/* The call fails as denied, in words of the guardrail. */
static void deny(struct pk_call *c, const struct pk_guard_mark *by)
{
    const struct pk_guardrail *g = by->guardrail;

    c->answered = false;
    (void)pk_fail(&c->error, PK_DENIED, "guardrail \"%.*s\": %.*s failed", PK_FMT(g->id),
                  PK_FMT(pk_str_sub(by->failed, 0, FAILED_CHECKS_SHOWN)));
    c->fault = (struct pk_fault){
        .message = g->message.len ? g->message : pk_str_of(hooks_failed),
        .type = PK_STR("hooks_failed"),
        .code = pk_str_of(pk_code_name(PK_DENIED)),
    };
}

static bool replace(struct pk_call *c, const struct pk_guard_mark *by, pk_str answer)
{
    pk_str model = pk_params_model(c->arena, &pk_call_target(c)->params, &c->body);

    c->answered = c->guards.replaced = c->guards.rewritten =
        pk_guard_replace(c->arena, c->front, answer, model, by->guardrail->message,
                         c->record.started_us / 1000000, &c->answer.body, &c->error);
    c->answer.finish_reason = PK_STR("stop");
    return c->answered;
}

static int out_of_memory(struct pk_call *c)
{
    c->answered = false;
    (void)pk_fail(&c->error, PK_NO_MEMORY, "guardrail: out of memory");
    return pk_call_go(c, c->committed ? ST_finish : ST_judge);
}

int pk_call_status(const struct pk_call *c)
{
    const struct pk_call_guards *g = &c->guards;

    return g->replaced || g->in == PK_GUARD_WARNED || g->out == PK_GUARD_WARNED ? 246 : c->status;
}

void pk_call_note_verdict(struct pk_call *c)
{
    static const char *const names[] = {
        [PK_GUARD_PASSED] = "passed",     [PK_GUARD_CHANGED] = "changed",
        [PK_GUARD_WARNED] = "warned",     [PK_GUARD_TRY_AGAIN] = "blocked",
        [PK_GUARD_REPLACED] = "replaced", [PK_GUARD_BLOCKED] = "blocked",
    };
    const struct pk_call_guards *g = &c->guards;
    enum pk_guard_result worst = g->in > g->out ? g->in : g->out;

    if (g->ran)
        c->record.guardrail_verdict = pk_str_of(names[g->after > worst ? g->after : worst]);
}

/* --- guard_in ----------------------------------------------------------------------------------- */

/* The request is `text` from now on: for the provider, the cache and the log. */
static bool take_request(struct pk_call *c, pk_str text)
{
    c->request = text;
    return pk_json_parse(c->arena, text, "body", &c->body, &c->error);
}

static int conclude_in(struct pk_call *c)
{
    const struct pk_guard_outcome *o = take_outcome(c);
    struct pk_call_guards *g = &c->guards;

    if (c->arena->failed)
        return out_of_memory(c);
    g->in = o->result;
    g->before = o->results;
    if (o->request_changed && !take_request(c, o->request))
        return pk_call_go(c, ST_judge);
    c->answer = (struct pk_answer){0};
    c->status = 200;
    if (o->result == PK_GUARD_REPLACED && c->operation->front)
        return replace(c, o->by, PK_NONE) ? pk_call_go(c, ST_answer) : pk_call_go(c, ST_judge);
    if (o->result < PK_GUARD_TRY_AGAIN)
        return pk_call_go(c, ST_lookup);
    if (o->result == PK_GUARD_REPLACED)
        g->in = PK_GUARD_BLOCKED; /* no text can stand for a vector */
    deny(c, o->by);
    g->denied = o->by;
    return pk_call_go(c, ST_judge);
}

/* Whether the request has been through the very guardrails of this target. */
static bool has_passed(const struct pk_call *c)
{
    return c->guards.ran && c->guards.list == own(c, PK_GUARD_INPUT) && !by_target(c);
}

int pk_step_guard_in(struct pk_call *c, const struct pk_event *ev)
{
    struct pk_call_guards *g = &c->guards;

    if (!g->run) {
        c->error = (struct pk_error){0};
        c->fault = (struct pk_fault){0};
        if (pk_call_target(c)->dead.len)
            return pk_call_go(c, ST_send); /* which fails: nothing else is worth its while */
        if (any_sync(c, PK_GUARD_INPUT) && has_passed(c)) {
            if (g->denied)
                deny(c, g->denied);
            return pk_call_go(c, g->denied ? ST_judge : ST_lookup);
        }
        g->list = own(c, PK_GUARD_INPUT);
        g->denied = NULL;
        g->refused = false;
        g->in = PK_GUARD_PASSED;
        g->before = PK_NONE;
        if (c->request.at != c->original.at && !take_request(c, c->original))
            return pk_call_go(c, ST_judge);
        if (!any_sync(c, PK_GUARD_INPUT))
            return pk_call_go(c, ST_lookup);
        if (!begin(c, PK_GUARD_INPUT, false))
            return pk_call_go(c, ST_judge);
    }
    int op = drive(c, ev, ST_guard_in);
    return op == PK_CALL_AGAIN ? conclude_in(c) : op;
}

/* --- guard_out ---------------------------------------------------------------------------------- */

/* The verdict is that the answer may go out, as it is now. */
static int let_go(struct pk_call *c)
{
    if (!c->committed)
        return pk_call_go(c, ST_typed);
    if (c->guards.tail.len)
        pk_buf_reset(&c->out);
    if (c->guards.ran)
        pk_call_hook_event(c, false, &c->out);
    pk_buf_add(&c->out, c->guards.tail);
    c->guards.tail = PK_NONE;
    c->next.out = pk_buf_str(&c->out);
    return pk_call_go(c, ST_answer);
}

/* An answer that did not please is as good as none: the target is asked (again). */
static int ask_again(struct pk_call *c, const struct pk_guard_mark *by)
{
    bool hit = c->guards.hit != NULL;

    c->guards.hit = NULL;
    c->guards.again = true;
    c->guards.refused = !hit;
    deny(c, by);
    return pk_call_go(c, hit ? ST_send : ST_judge);
}

/* The client has had most of it: it must not take that for an answer. */
static int break_off(struct pk_call *c)
{
    pk_call_abort_stream(c);
    return pk_call_go(c, ST_finish);
}

static int conclude_out(struct pk_call *c)
{
    const struct pk_guard_outcome *o = take_outcome(c);
    struct pk_call_guards *g = &c->guards;

    if (c->arena->failed)
        return out_of_memory(c);
    g->out = o->result;
    g->after_results = o->results;
    if (o->response_changed) {
        c->answer.body = o->response;
        g->rewritten = true;
    }
    if (o->result == PK_GUARD_REPLACED && !replace(c, o->by, c->answer.body))
        return pk_call_go(c, ST_judge);
    if (o->result < PK_GUARD_TRY_AGAIN || o->result == PK_GUARD_REPLACED)
        return let_go(c);
    if (o->result == PK_GUARD_TRY_AGAIN && !c->committed)
        return ask_again(c, o->by);
    g->refused = !g->hit;
    g->hit = NULL;
    deny(c, o->by);
    return c->committed ? break_off(c) : pk_call_go(c, ST_judge);
}

int pk_step_guard_out(struct pk_call *c, const struct pk_event *ev)
{
    if (!c->guards.run) {
        PK_ASSERT(c->answered);
        pk_call_span_end(c); /* what the attempt was, whatever is made of its answer */
        c->guards.out = PK_GUARD_PASSED;
        c->guards.after_results = PK_NONE;
        if (!any_sync(c, PK_GUARD_OUTPUT))
            return let_go(c);
        if (!begin(c, PK_GUARD_OUTPUT, false)) {
            c->answered = false;
            return c->committed ? break_off(c) : pk_call_go(c, ST_judge);
        }
    }
    int op = drive(c, ev, ST_guard_out);
    return op == PK_CALL_AGAIN ? conclude_out(c) : op;
}

/* --- guard_after -------------------------------------------------------------------------------- */

/* Which async guardrails are to run next; false: none. */
static bool next_after(struct pk_call *c, enum pk_guard_phase *phase)
{
    struct pk_call_guards *g = &c->guards;

    while (g->stage < PK_COUNT(pk_call_target(c)->guards)) {
        *phase = (enum pk_guard_phase)g->stage++;
        if (any_async(c, *phase) && (*phase == PK_GUARD_INPUT || c->answered))
            return true;
    }
    return false;
}

bool pk_call_goes_on_after(const struct pk_call *c)
{
    return !c->guards.over && c->node >= 0 &&
           (any_async(c, PK_GUARD_INPUT) || (any_async(c, PK_GUARD_OUTPUT) && c->answered));
}

/* Nothing of this is told to the client, and nothing of it fails the call. */
int pk_step_guard_after(struct pk_call *c, const struct pk_event *ev)
{
    struct pk_call_guards *g = &c->guards;
    struct pk_error outcome = c->error;
    enum pk_guard_phase phase;

    for (;;) {
        if (!g->run && (!next_after(c, &phase) || !begin(c, phase, true))) {
            g->over = true;
            c->error = outcome;
            return pk_call_go(c, ST_finish);
        }
        int op = drive(c, ev, ST_guard_after);
        if (op != PK_CALL_AGAIN)
            return op;
        const struct pk_guard_outcome *o = take_outcome(c);
        if (o->result > PK_GUARD_CHANGED)
            g->after = PK_GUARD_WARNED;
    }
}

/* --- hook_results --------------------------------------------------------------------------------- */

static pk_str or_none(pk_str results)
{
    return results.len ? results : PK_STR("[]");
}

pk_str pk_call_with_hooks(struct pk_call *c, pk_str document)
{
    struct pk_buf hooks = pk_buf_in(c->arena, HOOKS_BYTES_MAX);
    struct pk_buf out = pk_buf_in(c->arena, PK_STREAM_BYTES_MAX);
    struct pk_error unused = {0};
    struct pk_json doc;

    if (!c->guards.ran || !pk_json_parse(c->arena, document, "answer", &doc, &unused) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return document;
    pk_buf_adds(&hooks, "{\"before_request_hooks\":");
    pk_buf_add(&hooks, or_none(c->guards.before));
    pk_buf_adds(&hooks, ",\"after_request_hooks\":");
    pk_buf_add(&hooks, or_none(c->guards.after_results));
    pk_buf_addc(&hooks, '}');
    struct pk_json_edit edit = {PK_STR("hook_results"), pk_buf_str(&hooks)};
    pk_json_splice(&out, &doc, 0, &edit, 1);
    return out.failed || hooks.failed ? document : pk_buf_str(&out);
}

void pk_call_hook_event(struct pk_call *c, bool before, struct pk_buf *out)
{
    struct pk_buf document = pk_buf_in(c->arena, HOOKS_BYTES_MAX);
    pk_str results = before ? c->guards.before : c->guards.after_results;

    if (results.len == 0 || !(c->req->native || pk_call_target(c)->native))
        return;
    pk_buf_addf(&document, "{\"hook_results\":{\"%s\":",
                before ? "before_request_hooks" : "after_request_hooks");
    pk_buf_add(&document, results);
    pk_buf_adds(&document, "}}");
    if (!document.failed)
        pk_sse_print(out, c->front == &pk_dialect_openai ? PK_NONE : PK_STR("hook_results"),
                     pk_buf_str(&document));
}
