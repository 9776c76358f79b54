/* guard_check_remote.c - checks that ask somebody else: a webhook, a provider's moderation, the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A webhook's host must be one that may be called, as any other. It gets no header of the client: there are
 * keys among them.
 */
#include "guard_inner.h"

#include "dialect_parts.h"
#include "http.h"

enum { ASK_BODY_BYTES_MAX = 64 << 20, TIMEOUT_MS = 3000, QUERY_MS = 100, QUERY_MS_MAX = 1000 };

/* --- webhook and log ------------------------------------------------------------------------------ */

struct webhook_params {
    pk_str url, headers;
    int64_t timeout_ms;
};

static const struct pk_provider nobody = {
    .name = "guardrail",
    .dialect = &pk_dialect_openai,
    .base_url = "",
    .key_header = "",
    .key_env = "",
    .rejects = "",
    .renames = "",
    .headers = "",
};
const struct pk_target pk_guard_nobody = {.provider = &nobody};

static bool webhook_url(struct pk_config_reader *p, int value, void *into)
{
    struct webhook_params *x = into;
    struct pk_error why = {0};
    struct pk_url url;

    return pk_config_read_text(p, "url", value, PK_URL_BYTES_MAX, &x->url) &&
           (pk_url_parse(x->url, "url", &url, &why) || pk_config_fail(p, "", "%s", why.msg));
}

static bool add_header(struct pk_config_reader *p, const struct pk_json *doc, int key,
                       struct pk_buf *out)
{
    pk_str name = pk_json_str(p->arena, doc, key);
    pk_str text = pk_json_str(p->arena, doc, key + 1);

    if (!pk_http_valid_name(name) || text.len == 0 || !pk_http_valid_value(text))
        return pk_config_fail(p, "headers", "must hold names and texts of headers");
    pk_buf_addf(out, "%.*s: %.*s\n", PK_FMT(name), PK_FMT(text));
    return true;
}

/* An object, or its text, as Portkey has it. */
static bool webhook_headers(struct pk_config_reader *p, int value, void *into)
{
    struct pk_buf out = pk_buf_in(p->arena, PK_HEADERS_BYTES_MAX);
    pk_str text = pk_json_raw(&p->doc, value);
    struct pk_error unused = {0};
    struct pk_json doc;

    if (pk_json_type(&p->doc, value) == PK_JSON_STRING)
        text = pk_json_str(p->arena, &p->doc, value);
    if (!pk_json_parse(p->arena, text, "headers", &doc, &unused) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return pk_config_fail(p, "headers", "must be an object");
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k))
        if (!add_header(p, &doc, k, &out))
            return false;
    ((struct webhook_params *)into)->headers = pk_buf_str(&out);
    return !out.failed || pk_config_fail(p, "headers", "too large");
}

static bool webhook_timeout(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_duration(p, "timeout", value,
                                   &((struct webhook_params *)into)->timeout_ms);
}

static const struct pk_config_member webhook_members[] = {
    {"url", webhook_url},         {"webhookURL", webhook_url},  {"webhook_url", webhook_url},
    {"headers", webhook_headers}, {"timeout", webhook_timeout}, {0},
};
static const struct pk_config_member log_members[] = {
    {"url", webhook_url},         {"logURL", webhook_url},      {"log_url", webhook_url},
    {"headers", webhook_headers}, {"timeout", webhook_timeout}, {0},
};

static bool webhook_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct webhook_params *x = check->params;

    if (x->timeout_ms == 0)
        x->timeout_ms = TIMEOUT_MS;
    return x->url.len > 0 || pk_config_fail(p, "url", "must be given");
}

static void print_document(struct pk_check_run *r, struct pk_buf *out, const char *name,
                           const struct pk_guard_doc *doc)
{
    pk_member_key(out, name);
    pk_buf_adds(out, "{\"json\":");
    pk_buf_add(out, doc->text);
    pk_member_key(out, "text");
    pk_json_quote(out, doc->units
                           ? pk_guard_unit(doc, doc->phase == PK_GUARD_INPUT ? doc->units - 1 : 0)
                           : PK_NONE);
    if (doc->phase == PK_GUARD_OUTPUT)
        pk_buf_adds(out, ",\"statusCode\":200");
    pk_dialect_raw(out, "isTransformed", doc->changed ? PK_STR("true") : PK_STR("false"));
    pk_buf_addc(out, '}');
    (void)r;
}

