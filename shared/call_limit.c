/* call_limit.c - the state reserve: what a call comes under sets aside the most that the attempt may use.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Asked before each attempt, but answered by the host only when more is needed than the call holds
 * already: a retry after an answer without a bill needs nothing more. Once a call has a hold it keeps it
 * until its record settles it, with what the spans say was used.
 *
 *   requests   a call is one; of a virtual key each target that is asked is one, retries included
 *   tokens     what all attempts used, and the bound of the next (estimate.h)
 *   cost       the same in pico-dollars
 *
 * A refusal by the limits of the target's virtual key is a failure of that target; any other stands.
 */
#include "call_inner.h"

#include "estimate.h"

#include <string.h>

static bool is_of(const struct pk_call *c, const struct pk_span *s, pk_str virtual_key)
{
    for (int i = 0; i < c->config->target_count; i++) {
        const struct pk_target *t = &c->config->targets[i];

        if (pk_str_eq(t->path, s->target_path))
            return pk_str_eq(t->virtual_key, virtual_key);
    }
    return false;
}

/* What the spans that count for a hold have used. What has no known price is charged as it was set
 * aside. */
static int64_t used_so_far(const struct pk_call *c, const struct pk_hold *h)
{
    int64_t used = 0;

    for (int i = 0; i < c->record.span_count; i++) {
        const struct pk_span *s = &c->record.spans[i];

        if (!s->used || (h->of_target && !is_of(c, s, h->subject)))
            continue;
        if (h->counts == PK_LC_TOKENS)
            used += s->input_tokens + s->output_tokens;
        else if (s->cost_known)
            used += s->cost_pusd;
        else
            used = used > h->amount ? used : h->amount;
    }
    return used > PK_LIMIT_AMOUNT_MAX ? PK_LIMIT_AMOUNT_MAX : used;
}

static bool any_counts(const struct pk_holds *holds, enum pk_limit_counts counts)
{
    for (int i = 0; i < holds->count; i++)
        if (holds->rows[i].applies && holds->rows[i].counts == counts)
            return true;
    return false;
}

/* The bound of the request that is about to be sent, in tokens and, when that is limited, in money. */
struct most {
    int64_t tokens, pusd;
};

/* Whether a session has used what no price is known of. */
static bool has_unpriced(const struct pk_call *c)
{
    const struct pk_span *s = &c->record.spans[c->span];

    return c->tunnel && s->used && !s->cost_known;
}

/* What a request that sets no limit gets at most: no more than the model gives. */
int64_t pk_call_output_assumed(const struct pk_call *c)
{
    int64_t assumed = c->req->output_assumed > 0 ? c->req->output_assumed : PK_OUTPUT_ASSUMED;
    const struct pk_price *p = pk_price_find(&c->facts->prices, pk_call_provider(c),
                                             c->record.request_model, 0, c->record.started_us);

    return p && p->max_output > 0 && p->max_output < assumed ? p->max_output : assumed;
}

static bool refuse_unpriced(struct pk_call *c)
{
    const char *provider = pk_call_target(c)->provider->name;

    if (has_unpriced(c) && c->tunnel->why)
        return pk_fail(&c->error, PK_BUDGET, "%s: %s, so that no budget in dollars can be kept",
                       provider, c->tunnel->why);
    c->unpriced = true;
    if (c->record.request_model.len == 0)
        return pk_fail(&c->error, PK_BUDGET,
                       "%s: what a request of %s without a model costs is not known, so that no "
                       "budget in dollars can be kept",
                       provider, c->operation->name);
    return pk_fail(
        &c->error, PK_BUDGET,
        "%s: the price of \"%.*s\" is not known, so that no budget in dollars can be kept",
        provider, PK_FMT(pk_str_sub(c->record.request_model, 0, PK_SLUG_BYTES_MAX)));
}

/* Its bill is known behind the answer, if ever: all that is asked is that something is left, and that the model
 * of a form has a price. */
static bool find_behind(struct pk_call *c, bool cost, struct most *most)
{
    pk_str model = c->record.request_model;

    *most = (struct most){1, 1};
    return !cost || c->opaque || model.len == 0 ||
           pk_price_find(&c->facts->prices, pk_call_provider(c), model, 0, c->record.started_us) ||
           refuse_unpriced(c);
}

static bool find_most(struct pk_call *c, bool cost, struct most *most)
{
    struct pk_json body;

    *most = (struct most){0, 0};
    c->unpriced = false;
    if (c->opaque || c->form.parts)
        return find_behind(c, cost, most);
    struct pk_bound bound = {.input = 1}; /* of a session, which nobody can bound: the same */
    /* What is made a form is bounded as it came. */
    pk_str sent = pk_str_starts(c->exchange.body, "--") ? c->body.text : c->exchange.body;
    if (!c->exchange.upgrade && !pk_json_reuse(&c->body, sent, &body) &&
        !pk_json_parse(c->arena, sent, "request", &body, &c->error))
        return false;
    if (!c->exchange.upgrade)
        bound = pk_estimate_bound(&body, pk_call_output_assumed(c));
    if (!c->operation->output)
        bound.output = 0;
    most->tokens = bound.input + bound.output;
    if (!cost || (!has_unpriced(c) &&
                  pk_estimate_cost(&c->facts->prices, pk_call_provider(c), c->record.request_model,
                                   &bound, c->record.started_us, &most->pusd)))
        return true;
    return refuse_unpriced(c);
}

