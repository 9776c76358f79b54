/* url.h - absolute http and https URLs, strictly.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Accepts scheme://host[:port][/path][?query] with a DNS name, an IPv4 or a bracketed
 * IPv6 address. Refuses credentials, fragments, percent-escapes in the host and every
 * byte that could mean something else to another parser: the transport checks the
 * address again when it connects (xfer.h).
 */
#ifndef PK_URL_H
#define PK_URL_H

#include "buf.h"

struct pk_url {
    bool https;
    pk_str host; /* without brackets; as spelled */
    int port;    /* 80 or 443 when not given */
    pk_str path; /* what follows host and port, query included; may be empty */
};

/* *out borrows from `text`. PK_BAD_CONFIG; the error starts with `what`, the place of the URL. */
bool pk_url_parse(pk_str text, const char *what, struct pk_url *out,
                  struct pk_error *err) PK_MUST_CHECK;

/* Whether scheme, host and port are the same. */
bool pk_url_same_origin(const struct pk_url *a, const struct pk_url *b);

/* "localhost", "*.localhost", 127.0.0.0/8 or ::1, by spelling. */
bool pk_url_is_loopback(const struct pk_url *url);

/* Whether `host` matches an entry of a comma or blank separated list: a name, an address,
 * "*.example.com" (any name below), or any of these with ":port" for that port alone. An IPv6
 * address with a port stands in brackets. Entries that are none of these match nothing. */
bool pk_url_host_listed(pk_str list, pk_str host, int port);

/* The byte at `i`, or the one that an escape there stands for (RFC 3986, 2.1); returns how many bytes spell it: 1 or 3.
 * A '%' that is spelled with 1 begins no escape. */
size_t pk_url_byte(pk_str s, size_t i, char *byte);

/* Appends what `s` spells with such escapes and, in a query, a '+' for a blank. False when an escape is not whole, it is
 * no UTF-8, or `out` has no room; all but the last is there nevertheless. */
bool pk_url_unescape(pk_str s, bool query, struct pk_buf *out);

/* The first entry of such a list that is none of these; empty: there is no such. */
pk_str pk_url_host_wrong(pk_str list);

#endif
