/* hours.c - see hours.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * No statement gives more than a page of rows or the columns of a few hours, so that memory stays small, nobody is kept
 * waiting, and what was kept so far is kept should the rest fail.
 */
#include "hours.h"

#include "hours_keep.h"
#include "members.h"
#include "sieve.h"

#include <string.h>

enum {
    PAGE_CALLS = 4096,
    WINDOW_HOURS = 48, /* of one statement; fewer than bits in `stored` */
    WINDOW_CALLS =
        500000, /* and no more than these, but for one hour: an engine may give all rows at once */
    NUMBERS_BYTES_MAX = 16 << 20, /* of a block */
    SAVED_BYTES = 4 << 20,        /* that are written at once */
    GONE_ROWS = 256,              /* so often a client that has left is noticed */
    TRIES = 3,
};

static const int64_t hour_us = INT64_C(3600000000);
static const int64_t settled_us =
    INT64_C(300000000); /* after an hour most of its calls have ended */

struct reading {
    struct pkd_errand *e;
    const struct pkd_filter *f;
    const struct pkd_hours *what;
    struct pk_error *err;
    struct pk_arena numbers;
    struct pkd_block block;
    struct pkd_wanted wanted; /* of the metadata */
    bool failed;              /* in a row: err says why */
    bool again;               /* columns were damaged: what was read of them does not count */

    /* Rows. */
    bool sifted;               /* by the statement: all are wanted */
    bool keep;                 /* the columns of the hour that is read */
    int parts;                 /* blocks of it so far */
    int64_t rows;              /* of this page */
    uint8_t id[PK_UUID_BYTES]; /* of the last row */
    struct pkd_kept_hour hour;
    struct pkd_kept kept;

    /* Columns. */
    unsigned columns; /* that are wanted */
    int part;         /* of the block that is read */
    int64_t calls;    /* that its hour has, */
    int64_t seen;     /* and that were read of them */
    int64_t from_us;  /* of the window */
    uint64_t stored;  /* its hours that were */
    uint64_t bare;    /* those of them whose metadata was not kept, though it is asked for */
    uint64_t damaged; /* those of them that are */
    int64_t next_us;  /* no hour before this has a call */
};

static bool no_memory(struct reading *r)
{
    r->failed = true;
    return pk_fail(r->err, PK_NO_MEMORY, "analytics: out of memory; ask for less time");
}

