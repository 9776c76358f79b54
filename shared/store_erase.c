/* store_erase.c - see store_erase.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rounds of: find some calls (only reads), see which of their texts others have (reads all of the log), delete them with
 * what is theirs; until the log is at its end. Then what is not of single calls.
 */
#include "store_erase.h"

#include "json.h"
#include "member.h"
#include "request.h"
#include "store_audit.h"
#include "store_cache.h"
#include "store_erase_inner.h"
#include "store_sweep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES_MAX = PK_CALL_BYTES_MAX,
    ROWS_MIN = 8,   /* calls that a step deletes */
    ROWS_MAX = 512, /* at first a few */
    CACHED_MAX = 1000,
};

static const int64_t us_per_s = 1000000, us_per_hour = 3600000000;

/* --- the filter -------------------------------------------------------------------------------- */

/* Who says two names of one kind means both, and no call has both. */
static bool is_new(struct pk_arena *arena, const struct pk_json *doc, int key, pk_str out,
                   struct pk_error *err)
{
    return out.len == 0 ||
           pk_fail(err, PK_BAD_REQUEST, "%.*s: is given twice; erase one after the other",
                   PK_FMT(pk_json_str(arena, doc, key)));
}

static bool read_text(struct pk_arena *arena, const struct pk_json *doc, int key, pk_str *out,
                      struct pk_error *err)
{
    if (!is_new(arena, doc, key, *out, err))
        return false;
    *out = pk_json_str(arena, doc, key + 1);
    return (out->len > 0 && out->len <= PK_SLUG_BYTES_MAX) ||
           pk_fail(err, PK_BAD_REQUEST, "%.*s: must be a string of 1 to %d bytes",
                   PK_FMT(pk_json_str(arena, doc, key)), PK_SLUG_BYTES_MAX);
}

static bool read_metadata(struct pk_arena *arena, const struct pk_json *doc, int key, pk_str *out,
                          struct pk_error *err)
{
    int value = key + 1;

    if (!is_new(arena, doc, key, *out, err))
        return false;
    *out = pk_json_raw(doc, value);
    if (pk_json_type(doc, value) != PK_JSON_OBJECT || pk_json_count(doc, value) == 0)
        return pk_fail(err, PK_BAD_REQUEST, "metadata: must be an object with a member or more");
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k)) {
        pk_str name = pk_json_str(arena, doc, k);

        if (pk_json_type(doc, k + 1) != PK_JSON_STRING)
            return pk_fail(err, PK_BAD_REQUEST, "metadata.%.*s: must be a string",
                           PK_FMT(pk_str_sub(name, 0, 64)));
        if (pk_json_member(doc, value, name) != k + 1) /* that is the last one */
            return pk_fail(err, PK_BAD_REQUEST,
                           "metadata.%.*s: is given twice; erase one after the other",
                           PK_FMT(pk_str_sub(name, 0, 64)));
    }
    return true;
}

static bool read_member(struct pk_arena *arena, const struct pk_json *doc, int key,
                        struct pk_erase_filter *f, struct pk_error *err)
{
    if (pk_json_is(doc, key, "metadata"))
        return read_metadata(arena, doc, key, &f->metadata, err);
    if (pk_json_is(doc, key, "user"))
        return read_text(arena, doc, key, &f->user_id, err);
    if (pk_json_is(doc, key, "trace_id"))
        return read_text(arena, doc, key, &f->trace_id, err);
    if (pk_json_is(doc, key, "api_key"))
        return read_text(arena, doc, key, &f->api_key, err);
    return pk_fail(err, PK_BAD_REQUEST,
                   "%.*s: there is no such filter; there are metadata, user, trace_id and api_key",
                   PK_FMT(pk_str_sub(pk_json_str(arena, doc, key), 0, 64)));
}

bool pk_erase_filter_read(struct pk_arena *arena, pk_str text, struct pk_erase_filter *f,
                          struct pk_error *err)
{
    struct pk_json doc;

