/* call_cache.c - the states that ask the cache: lookup, embed, near; and what goes into it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   lookup --hit------------------------------------------> guard_out
 *     | miss, or a refresh
 *     +--semantic--> embed --(ask)--> near --hit----------> guard_out
 *     |                                 | no vector, miss
 *     +---------------------------------+-----------------> send
 *
 * A cache never fails a call: whatever goes wrong here leaves the call to its target, and its span says why.
 */
#include "call_inner.h"

#include "codec.h"
#include "lexical.h"
#include "near.h"
#include "place.h"
#include "url.h"

#include <string.h>

enum { EMBED_MS_DEFAULT = 5000, TOKENS_MAX = 1 << 20 };

static struct pk_cache_question question(const struct pk_call *c)
{
    return (struct pk_cache_question){
        .config = c->config,
        .targets = pk_call_targets(c),
        .policy = &pk_call_target(c)->cache,
        .req = c->req,
        .body = &c->body,
        .form = c->form.parts ? &c->form : NULL,
    };
}

static bool has_cache(const struct pk_call *c)
{
    return c->req->cache_on || pk_call_target(c)->cache.mode != PK_CACHE_OFF;
}

/* An answer of the cache is looked at like any other, for what it says may be denied by now. False when the
 * entry is damaged: then it is no entry. */
static bool take_hit(struct pk_call *c, const struct pk_cache_entry *entry)
{
    struct pk_cache_entry *hit = pk_alloc(c->arena, sizeof *hit);
    struct pk_error unused = {0};
    struct pk_json doc;

    if (!hit)
        return false;
    *hit = *entry;
    hit->body = pk_copy(c->arena, entry->body);
    hit->provider = pk_copy(c->arena, entry->provider);
    hit->model = pk_copy(c->arena, entry->model);
    hit->finish_reason = pk_copy(c->arena, entry->finish_reason);
    if (!pk_json_parse(c->arena, hit->body, "cache", &doc, &unused))
        return false;
    c->answer = (struct pk_answer){.body = hit->body, .model = hit->model};
    c->streaming = NULL;
    c->status = 200;
    c->guards.hit = hit;
    c->answered = true;
    return true;
}

static bool by_chance(const struct pk_config *config)
{
    for (int i = 0; i < config->route.count; i++)
        if (config->route.nodes[i].strategy == PK_LOADBALANCE)
            return true;
    return false;
}

bool pk_call_repeats(const struct pk_call *c)
{
    const struct pk_guards *const *given = c->req->guards;

    PK_ASSERT(c->next.op == PK_OP_DONE);
    return c->error.code == PK_OK && c->record.cache_status == PK_CS_HIT && !c->config->guards &&
           !given[PK_GUARD_INPUT] && !given[PK_GUARD_OUTPUT] && c->record.span_count == 0 &&
           !by_chance(c->config);
}

int pk_call_give_hit(struct pk_call *c)
{
    if (!pk_call_print_answer(c)) {
        c->guards.hit = NULL;
        c->answered = false;
        return pk_call_go(c, ST_send);
    }
    pk_call_note_hit(c, c->guards.hit);
    pk_call_reply_as(c, pk_call_status(c), pk_call_tells_stream(c));
    c->committed = true;
    return pk_call_go(c, ST_finish);
}

/* --- lookup ---------------------------------------------------------------------------------- */

/* The exact entry is not wanted, or not there: a similar one may do. */
static int without_exact(struct pk_call *c)
{
    struct pk_like *like = &c->like;

    if (pk_call_target(c)->cache.mode != PK_CACHE_SEMANTIC || !c->operation->front ||
        c->req->batched)
        return pk_call_go(c, ST_send);
    like->text = pk_cache_like(c->arena, &c->body, c->operation->input, &like->node);
    return pk_call_go(c, like->node < 0 ? ST_send : ST_embed);
}

/* What the target's key would not let through is not to be had from the cache either. */
static bool may_ask(const struct pk_call *c)
{
    const struct pk_target *t = pk_call_target(c);

    if (t->dead.len)
        return false;
    return t->models.allowed_count + t->models.denied_count == 0 ||
           pk_models_allow(&t->models, pk_call_model(c, &t->params));
}

