/* store.c - the verbs over records, feedback and prices (store.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Written once over the named statements of sql/statements.sql; the order of arguments and columns is
 * theirs. Configs and keys are in store_admin.c, the cache in store_cache.c.
 */
#include "store_hits.h"
#include "store_hold.h"
#include "store_payload.h"
#include "store_route.h"
#include "store_rows.h"
#include "store_value.h"

#include <string.h>

enum {
    TEXT_BYTES_MAX = 1024, /* of a text column; longer ones are cut */
    SCRATCH_BYTES_MAX = PK_CALL_BYTES_MAX,
};

void pk_store_close(struct pk_store *s)
{
    if (!s)
        return;
    pk_packer_free(s->packer);
    s->packer = NULL;
    s->ops->close(s);
}

/* --- epoch ----------------------------------------------------------------------------- */

static bool read_int(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int64_t *)ctx = columns[0].i;
    return false;
}

bool pk_store_epoch(struct pk_store *s, int64_t *epoch, struct pk_error *err)
{
    *epoch = 0;
    return s->ops->exec(s, PK_SQL_epoch, NULL, 0, read_int, epoch, err);
}

static bool count_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    ++*(int64_t *)ctx;
    return true;
}

/* --- records --------------------------------------------------------------------------- */

/* What writing one record needs on the way. */
struct record_write {
    struct pk_store *store;
    struct pk_arena scratch;
    const struct pk_record *r;
    pk_str rest; /* of its bytes, if it was read from some */
    bool copied; /* a text had to be cleaned */
    struct pk_error *err;
};

/* Text that any engine takes: valid UTF-8 without NUL, of bounded length. Providers send all sorts. */
static pk_str cleaned(struct record_write *w, pk_str s)
{
    size_t bad;

    if (s.len == 0)
        return s;
    if (s.len > TEXT_BYTES_MAX) {
        s.len = TEXT_BYTES_MAX;
        while (s.len && ((unsigned char)s.at[s.len] & 0xc0) == 0x80)
            s.len--;
    }
    if (pk_utf8_valid(s, &bad))
        return s;
    w->copied = true;
    char *copy = pk_alloc(&w->scratch, s.len);
    for (size_t i = 0; copy && i < s.len; i++)
        copy[i] = s.at[i] == 0 || (unsigned char)s.at[i] >= 0x80 ? '?' : s.at[i];
    return (pk_str){copy, copy ? s.len : 0};
}

static struct pk_value clean(struct record_write *w, pk_str s)
{
    return pk_v_text(cleaned(w, s));
}

static struct pk_value required(struct record_write *w, pk_str s)
{
    return pk_v_required(cleaned(w, s));
}

/* Gives the payload's place as a value; NULL for an empty text. */
static bool put_payload(struct record_write *w, pk_str text, struct pk_value *id)
{
    int64_t place = 0;

    *id = pk_v_null();
    if (text.len == 0)
        return true;
    if (!pk_store_payload_put(w->store, &w->scratch, text, w->r->started_us, &place, w->err))
        return false;
    *id = pk_v_int(place);
    return true;
}

static struct pk_value error_type(enum pk_code code)
{
    return pk_v_text(code == PK_OK ? PK_NONE : pk_str_of(pk_code_name(code)));
}

static struct pk_value since(int64_t start_us, int64_t at_us)
{
    return pk_v_int_unless(at_us == 0, at_us - start_us);
}

static struct pk_value words(const char *text)
{
    return pk_v_text(pk_str_of(text));
}

/* Whether the log row says all that there is to say about the steps, but for three times. */
static bool says_all(const struct pk_record *r)
{
    const struct pk_span *s = &r->spans[0];
    const struct pk_usage *u = &r->usage;

    return r->span_count == 1 && s->kind == PK_SPAN_ATTEMPT && s->code == PK_OK &&
           s->wait_ms == 0 && s->name.len == 0 && s->message.len == 0 &&
           s->status == r->http_status && pk_str_eq(s->target_path, r->target_path) &&
           pk_str_eq(s->provider, r->provider) && pk_str_eq(s->model, r->request_model) &&
           s->cost_known == r->cost_known && s->cost_pusd == r->cost_pusd &&
           s->used == (u->source != PK_USAGE_NONE) &&
           (!s->used ||
            (s->input_tokens == u->input + u->cache_read + u->cache_write + u->cache_write_1h &&
             s->output_tokens == u->output + u->reasoning));
}

/* A hit without steps, that added to nothing but the hits. */
static bool may_be_repeated(const struct pk_record *r)
{
    return r->cache_key.len && r->span_count == 0 && r->holds.count == 0 && r->outcome_count == 0 &&
           r->feedback_count == 0;
}

