/* call_send.c - the upstream request of an attempt.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Headers are built from an empty set: what the dialect needs, and of the client's only those
 * that the config names.
 */
#include "call_inner.h"

#include "dialect_parts.h"
#include "http.h"
#include "place.h"

#include <strings.h>

enum { DROPPED_SHOWN = 120 };

/* Never forwarded, whatever the config says: they frame the message, are for the next hop only, or are the gateway's
 * own and may hold the keys of others. */
static const char *const never_forwarded[] = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-authorization",
    "proxy-connection",
    "http2-settings",
    "x-portkey-api-key",
    "x-pk-api-key",
    "x-portkey-config",
    "x-pk-config",
    "content-type",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
};

bool pk_call_may_forward(const struct pk_target *t, pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(never_forwarded); i++)
        if (pk_str_is_nocase(name, never_forwarded[i]))
            return false;
    /* The client's own credentials only where pk adds none. */
    return t->key.kind == PK_KEY_NONE || !pk_http_is_credential(name);
}

static void add_line(struct pk_buf *out, pk_str name, pk_str value)
{
    pk_buf_add(out, name);
    pk_buf_adds(out, ": ");
    pk_buf_add(out, value);
    pk_buf_addc(out, '\n');
}

static bool is_there(const struct pk_buf *headers, pk_str name)
{
    pk_str lines = pk_buf_str(headers), n, value;

    while (pk_http_next_header(&lines, &n, &value))
        if (n.len == name.len && strncasecmp(n.at, name.at, n.len) == 0)
            return true;
    return false;
}

static void forward(struct pk_call *c, const struct pk_target *t, pk_str name, struct pk_buf *out)
{
    pk_str value = pk_http_header(c->req->headers, name.at);

    if (value.len && pk_call_may_forward(t, name) && !is_there(out, name) &&
        pk_http_valid_value(value) && pk_http_gateway_key(value).len == 0)
        add_line(out, name, value);
}

/* What the request itself asks to pass on, as far as the config does not already. */
static void forward_listed(struct pk_call *c, const struct pk_target *t, struct pk_buf *out)
{
    pk_str rest = c->req->forward;

    for (int i = 0; rest.len && i < PK_FORWARD_MAX; i++) {
        int comma = pk_str_find(rest, ',');
        pk_str name = comma < 0 ? rest : pk_str_sub(rest, 0, (size_t)comma);
        bool known = false;

        rest = comma < 0 ? PK_NONE : pk_str_sub(rest, (size_t)comma + 1, rest.len);
        name = pk_copy(c->arena, pk_str_trim(name));
        for (int k = 0; k < t->forward_count; k++)
            known = known || pk_str_is_nocase(name, t->forward[k].at);
        if (!known && pk_http_valid_name(name))
            forward(c, t, name, out);
    }
}

/* The headers of a dialect or provider, but for those that the target's fields say otherwise. */
static void add_fixed(const struct pk_target *t, const char *headers, struct pk_buf *out)
{
    pk_str lines = pk_str_of(headers), name, value;

    while (pk_http_next_header(&lines, &name, &value))
        if (!pk_place_has_header(t, name) && !is_there(out, name))
            add_line(out, name, value);
}

/* Versions and betas of a dialect that client and provider both speak are the client's to choose; of what is
 * passed on as it comes, those of the provider. */
static void add_own(struct pk_call *c, const struct pk_target *t, struct pk_buf *out)
{
    pk_str list = pk_str_of(c->back->own_headers);

    while ((c->front == c->back || pk_operation_is_raw(c->operation)) && list.len) {
        int blank = pk_str_find(list, ' ');
        pk_str name = pk_copy(c->arena, blank < 0 ? list : pk_str_sub(list, 0, (size_t)blank));

        if (name.at && !pk_place_has_header(t, name))
            forward(c, t, name, out);
        list = pk_str_sub(list, name.len + 1, list.len);
    }
}

/* What the body is, and what the answer is to be. */
static void add_types(struct pk_call *c, struct pk_buf *out)
{
    const char *accept = c->stream                           ? pk_framing_type(c->back->framing)
                         : pk_operation_is_raw(c->operation) ? "*/*"
                                                             : "application/json";

    if (!pk_operation_is_raw(c->operation))
        pk_buf_adds(out, c->codec ? pk_codec_headers(c->codec, c->exchange.body)
                                  : "content-type: application/json\n");
    else if (c->req->body.len && pk_http_valid_value(c->req->content_type))
        add_line(out, PK_STR("content-type"),
                 c->req->content_type.len ? c->req->content_type : PK_STR("application/json"));
    if (c->operation != &pk_operation_proxy)
        add_line(out, PK_STR("accept"), pk_str_of(accept));
}

