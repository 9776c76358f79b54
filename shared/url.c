/* url.c - see url.h. The spelling of hosts follows RFC 3986, and the WHATWG rule that a name
 * whose last label is a number must be a whole IPv4 address: other parsers read "127.1",
 * "0x7f000001" and "2130706433" as addresses, so here they are errors.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "url.h"

#include "json.h"

#include <arpa/inet.h>
#include <string.h>

enum { HOST_BYTES_MAX = 253, LABEL_BYTES_MAX = 63 };

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool same(pk_str a, pk_str b)
{
    char text[HOST_BYTES_MAX + 1];

    if (b.len >= sizeof text || a.len != b.len)
        return false;
    if (b.len)
        memcpy(text, b.at, b.len);
    text[b.len] = 0;
    return pk_str_is_nocase(a, text);
}

/* Four decimal numbers without leading zeros. */
static bool ipv4(pk_str host, uint8_t out[4])
{
    size_t i = 0;

    for (int part = 0; part < 4; part++) {
        size_t from = i;
        int n = 0;

        while (i < host.len && digit(host.at[i]) && i - from < 3)
            n = n * 10 + (host.at[i++] - '0');
        if (i == from || n > 255 || (i - from > 1 && host.at[from] == '0'))
            return false;
        out[part] = (uint8_t)n;
        if (part < 3 && (i == host.len || host.at[i++] != '.'))
            return false;
    }
    return i == host.len;
}

static bool ipv6(pk_str host, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];

    if (host.len == 0 || host.len >= sizeof text || pk_str_find(host, ':') < 0)
        return false;
    for (size_t i = 0; i < host.len; i++)
        if (pk_hex_digit(host.at[i]) < 0 && host.at[i] != ':' && host.at[i] != '.')
            return false;
    memcpy(text, host.at, host.len);
    text[host.len] = 0;
    return inet_pton(AF_INET6, text, out) == 1;
}

/* Whether another parser might take a name that ends in this label for an IPv4 address. */
static bool numeric(pk_str label)
{
    bool prefixed = label.len >= 2 && label.at[0] == '0' && (label.at[1] | 0x20) == 'x';

    for (size_t i = prefixed ? 2 : 0; i < label.len; i++)
        if (prefixed ? pk_hex_digit(label.at[i]) < 0 : !digit(label.at[i]))
            return false;
    return true;
}

static bool label_valid(pk_str label)
{
    if (label.len == 0 || label.len > LABEL_BYTES_MAX)
        return false;
    if (label.at[0] == '-' || label.at[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++) {
        char c = label.at[i];

        if (!digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '-' && c != '_')
            return false;
    }
    return true;
}

static bool name_valid(pk_str host)
{
    pk_str rest = host, label;
    uint8_t address[4];

    if (host.len > HOST_BYTES_MAX)
        return false;
    for (;;) {
        int dot = pk_str_find(rest, '.');

        label = dot < 0 ? rest : pk_str_sub(rest, 0, (size_t)dot);
        if (!label_valid(label))
            return false;
        if (dot < 0)
            break;
        rest = pk_str_sub(rest, (size_t)dot + 1, rest.len);
    }
    return !numeric(label) || ipv4(host, address);
}

/* Digits only: no sign, no blank, not empty. */
static bool port_valid(pk_str text, int *port)
{
    int n = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (!digit(text.at[i]) || i >= 5)
            return false;
        n = n * 10 + (text.at[i] - '0');
    }
    *port = n;
    return n >= 1 && n <= 65535;
}

size_t pk_url_byte(pk_str s, size_t i, char *byte)
{
    int high = s.at[i] == '%' && i + 2 < s.len ? pk_hex_digit(s.at[i + 1]) : -1;
    int low = high < 0 ? -1 : pk_hex_digit(s.at[i + 2]);

    *byte = (char)(low < 0 ? s.at[i] : high << 4 | low);
    return low < 0 ? 1 : 3;
}

bool pk_url_unescape(pk_str s, bool query, struct pk_buf *out)
{
    size_t from = out->len, bad;
    bool whole = true;

    for (size_t i = 0, spelled; i < s.len; i += spelled) {
        char c;

        spelled = pk_url_byte(s, i, &c);
        whole = whole && !(spelled == 1 && c == '%');
        pk_buf_addc(out, query && s.at[i] == '+' ? ' ' : c);
    }
    pk_str text = pk_buf_str(out);
    return whole && !out->failed && pk_utf8_valid(pk_str_sub(text, from, text.len), &bad);
}

/* What may stand in a path or query; an escape must be whole. */
static bool path_valid(pk_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.at[i], unused;

        if (c <= ' ' || c >= 0x7f || strchr("\"#<>\\^`{|}", c))
            return false;
        if (c == '%' && pk_url_byte(path, i, &unused) == 1)
            return false;
    }
    return true;
}

