/* call_tunnel.c - a realtime session: a WebSocket between client and provider, opened like any call.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Until the provider's 101 it is an attempt like any other: another answer is an error, with retries and
 * fallbacks. From then on frames pass in both directions as they are, and the machine reads along what
 * the provider says, for the bill. What the client sends goes by the machine: the host writes it to the open
 * transfer, and the machine says only how long nothing may happen (next.idle_ms).
 *
 * Nobody knows what a session will use. What it has used is set aside of its limits as the provider says it,
 * and one that finds nothing left ends there.
 *
 * The handshake is between the two ends, but for two things. Compression is not offered, so that the
 * provider's events can be read. And a key that a browser has put among its subprotocols stays here.
 */
#include "call_inner.h"

#include "http.h"

enum {
    HANDSHAKE_MS = 60 * 1000, /* for the provider's 101, when the config has no request_timeout */
    GOODBYE_MS = 5 * 1000,    /* for the connection's end behind the provider's close frame */
    PROTOCOLS_BYTES_MAX = 4096
};

/* Close frames with the status 1001 "going away", and 1008 "policy violation" (RFC 6455, 7.4.1). */
enum { CLOSE_BYTES = 4 };
static const char going_away[CLOSE_BYTES] = {(char)0x88, 2, 0x03, (char)0xe9};
static const char used_up[CLOSE_BYTES] = {(char)0x88, 2, 0x03, (char)0xf0};

/* --- the handshake --------------------------------------------------------------------------- */

/* The subprotocols that the client offers, but for those that are credentials. */
static void add_protocols(pk_str offered, struct pk_buf *out)
{
    const char *before = "sec-websocket-protocol: ";
    bool any = false;

    while (offered.len) {
        int comma = pk_str_find(offered, ',');
        size_t len = comma < 0 ? offered.len : (size_t)comma;
        pk_str name = pk_str_trim(pk_str_sub(offered, 0, len));

        offered = pk_str_sub(offered, len + 1, offered.len);
        if (!pk_http_valid_name(name) || pk_http_protocol_key(name).at)
            continue;
        pk_buf_addf(out, "%s%.*s", before, PK_FMT(name));
        before = ", ";
        any = true;
    }
    if (any)
        pk_buf_addc(out, '\n');
}

void pk_call_tunnel_headers(struct pk_call *c, struct pk_buf *out)
{
    static const char *const passed[] = {"sec-websocket-key", "sec-websocket-version",
                                         "openai-beta", "openai-safety-identifier"};

    for (size_t i = 0; i < PK_COUNT(passed); i++) {
        pk_str value = pk_http_header(c->req->headers, passed[i]);

        if (value.len && pk_http_valid_value(value) &&
            pk_http_header(pk_buf_str(out), passed[i]).len == 0)
            pk_buf_addf(out, "%s: %.*s\n", passed[i], PK_FMT(value));
    }
    add_protocols(pk_http_header(c->req->headers, "sec-websocket-protocol"), out);
}

static void add_escaped(struct pk_buf *out, pk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.at[i];
        bool plain = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') ||
                     (ch >= 'A' && ch <= 'Z') || ch == '-' || ch == '.' || ch == '_' || ch == '~';

        if (plain)
            pk_buf_addc(out, ch);
        else
            pk_buf_addf(out, "%%%02X", (unsigned char)ch);
    }
}

static bool has_guards(const struct pk_guards *list)
{
    return list && list->count > 0;
}

/* Nobody who set up a guardrail shall believe that it looks into a session. */
static bool is_allowed(struct pk_call *c)
{
    const struct pk_target *t = pk_call_target(c);

    if (!c->back->plain)
        return pk_fail(&c->error, PK_BAD_REQUEST, "%s: has no realtime", t->provider->name);
    if (pk_str_starts(t->url_path, "/deployments/"))
        return pk_fail(&c->error, PK_BAD_CONFIG,
                       "%.*s.api_version: realtime needs \"v1\", where the model is the deployment",
                       PK_FMT(t->path));
    for (int phase = 0; phase < 2; phase++)
        if (has_guards(t->guards[phase]) || has_guards(c->req->guards[phase]))
            return pk_fail(&c->error, PK_BAD_REQUEST,
                           "%.*s: guardrails cannot look into a realtime session", PK_FMT(t->path));
    return true;
}

bool pk_call_tunnel_spell(struct pk_call *c)
{
    struct pk_buf url = pk_buf_in(c->arena, PK_URL_BYTES_MAX);
    pk_str model = c->record.request_model;

    if (!is_allowed(c))
        return false;
    c->exchange.body = PK_NONE;
    pk_buf_add(&url, c->exchange.url);
    if (model.len) {
        pk_buf_adds(&url, pk_str_find(c->exchange.url, '?') < 0 ? "?model=" : "&model=");
        add_escaped(&url, model);
    }
    c->exchange.url = pk_buf_str(&url);
    if (url.failed && !c->arena->failed)
        return pk_fail(&c->error, PK_BAD_REQUEST, "url: would be longer than %d bytes",
                       PK_URL_BYTES_MAX);
    return !url.failed || pk_fail(&c->error, PK_NO_MEMORY, "url: out of memory");
}

void pk_call_tunnel_deadline(struct pk_call *c)
{
    if (c->attempt_deadline_ms != INT64_MAX)
        return;
    c->attempt_deadline_ms = c->now_ms + HANDSHAKE_MS;
    c->attempt_limit = "a minute";
}

/* --- the session ----------------------------------------------------------------------------- */