static void add_headers(struct pk_call *c, const struct pk_target *t, struct pk_buf *out)
{
    if (!c->exchange.upgrade)
        add_types(c, out);
    if (c->operation == &pk_operation_proxy) {
        pk_call_add_headers(c, t, out);
        return;
    }
    add_own(c, t, out);
    add_fixed(t, c->back->headers, out);
    add_fixed(t, t->provider->headers, out);
    pk_place_headers(t, out);
    for (int i = 0; i < t->forward_count; i++)
        forward(c, t, t->forward[i], out);
    forward_listed(c, t, out);
    if (c->exchange.upgrade)
        pk_call_tunnel_headers(c, out);
}

/* What is no question to a model has no params. */
static bool takes_params(const struct pk_call *c)
{
    return !pk_operation_is_raw(c->operation) || c->operation->output;
}

/* The client's body as the target wants it; the same for every try at the target. */
static bool overridden(struct pk_call *c, const struct pk_target *t, pk_str *body)
{
    *body = c->typed.request.len ? c->typed.request : c->request;
    if (c->opaque || !takes_params(c))
        return true;
    if (!c->overridden)
        c->overridden = pk_alloc(c->arena, (size_t)c->config->route.count * sizeof *c->overridden);
    if (!c->overridden)
        return pk_fail(&c->error, PK_NO_MEMORY, "request: out of memory");
    struct pk_overridden *o = &c->overridden[c->node];
    if (!o->made && !pk_params_apply(c->arena, &t->params, *body, &o->body, &c->error))
        return false;
    o->made = true;
    *body = o->body;
    return true;
}

/* Without room for it the span before, which is over, stays the current one. */
static bool open_span(struct pk_call *c, const struct pk_target *t)
{
    struct pk_record *r = &c->record;
    struct pk_span *spans = pk_alloc_row(c->arena, r->spans, r->span_count, sizeof *spans);

    PK_ASSERT(r->span_count < PK_SPANS_MAX);
    if (!spans)
        return pk_fail(&c->error, PK_NO_MEMORY, "request: out of memory");
    r->spans = spans;
    c->span = r->span_count++;
    r->spans[c->span] = (struct pk_span){
        .kind = PK_SPAN_ATTEMPT,
        .target_path = t->path,
        .provider = pk_str_of(t->provider->name),
        .model = r->request_model,
        .started_us = pk_call_now_us(c),
    };
    return true;
}

/* The earliest of the attempt's own limits; the call's deadline holds as well. */
void pk_call_set_deadline(struct pk_call *c)
{
    const struct pk_target *t = pk_call_target(c);
    int64_t request_ms = c->req->request_ms ? c->req->request_ms : t->timeouts.request_ms;

    c->attempt_deadline_ms = INT64_MAX;
    if (request_ms) {
        c->attempt_deadline_ms = c->now_ms + request_ms;
        c->attempt_limit = "request_timeout";
    }
    if (t->timeouts.ttft_ms && c->now_ms + t->timeouts.ttft_ms < c->attempt_deadline_ms) {
        c->attempt_deadline_ms = c->now_ms + t->timeouts.ttft_ms;
        c->attempt_limit = "ttft_timeout";
    }
    if (pk_operation_is_tunnel(c->operation))
        pk_call_tunnel_deadline(c);
}

/* The form with the fields that are to be sent: its own bytes when they are the client's. */
static bool make_form(struct pk_call *c, pk_str *body)
{
    if (body->at == c->original.at) {
        *body = c->req->body;
        return true;
    }
    return pk_form_with(c->arena, &c->form, *body, body, &c->error);
}

/* Adds what a host alone does not say, /v1 for one. A base URL that names a version has said it. */
static void complete_base(struct pk_call *c, const struct pk_target *t, pk_str *base)
{
    pk_str last = *base;

    if (!t->provider->host_path || c->operation == &pk_operation_proxy ||
        pk_operation_is_tunnel(c->operation))
        return;
    for (int slash = pk_str_find(last, '/'); slash >= 0; slash = pk_str_find(last, '/'))
        last = pk_str_sub(last, (size_t)slash + 1, last.len);
    bool version = last.len > 1 && last.at[0] == 'v' && last.at[1] >= '0' && last.at[1] <= '9';
    if (!version && !pk_str_is(last, "beta") && !pk_str_ends(*base, t->provider->host_path))
        *base = pk_copyf(c->arena, "%.*s%s", PK_FMT(*base), t->provider->host_path);
}

