/* store_cache.c - see store_cache.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_cache.h"

#include "store_audit.h"
#include "store_value.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES_MAX = PK_CALL_BYTES_MAX,
    EXPIRED_STEP = 8,   /* expired entries that go with each that comes */
    UNUSED_STEP = 8,    /* others, at a time */
    FAR_STEP = 8,       /* puts between two trims of an engine that is far away */
    SIZE_ROWS_MAX = 64, /* then they are added up */
    PURGE_STEP = 1000,
    PLAIN_MAX = 1024, /* bytes of a body: what compression would save is not worth a hit's time */
};

static const int64_t us_per_s = 1000000;

/* --- cache ----------------------------------------------------------------------------- */

struct cache_read {
    struct pk_store *store;
    struct pk_arena *arena;
    struct pk_cache_entry *entry;
    struct pk_error *err;
    bool found, failed;
};

static struct pk_usage usage_from(const struct pk_value *source, const struct pk_value *counts)
{
    struct pk_usage u = {PK_USAGE_NONE, counts[0].i, counts[1].i, counts[2].i,
                         counts[3].i,   counts[4].i, counts[5].i};

    for (int i = PK_USAGE_NONE; i <= PK_USAGE_ESTIMATED; i++)
        if (pk_str_is(source->s, pk_usage_source_name((enum pk_usage_source)i)))
            u.source = (enum pk_usage_source)i;
    return u;
}

static bool read_entry(void *ctx, const struct pk_value *columns, int count)
{
    struct cache_read *read = ctx;
    struct pk_cache_entry *e = read->entry;
    struct pk_buf out = pk_buf_in(read->arena, PK_STREAM_BYTES_MAX);

    PK_ASSERT(count == 13);
    const struct pk_stored stored = {.encoding = columns[0].i, .bytes = columns[1].s};
    if (!pk_payload_unpack(&read->store->packer, &stored, &out, &e->body, read->err)) {
        read->failed = true;
        return false;
    }
    if (out.len == 0) /* borrowed from the row */
        e->body = pk_copy(read->arena, e->body);
    e->provider = pk_copy(read->arena, columns[2].s);
    e->model = pk_copy(read->arena, columns[3].s);
    e->finish_reason = pk_copy(read->arena, columns[4].s);
    e->usage = usage_from(&columns[5], &columns[6]);
    e->cost_known = columns[12].type != PK_V_NULL;
    e->cost_pusd = columns[12].i;
    read->found = true;
    return false;
}

bool pk_store_cache_get(struct pk_store *s, struct pk_arena *arena,
                        const uint8_t key[PK_CACHE_KEY_BYTES], int64_t now_us, int64_t max_age_s,
                        struct pk_cache_entry *entry, bool *found, struct pk_error *err)
{
    struct cache_read read = {s, arena, entry, err, false, false};
    int64_t oldest_us = max_age_s < now_us / us_per_s ? now_us - max_age_s * us_per_s : 0;
    const struct pk_value args[] = {pk_v_blob(key, PK_CACHE_KEY_BYTES), pk_v_int(now_us),
                                    pk_v_int(oldest_us)};

    *entry = (struct pk_cache_entry){0};
    memcpy(entry->key, key, sizeof entry->key);
    *found = false;
    if (!s->ops->exec(s, PK_SQL_cache_get, args, PK_COUNT(args), read_entry, &read, err) ||
        read.failed)
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "cache: out of memory");
    *found = read.found;
    return true;
}

/* --- how large it is -------------------------------------------------------------------------- */

struct size {
    int64_t rows, entries, bytes;
};

static bool read_size(void *ctx, const struct pk_value *columns, int count)
{
    PK_ASSERT(count == 3);
    *(struct size *)ctx = (struct size){columns[0].i, columns[1].i, columns[2].i};
    return false;
}

static bool size_of(struct pk_store *s, struct size *size, struct pk_error *err)
{
    *size = (struct size){0};
    return s->ops->exec(s, PK_SQL_cache_size, NULL, 0, read_size, size, err);
}

static bool add_size(struct pk_store *s, int64_t entries, int64_t bytes, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(entries), pk_v_int(bytes)};

    return (entries == 0 && bytes == 0) ||
           s->ops->exec(s, PK_SQL_cache_size_add, args, PK_COUNT(args), NULL, NULL, err);
}

