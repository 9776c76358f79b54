/* endpoint.c - see endpoint.h; the rows are in endpoints.def.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Every request comes by pkd_endpoint_serve(), where its API key is asked for (auth.h). While there are no keys
 * the socket is a loopback one, and whoever reaches it is let in. What could still get there from elsewhere is a
 * page in a browser of this machine: by a name that it made point here (the Host check), or by posting
 * blindly (the Origin check). No answer has CORS headers.
 */
#include "endpoint.h"

#include "answer.h"
#include "azure.h"
#include "client.h"
#include "elsewhere.h"
#include "errand.h"
#include "feedback.h"
#include "metrics.h"
#include "models.h"
#include "openapi.h"
#include "prompts.h"
#include "store_audit.h"
#include "url.h"
#include "web.h"

#include <stdlib.h>
#include <string.h>

typedef void handler(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);

struct endpoint {
    enum pkd_method method;
    const char *path;
    unsigned scopes; /* one of these; 0: no key is needed */
    handler *serve;
    pkd_errand_fn *errand;                /* in place of a handler: a clerk's */
    const struct pk_operation *operation; /* that a call is made for, in place of a handler */
};

static void serve_prompt_completions(struct pkd_thread *t, struct pkd_conn *c,
                                     const struct pkd_request *req)
{
    pkd_call_begin_prompt(t, c, req, pkd_prompt_ref(&t->scratch, req));
}

static void serve_prompt_render(struct pkd_thread *t, struct pkd_conn *c,
                                const struct pkd_request *req)
{
    pkd_prompt_render(t, c, req);
}

static void serve_feedback(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    pkd_feedback_take(t, c, req);
}

static void serve_healthz(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    (void)t;
    (void)req;
    pkd_answer_json(c, 200, PK_STR("{\"status\":\"ok\",\"version\":\"" PK_VERSION "\"}"));
}

static void serve_readyz(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    struct pk_error err = {0};
    int64_t epoch;
    char told[64];

    (void)req;
    if (pk_store_epoch(t->store, &epoch, &err)) {
        (void)snprintf(told, sizeof told, "{\"status\":\"ok\",\"epoch\":%lld}", (long long)epoch);
        pkd_answer_json(c, 200, pk_str_of(told));
        return;
    }
    err.status = 503;
    pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
}

static void serve_openapi(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    (void)t;
    (void)req;
    pkd_answer_json(c, 200, pkd_openapi());
}

#define CATALOG(name, does)                                                                        \
    static void serve_##name(struct pkd_thread *t, struct pkd_conn *c,                             \
                             const struct pkd_request *req)                                        \
    {                                                                                              \
        does(t, c, req);                                                                           \
    }
CATALOG(models, pkd_models_list)
CATALOG(model, pkd_models_get)
#undef CATALOG

static void serve_dashboard(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    pkd_web_serve(t, c, req);
}

static void serve_metrics(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    (void)req;
    pkd_metrics_serve(t, c);
}

/* --- the gate -------------------------------------------------------------------------------- */

