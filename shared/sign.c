/* sign.c - see sign.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   canonical request --SHA-256--> string to sign --HMAC under a key of day, region and service--> signature
 *
 * Neither text is ever whole: their parts go straight into the hash.
 */
#include "sign.h"

#include "http.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { HASH_BYTES = crypto_hash_sha256_BYTES, HEX_BYTES = 2 * HASH_BYTES + 1, SCOPE_BYTES = 256 };

struct pair {
    pk_str name, value;
};

struct canonical {
    struct pair headers[PK_SIGN_HEADERS_MAX], params[PK_SIGN_PARAMS_MAX];
    int header_count, param_count;
    crypto_hash_sha256_state hash;
};

/* --- hashing -------------------------------------------------------------------------------------- */

static void add(struct canonical *c, pk_str s)
{
    if (s.len)
        (void)crypto_hash_sha256_update(&c->hash, (const unsigned char *)s.at, s.len);
}

static void hex_of(const unsigned char hash[HASH_BYTES], char hex[HEX_BYTES])
{
    (void)sodium_bin2hex(hex, HEX_BYTES, hash, HASH_BYTES);
}

static void hash_hex(pk_str s, char hex[HEX_BYTES])
{
    unsigned char hash[HASH_BYTES];

    (void)crypto_hash_sha256(hash, (const unsigned char *)(s.len ? s.at : ""), s.len);
    hex_of(hash, hex);
}

static void hmac(const unsigned char *key, size_t key_len, pk_str text,
                 unsigned char out[HASH_BYTES])
{
    crypto_auth_hmacsha256_state state;

    (void)crypto_auth_hmacsha256_init(&state, key, key_len);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)text.at, text.len);
    (void)crypto_auth_hmacsha256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

/* --- the canonical request -------------------------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static int compare(pk_str a, pk_str b, bool nocase)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : nocase ? strncasecmp(a.at, b.at, len) : memcmp(a.at, b.at, len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Puts it where it belongs; equals keep their order. */
static void insert(struct pair *list, int *count, struct pair p, bool nocase)
{
    int i = (*count)++;

    for (; i > 0; i--) {
        int order = compare(list[i - 1].name, p.name, nocase);

        if (order < 0 ||
            (order == 0 && (nocase || compare(list[i - 1].value, p.value, false) <= 0)))
            break;
        list[i] = list[i - 1];
    }
    list[i] = p;
}

static bool add_header(struct canonical *c, pk_str name, pk_str value)
{
    if (c->header_count == PK_SIGN_HEADERS_MAX)
        return false;
    insert(c->headers, &c->header_count, (struct pair){name, value}, true);
    return true;
}

static bool collect(struct canonical *c, const struct pk_aws_request *r, pk_str query)
{
    pk_str lines = r->headers, name, value;

    while (pk_http_next_header(&lines, &name, &value))
        if (!add_header(c, name, value))
            return false;
    while (query.len) {
        int end = pk_str_find(query, '&');
        pk_str param = pk_str_sub(query, 0, end < 0 ? query.len : (size_t)end);
        int equals = pk_str_find(param, '=');

        query = pk_str_sub(query, param.len + 1, query.len);
        if (c->param_count == PK_SIGN_PARAMS_MAX)
            return false;
        struct pair p = {param, PK_NONE};
        if (equals >= 0)
            p = (struct pair){pk_str_sub(param, 0, (size_t)equals),
                              pk_str_sub(param, (size_t)equals + 1, param.len)};
        insert(c->params, &c->param_count, p, false);
    }
    return true;
}

/* The path as it is sent, escaped once more. */
static void add_path(struct canonical *c, pk_str path)
{
    static const char kept[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    char escaped[4];

    if (path.len == 0)
        path = PK_STR("/");
    for (size_t i = 0; i < path.len; i++) {
        pk_str one = pk_str_sub(path, i, 1);

        if (!memchr(kept, path.at[i], sizeof kept - 1)) {
            (void)snprintf(escaped, sizeof escaped, "%%%02X", (unsigned)(unsigned char)path.at[i]);
            one = (pk_str){escaped, 3};
        }
        add(c, one);
    }
}

/* Without blanks at the ends, and one where there are several. */
static void add_value(struct canonical *c, pk_str value)
{
    value = pk_str_trim(value);
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] != ' ' || value.at[i - 1] != ' ')
            add(c, pk_str_sub(value, i, 1));
}

/* Writes the names of the signed headers into `names`; false when they do not fit. */
static bool add_headers(struct canonical *c, char *names, size_t size)
{
    size_t len = 0;

    for (int i = 0; i < c->header_count; i++) {
        pk_str name = c->headers[i].name;

        if (len + name.len + 2 > size)
            return false;
        if (i)
            names[len++] = ';';
        for (size_t k = 0; k < name.len; k++)
            names[len + k] = lower(name.at[k]);
        add(c, (pk_str){names + len, name.len});
        len += name.len;
        add(c, PK_STR(":"));
        add_value(c, c->headers[i].value);
        add(c, PK_STR("\n"));
    }
    names[len] = 0;
    return true;
}

