/* store_route.c - see store_route.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   closed --failures--> open --cooldown has passed--> closed, counts from 0
 *
 * A row is a window: it begins with the first attempt that ends after the one before it is over, and is as
 * long as the cooldown. While the circuit is open nothing is counted. Records are written a little after their
 * attempts, and by several processes: what ended up to a second before a window began still counts in it.
 */
#include "store_route.h"

#include "store_value.h"

static const int64_t us_per_s = 1000000, us_per_day = 86400000000;

/* --- counting -------------------------------------------------------------------------- */

struct counts {
    int64_t attempts, failures;
    bool counted;
};

static bool read_counts(void *ctx, const struct pk_value *columns, int count)
{
    PK_ASSERT(count == 2);
    *(struct counts *)ctx = (struct counts){columns[0].i, columns[1].i, true};
    return true;
}

static bool has_had_enough(const struct pk_breaker *b, const struct counts *n)
{
    return (b->failures && n->failures >= b->failures) ||
           (b->percentage && n->attempts >= b->minimum &&
            n->failures * 100 >= b->percentage * n->attempts);
}

static bool open_circuit(struct pk_store *s, const struct pk_record *r, const struct pk_outcome *o,
                         struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_required(r->circuit),
        pk_v_int(r->circuit_version),
        pk_v_required(o->target_path),
        pk_v_int(o->at_us),
        pk_v_int(o->at_us + o->breaker.cooldown_ms * 1000),
    };

    return s->ops->exec(s, PK_SQL_circuit_open, args, PK_COUNT(args), NULL, NULL, err) &&
           s->ops->exec(s, PK_SQL_epoch_bump, &args[3], 1, NULL, NULL, err);
}

static bool count_outcome(struct pk_store *s, const struct pk_record *r, const struct pk_outcome *o,
                          struct pk_error *err)
{
    struct counts now = {0};
    const struct pk_value args[] = {
        pk_v_required(r->circuit),
        pk_v_int(r->circuit_version),
        pk_v_required(o->target_path),
        pk_v_int(o->at_us),
        pk_v_int(o->breaker.cooldown_ms * 1000),
        pk_v_int(us_per_s),
        pk_v_int(o->attempts),
        pk_v_int(o->failures),
    };
    const struct pk_value old[] = {pk_v_int(o->at_us - 2 * us_per_day)};

    if (!s->ops->exec(s, PK_SQL_circuit_count, args, PK_COUNT(args), read_counts, &now, err))
        return false;
    if (now.counted && now.attempts == o->attempts && /* a window has begun */
        !s->ops->exec(s, PK_SQL_circuit_purge, old, PK_COUNT(old), NULL, NULL, err))
        return false;
    return !now.counted || !has_had_enough(&o->breaker, &now) || open_circuit(s, r, o, err);
}

bool pk_store_circuits_count(struct pk_store *s, const struct pk_record *r, struct pk_error *err)
{
    for (int i = 0; i < r->outcome_count; i++)
        if (!count_outcome(s, r, &r->outcomes[i], err))
            return false;
    return true;
}

/* --- loading --------------------------------------------------------------------------- */

struct circuit_read {
    struct pk_config *config;
    int64_t *until_us;
};

static bool read_circuit(void *ctx, const struct pk_value *columns, int count)
{
    struct circuit_read *read = ctx;
    const struct pk_config *config = read->config;

    PK_ASSERT(count == 2);
    for (int i = 0; i < config->target_count; i++) {
        const struct pk_target *t = &config->targets[i];

        if (t->breaker.cooldown_ms == 0 || !pk_str_eq(t->path, columns[0].s))
            continue;
        read->config->open |= (uint64_t)1 << t->node;
        if (columns[1].i < *read->until_us)
            *read->until_us = columns[1].i;
    }
    return true;
}

bool pk_store_circuits_load(struct pk_store *s, struct pk_config *config, int64_t now_us,
                            int64_t *until_us, struct pk_error *err)
{
    struct circuit_read read = {config, until_us};
    const struct pk_value args[] = {pk_v_required(config->circuit), pk_v_int(config->version),
                                    pk_v_int(now_us)};

    config->open = 0;
    return s->ops->exec(s, PK_SQL_circuits_open, args, PK_COUNT(args), read_circuit, &read, err);
}

/* --- figures --------------------------------------------------------------------------- */

static bool read_figure(void *ctx, const struct pk_value *v, int count)
{
    struct pk_figures *figures = ctx;
    struct pk_tally t = {v[3].i, v[4].i, v[5].i, v[6].i, v[7].i};

    PK_ASSERT(count == 8);
    if (figures->count == PK_FIGURES_MAX)
        return false;
    figures->list[figures->count++] =
        (struct pk_measure){pk_figure_id(v[0].s, v[1].s, v[2].s), pk_figure_of(&t)};
    return true;
}

bool pk_store_figures_load(struct pk_store *s, pk_str slug, int64_t now_us,
                           struct pk_figures *figures, struct pk_error *err)
{
    uint8_t since[PK_UUID_BYTES];
    const struct pk_value args[] = {pk_v_blob(since, sizeof since), pk_v_required(slug)};

    pk_uuid7(now_us - 3600 * us_per_s, 0, since);
    *figures = (struct pk_figures){0};
    return s->ops->exec(s, PK_SQL_figures, args, PK_COUNT(args), read_figure, figures, err);
}