/* With others of its group, if its texts are where they came. */
static bool put_row(struct record_write *w, const struct pk_value *args)
{
    struct pk_store *s = w->store;

    if (!s->rows || w->copied || w->rest.len == 0)
        return s->ops->exec(s, PK_SQL_log_put, args, PK_ROW_SHARED + PK_ROW_OWN, NULL, NULL,
                            w->err);
    if (!pk_store_rows_put(s, args, w->err))
        return false;
    if (may_be_repeated(w->r))
        pk_log_rows_keep(s->rows, w->rest, w->r);
    return true;
}

static bool put_log(struct record_write *w, const struct pk_value payloads[2])
{
    const struct pk_record *r = w->r;
    const struct pk_usage *u = &r->usage;
    const struct pk_span *s = says_all(r) ? &r->spans[0] : NULL;
    const struct pk_value args[PK_ROW_SHARED + PK_ROW_OWN] = {
        required(w, r->operation),
        clean(w, r->provider),
        clean(w, r->request_model),
        clean(w, r->model),
        clean(w, r->config),
        clean(w, r->target_path),
        pk_v_int(r->attempts),
        pk_v_int(r->retries),
        pk_v_int(r->fallback_index),
        pk_v_int(r->stream),
        words(pk_status_name(r->status)),
        pk_v_int_unless(r->http_status == 0, r->http_status),
        clean(w, r->finish_reason),
        words(pk_usage_source_name(u->source)),
        pk_v_tokens(u, u->cache_write),
        pk_v_tokens(u, u->cache_write_1h),
        pk_v_int(r->cost_saved_pusd),
        words(pk_cache_status_name(r->cache_status)),
        clean(w, r->virtual_key),
        clean(w, r->api_key),
        required(w, r->source),
        clean(w, r->span_name),
        error_type(r->code),
        clean(w, r->error_message),
        clean(w, r->cost_known ? PK_NONE : r->cost_reason),
        pk_v_real_unless_0(r->cache_similarity),
        clean(w, r->prompt),
        clean(w, r->guardrail_verdict),
        clean(w, r->dropped),
        clean(w, r->query_id),
        pk_v_uuid(r->id),
        pk_v_int(r->started_us),
        pk_v_int(r->ended_us - r->started_us),
        required(w, r->trace_id),
        clean(w, r->span_id),
        pk_v_int(r->upstream_us),
        since(r->started_us, r->first_token_us),
        pk_v_tokens(u, u->input),
        pk_v_tokens(u, u->output),
        pk_v_tokens(u, u->cache_read),
        pk_v_tokens(u, u->reasoning),
        pk_v_int_unless(!r->cost_known, r->cost_pusd),
        clean(w, r->user_id),
        pk_v_text(r->metadata),
        clean(w, r->parent_span_id),
        payloads[0],
        payloads[1],
        s ? pk_v_int(s->started_us - r->started_us) : pk_v_null(),
        s ? pk_v_int(s->ended_us - s->started_us) : pk_v_null(),
        s ? since(s->started_us, s->first_byte_us) : pk_v_null(),
    };

    return put_row(w, args);
}

static bool put_span(struct record_write *w, int ord)
{
    const struct pk_span *s = &w->r->spans[ord];
    const struct pk_value args[] = {
        pk_v_uuid(w->r->id),
        pk_v_int(ord),
        words(pk_span_kind_name(s->kind)),
        pk_v_int(s->started_us),
        pk_v_int(s->ended_us - s->started_us),
        since(s->started_us, s->first_byte_us),
        clean(w, s->name),
        clean(w, s->target_path),
        clean(w, s->provider),
        clean(w, s->model),
        pk_v_int_unless(s->status == 0, s->status),
        error_type(s->code),
        clean(w, s->message),
        pk_v_int(s->wait_ms),
        pk_v_int_unless(!s->used, s->input_tokens),
        pk_v_int_unless(!s->used, s->output_tokens),
        pk_v_int_unless(!s->cost_known, s->cost_pusd),
    };

    return w->store->ops->exec(w->store, PK_SQL_span_put, args, PK_COUNT(args), NULL, NULL, w->err);
}

static bool count_hit(struct record_write *w)
{
    return w->r->cache_key.len == 0 ||
           pk_store_hit(w->store, w->r->cache_key, w->r->started_us, w->err);
}

/* What adds to something, before the row is there: a call written again is no second hit, and pays once. */
static bool put_once(struct record_write *w)
{
    const struct pk_value id[] = {pk_v_uuid(w->r->id)};
    int64_t known = 0;

    if (w->r->cache_key.len == 0 && w->r->holds.count == 0 && w->r->outcome_count == 0)
        return true;
    if (pk_log_rows_have(w->store->rows, w->r->id))
        return true;
    if (!w->store->unseen && !w->store->ops->exec(w->store, PK_SQL_log_find, id, PK_COUNT(id),
                                                  count_row, &known, w->err))
        return false;
    return known || (count_hit(w) && pk_store_settle(w->store, w->r, w->err) &&
                     pk_store_circuits_count(w->store, w->r, w->err));
}

