/* xfer_send.c - what goes out: where to, under which headers, with which key.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Curl takes headers as a list of strings. Ours is an array over one block of text, built anew for
 * each request: no allocation per line, and one place to wipe when the key in it is not needed any more.
 */
#include "http.h"
#include "place.h"
#include "xfer_address.h"
#include "xfer_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    UPSTREAMS_MAX = 64,
    SIGNED_BYTES_MAX = 8 << 10,
    SIGNATURE_BYTES_MAX = PK_SIGN_BYTES_MAX + 128,
    LINE_END = 2, /* bytes behind a header line */
};

static const char *const method_names[] = {
    [PK_POST] = "POST",   [PK_GET] = "GET",       [PK_PUT] = "PUT",
    [PK_PATCH] = "PATCH", [PK_DELETE] = "DELETE",
};

bool pk_bytes_add(struct pk_bytes *b, const char *at, size_t len)
{
    size_t cap = b->cap ? b->cap : XFER_BYTES_MIN;

    while (cap - b->len < len)
        cap *= 2;
    if (cap > b->cap) {
        char *more = realloc(b->at, cap);

        if (!more)
            return false;
        b->at = more;
        b->cap = cap;
    }
    memcpy(b->at + b->len, at, len);
    b->len += len;
    return true;
}

bool pk_bytes_size(struct pk_bytes *b, size_t cap)
{
    b->len = 0;
    if (cap <= b->cap)
        return true;
    free(b->at);
    b->at = malloc(cap);
    b->cap = b->at ? cap : 0;
    return b->at != NULL;
}

/* --- upstreams ------------------------------------------------------------------------------ */

static void upstream_free(struct pk_upstream *u)
{
    if (u->parsed)
        curl_url_cleanup(u->parsed);
    free(u->text);
    free(u);
}

void pk_upstream_release(struct pk_xfer *x, struct pk_upstream *u)
{
    (void)x;
    PK_ASSERT(u->users > 0);
    if (--u->users == 0 && u->dropped)
        upstream_free(u);
}

/* Takes `*link` out of the list; it goes at once or with its last user. */
static void drop(struct pk_xfer *x, struct pk_upstream **link)
{
    struct pk_upstream *u = *link;

    *link = u->next;
    x->upstream_count--;
    u->dropped = true;
    if (u->users == 0)
        upstream_free(u);
}

void pk_upstreams_drop(struct pk_xfer *x)
{
    while (x->upstreams)
        drop(x, &x->upstreams);
}

/* Drops the one that was not asked for the longest. */
static void make_room(struct pk_xfer *x)
{
    struct pk_upstream **link = &x->upstreams;

    while (*link && (*link)->next)
        link = &(*link)->next;
    if (*link && x->upstream_count >= UPSTREAMS_MAX)
        drop(x, link);
}

static bool describe(struct pk_xfer *x, struct pk_upstream *u, pk_str text, struct pk_error *err)
{
    bool colon;

    memcpy(u->text, text.at, text.len);
    u->len = text.len;
    if (!pk_url_parse((pk_str){u->text, u->len}, "url", &u->url, err))
        return false;
    colon = pk_str_find(u->url.host, ':') >= 0;
    u->loopback = pk_url_is_loopback(&u->url);
    u->listed = pk_url_host_listed(pk_str_of(x->allowed_hosts), u->url.host, u->url.port);
    int len = snprintf(u->where, sizeof u->where, colon ? "[%.*s]" : "%.*s", PK_FMT(u->url.host));
    if (u->url.port != (u->url.https ? 443 : 80) && len > 0 && (size_t)len < sizeof u->where)
        (void)snprintf(u->where + len, sizeof u->where - (size_t)len, ":%d", u->url.port);
    pk_dial_aim(u);
    return true;
}

bool pk_upstream_parse(struct pk_upstream *u, struct pk_error *err)
{
    if (u->parsed)
        return true;
    u->parsed = curl_url();
    if (!u->parsed)
        return pk_fail(err, PK_NO_MEMORY, "url: out of memory");
    if (curl_url_set(u->parsed, CURLUPART_URL, u->text, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) ==
        CURLUE_OK)
        return true;
    curl_url_cleanup(u->parsed);
    u->parsed = NULL;
    return pk_fail(err, PK_BAD_CONFIG, "%s: the URL cannot be used", u->where);
}

