/* hours_keep.c - see hours_keep.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "hours_keep.h"

#include "log.h"
#include "members.h"

#include <string.h>

enum {
    KEPT_BYTES_MAX = 128 << 20,    /* in memory */
    TURN_MS = 1000,                /* for the log's writer to end its transaction */
    HOUR_BYTES_MAX = 64 << 20,     /* an hour with more stays rows, */
    METADATA_BYTES_MAX = 16 << 20, /* and so does its metadata, which is as large as clients like */
    CHECK_BYTES = 4,
};

static const int64_t hour_length_us = INT64_C(3600000000);

void pkd_kept_init(struct pkd_kept *k)
{
    *k = (struct pkd_kept){0};
    pk_arena_init(&k->arena, pk_allocator_malloc(), KEPT_BYTES_MAX);
}

void pkd_kept_free(struct pkd_kept *k)
{
    pk_arena_free(&k->arena);
    k->hours = NULL;
    k->columns = NULL;
    k->hour_count = k->column_count = 0;
    k->bytes = 0;
}

/* --- columns -------------------------------------------------------------------------------- */

/* Of which column bytes are, and whether they are the same. */
static uint32_t check_of(const int64_t of[4], pk_str bytes)
{
    return pk_payload_check(bytes) ^ pk_payload_check((pk_str){(const char *)of, 4 * sizeof *of});
}

/* Where the columns of a part go. */
struct keeping {
    struct pkd_kept *k;
    struct pk_store *store;
    struct pkd_block *block;
    struct pkd_kept_part of;
};

static bool is_of_metadata(int64_t what)
{
    return what == PKD_C_metadata || what >= PKD_MEMBER_WHAT;
}

static bool keep_bytes(struct pkd_kept *k, struct pkd_kept_part part, int64_t what,
                       struct pk_payload packed)
{
    const int64_t of[] = {part.hour_us, part.part, what, packed.encoding};
    uint32_t check = check_of(of, packed.bytes);
    char *bytes = pk_alloc(&k->arena, CHECK_BYTES + packed.bytes.len);
    struct pkd_kept_column *columns =
        bytes ? pk_alloc_row(&k->arena, k->columns, k->column_count, sizeof *k->columns) : NULL;

    if (!columns)
        return false;
    k->columns = columns;
    memcpy(bytes, &check, CHECK_BYTES);
    if (packed.bytes.len)
        memcpy(bytes + CHECK_BYTES, packed.bytes.at, packed.bytes.len);
    packed.bytes = (pk_str){bytes, CHECK_BYTES + packed.bytes.len};
    columns[k->column_count++] = (struct pkd_kept_column){part.hour_us, what, part.part, packed};
    k->bytes += packed.bytes.len;
    return k->bytes <= HOUR_BYTES_MAX;
}

static bool keep_text(void *ctx, int64_t what, pk_str text)
{
    const struct keeping *to = ctx;
    struct pkd_kept *k = to->k;
    struct pk_payload packed;
    struct pk_error unused;

    if (!pk_payload_pack(&to->store->packer, &to->block->texts, text, &packed, &unused))
        return false;
    k->metadata_bytes += is_of_metadata(what) ? packed.bytes.len : 0;
    return k->metadata_bytes <= METADATA_BYTES_MAX && keep_bytes(k, to->of, what, packed);
}

void pkd_kept_begin(struct pkd_kept *k)
{
    k->first_column = k->column_count;
    k->metadata_bytes = 0;
    k->bare = false;
}

static bool keep_no_metadata(struct pkd_kept *k, struct pkd_kept_part part)
{
    const struct pk_payload none = {PK_ENCODING_PLAIN, PK_NONE};

    return keep_bytes(k, part, PKD_C_metadata, none);
}

/* Takes back what was kept of the hour's metadata, of the parts before this one. */
static bool strip(struct pkd_kept *k, struct pkd_kept_part part)
{
    bool ok = true;
    int count = k->first_column;

    for (int i = count; i < k->column_count; i++) {
        if (is_of_metadata(k->columns[i].what))
            k->bytes -= k->columns[i].payload.bytes.len;
        else
            k->columns[count++] = k->columns[i];
    }
    k->column_count = count;
    k->metadata_bytes = 0;
    k->bare = true;
    for (int before = 0; ok && before < part.part; before++)
        ok = keep_no_metadata(k, (struct pkd_kept_part){part.hour_us, before});
    return ok;
}

bool pkd_kept_block(struct pkd_kept *k, struct pk_store *s, struct pkd_block *b,
                    struct pkd_kept_part of)
{
    struct keeping to = {k, s, b, of};
    struct pk_buf text = pk_buf_in(&b->texts, PKD_COLUMN_BYTES_MAX);

