/* logs_insert.c - see logs_insert.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "logs_insert.h"

#include "dialect_parts.h"
#include "operation.h"
#include "price.h"
#include "provider.h"
#include "tap.h"
#include "url.h"

#include <string.h>

enum { ITEMS_MAX = 1000, WAIT_MS = 1000, NAME_BYTES_MAX = 200, MESSAGE_BYTES_MAX = 1000 };

#define MS_MAX INT64_C(86400000)

/* One call being read. */
struct item {
    struct pkd_errand *e;
    const struct pk_json *doc;
    int request, response, metadata; /* the three members; -1: not there */
    struct pk_record r;
    struct pk_error *err;
};

static bool fail(struct item *it, const char *where, const char *why)
{
    return pk_fail(it->err, PK_BAD_REQUEST, "%s: %s", where, why);
}

static pk_str text(struct item *it, int object, const char *name)
{
    return pk_json_str(it->e->arena, it->doc, pk_json_get(it->doc, object, name));
}

static pk_str name(struct item *it, int object, const char *name)
{
    return pk_dialect_shorten(text(it, object, name), NAME_BYTES_MAX);
}

/* --- the request ---------------------------------------------------------------------------- */

/* The operation whose path the URL ends with; any other is passed on, as it would be by the proxy. */
static pk_str operation_of(pk_str url)
{
    const struct pk_operation *o;
    int query = pk_str_find(url, '?');
    pk_str path = query < 0 ? url : pk_str_sub(url, 0, (size_t)query);

    for (int i = 0; (o = pk_operation_at(i)) != NULL; i++)
        if (*o->path && pk_str_ends(path, o->path))
            return pk_str_of(o->name);
    return PK_STR("proxy");
}

/* Whose host the URL has. */
static pk_str provider_at(pk_str url)
{
    struct pk_error unused = {0};
    struct pk_url there, theirs;
    const struct pk_provider *p;

    if (!pk_url_parse(url, "url", &there, &unused))
        return PK_NONE;
    for (int i = 0; (p = pk_provider_at(i)) != NULL; i++)
        if (*p->base_url && !strchr(p->base_url, '{') &&
            pk_url_parse(pk_str_of(p->base_url), "url", &theirs, &unused) &&
            pk_url_same_origin(&there, &theirs))
            return pk_str_of(p->name);
    return PK_NONE;
}

static pk_str provider_of(struct item *it, pk_str url)
{
    int headers = pk_json_get(it->doc, it->request, "headers");
    pk_str given = name(it, it->request, "provider");

    if (given.len == 0)
        given = name(it, headers, "x-portkey-provider");
    return given.len ? given : provider_at(url);
}

static bool read_request(struct item *it)
{
    int body = pk_json_get(it->doc, it->request, "body");
    pk_str url = text(it, it->request, "url");

    if (pk_json_type(it->doc, it->request) != PK_JSON_OBJECT)
        return fail(it, "request", "must be an object");
    if (url.len == 0)
        return fail(it, "request.url", "must be given");
    if (pk_json_type(it->doc, body) != PK_JSON_OBJECT)
        return fail(it, "request.body", "must be an object");
    it->r.operation = operation_of(url);
    it->r.provider = provider_of(it, url);
    it->r.request_model = name(it, body, "model");
    it->r.stream = pk_json_true(it->doc, pk_json_get(it->doc, body, "stream"));
    it->r.request = pk_json_raw(it->doc, body);
    return true;
}

/* --- the response --------------------------------------------------------------------------- */

/* {"error": {"message": "..."}} or {"error": "..."} */
static pk_str message_of(struct item *it, int body)
{
    int error = pk_json_get(it->doc, body, "error");
    pk_str message = pk_json_type(it->doc, error) == PK_JSON_STRING ? text(it, body, "error")
                                                                    : text(it, error, "message");

    return pk_dialect_shorten(message, MESSAGE_BYTES_MAX);
}