/* --- signing -------------------------------------------------------------------------------------- */

static void print_date(int64_t now_us, char date[17])
{
    time_t s = (time_t)(now_us / 1000000);
    struct tm tm;

    (void)gmtime_r(&s, &tm);
    (void)strftime(date, 17, "%Y%m%dT%H%M%SZ", &tm);
}

static bool print_host(const struct pk_url *url, char *host, size_t size)
{
    bool v6 = pk_str_find(url->host, ':') >= 0, usual = url->port == (url->https ? 443 : 80);
    int len = snprintf(host, size, v6 ? "[%.*s]" : "%.*s", PK_FMT(url->host));

    if (len < 0 || (size_t)len + 8 > size)
        return false;
    if (!usual)
        (void)snprintf(host + len, size - (size_t)len, ":%d", url->port);
    return true;
}

static void sign(const struct pk_aws_key *key, const struct pk_aws_request *r, pk_str day,
                 pk_str text, char hex[HEX_BYTES])
{
    unsigned char k[HASH_BYTES], first[4 + 256] = {'A', 'W', 'S', '4'};
    const pk_str steps[] = {r->region, r->service, PK_STR("aws4_request"), text};

    memcpy(first + 4, key->secret.at, key->secret.len);
    hmac(first, 4 + key->secret.len, day, k);
    for (size_t i = 0; i < PK_COUNT(steps); i++)
        hmac(k, sizeof k, steps[i], k);
    hex_of(k, hex);
    sodium_memzero(first, sizeof first);
    sodium_memzero(k, sizeof k);
}

/* The hash of the canonical request. */
static bool hash_request(struct canonical *c, const struct pk_aws_request *r, char *names,
                         size_t size, char hex[HEX_BYTES])
{
    pk_str path = r->url->path;
    int mark = pk_str_find(path, '?');
    pk_str query = mark < 0 ? PK_NONE : pk_str_sub(path, (size_t)mark + 1, path.len);
    char body[HEX_BYTES];
    unsigned char hash[HASH_BYTES];

    if (!collect(c, r, query))
        return false;
    hash_hex(r->body, body);
    (void)crypto_hash_sha256_init(&c->hash);
    add(c, pk_str_of(r->method));
    add(c, PK_STR("\n"));
    add_path(c, mark < 0 ? path : pk_str_sub(path, 0, (size_t)mark));
    add(c, PK_STR("\n"));
    for (int i = 0; i < c->param_count; i++) {
        add(c, i ? PK_STR("&") : PK_NONE);
        add(c, c->params[i].name);
        add(c, PK_STR("="));
        add(c, c->params[i].value);
    }
    add(c, PK_STR("\n"));
    if (!add_headers(c, names, size))
        return false;
    add(c, PK_STR("\n"));
    add(c, pk_str_of(names));
    add(c, PK_STR("\n"));
    add(c, pk_str_of(body));
    (void)crypto_hash_sha256_final(&c->hash, hash);
    hex_of(hash, hex);
    return true;
}

static bool too_large(struct pk_error *err)
{
    return pk_fail(err, PK_TOO_LARGE, "signature: too many or too long headers or parameters");
}

bool pk_sign_aws(const struct pk_aws_request *r, const struct pk_aws_key *key, int64_t now_us,
                 struct pk_aws_signature *out, struct pk_error *err)
{
    struct canonical c = {.header_count = 0};
    char names[PK_SIGN_BYTES_MAX / 2], hex[HEX_BYTES], scope[SCOPE_BYTES], text[2 * SCOPE_BYTES];

    print_date(now_us, out->date);
    if (key->secret.len > 256 || !print_host(r->url, out->host, sizeof out->host) ||
        !add_header(&c, PK_STR("host"), pk_str_of(out->host)) ||
        !add_header(&c, PK_STR("x-amz-date"), pk_str_of(out->date)) ||
        (key->session.len && !add_header(&c, PK_STR("x-amz-security-token"), key->session)) ||
        !hash_request(&c, r, names, sizeof names, hex))
        return too_large(err);
    int len = snprintf(scope, sizeof scope, "%.8s/%.*s/%.*s/aws4_request", out->date,
                       PK_FMT(r->region), PK_FMT(r->service));
    if (len < 0 || (size_t)len >= sizeof scope)
        return too_large(err);
    (void)snprintf(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", out->date, scope, hex);
    sign(key, r, (pk_str){out->date, 8}, pk_str_of(text), hex);
    len = snprintf(out->authorization, sizeof out->authorization,
                   "AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%s, Signature=%s",
                   PK_FMT(key->id), scope, names, hex);
    return (len > 0 && (size_t)len < sizeof out->authorization) || too_large(err);
}