static int wait_for_bytes(struct pk_call *c)
{
    const struct pk_timeouts *limits = &pk_call_target(c)->timeouts;
    int64_t idle_ms = limits->idle_ms ? limits->idle_ms : c->req->idle_ms;

    c->next.idle_ms = idle_ms ? idle_ms : PK_SESSION_IDLE_MS;
    if (c->tunnel->frames.closed && c->next.idle_ms > GOODBYE_MS)
        c->next.idle_ms = GOODBYE_MS;
    c->attempt_deadline_ms = INT64_MAX;
    return pk_call_wait_upstream(c, ST_tunnel, PK_OP_READ);
}

/* What of the provider's answer completes the client's handshake. */
static void keep_answer(struct pk_call *c, pk_str headers)
{
    static const char *const passed[] = {"sec-websocket-accept", "sec-websocket-protocol"};
    struct pk_buf kept = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);

    pk_buf_add(&kept, c->reply.headers);
    for (size_t i = 0; i < PK_COUNT(passed); i++) {
        pk_str value = pk_http_header(headers, passed[i]);

        if (value.len)
            pk_buf_addf(&kept, "%s: %.*s\n", passed[i], PK_FMT(value));
    }
    c->reply.headers = pk_buf_str(&kept);
}

int pk_call_tunnel_open(struct pk_call *c, pk_str headers)
{
    const char *provider = pk_call_target(c)->provider->name;

    if (pk_http_header(headers, "sec-websocket-accept").len == 0 ||
        pk_http_header(headers, "sec-websocket-extensions").len) {
        (void)pk_fail(&c->error, PK_BAD_ANSWER, "%s: its handshake is not the one that was asked",
                      provider);
        return pk_call_go(c, ST_judge);
    }
    c->tunnel = pk_realtime_new(c->arena);
    keep_answer(c, headers);
    if (!c->tunnel || c->arena->failed) {
        (void)pk_fail(&c->error, PK_NO_MEMORY, "session: out of memory");
        return pk_call_go(c, ST_judge);
    }
    c->answer = (struct pk_answer){0};
    c->charged = (struct pk_usage){0};
    c->record.spans[c->span].first_byte_us = pk_call_now_us(c);
    pk_call_note_target(c);
    pk_call_reply_as(c, c->status, true);
    c->committed = true;
    c->next.open = true;
    return wait_for_bytes(c);
}

bool pk_call_tunnel_over(const struct pk_call *c)
{
    return c->tunnel && c->tunnel->frames.closed;
}

/* Behind whole frames only, and never a second one. The client reads it behind what is on its way to it. */
static void say(struct pk_call *c, const char *frame)
{
    pk_str out = c->next.out;

    if (!pk_wsframes_between(&c->tunnel->frames) || c->tunnel->frames.closed)
        return;
    pk_buf_reset(&c->out);
    pk_buf_add(&c->out, out);
    pk_buf_add(&c->out, (pk_str){frame, CLOSE_BYTES});
    if (!c->out.failed)
        c->next.out = pk_buf_str(&c->out);
}

void pk_call_tunnel_say_goodbye(struct pk_call *c)
{
    say(c, going_away);
}

/* The provider's close frame is a session's good end; without one it was cut. */
static int ended(struct pk_call *c, const struct pk_event *ev)
{
    const char *provider = pk_call_target(c)->provider->name;

    if (pk_call_tunnel_over(c)) {
        c->answered = true;
        pk_call_span_end(c);
        return pk_call_go(c, ST_answer);
    }
    if (ev->kind == PK_EV_END)
        (void)pk_fail(&c->error, PK_NETWORK, "%s: the connection ended without a close frame",
                      provider);
    else
        c->error = ev->error;
    if (c->error.code == PK_TIMEOUT) {
        bool late = c->now_ms >= c->deadline_ms;

        c->impatient = true; /* which says nothing about the provider */
        (void)pk_fail(&c->error, PK_TIMEOUT,
                      late ? "%s: the call's timeout has passed" : "%s: the session was idle",
                      provider);
        pk_call_tunnel_say_goodbye(c);
    }
    pk_call_span_end(c);
    return pk_call_go(c, ST_finish);
}

/* c->error says why it may not go on. */
static int stop(struct pk_call *c)
{
    say(c, used_up);
    pk_call_span_end(c);
    return pk_call_go(c, ST_finish);
}

/* What was used so far is set aside, and something must be left for what comes next. */
static int charge(struct pk_call *c)
{
    bool ask;

    c->charged = c->answer.usage;
    pk_call_note_used(c);
    if (!pk_call_limited(c, &ask))
        return stop(c);
    int op = wait_for_bytes(c);
    return ask ? pk_call_wait(c, ST_tunnel, PK_OP_RESERVE) : op;
}

static bool has_used_more(const struct pk_call *c)
{
    const struct pk_usage *now = &c->answer.usage, *then = &c->charged;

    return now->input != then->input || now->cache_read != then->cache_read ||
           now->output != then->output;
}

int pk_step_tunnel(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_GRANTED) {
        pk_call_take(c, ev->reserve);
        return wait_for_bytes(c);
    }
    if (ev->kind == PK_EV_REFUSED) {
        c->error = ev->reserve->error;
        return stop(c);
    }
    if (ev->kind != PK_EV_BODY)
        return ended(c, ev);
    pk_realtime_feed(c->tunnel, ev->bytes);
    c->answer.usage = c->tunnel->usage;
    c->answer.model = pk_str_of(c->tunnel->model);
    c->next.out = ev->bytes;
    return has_used_more(c) ? charge(c) : wait_for_bytes(c);
}