static bool add_up(void *ctx, const struct pk_value *columns, int count)
{
    struct size *sum = ctx;

    PK_ASSERT(count == 2);
    sum->entries += columns[0].i;
    sum->bytes += columns[1].i;
    return true;
}

static bool fold_size(struct pk_store *s, struct pk_error *err)
{
    struct size sum = {0};

    return s->ops->exec(s, PK_SQL_cache_size_take, NULL, 0, add_up, &sum, err) &&
           add_size(s, sum.entries, sum.bytes, err);
}

bool pk_store_cache_size(struct pk_store *s, int64_t *entries, int64_t *bytes, struct pk_error *err)
{
    struct size size;
    bool ok = size_of(s, &size, err);

    *entries = size.entries;
    *bytes = size.bytes;
    return ok;
}

bool pk_cache_size_parse(pk_str text, int64_t *bytes)
{
    static const struct {
        const char *suffix;
        int shift;
    } units[] = {{"kB", 10}, {"MB", 20}, {"GB", 30}, {"TB", 40}};
    int shift = 20;

    text = pk_str_trim(text);
    for (size_t i = 0; i < PK_COUNT(units); i++)
        if (pk_str_ends(text, units[i].suffix)) {
            shift = units[i].shift;
            text = pk_str_trim(pk_str_sub(text, 0, text.len - 2));
            break;
        }
    if (!pk_str_int(text, bytes) || *bytes < 1 || *bytes > INT64_MAX >> shift)
        return false;
    *bytes <<= shift;
    return true;
}

static int64_t or_default(int64_t max, int64_t otherwise)
{
    return max > 0 ? max : otherwise;
}

/* --- putting ---------------------------------------------------------------------------------- */

static bool first_int(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int64_t *)ctx = columns[0].i;
    return false;
}

struct put {
    struct pk_store *store;
    const uint8_t *key;
    const struct pk_cache_entry *entry;
    struct pk_payload body;
    int64_t created_us, expires_us;
    int64_t bytes;
};

static bool put_row(const struct put *p, int64_t *written, struct pk_error *err)
{
    const struct pk_cache_entry *e = p->entry;
    const struct pk_usage *u = &e->usage;
    const struct pk_value args[] = {
        pk_v_blob(p->key, PK_CACHE_KEY_BYTES),
        pk_v_text(e->ns),
        pk_v_int(p->created_us),
        pk_v_int(p->expires_us),
        pk_v_int(p->body.encoding),
        pk_v_blob(p->body.bytes.at, p->body.bytes.len),
        pk_v_int(p->bytes),
        pk_v_text(e->provider),
        pk_v_text(e->model),
        pk_v_text(e->finish_reason),
        pk_v_text(pk_str_of(pk_usage_source_name(u->source))),
        pk_v_tokens(u, u->input),
        pk_v_tokens(u, u->cache_read),
        pk_v_tokens(u, u->cache_write),
        pk_v_tokens(u, u->cache_write_1h),
        pk_v_tokens(u, u->output),
        pk_v_tokens(u, u->reasoning),
        pk_v_int_unless(!e->cost_known, e->cost_pusd),
    };

    *written = 0;
    if (p->store->remote)
        return p->store->ops->exec(p->store, PK_SQL_cache_put_sized, args, PK_COUNT(args), NULL,
                                   NULL, err);
    return p->store->ops->exec(p->store, PK_SQL_cache_put, args, PK_COUNT(args), first_int, written,
                               err);
}

/* The row and what it adds to the size, which is nothing when a newer entry stays. */
static bool put_entry(struct put *p, struct pk_error *err)
{
    const struct pk_value key[] = {pk_v_blob(p->key, PK_CACHE_KEY_BYTES)};
    struct pk_store *s = p->store;
    int64_t before = 0, written;

    p->bytes = (int64_t)p->body.bytes.len + PK_CACHE_ENTRY_BYTES;
    if (p->bytes > or_default(s->cache_max.bytes, PK_CACHE_BYTES_MAX_DEFAULT))
        return true;
    if (s->remote) /* it sees to the size itself: nothing is waited for */
        return put_row(p, &written, err);
    return s->ops->exec(s, PK_SQL_cache_bytes, key, PK_COUNT(key), first_int, &before, err) &&
           put_row(p, &written, err) &&
           (!written || add_size(s, before == 0, p->bytes - before, err));
}