static struct pk_upstream *new_upstream(struct pk_xfer *x, pk_str text, struct pk_error *err)
{
    struct pk_upstream *u = calloc(1, sizeof *u);

    if (text.len > PK_URL_BYTES_MAX) {
        free(u);
        (void)pk_fail(err, PK_BAD_CONFIG, "url: longer than %d bytes", PK_URL_BYTES_MAX);
        return NULL;
    }
    if (u)
        u->text = calloc(1, text.len + 1);
    if (u && u->text && describe(x, u, text, err)) {
        make_room(x);
        u->next = x->upstreams;
        x->upstreams = u;
        x->upstream_count++;
        return u;
    }
    if (!u || !u->text)
        (void)pk_fail(err, PK_NO_MEMORY, "url: out of memory");
    if (u)
        upstream_free(u);
    return NULL;
}

/* The upstream of this URL, moved to the front of the list. */
static struct pk_upstream *find(struct pk_xfer *x, pk_str text, struct pk_error *err)
{
    for (struct pk_upstream **link = &x->upstreams; *link; link = &(*link)->next) {
        struct pk_upstream *u = *link;

        if (u->len != text.len || memcmp(u->text, text.at, text.len) != 0)
            continue;
        *link = u->next;
        u->next = x->upstreams;
        x->upstreams = u;
        return u;
    }
    return new_upstream(x, text, err);
}

static bool is_own(const struct pk_upstream *u, const struct pk_target *target)
{
    const struct pk_provider *provider = target->provider;
    pk_str base = target->own_url.len ? target->own_url : pk_str_of(provider->base_url);
    struct pk_error unused;
    struct pk_url own;

    return (base.len && pk_url_parse(base, "", &own, &unused) &&
            pk_url_same_origin(&own, &u->url)) ||
           pk_place_own_host(provider, &u->url);
}

/* The rule by name: the provider's own origin, loopback spelled as such, or listed. */
static bool may_call(struct pk_upstream *u, const struct pk_target *target, struct pk_error *err)
{
    const struct pk_provider *provider = target->provider;

    if (u->listed || u->loopback || u->provider == provider)
        return true;
    if (is_own(u, target)) {
        if (!provider->own) /* others go, and their place in memory is another's then */
            u->provider = provider;
        return true;
    }
    return pk_fail(err, PK_HOST_DENIED, "%s: not a host of %s; list it in allowed_hosts to call it",
                   u->where, provider->name);
}

/* --- headers -------------------------------------------------------------------------------- */

static void add_text(struct pk_bytes *text, pk_str s)
{
    PK_ASSERT(text->cap - text->len >= s.len);
    if (s.len)
        memcpy(text->at + text->len, s.at, s.len);
    text->len += s.len;
}

/* Appends "name: prefix value" to the list; pk_transfer_room() has made room for it. It ends like a string, and,
 * once add_end() has seen it, like a line. Curl takes one without a value for the wish not to send that header. */
static void add_line(struct pk_transfer *t, pk_str name, pk_str prefix, pk_str value)
{
    int i = t->line_count++;

    PK_ASSERT(i < XFER_LINES_MAX);
    t->lines[i] = (struct curl_slist){.data = t->text.at + t->text.len};
    if (i)
        t->lines[i - 1].next = &t->lines[i];
    add_text(&t->text, name);
    add_text(&t->text, PK_STR(": "));
    add_text(&t->text, prefix);
    add_text(&t->text, value);
    add_text(&t->text, PK_STR("\0\n"));
}

static bool may_send(pk_str name, pk_str key_name)
{
    return !pk_http_is_framing(name) && !(key_name.len > 0 && key_name.len == name.len &&
                                          strncasecmp(name.at, key_name.at, name.len) == 0);
}