    *f = (struct pk_erase_filter){0};
    if (text.len > PK_ERASE_FILTER_BYTES)
        return pk_fail(err, PK_BAD_REQUEST, "filter: must be of at most %d bytes",
                       PK_ERASE_FILTER_BYTES);
    if (!pk_json_parse(arena, text, "filter", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT || pk_json_count(&doc, 0) == 0)
        return pk_fail(
            err, PK_BAD_REQUEST,
            "filter: must be an object with one of metadata, user, trace_id and api_key");
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k))
        if (!read_member(arena, &doc, k, f, err))
            return false;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "filter: out of memory");
}

/* The last four arguments of a statement that is about the person's calls. */
static void hers(const struct pk_erasure *e, struct pk_value args[4])
{
    args[0] = pk_v_text(e->filter.trace_id);
    args[1] = pk_v_text(e->filter.user_id);
    args[2] = pk_v_text(e->filter.api_key);
    args[3] = pk_v_text(e->filter.metadata);
}

/* --- statements -------------------------------------------------------------------------------- */

static bool count_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    ++*(int64_t *)ctx;
    return true;
}

bool pk_erase_exec(const struct pk_erase_step *st, enum pk_stmt stmt, const struct pk_value *args,
                   int count, int64_t *rows)
{
    return st->store->ops->exec(st->store, stmt, args, count, rows ? count_row : NULL, rows,
                                st->err);
}

bool pk_erase_end(const struct pk_erase_step *st, bool ok)
{
    struct pk_error ignored;

    if (ok && !st->e->dry)
        return st->store->ops->end(st->store, true, st->err);
    (void)st->store->ops->end(st->store, false, &ignored);
    return ok;
}

/* The last of the next rows of the log; *after stays when there is none. */
static bool look_ahead(const struct pk_erase_step *st, const uint8_t after[PK_UUID_BYTES],
                       uint8_t upto[PK_UUID_BYTES])
{
    const struct pk_value args[] = {pk_v_uuid(after), pk_v_uuid(st->e->end),
                                    pk_v_int(PK_ERASE_LOOK_ROWS)};

    memcpy(upto, after, PK_UUID_BYTES);
    return st->store->ops->exec(st->store, PK_SQL_sweep_logs, args, PK_COUNT(args),
                                pk_erase_read_id, upto, st->err);
}

/* --- finding calls ----------------------------------------------------------------------------- */

static bool read_range(void *ctx, const struct pk_value *columns, int count)
{
    int64_t *range = ctx;

    PK_ASSERT(count == 2);
    range[0] = columns[0].i; /* 0: there is no such trace */
    range[1] = columns[1].i;
    return false;
}

/* The calls of a trace began within a range, which its index knows. */
static bool narrow_to_trace(const struct pk_erase_step *st)
{
    const struct pk_value args[] = {pk_v_text(st->e->filter.trace_id)};
    int64_t range[2] = {0};

    if (!st->store->ops->exec(st->store, PK_SQL_trace_range, args, 1, read_range, range, st->err))
        return false;
    if (range[0] > us_per_s) {
        pk_uuid7(range[0] - us_per_s, 0, st->e->looked_upto);
        pk_uuid7(range[1] + us_per_s, 0, st->e->end);
    }
    st->e->ended = range[0] == 0;
    return true;
}

static bool begin(const struct pk_erase_step *st, bool *done)
{
    *done = true;
    if (!pk_erase_exec(st, PK_SQL_erase_begin, NULL, 0, NULL))
        return false;
    return st->e->filter.trace_id.len == 0 || narrow_to_trace(st);
}

static bool note_found(void *ctx, const struct pk_value *columns, int count)
{
    struct pk_erasure *e = ctx;
    struct pk_erase_call *f = &e->found[e->count++];

    PK_ASSERT(count == 3 && e->count <= PK_ERASE_FOUND_MAX);
    *f = (struct pk_erase_call){.places = {columns[1].i, columns[2].i}};
    memcpy(f->id, columns[0].s.at, PK_UUID_BYTES);
    for (int i = 0; i < 2; i++)
        if (f->places[i])
            e->texts.at[e->texts.count++] = (struct pk_erase_text){.place = f->places[i]};
    return true;
}

