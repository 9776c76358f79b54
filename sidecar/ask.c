/* ask.c - see ask.h. The meaning of each header is Portkey's.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ask.h"

#include "config.h"
#include "form.h"
#include "http.h"
#include "otel.h"
#include "store_provider.h"
#include "url.h"

#include <ctype.h>
#include <string.h>

struct header {
    const char *name;
    size_t at; /* of its field in struct pkd_ask */
};

static const struct header steering[] = {
#define HEADER(field, name) {name, offsetof(struct pkd_ask, field)},
#include "headers.def"
#undef HEADER
};

static pk_str without_prefix(pk_str s, const char *prefix)
{
    size_t len = strlen(prefix);

    if (s.len < len || !pk_str_is_nocase(pk_str_sub(s, 0, len), prefix))
        return PK_NONE;
    return pk_str_sub(s, len, s.len);
}

/* x-portkey-azure-resource-name and the like: the name of a field with dashes. False: it is none. */
static bool note_field(struct pkd_ask *ask, pk_str name, pk_str value)
{
    char snake[64];

    if (name.len >= sizeof snake)
        return false;
    for (size_t i = 0; i < name.len; i++)
        snake[i] = name.at[i] == '-' ? '_' : (char)tolower((unsigned char)name.at[i]);
    int field = pk_target_field_find((pk_str){snake, name.len});
    if (field >= 0 && value.len)
        ask->fields.at[field] = value;
    return field >= 0;
}

static void note_steering(struct pkd_ask *ask, pk_str name, pk_str value)
{
    for (size_t i = 0; i < PK_COUNT(steering); i++) {
        if (pk_str_is_nocase(name, steering[i].name)) {
            *(pk_str *)(void *)((char *)ask + steering[i].at) = value.at ? value : PK_STR("");
            return;
        }
    }
    (void)note_field(ask, name, value);
}

/* Gateway keys look like provider keys to every SDK; theirs start with "pk-". */
static void note_key(struct pkd_ask *ask, pk_str value, bool again)
{
    pk_str bearer = without_prefix(value, "bearer ");
    pk_str key = pk_str_trim(bearer.len ? bearer : value), caller = pk_http_gateway_key(value);

    if (ask->caller.len == 0)
        ask->caller = caller;
    if (caller.len == 0 && key.len && (again || ask->key.len == 0))
        ask->key = key;
}

