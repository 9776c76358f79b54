/* sticky.c - see sticky.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sticky.h"

uint64_t pk_hash_add(uint64_t hash, pk_str s)
{
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.at[i]) * 0x100000001b3u;
    return (hash ^ s.len) * 0x100000001b3u; /* "ab", "c" is not "a", "bc" */
}

/* What providers keep for the next request that starts alike: tools, system messages, and the messages
 * up to the first of the user. Clients repeat these byte by byte. */
static bool hash_prefix(const struct pk_field_source *from, uint64_t *hash)
{
    const struct pk_json *body = from->body;
    int messages = pk_json_get(body, 0, "messages");

    if (pk_json_type(body, messages) != PK_JSON_ARRAY)
        return false;
    *hash = pk_hash_add(*hash, pk_json_raw(body, pk_json_get(body, 0, "tools")));
    *hash = pk_hash_add(*hash, pk_json_raw(body, pk_json_get(body, 0, "system")));
    for (int m = pk_json_first(body, messages); m >= 0; m = pk_json_next(body, messages, m)) {
        *hash = pk_hash_add(*hash, pk_json_raw(body, m));
        if (pk_json_is(body, pk_json_get(body, m, "role"), "user"))
            break;
    }
    return true;
}

static bool hash_field(const struct pk_field_source *from, const struct pk_field *field,
                       uint64_t *hash)
{
    if (field->kind == PK_FIELD_PREFIX)
        return hash_prefix(from, hash);
    struct pk_scalar value = pk_field_value(from, field);
    char type = (char)('0' + (int)value.type); /* 1 is not "1" */

    *hash = pk_hash_add(*hash, (pk_str){&type, 1});
    *hash = pk_hash_add(*hash, value.text);
    return value.type != PK_JSON_NONE && value.type != PK_JSON_NULL;
}

/* The period that `now_s` falls in for this hash: not all of them begin at once. */
static int64_t period_of(uint64_t hash, int64_t now_s, int64_t ttl_s)
{
    return ttl_s ? (now_s + (int64_t)(hash % (uint64_t)ttl_s)) / ttl_s : 0;
}

bool pk_sticky_hash(const struct pk_sticky *rule, const struct pk_field_source *from, int64_t now_s,
                    uint64_t *hash)
{
    bool any = false;
    uint64_t h = PK_HASH_START;

    for (int i = 0; i < rule->count; i++)
        any = hash_field(from, &rule->fields[i], &h) || any;
    uint64_t state = h ^ ((uint64_t)period_of(h, now_s, rule->ttl_s) * 0x9e3779b97f4a7c15u);
    *hash = pk_random_next(&state); /* spreads what FNV leaves in the low bits */
    return any;
}