static bool find(const struct pk_erase_step *st, bool *done)
{
    struct pk_erasure *e = st->e;
    uint8_t upto[PK_UUID_BYTES];
    struct pk_value args[6] = {pk_v_uuid(e->looked_upto), pk_v_uuid(upto)};

    hers(e, args + 2);
    if (!e->ended && !look_ahead(st, e->looked_upto, upto))
        return false;
    e->ended = e->ended || memcmp(upto, e->looked_upto, sizeof upto) == 0;
    if (!e->ended && !st->store->ops->exec(st->store, PK_SQL_erase_find, args, PK_COUNT(args),
                                           note_found, e, st->err))
        return false;
    if (!e->ended)
        e->counts.looked_at += PK_ERASE_LOOK_ROWS;
    memcpy(e->looked_upto, e->ended ? e->looked_upto : upto, sizeof upto);
    *done = e->ended || e->count > PK_ERASE_FOUND_MAX - PK_ERASE_LOOK_ROWS;
    if (*done)
        pk_erase_texts_sort(&e->texts);
    return true;
}

/* --- whose texts ------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct pk_erase_call *)a)->id, ((const struct pk_erase_call *)b)->id,
                  PK_UUID_BYTES);
}

static bool note_use(void *ctx, const struct pk_value *columns, int count)
{
    struct pk_erasure *e = ctx;
    struct pk_erase_call wanted;

    PK_ASSERT(count == 3);
    memcpy(wanted.id, columns[0].s.at, sizeof wanted.id);
    if (bsearch(&wanted, e->found, (size_t)e->count, sizeof *e->found, by_id))
        return true;
    pk_erase_texts_keep(&e->texts, columns[1].i);
    pk_erase_texts_keep(&e->texts, columns[2].i);
    return true;
}

/* Those that other calls have as well stay. A call that comes while they are looked for is looked at too. */
static bool find_uses(const struct pk_erase_step *st, bool *done)
{
    static const uint8_t last[PK_UUID_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct pk_erasure *e = st->e;
    uint8_t upto[PK_UUID_BYTES];
    const struct pk_value ahead[] = {pk_v_uuid(e->after), pk_v_uuid(last),
                                     pk_v_int(PK_ERASE_LOOK_ROWS)};
    const struct pk_value args[] = {pk_v_uuid(e->after), pk_v_uuid(upto)};

    *done = e->texts.count == 0;
    if (*done)
        return true;
    memcpy(upto, e->after, sizeof upto);
    if (!st->store->ops->exec(st->store, PK_SQL_sweep_logs, ahead, PK_COUNT(ahead),
                              pk_erase_read_id, upto, st->err))
        return false;
    *done = memcmp(upto, e->after, sizeof upto) == 0;
    if (!*done && !st->store->ops->exec(st->store, PK_SQL_erase_uses, args, PK_COUNT(args),
                                        note_use, e, st->err))
        return false;
    memcpy(e->after, upto, sizeof upto);
    return true;
}

/* --- cached answers ---------------------------------------------------------------------------- */

/* A call as its row says it, and the answers that came into the cache meanwhile, the newest first. */
struct gone {
    struct pk_erase_step *st;
    pk_str trace_id, provider, model, answer;
    int64_t started_us, ended_us;
    bool missed, failed;
    struct pk_buf room; /* for one cached answer */
    uint8_t (*keys)[PK_CACHE_KEY_BYTES];
    int key_count, at_the_end, same; /* same: the one with this very answer; -1: none */
};

static bool unpack_answer(struct gone *g, int64_t encoding, pk_str bytes, int64_t place)
{
    struct pk_buf out = pk_buf_in(&g->st->arena, PK_STREAM_BYTES_MAX);
    const struct pk_stored stored = {.encoding = encoding, .place = place, .bytes = bytes};

    if (!pk_payload_unpack(&g->st->store->packer, &stored, &out, &g->answer, g->st->err))
        return false;
    if (out.len == 0)
        g->answer = pk_copy(&g->st->arena, g->answer);
    return true;
}

static bool is_answer(struct gone *g, int64_t encoding, pk_str bytes, bool *same)
{
    const struct pk_stored stored = {.encoding = encoding, .bytes = bytes};
    pk_str text;

    pk_buf_reset(&g->room);
    if (!pk_payload_unpack(&g->st->store->packer, &stored, &g->room, &text, g->st->err))
        return false;
    *same = pk_str_eq(text, g->answer);
    return true;
}

static bool read_call(void *ctx, const struct pk_value *v, int count)
{
    struct gone *g = ctx;
    struct pk_arena *arena = &g->st->arena;

    PK_ASSERT(count == 9);
    g->trace_id = pk_copy(arena, v[0].s);
    g->started_us = v[1].i;
    g->ended_us = v[1].i + v[2].i;
    g->provider = pk_copy(arena, v[3].s);
    g->model = pk_copy(arena, v[4].s);
    g->missed = pk_str_is(v[5].s, "MISS") || pk_str_is(v[5].s, "SEMANTIC MISS") ||
                pk_str_is(v[5].s, "REFRESH");
    if (g->missed && v[7].type == PK_V_BLOB)
        g->failed = !unpack_answer(g, v[6].i, v[7].s, v[8].i);
    return false;
}

static bool read_cached(void *ctx, const struct pk_value *v, int count)
{
    struct gone *g = ctx;
    bool same = false;

    PK_ASSERT(count == 4 && g->key_count < CACHED_MAX && v[0].s.len == PK_CACHE_KEY_BYTES);
    if (g->answer.len && !is_answer(g, v[1].i, v[2].s, &same)) {
        g->failed = true;
        return false;
    }
    memcpy(g->keys[g->key_count], v[0].s.at, PK_CACHE_KEY_BYTES);
    if (same)
        g->same = g->key_count;
    g->at_the_end += v[3].i >= g->ended_us - us_per_s;
    g->key_count++;
    return !same;
}

static bool drop_cached(struct gone *g, int i)
{
    const struct pk_value key[] = {pk_v_blob(g->keys[i], PK_CACHE_KEY_BYTES)};
    int64_t count = 0;
    bool ok =
        pk_store_cache_drop(g->st->store, PK_SQL_erase_cache_entry, key, 1, &count, g->st->err);

    g->st->e->counts.cache += count;
    return ok;
}

/* An entry does not say whose it is. It is made just before its call ends, and mostly has what the log has. When
 * none has, whatever was made then by this model goes: it can be asked again. Between the two the machine may have
 * stood still, and others may have held the store: so all of the call is looked at. */
static bool drop_answers(struct gone *g)
{
    const struct pk_value args[] = {pk_v_text(g->provider), pk_v_text(g->model),
                                    pk_v_int(g->started_us), pk_v_int(g->ended_us + 1000)};
    bool ok = true;

    if (!g->missed)
        return true;
    g->same = -1;
    g->room = pk_buf_in(&g->st->arena, PK_STREAM_BYTES_MAX);
    g->keys = pk_alloc(&g->st->arena, (size_t)CACHED_MAX * PK_CACHE_KEY_BYTES);
    if (!g->keys)
        return pk_fail(g->st->err, PK_NO_MEMORY, "erase: out of memory");
    if (!g->st->store->ops->exec(g->st->store, PK_SQL_erase_cached, args, PK_COUNT(args),
                                 read_cached, g, g->st->err) ||
        g->failed)
        return false;
    if (g->same >= 0)
        return drop_cached(g, g->same);
    int count = g->at_the_end ? g->at_the_end : g->key_count;
    for (int i = 0; ok && i < count; i++)
        ok = drop_cached(g, i);
    return ok;
}

/* --- deleting calls ---------------------------------------------------------------------------- */

static int64_t hour_of(const uint8_t id[PK_UUID_BYTES])
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++) /* RFC 9562 */
        ms = ms << 8 | id[i];
    return ms * 1000 / us_per_hour * us_per_hour;
}

