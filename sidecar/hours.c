/* hours.c - see hours.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * No statement gives more than a page of rows or the columns of a few hours, so that memory stays small, nobody is kept
 * waiting, and what was kept so far is kept should the rest fail.
 */
#include "hours.h"

#include "sieve.h"

#include <string.h>

enum {
    PAGE_CALLS = 8192,
    WINDOW_HOURS = 48,            /* of one statement; fewer than bits in `stored` */
    NUMBERS_BYTES_MAX = 16 << 20, /* of a block */
    KEPT_BYTES_MAX = 128 << 20,   /* in memory */
    SAVED_BYTES = 4 << 20,        /* that are written at once */
    TURN_MS = 1000,               /* for the log's writer to end its transaction */
    HOUR_BYTES_MAX = 64 << 20,    /* an hour with more stays rows */
};

static const int64_t hour_us = INT64_C(3600000000);
static const int64_t settled_us =
    INT64_C(300000000); /* after an hour most of its calls have ended */

/* A column that is to be written. */
struct kept_column {
    int64_t hour_us;
    int part;
    enum pkd_column what;
    struct pk_payload payload;
};

struct kept_hour {
    int64_t hour_us, calls;
    uint8_t first_id[PK_UUID_BYTES];
};

/* What is to be written. */
struct kept {
    struct pk_arena arena;
    struct kept_hour *hours;
    struct kept_column *columns;
    int hour_count, column_count;
    size_t bytes;
};

struct reading {
    struct pkd_errand *e;
    const struct pkd_filter *f;
    const struct pkd_hours *what;
    struct pk_error *err;
    struct pk_arena numbers;
    struct pkd_block block;
    bool failed; /* in a row: err says why */

    /* Rows. */
    bool sifted;               /* by the statement: all are wanted */
    bool keep;                 /* the columns of the hour that is read */
    int parts;                 /* blocks of it so far */
    int64_t rows;              /* of this page */
    uint8_t id[PK_UUID_BYTES]; /* of the last row */
    struct kept_hour hour;
    struct kept kept;

    /* Columns. */
    unsigned columns; /* that are wanted */
    int part;         /* of the block that is read */
    int64_t from_us;  /* of the window */
    uint64_t stored;  /* its hours that were */
    int64_t next_us;  /* no hour before this has a call */
};

static bool no_memory(struct reading *r)
{
    r->failed = true;
    return pk_fail(r->err, PK_NO_MEMORY, "analytics: out of memory; ask for less time");
}

/* --- times and ids -------------------------------------------------------------------------- */

static int64_t hour_of(int64_t at_us)
{
    return at_us / hour_us * hour_us;
}

/* The smallest id of that time. */
static struct pk_value id_at(int64_t at_us, uint8_t id[PK_UUID_BYTES])
{
    pk_uuid7(at_us, 0, id);
    return pk_v_uuid(id);
}

static int64_t time_of(const uint8_t id[PK_UUID_BYTES])
{
    int64_t at_ms = 0;

    for (int i = 0; i < 6; i++)
        at_ms = at_ms << 8 | id[i];
    return at_ms * 1000;
}

static bool take_id(void *ctx, const struct pk_value *v, int count)
{
    (void)count;
    PK_ASSERT(v[0].s.len == PK_UUID_BYTES);
    *(int64_t *)ctx = time_of((const uint8_t *)v[0].s.at);
    return false;
}

/* When the first call from that id on began; INT64_MAX: there is none. */
static bool next_call(struct reading *r, struct pk_value id, int64_t *at_us)
{
    *at_us = INT64_MAX;
    return r->e->store->ops->exec(r->e->store, PK_SQL_log_next, &id, 1, take_id, at_us, r->err);
}

/* --- what is kept --------------------------------------------------------------------------- */

static void forget_kept(struct reading *r)
{
    pk_arena_free(&r->kept.arena);
    r->kept.hours = NULL;
    r->kept.columns = NULL;
    r->kept.hour_count = r->kept.column_count = 0;
    r->kept.bytes = 0;
}