/* What Portkey posts, but for the headers. */
static void webhook_run(struct pk_check_run *r)
{
    const struct webhook_params *x = r->check->params;
    struct pk_buf body = pk_buf_in(r->arena, ASK_BODY_BYTES_MAX);

    pk_buf_addc(&body, '{');
    print_document(r, &body, "request", r->request);
    if (r->response)
        print_document(r, &body, "response", r->response);
    pk_member_text(&body, "provider", r->call->provider);
    pk_member_text(&body, "requestType", pk_guard_request_type(r->call->operation));
    pk_dialect_raw(&body, "metadata", r->call->metadata.len ? r->call->metadata : PK_STR("{}"));
    pk_member_text(&body, "eventType",
                   r->response ? PK_STR("afterRequestHook") : PK_STR("beforeRequestHook"));
    pk_buf_addc(&body, '}');
    if (body.failed) {
        pk_check_err(r, "the texts are too large");
        return;
    }
    r->want = PK_GUARD_ASK;
    r->question = (struct pk_guard_question){
        .url = x->url,
        .headers = x->headers,
        .body = pk_buf_str(&body),
        .target = &pk_guard_nobody,
        .timeout_ms = x->timeout_ms,
    };
}

static bool is_success(const struct pk_check_run *r)
{
    return r->status >= 200 && r->status < 300;
}

/* The answer as JSON; false, told as the check's error, when it is none or a refusal. */
static bool read_reply(struct pk_check_run *r, const char *who, const char *what,
                       struct pk_json *reply)
{
    struct pk_error err = {0};

    if (!is_success(r)) {
        pk_check_err(r, "%s answered %d", who, r->status);
        return false;
    }
    if (!pk_json_parse(r->arena, r->body, what, reply, &err)) {
        pk_check_err(r, "%s", err.msg);
        return false;
    }
    return true;
}

/* A request of another shape than the client's, or that wants a stream where it wants none, is not taken. */
static bool fits_in(const struct pk_guard_doc *doc, const struct pk_json *reply, int changed)
{
    if (pk_json_type(reply, changed) != PK_JSON_OBJECT)
        return false;
    if (doc->phase == PK_GUARD_OUTPUT)
        return true;
    return pk_json_type(reply, pk_json_get(reply, changed, pk_guard_list(doc->front))) ==
               pk_json_type(&doc->json, pk_json_get(&doc->json, 0, pk_guard_list(doc->front))) &&
           pk_json_true(reply, pk_json_get(reply, changed, "stream")) ==
               pk_json_true(&doc->json, pk_json_get(&doc->json, 0, "stream"));
}

/* A whole document in place of the one that is examined. */
static bool take_document(struct pk_check_run *r, const struct pk_json *reply)
{
    const char *name = r->response ? "response" : "request";
    int data = pk_json_get(reply, 0, "transformedData");
    int changed = pk_json_get(reply, pk_json_get(reply, data, name), "json");
    struct pk_error err = {0};

    if (changed < 0 || pk_json_type(reply, changed) == PK_JSON_NULL)
        return true;
    if (!fits_in(r->doc, reply, changed)) {
        pk_check_err(r, "the webhook's transformedData cannot stand for the %s", name);
        return false;
    }
    if (!pk_guard_doc_open(r->doc, pk_copy(r->arena, pk_json_raw(reply, changed)), &err)) {
        pk_check_err(r, "%s", err.msg);
        return false;
    }
    r->doc->changed = r->transformed = true;
    return true;
}

static void webhook_resume(struct pk_check_run *r)
{
    struct pk_json reply;

    if (!read_reply(r, "the webhook", "webhook", &reply))
        return;
    int verdict = pk_json_get(&reply, 0, "verdict");
    int data = pk_json_get(&reply, 0, "data");
    if (pk_json_type(&reply, verdict) != PK_JSON_TRUE &&
        pk_json_type(&reply, verdict) != PK_JSON_FALSE) {
        pk_check_err(r, "the webhook's answer has no verdict");
        return;
    }
    r->verdict = pk_json_true(&reply, verdict);
    pk_check_say(r, "The webhook said %s.", r->verdict ? "yes" : "no");
    if (data >= 0)
        pk_check_note(r, "webhook", pk_json_raw(&reply, data));
    (void)take_document(r, &reply);
}

static void log_resume(struct pk_check_run *r)
{
    r->verdict = r->final = true;
    pk_check_say(r, "The log's server answered %d.", r->status);
    if (!is_success(r))
        pk_check_err(r, "the log's server answered %d", r->status);
}

const struct pk_check_body pk_check_webhook = {sizeof(struct webhook_params), webhook_members,
                                               webhook_ready, webhook_run, webhook_resume};