/* A form asks in its fields for a stream, or for what is no JSON. */
static bool is_form_for_json(const struct pk_call *c)
{
    static const char *const others[] = {"text", "srt", "vtt"};
    int stream = pk_json_get(&c->body, 0, "stream");
    int format = pk_json_get(&c->body, 0, "response_format");

    for (size_t i = 0; i < PK_COUNT(others); i++)
        if (pk_json_is(&c->body, format, others[i]))
            return false;
    return stream < 0 || pk_json_is(&c->body, stream, "false");
}

/* Whether the answer is one that the cache can hold, and replay. What guardrails cannot see in a fresh answer they
 * would not see in one that was kept either. */
static bool may_replay(const struct pk_call *c)
{
    if (c->stream && c->operation == &pk_operation_images)
        return false; /* in pieces */
    if (!pk_operation_is_raw(c->operation))
        return true;
    return !c->opaque && !pk_call_guarded(c, PK_GUARD_OUTPUT) &&
           (!c->form.parts || is_form_for_json(c));
}

/* Asks the cache, once a call: for the first target whose policy wants it. */
int pk_step_lookup(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_HIT && take_hit(c, ev->entry))
        return pk_call_go(c, ST_guard_out);
    if (ev->kind == PK_EV_HIT || ev->kind == PK_EV_MISS)
        return without_exact(c);
    if (c->looked_up || c->req->cache_off || !c->operation->cached || !has_cache(c) ||
        !may_replay(c) || !may_ask(c))
        return pk_call_go(c, ST_send);
    struct pk_cache_question q = question(c);
    c->looked_up = true;
    c->cache_ns = c->req->cache_ns.len ? c->req->cache_ns : q.policy->ns;
    if (!pk_cache_key(c->arena, &q, c->cache_key, &c->error))
        return pk_call_go(c, ST_finish);
    c->record.cache_status = c->req->cache_refresh ? PK_CS_REFRESH : PK_CS_MISS;
    return c->req->cache_refresh ? without_exact(c) : pk_call_wait(c, ST_lookup, PK_OP_LOOKUP);
}

/* --- embed ----------------------------------------------------------------------------------- */

static const struct pk_embedder *embedder(const struct pk_call *c)
{
    return &c->config->embedders[c->like.embedder];
}

static bool open_span(struct pk_call *c)
{
    struct pk_record *r = &c->record;
    struct pk_span *spans = pk_alloc_row(c->arena, r->spans, r->span_count, sizeof *spans);
    const struct pk_embedder *e = embedder(c);

    PK_ASSERT(r->span_count < PK_SPANS_MAX);
    if (!spans)
        return false;
    r->spans = spans;
    c->like.span = r->span_count++;
    spans[c->like.span] = (struct pk_span){
        .kind = PK_SPAN_CACHE,
        .target_path = e->target.path,
        .provider = pk_str_of(e->target.provider->name),
        .model = e->model,
        .started_us = pk_call_now_us(c),
        .ended_us = pk_call_now_us(c),
    };
    return true;
}

static const struct pk_dialect *back_of(const struct pk_embedder *e)
{
    return pk_provider_back(e->target.provider, &pk_dialect_openai, e->model);
}

static const struct pk_codec *codec_of(const struct pk_embedder *e)
{
    return pk_codec_find(e->target.provider, back_of(e), &pk_operation_embeddings);
}