/* The same, when something that limits it counts tokens or money. */
static bool find_limited(struct pk_call *c, struct most *most)
{
    struct pk_holds *holds = &c->record.holds;
    bool cost = any_counts(holds, PK_LC_COST);

    *most = (struct most){0, 0};
    return (!cost && !any_counts(holds, PK_LC_TOKENS)) || find_most(c, cost, most);
}

/* Of all attempts; of one whose price is not known, what was set aside for it. */
static int64_t spent(const struct pk_call *c)
{
    int64_t pusd = 0;

    for (int i = 0; i < c->record.span_count; i++) {
        const struct pk_span *s = &c->record.spans[i];

        if (s->used && !s->cost_known)
            return pusd > c->share.held_pusd ? pusd : c->share.held_pusd;
        pusd += s->used ? s->cost_pusd : 0;
    }
    return pusd > PK_LIMIT_AMOUNT_MAX ? PK_LIMIT_AMOUNT_MAX : pusd;
}

bool pk_call_most(struct pk_call *c, int64_t *pusd)
{
    struct most most;

    if (!find_most(c, true, &most))
        return false;
    *pusd = spent(c) + most.pusd;
    return true;
}

static void set_want(const struct pk_call *c, struct pk_hold *h, const struct most *most)
{
    switch (h->counts) {
    case PK_LC_REQUESTS:
        if (!c->tunnel) /* which was counted when it began */
            h->want = h->of_target ? h->used + (c->tries == 1) : 1;
        break;
    case PK_LC_TOKENS: h->want = used_so_far(c, h) + most->tokens; break;
    case PK_LC_COST: h->want = used_so_far(c, h) + most->pusd; break;
    }
    if (h->want > PK_LIMIT_AMOUNT_MAX)
        h->want = PK_LIMIT_AMOUNT_MAX;
}

static struct pk_caller caller_of(const struct pk_call *c)
{
    return (struct pk_caller){
        .virtual_key = pk_call_target(c)->virtual_key,
        .api_key = c->req->api_key,
        .config = c->config->slug,
        .user = pk_limits_any(&c->facts->limits, PK_LS_USER) ? pk_call_user(c) : PK_NONE,
        .role = c->req->role,
        .metadata = c->req->metadata,
    };
}

/* What the host is asked to reserve. */
static bool prepare(struct pk_call *c)
{
    int64_t left_ms = c->deadline_ms - c->now_ms + PK_SETTLE_MS_MAX;

    if (c->req->batched)
        left_ms = PK_BATCHED_MS_MAX;

    size_t holds_bytes = (size_t)c->record.holds.count * sizeof *c->record.holds.rows;
    struct pk_reserve *r = pk_alloc_room(c->arena, sizeof *r + holds_bytes);
    if (!r)
        return pk_fail(&c->error, PK_NO_MEMORY, "limits: out of memory");
    pk_give_room(c->arena, c->reserve);
    c->reserve = r;
    memset(r, 0, sizeof *r);
    memcpy(r->id, c->record.id, sizeof r->id);
    r->epoch = c->facts->epoch;
    r->expires_us = pk_call_now_us(c) + left_ms * 1000;
    r->holds = (struct pk_holds){c->record.holds.count, (struct pk_hold *)(r + 1)};
    memcpy(r->holds.rows, c->record.holds.rows, holds_bytes);
    r->refused = -1;
    return true;
}

bool pk_call_limited(struct pk_call *c, bool *ask)
{
    struct pk_holds *holds = &c->record.holds;
    struct pk_caller caller;
    struct most most;

    *ask = false;
    if (c->facts->limits.count == 0)
        return true;
    caller = caller_of(c);
    if (!pk_limits_match(c->arena, &c->facts->limits, &caller, holds, &c->error) ||
        !find_limited(c, &most))
        return false;
    for (int i = 0; i < holds->count; i++) {
        struct pk_hold *h = &holds->rows[i];

        h->want = h->amount;
        if (h->applies)
            set_want(c, h, &most);
        *ask = *ask || h->want > h->amount;
    }
    return !*ask || prepare(c);
}

/* What the attempt holds from now on. Without an answer of the store nothing is set aside, and what was used
 * will be charged all the same. */
void pk_call_take(struct pk_call *c, const struct pk_reserve *r)
{
    PK_ASSERT(!r || r->holds.count == c->record.holds.count);
    for (int i = 0; i < c->record.holds.count; i++) {
        struct pk_hold *h = &c->record.holds.rows[i];

        if (h->applies && h->counts == PK_LC_REQUESTS)
            h->used = h->want;
        if (r) {
            h->amount = r->holds.rows[i].amount;
            h->slot = r->holds.rows[i].slot;
            h->leased = r->holds.rows[i].leased;
            memcpy(h->lease, r->holds.rows[i].lease, sizeof h->lease);
        } else if (h->amount == 0) {
            h->slot = pk_limit_slot(h->window, h->rolling, pk_call_now_us(c));
        }
    }
}