static pk_str finish_of(struct item *it, int body)
{
    int choice = pk_json_item(it->doc, pk_json_get(it->doc, body, "choices"), 0);
    pk_str reason = name(it, choice, "finish_reason");

    return reason.len ? reason : name(it, body, "stop_reason");
}

/* What the answer says was used, and what that costs. */
static bool read_usage(struct item *it, const struct pk_prices *prices)
{
    const char *why = "the answer names no tokens";
    struct pk_record *r = &it->r;
    struct pk_json answer;

    if (r->response.len == 0)
        return true;
    if (!pk_json_parse(it->e->arena, r->response, "response.body", &answer, it->err))
        return false;
    if (pk_tap_usage(&answer, &r->usage)) {
        r->usage.source = PK_USAGE_PROVIDER;
        r->cost_known =
            pk_price_cost(prices, r->provider, r->model.len ? r->model : r->request_model,
                          &r->usage, r->started_us, &r->cost_pusd, &why);
    }
    if (!r->cost_known)
        r->cost_reason = pk_copy(it->e->arena, pk_str_of(why));
    return true;
}

static bool read_response(struct item *it)
{
    int body = pk_json_get(it->doc, it->response, "body"),
        status = pk_json_get(it->doc, it->response, "status");
    int took = pk_json_get(it->doc, it->response, "response_time");
    struct pk_record *r = &it->r;
    int64_t code = 200, ms = 0;

    if (pk_json_type(it->doc, it->response) != PK_JSON_OBJECT)
        return fail(it, "response", "must be an object");
    if (status >= 0 && (!pk_json_int(it->doc, status, &code) || code < 100 || code > 599))
        return fail(it, "response.status", "must be an HTTP status");
    if (took >= 0 && (!pk_json_int(it->doc, took, &ms) || ms < 0 || ms > MS_MAX))
        return fail(it, "response.response_time", "must be milliseconds, at most a day");
    r->ended_us = pk_clock_us();
    r->started_us = r->ended_us - ms * 1000;
    r->upstream_us = ms * 1000;
    r->http_status = (int)code;
    r->status = code < 400 ? PK_ST_SUCCESS : PK_ST_ERROR;
    r->code = code < 400 ? PK_OK : PK_UPSTREAM;
    r->error_message = code < 400 ? PK_NONE : message_of(it, body);
    r->model = name(it, body, "model");
    r->finish_reason = finish_of(it, body);
    if (pk_json_type(it->doc, body) == PK_JSON_OBJECT)
        r->response = pk_json_raw(it->doc, body);
    return true;
}

/* --- the metadata --------------------------------------------------------------------------- */

/* Where in a trace it is, and what is kept as its metadata. */
static bool read_metadata(struct item *it)
{
    static const struct pk_json_edit places[] = {{{"trace_id", 8}, {NULL, 0}},
                                                 {{"span_id", 7}, {NULL, 0}},
                                                 {{"span_name", 9}, {NULL, 0}},
                                                 {{"parent_span_id", 14}, {NULL, 0}}};
    struct pk_buf rest = pk_buf_in(it->e->arena, PK_METADATA_BYTES_MAX);
    char id[PK_UUID_TEXT + 1];

    pk_uuid_print(it->r.id, id);
    it->r.trace_id = name(it, it->metadata, "trace_id");
    if (it->r.trace_id.len == 0)
        it->r.trace_id = pk_copy(it->e->arena, pk_str_of(id));
    it->r.span_id = name(it, it->metadata, "span_id");
    it->r.span_name = name(it, it->metadata, "span_name");
    it->r.parent_span_id = name(it, it->metadata, "parent_span_id");
    it->r.user_id = name(it, it->metadata, "_user");
    it->r.prompt = name(it, it->metadata, "_prompt");
    if (it->metadata < 0 || pk_json_type(it->doc, it->metadata) == PK_JSON_NULL)
        return true;
    if (pk_json_type(it->doc, it->metadata) != PK_JSON_OBJECT)
        return fail(it, "metadata", "must be an object");
    pk_json_splice(&rest, it->doc, it->metadata, places, PK_COUNT(places));
    it->r.metadata = pk_str_is(pk_buf_str(&rest), "{}") ? PK_NONE : pk_buf_str(&rest);
    return !rest.failed || fail(it, "metadata", "too large");
}

