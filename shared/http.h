/* http.h - the little that the core must know about HTTP messages (RFC 9110).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Headers travel as one text, "name: value" lines ended by \n or \r\n, as they came
 * from the wire. Names are compared without case.
 */
#ifndef PK_HTTP_H
#define PK_HTTP_H

#include "base.h"

/* The trimmed value of the first header called `name`; empty when there is none. */
pk_str pk_http_header(pk_str headers, const char *name);

/* Takes one line off the front of *rest; false at the end. `name` and `value` are trimmed; a
 * line without a colon or a name is skipped, and so is one that starts with a blank. */
bool pk_http_next_header(pk_str *rest, pk_str *name, pk_str *value);

/* How long the provider asks to wait: the first of retry-after-ms, x-ms-retry-after-ms
 * (milliseconds) and retry-after (seconds, fractions allowed, or an HTTP date measured
 * against now_us, microseconds since 1970) that can be read. 0 when it does not ask; never
 * negative, never more than PK_TIMEOUT_MS_MAX. */
int64_t pk_http_retry_after_ms(pk_str headers, int64_t now_us);

/* Microseconds since 1970 for an IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT"), or -1. */
int64_t pk_http_date_us(pk_str date);

/* Whether a content-type header names `type` ("text/event-stream"), parameters aside. */
bool pk_http_is_type(pk_str content_type, const char *type);

/* Whether `name` is a valid header name, and `value` safe to send: no control characters but tab,
 * so no CR, LF or NUL. */
bool pk_http_valid_name(pk_str name);
bool pk_http_valid_value(pk_str value);

/* Whether a request header is the transport's own business, or none of a request that pk makes. */
bool pk_http_is_framing(pk_str name);

/* Whether some provider reads its key from the header `name`. */
bool pk_http_is_credential(pk_str name);

/* Upstream response headers that a client may see: rate limits, request ids, provider
 * timings; not cookies, lengths, encodings or connection control. */
bool pk_http_relayed(pk_str name);

/* The same of an answer that is passed as it comes: all but what belongs to the connection or to the gateway, and what
 * would have a browser keep or share something. */
bool pk_http_passed(pk_str name);

/* The gateway's own API key in a header that it shares with providers: "Bearer pk-..." or "pk-..."; empty when
 * the value is something else. */
pk_str pk_http_gateway_key(pk_str value);

/* The key in a WebSocket subprotocol, where browsers put it: "openai-insecure-api-key.KEY". at == NULL when it
 * is none. */
pk_str pk_http_protocol_key(pk_str protocol);
/* The first such key of a Sec-WebSocket-Protocol header; empty when there is none. */
pk_str pk_http_offered_key(pk_str protocols);

#endif