const struct pk_check_body pk_check_log = {sizeof(struct webhook_params), log_members,
                                           webhook_ready, webhook_run, log_resume};

/* --- moderation ----------------------------------------------------------------------------------- */

struct moderation_params {
    pk_str provider, virtual_key, api_key, custom_host, model;
    bool by_slug;
    struct pk_strings categories;
    int64_t timeout_ms;
};

static bool moderation_provider(struct pk_config_reader *p, int value, void *into)
{
    struct moderation_params *x = into;

    if (!pk_config_read_text(p, "provider", value, PK_SLUG_BYTES_MAX, &x->provider))
        return false;
    x->by_slug = pk_str_starts(x->provider, "@") && !pk_provider_find(x->provider);
    if (!x->by_slug)
        return true;
    x->virtual_key = pk_str_sub(x->provider, 1, x->provider.len);
    x->provider = PK_NONE;
    return true;
}

static bool moderation_key(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "virtual_key", value, PK_SLUG_BYTES_MAX,
                               &((struct moderation_params *)into)->virtual_key);
}

static bool moderation_api_key(struct pk_config_reader *p, int value, void *into)
{
    p->api_key_at = pk_copyf(p->arena, "%s", p->path);
    return pk_config_read_text(p, "api_key", value, 4096,
                               &((struct moderation_params *)into)->api_key);
}

static bool moderation_host(struct pk_config_reader *p, int value, void *into)
{
    struct moderation_params *x = into;
    struct pk_error why = {0};
    struct pk_url url;

    if (!pk_config_read_text(p, "custom_host", value, PK_URL_BYTES_MAX, &x->custom_host))
        return false;
    if (!pk_url_parse(x->custom_host, "custom_host", &url, &why))
        return pk_config_fail(p, "", "%s", why.msg);
    while (pk_str_ends(x->custom_host, "/"))
        x->custom_host.len--;
    return true;
}

static bool moderation_model(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "model", value, PK_SLUG_BYTES_MAX,
                               &((struct moderation_params *)into)->model);
}

static bool moderation_categories(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "categories", value, &((struct moderation_params *)into)->categories);
}

static bool moderation_timeout(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_duration(p, "timeout", value,
                                   &((struct moderation_params *)into)->timeout_ms);
}

static const struct pk_config_member moderation_members[] = {
    {"provider", moderation_provider}, {"virtual_key", moderation_key},
    {"api_key", moderation_api_key},   {"custom_host", moderation_host},
    {"model", moderation_model},       {"categories", moderation_categories},
    {"timeout", moderation_timeout},   {0},
};

static bool moderation_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct moderation_params *x = check->params;
    struct pk_target *t = pk_alloc(p->arena, sizeof *t);

    if (!t)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    if (x->timeout_ms == 0)
        x->timeout_ms = TIMEOUT_MS;
    if (x->model.len == 0)
        x->model = PK_STR("omni-moderation-latest");
    if (x->virtual_key.len && (x->provider.len || x->api_key.len))
        return pk_config_fail(p, "virtual_key", "says the provider and its key already");
    if (x->virtual_key.len == 0 && x->provider.len == 0)
        x->provider = PK_STR("openai");
    *t = (struct pk_target){
        .path = pk_copyf(p->arena, "%s", p->path),
        .virtual_key = x->virtual_key,
        .by_slug = x->by_slug,
        .custom_host = x->custom_host,
    };
    if (x->api_key.len)
        t->key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = x->api_key};
    if (t->virtual_key.len == 0)
        pk_config_name_provider(t, x->provider);
    if (t->provider && t->base_url.len == 0)
        return pk_config_fail(p, "custom_host", "provider \"%s\" needs one", t->provider->name);
    check->target = t;
    return true;
}

static void moderation_run(struct pk_check_run *r)
{
    const struct moderation_params *x = r->check->params;
    struct pk_buf body = pk_buf_in(r->arena, ASK_BODY_BYTES_MAX);
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    pk_buf_adds(&body, "{\"model\":");
    pk_json_quote(&body, x->model);
    pk_buf_adds(&body, ",\"input\":");
    if (n == 1)
        pk_json_quote(&body, texts[0]);
    else
        pk_buf_add(&body, pk_strings_json(r->arena, texts, n));
    pk_buf_addc(&body, '}');
    if (body.failed) {
        pk_check_err(r, "the texts are too large");
        return;
    }
    r->want = PK_GUARD_ASK;
    r->question = (struct pk_guard_question){
        .url = pk_copyf(r->arena, "%.*s/moderations", PK_FMT(r->check->target->base_url)),
        .body = pk_buf_str(&body),
        .target = r->check->target,
        .timeout_ms = x->timeout_ms,
    };
}