/* Bytes that are no UTF-8 are ISO-8859-1, which is how fetch() sends what a program says in a header. */
static void make_readable(struct pk_arena *arena, pk_str *value)
{
    struct pk_buf out;
    size_t bad;

    if (value->len == 0 || pk_utf8_valid(*value, &bad))
        return;
    out = pk_buf_in(arena, 2 * PK_HEADERS_BYTES_MAX);
    for (size_t i = 0; i < value->len; i++) {
        unsigned char c = (unsigned char)value->at[i];

        if (c >= 0x80)
            pk_buf_addc(&out, (char)(0xc0 | c >> 6));
        pk_buf_addc(&out, (char)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
    }
    if (!out.failed)
        *value = pk_buf_str(&out);
}

static void scan(pk_str headers, struct pkd_ask *ask)
{
    pk_str name, value;

    *ask = (struct pkd_ask){0};
    while (pk_http_next_header(&headers, &name, &value)) {
        pk_str ours = without_prefix(name, "x-portkey-");

        if (ours.len == 0)
            ours = without_prefix(name, "x-pk-");
        if (ours.len)
            note_steering(ask, ours, value);
        else if (pk_str_is_nocase(name, "authorization"))
            note_key(ask, value, true);
        else if (pk_str_is_nocase(name, "x-api-key") || pk_str_is_nocase(name, "api-key"))
            note_key(ask, value, false);
        else if (pk_str_is_nocase(name,
                                  "sec-websocket-protocol")) /* a browser has no other place */
            note_key(ask, pk_http_offered_key(value), false);
        else if (pk_str_is_nocase(name, "content-type")) {
            if (ask->content_type.len == 0)
                ask->content_type = value;
        } else if (pk_str_is_nocase(name, "content-encoding"))
            ask->content_encoding = value;
        else if (pk_str_is_nocase(name, "traceparent"))
            ask->traceparent = value;
        else if (pk_str_is_nocase(name, "openai-organization"))
            ask->organization = value;
        else if (pk_str_is_nocase(name, "openai-project"))
            ask->project = value;
    }
    if (ask->api_key.len)
        ask->caller = pk_str_trim(ask->api_key);
}

/* --- heads that are known ------------------------------------------------------------------ */

enum { STRINGS = sizeof(struct pkd_ask) / sizeof(pk_str) };
_Static_assert(sizeof(struct pkd_ask) == STRINGS * sizeof(pk_str), "strings and nothing else");

static pk_str *string(struct pkd_ask *ask, size_t i)
{
    return &((pk_str *)(void *)ask)[i];
}

static void recall(const struct pkd_asked_head *h, pk_str headers, struct pkd_ask *ask)
{
    *ask = (struct pkd_ask){0};
    for (int i = 0; i < h->count; i++)
        *string(ask, h->words[i].field) = (pk_str){headers.at + h->words[i].from, h->words[i].len};
}

/* One that says too much is left out. */
static void remember(struct pkd_asked_head *h, uint64_t head, pk_str headers, struct pkd_ask *ask)
{
    h->head = 0;
    h->count = 0;
    for (size_t i = 0; i < STRINGS; i++) {
        pk_str s = *string(ask, i);

        if (!s.at)
            continue;
        if (h->count == PKD_ASK_WORDS)
            return;
        h->words[h->count].field = (uint32_t)i;
        h->words[h->count].from = s.len ? (uint32_t)(s.at - headers.at) : 0;
        h->words[h->count++].len = (uint32_t)s.len;
    }
    h->head = head;
}

void pkd_ask_scan(struct pkd_asks *known, const struct pkd_request *req, struct pkd_ask *ask)
{
    struct pkd_asked_head *h = &known->list[req->head % PKD_ASKS];

    if (req->head && h->head == req->head) {
        recall(h, req->headers, ask);
        return;
    }
    scan(req->headers, ask);
    if (req->head)
        remember(h, req->head, req->headers, ask);
}

void pkd_ask_read(struct pk_arena *arena, struct pkd_asks *known, const struct pkd_request *req,
                  struct pkd_ask *ask)
{
    pkd_ask_scan(known, req, ask);
    for (size_t i = 0; i < PK_COUNT(steering); i++)
        make_readable(arena, (pk_str *)(void *)((char *)ask + steering[i].at));
}

/* --- how ----------------------------------------------------------------------------------- */

static bool check_short(pk_str value, const char *header, struct pk_error *err)
{
    size_t bad;

    if (value.len > PK_SLUG_BYTES_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "x-portkey-%s: longer than %d bytes", header,
                       PK_SLUG_BYTES_MAX);
    if (!pk_utf8_valid(value, &bad) || !pk_http_valid_value(value))
        return pk_fail(err, PK_BAD_REQUEST, "x-portkey-%s: must be UTF-8 text", header);
    return true;
}

static bool read_ids(const struct pkd_ask *ask, struct pk_request *req, struct pk_error *err)
{
    pk_str trace, span;

    req->trace_id = ask->trace_id;
    req->span_id = ask->span_id;
    req->parent_span_id = ask->parent_span_id;
    req->span_name = ask->span_name;
    req->cache_ns = ask->cache_ns;
    if (ask->trace_id.len == 0 && pk_otel_parent(ask->traceparent, &trace, &span)) {
        req->trace_id = trace;
        if (ask->parent_span_id.len == 0)
            req->parent_span_id = span;
    }
    return check_short(ask->trace_id, "trace-id", err) &&
           check_short(ask->span_id, "span-id", err) &&
           check_short(ask->parent_span_id, "parent-span-id", err) &&
           check_short(ask->span_name, "span-name", err) &&
           check_short(ask->cache_ns, "cache-namespace", err);
}

static bool read_timeout(struct pk_arena *arena, const struct pkd_ask *ask, struct pk_request *req,
                         struct pk_error *err)
{
    struct pk_buf text = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);
    struct pk_error unused;
    struct pk_json doc;
    int64_t number;

    if (ask->request_timeout.len == 0)
        return true;
    if (pk_str_int(ask->request_timeout, &number))
        pk_buf_add(&text, ask->request_timeout);
    else
        pk_json_quote(&text, ask->request_timeout);
    if (!pk_json_parse(arena, pk_buf_str(&text), "timeout", &doc, &unused) ||
        !pk_config_duration_ms(&doc, 0, &req->request_ms))
        return pk_fail(err, PK_BAD_REQUEST,
                       "x-portkey-request-timeout: must be milliseconds, \"250ms\" or \"30s\"");
    return true;
}

static bool read_host(const struct pkd_ask *ask, struct pk_request *req, struct pk_error *err)
{
    struct pk_url url;

    if (ask->custom_host.len == 0)
        return true;
    req->custom_host = ask->custom_host;
    return pk_url_parse(ask->custom_host, "x-portkey-custom-host", &url, err);
}

/* *value stays as it is when the header is not there. A word that means neither is refused: who wanted to keep
 * a text out of the log must not find it there. */
static bool read_switch(pk_str given, const char *header, bool *value, struct pk_error *err)
{
    bool on = pk_str_is_nocase(given, "true") || pk_str_is(given, "1");
    bool off = pk_str_is_nocase(given, "false") || pk_str_is(given, "0");

    if (given.len && !on && !off)
        return pk_fail(err, PK_BAD_REQUEST, "x-portkey-%s: must be true or false", header);
    *value = given.len ? on : *value;
    return true;
}