/* What analytics keep of the hour says who called. */
static bool delete_hour(const struct pk_erase_step *st, int64_t hour_us)
{
    const struct pk_value args[] = {pk_v_int(hour_us)};
    struct pk_erasure *e = st->e;

    if (e->last_hour_us == hour_us)
        return true;
    if (!e->first_hour_us)
        e->first_hour_us = hour_us;
    e->last_hour_us = hour_us;
    return pk_erase_exec(st, PK_SQL_erase_columns, args, 1, NULL) &&
           pk_erase_exec(st, PK_SQL_erase_hour, args, 1, NULL);
}

static bool delete_call(struct pk_erase_step *st, const struct pk_erase_call *f)
{
    struct pk_erased *n = &st->e->counts;
    struct gone g = {.st = st};
    const struct pk_value id[] = {pk_v_uuid(f->id)};

    if (!st->store->ops->exec(st->store, PK_SQL_erase_call, id, 1, read_call, &g, st->err) ||
        g.failed)
        return false;
    struct pk_value about[6] = {pk_v_required(g.trace_id), id[0]};
    hers(st->e, about + 2);
    return drop_answers(&g) &&
           pk_erase_exec(st, PK_SQL_erase_feedback, about, PK_COUNT(about), &n->feedback) &&
           delete_hour(st, hour_of(f->id)) &&
           pk_erase_exec(st, PK_SQL_erase_spans, id, 1, &n->spans) &&
           pk_erase_exec(st, PK_SQL_erase_log, id, 1, &n->logs);
}