/* Adds the categories that are true to the list; whether one of them counts. */
static bool add_flagged(struct pk_check_run *r, const struct pk_json *reply, int result,
                        struct pk_buf *names)
{
    const struct moderation_params *x = r->check->params;
    int categories = pk_json_get(reply, result, "categories");
    bool counts =
        x->categories.count == 0 && pk_json_true(reply, pk_json_get(reply, result, "flagged"));

    for (int k = pk_json_first(reply, categories); k >= 0; k = pk_json_next(reply, categories, k)) {
        if (!pk_json_true(reply, k + 1))
            continue;
        pk_member_comma(names);
        pk_buf_add(names, pk_json_raw(reply, k));
        counts = counts || pk_strings_have(&x->categories, pk_json_str(r->arena, reply, k));
    }
    return counts;
}

static void moderation_resume(struct pk_check_run *r)
{
    struct pk_buf names = pk_buf_in(r->arena, PK_HEADERS_BYTES_MAX);
    struct pk_json reply;
    bool flagged = false;

    if (!read_reply(r, "the moderation's provider", "moderation", &reply))
        return;
    int results = pk_json_get(&reply, 0, "results");
    if (pk_json_count(&reply, results) == 0 || pk_json_type(&reply, results) != PK_JSON_ARRAY) {
        pk_check_err(r, "the moderation's answer has no results");
        return;
    }
    pk_buf_addc(&names, '[');
    for (int v = pk_json_first(&reply, results); v >= 0; v = pk_json_next(&reply, results, v))
        flagged = add_flagged(r, &reply, v, &names) || flagged;
    pk_buf_addc(&names, ']');
    r->verdict = !flagged;
    pk_check_say(r, flagged ? "The moderation flagged the text."
                            : "The moderation did not flag the text.");
    pk_check_note(r, "flaggedCategories", pk_buf_str(&names));
}

const struct pk_check_body pk_check_moderation = {sizeof(struct moderation_params),
                                                  moderation_members, moderation_ready,
                                                  moderation_run, moderation_resume};

/* --- sql ------------------------------------------------------------------------------------------- */

struct sql_params {
    pk_str sql;
    int64_t timeout_ms;
};

static bool sql_predicate(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "predicate", value, 16 << 10, &((struct sql_params *)into)->sql);
}

static bool sql_timeout(struct pk_config_reader *p, int value, void *into)
{
    struct sql_params *x = into;

    return pk_config_read_duration(p, "timeout", value, &x->timeout_ms) &&
           (x->timeout_ms <= QUERY_MS_MAX ||
            pk_config_fail(p, "timeout", "must be at most \"%dms\"", QUERY_MS_MAX));
}

static const struct pk_config_member sql_members[] = {
    {"predicate", sql_predicate}, {"timeout", sql_timeout}, {0}};

static bool sql_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct sql_params *x = check->params;

    if (x->timeout_ms == 0)
        x->timeout_ms = QUERY_MS;
    return x->sql.len > 0 || pk_config_fail(p, "predicate", "must be given");
}

static void sql_run(struct pk_check_run *r)
{
    const struct sql_params *x = r->check->params;
    struct pk_buf joined = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    for (int i = 0; i < n; i++) {
        if (i)
            pk_buf_addc(&joined, '\n');
        pk_buf_add(&joined, texts[i]);
    }
    r->want = PK_GUARD_QUERY;
    r->query = (struct pk_guard_query){
        .sql = x->sql,
        .owner = r->guardrail->owner,
        .text = pk_buf_str(&joined),
        .metadata = r->call->metadata.len ? r->call->metadata : PK_STR("{}"),
        .document = r->doc->text,
        .timeout_ms = x->timeout_ms,
    };
}

/* NULL is no yes. */
static void sql_resume(struct pk_check_run *r)
{
    r->verdict = r->truth == 1;
    pk_check_say(r, "The predicate is %s.",
                 r->truth == 1   ? "true"
                 : r->truth == 0 ? "false"
                                 : "null");
}

const struct pk_check_body pk_check_sql = {sizeof(struct sql_params), sql_members, sql_ready,
                                           sql_run, sql_resume};

pk_str pk_check_predicate(const struct pk_check *check)
{
    return check->kind->body == &pk_check_sql ? ((const struct sql_params *)check->params)->sql
                                              : PK_NONE;
}
