/* wire.c - numbers of more than seven bits (wire.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "wire.h"

enum { GROUP_BITS = 7 };

char *pk_wire_put_long(char *to, uint64_t n)
{
    for (; n > 0x7f; n >>= GROUP_BITS)
        *to++ = (char)(n | 0x80);
    *to++ = (char)n;
    return to;
}

const char *pk_wire_get_long(const char *at, const char *end, uint64_t *n)
{
    const char *last = end - at < PK_WIRE_NUMBER_BYTES ? end : at + PK_WIRE_NUMBER_BYTES;

    *n = 0;
    for (int shift = 0; at < last; shift += GROUP_BITS) {
        *n |= (uint64_t)(*at & 0x7f) << shift;
        if (!(*at++ & 0x80))
            return at;
    }
    return NULL;
}
