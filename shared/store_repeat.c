/* store_repeat.c - see store_repeat.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A statement costs as much as a third of a row, and telling that two encoded records have the same rest a tenth of
 * what reading one does.
 */
#include "store_repeat.h"

#include "store_hits.h"
#include "store_value.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 16,          /* of log_repeat */
    TEXT_MAX = 64,      /* of a trace or a span */
    SPREAD_US = 100000, /* what is as old as its like has the same place for its texts */
};

struct pk_repeats {
    pk_str rest; /* empty: there is none to repeat */
    pk_str cache_key;
    int64_t at_us;
    int count; /* of rows that wait */
    struct pk_value args[PK_ROW_USUAL + ROWS * PK_ROW_OWN];
    uint8_t ids[ROWS][PK_UUID_BYTES];
};

struct pk_repeats *pk_repeats_new(void)
{
    return calloc(1, sizeof(struct pk_repeats));
}

void pk_repeats_free(struct pk_repeats *all)
{
    free(all);
}

void pk_repeats_forget(struct pk_repeats *all)
{
    if (!all)
        return;
    all->rest = PK_NONE;
    all->count = 0;
}

void pk_repeats_keep(struct pk_repeats *all, pk_str rest, const struct pk_record *r,
                     const struct pk_value *args)
{
    PK_ASSERT(all->count == 0);
    for (int i = PK_ROW_USUAL; i < PK_ROW_REST; i++)
        if (args[i].type != PK_V_NULL)
            return;
    all->rest = rest;
    all->cache_key = r->cache_key;
    all->at_us = r->started_us;
    memcpy(all->args, args, PK_ROW_USUAL * sizeof *args);
}

/* Fewer than a statement takes: one by one. */
static bool put_singly(struct pk_store *s, struct pk_error *err)
{
    struct pk_repeats *all = s->repeats;
    struct pk_value args[PK_ROW_REST + PK_ROW_OWN] = {{.type = PK_V_NULL}};
    bool ok = true;

    memcpy(args, all->args, PK_ROW_USUAL * sizeof *args);
    for (int i = 0; ok && i < all->count; i++) {
        memcpy(args + PK_ROW_REST, all->args + PK_ROW_USUAL + (ptrdiff_t)i * PK_ROW_OWN,
               PK_ROW_OWN * sizeof *args);
        ok = s->ops->exec(s, PK_SQL_log_put, args, PK_COUNT(args), NULL, NULL, err);
    }
    return ok;
}

static bool put_rows(struct pk_store *s, struct pk_error *err)
{
    struct pk_repeats *all = s->repeats;
    bool ok = all->count < ROWS ? put_singly(s, err)
                                : s->ops->exec(s, PK_SQL_log_repeat, all->args, PK_COUNT(all->args),
                                               NULL, NULL, err);

    all->count = 0;
    return ok;
}

bool pk_store_repeats_end(struct pk_store *s, struct pk_error *err)
{
    bool ok = !s->repeats || put_rows(s, err);

    pk_repeats_forget(s->repeats);
    return ok;
}

/* Whether it is as short and plain as those that pkd makes. */
static bool is_plain(pk_str text)
{
    size_t bad;

    return text.len && text.len <= TEXT_MAX && pk_utf8_valid(text, &bad);
}

static bool repeats(const struct pk_repeats *all, const struct pk_record *r, pk_str rest)
{
    return all->rest.len && pk_str_eq(all->rest, rest) && r->started_us - all->at_us < SPREAD_US &&
           all->at_us - r->started_us < SPREAD_US && is_plain(r->trace_id) && is_plain(r->span_id);
}

bool pk_store_repeats(struct pk_store *s, const struct pk_record *r, pk_str rest, bool *taken,
                      struct pk_error *err)
{
    struct pk_repeats *all = s->repeats;

    *taken = all && s->unseen && repeats(all, r, rest);
    if (!*taken)
        return pk_store_repeats_end(s, err);
    if (!pk_store_hit(s, all->cache_key, r->started_us, err))
        return false;
    struct pk_value *own = all->args + PK_ROW_USUAL + (ptrdiff_t)all->count * PK_ROW_OWN;
    memcpy(all->ids[all->count], r->id, sizeof r->id);
    own[0] = pk_v_uuid(all->ids[all->count]);
    own[1] = pk_v_int(r->started_us);
    own[2] = pk_v_int(r->ended_us - r->started_us);
    own[3] = pk_v_required(r->trace_id);
    own[4] = pk_v_required(r->span_id);
    return ++all->count < ROWS || put_rows(s, err);
}
