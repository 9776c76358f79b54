/* call_end.c - what the log says about a call.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "call_inner.h"

#include "codec.h"

#include <math.h>

enum { NAME_BYTES_MAX = 256 };

/* Some providers answer with a dated name that the price list does not have. */
static bool price_of(const struct pk_call *c, const struct pk_span *s, pk_str model,
                     const struct pk_usage *usage, const char **why, int64_t *cost_pusd)
{
    bool (*cost)(const struct pk_prices *, pk_str, pk_str, const struct pk_usage *, int64_t,
                 int64_t *, const char **) =
        c->req->batched ? pk_price_cost_batched : pk_price_cost;
    const struct pk_prices *prices = &c->facts->prices;
    int64_t at_us = c->record.started_us;

    return cost(prices, s->provider, model, usage, at_us, cost_pusd, why) ||
           cost(prices, s->provider, s->model, usage, at_us, cost_pusd, why);
}

/* What the attempt used, as far as the provider has said, is paid for whatever became of it. */
void pk_call_note_used(struct pk_call *c)
{
    struct pk_span *s = &c->record.spans[c->span];
    const struct pk_usage *u = &c->answer.usage;
    pk_str model = c->answer.model;
    const char *why = NULL;

    if (!c->answered && (c->tap || c->streaming) && !c->tunnel) {
        u = c->tap ? &c->tap->usage : &c->streaming->usage;
        model = c->tap ? c->tap->model : c->streaming->model;
    }
    if (u->source == PK_USAGE_NONE)
        return;
    s->used = true;
    s->input_tokens = u->input + u->cache_read + u->cache_write + u->cache_write_1h;
    s->output_tokens = u->output + u->reasoning;
    if (model.len == 0)
        model = s->model;
    s->cost_known = price_of(c, s, model, u, &why, &s->cost_pusd);
    if (c->tunnel && c->tunnel->why) {
        why = c->tunnel->why;
        s->cost_known = false;
        s->cost_pusd = 0;
    }
    if (!s->cost_known)
        c->record.cost_reason = pk_copyf(c->arena, "%s: %.*s", why, PK_FMT(model));
}

/* NULL: no memory. */
static struct pk_outcome *outcome_of(struct pk_call *c, const struct pk_target *t)
{
    struct pk_record *r = &c->record;

    for (int i = 0; i < r->outcome_count; i++)
        if (pk_str_eq(r->outcomes[i].target_path, t->path))
            return &r->outcomes[i];
    struct pk_outcome *rows = pk_alloc_row(c->arena, r->outcomes, r->outcome_count, sizeof *rows);
    if (!rows)
        return NULL;
    PK_ASSERT(r->outcome_count < PK_ATTEMPTS_MAX);
    r->outcomes = rows;
    struct pk_outcome *o = &rows[r->outcome_count++];
    *o = (struct pk_outcome){.target_path = t->path, .breaker = t->breaker};
    return o;
}

/* For the target's circuit. An attempt that a client was too impatient for, or sent elsewhere, says nothing
 * about it. */
static void note_outcome(struct pk_call *c, const struct pk_span *s)
{
    const struct pk_target *t = pk_call_target(c);
    struct pk_record *r = &c->record;

    if (t->breaker.cooldown_ms == 0 || c->config->circuit.len == 0 || c->impatient ||
        c->req->custom_host.len || !pk_circuit_counts(c->error.code))
        return;
    struct pk_outcome *o = outcome_of(c, t);
    if (!o)
        return;
    r->circuit = c->config->circuit;
    r->circuit_version = c->config->version;
    o->attempts++;
    o->failures += pk_circuit_failed(&t->breaker_statuses, c->error.code,
                                     c->error.code == PK_OK ? c->status : c->error.status);
    o->at_us = s->ended_us;
}

void pk_call_span_end(struct pk_call *c)
{
    struct pk_span *s = c->span < 0 ? NULL : &c->record.spans[c->span];

    if (!s || s->ended_us)
        return; /* between two attempts */
    s->ended_us = pk_call_now_us(c);
    pk_call_estimate(c);
    if (c->answered || c->streaming || c->tunnel || c->tap ||
        c->answer.usage.source != PK_USAGE_NONE) /* of an answer that was none: it is billed */
        pk_call_note_used(c);
    note_outcome(c, s);
    s->status = c->status;
    s->code = c->error.code;
    s->quotes = c->fault.message.len > 0;
    s->message = c->fault.message.len ? c->fault.message
                 : c->error.code      ? pk_copy(c->arena, pk_str_of(c->error.msg))
                                      : PK_NONE;
}