static bool keep_column(struct reading *r, enum pkd_column c)
{
    struct kept *k = &r->kept;
    struct pk_buf text = pk_buf_in(&r->block.texts, PKD_COLUMN_BYTES_MAX);
    struct kept_column *to =
        pk_alloc_row(&k->arena, k->columns, k->column_count, sizeof *k->columns);
    struct pk_payload packed;
    struct pk_error ignored;

    if (!to)
        return false;
    k->columns = to;
    if (!pkd_block_print(&r->block, c, &text) ||
        !pk_payload_pack(&r->e->store->packer, &r->block.texts, pk_buf_str(&text), &packed,
                         &ignored))
        return false;
    packed.bytes = pk_copy(&k->arena, packed.bytes);
    k->columns[k->column_count++] = (struct kept_column){r->hour.hour_us, r->parts, c, packed};
    k->bytes += packed.bytes.len;
    return !k->arena.failed && k->bytes <= HOUR_BYTES_MAX;
}

/* An hour that cannot be kept is read from its rows again. So is one with a call that has the id of another hour. */
static void keep_block(struct reading *r)
{
    const int64_t *started = r->block.of[PKD_C_started];

    for (int i = 0; r->keep && i < r->block.calls; i++)
        r->keep = started[i] != PKD_NOTHING && hour_of(started[i]) == r->hour.hour_us;
    for (int c = 0; r->keep && c < PKD_COLUMNS; c++)
        r->keep = keep_column(r, c);
    r->parts++;
}

static bool save_hour(struct reading *r, const struct kept_hour *h)
{
    const struct pk_store_ops *ops = r->e->store->ops;
    uint8_t from[PK_UUID_BYTES], upto[PK_UUID_BYTES];
    const struct pk_value args[] = {
        pk_v_int(h->hour_us),   id_at(h->hour_us, from), id_at(h->hour_us + hour_us, upto),
        pk_v_uuid(h->first_id), pk_v_int(h->calls),
    };
    struct pk_error ignored;

    return ops->exec(r->e->store, PK_SQL_log_hour_put, args, PK_COUNT(args), NULL, NULL,
                     &ignored) &&
           ops->exec(r->e->store, PK_SQL_log_hour_empty, args, 1, NULL, NULL, &ignored);
}

static bool save_column(struct reading *r, const struct kept_column *c)
{
    const struct pk_value args[] = {
        pk_v_int(c->hour_us),
        pk_v_int(c->part),
        pk_v_int(c->what),
        pk_v_int(c->payload.encoding),
        pk_v_blob(c->payload.bytes.at, c->payload.bytes.len),
    };
    struct pk_error ignored;

    return r->e->store->ops->exec(r->e->store, PK_SQL_log_column_put, args, PK_COUNT(args), NULL,
                                  NULL, &ignored);
}

static void save_kept(struct reading *r)
{
    const struct pk_store_ops *ops = r->e->store->ops;
    struct kept *k = &r->kept;
    struct pk_error ignored;
    bool ok = true;

    if (ops->begin(r->e->store, &ignored)) {
        for (int i = 0; ok && i < k->hour_count; i++)
            ok = save_hour(r, &k->hours[i]);
        for (int i = 0; ok && i < k->column_count; i++)
            ok = save_column(r, &k->columns[i]);
        (void)!ops->end(r->e->store, ok, &ignored);
    }
}

/* In a short transaction, for which a writer of this process waits rather than try a file that is locked. A store that
 * does not take it will be asked again: what was read is right all the same. */
static void save(struct reading *r)
{
    struct pk_writer *writer = r->e->app ? r->e->app->writer : NULL; /* a shell has none */
    bool turn =
        r->kept.hour_count && writer && !r->e->store->remote && pk_writer_hold(writer, TURN_MS);

    if (r->kept.hour_count)
        save_kept(r);
    if (turn)
        pk_writer_let_go(writer);
    forget_kept(r);
}

/* --- rows ----------------------------------------------------------------------------------- */

static bool finish_block(struct reading *r)
{
    bool ok = true;

    if (r->sifted)
        pkd_sieve_all(&r->block);
    else
        ok = pkd_sieve(r->f, &r->block);
    if (ok && r->block.calls)
        ok = r->what->on_block(r->what->ctx, &r->block);
    pkd_block_empty(&r->block);
    return ok || no_memory(r);
}