/* Whoever is strict wants an error in place of a field that is left out. */
static bool check_dropped(struct pk_call *c, const struct pk_target *t)
{
    pk_str dropped = c->record.dropped;

    if (dropped.len == 0 || !(t->strict_params || c->req->strict_params))
        return true;
    return pk_fail(&c->error, PK_BAD_REQUEST, "%.*s: cannot be sent to %s, and strict_params is on",
                   PK_FMT(pk_dialect_shorten(dropped, DROPPED_SHOWN)), t->provider->name);
}

/* Body and URL of what is asked, in the words of the back. */
static bool spell(struct pk_call *c, const struct pk_target *t, pk_str body)
{
    const struct pk_dialect_pair pair = {c->front, c->back, t->provider, c->req->headers, &c->body};
    bool proxied = c->operation == &pk_operation_proxy;
    struct pk_target bare;
    struct pk_place_call call = {.target = t,
                                 .back = c->back,
                                 .stream = c->stream,
                                 .opaque = c->opaque || c->form.parts || proxied,
                                 .host = c->req->custom_host,
                                 .model = c->record.request_model};
    pk_str *url = &c->exchange.url, *made = &c->exchange.body;

    if (proxied || !takes_params(c)) { /* not below a model's place */
        bare = *t;
        bare.url_path = PK_NONE;
        call.target = t = &bare;
    }
    if (c->form.parts && !make_form(c, &body))
        return false;
    call.body = body;
    if (!pk_place_begin(c->arena, &call, &c->error))
        return false;
    complete_base(c, t, &call.base);
    bool ok = c->codec ? pk_codec_request(c->arena, c->codec, call.body, made, &c->record.dropped,
                                          &c->error) &&
                             pk_codec_url(c->arena, c->codec, call.base, call.model,
                                          pk_call_tail(c), url, &c->error)
                       : pk_dialect_request(c->arena, &pair, call.body, made, &c->record.dropped,
                                            &c->error) &&
                             pk_place_body(c->arena, &call, made, &c->error) &&
                             pk_place_url(c->arena, &call, url, &c->error);
    return ok && pk_place_end(c->arena, t, call.model, url, &c->error) && check_dropped(c, t);
}

/* Which dialect the target is asked in, and whether that has what is asked. */
static bool choose_back(struct pk_call *c, const struct pk_target *t)
{
    const char *name = c->operation->front ? "chat" : c->operation->name;

    if (c->operation != &pk_operation_proxy && !pk_provider_has(t->provider, name))
        return pk_fail(&c->error, PK_BAD_REQUEST, "%s: has no %s%s%s", t->provider->name, name,
                       *t->provider->operations ? "; it has "
                                                : "; it is reached by /v1/proxy alone",
                       t->provider->operations);
    c->back = pk_place_back(t, c->front, c->record.request_model);
    c->codec = NULL;
    if (pk_call_counts_itself(c))
        return true;
    c->codec = c->operation->front ? NULL : pk_codec_find(t->provider, c->back, pk_call_spelled(c));
    return c->operation->front || c->codec ||
           pk_fail(&c->error, PK_BAD_REQUEST, "%s: has no %s", t->provider->name,
                   c->operation->name);
}

bool pk_call_build(struct pk_call *c)
{
    const struct pk_target *t = pk_call_target(c);
    struct pk_buf headers = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);
    pk_str body = PK_NONE;

    c->privacy = pk_privacy_join(c->privacy, t->privacy);
    pk_call_set_deadline(c);
    bool taken = overridden(c, t, &body);
    if (taken)
        c->record.request_model = pk_call_model(c, &t->params);
    if (!open_span(c, t) || !taken)
        return false;
    if (t->dead.len)
        return pk_fail(&c->error, PK_NO_KEY, "%.*s", PK_FMT(t->dead));
    if (!pk_models_allow(&t->models, c->record.request_model))
        return pk_fail(&c->error, PK_NO_PERMISSION,
                       "virtual key \"%.*s\": model \"%.*s\" is not allowed",
                       PK_FMT(t->virtual_key),
                       PK_FMT(pk_str_sub(c->record.request_model, 0, PK_SLUG_BYTES_MAX)));
    c->exchange.upgrade = pk_operation_is_tunnel(c->operation);
    if (!pk_call_readable(c) || !choose_back(c, t))
        return false;
    if (pk_call_counts_itself(c))
        return true;
    if (!spell(c, t, body) || (c->exchange.upgrade && !pk_call_tunnel_spell(c)))
        return false;
    add_headers(c, t, &headers);
    c->exchange.method = c->req->method;
    c->exchange.headers = pk_buf_str(&headers);
    c->exchange.target = t;
    c->exchange.endless = pk_operation_is_raw(c->operation);
    if (headers.failed || c->arena->failed)
        return pk_fail(&c->error, PK_NO_MEMORY, "request: out of memory");
    return true;
}