static bool pack(struct put *p, struct pk_arena *scratch, struct pk_error *err)
{
    p->body = (struct pk_payload){PK_ENCODING_PLAIN, p->entry->body};
    return p->entry->body.len <= PLAIN_MAX ||
           pk_payload_pack(&p->store->packer, scratch, p->entry->body, &p->body, err);
}

/* Ends what ops->begin() began; whether it was `ok` and is kept. */
static bool settle(struct pk_store *s, bool ok, struct pk_error *err)
{
    struct pk_error ignored;

    if (ok)
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &ignored);
    return false;
}

bool pk_store_cache_put(struct pk_store *s, const uint8_t key[PK_CACHE_KEY_BYTES],
                        const struct pk_cache_entry *entry, int64_t now_us, int64_t max_age_s,
                        struct pk_error *err)
{
    struct put p = {.store = s, .key = key, .entry = entry};
    struct pk_arena scratch;

    p.created_us = now_us;
    p.expires_us =
        max_age_s < (INT64_MAX - now_us) / us_per_s ? now_us + max_age_s * us_per_s : INT64_MAX;
    if (!s->ops->begin(s, err))
        return false;
    pk_arena_init(&scratch, pk_allocator_malloc(), SCRATCH_BYTES_MAX);
    bool ok = pack(&p, &scratch, err) && put_entry(&p, err);
    pk_arena_free(&scratch);
    return settle(s, ok, err);
}

/* --- deleting --------------------------------------------------------------------------------- */

/* What one statement deletes. */
struct deleted {
    struct pk_store *store;
    uint8_t keys[PURGE_STEP][PK_CACHE_KEY_BYTES];
    int count;
    int64_t bytes;
};

static bool read_deleted(void *ctx, const struct pk_value *columns, int count)
{
    struct deleted *d = ctx;

    PK_ASSERT(count == 2 && d->count < PURGE_STEP && columns[0].s.len == PK_CACHE_KEY_BYTES);
    memcpy(d->keys[d->count++], columns[0].s.at, PK_CACHE_KEY_BYTES);
    d->bytes += columns[1].i;
    return true;
}

static bool add_length(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int64_t *)ctx += columns[0].i;
    return true;
}

/* Deletes entries by a statement that returns their keys and bytes, with their vectors. */
static bool drop(struct deleted *d, enum pk_stmt stmt, const struct pk_value *args, int count,
                 struct pk_error *err)
{
    struct pk_store *s = d->store;

    d->count = 0;
    d->bytes = 0;
    bool ok = s->ops->exec(s, stmt, args, count, read_deleted, d, err);
    for (int i = 0; ok && i < d->count; i++) {
        const struct pk_value key[] = {pk_v_blob(d->keys[i], PK_CACHE_KEY_BYTES)};

        ok = s->ops->exec(s, PK_SQL_near_drop, key, PK_COUNT(key), add_length, &d->bytes, err);
    }
    return ok && add_size(s, -d->count, -d->bytes, err);
}

static bool too_large(const struct pk_store *s, const struct size *size)
{
    return size->entries > or_default(s->cache_max.entries, PK_CACHE_ENTRIES_MAX_DEFAULT) ||
           size->bytes > or_default(s->cache_max.bytes, PK_CACHE_BYTES_MAX_DEFAULT);
}

static bool trim(struct deleted *d, int64_t now_us, struct pk_error *err)
{
    struct pk_store *s = d->store;
    const struct pk_value expired[] = {pk_v_int(now_us), pk_v_int(EXPIRED_STEP)};
    const struct pk_value unused[] = {pk_v_int(UNUSED_STEP)};
    struct size size;

    if (!drop(d, PK_SQL_cache_expired, expired, PK_COUNT(expired), err) ||
        !size_of(s, &size, err) || (size.rows > SIZE_ROWS_MAX && !fold_size(s, err)))
        return false;
    for (int left = PK_CACHE_EVICT_MAX - EXPIRED_STEP; left > 0 && too_large(s, &size);
         left -= UNUSED_STEP) {
        if (!drop(d, PK_SQL_cache_unused, unused, PK_COUNT(unused), err))
            return false;
        if (d->count == 0)
            break; /* another holds them all */
        size.entries -= d->count;
        size.bytes -= d->bytes;
    }
    return true;
}