/* `debug: false` is Portkey's word for a call that nothing is kept of. */
static bool read_privacy(const struct pkd_ask *ask, struct pk_request *req, struct pk_error *err)
{
    enum pk_payloads *payloads = &req->privacy.payloads;
    bool disable = false, debug = true;

    if (ask->log_payloads.len && !pk_payloads_parse(ask->log_payloads, payloads))
        return pk_fail(err, PK_BAD_REQUEST, "x-portkey-log-payloads: must be full, hash or none");
    if (!read_switch(ask->disable_logging, "disable-logging", &disable, err) ||
        !read_switch(ask->debug, "debug", &debug, err))
        return false;
    req->cache_off = !debug;
    if (disable || !debug)
        *payloads = PK_PAYLOADS_NONE;
    return true;
}

bool pkd_ask_request(struct pk_arena *arena, const struct pkd_ask *ask, struct pk_request *req,
                     struct pk_error *err)
{
    if (!read_ids(ask, req, err) || !read_timeout(arena, ask, req, err) ||
        !read_host(ask, req, err) || !read_privacy(ask, req, err) ||
        !read_switch(ask->strict_params, "strict-params", &req->strict_params, err))
        return false;
    req->forward = ask->forward;
    req->cache_refresh = ask->cache_refresh.at && !pk_str_is_nocase(ask->cache_refresh, "false");
    req->metadata = ask->metadata;
    return ask->metadata.len == 0 || pk_request_metadata(arena, ask->metadata, err);
}

/* --- which config -------------------------------------------------------------------------- */

static void print_member(struct pk_buf *out, enum pk_target_field f, pk_str value)
{
    pk_buf_addf(out, ",\"%s\":", pk_target_field_row(f)->name);
    pk_json_quote(out, value);
}

static void print_fields(struct pk_buf *out, const struct pkd_ask *ask)
{
    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        if (ask->fields.at[f].len)
            print_member(out, (enum pk_target_field)f, ask->fields.at[f]);
    }
}

static bool has_fields(const struct pkd_ask *ask)
{
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        if (ask->fields.at[f].len)
            return true;
    return false;
}

/* A provider that is nowhere without a custom_host, or without fields. */
static bool has_no_address(pk_str provider)
{
    const struct pk_provider *p = pk_provider_find(provider);

    return p && (!*p->base_url || strchr(p->base_url, '{'));
}

/* OpenAI's SDK says whose account it is in headers of OpenAI's own. They belong to the key that comes with them. */
static void print_account(struct pk_buf *out, const struct pkd_ask *ask)
{
    if (ask->organization.len && ask->fields.at[PK_TF_openai_organization].len == 0)
        print_member(out, PK_TF_openai_organization, ask->organization);
    if (ask->project.len && ask->fields.at[PK_TF_openai_project].len == 0)
        print_member(out, PK_TF_openai_project, ask->project);
}

/* The members that say whom to ask, from headers: {"provider":...,"api_key":...} without the braces. */
static void print_target(struct pk_buf *out, const struct pkd_ask *ask)
{
    pk_str provider = ask->provider;

    if (ask->virtual_key.len) {
        pk_buf_adds(out, "\"virtual_key\":");
        pk_json_quote(out, ask->virtual_key);
        print_fields(out, ask);
        return;
    }
    if (pk_str_starts(provider, "@") && ask->key.len) /* a virtual key would have its own */
        provider = pk_str_sub(provider, 1, provider.len);
    pk_buf_adds(out, "\"provider\":");
    pk_json_quote(out, provider);
    if (ask->key.len) {
        pk_buf_adds(out, ",\"api_key\":");
        pk_json_quote(out, ask->key);
        if (pk_str_is(provider, "openai"))
            print_account(out, ask);
    }
    if (ask->custom_host.len && has_no_address(provider)) {
        pk_buf_adds(out, ",\"custom_host\":");
        pk_json_quote(out, ask->custom_host);
    }
    print_fields(out, ask);
}

static bool finish(const struct pk_buf *b, pk_str *out, struct pk_error *err)
{
    *out = pk_buf_str(b);
    return !b->failed || pk_fail(err, PK_TOO_LARGE, "config: too large");
}

static bool names_target(const struct pk_json *doc)
{
    static const char *const members[] = {"provider", "virtual_key", "virtualKey", "targets"};

    for (size_t i = 0; i < PK_COUNT(members); i++)
        if (pk_json_get(doc, 0, members[i]) >= 0)
            return true;
    return false;
}