static bool delete_some(struct pk_erase_step *st, int upto)
{
    struct pk_erasure *e = st->e;
    int64_t places[2 * ROWS_MAX];
    int count = 0;

    e->last_hour_us = 0;
    for (int i = e->next; i < upto; i++) {
        pk_arena_init(&st->arena, pk_allocator_malloc(), SCRATCH_BYTES_MAX);
        bool ok = delete_call(st, &e->found[i]);
        pk_arena_free(&st->arena);
        if (!ok)
            return false;
        places[count++] = e->found[i].places[0];
        places[count++] = e->found[i].places[1];
    }
    return pk_store_erase_texts(st->store, &e->texts, places, count, &e->counts.payloads, st->err);
}

static bool delete_found(const struct pk_erase_step *of, bool *done)
{
    struct pk_erase_step st = *of;
    struct pk_erasure *e = st.e;
    int upto = e->count - e->next < e->rows ? e->count : e->next + e->rows;

    if (e->next < e->count) {
        if (!st.store->ops->begin(st.store, st.err))
            return false;
        if (!pk_erase_end(&st, delete_some(&st, upto)))
            return false;
        e->next = upto;
    }
    *done = e->next == e->count;
    return true;
}

/* --- the end ------------------------------------------------------------------------------------ */

static void add_name(struct pk_buf *out, bool given, const char *name)
{
    if (!given)
        return;
    pk_member_comma(out);
    pk_buf_addf(out, "\"%s\"", name);
}

/* By what they were looked for, without what that is. */
static void print_note(struct pk_erase_step *st, struct pk_buf *out)
{
    const struct pk_erase_filter *f = &st->e->filter;
    struct pk_error unused;
    struct pk_json doc;

    pk_buf_adds(out, "{\"by\":[");
    add_name(out, f->user_id.len > 0, "user");
    add_name(out, f->trace_id.len > 0, "trace_id");
    add_name(out, f->api_key.len > 0, "api_key");
    if (f->metadata.len && pk_json_parse(&st->arena, f->metadata, "metadata", &doc, &unused))
        for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k)) {
            pk_member_comma(out);
            pk_json_quote(out, pk_copyf(&st->arena, "metadata.%.*s",
                                        PK_FMT(pk_json_str(&st->arena, &doc, k))));
        }
    pk_buf_adds(out, "],\"erased\":");
    pk_erased_print(st->e, out);
    pk_buf_addc(out, '}');
}