static bool finish_rows(struct reading *r)
{
    if (r->keep && r->block.calls)
        keep_block(r);
    return finish_block(r);
}

static bool take_call(void *ctx, const struct pk_value *v, int count)
{
    struct reading *r = ctx;

    PK_ASSERT(count == PKD_COLUMNS + 1 && v[0].s.len == PK_UUID_BYTES);
    memcpy(r->id, v[0].s.at, PK_UUID_BYTES);
    if (r->hour.calls++ == 0)
        memcpy(r->hour.first_id, r->id, PK_UUID_BYTES);
    r->rows++;
    if (r->block.calls == PKD_BLOCK_CALLS && !finish_rows(r))
        return false;
    return pkd_block_add(&r->block, v + 1) || no_memory(r);
}

/* The id behind this one. */
static void step(uint8_t id[PK_UUID_BYTES])
{
    for (int i = PK_UUID_BYTES - 1; i >= 0 && ++id[i] == 0;)
        i--;
}

/* Rows from one id up to another: page by page, each behind the last row of the one before. */
static bool read_pages(struct reading *r, const uint8_t from[PK_UUID_BYTES], struct pk_value upto)
{
    struct pk_value args[PKD_FILTER_ARGS + 1] = {0};
    uint8_t id[PK_UUID_BYTES];

    if (r->sifted)
        memcpy(args, r->f->args, PKD_FILTER_ARGS * sizeof *args);
    memcpy(id, from, sizeof id);
    args[PKD_F_from_id] = pk_v_uuid(id);
    args[PKD_F_to_id] = upto;
    args[PKD_FILTER_ARGS] = pk_v_int(PAGE_CALLS);
    do {
        r->rows = 0;
        if (!r->e->store->ops->exec(r->e->store, PK_SQL_log_cells, args, PK_COUNT(args), take_call,
                                    r, r->err) ||
            r->failed)
            return false;
        memcpy(id, r->id, sizeof id);
        step(id);
    } while (r->rows == PAGE_CALLS);
    return finish_rows(r);
}

static bool read_rows(struct reading *r, const uint8_t from[PK_UUID_BYTES], struct pk_value upto)
{
    r->sifted = true;
    r->keep = false;
    return read_pages(r, from, upto);
}

/* An hour whose columns are not there, or are no longer right. */
static bool read_hour(struct reading *r, int64_t at_us)
{
    struct kept *k = &r->kept;
    int columns = k->column_count;
    uint8_t from[PK_UUID_BYTES], upto[PK_UUID_BYTES];

    (void)id_at(at_us, from);
    r->sifted = false;
    r->keep = true;
    r->parts = 0;
    r->hour = (struct kept_hour){.hour_us = at_us};
    if (!read_pages(r, from, id_at(at_us + hour_us, upto)))
        return false;
    struct kept_hour *hours =
        r->keep && r->hour.calls
            ? pk_alloc_row(&k->arena, k->hours, k->hour_count, sizeof *k->hours)
            : NULL;
    if (hours) {
        k->hours = hours;
        hours[k->hour_count++] = r->hour;
    } else {
        k->column_count = columns;
    }
    if (k->bytes > SAVED_BYTES)
        save(r);
    return r->hour.calls || next_call(r, pk_v_uuid(upto), &r->next_us);
}

/* --- columns -------------------------------------------------------------------------------- */

static bool finish_part(struct reading *r)
{
    if (r->block.has && r->block.has != r->columns) {
        r->failed = true;
        return pk_fail(r->err, PK_STORE, "log: a column of an hour is missing");
    }
    return finish_block(r);
}

/* The text of a column, for as long as the block has it. */
static bool unpack(struct reading *r, const struct pk_value *v, pk_str *text)
{
    struct pk_buf room = pk_buf_in(&r->block.texts, PKD_COLUMN_BYTES_MAX);
    const struct pk_stored stored = {.encoding = v[0].i, .bytes = v[1].s};

    if (!pk_payload_unpack(&r->e->store->packer, &stored, &room, text, r->err))
        return false;
    if (stored.encoding == PK_ENCODING_PLAIN)
        *text = pk_copy(&r->block.texts, *text);
    return !r->block.texts.failed || no_memory(r);
}