/* A config that says how but not whom, completed from the other headers. */
static bool complete_config(struct pk_arena *arena, const struct pkd_ask *ask, pk_str text,
                            pk_str *reference, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    struct pk_json doc;

    if (!pk_json_parse(arena, text, "config", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT || names_target(&doc))
        return true;
    pk_buf_addc(&out, '{');
    print_target(&out, ask);
    if (pk_json_count(&doc, 0))
        pk_buf_addc(&out, ',');
    pk_buf_add(&out, pk_str_sub(pk_json_raw(&doc, 0), 1, text.len)); /* without its brace */
    return finish(&out, reference, err);
}

static bool from_config(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                        pk_str *reference, struct pk_error *err)
{
    pk_str text = ask->config;
    int64_t version;

    *reference = ask->config;
    if (ask->provider.len == 0 && ask->virtual_key.len == 0)
        return true;
    if (!pk_str_starts(text, "{") &&
        !pk_store_config_get(store, arena, ask->config, &text, &version, err))
        return false;
    return text.len == 0 || complete_config(arena, ask, text, reference, err);
}

static bool from_headers(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                         pk_str *reference, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    pk_str slug = pk_str_sub(ask->provider, 1, ask->provider.len); /* as newer SDKs do */
    bool by_slug = ask->virtual_key.len == 0 && pk_str_starts(ask->provider, "@");
    const struct pk_provider *p = NULL;

    if (by_slug && ask->key.len && !pk_store_provider_find(store, arena, slug, &p, err))
        return false;
    if (by_slug && !p && !has_fields(ask)) {
        *reference = slug;
        return true;
    }
    pk_buf_addc(&out, '{');
    print_target(&out, ask);
    pk_buf_addc(&out, '}');
    return finish(&out, reference, err);
}

bool pkd_ask_names(struct pk_arena *arena, struct pkd_asks *known, const struct pkd_request *req)
{
    struct pk_error unused = {0};
    struct pkd_ask ask;
    struct pk_json doc;

    pkd_ask_scan(known, req, &ask);
    if (ask.config.len || ask.virtual_key.len || ask.provider.len)
        return true;
    if (!pk_str_starts(req->body, "{") || !pk_json_parse(arena, req->body, "body", &doc, &unused))
        return false;
    return pk_str_starts(pk_json_str(arena, &doc, pk_json_get(&doc, 0, "model")), "@");
}

/* The fields of the body, JSON or a form; of another none. */
static bool read_fields(struct pk_arena *arena, const struct pk_request *req, struct pk_form *form,
                        struct pk_json *doc, struct pk_error *err)
{
    bool raw = pk_operation_is_raw(pk_request_operation(req)), json = req->body.len > 0;
    pk_str fields = req->body;

    *form = (struct pk_form){0};
    if (raw && pk_http_is_type(req->content_type, "multipart/form-data"))
        return pk_form_parse(arena, req->content_type, req->body, form, err) &&
               pk_form_fields(arena, form, &fields, err) &&
               pk_json_parse(arena, fields, "form", doc, err);
    if (req->content_type.len && !pk_http_is_type(req->content_type, "application/json"))
        json = false;
    return pk_json_parse(arena, raw && !json ? PK_STR("{}") : fields, "body", doc, err);
}

/* {"model":"@slug/model"}: the slug becomes the reference, the rest the model. */
static bool from_model(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                       struct pk_request *req, pk_str *reference, struct pk_error *err)
{
    struct pk_buf body = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_buf model = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pkd_ask by_model = *ask;
    struct pk_form form;
    struct pk_json doc;
    pk_str fields;

    if (!read_fields(arena, req, &form, &doc, err))
        return false;
    pk_str name = pk_json_str(arena, &doc, pk_json_get(&doc, 0, "model"));
    int slash = pk_str_find(name, '/');
    if (!pk_str_starts(name, "@") || slash < 2)
        return pk_fail(
            err, PK_BAD_REQUEST,
            "x-portkey-config, x-portkey-virtual-key or x-portkey-provider is needed, or a "
            "model called \"@provider/model\"");
    pk_json_quote(&model, pk_str_sub(name, (size_t)slash + 1, name.len));
    pk_json_splice(&body, &doc, 0, &(struct pk_json_edit){PK_STR("model"), pk_buf_str(&model)}, 1);
    by_model.provider = pk_str_sub(name, 0, (size_t)slash);
    if (!finish(&body, &fields, err) ||
        (form.parts && !pk_form_with(arena, &form, fields, &fields, err)))
        return false;
    req->body = fields;
    return from_headers(arena, store, &by_model, reference, err);
}

bool pkd_ask_reference(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                       struct pk_request *req, pk_str *reference, struct pk_error *err)
{
    if (ask->config.len)
        return from_config(arena, store, ask, reference, err);
    if (ask->virtual_key.len || ask->provider.len)
        return from_headers(arena, store, ask, reference, err);
    return from_model(arena, store, ask, req, reference, err);
}
