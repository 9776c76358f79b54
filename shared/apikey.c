/* apikey.c - see apikey.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "apikey.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_BYTES = 32 };

#define PREFIX "pk-"

static const struct {
    const char *name;
    unsigned bit;
} scope_names[] = {
    {"call", PK_SCOPE_CALL},
    {"admin", PK_SCOPE_ADMIN},
    {"logs", PK_SCOPE_LOGS},
};

static unsigned scope_of(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(scope_names); i++)
        if (pk_str_is(name, scope_names[i].name))
            return scope_names[i].bit;
    return 0;
}

bool pk_scopes_read(pk_str text, unsigned *scopes)
{
    *scopes = 0;
    for (text = pk_str_trim(text); text.len; text = pk_str_trim(text)) {
        int blank = pk_str_find(text, ' ');
        size_t len = blank < 0 ? text.len : (size_t)blank;
        unsigned bit = scope_of(pk_str_sub(text, 0, len));

        if (!bit)
            return false;
        *scopes |= bit;
        text = pk_str_sub(text, len, text.len);
    }
    return true;
}

void pk_scopes_print(unsigned scopes, char out[32])
{
    size_t len = 0;

    for (size_t i = 0; i < PK_COUNT(scope_names); i++) {
        if (!(scopes & scope_names[i].bit))
            continue;
        if (len)
            out[len++] = ' ';
        memcpy(out + len, scope_names[i].name, strlen(scope_names[i].name));
        len += strlen(scope_names[i].name);
    }
    out[len] = 0;
}

void pk_api_key_make(char out[PK_API_KEY_TEXT + 1])
{
    uint8_t secret[SECRET_BYTES];

    _Static_assert(sizeof PREFIX - 1 + (SECRET_BYTES * 8 + 5) / 6 == PK_API_KEY_TEXT, "base64");
    randombytes_buf(secret, sizeof secret);
    memcpy(out, PREFIX, sizeof PREFIX);
    (void)sodium_bin2base64(out + sizeof PREFIX - 1, PK_API_KEY_TEXT + 1 - (sizeof PREFIX - 1),
                            secret, sizeof secret, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
}

bool pk_api_key_check(pk_str key, struct pk_error *err)
{
    bool ok =
        key.len >= PK_API_KEY_TEXT && key.len <= PK_SLUG_BYTES_MAX && pk_str_starts(key, PREFIX);

    for (size_t i = 0; ok && i < key.len; i++) {
        char c = key.at[i];

        ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    }
    return ok ||
           pk_fail(err, PK_BAD_REQUEST, "API key: must be \"pk-\" and %d to %d of A-Z a-z 0-9 - _",
                   PK_API_KEY_TEXT - 3, PK_SLUG_BYTES_MAX - 3);
}

void pk_api_key_hash(pk_str key, uint8_t out[PK_API_KEY_HASH_BYTES])
{
    (void)crypto_generichash(out, PK_API_KEY_HASH_BYTES, (const unsigned char *)key.at, key.len,
                             NULL, 0);
}

static int in_order(const void *a, const void *b)
{
    const struct pk_api_hash *x = a, *y = b;

    return memcmp(x->hash, y->hash, sizeof x->hash);
}

void pk_api_keys_sort(struct pk_api_keys *keys)
{
    if (keys->hash_count)
        qsort(keys->hashes, (size_t)keys->hash_count, sizeof *keys->hashes, in_order);
}

const struct pk_api_key *pk_api_keys_find(const struct pk_api_keys *keys,
                                          const uint8_t hash[PK_API_KEY_HASH_BYTES], int64_t now_us,
                                          struct pk_error *err)
{
    struct pk_api_hash wanted = {.key = 0};
    const struct pk_api_hash *found = NULL;

    memcpy(wanted.hash, hash, sizeof wanted.hash);
    if (keys->hash_count)
        found = bsearch(&wanted, keys->hashes, (size_t)keys->hash_count, sizeof wanted, in_order);
    if (!found || now_us >= found->until_us) {
        (void)pk_fail(err, PK_UNAUTHORIZED, "API key: not one of this gateway's");
        return NULL;
    }
    const struct pk_api_key *k = &keys->keys[found->key];
    if (k->revoked || (k->expires_us && now_us >= k->expires_us)) {
        (void)pk_fail(err, PK_UNAUTHORIZED, "API key \"%.*s\": %s", PK_FMT(k->name),
                      k->revoked ? "is revoked" : "has expired");
        return NULL;
    }
    return k;
}