/* The lists of keys are too large for the stack of a thread. */
static struct deleted *new_deleted(struct pk_store *s, struct pk_error *err)
{
    struct deleted *d = malloc(sizeof *d);

    if (d)
        d->store = s;
    else
        (void)pk_fail(err, PK_NO_MEMORY, "cache: out of memory");
    return d;
}

bool pk_store_cache_trim(struct pk_store *s, int64_t now_us, struct pk_error *err)
{
    if (s->remote && ++s->untrimmed % FAR_STEP != 0)
        return true; /* a trim deletes more than so many */
    struct deleted *d = new_deleted(s, err);
    bool ok = d && s->ops->begin(s, err);

    if (ok)
        ok = settle(s, trim(d, now_us, err), err);
    free(d);
    return ok;
}

bool pk_store_cache_sweep(struct pk_store *s, int64_t now_us, int64_t before_us, int64_t *count,
                          struct pk_error *err)
{
    const struct pk_value due[] = {pk_v_int(now_us), pk_v_int(before_us)};
    const struct pk_value expired[] = {due[0], pk_v_int(PK_CACHE_EVICT_MAX)};
    const struct pk_value old[] = {due[1], expired[1]};
    int64_t found = 0;

    *count = 0;
    if (!s->ops->exec(s, PK_SQL_cache_due, due, PK_COUNT(due), first_int, &found, err))
        return false;
    if (!found)
        return true;
    struct deleted *d = new_deleted(s, err);
    bool ok = d && s->ops->begin(s, err);
    if (ok) {
        ok = drop(d, PK_SQL_cache_expired, expired, PK_COUNT(expired), err);
        if (ok && d->count == 0)
            ok = drop(d, PK_SQL_cache_old, old, PK_COUNT(old), err);
        ok = settle(s, ok, err);
    }
    *count = ok ? d->count : 0;
    free(d);
    return ok;
}

bool pk_store_cache_drop(struct pk_store *s, enum pk_stmt stmt, const struct pk_value *args,
                         int arg_count, int64_t *count, struct pk_error *err)
{
    struct deleted *d = new_deleted(s, err);
    bool ok = d && drop(d, stmt, args, arg_count, err);

    *count = ok ? d->count : 0;
    free(d);
    return ok;
}

/* --- purging ---------------------------------------------------------------------------------- */

struct purge {
    const struct pk_cache_filter *filter;
    int64_t now_us, count;
    uint8_t above[PK_CACHE_KEY_BYTES]; /* where to go on */
    size_t above_len;                  /* 0: at the beginning */
    struct deleted *deleted;
};

static void note_deleted(struct purge *p)
{
    const struct deleted *d = p->deleted;

    p->count += d->count;
    for (int i = 0; i < d->count; i++)
        if (memcmp(d->keys[i], p->above, sizeof p->above) >= 0)
            memcpy(p->above, d->keys[i], sizeof p->above);
    p->above_len = sizeof p->above;
}

static bool purge_step(struct purge *p, struct pk_error *err)
{
    const struct pk_cache_filter *f = p->filter;
    struct pk_store *s = p->deleted->store;
    bool prefix = pk_str_ends(f->model, "*");
    const struct pk_value args[] = {
        pk_v_int(f->all ? INT64_MAX : p->now_us),
        pk_v_int(f->before_us ? f->before_us : INT64_MAX),
        pk_v_text(f->ns),
        pk_v_text(f->provider),
        pk_v_text(prefix ? PK_NONE : f->model),
        pk_v_text(prefix ? pk_str_sub(f->model, 0, f->model.len - 1) : PK_NONE),
        pk_v_blob(p->above, p->above_len),
        pk_v_int(PURGE_STEP),
    };

    if (!s->ops->begin(s, err) ||
        !settle(s, drop(p->deleted, PK_SQL_cache_purge, args, PK_COUNT(args), err), err))
        return false;
    note_deleted(p);
    return true;
}

