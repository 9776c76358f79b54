/* logs_export.c - see logs_export.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "logs_export.h"

#include "cell.h"
#include "http.h"
#include "logs.h"
#include "logs_file.h"
#include "member.h"
#include "path.h"

#include <stdio.h>
#include <string.h>

enum {
    TOKEN_BYTES = 32,
    TOKEN_TEXT = 2 * TOKEN_BYTES,
    TOKEN_S = 3600,
    DESCRIPTION_BYTES_MAX = 1000,
    FILTERS_BYTES_MAX = 64 << 10,
};

#define US_PER_S INT64_C(1000000)

/* The columns of the part "export_columns". */
enum column {
    ID,
    CREATED_US,
    UPDATED_US,
    STATUS,
    ACTOR,
    DESCRIPTION,
    FILTERS,
    FIELDS,
    TOTAL,
    TOKEN,
    TOKEN_US,
    COLUMNS
};

static const struct pkd_cell cells[] = {
    {"id", ID, PKD_CELL_UUID},
    {"status", STATUS, PKD_CELL_TEXT},
    {"description", DESCRIPTION, PKD_CELL_TEXT},
    {"filters", FILTERS, PKD_CELL_JSON},
    {"total", TOTAL, PKD_CELL_INT},
    {"created_by", ACTOR, PKD_CELL_TEXT},
    {"created_at", CREATED_US, PKD_CELL_TIME},
    {"last_updated_at", UPDATED_US, PKD_CELL_TIME},
    {0},
};

/* One export. */
struct export
{
    struct pkd_errand *e;
    struct pk_error *err;
    uint8_t id[PK_UUID_BYTES];
    pk_str status, description, filters, fields;
    int64_t total, token_us;
    pk_str token;
    bool found;
};

bool pkd_logs_export(struct pkd_errand *e, struct pk_error *err)
{
    struct pkd_filter f;

    pkd_logs_settle(e);
    return pkd_filter_query(e, &f, err) && pkd_logs_send(e, &f, err);
}

/* --- what an export is ---------------------------------------------------------------------- */

static bool take_count(void *ctx, const struct pk_value *v, int count)
{
    (void)count;
    *(int64_t *)ctx = v[0].i;
    return false;
}

/* Whether the filters can be used, and how many calls they let through. */
static bool count_calls(struct export *x)
{
    struct pkd_filter f;
    struct pk_json doc;

    if (!pk_json_parse(x->e->arena, x->filters, "filters", &doc, x->err) ||
        !pkd_filter_json(x->e, &doc, 0, &f, x->err))
        return false;
    f.args[PKD_FILTER_ARGS] = pk_v_int(INT64_MAX);
    return x->e->store->ops->exec(x->e->store, PK_SQL_logs_count, f.args, PKD_FILTER_ARGS + 1,
                                  take_count, &x->total, x->err);
}

/* ["id", "cost"] as "id,cost". */
static bool read_requested(struct export *x, const struct pk_json *doc, int list)
{
    struct pk_buf out = pk_buf_in(x->e->arena, FILTERS_BYTES_MAX);

    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(x->err, PK_BAD_REQUEST, "requested_data: must be a list of names");
    for (int i = pk_json_first(doc, list); i >= 0; i = pk_json_next(doc, list, i)) {
        pk_str name = pk_json_str(x->e->arena, doc, i);

        if (out.len)
            pk_buf_addc(&out, ',');
        pk_buf_add(&out, name.len ? name : PK_STR("?"));
    }
    x->fields = pk_buf_str(&out);
    return !out.failed && pkd_fields_check(x->fields, x->err);
}

