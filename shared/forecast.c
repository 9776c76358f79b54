/* forecast.c - see forecast.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "forecast.h"

#include "call_inner.h"
#include "estimate.h"

#include <sodium.h>
#include <string.h>

enum { PLACES_START = 1024, STEPS_MAX = 8 };

#define CACHED UINT64_C(1)

void pk_forecast_init(struct pk_forecast *f, struct pk_allocator from)
{
    *f = (struct pk_forecast){.from = from};
}

void pk_forecast_free(struct pk_forecast *f)
{
    if (f->asked)
        f->from.free(f->from.ctx, f->asked);
    f->asked = NULL;
}

void pk_forecast_no_call(struct pk_forecast *f)
{
    f->rows++;
}

/* --- what was asked before ----------------------------------------------------------------- */

static uint64_t hash_of(const struct pk_request *req)
{
    pk_str name = pk_str_of(pk_request_operation(req)->name);
    uint8_t out[16];
    uint64_t hash;

    (void)crypto_generichash(out, sizeof out, (const unsigned char *)req->body.at, req->body.len,
                             (const unsigned char *)name.at, name.len);
    memcpy(&hash, out, sizeof hash);
    return (hash | 2) & ~CACHED;
}

static uint64_t *place_of(uint64_t *asked, size_t places, uint64_t hash)
{
    size_t at = (hash >> 1) & (places - 1);

    while (asked[at] && (asked[at] & ~CACHED) != hash)
        at = (at + 1) & (places - 1);
    return &asked[at];
}

/* False when there are too many to be told apart, or no memory to do so. */
static bool make_room(struct pk_forecast *f)
{
    size_t places = f->places ? f->places * 2 : PLACES_START;

    if (f->used < f->places / 2)
        return true;
    if (places > 2 * (size_t)PK_FORECAST_ASKED_MAX)
        return false;
    uint64_t *asked = f->from.alloc(f->from.ctx, places * sizeof *asked);
    if (!asked)
        return false;
    memset(asked, 0, places * sizeof *asked);
    for (size_t i = 0; i < f->places; i++)
        if (f->asked[i])
            *place_of(asked, places, f->asked[i] & ~CACHED) = f->asked[i];
    pk_forecast_free(f);
    f->asked = asked;
    f->places = places;
    return true;
}

/* --- one call ------------------------------------------------------------------------------ */

/* Takes the call to the request that would be sent. False: none would. *cached: because the cache has it. */
static bool reach(struct pk_call *c, struct pk_arena *arena, struct pk_forecast_cache cache,
                  bool *cached)
{
    struct pk_event ev = {.kind = PK_EV_START};
    struct pk_next next;

    *cached = false;
    for (int i = 0; i < STEPS_MAX; i++) {
        switch (pk_call_step(c, (int64_t)i + 1, &ev, &next)) {
        case PK_OP_LOOKUP:
            *cached = cache.has(cache.ctx, c, arena);
            if (*cached)
                return false;
            ev = (struct pk_event){.kind = PK_EV_MISS};
            break;
        case PK_OP_NEAR: ev = (struct pk_event){.kind = PK_EV_MISS}; break;
        case PK_OP_DONE: return false;
        case PK_OP_RESERVE:
        case PK_OP_SEND:
        case PK_OP_READ:
        case PK_OP_SLEEP:
        case PK_OP_QUERY:
        case PK_OP_SAVE: return true;
        }
    }
    return true;
}

/* What is known of a call that stands before its request: with none built, because a guardrail would ask somebody first,
 * the client's. */
static bool bound_of(struct pk_call *c, struct pk_bound *b)
{
    struct pk_error unused = {0};
    pk_str sent = c->record.attempts > 0 ? c->exchange.body : c->req->body;
    struct pk_json body;

    if (!pk_json_parse(c->arena, sent, "request", &body, &unused))
        return false;
    *b = pk_estimate_bound(&body, pk_call_output_assumed(c));
    b->batched = c->req->batched;
    b->input = pk_estimate_tokens_of(c->arena, &body, pk_tokens_family(c->record.request_model));
    return true;
}

/* At one target, whatever it would make of the request. */
static bool cost_at(const struct pk_call *c, const struct pk_target *t, const struct pk_bound *b,
                    int64_t *min_pusd, int64_t *max_pusd)
{
    pk_str provider = pk_str_of(t->provider->name), model = pk_call_model(c, &t->params);
    struct pk_bound least = {.input = b->input, .output = b->output ? 1 : 0, .batched = b->batched};

    return pk_estimate_cost(&c->facts->prices, provider, model, &least, c->record.started_us,
                            min_pusd) &&
           pk_estimate_cost(&c->facts->prices, provider, model, b, c->record.started_us, max_pusd);
}

/* A batch has one target. */
static uint64_t of_batch(const struct pk_call *c)
{
    return (uint64_t)1 << c->config->route.nodes[c->node].target;
}

static void add_cost(struct pk_forecast *f, const struct pk_call *c, const struct pk_bound *b)
{
    uint64_t targets = c->req->batched ? of_batch(c) : pk_call_targets(c);
    int64_t least = INT64_MAX, most = 0;
    bool known = false, all_known = true;

    for (int i = 0; i < c->config->target_count; i++) {
        int64_t min_pusd, max_pusd;

        if (!(targets >> i & 1))
            continue;
        if (!cost_at(c, &c->config->targets[i], b, &min_pusd, &max_pusd)) {
            all_known = false;
            continue;
        }
        known = true;
        least = min_pusd < least ? min_pusd : least;
        most = max_pusd > most ? max_pusd : most;
    }
    f->min_unknown = f->min_unknown || !known;
    f->max_unknown = f->max_unknown || !all_known;
    f->min_pusd += known ? least : 0;
    f->max_pusd += most;
}

static bool add_call(struct pk_forecast *f, struct pk_arena *arena, struct pk_call *c,
                     struct pk_forecast_cache cache, bool *cached)
{
    struct pk_bound b;

    if (!reach(c, arena, cache, cached))
        return true;
    if (!bound_of(c, &b))
        return false;
    f->input_tokens += b.input;
    f->max_output_tokens += b.output;
    add_cost(f, c, &b);
    return true;
}

bool pk_forecast_add(struct pk_forecast *f, struct pk_arena *arena, const struct pk_config *config,
                     const struct pk_facts *facts, struct pk_request *req, int64_t now_us,
                     struct pk_forecast_cache cache, struct pk_error *err)
{
    uint64_t hash = hash_of(req), *place = NULL;
    bool cached = false;

    f->rows++;
    req->batched = f->batched;
    if (f->batched && f->distinct == 0 && !pk_config_batches(config, err))
        return false;
    if (make_room(f)) {
        place = place_of(f->asked, f->places, hash);
        if (*place) {
            f->cached_rows += (*place & CACHED) != 0;
            return true;
        }
    }
    req->account = NULL; /* nothing is spent */
    struct pk_call *c = pk_call_new(arena, config, facts, req, now_us, 0, err);
    if (!c)
        return false;
    f->distinct++;
    if (!add_call(f, arena, c, cache, &cached))
        return pk_fail(err, PK_NO_MEMORY, "estimate: out of memory");
    f->cached_rows += cached;
    if (place) {
        *place = hash | (cached ? CACHED : 0);
        f->used++;
    }
    return true;
}