/* What was purged, for people. */
static bool note_purge(const struct purge *p, struct pk_error *err)
{
    const struct pk_cache_filter *f = p->filter;
    struct pk_store *s = p->deleted->store;
    struct pk_arena scratch;

    pk_arena_init(&scratch, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    struct pk_buf detail = pk_buf_in(&scratch, PK_CONFIG_BYTES_MAX);
    const struct {
        const char *name;
        pk_str value;
    } parts[] = {{"namespace", f->ns}, {"provider", f->provider}, {"model", f->model}};

    pk_buf_addf(&detail, "{\"entries\":%lld", (long long)p->count);
    for (size_t i = 0; i < PK_COUNT(parts); i++) {
        if (parts[i].value.len == 0)
            continue;
        pk_buf_addf(&detail, ",\"%s\":", parts[i].name);
        pk_json_quote(&detail, parts[i].value);
    }
    if (f->before_us)
        pk_buf_addf(&detail, ",\"older_than\":%lld",
                    (long long)((p->now_us - f->before_us) / us_per_s));
    pk_buf_adds(&detail, f->all ? "}" : ",\"expired\":true}");
    struct pk_change change = {.at_us = p->now_us,
                               .verb = "cache_purge",
                               .object = PK_STR("*"),
                               .detail = pk_buf_str(&detail)};
    bool ok = s->ops->begin(s, err) && pk_store_change_end(s, !detail.failed, &change, err);
    pk_arena_free(&scratch);
    return ok;
}

bool pk_store_cache_purge(struct pk_store *s, const struct pk_cache_filter *f, int64_t now_us,
                          int64_t *count, struct pk_error *err)
{
    struct purge p = {.filter = f, .now_us = now_us, .deleted = new_deleted(s, err)};
    bool ok = p.deleted != NULL;

    do
        ok = ok && purge_step(&p, err);
    while (ok && p.deleted->count == PURGE_STEP);
    ok = ok && note_purge(&p, err);
    free(p.deleted);
    *count = p.count;
    return ok;
}

struct filter_reader {
    struct pk_arena *arena;
    const struct pk_json *doc;
    int64_t now_us;
    struct pk_cache_filter *f;
};

static bool filter_text(const struct filter_reader *r, const char *name, int value, pk_str *out,
                        struct pk_error *err)
{
    *out = pk_json_str(r->arena, r->doc, value);
    return (out->len > 0 && out->len <= PK_SLUG_BYTES_MAX) ||
           pk_fail(err, PK_BAD_REQUEST, "%s: must be a string of 1 to %d bytes", name,
                   PK_SLUG_BYTES_MAX);
}

static bool filter_member(const struct filter_reader *r, int key, struct pk_error *err)
{
    struct pk_cache_filter *f = r->f;
    int64_t age_s;

    if (pk_json_is(r->doc, key, "namespace"))
        return filter_text(r, "namespace", key + 1, &f->ns, err);
    if (pk_json_is(r->doc, key, "provider"))
        return filter_text(r, "provider", key + 1, &f->provider, err);
    if (pk_json_is(r->doc, key, "model"))
        return filter_text(r, "model", key + 1, &f->model, err);
    if (pk_json_is(r->doc, key, "all"))
        return pk_json_true(r->doc, key + 1) ||
               pk_fail(err, PK_BAD_REQUEST, "all: must be true when it is given");
    if (!pk_json_is(r->doc, key, "older_than"))
        return pk_fail(err, PK_BAD_REQUEST,
                       "unknown key %.*s; there are namespace, provider, model, "
                       "older_than and all",
                       PK_FMT(pk_str_sub(pk_json_raw(r->doc, key), 0, 64)));
    if (!pk_json_int(r->doc, key + 1, &age_s) || age_s < 0 || age_s > r->now_us / us_per_s)
        return pk_fail(err, PK_BAD_REQUEST, "older_than: must be seconds, 0 or more");
    f->before_us = r->now_us - age_s * us_per_s;
    return true;
}

bool pk_cache_filter_read(struct pk_arena *arena, pk_str text, int64_t now_us,
                          struct pk_cache_filter *f, struct pk_error *err)
{
    struct pk_json doc;
    struct filter_reader r = {arena, &doc, now_us, f};

    *f = (struct pk_cache_filter){.all = true};
    if (!pk_json_parse(arena, text, "filter", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT || pk_json_count(&doc, 0) == 0)
        return pk_fail(
            err, PK_BAD_REQUEST,
            "filter: must be an object with one of namespace, provider, model, older_than "
            "and all");
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k))
        if (!filter_member(&r, k, err))
            return false;
    return true;
}
