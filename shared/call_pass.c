/* call_pass.c - raw operations: bodies that may be anything, and the state pass, for answers that go by as they
 * come.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * JSON, and the fields of a form, are read as any body is: for conditions, rights, limits, guardrails and the
 * log. What is neither is sent as it is, to targets that need to know nothing about it.
 */
#include "call_inner.h"

#include "body.h"
#include "dialect_parts.h"
#include "http.h"
#include "place.h"

#include <string.h>
#include <strings.h>

/* --- the request's body ----------------------------------------------------------------------- */

static bool parse(struct pk_call *c, pk_str text, struct pk_error *err)
{
    return pk_body_parse(c->arena, text, c->operation->input, &c->body, err);
}

static bool read_form(struct pk_call *c, struct pk_error *err)
{
    if (!pk_form_parse(c->arena, c->req->content_type, c->req->body, &c->form, err) ||
        !pk_form_fields(c->arena, &c->form, &c->original, err))
        return false;
    c->request = c->original;
    return parse(c, c->original, err);
}

/* A body of the proxy that pk cannot read may be one that its provider can. */
static bool is_object(struct pk_call *c, bool *is, struct pk_error *err)
{
    struct pk_error why = {0};
    struct pk_json doc;

    *is = pk_json_parse(c->arena, c->req->body, "body", &doc, &why) &&
          pk_json_type(&doc, 0) == PK_JSON_OBJECT;
    return !c->arena->failed || pk_fail(err, PK_NO_MEMORY, "body: out of memory");
}

bool pk_call_read_body(struct pk_call *c, struct pk_error *err)
{
    pk_str type = c->req->content_type, body = c->req->body;
    bool json = type.len == 0 || pk_http_is_type(type, "application/json");

    c->original = c->request = body;
    if (!pk_operation_is_raw(c->operation))
        return parse(c, body, err);
    if (!pk_operation_check_tail(c->req->tail, err))
        return false;
    if (body.len && pk_http_is_type(type, "multipart/form-data"))
        return read_form(c, err);
    json = json && body.len;
    if (json && c->operation == &pk_operation_proxy && !is_object(c, &json, err))
        return false;
    c->opaque = !json;
    return parse(c, json ? body : PK_STR("{}"), err);
}

/* Of a proxied path that names a model it is that one, whatever the body says. */
pk_str pk_call_model(const struct pk_call *c, const struct pk_params *params)
{
    static const struct pk_params unchanged;
    pk_str model = PK_NONE;

    if (c->operation == &pk_operation_proxy)
        model = pk_operation_path_model(c->arena, c->req->tail);
    if (model.len)
        return model;
    return pk_params_model(c->arena, c->opaque ? &unchanged : params, &c->body);
}

bool pk_call_readable(struct pk_call *c)
{
    const char *provider = pk_call_target(c)->provider->name;
    bool proxied = c->operation == &pk_operation_proxy;
    bool words = proxied || c->operation == &pk_operation_completions;

    if (!pk_operation_is_raw(c->operation) || c->req->method == PK_GET ||
        c->req->method == PK_DELETE)
        return true;
    if ((words && pk_call_guarded(c, PK_GUARD_OUTPUT)) ||
        ((proxied || c->opaque) && pk_call_guarded(c, PK_GUARD_INPUT)))
        return pk_fail(&c->error, PK_BAD_REQUEST,
                       "%s: guardrails cannot see what is in a %s request, so that none is made",
                       provider, proxied ? "proxied" : c->operation->name);
    if (c->opaque && c->request.len && c->operation->output &&
        pk_params_change(&pk_call_target(c)->params))
        return pk_fail(
            &c->error, PK_BAD_REQUEST,
            "%s: params of the config cannot be set in a body that is no JSON and no form",
            provider);
    return true;
}

/* --- headers ----------------------------------------------------------------------------------- */

/* Of the way to pk, or of a page in a browser: nothing that a provider is to know. */
static const char *const not_passed[] = {
    "accept-encoding", "cookie",   "forwarded",
    "x-real-ip",       "via",      "origin",
    "referer",         "priority", "upgrade-insecure-requests"};
static const char *const not_passed_prefixes[] = {
    "x-portkey-", "x-pk-", "x-forwarded-", "proxy-", "sec-", "cf-", "x-envoy-", "x-amzn-trace"};