static bool note(const struct pk_erase_step *of)
{
    struct pk_erase_step st = *of;

    pk_arena_init(&st.arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    struct pk_buf detail = pk_buf_in(&st.arena, PK_CONFIG_BYTES_MAX);
    print_note(&st, &detail);
    const struct pk_change change = {.at_us = st.e->began_us,
                                     .verb = "logs_erase",
                                     .object = PK_STR("*"),
                                     .detail = pk_buf_str(&detail)};
    bool ok = st.store->ops->begin(st.store, st.err) &&
              pk_store_change_end(st.store, !detail.failed, &change, st.err);
    pk_arena_free(&st.arena);
    return ok;
}

static bool finish(const struct pk_erase_step *st, bool *done)
{
    struct pk_erasure *e = st->e;
    const struct pk_value hours[] = {pk_v_int(e->first_hour_us), pk_v_int(hour_of(e->end))};
    int64_t behind;

    *done = true;
    if (e->dry)
        return true;
    if (e->first_hour_us && (!pk_erase_exec(st, PK_SQL_erase_old_columns, hours, 2, NULL) ||
                             !pk_erase_exec(st, PK_SQL_erase_old_hours, hours, 2, NULL)))
        return false;
    return note(st) &&
           (!st->store->ops->settle || st->store->ops->settle(st->store, &behind, st->err));
}

/* --- a step ------------------------------------------------------------------------------------ */

enum { STAGE_FIND = 1 };

static bool (*const stages[])(const struct pk_erase_step *st, bool *done) = {
    begin, find, find_uses, delete_found, pk_erase_feedback, pk_erase_jobs, pk_erase_limits, finish,
};

/* After a round comes another, unless the log is at its end. */
static void next_stage(struct pk_erasure *e)
{
    memset(e->after, 0, sizeof e->after);
    if (stages[e->stage] == delete_found && !e->ended) {
        e->stage = STAGE_FIND;
        e->count = e->next = e->texts.count = 0;
        return;
    }
    e->stage++;
}

bool pk_store_erase(struct pk_store *s, struct pk_erasure *e, bool *over, struct pk_error *err)
{
    const struct pk_erase_step st = {.store = s, .e = e, .err = err};
    bool done = false;

    *over = false;
    if (!stages[e->stage](&st, &done))
        return false;
    e->deleted = stages[e->stage] == delete_found;
    if (done)
        next_stage(e);
    *over = e->stage == (int)PK_COUNT(stages);
    return true;
}

void pk_erasure_took(struct pk_erasure *e, int64_t us)
{
    if (!e->deleted)
        return;
    if (us > PK_SWEEP_STEP_US && e->rows > ROWS_MIN)
        e->rows /= 2;
    else if (us < PK_SWEEP_STEP_US / 4 && e->rows < ROWS_MAX)
        e->rows *= 2;
}

/* --- an erasure -------------------------------------------------------------------------------- */

void pk_erasure_free(struct pk_erasure *e)
{
    if (!e)
        return;
    free(e->found);
    free(e->texts.at);
    free(e);
}

struct pk_erasure *pk_erasure_new(const struct pk_erase_filter *f, bool dry, int64_t now_us,
                                  struct pk_error *err)
{
    struct pk_erasure *e = calloc(1, sizeof *e);

    if (e) {
        *e = (struct pk_erasure){.filter = *f, .dry = dry, .began_us = now_us, .rows = 64};
        e->found = malloc(PK_ERASE_FOUND_MAX * sizeof *e->found);
        e->texts.at = malloc(2 * PK_ERASE_FOUND_MAX * sizeof *e->texts.at);
        pk_uuid7(now_us + 10 * us_per_s, 0, e->end); /* clocks differ */
    }
    if (e && e->found && e->texts.at)
        return e;
    pk_erasure_free(e);
    (void)pk_fail(err, PK_NO_MEMORY, "erase: out of memory");
    return NULL;
}

const struct pk_erased *pk_erasure_counts(const struct pk_erasure *e)
{
    return &e->counts;
}

void pk_erased_print(const struct pk_erasure *e, struct pk_buf *out)
{
    const struct pk_erased *n = &e->counts;

    pk_buf_addf(out,
                "{\"logs\":%" PRId64 ",\"spans\":%" PRId64 ",\"payloads\":%" PRId64
                ",\"cache\":%" PRId64 ",\"feedback\":%" PRId64 ",\"jobs\":%" PRId64
                ",\"limits\":%" PRId64 ",\"open_jobs\":%" PRId64 ",\"dry_run\":%s}",
                n->logs, n->spans, n->payloads, n->cache, n->feedback, n->jobs, n->limits,
                n->open_jobs, e->dry ? "true" : "false");
}