#define GET    PKD_GET
#define POST   PKD_POST
#define PUT    PKD_PUT
#define DELETE PKD_DELETE
#define NONE   0
#define CALL   PK_SCOPE_CALL
#define ADMIN  PK_SCOPE_ADMIN
#define LOGS   PK_SCOPE_LOGS
#define ANY    (CALL | ADMIN | LOGS)
#define READ   (ADMIN | LOGS)
#define ENDPOINT(method, path, scopes, handler)
#define OPERATION_AT(method, path, operation)
#define ERRAND(method, path, scopes, handler) pkd_errand_fn pkd_##handler;
#include "endpoints.def"
#undef ENDPOINT
#undef OPERATION_AT
#undef ERRAND
static const struct endpoint endpoints[] = {
#define ENDPOINT(method, path, scopes, handler) {method, path, scopes, serve_##handler, NULL, NULL},
#define ERRAND(method, path, scopes, handler)   {method, path, scopes, NULL, pkd_##handler, NULL},
#define OPERATION_AT(method, path, operation)                                                      \
    {method, path, CALL, NULL, NULL, &pk_operation_##operation},
#include "endpoints.def"
#undef ENDPOINT
#undef ERRAND
#undef OPERATION_AT
};
#undef GET
#undef POST
#undef PUT
#undef DELETE
#undef NONE
#undef CALL
#undef ADMIN
#undef LOGS
#undef ANY
#undef READ

/* The host of "host", "host:port" or an origin is loopback by name, or one that we were told of. */
static bool is_our_name(struct pkd_thread *t, pk_str host)
{
    const char *names = t->app->options->server_name;
    struct pk_error unused = {0};
    struct pk_url url;
    pk_str text = host;

    if (!pk_str_starts(host, "http://") && !pk_str_starts(host, "https://"))
        text = pk_copyf(&t->scratch, "http://%.*s", PK_FMT(host));
    if (!pk_url_parse(text, "host", &url, &unused))
        return false;
    return pk_url_is_loopback(&url) ||
           (names && pk_url_host_listed(pk_str_of(names), url.host, url.port));
}

static bool knows_caller(struct pkd_thread *t, const struct pkd_request *req, unsigned scopes,
                         struct pk_error *err)
{
    bool open = !t->app->beyond_loopback;
    struct pkd_ask ask;

    pkd_ask_scan(&t->asks, req, &ask);
    return pkd_auth(&t->keyring, t->store, ask.caller, scopes, open, &t->caller, err);
}

/* Whether the request may do what needs one of `scopes`; t->caller is whose it is. */
static bool may_enter(struct pkd_thread *t, const struct pkd_request *req, unsigned scopes,
                      struct pk_error *err)
{
    t->caller = NULL;
    if (scopes && !knows_caller(t, req, scopes, err))
        return false;
    pk_store_act_as(t->store, t->caller ? "key" : "os", t->caller ? t->caller->name : t->app->user);
    if (t->caller || (!scopes && (t->app->beyond_loopback || t->app->options->metrics_open)))
        return true; /* probes come by address: a name says nothing about them */
    if (!req->local && req->host.len && !is_our_name(t, req->host))
        return pk_fail(err, PK_NO_PERMISSION,
                       "host: not a name of this gateway; --server-name adds one");
    if (req->origin.len && !is_our_name(t, req->origin))
        return pk_fail(err, PK_NO_PERMISSION, "origin: requests from other sites are refused");
    return true;
}

/* What is refused here is refused in the words of the API that the path belongs to. */
static const struct pk_dialect *front_of(pk_str path)
{
    if (pk_str_starts(path, "/v1/v1/"))
        path = pk_str_sub(path, 3, path.len);
    return pk_str_starts(path, "/v1/messages") ? &pk_dialect_anthropic : &pk_dialect_openai;
}

/* Whether `path` has the shape of `pattern`, in which "*" is one segment that is not empty, and "**" at the end
 * all that may follow. */
static bool matches(const char *pattern, pk_str path)
{
    size_t i = 0;

    for (; *pattern; pattern++) {
        if (strcmp(pattern, "**") == 0)
            return i < path.len;
        if (*pattern != '*') {
            if (i == path.len || path.at[i++] != *pattern)
                return false;
            continue;
        }
        size_t from = i;
        while (i < path.len && path.at[i] != '/')
            i++;
        if (i == from)
            return false;
    }
    return i == path.len;
}

static const char *method_name(enum pkd_method method)
{
    switch (method) {
    case PKD_GET: return "GET, HEAD";
    case PKD_POST: return "POST";
    case PKD_PUT: return "PUT";
    case PKD_PATCH: return "PATCH";
    case PKD_DELETE: return "DELETE";
    case PKD_HEAD:
    case PKD_OPTIONS:
    case PKD_OTHER: break;
    }
    return "";
}

/* The methods that the path takes; empty when there is no such path. */
static pk_str allowed(struct pkd_thread *t, pk_str path)
{
    struct pk_buf out = pk_buf_in(&t->scratch, PK_HEADERS_BYTES_MAX);

    for (size_t i = 0; i < PK_COUNT(endpoints); i++)
        if (matches(endpoints[i].path, path))
            pk_buf_addf(&out, "%s, ", method_name(endpoints[i].method));
    if (out.len)
        pk_buf_adds(&out, "OPTIONS");
    return pk_buf_str(&out);
}

static void refuse_method(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                          pk_str allow)
{
    struct pk_error err = {0};
    struct pk_buf out = pk_buf_in(&t->scratch, PK_HEADERS_BYTES_MAX);
    struct pkd_head head = {.status = 405, .content_type = "application/json"};
    struct pk_fault fault = {.type = PK_STR("invalid_request")};

    head.headers = pk_copyf(&t->scratch, "allow: %.*s\r\n", PK_FMT(allow));
    if (req->method == PKD_OPTIONS) {
        pkd_answer_text(c, 204, head.headers, "");
        return;
    }
    (void)pk_fail(&err, PK_BAD_REQUEST, "%.*s takes %.*s", PK_FMT(pk_str_sub(req->path, 0, 128)),
                  PK_FMT(allow));
    fault.message = pk_str_of(err.msg);
    front_of(req->path)->print_error(&fault, PK_NONE, &out);
    pkd_conn_reply(c, &head, pk_buf_str(&out));
}

static const struct endpoint *find(enum pkd_method method, pk_str path)
{
    for (size_t i = 0; i < PK_COUNT(endpoints); i++)
        if (method == endpoints[i].method && matches(endpoints[i].path, path))
            return &endpoints[i];
    return NULL;
}

/* 0: no key is needed. */
static unsigned scopes_of(const struct pkd_thread *t, const struct endpoint *e)
{
    if (!e)
        return PK_SCOPE_CALL | PK_SCOPE_ADMIN | PK_SCOPE_LOGS;
    return e->serve == serve_metrics && t->app->options->metrics_open ? 0 : e->scopes;
}

static void refuse(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                   const struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(&t->scratch, PK_HEADERS_BYTES_MAX);
    struct pk_fault fault = {.message = pk_str_of(err->msg),
                             .type = pk_str_of(pk_code_name(err->code)),
                             .status = err->status};
    struct pkd_head head = {.status = err->status, .content_type = "application/json"};

    if (err->status == 401)
        head.headers = PK_STR("www-authenticate: Bearer\r\n");
    pkd_meter_refused(t->meter, err);
    front_of(req->path)->print_error(&fault, PK_NONE, &out);
    pkd_conn_reply(c, &head, pk_buf_str(&out));
}

/* An SDK whose base URL lacks the /v1 is told so. */
static void refuse_path(struct pkd_thread *t, pk_str path, struct pk_error *err)
{
    pk_str below = pk_copyf(&t->scratch, "/v1%.*s", PK_FMT(path));
    pk_str shown = pk_str_sub(path, 0, 128);
    bool short_of = pk_str_starts(path, "/") && allowed(t, below).len > 0;
    const char *instead = pkd_elsewhere(path);

    if (instead) {
        (void)pk_fail(err, PK_NOT_FOUND, "%.*s: is not served; %s", PK_FMT(shown), instead);
        return;
    }
    (void)pk_fail(err, PK_NOT_FOUND, "%.*s: no such endpoint%s%.*s", PK_FMT(shown),
                  short_of ? "; the base URL ends in /v1: /v1" : "",
                  PK_FMT(short_of ? shown : PK_NONE));
}

/* What stands below /v1 for pk itself, now or later: no provider is ever asked for it. */
/* clang-format off */
static const char *const own_paths[] = {
    "prompts", "feedback", "configs", "virtual-keys", "api-keys", "guardrails", "logs", "analytics", "prices", "alerts",
    "limits", "providers", "jobs", "admin", "audit-logs", "integrations", "labels", "collections", "policies",
    "secret-references", "mcp-servers", "mcp-integrations", "scim", "model-configs"};
/* clang-format on */

static bool is_own(pk_str path)
{
    for (size_t i = 0; i < PK_COUNT(own_paths); i++) {
        size_t len = strlen(own_paths[i]);

        if (pk_str_starts(path, own_paths[i]) && (path.len == len || path.at[len] == '/'))
            return true;
    }
    return false;
}

/* Whether a request that no endpoint takes may be passed on: its path is below /v1, of none of pk's own
 * endpoints, and it says whom to ask. */
static bool is_proxied(struct pkd_thread *t, const struct pkd_request *req)
{
    if (!pk_str_starts(req->path, "/v1/") || req->method == PKD_OPTIONS ||
        req->method == PKD_OTHER || is_own(pk_str_sub(req->path, 4, req->path.len)))
        return false;
    for (size_t i = 0; i < PK_COUNT(endpoints); i++)
        if (!endpoints[i].operation && matches(endpoints[i].path, req->path))
            return false;
    return pkd_ask_names(&t->scratch, &t->asks, req) || (t->caller && t->caller->config.len);
}

/* Of Azure's paths those that models are asked by. */
static const struct endpoint *find_azure(struct pkd_thread *t, enum pkd_method method,
                                         struct pkd_request *req)
{
    struct pkd_azure azure;

    if (!pkd_azure_read(&t->scratch, req->path, req->query, &azure))
        return NULL;
    const struct endpoint *e = find(method, azure.path);
    bool own = is_own(pk_str_sub(azure.path, 4, azure.path.len));
    if (own || (e && !e->operation && e->serve != serve_models && e->serve != serve_model))
        return NULL;
    req->path = azure.path;
    req->query = azure.query;
    return e;
}

void pkd_endpoint_serve(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *came)
{
    enum pkd_method method = came->method == PKD_HEAD ? PKD_GET : came->method;
    const struct endpoint *e = find(method, came->path);
    struct pkd_request spelled, *req = &spelled;
    struct pk_error err = {0};

    spelled = *came;
    if (!e)
        e = find_azure(t, method, req);
    if (!may_enter(t, req, scopes_of(t, e), &err)) {
        refuse(t, c, req, &err);
        return;
    }
    if (e && e->operation) {
        pkd_call_begin(t, c, came, e->operation);
        return;
    }
    if (e && e->errand) {
        pkd_errand_begin(t, c, req, e->errand);
        return;
    }
    if (e) {
        e->serve(t, c, req);
        return;
    }
    if (is_proxied(t, req)) {
        if (may_enter(t, req, PK_SCOPE_CALL, &err))
            pkd_call_begin(t, c, came, &pk_operation_proxy);
        else
            refuse(t, c, req, &err);
        return;
    }
    pk_str allow = allowed(t, req->path);
    if (allow.len) {
        refuse_method(t, c, req, allow);
        return;
    }
    if (method == PKD_OPTIONS && pk_str_is(req->path, "*")) {
        pkd_answer_text(c, 204, PK_STR("allow: GET, HEAD, POST, OPTIONS\r\n"), "");
        return;
    }
    refuse_path(t, req->path, &err);
    refuse(t, c, req, &err);
}