/* Whether the connection header lists `name`. */
static bool is_of_the_connection(pk_str headers, pk_str name)
{
    pk_str rest = pk_http_header(headers, "connection");

    while (rest.len) {
        int comma = pk_str_find(rest, ',');
        size_t len = comma < 0 ? rest.len : (size_t)comma;
        pk_str token = pk_str_trim(pk_str_sub(rest, 0, len));

        if (token.len == name.len && strncasecmp(token.at, name.at, name.len) == 0)
            return true;
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return false;
}

static bool may_pass(const struct pk_call *c, pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(not_passed); i++)
        if (pk_str_is_nocase(name, not_passed[i]))
            return false;
    for (size_t i = 0; i < PK_COUNT(not_passed_prefixes); i++)
        if (pk_str_is_nocase(pk_str_sub(name, 0, strlen(not_passed_prefixes[i])),
                             not_passed_prefixes[i]))
            return false;
    return !is_of_the_connection(c->req->headers, name);
}

/* The lines of `headers` that the client has not sent a line of its own in the place of. */
static void add_missing(struct pk_call *c, const struct pk_target *t, pk_str headers,
                        struct pk_buf *out)
{
    pk_str name, value;

    while (pk_http_next_header(&headers, &name, &value))
        if (!pk_place_has_header(t, name) &&
            pk_http_header(c->req->headers, pk_copy(c->arena, name).at).len == 0)
            pk_buf_addf(out, "%.*s: %.*s\n", PK_FMT(name), PK_FMT(value));
}

void pk_call_add_headers(struct pk_call *c, const struct pk_target *t, struct pk_buf *out)
{
    pk_str headers = c->req->headers, name, value;

    while (pk_http_next_header(&headers, &name, &value))
        if (value.len && !pk_place_has_header(t, name) && may_pass(c, name) &&
            pk_call_may_forward(t, name) && pk_http_valid_name(name) &&
            pk_http_valid_value(value) && pk_http_gateway_key(value).len == 0)
            pk_buf_addf(out, "%.*s: %.*s\n", PK_FMT(name), PK_FMT(value));
    add_missing(c, t, pk_str_of(c->back->headers), out);
    add_missing(c, t, pk_str_of(t->provider->headers), out);
    pk_place_headers(t, out);
}

/* --- the answer -------------------------------------------------------------------------------- */

/* Whether pk knows what such a request is answered with. */
static bool knows_answer(const struct pk_call *c)
{
    return pk_operation_bills(c->operation, c->req->method) && c->operation != &pk_operation_proxy;
}

bool pk_call_passes(struct pk_call *c, pk_str headers)
{
    pk_str type = pk_http_header(headers, "content-type");
    bool json = type.len == 0 || pk_http_is_type(type, "application/json");
    bool events = c->stream && pk_http_is_type(type, "text/event-stream");

    c->tap = NULL;
    c->passed_bytes = -1;
    c->reply.content_type = PK_NONE;
    if (!c->codec || c->codec->answer || !(pk_operation_is_raw(c->operation) || events))
        return false;
    c->reply.content_type = pk_copy(c->arena, type);
    if (json || pk_call_seeks_output(c) || (knows_answer(c) && pk_http_is_type(type, "text/html")))
        return false;
    if (pk_operation_bills(c->operation, c->req->method))
        c->tap = pk_tap_new(c->arena, type);
    if (c->tap && c->operation == &pk_operation_completions)
        c->tap->text = pk_text_new(c->arena);
    return true;
}

/* The member that an answer has to have; NULL: it may be no JSON. */
static const char *list_of(const struct pk_operation *o)
{
    if (o == &pk_operation_completions)
        return "choices";
    return o == &pk_operation_image_edits || o == &pk_operation_variations ? "data" : NULL;
}

bool pk_call_is_answer(struct pk_call *c, pk_str body)
{
    const char *provider = pk_call_target(c)->provider->name, *list = list_of(c->operation);
    struct pk_json doc;

    if (!pk_operation_is_raw(c->operation) || !knows_answer(c))
        return true;
    if (body.len == 0)
        return pk_fail(&c->error, PK_BAD_ANSWER, "%s: the answer is empty", provider);
    if (pk_http_is_type(c->reply.content_type, "text/html"))
        return pk_fail(&c->error, PK_BAD_ANSWER, "%s: the answer is a web page", provider);
    if (!list && c->answer.opaque && c->reply.content_type.len == 0)
        return true; /* it does not even say that it is JSON */
    if (!pk_dialect_parse(c->arena, body, &doc, &c->error) ||
        !pk_dialect_no_error(c->arena, &doc, &c->answer.fault, &c->error))
        return false;
    int items = list ? pk_json_get(&doc, 0, list) : -1;
    int finish = pk_json_get(&doc, pk_json_item(&doc, items, 0), "finish_reason");
    c->answer.finish_reason = pk_json_str(c->arena, &doc, finish);
    return !list || pk_json_type(&doc, items) == PK_JSON_ARRAY ||
           pk_fail(&c->error, PK_BAD_ANSWER, "%s: the answer's %s: must be an array", provider,
                   list);
}