static bool put_record(struct record_write *w)
{
    struct pk_value payloads[2];

    if (!put_payload(w, w->r->request, &payloads[0]) ||
        !put_payload(w, w->r->response, &payloads[1]) || !put_once(w) || !put_log(w, payloads))
        return false;
    for (int i = says_all(w->r) ? 1 : 0; i < w->r->span_count; i++)
        if (!put_span(w, i))
            return false;
    for (int i = 0; i < w->r->feedback_count; i++)
        if (!pk_store_feedback_add(w->store, &w->r->feedback[i], w->err))
            return false;
    return true;
}

bool pk_store_record_add(struct pk_store *s, const struct pk_record *r, struct pk_error *err)
{
    return pk_store_record_add_from(s, r, PK_NONE, err);
}

bool pk_store_record_add_from(struct pk_store *s, const struct pk_record *r, pk_str rest,
                              struct pk_error *err)
{
    struct record_write w = {.store = s, .r = r, .rest = rest, .err = err};
    struct pk_error ignored;

    if (!s->ops->begin(s, err))
        return false;
    pk_arena_init(&w.scratch, pk_allocator_malloc(), SCRATCH_BYTES_MAX);
    bool ok = put_record(&w);
    if (ok && w.scratch.failed)
        ok = pk_fail(err, PK_NO_MEMORY, "log: out of memory");
    pk_arena_free(&w.scratch);
    if (ok)
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &ignored);
    return false;
}

/* --- feedback -------------------------------------------------------------------------- */

bool pk_feedback_check(struct pk_arena *arena, const struct pk_feedback *f, struct pk_error *err)
{
    if (f->trace_id.len == 0 || f->trace_id.len > PK_SLUG_BYTES_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "trace_id: must be 1..%d bytes", PK_SLUG_BYTES_MAX);
    if (f->value < -10 || f->value > 10)
        return pk_fail(err, PK_BAD_REQUEST, "value: must be -10..10");
    if (!(f->weight >= 0 && f->weight <= 1)) /* NaN too */
        return pk_fail(err, PK_BAD_REQUEST, "weight: must be 0..1");
    return f->metadata.len == 0 || pk_request_metadata(arena, f->metadata, err);
}

bool pk_store_feedback_add(struct pk_store *s, const struct pk_feedback *f, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_uuid(f->id),   pk_v_int(f->at_us),   pk_v_required(f->trace_id),
        pk_v_int(f->value), pk_v_real(f->weight), pk_v_text(f->metadata),
    };

    return s->ops->exec(s, PK_SQL_feedback_put, args, PK_COUNT(args), NULL, NULL, err);
}

/* --- prices ---------------------------------------------------------------------------- */

struct price_read {
    struct pk_arena *arena;
    struct pk_price *rows;
    int count;
};

static int64_t price_of(const struct pk_value *v)
{
    return v->type == PK_V_NULL ? -1 : v->i;
}

static bool add_price(struct price_read *read, const struct pk_price *p)
{
    struct pk_price *rows = pk_alloc_row(read->arena, read->rows, read->count, sizeof *rows);

    if (!rows)
        return false;
    read->rows = rows;
    read->rows[read->count++] = *p;
    return true;
}

static bool read_price(void *ctx, const struct pk_value *v, int count)
{
    struct price_read *read = ctx;
    const struct pk_price p = {
        .provider = pk_copy(read->arena, v[0].s),
        .model = pk_copy(read->arena, v[1].s),
        .above_tokens = v[2].i,
        .from_us = v[3].i,
        .to_us = v[4].i,
        .input = price_of(&v[5]),
        .cache_read = price_of(&v[6]),
        .cache_write = price_of(&v[7]),
        .cache_write_1h = price_of(&v[8]),
        .output = price_of(&v[9]),
        .reasoning = price_of(&v[10]),
        .max_output = v[11].i,
        .context_window = v[12].i,
        .input_batch = price_of(&v[13]),
        .cache_read_batch = price_of(&v[14]),
        .output_batch = price_of(&v[15]),
    };

    PK_ASSERT(count == 16);
    return add_price(read, &p);
}

bool pk_store_prices_load(struct pk_store *s, struct pk_arena *arena, pk_str provider,
                          struct pk_prices *prices, struct pk_error *err)
{
    const struct pk_value name = pk_v_text(provider);
    const bool one = provider.len > 0;
    struct price_read read = {.arena = arena};

    for (int i = 0; one && i < prices->count; i++)
        (void)add_price(&read, &prices->rows[i]);
    if (!s->ops->exec(s, one ? PK_SQL_prices_of : PK_SQL_prices, &name, one, read_price, &read,
                      err))
        return false;
    pk_price_sort(read.rows, read.count);
    *prices = (struct pk_prices){.rows = read.rows, .count = read.count};
    pk_prices_index(arena, prices);
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "prices: out of memory");
}