/* The request in the common shape, and in the embedder's. */
static bool build(struct pk_call *c, struct pk_exchange *ex, struct pk_error *err)
{
    const struct pk_embedder *e = embedder(c);
    const struct pk_dialect *back = back_of(e);
    struct pk_buf body = pk_buf_in(c->arena, PK_BODY_BYTES_MAX);
    struct pk_buf headers = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);
    pk_str base = PK_NONE, dropped;

    pk_buf_adds(&body, "{\"model\":");
    pk_json_quote(&body, e->model);
    pk_buf_adds(&body, ",\"input\":");
    pk_json_quote(&body, c->like.text);
    if (e->dimensions)
        pk_buf_addf(&body, ",\"dimensions\":%lld", (long long)e->dimensions);
    pk_buf_addc(&body, '}');
    c->like.asked = pk_buf_str(&body);
    pk_buf_addf(&headers, "content-type: application/json\naccept: application/json\n%s%s",
                back->headers, e->target.provider->headers);
    pk_place_headers(&e->target, &headers);
    *ex = (struct pk_exchange){.headers = pk_buf_str(&headers), .target = &e->target};
    return pk_codec_request(c->arena, codec_of(e), c->like.asked, &ex->body, &dropped, err) &&
           pk_place_base(c->arena, &e->target, PK_NONE, e->model, &base, err) &&
           pk_codec_url(c->arena, codec_of(e), base, e->model, PK_NONE, &ex->url, err) &&
           pk_place_end(c->arena, &e->target, e->model, &ex->url, err) && !body.failed &&
           !headers.failed && !c->arena->failed;
}

/* The vector is there for when the answer is kept; whether there is one to look for now. */
static bool embed_here(struct pk_call *c)
{
    struct pk_cache_question q = question(c);
    struct pk_like *like = &c->like;
    struct pk_error unused = {0};
    float *vector = pk_alloc(c->arena, PK_LEXICAL_DIMS * sizeof *vector);

    like->ready =
        vector && pk_lexical_embed(like->text, vector) &&
        pk_cache_gate(c->arena, &q, like->node, PK_LEXICAL_DIMS, like->vector.gate, &unused);
    like->vector.traits = pk_traits_of(like->text);
    like->vector.at = vector;
    like->vector.dims = PK_LEXICAL_DIMS;
    return like->ready && !c->req->cache_refresh;
}

int pk_step_embed(struct pk_call *c, const struct pk_event *ev)
{
    struct pk_error unused = {0};
    struct pk_exchange ex;

    (void)ev;
    c->like.embedder = pk_call_target(c)->cache.embedder;
    if (!c->req->cache_refresh)
        c->record.cache_status = PK_CS_SEMANTIC_MISS;
    if (c->like.embedder < 0)
        return embed_here(c) ? pk_call_wait(c, ST_near, PK_OP_NEAR) : pk_call_go(c, ST_send);
    if (!build(c, &ex, &unused) || !open_span(c)) /* one a call: attempts keep their room */
        return pk_call_go(c, ST_send);
    int64_t limit_ms = embedder(c)->target.timeouts.request_ms;
    return pk_call_ask(c, &ex, limit_ms ? limit_ms : EMBED_MS_DEFAULT, ST_near);
}

/* --- near ------------------------------------------------------------------------------------ */

/* The numbers of the answer's one vector, scaled to length 1. */
static bool read_numbers(struct pk_call *c, const struct pk_json *doc, struct pk_error *err)
{
    const struct pk_embedder *e = embedder(c);
    float *vector;
    int dims;

    if (!pk_embed_floats(c->arena, doc, pk_json_at(doc, "data[0].embedding"), &vector, &dims, err))
        return false;
    if (dims > PK_EMBEDDING_DIMS_MAX)
        return pk_fail(err, PK_BAD_ANSWER, "data[0].embedding: more than %d numbers",
                       PK_EMBEDDING_DIMS_MAX);
    if (e->dimensions && dims != e->dimensions)
        return pk_fail(err, PK_BAD_ANSWER, "data[0].embedding: %d numbers instead of %lld", dims,
                       (long long)e->dimensions);
    c->like.vector.at = vector;
    c->like.vector.dims = dims;
    return pk_near_normalise(vector, dims) ||
           pk_fail(err, PK_BAD_ANSWER, "data[0].embedding: has no direction");
}

/* What the embedding costs; nobody is paid for one that is made on this machine. */
static void note_price(struct pk_call *c, const struct pk_usage *usage)
{
    const struct pk_embedder *e = embedder(c);
    struct pk_span *s = &c->record.spans[c->like.span];
    struct pk_error unused;
    struct pk_url url;
    const char *why = "the embedder reported no usage";

    s->used = true;
    if (usage->source != PK_USAGE_NONE && usage->input <= TOKENS_MAX) {
        s->input_tokens = usage->input;
        s->cost_known = pk_price_cost(&c->facts->prices, s->provider, e->model, usage,
                                      c->record.started_us, &s->cost_pusd, &why);
    }
    if (s->cost_known)
        return;
    s->cost_known =
        pk_url_parse(e->target.base_url, "custom_host", &url, &unused) && pk_url_is_loopback(&url);
    if (!s->cost_known)
        c->record.cost_reason = pk_copyf(c->arena, "%s: %.*s", why, PK_FMT(e->model));
}