/* Splits "host", "host:port", "[v6]" or "[v6]:port"; *port keeps its value without one. */
static bool split_authority(pk_str text, pk_str *host, int *port)
{
    bool bracket = text.len && text.at[0] == '[';
    int end = pk_str_find(text, bracket ? ']' : ':');
    uint8_t address[16];

    if (bracket && end < 0)
        return false;
    size_t open = bracket ? 1 : 0, close = end < 0 ? text.len : (size_t)end;
    *host = pk_str_sub(text, open, close - open);
    pk_str rest = pk_str_sub(text, close + open, text.len);
    if (bracket ? !ipv6(*host, address) : !name_valid(*host))
        return false;
    if (rest.len == 0)
        return true;
    return rest.at[0] == ':' && port_valid(pk_str_sub(rest, 1, rest.len), port);
}

static bool scheme(pk_str *text, bool *https)
{
    pk_str s = pk_str_sub(*text, 0, 8);

    *https = pk_str_is_nocase(s, "https://");
    if (!*https && !pk_str_is_nocase(pk_str_sub(s, 0, 7), "http://"))
        return false;
    *text = pk_str_sub(*text, *https ? 8 : 7, text->len);
    return true;
}

bool pk_url_parse(pk_str text, const char *what, struct pk_url *out, struct pk_error *err)
{
    size_t end = 0;

    *out = (struct pk_url){0};
    if (text.len > PK_URL_BYTES_MAX)
        return pk_fail(err, PK_BAD_CONFIG, "%s: longer than %d bytes", what, PK_URL_BYTES_MAX);
    if (!scheme(&text, &out->https))
        return pk_fail(err, PK_BAD_CONFIG, "%s: must start with http:// or https://", what);
    while (end < text.len && text.at[end] != '/' && text.at[end] != '?')
        end++;
    out->port = out->https ? 443 : 80;
    if (pk_str_find(pk_str_sub(text, 0, end), '@') >= 0)
        return pk_fail(err, PK_BAD_CONFIG, "%s: must not hold a user or password", what);
    if (!split_authority(pk_str_sub(text, 0, end), &out->host, &out->port))
        return pk_fail(err, PK_BAD_CONFIG, "%s: not a plain host name, address or port", what);
    out->path = pk_str_sub(text, end, text.len);
    if (!path_valid(out->path))
        return pk_fail(err, PK_BAD_CONFIG, "%s: a fragment or invalid character in the path", what);
    return true;
}

/* Names compare without case, addresses by value. */
static bool same_host(pk_str a, pk_str b)
{
    uint8_t x[16], y[16];

    return same(a, b) || (ipv6(a, x) && ipv6(b, y) && memcmp(x, y, sizeof x) == 0);
}

bool pk_url_same_origin(const struct pk_url *a, const struct pk_url *b)
{
    return a->https == b->https && a->port == b->port && same_host(a->host, b->host);
}

bool pk_url_is_loopback(const struct pk_url *url)
{
    size_t len = url->host.len;
    uint8_t address[16];

    if (ipv4(url->host, address))
        return address[0] == 127;
    if (ipv6(url->host, address))
        return same_host(url->host, PK_STR("::1"));
    if (len > 10 && pk_str_is_nocase(pk_str_sub(url->host, len - 10, 10), ".localhost"))
        return true;
    return pk_str_is_nocase(url->host, "localhost");
}

/* An entry of a list: who it names, "*." in front or not. *port keeps its value without one. */
static bool read_entry(pk_str entry, pk_str *name, bool *below, int *port)
{
    uint8_t address[16];

    *name = entry;
    *below = pk_str_starts(entry, "*.");
    if (ipv6(entry, address))
        return true;
    return split_authority(*below ? pk_str_sub(entry, 2, entry.len) : entry, name, port);
}

static bool matches(pk_str entry, pk_str host, int port)
{
    int entry_port = port;
    bool below;
    pk_str name;

    if (!read_entry(entry, &name, &below, &entry_port) || entry_port != port)
        return false;
    if (!below)
        return same_host(name, host);
    return host.len > name.len + 1 && host.at[host.len - name.len - 1] == '.' &&
           same(pk_str_sub(host, host.len - name.len, name.len), name);
}

/* The next entry of the list from *i on; empty behind the last. */
static pk_str next_entry(pk_str list, size_t *i)
{
    size_t from;

    while (*i < list.len && (list.at[*i] == ',' || (unsigned char)list.at[*i] <= ' '))
        *i += 1;
    from = *i;
    while (*i < list.len && list.at[*i] != ',' && (unsigned char)list.at[*i] > ' ')
        *i += 1;
    return pk_str_sub(list, from, *i - from);
}

bool pk_url_host_listed(pk_str list, pk_str host, int port)
{
    size_t i = 0;

    for (pk_str entry = next_entry(list, &i); entry.len; entry = next_entry(list, &i))
        if (matches(entry, host, port))
            return true;
    return false;
}

pk_str pk_url_host_wrong(pk_str list)
{
    size_t i = 0;
    int port = 0;
    bool below;
    pk_str name;

    for (pk_str entry = next_entry(list, &i); entry.len; entry = next_entry(list, &i))
        if (!read_entry(entry, &name, &below, &port))
            return entry;
    return PK_NONE;
}
