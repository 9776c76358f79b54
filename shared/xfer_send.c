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

enum { UPSTREAMS_MAX = 64 };

static const char *const method_names[] = {
    [PK_POST] = "POST",   [PK_GET] = "GET",       [PK_PUT] = "PUT",
    [PK_PATCH] = "PATCH", [PK_DELETE] = "DELETE",
};

bool pk_bytes_add(struct pk_bytes *b, const char *at, size_t len)
{
    size_t cap = b->cap ? b->cap : 1024;

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
    if (curl_url_set(u->parsed, CURLUPART_URL, u->text, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER) !=
        CURLUE_OK)
        return pk_fail(err, PK_BAD_CONFIG, "%s: the URL cannot be used", u->where);
    return true;
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
    if (u)
        u->parsed = curl_url();
    if (u && u->text && u->parsed && describe(x, u, text, err)) {
        make_room(x);
        u->next = x->upstreams;
        x->upstreams = u;
        x->upstream_count++;
        return u;
    }
    if (!u || !u->text || !u->parsed)
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

/* Appends "name: prefix value" to the list; pk_bytes_size() has made room for it. Curl takes a line
 * without a value for the wish not to send that header. */
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
    add_text(&t->text, PK_STR("\0"));
}

static bool may_send(pk_str name, pk_str key_name)
{
    return !pk_http_is_framing(name) &&
           !(key_name.len == name.len && strncasecmp(name.at, key_name.at, name.len) == 0);
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

/* `key_header` is "name: prefix"; the key follows the prefix. */
static bool build(struct pk_transfer *t, const struct pk_exchange *ex, pk_str key_header,
                  pk_str key, struct pk_error *err)
{
    int colon = pk_str_find(key_header, ':');
    pk_str name = pk_str_sub(key_header, 0, colon < 0 ? 0 : (size_t)colon);
    size_t room = 64 + 3 * XFER_LINES_MAX + ex->headers.len + key_header.len + key.len;

    t->line_count = 0;
    t->key_len = 0;
    if (!pk_transfer_room(t, room))
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", t->to->where);
    add_line(t, PK_STR("expect"), PK_NONE, PK_NONE);
    if (ex->body.len && pk_http_header(ex->headers, "content-type").len == 0)
        add_line(t, PK_STR("content-type"), PK_NONE, PK_STR("application/json"));
    if (key.len) {
        add_line(t, name, pk_str_sub(key_header, name.len + 2, key_header.len), key);
        t->key_len = key.len;
        t->key_from = t->text.len - 1 - key.len;
    }
    return add_lines(t, ex->headers, key.len ? name : PK_NONE, err);
}

/* The rule of binding, once more at the last moment: a stored key goes to its own origin only. */
static bool key_fits(const struct pk_transfer *t, const struct pk_target *target,
                     struct pk_error *err)
{
    const struct pk_key *key = &target->key;
    pk_str belongs = target->key_url.len ? target->key_url : key->origin;
    struct pk_url origin;

    if (key->origin.len == 0)
        return true;
    if (!pk_url_parse(belongs, "the key's origin", &origin, err))
        return false;
    /* A key of the environment that no virtual key names is known by its variable. */
    pk_str name = key->slug.len == 0 && key->kind == PK_KEY_ENV ? key->value : key->slug;
    return pk_url_same_origin(&origin, &t->to->url) ||
           pk_fail(err, PK_HOST_DENIED, "%s: the key %.*s belongs to %.*s", t->to->where,
                   PK_FMT(name), PK_FMT(origin.host));
}

static bool add_headers(struct pk_transfer *t, const struct pk_exchange *ex, struct pk_error *err)
{
    const struct pk_target *target = ex->target;
    pk_str key_header = pk_str_of(target->provider->key_header);
    char *secret = t->x->opened;
    size_t len = 0;

    if (target->key.kind == PK_KEY_NONE || key_header.len == 0)
        return build(t, ex, PK_NONE, PK_NONE, err);
    if (!key_fits(t, target, err) ||
        !pk_secret_open(t->x->secrets, &target->key, pk_str_of(target->provider->name), secret,
                        &len, err))
        return false;
    bool ok = pk_http_valid_value((pk_str){secret, len})
                  ? build(t, ex, key_header, (pk_str){secret, len}, err)
                  : pk_fail(err, PK_NO_KEY, "%s: the key holds a line break or control character",
                            target->provider->name);
    pk_secret_wipe(secret, len);
    return ok;
}

/* --- the whole ------------------------------------------------------------------------------ */

bool pk_transfer_prepare(struct pk_transfer *t, const struct pk_exchange *ex, struct pk_error *err)
{
    struct pk_upstream *u = find(t->x, ex->url, err);

    if (!u || !may_call(u, ex->target, err))
        return false;
    u->users++;
    t->to = u;
    if (!add_headers(t, ex, err))
        return false;
    t->x->tls |= u->url.https;
    curl_easy_setopt(t->easy, CURLOPT_CURLU, u->parsed);
    bool usual = ex->method == PK_POST || ex->method == PK_GET;
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, usual ? NULL : method_names[ex->method]);
    if (ex->method == PK_GET) {
        curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
        return true;
    }
    curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ex->body.len);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, ex->body.len ? ex->body.at : "");
    return true;
}
