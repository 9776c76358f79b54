/* meter.c - see meter.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "meter.h"

#include "provider.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAMES = 1024
}; /* slots of the table of provider names: a power of two, most of them empty */

const int64_t pkd_call_bounds[] = {5000,     10000,    25000,     50000,     100000,   250000,
                                   500000,   1000000,  2500000,   5000000,   10000000, 20000000,
                                   30000000, 60000000, 120000000, 300000000, INT64_MAX};
const int64_t pkd_overhead_bounds[] = {25,   50,    100,   200,   300,    500,    1000,     2000,
                                       5000, 10000, 20000, 50000, 100000, 500000, INT64_MAX};

_Static_assert(PK_COUNT(pkd_call_bounds) <= PKD_BUCKETS_MAX, "a bucket for each bound");
_Static_assert(PK_COUNT(pkd_overhead_bounds) <= PKD_BUCKETS_MAX, "a bucket for each bound");

/* --- names --------------------------------------------------------------------------------- */

static uint16_t names[NAMES]; /* place of a provider, plus one */
static int name_count;
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static unsigned hash(pk_str name)
{
    unsigned h = pk_str_fnv(name);

    return h ^ h >> 15;
}

static void index_names(void)
{
    for (const struct pk_provider *p; (p = pk_provider_at(name_count)); name_count++) {
        unsigned at = hash(pk_str_of(p->name));

        while (names[at % NAMES])
            at++;
        names[at % NAMES] = (uint16_t)(name_count + 1);
        PK_ASSERT(name_count < NAMES / 2);
    }
}

int pkd_meter_providers(void)
{
    (void)pthread_once(&names_once, index_names);
    return name_count + 2;
}

const char *pkd_meter_provider(int i)
{
    if (i < name_count)
        return pk_provider_at(i)->name;
    return i == name_count ? "other" : "none";
}

static int place_of(pk_str name)
{
    if (name.len == 0)
        return name_count + 1;
    for (unsigned at = hash(name); names[at % NAMES]; at++)
        if (pk_str_is(name, pk_provider_at(names[at % NAMES] - 1)->name))
            return names[at % NAMES] - 1;
    return name_count;
}

/* --- counting ------------------------------------------------------------------------------ */

struct pkd_meter *pkd_meter_new(struct pkd_meter *before)
{
    size_t count = (size_t)pkd_meter_providers();
    struct pkd_meter *m = calloc(1, sizeof *m + count * sizeof m->providers[0]);

    if (m)
        m->next = before;
    return m;
}

void pkd_meters_free(struct pkd_meter *first)
{
    for (struct pkd_meter *m = first, *next; m; m = next) {
        next = m->next;
        for (int i = 0; i < pkd_meter_providers(); i++)
            free(atomic_load_explicit(&m->providers[i], memory_order_relaxed));
        free(m);
    }
}

/* NULL: no memory; then it is not counted. */
static struct pkd_provider_meter *meter_of(struct pkd_meter *m, pk_str provider)
{
    _Atomic(struct pkd_provider_meter *) *slot = &m->providers[place_of(provider)];
    struct pkd_provider_meter *p = atomic_load_explicit(slot, memory_order_relaxed);

    if (!p) {
        p = calloc(1, sizeof *p);
        atomic_store_explicit(slot, p,
                              memory_order_release); /* it is zeroed before others see it */
    }
    return p;
}

static int code_of(int status)
{
    return status >= 100 && status <= 599 ? status / 100 : 0;
}

static int place_of_operation(const struct pk_operation *operation)
{
    static const struct pk_operation *const operations[] = {
#define OPERATION(symbol, ...) &pk_operation_##symbol,
#include "operations.def"
#undef OPERATION
    };
    int i = 0;

    while (operations[i] != operation)
        i++;
    return i;
}

static void observe(struct pkd_histogram *h, const int64_t *bounds, int64_t us)
{
    int i = 0;

    if (us < 0)
        us = 0; /* the clock was set */
    while (us > bounds[i])
        i++;
    pkd_add(&h->buckets[i], 1);
    pkd_add(&h->sum_us, us);
}

static void count_used(struct pkd_meter *m, struct pkd_provider_meter *p, const struct pk_record *r)
{
    const struct pk_usage *u = &r->usage;

    pkd_add(&p->tokens[PKD_TOKENS_INPUT], u->input);
    pkd_add(&p->tokens[PKD_TOKENS_CACHE_READ], u->cache_read);
    pkd_add(&p->tokens[PKD_TOKENS_CACHE_WRITE], u->cache_write + u->cache_write_1h);
    pkd_add(&p->tokens[PKD_TOKENS_OUTPUT], u->output);
    pkd_add(&p->tokens[PKD_TOKENS_REASONING], u->reasoning);
    if (r->cost_known)
        pkd_add(&p->cost_pusd, r->cost_pusd);
    else if (u->source != PK_USAGE_NONE)
        pkd_add(&m->unpriced, 1);
    pkd_add(&m->saved_pusd, r->cost_saved_pusd);
}

static void count_attempts(struct pkd_meter *m, const struct pk_record *r)
{
    for (int i = 0; i < r->span_count; i++) {
        const struct pk_span *s = &r->spans[i];
        struct pkd_provider_meter *p;

        if (s->kind != PK_SPAN_ATTEMPT)
            continue;
        p = meter_of(m, s->provider);
        if (p)
            pkd_add(&p->attempts[code_of(s->status)], 1);
    }
}

static void count_refusal(struct pkd_meter *m, const struct pk_record *r)
{
    if (r->status == PK_ST_BLOCKED)
        pkd_add(&m->refused[PKD_BY_GUARDRAIL], 1);
    else if (r->code == PK_BUDGET || r->code == PK_RATE)
        pkd_add(&m->refused[PKD_BY_LIMIT], 1);
}

void pkd_meter_call(struct pkd_meter *m, const struct pk_operation *operation,
                    const struct pk_record *r)
{
    struct pkd_provider_meter *p = meter_of(m, r->provider);
    int64_t latency_us = r->ended_us - r->started_us;

    pkd_add(&m->statuses[r->status], 1);
    pkd_add(&m->cached[r->cache_status], 1);
    pkd_add(&m->retries, r->retries);
    pkd_add(&m->fallbacks, r->fallback_index > 0);
    observe(&m->overhead, pkd_overhead_bounds, latency_us - r->upstream_us);
    count_refusal(m, r);
    count_attempts(m, r);
    if (!p)
        return;
    pkd_add(&p->calls[place_of_operation(operation)][code_of(r->http_status)], 1);
    observe(&p->latency, pkd_call_bounds, latency_us);
    if (r->first_token_us > 0)
        observe(&p->first_token, pkd_call_bounds, r->first_token_us - r->started_us);
    count_used(m, p, r);
}

void pkd_meter_refused(struct pkd_meter *m, const struct pk_error *err)
{
    bool auth = err->code == PK_UNAUTHORIZED || err->code == PK_NO_PERMISSION;

    pkd_add(&m->refused[auth ? PKD_BY_AUTH : PKD_BY_REQUEST], 1);
    pkd_add(&m->store_errors, err->code == PK_STORE);
}
