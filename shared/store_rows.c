/* store_rows.c - see store_rows.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A statement costs as much as a third of a row, and telling that two encoded records have the same rest a tenth of
 * what reading one does.
 */
#include "store_rows.h"

#include "store_hits.h"
#include "store_value.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 8,           /* of log_rows */
    TEXT_MAX = 64,      /* of a trace or a span */
    SPREAD_US = 100000, /* what is as old as its like has the same place for its texts */
};

struct pk_log_rows {
    int count;   /* of rows that wait */
    bool shares; /* the first arguments are there */
    struct pk_value args[PK_ROW_SHARED + ROWS * PK_ROW_OWN];
    uint8_t ids[ROWS][PK_UUID_BYTES];
    /* What may be repeated; empty: nothing. */
    pk_str rest, cache_key;
    int64_t at_us;
    struct pk_value own[PK_ROW_OWN];
};

struct pk_log_rows *pk_log_rows_new(void)
{
    return calloc(1, sizeof(struct pk_log_rows));
}

void pk_log_rows_free(struct pk_log_rows *all)
{
    free(all);
}

void pk_log_rows_forget(struct pk_log_rows *all)
{
    if (!all)
        return;
    all->count = 0;
    all->shares = false;
    all->rest = PK_NONE;
}

/* Fewer than a statement takes: one by one. */
static bool put_singly(struct pk_store *s, struct pk_error *err)
{
    struct pk_log_rows *all = s->rows;
    struct pk_value args[PK_ROW_SHARED + PK_ROW_OWN];
    bool ok = true;

    memcpy(args, all->args, PK_ROW_SHARED * sizeof *args);
    for (int i = 0; ok && i < all->count; i++) {
        memcpy(args + PK_ROW_SHARED, all->args + PK_ROW_SHARED + (ptrdiff_t)i * PK_ROW_OWN,
               PK_ROW_OWN * sizeof *args);
        ok = s->ops->exec(s, PK_SQL_log_put, args, PK_COUNT(args), NULL, NULL, err);
    }
    return ok;
}

static bool put_all(struct pk_store *s, struct pk_error *err)
{
    struct pk_log_rows *all = s->rows;
    bool ok = all->count == 0     ? true
              : all->count < ROWS ? put_singly(s, err)
                                  : s->ops->exec(s, PK_SQL_log_rows, all->args, PK_COUNT(all->args),
                                                 NULL, NULL, err);

    all->count = 0;
    return ok;
}

bool pk_log_rows_have(const struct pk_log_rows *all, const uint8_t id[PK_UUID_BYTES])
{
    for (int i = 0; all && i < all->count; i++)
        if (memcmp(all->ids[i], id, PK_UUID_BYTES) == 0)
            return true;
    return false;
}

bool pk_store_rows_end(struct pk_store *s, struct pk_error *err)
{
    bool ok = !s->rows || put_all(s, err);

    pk_log_rows_forget(s->rows);
    return ok;
}

static uint64_t bits_of(double r)
{
    uint64_t bits;

    memcpy(&bits, &r, sizeof bits);
    return bits;
}

static bool same(const struct pk_value *a, const struct pk_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case PK_V_NULL: return true;
    case PK_V_INT: return a->i == b->i;
    case PK_V_REAL: return bits_of(a->r) == bits_of(b->r);
    case PK_V_TEXT:
    case PK_V_BLOB: return pk_str_eq(a->s, b->s);
    }
    return false;
}

static bool has_all_in_common(const struct pk_log_rows *all, const struct pk_value *args)
{
    if (!all->shares) /* texts of another group may be gone */
        return false;
    for (int i = 0; i < PK_ROW_SHARED; i++)
        if (!same(&all->args[i], &args[i]))
            return false;
    return true;
}

/* One more, with what is its own. */
static bool take(struct pk_store *s, const struct pk_value own[PK_ROW_OWN], struct pk_error *err)
{
    struct pk_log_rows *all = s->rows;
    struct pk_value *to = all->args + PK_ROW_SHARED + (ptrdiff_t)all->count * PK_ROW_OWN;
    uint8_t *id = all->ids[all->count];

    PK_ASSERT(own[0].s.len == PK_UUID_BYTES);
    memcpy(to, own, PK_ROW_OWN * sizeof *to);
    memcpy(id, own[0].s.at, PK_UUID_BYTES);
    to[0] = pk_v_uuid(id);
    return ++all->count < ROWS || put_all(s, err);
}

bool pk_store_rows_put(struct pk_store *s, const struct pk_value *args, struct pk_error *err)
{
    struct pk_log_rows *all = s->rows;

    all->rest = PK_NONE;
    if (!has_all_in_common(all, args)) {
        if (!put_all(s, err))
            return false;
        memcpy(all->args, args, PK_ROW_SHARED * sizeof *args);
        all->shares = true;
    }
    memcpy(all->own, args + PK_ROW_SHARED, sizeof all->own);
    return take(s, all->own, err);
}

void pk_log_rows_keep(struct pk_log_rows *all, pk_str rest, const struct pk_record *r)
{
    all->rest = rest;
    all->cache_key = r->cache_key;
    all->at_us = r->started_us;
}

/* Whether it is as short and plain as those that pkd makes. */
static bool is_plain(pk_str text)
{
    size_t bad;

    return text.len && text.len <= TEXT_MAX && pk_utf8_valid(text, &bad);
}

static bool repeats(const struct pk_log_rows *all, const struct pk_record *r, pk_str rest)
{
    return all->rest.len && pk_str_eq(all->rest, rest) && r->started_us - all->at_us < SPREAD_US &&
           all->at_us - r->started_us < SPREAD_US && is_plain(r->trace_id) && is_plain(r->span_id);
}

bool pk_store_repeats(struct pk_store *s, const struct pk_record *r, pk_str rest, bool *taken,
                      struct pk_error *err)
{
    struct pk_log_rows *all = s->rows;

    *taken = all && s->unseen && repeats(all, r, rest);
    if (!*taken)
        return true;
    if (!pk_store_hit(s, all->cache_key, r->started_us, err))
        return false;
    all->own[0] = pk_v_uuid(r->id);
    all->own[1] = pk_v_int(r->started_us);
    all->own[2] = pk_v_int(r->ended_us - r->started_us);
    all->own[3] = pk_v_required(r->trace_id);
    all->own[4] = pk_v_required(r->span_id);
    return take(s, all->own, err);
}