    for (int c = 0; c < PKD_COLUMNS; c++) {
        pk_buf_reset(&text);
        if (c == PKD_C_metadata)
            continue;
        if (!pkd_block_print(b, (enum pkd_column)c, &text) || !keep_text(&to, c, pk_buf_str(&text)))
            return false;
    }
    if (!k->bare && pkd_members_print(b, keep_text, &to))
        return true;
    return !k->arena.failed && (k->bare || strip(k, of)) && keep_no_metadata(k, of);
}

bool pkd_kept_text(struct pk_store *s, struct pkd_block *b, const struct pk_value *v, pk_str *text,
                   struct pk_error *err)
{
    struct pk_buf room = pk_buf_in(&b->texts, PKD_COLUMN_BYTES_MAX);
    const int64_t of[] = {v[0].i, v[1].i, v[2].i, v[3].i};
    const struct pk_stored stored = {.encoding = v[3].i,
                                     .bytes = pk_str_sub(v[4].s, CHECK_BYTES, v[4].s.len)};
    uint32_t check = check_of(of, stored.bytes);

    if (v[4].s.len < CHECK_BYTES || memcmp(v[4].s.at, &check, CHECK_BYTES) != 0)
        return pk_fail(err, PK_STORE, "log: a column of an hour is damaged");
    if (!pk_payload_unpack(&s->packer, &stored, &room, text, err))
        return false;
    if (stored.encoding == PK_ENCODING_PLAIN)
        *text = pk_copy(&b->texts, *text);
    return !b->texts.failed || pk_fail(err, PK_NO_MEMORY, "log: out of memory");
}

/* --- hours ---------------------------------------------------------------------------------- */

void pkd_kept_hour(struct pkd_kept *k, const struct pkd_kept_hour *hour)
{
    struct pkd_kept_hour *hours =
        hour ? pk_alloc_row(&k->arena, k->hours, k->hour_count, sizeof *k->hours) : NULL;

    if (!hours) {
        k->column_count = k->first_column;
        return;
    }
    k->hours = hours;
    hours[k->hour_count++] = *hour;
}

static bool save_hour(struct pk_store *s, const struct pkd_kept_hour *h)
{
    uint8_t from[PK_UUID_BYTES], upto[PK_UUID_BYTES];
    struct pk_error unused;

    pk_uuid7(h->hour_us, 0, from);
    pk_uuid7(h->hour_us + hour_length_us, 0, upto);
    const struct pk_value args[] = {
        pk_v_int(h->hour_us),   pk_v_uuid(from),    pk_v_uuid(upto),
        pk_v_uuid(h->first_id), pk_v_int(h->calls),
    };

    return s->ops->exec(s, PK_SQL_log_hour_put, args, PK_COUNT(args), NULL, NULL, &unused) &&
           s->ops->exec(s, PK_SQL_log_hour_empty, args, 1, NULL, NULL, &unused);
}

static bool save_column(struct pk_store *s, const struct pkd_kept_column *c)
{
    const struct pk_value args[] = {
        pk_v_int(c->hour_us),
        pk_v_int(c->part),
        pk_v_int(c->what),
        pk_v_int(c->payload.encoding),
        pk_v_blob(c->payload.bytes.at, c->payload.bytes.len),
    };
    struct pk_error unused;

    return s->ops->exec(s, PK_SQL_log_column_put, args, PK_COUNT(args), NULL, NULL, &unused);
}

static void save_all(struct pkd_kept *k, struct pk_store *s)
{
    struct pk_error unused;
    bool ok = true;

    if (!s->ops->begin(s, &unused))
        return;
    for (int i = 0; ok && i < k->hour_count; i++)
        ok = save_hour(s, &k->hours[i]);
    for (int i = 0; ok && i < k->column_count; i++)
        ok = save_column(s, &k->columns[i]);
    (void)!s->ops->end(s, ok, &unused);
}

/* A writer of this process waits for whoever has this rather than try a file that is locked. */
static struct pk_writer *take_turn(struct pkd_errand *e)
{
    struct pk_writer *writer = e->app ? e->app->writer : NULL; /* a shell has none */

    return writer && !e->store->remote && pk_writer_hold(writer, TURN_MS) ? writer : NULL;
}

void pkd_kept_save(struct pkd_kept *k, struct pkd_errand *e)
{
    if (k->hour_count) {
        struct pk_writer *writer = take_turn(e);

        save_all(k, e->store);
        if (writer)
            pk_writer_let_go(writer);
    }
    pkd_kept_free(k);
}

void pkd_kept_drop(struct pkd_errand *e, int64_t hour_us)
{
    const struct pk_value hour = pk_v_int(hour_us);
    struct pk_writer *writer = take_turn(e);
    struct pk_error unused;

    (void)!e->store->ops->exec(e->store, PK_SQL_log_hour_empty, &hour, 1, NULL, NULL, &unused);
    if (writer)
        pk_writer_let_go(writer);
    pkd_warn("columns_damaged hour_us=%lld", (long long)hour_us);
}