/* What the body says; what it does not say stays as it was. */
static bool read_body(struct export *x)
{
    struct pk_json doc;

    if (!pk_json_parse(x->e->arena, x->e->body, "body", &doc, x->err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return pk_fail(x->err, PK_BAD_REQUEST, "body: must be an object");
    int filters = pk_json_get(&doc, 0, "filters"), fields = pk_json_get(&doc, 0, "requested_data");
    int description = pk_json_get(&doc, 0, "description");
    if (filters >= 0)
        x->filters = pk_json_raw(&doc, filters);
    if (description >= 0)
        x->description = pk_json_str(x->e->arena, &doc, description);
    if (!pk_str_starts(x->filters, "{") || x->filters.len > FILTERS_BYTES_MAX)
        return pk_fail(x->err, PK_BAD_REQUEST, "filters: must be an object");
    if (x->description.len > DESCRIPTION_BYTES_MAX)
        return pk_fail(x->err, PK_BAD_REQUEST, "description: at most %d bytes",
                       DESCRIPTION_BYTES_MAX);
    return (fields < 0 || read_requested(x, &doc, fields)) && count_calls(x);
}

static struct pk_value key_of(const struct export *x)
{
    return pk_v_blob(x->id, PK_UUID_BYTES);
}

static bool answer_id(struct export *x)
{
    char text[PK_UUID_TEXT + 1];

    pk_uuid_print(x->id, text);
    pk_buf_addf(&x->e->out, "{\"id\":\"%s\",\"total\":%lld,\"object\":\"export\"}", text,
                (long long)x->total);
    return true;
}

/* --- the store ------------------------------------------------------------------------------ */

static bool take_export(void *ctx, const struct pk_value *v, int count)
{
    struct export *x = ctx;
    struct pk_arena *arena = x->e->arena;

    PK_ASSERT(count >= COLUMNS);
    x->found = true;
    x->status = pk_copy(arena, v[STATUS].s);
    x->description = pk_copy(arena, v[DESCRIPTION].s);
    x->filters = pk_copy(arena, v[FILTERS].s);
    x->fields = pk_copy(arena, v[FIELDS].s);
    x->token = pk_copy(arena, v[TOKEN].s);
    x->token_us = v[TOKEN_US].i;
    x->total = v[TOTAL].i;
    return false;
}

/* Finds the export that the path names. */
static bool find(struct export *x)
{
    pk_str text = pkd_path_segment(x->e->arena, x->e->path, 3);
    const struct pk_value key = key_of(x);

    if (pk_uuid_parse(text, x->id) &&
        !x->e->store->ops->exec(x->e->store, PK_SQL_export_get, &key, 1, take_export, x, x->err))
        return false;
    return x->found || pk_fail(x->err, PK_NOT_FOUND, "export: there is none called \"%.*s\"",
                               PK_FMT(pk_str_sub(text, 0, PK_SLUG_BYTES_MAX)));
}

static bool set_status(struct export *x, const char *status)
{
    const struct pk_value args[] = {key_of(x), pk_v_int(pk_clock_us()),
                                    pk_v_required(pk_str_of(status))};

    return x->e->store->ops->exec(x->e->store, PK_SQL_export_status, args, PK_COUNT(args), NULL,
                                  NULL, x->err);
}

/* --- the verbs ------------------------------------------------------------------------------ */

bool pkd_export_create(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};
    int64_t now_us = pk_clock_us();
    uint64_t random;

    pk_secret_random(&random, sizeof random);
    pk_uuid7(now_us, random, x.id);
    pkd_logs_settle(e);
    if (!read_body(&x))
        return false;
    const struct pk_value args[] = {key_of(&x),
                                    pk_v_int(now_us),
                                    pk_v_required(pk_str_of(e->store->actor)),
                                    pk_v_text(x.description),
                                    pk_v_required(x.filters),
                                    pk_v_required(x.fields),
                                    pk_v_int(x.total)};
    return e->store->ops->exec(e->store, PK_SQL_export_put, args, PK_COUNT(args), NULL, NULL,
                               err) &&
           answer_id(&x);
}

bool pkd_export_update(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};

    pkd_logs_settle(e);
    if (!find(&x) || !read_body(&x))
        return false;
    const struct pk_value args[] = {key_of(&x),
                                    pk_v_int(pk_clock_us()),
                                    pk_v_text(x.description),
                                    pk_v_required(x.filters),
                                    pk_v_required(x.fields),
                                    pk_v_int(x.total)};
    return e->store->ops->exec(e->store, PK_SQL_export_change, args, PK_COUNT(args), NULL, NULL,
                               err) &&
           answer_id(&x);
}

static void add_item(struct pk_buf *out, const struct pk_value *v)
{
    pk_str rest = v[FIELDS].s;

    pk_buf_addc(out, '{');
    pkd_cell_members(out, cells, v);
    pk_buf_adds(out, ",\"requested_data\":[");
    for (bool first = true; rest.len; first = false) {
        int comma = pk_str_find(rest, ',');
        size_t len = comma < 0 ? rest.len : (size_t)comma;

        if (!first)
            pk_buf_addc(out, ',');
        pk_json_quote(out, pk_str_sub(rest, 0, len));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    pk_buf_adds(out, "],\"organisation_id\":null,\"workspace_id\":null,\"object\":\"export\"}");
}

static bool take_item(void *ctx, const struct pk_value *v, int count)
{
    struct export *x = ctx;
    struct pk_buf *out = &x->e->out;

    PK_ASSERT(count == COLUMNS + 1);
    x->total = v[COLUMNS].i;
    if (out->at[out->len - 1] == '}')
        pk_buf_addc(out, ',');
    add_item(out, v);
    return !out->failed;
}

bool pkd_export_list(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};
    struct pkd_filter f;

    if (!pkd_filter_query(e, &f, err))
        return false;
    const struct pk_value args[] = {pk_v_int(f.page_size), pk_v_int(f.current_page * f.page_size)};
    pk_buf_adds(&e->out, "{\"object\":\"list\",\"data\":[");
    if (!e->store->ops->exec(e->store, PK_SQL_export_list, args, PK_COUNT(args), take_item, &x,
                             err))
        return false;
    pk_buf_addf(&e->out, "],\"total\":%lld}", (long long)x.total);
    return true;
}