/* --- all of them ---------------------------------------------------------------------------- */

static bool read_item(struct pkd_errand *e, const struct pk_json *doc, int object,
                      const struct pk_prices *prices, struct item *it)
{
    uint64_t random;

    it->e = e;
    it->doc = doc;
    it->request = pk_json_get(doc, object, "request");
    it->response = pk_json_get(doc, object, "response");
    it->metadata = pk_json_get(doc, object, "metadata");
    it->r = (struct pk_record){.source = PK_STR("http"), .attempts = 1, .api_key = e->caller};
    if (pk_json_type(doc, object) != PK_JSON_OBJECT)
        return fail(it, "body", "must be an object or an array of objects");
    if (!read_request(it) || !read_response(it))
        return false;
    pk_secret_random(&random, sizeof random);
    pk_uuid7(it->r.started_us, random, it->r.id);
    if (!read_metadata(it) || !read_usage(it, prices))
        return false;
    pk_privacy_apply(e->arena, e->app->privacy, PK_STR("the provider answered with an error"),
                     &it->r);
    return true;
}

/* Flattens one behind those before; *entry is its bytes. */
static bool print_entry(struct item *it, pk_str *entry)
{
    struct pk_buf out = pk_buf_in(it->e->arena, 2 * PK_BODY_BYTES_MAX);

    pk_journal_record(&out, &it->r);
    *entry = pk_buf_str(&out);
    return !out.failed || pk_fail(it->err, PK_TOO_LARGE, "body: too large");
}

static bool write_all(struct pkd_errand *e, const pk_str *entries, int count, struct pk_error *err)
{
    for (int i = 0; i < count; i++)
        if (!pk_writer_add(e->app->writer, entries[i], 0, WAIT_MS))
            return pk_fail(err, PK_STORE, "logs: the log writer is full");
    return true;
}

static bool read_all(struct pkd_errand *e, const struct pk_json *doc, pk_str *entries, int count,
                     struct pk_error *err)
{
    struct item *it = pk_alloc(e->arena, sizeof *it);
    bool array = pk_json_type(doc, 0) == PK_JSON_ARRAY;
    struct pk_prices prices = {0};
    int object = array ? pk_json_first(doc, 0) : 0;

    if (!it)
        return pk_fail(err, PK_NO_MEMORY, "logs: out of memory");
    if (!pk_store_prices_load(e->store, e->arena, PK_NONE, &prices, err))
        return false;
    for (int i = 0; i < count; i++) {
        char id[PK_UUID_TEXT + 1];

        it->err = err;
        if (!read_item(e, doc, object, &prices, it) || !print_entry(it, &entries[i]))
            return false;
        pk_uuid_print(it->r.id, id);
        pk_buf_addf(&e->out, "%s\"%s\"", i ? "," : "", id);
        object = array ? pk_json_next(doc, 0, object) : object;
    }
    return true;
}

bool pkd_logs_insert(struct pkd_errand *e, struct pk_error *err)
{
    struct pk_json doc;

    if (!pk_json_parse(e->arena, e->body, "body", &doc, err))
        return false;
    int count = pk_json_type(&doc, 0) == PK_JSON_ARRAY ? pk_json_count(&doc, 0) : 1;
    if (count < 1 || count > ITEMS_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "body: must be 1 to %d calls", ITEMS_MAX);
    pk_str *entries = pk_alloc(e->arena, sizeof *entries * (size_t)count);
    if (!entries)
        return pk_fail(err, PK_NO_MEMORY, "logs: out of memory");
    pk_buf_adds(&e->out, "{\"status\":\"success\",\"ids\":[");
    if (!read_all(e, &doc, entries, count, err) || !write_all(e, entries, count, err))
        return false;
    pk_buf_adds(&e->out, "]}");
    return true;
}