static bool take_column(void *ctx, const struct pk_value *v, int count)
{
    struct reading *r = ctx;
    pk_str text;

    PK_ASSERT(count == 5);
    if ((v[0].i != r->block.hour_us || v[1].i != r->part) && !finish_part(r))
        return false;
    r->block.hour_us = v[0].i;
    r->part = (int)v[1].i;
    r->stored |= UINT64_C(1) << (v[0].i - r->from_us) / hour_us;
    if (unpack(r, v + 3, &text) && pkd_block_read(&r->block, (enum pkd_column)v[2].i, text, r->err))
        return true;
    r->failed = true;
    return false;
}

/* Hours that are over: from and up to are the beginning of one. */
static bool read_window(struct reading *r, int64_t from_us, int64_t upto_us)
{
    const struct pk_value args[] = {pk_v_int(from_us), pk_v_int(upto_us), pk_v_int(r->columns)};

    r->from_us = from_us;
    r->stored = 0;
    r->sifted = false;
    if (!r->e->store->ops->exec(r->e->store, PK_SQL_log_hours, args, PK_COUNT(args), take_column, r,
                                r->err) ||
        r->failed || !finish_part(r))
        return false;
    for (int64_t at_us = from_us; at_us < upto_us; at_us += hour_us)
        if (!(r->stored >> (at_us - from_us) / hour_us & 1) && at_us + hour_us > r->next_us &&
            !read_hour(r, at_us))
            return false;
    save(r);
    return true;
}

static bool read_hours(struct reading *r, int64_t from_us, int64_t upto_us)
{
    for (int64_t at_us = from_us; at_us < upto_us;) {
        int64_t end_us = at_us + WINDOW_HOURS * hour_us;

        if (end_us > upto_us)
            end_us = upto_us;
        if (!read_window(r, at_us, end_us))
            return false;
        at_us = r->next_us > end_us ? hour_of(r->next_us) : end_us;
    }
    return true;
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool read_range(struct reading *r)
{
    const struct pkd_filter *f = r->f;
    int64_t upto_us = hour_of(pk_clock_us() - settled_us), from_us = f->from_us;
    uint8_t id[PK_UUID_BYTES];

    if (!next_call(r, f->args[PKD_F_from_id], &r->next_us))
        return false;
    if (f->to_us < upto_us)
        upto_us = hour_of(f->to_us);
    if (from_us % hour_us)
        from_us = hour_of(from_us) + hour_us;
    if (r->next_us != INT64_MAX && from_us < hour_of(r->next_us))
        from_us = hour_of(r->next_us);
    if (from_us >= upto_us || r->next_us == INT64_MAX)
        return read_rows(r, f->from_id, f->args[PKD_F_to_id]);
    if (!read_rows(r, f->from_id, id_at(from_us, id)) || !read_hours(r, from_us, upto_us))
        return false;
    (void)id_at(upto_us, id);
    return read_rows(r, id, f->args[PKD_F_to_id]);
}

bool pkd_hours_read(struct pkd_errand *e, const struct pkd_filter *f, const struct pkd_hours *what,
                    struct pk_error *err)
{
    struct reading r = {.e = e, .f = f, .what = what, .err = err};
    unsigned needs;
    bool can = pkd_sieve_can(f, &needs);

    r.columns = needs | what->needs;
    if (!r.columns)
        r.columns = PKD_C(status); /* to count them */
    pk_arena_init(&r.numbers, pk_allocator_malloc(), NUMBERS_BYTES_MAX);
    pk_arena_init(&r.kept.arena, pk_allocator_malloc(), KEPT_BYTES_MAX);
    bool ok = pkd_block_init(&r.block, &r.numbers) || no_memory(&r);
    pkd_block_empty(&r.block);
    if (ok)
        ok = can ? read_range(&r) : read_rows(&r, f->from_id, f->args[PKD_F_to_id]);
    pkd_block_free(&r.block);
    pk_arena_free(&r.kept.arena);
    pk_arena_free(&r.numbers);
    return ok;
}