/* Nobody wants to know any more. */
static bool gone(struct reading *r)
{
    if (!pkd_errand_gone(r->e))
        return false;
    r->failed = true;
    (void)pk_fail(r->err, PK_CANCELLED, "analytics: the client has left");
    return true;
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

/* --- rows ----------------------------------------------------------------------------------- */

static bool use_block(struct reading *r)
{
    bool ok = pkd_members_find(&r->block);

    if (r->sifted)
        pkd_sieve_all(&r->block);
    else
        ok = ok && pkd_sieve(r->f, &r->wanted, &r->block);
    return (ok && r->what->on_block(r->what->ctx, &r->block)) || no_memory(r);
}

static bool finish_block(struct reading *r)
{
    bool ok = r->block.calls == 0 || use_block(r);

    pkd_block_empty(&r->block);
    return ok;
}

/* An hour that cannot be kept is read from its rows again. So is one with a call that has the id of another hour. */
static void keep_block(struct reading *r)
{
    const int64_t *started = r->block.of[PKD_C_started];
    const struct pkd_kept_part part = {r->hour.hour_us, r->parts++};

    for (int i = 0; r->keep && i < r->block.calls; i++)
        r->keep = started[i] != PKD_NOTHING && hour_of(started[i]) == r->hour.hour_us;
    r->keep = r->keep && pkd_kept_block(&r->kept, r->e->store, &r->block, part);
}

static bool finish_rows(struct reading *r)
{
    bool ok = r->block.calls == 0 || use_block(r);

    if (ok && r->keep && r->block.calls)
        keep_block(r); /* last: it may take all the memory that there is for words */
    pkd_block_empty(&r->block);
    return ok;
}

static bool take_call(void *ctx, const struct pk_value *v, int count)
{
    struct reading *r = ctx;

    PK_ASSERT(count == PKD_COLUMNS + 1 && v[0].s.len == PK_UUID_BYTES);
    memcpy(r->id, v[0].s.at, PK_UUID_BYTES);
    if (r->hour.calls++ == 0)
        memcpy(r->hour.first_id, r->id, PK_UUID_BYTES);
    if (r->rows++ % GONE_ROWS == 0 && gone(r))
        return false;
    if ((r->block.calls == PKD_BLOCK_CALLS || r->block.texts.used > PKD_BLOCK_TEXTS_MAX) &&
        !finish_rows(r))
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
    struct pk_value args[PKD_FILTER_ARGS + 2] = {0};
    uint8_t id[PK_UUID_BYTES];

    if (r->sifted)
        memcpy(args, r->f->args, PKD_FILTER_ARGS * sizeof *args);
    memcpy(id, from, sizeof id);
    args[PKD_F_from_id] = pk_v_uuid(id);
    args[PKD_F_to_id] = upto;
    args[PKD_FILTER_ARGS] = pk_v_int(PAGE_CALLS);
    args[PKD_FILTER_ARGS + 1] = pk_v_int(r->keep || r->block.member_count > 0);
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
    uint8_t from[PK_UUID_BYTES], upto[PK_UUID_BYTES];

    (void)id_at(at_us, from);
    r->sifted = false;
    r->keep = true;
    r->parts = 0;
    r->hour = (struct pkd_kept_hour){.hour_us = at_us};
    pkd_kept_begin(&r->kept);
    if (!read_pages(r, from, id_at(at_us + hour_us, upto)))
        return false;
    pkd_kept_hour(&r->kept, r->keep && r->hour.calls ? &r->hour : NULL);
    if (r->kept.bytes > SAVED_BYTES)
        pkd_kept_save(&r->kept, r->e);
    return r->hour.calls || next_call(r, pk_v_uuid(upto), &r->next_us);
}

/* --- columns -------------------------------------------------------------------------------- */

static uint64_t bit_of(const struct reading *r, int64_t at_us)
{
    return UINT64_C(1) << (at_us - r->from_us) / hour_us;
}

/* The hour that is read: all has to be read again, without it. */
static void find_damage(struct reading *r)
{
    r->damaged |= bit_of(r, r->block.hour_us);
    r->again = true;
    pkd_block_empty(&r->block);
}

static bool finish_part(struct reading *r)
{
    if (r->block.has && (r->block.has != r->columns || !pkd_members_whole(&r->block)))
        find_damage(r);
    r->seen += r->block.calls;
    if (!r->again && r->block.has && !(r->bare & bit_of(r, r->block.hour_us)))
        return finish_block(r);
    pkd_block_empty(&r->block);
    return true;
}

static bool finish_hour(struct reading *r)
{
    bool ok = finish_part(r);

    if (r->seen != r->calls)
        find_damage(r);
    return ok;
}

static bool read_column(struct reading *r, const struct pk_value *v)
{
    pk_str text;

    if (!pkd_kept_text(r->e->store, &r->block, v, &text, r->err))
        return false;
    if (v[2].i == PKD_C_metadata && text.len == 0) {
        r->bare |= bit_of(r, v[0].i);
        r->block.has |= PKD_C(metadata);
        return true;
    }
    if (v[2].i >= PKD_MEMBER_WHAT)
        return pkd_members_read(&r->block, v[2].i, text, r->err);
    if (v[2].i == PKD_C_metadata)
        return pkd_objects_read(&r->block, text, r->err);
    return v[2].i >= 0 && v[2].i < PKD_COLUMNS
               ? pkd_block_read(&r->block, (enum pkd_column)v[2].i, text, r->err)
               : pk_fail(r->err, PK_STORE, "log: a column of an hour is of a newer version");
}

/* Rows are hour, part, which column, encoding, bytes, and how many calls the hour has. */
static bool take_column(void *ctx, const struct pk_value *v, int count)
{
    struct reading *r = ctx;
    bool same_hour = v[0].i == r->block.hour_us;

    PK_ASSERT(count == 6);
    if (gone(r) || (!same_hour && !finish_hour(r)) ||
        (same_hour && v[1].i != r->part && !finish_part(r)))
        return false;
    if (!same_hour) {
        r->calls = v[5].i;
        r->seen = 0;
    }
    r->block.hour_us = v[0].i;
    r->part = (int)v[1].i;
    r->stored |= bit_of(r, v[0].i);
    if (r->damaged & bit_of(r, v[0].i) || read_column(r, v))
        return true;
    r->failed = r->err->code != PK_STORE;
    if (!r->failed)
        find_damage(r);
    return !r->failed;
}

/* Hours whose columns cannot be read lose them, so that they are made again. */
static void drop_damaged(struct reading *r)
{
    for (int i = 0; i < WINDOW_HOURS; i++)
        if (r->damaged >> i & 1)
            pkd_kept_drop(r->e, r->from_us + i * hour_us);
}

/* What columns do not say of an hour. */
static bool read_rest(struct reading *r, int64_t at_us)
{
    uint8_t from[PK_UUID_BYTES], upto[PK_UUID_BYTES];

    if (r->bare & bit_of(r, at_us)) {
        (void)id_at(at_us, from);
        return read_rows(r, from, id_at(at_us + hour_us, upto));
    }
    return r->stored & bit_of(r, at_us) || at_us + hour_us <= r->next_us || read_hour(r, at_us);
}

/* Hours that are over: from and up to are the beginning of one. */
static bool read_window(struct reading *r, int64_t from_us, int64_t upto_us)
{
    struct pk_value args[3 + PKD_MEMBERS_MAX] = {pk_v_int(from_us), pk_v_int(upto_us),
                                                 pk_v_int(r->columns)};

    for (int i = 0; i < r->block.member_count; i++)
        args[3 + i] = pk_v_int(pkd_member_what(r->block.members[i].name));
    r->from_us = from_us;
    r->stored = r->damaged = r->bare = 0;
    r->calls = r->seen = 0;
    r->block.hour_us = -1; /* none yet */
    r->sifted = false;
    if (!r->e->store->ops->exec(r->e->store, PK_SQL_log_hours, args, PK_COUNT(args), take_column, r,
                                r->err) ||
        r->failed || !finish_hour(r))
        return false;
    drop_damaged(r);
    for (int64_t at_us = from_us; at_us < upto_us && !r->again; at_us += hour_us)
        if (!read_rest(r, at_us))
            return false;
    pkd_kept_save(&r->kept, r->e);
    return true;
}

/* Where a window ends. */
struct window {
    int64_t end_us, calls;
};

static bool take_size(void *ctx, const struct pk_value *v, int count)
{
    struct window *w = ctx;
    bool fits = w->calls == 0 || w->calls + v[1].i <= WINDOW_CALLS;

    PK_ASSERT(count == 2);
    w->calls += v[1].i;
    if (!fits)
        w->end_us = v[0].i;
    return fits;
}

static bool find_end(struct reading *r, int64_t from_us, int64_t *end_us)
{
    const struct pk_value args[] = {pk_v_int(from_us), pk_v_int(*end_us)};
    struct window w = {.end_us = *end_us};

    if (!r->e->store->ops->exec(r->e->store, PK_SQL_log_hour_calls, args, PK_COUNT(args), take_size,
                                &w, r->err))
        return false;
    *end_us = w.end_us;
    return true;
}

static bool read_hours(struct reading *r, int64_t from_us, int64_t upto_us)
{
    for (int64_t at_us = from_us; at_us < upto_us;) {
        int64_t end_us = at_us + WINDOW_HOURS * hour_us;

        if (end_us > upto_us)
            end_us = upto_us;
        if (gone(r) || !find_end(r, at_us, &end_us) || !read_window(r, at_us, end_us))
            return false;
        at_us = r->next_us > end_us ? hour_of(r->next_us) : end_us;
    }
    return true;
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool read_all_rows(struct reading *r)
{
    return read_rows(r, r->f->from_id, r->f->args[PKD_F_to_id]);
}

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
        return read_all_rows(r);
    if (!read_rows(r, f->from_id, id_at(from_us, id)) || !read_hours(r, from_us, upto_us))
        return false;
    (void)id_at(upto_us, id);
    return r->again || read_rows(r, id, f->args[PKD_F_to_id]);
}

/* What is asked for, of which columns. *can: whether blocks have it. */
static bool prepare(struct reading *r, bool *can)
{
    unsigned needs;
    bool tells = true;

    if (!pkd_block_init(&r->block, &r->numbers))
        return no_memory(r);
    pkd_block_empty(&r->block);
    if (r->what->member.len)
        r->block.group = pkd_block_ask(&r->block, r->what->member);
    if (!pkd_members_ask(r->e, r->f, &r->block, &r->wanted, &tells, r->err))
        return false;
    *can = pkd_sieve_can(r->f, &needs) && tells;
    r->columns = needs | r->what->needs;
    if (r->block.member_count)
        r->columns |= PKD_C(metadata);
    if (!r->columns)
        r->columns = PKD_C(status); /* to count them */
    return true;
}

/* Columns that are damaged have been dropped; a store that keeps them all the same is read without. */
static bool read_until_whole(struct reading *r, bool can)
{
    bool ok = true;

    for (int tries = 1; ok && tries <= TRIES; tries++) {
        r->again = false;
        ok = r->what->begin(r->what->ctx) || no_memory(r);
        ok = ok && (can && tries < TRIES ? read_range(r) : read_all_rows(r));
        if (!r->again)
            break;
    }
    return ok;
}

bool pkd_hours_read(struct pkd_errand *e, const struct pkd_filter *f, const struct pkd_hours *what,
                    struct pk_error *err)
{
    struct reading r = {.e = e, .f = f, .what = what, .err = err};
    bool can = false;

    pk_arena_init(&r.numbers, pk_allocator_malloc(), NUMBERS_BYTES_MAX);
    pkd_kept_init(&r.kept);
    bool ok = prepare(&r, &can) && read_until_whole(&r, can);
    pkd_block_free(&r.block);
    pkd_kept_free(&r.kept);
    pk_arena_free(&r.numbers);
    return ok;
}