static bool print_export(void *ctx, const struct pk_value *v, int count)
{
    struct export *x = ctx;

    PK_ASSERT(count == COLUMNS);
    add_item(&x->e->out, v);
    return false;
}

bool pkd_export_get(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};

    if (!find(&x))
        return false;
    const struct pk_value key = key_of(&x);
    return e->store->ops->exec(e->store, PK_SQL_export_get, &key, 1, print_export, &x, err);
}

/* There is nothing to do before it is downloaded. */
bool pkd_export_start(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};

    pk_buf_adds(&e->out, "{\"message\":\"Export is ready\",\"object\":\"export\"}");
    return find(&x) && set_status(&x, "success");
}

bool pkd_export_cancel(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};

    pk_buf_adds(&e->out, "{\"message\":\"Export is stopped\",\"object\":\"export\"}");
    return find(&x) && set_status(&x, "stopped");
}

static bool is_ready(struct export *x)
{
    return pk_str_is(x->status, "success") ||
           pk_fail(x->err, PK_BAD_REQUEST, "export: it is %s; start it first",
                   pk_str_is(x->status, "draft") ? "a draft" : "stopped");
}

/* --- the link ------------------------------------------------------------------------------- */

static void hash_of(pk_str token, uint8_t hash[PK_PAYLOAD_HASH_BYTES])
{
    pk_payload_hash(token, hash);
}

/* Where the client found this gateway. */
static pk_str base_of(struct pkd_errand *e)
{
    pk_str host = pk_http_header(e->headers, "host");
    pk_str scheme = pk_http_header(e->headers, "x-forwarded-proto");
    bool tls = e->app->options->tls_cert || pk_str_is(scheme, "https");

    return pk_copyf(e->arena, "%s://%.*s", tls ? "https" : "http", PK_FMT(host));
}

bool pkd_export_download(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};
    uint8_t secret[TOKEN_BYTES], hash[PK_PAYLOAD_HASH_BYTES];
    char token[TOKEN_TEXT + 1], id[PK_UUID_TEXT + 1];

    if (!find(&x) || !is_ready(&x))
        return false;
    pk_secret_random(secret, sizeof secret);
    for (int i = 0; i < TOKEN_BYTES; i++)
        (void)snprintf(token + 2 * i, 3, "%02x", secret[i]);
    hash_of(pk_str_of(token), hash);
    const struct pk_value args[] = {key_of(&x), pk_v_blob(hash, sizeof hash),
                                    pk_v_int(pk_clock_us() + TOKEN_S * US_PER_S)};
    if (!e->store->ops->exec(e->store, PK_SQL_export_token, args, PK_COUNT(args), NULL, NULL, err))
        return false;
    pk_uuid_print(x.id, id);
    pk_buf_addc(&e->out, '{');
    pk_member_text(
        &e->out, "signed_url",
        pk_copyf(e->arena, "%.*s/v1/logs/exports/%s/file?token=%s", PK_FMT(base_of(e)), id, token));
    pk_buf_addc(&e->out, '}');
    return true;
}

/* No key is needed, but a link that is not too old. */
bool pkd_export_file(struct pkd_errand *e, struct pk_error *err)
{
    struct export x = {.e = e, .err = err};
    pk_str token = pkd_query_value(e->arena, e->query, "token");
    uint8_t hash[PK_PAYLOAD_HASH_BYTES];
    struct pkd_filter f;
    struct pk_json doc;

    hash_of(token, hash);
    if (!find(&x))
        return false;
    if (token.len != TOKEN_TEXT || x.token.len != sizeof hash ||
        memcmp(x.token.at, hash, sizeof hash) != 0 || x.token_us < pk_clock_us())
        return pk_fail(err, PK_NO_PERMISSION, "token: is none of this export, or too old");
    if (!is_ready(&x))
        return false;
    pkd_logs_settle(e);
    if (!pk_json_parse(e->arena, x.filters, "filters", &doc, err) ||
        !pkd_filter_json(e, &doc, 0, &f, err))
        return false;
    f.fields = x.fields;
    f.format = pkd_query_value(e->arena, e->query, "format");
    return pkd_logs_send(e, &f, err);
}