/* A call costs what all its steps cost, those too whose answer was dropped. True when one is known to have
 * cost something. */
static bool note_cost(struct pk_call *c)
{
    struct pk_record *r = &c->record;
    bool known = true, any = false;

    r->cost_pusd = 0;
    for (int i = 0; i < r->span_count; i++) {
        any = any || r->spans[i].used;
        known = known && (!r->spans[i].used || r->spans[i].cost_known) &&
                !__builtin_add_overflow(r->cost_pusd, r->spans[i].cost_pusd, &r->cost_pusd);
    }
    r->cost_known = any && known;
    if (!any)
        r->cost_reason = PK_STR("no answer");
    return any;
}

static pk_str why_no_usage(struct pk_call *c)
{
    if (c->tunnel && c->tunnel->why)
        return pk_str_of(c->tunnel->why);
    if (pk_operation_is_raw(c->operation) && !pk_operation_is_tunnel(c->operation) &&
        !pk_operation_bills(c->operation, c->req->method))
        return PK_STR("no tokens were asked for");
    return c->answer.billed ? pk_copyf(c->arena, "billed in %s", c->answer.billed)
                            : PK_STR("the provider reported no usage");
}

void pk_call_note_answer(struct pk_call *c)
{
    const struct pk_target *t = pk_call_target(c);
    struct pk_record *r = &c->record;

    r->provider = pk_str_of(t->provider->name);
    r->model = c->answer.model.len ? c->answer.model : r->request_model;
    r->finish_reason = c->answer.finish_reason;
    r->usage = c->answer.usage;
    (void)note_cost(c);
    if (r->usage.source == PK_USAGE_NONE && (c->answered || c->committed)) {
        r->cost_known = false;
        r->cost_reason = why_no_usage(c);
    }
}

/* The model that is asked for, also where nobody was asked in the end. */
static pk_str asked_model(struct pk_call *c)
{
    static const struct pk_params unchanged;
    const struct pk_params *params = c->node < 0 ? &unchanged : &pk_call_target(c)->params;

    return pk_call_model(c, params);
}

void pk_call_note_hit(struct pk_call *c, const struct pk_cache_entry *entry)
{
    struct pk_record *r = &c->record;

    r->cache_status = entry->similarity > 0 ? PK_CS_SEMANTIC_HIT : PK_CS_HIT;
    r->cache_similarity = round(entry->similarity * 1e6) / 1e6; /* what the measure is good for */
    r->cache_key = pk_copy(c->arena, (pk_str){(const char *)entry->key, PK_CACHE_KEY_BYTES});
    r->provider = pk_copy(c->arena, entry->provider);
    r->model = pk_copy(c->arena, entry->model);
    r->finish_reason = pk_copy(c->arena, entry->finish_reason);
    r->cost_known = !note_cost(c) || r->cost_known; /* the entry is for nothing */
    r->cost_saved_pusd = entry->cost_known ? entry->cost_pusd : 0;
    r->request_model = asked_model(c);
}

void pk_call_note_own(struct pk_call *c)
{
    struct pk_record *r = &c->record;

    r->request_model = asked_model(c);
    r->finish_reason = c->answer.finish_reason;
    r->cost_known = !note_cost(c) || r->cost_known; /* it is for nothing */
}

static enum pk_status status_of(const struct pk_call *c)
{
    if (c->error.code == PK_OK)
        return PK_ST_SUCCESS;
    if (c->error.code == PK_CANCELLED)
        return c->req->source == PK_SOURCE_HTTP ? PK_ST_CLIENT_CLOSED : PK_ST_CANCELLED;
    if (c->error.code == PK_SHUTDOWN)
        return PK_ST_CANCELLED;
    if (c->error.code == PK_DENIED)
        return PK_ST_BLOCKED;
    return c->committed ? PK_ST_TRUNCATED : PK_ST_ERROR;
}

void pk_call_note_target(struct pk_call *c)
{
    const struct pk_target *t = pk_call_target(c);
    struct pk_record *r = &c->record;

    r->target_path = t->path;
    r->virtual_key = t->virtual_key;
    r->fallback_index = pk_route_fallback_index(&c->config->route, c->node);
    if (r->provider.len == 0)
        r->provider = pk_str_of(t->provider->name);
    if (r->request_model.len == 0)
        r->request_model = asked_model(c);
    r->retries_exhausted =
        c->error.code != PK_OK && t->retry.attempts > 0 && c->tries > t->retry.attempts;
}