int pk_step_reserve(struct pk_call *c, const struct pk_event *ev)
{
    const struct pk_reserve *r = ev->reserve;

    if (ev->kind == PK_EV_GRANTED) {
        pk_call_take(c, r);
        pk_give_room(c->arena, c->reserve); /* a stream may go on for long */
        c->reserve = NULL;
        pk_call_set_deadline(c);
        return pk_call_wait_upstream(c, ST_head, PK_OP_SEND);
    }
    PK_ASSERT(r && r->error.code != PK_OK && r->refused < c->record.holds.count);
    c->error = r->error;
    c->retry_after_ms = r->retry_after_ms;
    if (r->refused >= 0 && c->record.holds.rows[r->refused].of_target)
        return pk_call_go(c, ST_judge);
    pk_call_span_end(c);
    return pk_call_go(c, ST_finish);
}

struct pk_event pk_reserve_event(const struct pk_reserve *r, bool lenient)
{
    if (r->granted)
        return (struct pk_event){.kind = PK_EV_GRANTED, .reserve = r};
    if (r->refused < 0 && lenient)
        return (struct pk_event){.kind = PK_EV_GRANTED};
    return (struct pk_event){.kind = PK_EV_REFUSED, .reserve = r};
}

/* A request was charged when it was let through; of the rest, the spans know by now. */
void pk_call_settle(struct pk_call *c)
{
    struct pk_holds *holds = &c->record.holds;
    int kept = 0;

    if (c->req->account)
        pk_account_settle(c->req->account, &c->share, spent(c));
    for (int i = 0; i < holds->count; i++) {
        struct pk_hold *h = &holds->rows[i];

        if (h->slot.until_us == 0)
            continue; /* nothing was ever granted */
        if (h->counts != PK_LC_REQUESTS)
            h->used = used_so_far(c, h);
        holds->rows[kept++] = *h;
    }
    holds->count = kept;
}

/* --- usage that nobody reported ------------------------------------------------------------ */

/* Of the model that was asked last, whoever answered for it. */
static enum pk_family family_of(const struct pk_call *c)
{
    pk_str model = c->record.model.len ? c->record.model : c->record.request_model;

    return pk_tokens_family(model);
}

static int64_t output_of(const struct pk_stream *s, enum pk_family family)
{
    int64_t tokens = 0;

    for (int i = 0; i < s->choice_count; i++)
        tokens += pk_tokens_count(family, pk_buf_str(&s->choices[i].text)) +
                  pk_tokens_count(family, pk_buf_str(&s->choices[i].reasoning)) +
                  pk_tokens_count(family, pk_buf_str(&s->choices[i].refusal));
    for (int i = 0; i < s->tool_count; i++)
        tokens += pk_tokens_count(family, s->tools[i].name) +
                  pk_tokens_count(family, pk_buf_str(&s->tools[i].arguments));
    return tokens;
}

static void estimate_cut(struct pk_call *c, struct pk_usage *u)
{
    int64_t output = output_of(c->streaming, family_of(c));

    if (u->source == PK_USAGE_NONE)
        u->input = pk_estimate_tokens_of(c->arena, &c->body, family_of(c));
    if (output > u->output + u->reasoning)
        u->output = output - u->reasoning;
    u->source = PK_USAGE_ESTIMATED;
}

static void estimate_answer(struct pk_call *c, struct pk_usage *u)
{
    struct pk_error unused = {0};
    struct pk_json answer;

    u->input = pk_estimate_tokens_of(c->arena, &c->body, family_of(c));
    if (c->operation->output && pk_json_parse(c->arena, c->answer.body, "answer", &answer, &unused))
        u->output = pk_estimate_tokens_of(c->arena, &answer, family_of(c));
    u->source = PK_USAGE_ESTIMATED;
}

/* Of what was passed, nothing is left but how many events it had. */
static void estimate_passed(struct pk_call *c, struct pk_usage *u)
{
    u->input = pk_estimate_tokens_of(c->arena, &c->body, family_of(c));
    u->output = c->tap->pieces;
    u->source = PK_USAGE_ESTIMATED;
}

void pk_call_estimate(struct pk_call *c)
{
    bool limited = false;

    if (c->tunnel)
        return; /* a session is measured by its provider, or not at all */
    for (int i = 0; i < c->record.holds.count; i++)
        limited = limited || c->record.holds.rows[i].applies;
    if (pk_operation_is_raw(c->operation) &&
        (c->opaque || !pk_operation_bills(c->operation, c->req->method)))
        return;
    if (c->tap && c->committed) {
        struct pk_usage *u = c->answered ? &c->answer.usage : &c->tap->usage;

        if (limited && u->source == PK_USAGE_NONE)
            estimate_passed(c, u);
    } else if (c->answered && c->answer.usage.source == PK_USAGE_NONE && limited)
        estimate_answer(c, &c->answer.usage);
    else if (!c->answered && c->streaming && c->streaming->content && !c->streaming->complete)
        estimate_cut(c, &c->streaming->usage);
}