/* Nothing that the client could read may follow, only the connection's end tells it. */
static int cut(struct pk_call *c)
{
    if (!c->committed)
        return pk_call_go(c, ST_judge);
    pk_call_span_end(c);
    return pk_call_go(c, ST_finish);
}

/* An event of a stream whose events pk knows was an error. */
static bool told_error(struct pk_call *c)
{
    if (!c->tap || c->tap->error.code == PK_OK || !knows_answer(c))
        return false;
    c->error = c->tap->error;
    c->fault = c->tap->fault;
    return true;
}

/* Whether what ends here is whole. */
static bool is_whole(struct pk_call *c)
{
    const char *provider = pk_call_target(c)->provider->name;

    if (!c->committed && c->tap)
        return pk_fail(&c->error, PK_BAD_ANSWER, "%s: the stream ended before its first event",
                       provider);
    if (!c->committed && c->operation == &pk_operation_speech)
        return pk_fail(&c->error, PK_BAD_ANSWER, "%s: the answer is empty", provider);
    if (told_error(c))
        return false;
    return !c->tap || !knows_answer(c) || c->tap->ended || c->tap->broken ||
           pk_fail(&c->error, PK_BAD_ANSWER, "%s: the stream ended before its last event",
                   provider);
}

static void commit(struct pk_call *c)
{
    if (c->committed)
        return;
    c->record.first_token_us = pk_call_now_us(c);
    pk_call_note_target(c);
    pk_call_reply_as(c, pk_call_status(c), true);
    c->committed = true;
    c->passed_bytes = 0;
}

/* Waits for more. `request_timeout` was for the first bytes. */
static int go_on(struct pk_call *c)
{
    int64_t idle_ms = pk_call_target(c)->timeouts.idle_ms;

    c->passed_bytes += (int64_t)c->next.out.len;
    c->attempt_deadline_ms = idle_ms ? c->now_ms + idle_ms : INT64_MAX;
    c->attempt_limit = "idle_timeout";
    return pk_call_wait_upstream(c, ST_pass, PK_OP_READ);
}

int pk_call_pass_on(struct pk_call *c, pk_str so_far, pk_str bytes)
{
    commit(c);
    pk_buf_add(&c->out, so_far);
    pk_buf_add(&c->out, bytes);
    c->next.out = pk_buf_str(&c->out);
    return go_on(c);
}

static int pass_end(struct pk_call *c)
{
    if (!is_whole(c))
        return cut(c);
    commit(c);
    c->answer = (struct pk_answer){.opaque = true};
    if (c->tap) {
        c->answer.model = c->tap->model;
        c->answer.usage = c->tap->usage;
    }
    if (c->tap && c->tap->text)
        c->answer.opaque = !pk_text_answer(c->tap->text, &c->answer.body, &c->answer.finish_reason);
    c->answered = true;
    pk_call_span_end(c);
    return pk_call_go(c, ST_answer);
}

int pk_step_pass(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_FAIL) {
        pk_call_note_failure(c, ev);
        return cut(c);
    }
    if (ev->kind == PK_EV_BODY && ev->bytes.len == 0)
        return pk_call_wait_upstream(c, ST_pass, PK_OP_READ);
    if (ev->kind == PK_EV_END)
        return pass_end(c);
    pk_call_note_first_byte(c);
    if (c->tap)
        pk_tap_feed(c->tap, ev->bytes);
    if (!c->committed && told_error(c))
        return pk_call_go(c, ST_judge);
    commit(c);
    c->next.out = ev->bytes;
    return go_on(c);
}

bool pk_call_relays_error(const struct pk_call *c)
{
    return c->operation == &pk_operation_proxy && c->error.code == PK_UPSTREAM &&
           c->error.status == c->status && !c->error_cut && c->guards.before.len == 0;
}

pk_str pk_call_passed(struct pk_call *c)
{
    struct pk_buf out = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);
    int64_t bytes = c->passed_bytes < 0 ? (int64_t)c->answer.body.len : c->passed_bytes;

    pk_buf_addc(&out, '{');
    if (c->reply.content_type.len) {
        pk_buf_adds(&out, "\"content_type\":");
        pk_json_quote(&out, c->reply.content_type);
        pk_buf_addc(&out, ',');
    }
    pk_buf_addf(&out, "\"bytes\":%lld}", (long long)bytes);
    return out.failed ? PK_NONE : pk_buf_str(&out);
}