/* A member of the call's metadata; empty when there is none. */
static pk_str metadata_of(const struct pk_call *c, const char *name)
{
    struct pk_error unused = {0};
    struct pk_json metadata;

    if (c->req->metadata.len == 0 ||
        !pk_json_parse(c->arena, c->req->metadata, "metadata", &metadata, &unused))
        return PK_NONE;
    return pk_json_str(c->arena, &metadata, pk_json_get(&metadata, 0, name));
}

pk_str pk_call_user(const struct pk_call *c)
{
    pk_str user = c->req->user_id.len ? c->req->user_id : metadata_of(c, "_user");

    if (user.len == 0)
        user = pk_json_str(c->arena, &c->body, pk_json_get(&c->body, 0, "user"));
    int metadata = user.len ? -1 : pk_json_get(&c->body, 0, "metadata");
    if (user.len == 0) /* as Anthropic spells it */
        user = pk_json_str(c->arena, &c->body, pk_json_get(&c->body, metadata, "user_id"));
    return user;
}

static pk_str message_of(struct pk_call *c)
{
    if (c->error.code == PK_OK)
        return PK_NONE;
    if (c->fault.message.len)
        return pk_copyf(c->arena, "%s: %.*s", c->error.msg, PK_FMT(c->fault.message));
    return pk_copy(c->arena, pk_str_of(c->error.msg));
}

/* Clients and providers choose these; a row names them, and is grouped by them. */
static void shorten_names(struct pk_record *r)
{
    pk_str *const names[] = {&r->request_model, &r->model, &r->finish_reason, &r->user_id,
                             &r->prompt};

    for (size_t i = 0; i < PK_COUNT(names); i++)
        *names[i] = pk_dialect_shorten(*names[i], NAME_BYTES_MAX);
    for (int i = 0; i < r->span_count; i++)
        r->spans[i].model = pk_dialect_shorten(r->spans[i].model, NAME_BYTES_MAX);
}

/* Of an answer that was passed until it broke. */
static void note_cut(struct pk_call *c)
{
    c->answer = (struct pk_answer){.opaque = true};
    if (c->tap) {
        c->answer.model = c->tap->model;
        c->answer.usage = c->tap->usage;
    }
    pk_call_note_answer(c);
}

/* The answer without what would fill the log and tell nobody anything. */
static pk_str shown_answer(struct pk_call *c)
{
    const struct pk_operation *o = c->operation;

    if (c->answer.opaque)
        return pk_call_passed(c);
    if (o == &pk_operation_embeddings)
        return pk_embed_outline(c->arena, c->answer.body);
    if (o == &pk_operation_images || o == &pk_operation_image_edits ||
        o == &pk_operation_variations)
        return pk_images_outline(c->arena, c->answer.body);
    return c->answer.body;
}

void pk_call_close(struct pk_call *c)
{
    struct pk_record *r = &c->record;

    if (c->node >= 0)
        pk_call_note_target(c);
    if (c->guards.refused || c->error.code == PK_UNFIT)
        pk_call_note_answer(c); /* of an answer that the client did not get */
    else if (!c->answered && c->streaming &&
             pk_stream_answer(c->streaming, &c->answer, &(struct pk_error){0}))
        pk_call_note_answer(c); /* of a stream that was cut: as far as it came */
    else if (!c->answered && c->tunnel)
        pk_call_note_answer(c); /* of a session, too */
    else if (!c->answered && c->passed_bytes >= 0)
        note_cut(c);
    else if (!c->answered)
        (void)note_cost(c);
    if (r->provider.len == 0 && r->request_model.len == 0)
        r->request_model = asked_model(c);
    r->ended_us = pk_call_now_us(c);
    pk_call_settle(c);
    r->status = status_of(c);
    r->code = c->error.code;
    r->http_status = c->committed    ? c->reply.status
                     : c->error.code ? c->error.status
                                     : c->reply.status;
    r->error_message = message_of(c);
    r->user_id = pk_call_user(c);
    r->prompt = c->req->prompt.len ? c->req->prompt : metadata_of(c, "_prompt");
    shorten_names(r);
    if (r->cost_known)
        r->cost_reason = PK_NONE;
    pk_call_note_verdict(c);
    r->request = c->opaque ? PK_NONE : c->request;
    r->response = shown_answer(c);
}