/* The exchange's lines, but for those that the transport or the key's own line supplies. */
static bool add_lines(struct pk_transfer *t, pk_str headers, pk_str key_name, struct pk_error *err)
{
    pk_str name, value;

    while (pk_http_next_header(&headers, &name, &value)) {
        if (value.len == 0 || !may_send(name, key_name))
            continue;
        if (!pk_http_valid_name(name) || !pk_http_valid_value(value))
            return pk_fail(err, PK_BAD_REQUEST, "%s: a header that cannot be sent", t->to->where);
        if (t->line_count == XFER_LINES_MAX)
            return pk_fail(err, PK_TOO_LARGE, "%s: too many headers to send", t->to->where);
        add_line(t, name, PK_NONE, value);
    }
    return true;
}

/* Notes what stands in the text from now on as what no answer may repeat. */
static void hide(struct pk_transfer *t, size_t from, size_t len)
{
    t->key_from = from;
    t->key_len = len;
}

/* The key in its header. */
static void add_key(struct pk_transfer *t, const struct pk_grant *g, pk_str name)
{
    if (g->secret.len == 0 || name.len == 0)
        return;
    add_line(t, name, pk_str_sub(g->header, name.len + 2, g->header.len), g->secret);
    hide(t, t->text.len - LINE_END - g->secret.len, g->secret.len);
}

/* A key that stands in no header: behind the request, where it is only looked for in answers. */
static void add_hidden(struct pk_transfer *t, const struct pk_grant *g, pk_str name)
{
    if (g->secret.len == 0 || name.len)
        return;
    hide(t, t->text.len, g->secret.len);
    add_text(&t->text, g->secret);
}

/* The lines that AWS wants signed: of those that are there, the content's type and AWS's own. */
static bool signed_lines(const struct pk_transfer *t, char *out, size_t size)
{
    size_t len = 0;

    for (int i = 0; i < t->line_count; i++) {
        pk_str line = pk_str_of(t->lines[i].data);

        if (strncasecmp(line.at, "content-type:", 13) != 0 && strncasecmp(line.at, "x-amz", 5) != 0)
            continue;
        if (len + line.len + 2 > size)
            return false;
        memcpy(out + len, line.at, line.len);
        out[len + line.len] = '\n';
        len += line.len + 1;
    }
    out[len] = 0;
    return true;
}

static bool add_signature(struct pk_transfer *t, const struct pk_exchange *ex,
                          const struct pk_grant *g, struct pk_error *err)
{
    struct pk_aws_signature s;
    char lines[SIGNED_BYTES_MAX];
    const struct pk_aws_request r = {
        .method = method_names[ex->method],
        .url = &t->to->url,
        .headers = {lines, 0},
        .body = ex->body,
        .region = g->region,
        .service = g->service,
    };
    struct pk_aws_request whole = r;

    if (g->aws.id.len == 0)
        return true;
    if (t->line_count + 3 > XFER_LINES_MAX || !signed_lines(t, lines, sizeof lines))
        return pk_fail(err, PK_TOO_LARGE, "%s: too many headers to sign", t->to->where);
    whole.headers = pk_str_of(lines);
    if (!pk_sign_aws(&whole, &g->aws, pk_clock_us(), &s, err))
        return false;
    add_line(t, PK_STR("x-amz-date"), PK_NONE, pk_str_of(s.date));
    add_line(t, PK_STR("authorization"), PK_NONE, pk_str_of(s.authorization));
    if (g->aws.session.len) {
        add_line(t, PK_STR("x-amz-security-token"), PK_NONE, g->aws.session);
        hide(t, t->text.len - LINE_END - g->aws.session.len, g->aws.session.len);
    }
    return true;
}

static void add_number(struct pk_bytes *text, pk_str before, uint64_t n)
{
    char digits[PK_DIGITS_BYTES];

    add_text(text, before);
    add_text(text, pk_digits(n, digits));
}

/* The first lines of a request that curl has no part in: what curl would say, unless the exchange does. */
static void add_start(struct pk_transfer *t, const struct pk_exchange *ex)
{
    const struct pk_url *url = &t->to->url;
    bool colon = pk_str_find(url->host, ':') >= 0;

    add_text(&t->text, pk_str_of(method_names[ex->method]));
    add_text(&t->text, pk_str_starts(url->path, "/") ? PK_STR(" ") : PK_STR(" /"));
    add_text(&t->text, url->path);
    add_text(&t->text, PK_STR(" HTTP/1.1\r\nHost: "));
    add_text(&t->text, colon ? PK_STR("[") : PK_NONE);
    add_text(&t->text, url->host);
    add_text(&t->text, colon ? PK_STR("]") : PK_NONE);
    if (url->port != 80)
        add_number(&t->text, PK_STR(":"), (uint64_t)url->port);
    add_text(&t->text, PK_STR("\r\n"));
    if (pk_http_header(ex->headers, "user-agent").len == 0)
        add_text(&t->text, PK_STR("User-Agent: pk/" PK_VERSION "\r\n"));
    if (pk_http_header(ex->headers, "accept").len == 0)
        add_text(&t->text, PK_STR("Accept: */*\r\n"));
}

