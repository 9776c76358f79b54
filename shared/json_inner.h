/* json_inner.h - what reading and writing JSON share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_JSON_INNER_H
#define PK_JSON_INNER_H

#include "json.h"

/* The length of the valid UTF-8 sequence at `s` (RFC 3629: no overlong forms, no surrogates), or 0. */
size_t pk_json_utf8_len(const unsigned char *s, size_t left);

/* How many bytes from the front are plain: printable ASCII that needs no escape. */
size_t pk_json_plain_len(const unsigned char *s, size_t left);

/* Whether the string node `string` spells `name`, escapes considered. */
bool pk_json_string_is(const struct pk_json *doc, int string, pk_str name);

#endif