static bool read_vector(struct pk_call *c, struct pk_error *err)
{
    struct pk_asked *a = &c->asked;
    struct pk_json request, doc;
    struct pk_answer answer = {.asked = embedder(c)->model, .request = &request};
    struct pk_fault fault;

    if (a->error.code != PK_OK) {
        *err = a->error;
        return false;
    }
    if (a->status < 200 || a->status > 299) {
        pk_dialect_fault(c->arena, back_of(embedder(c)), a->status, pk_buf_str(&a->body), &fault);
        return pk_fail(err, PK_UPSTREAM, "the embedder answered %d: %.*s", a->status,
                       PK_FMT(fault.message));
    }
    if (!pk_json_parse(c->arena, c->like.asked, "embedding", &request, err) ||
        !pk_codec_answer(c->arena, codec_of(embedder(c)), pk_buf_str(&a->body), &answer, err) ||
        !pk_json_parse(c->arena, answer.body, "embedding", &doc, err))
        return false;
    note_price(c, &answer.usage);
    return read_numbers(c, &doc, err);
}

/* The embedder's answer is in c->asked; true when there is a vector to look for. */
static bool take_vector(struct pk_call *c)
{
    struct pk_cache_question q = question(c);
    struct pk_like *like = &c->like;
    struct pk_error err = {0};

    like->ready = read_vector(c, &err) && pk_cache_gate(c->arena, &q, like->node, like->vector.dims,
                                                        like->vector.gate, &err);
    like->vector.traits = pk_traits_of(like->text);
    struct pk_span *s = &c->record.spans[like->span];
    s->ended_us = pk_call_now_us(c);
    s->status = c->asked.status;
    s->code = err.code;
    s->message = err.code ? pk_copy(c->arena, pk_str_of(err.msg)) : PK_NONE;
    return like->ready;
}

int pk_step_near(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_HIT && take_hit(c, ev->entry))
        return pk_call_go(c, ST_guard_out);
    if (ev->kind == PK_EV_HIT || ev->kind == PK_EV_MISS || !take_vector(c) || c->req->cache_refresh)
        return pk_call_go(c, ST_send);
    return pk_call_wait(c, ST_near, PK_OP_NEAR);
}

/* --- what is kept ---------------------------------------------------------------------------- */

/* Whole successes, by the policy of the target that gave them; not what a filter took something out of. */
static bool may_keep(const struct pk_call *c)
{
    return c->record.cache_status != PK_CS_DISABLED && has_cache(c) && c->status == 200 &&
           !c->answer.opaque && !(c->streaming && c->streaming->lossy) && !c->guards.replaced &&
           !pk_str_is(c->answer.finish_reason, "content_filter") &&
           !pk_str_is(c->answer.finish_reason,
                      "queued") /* a Response that is made in background */;
}

bool pk_call_keep(struct pk_call *c)
{
    if (!may_keep(c))
        return false;
    c->save = (struct pk_cache_entry){
        .body = c->answer.body,
        .ns = c->cache_ns,
        .provider = c->record.provider,
        .model = c->record.model,
        .finish_reason = c->record.finish_reason,
        .usage = c->record.usage,
        .cost_known = c->record.spans[c->span].cost_known,
        .cost_pusd = c->record.spans[c->span].cost_pusd,
    };
    memcpy(c->save.key, c->cache_key, sizeof c->save.key);
    return true;
}

const struct pk_cache_vector *pk_call_vector(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_NEAR || c->next.op == PK_OP_SAVE);
    return c->like.ready ? &c->like.vector : NULL;
}

double pk_call_threshold(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_NEAR);
    return pk_call_target(c)->cache.threshold;
}