/* The last ones; what is in t->text is a whole head then. */
static void add_end(struct pk_transfer *t, const struct pk_exchange *ex)
{
    for (int i = 0; i < t->line_count; i++)
        t->lines[i].data[strlen(t->lines[i].data)] = '\r';
    if (ex->method != PK_GET) {
        add_number(&t->text, PK_STR("Content-Length: "), ex->body.len);
        add_text(&t->text, PK_STR("\r\n"));
    }
    add_text(&t->text, PK_STR("\r\n"));
}

static size_t room_for(const struct pk_transfer *t, const struct pk_exchange *ex,
                       const struct pk_grant *g)
{
    return 256 + t->to->len + 4 * XFER_LINES_MAX + ex->headers.len + g->header.len + g->secret.len +
           (g->aws.id.len ? SIGNATURE_BYTES_MAX + g->aws.session.len : 0);
}

static bool build(struct pk_transfer *t, const struct pk_exchange *ex, const struct pk_grant *g,
                  struct pk_error *err)
{
    int colon = pk_str_find(g->header, ':');
    pk_str name = pk_str_sub(g->header, 0, colon < 0 ? 0 : (size_t)colon);
    pk_str own = g->aws.id.len ? PK_STR("authorization") : name; /* which nobody else may say */

    t->line_count = 0;
    t->key_len = 0;
    if (!pk_transfer_room(t, room_for(t, ex, g)))
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", t->to->where);
    if (t->wired)
        add_start(t, ex);
    else
        add_line(t, PK_STR("expect"), PK_NONE, PK_NONE);
    if (pk_http_header(ex->headers, "content-type").len == 0)
        add_line(t, PK_STR("content-type"), PK_NONE, PK_STR("application/json"));
    add_key(t, g, name);
    if (!add_lines(t, ex->headers, g->secret.len || g->aws.id.len ? own : PK_NONE, err) ||
        !add_signature(t, ex, g, err))
        return false;
    if (t->wired)
        add_end(t, ex);
    t->head_len = t->text.len;
    add_hidden(t, g, name);
    return true;
}

/* --- the whole ------------------------------------------------------------------------------ */

bool pk_transfer_aim(struct pk_transfer *t, const struct pk_exchange *ex, struct pk_error *err)
{
    struct pk_upstream *u = find(t->x, ex->url, err);

    if (!u || !may_call(u, ex->target, err))
        return false;
    u->users++;
    t->to = u;
    t->wired = !u->url.https && !ex->upgrade;
    return true;
}

bool pk_transfer_fill(struct pk_transfer *t, const struct pk_exchange *ex, const struct pk_grant *g,
                      struct pk_error *err)
{
    struct pk_upstream *u = t->to;

    if (!build(t, ex, g, err))
        return false;
    t->endless = ex->endless;
    t->body = ex->body;
    if (t->wired)
        return true;
    if (!pk_transfer_equip(t, err) || !pk_upstream_parse(u, err))
        return false;
    t->x->tls |= u->url.https;
    curl_easy_setopt(t->easy, CURLOPT_MAXFILESIZE_LARGE,
                     ex->endless ? (curl_off_t)0 : (curl_off_t)PK_STREAM_BYTES_MAX);
    curl_easy_setopt(t->easy, CURLOPT_CURLU, u->parsed);
    bool usual = ex->method == PK_POST || ex->method == PK_GET;
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, usual ? NULL : method_names[ex->method]);
    if (ex->method == PK_GET) {
        curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
        return !ex->upgrade || pk_tunnel_prepare(t, err);
    }
    curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ex->body.len);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, ex->body.len ? ex->body.at : "");
    return true;
}
