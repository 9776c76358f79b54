/* auth.c - see auth.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "auth.h"

#include "log.h"
#include "store_apikey.h"
#include "xfer.h"

#include <string.h>

enum {
    LOOK_MS = 5,      /* a change of the keys is seen that much later */
    TROUBLE_MS = 500, /* the same, when the store could not be read */
    KEYS_BYTES_MAX = 64 << 20,
};

/* --- the keys ------------------------------------------------------------------------------ */

void pkd_keyring_free(struct pkd_keyring *k)
{
    if (k->loaded)
        pk_arena_free(&k->arena);
    *k = (struct pkd_keyring){0};
}

void pkd_keyring_expire(struct pkd_keyring *k)
{
    k->look_ms = 0;
}

static bool load(struct pkd_keyring *k, struct pk_store *store, int64_t epoch, struct pk_error *err)
{
    struct pkd_keyring fresh = {.epoch = epoch, .hashes = k->hashes, .loaded = true};

    if (!k->loaded)
        pk_secret_random(fresh.hashes.seed, sizeof fresh.hashes.seed);
    pk_arena_init(&fresh.arena, pk_allocator_malloc(), KEYS_BYTES_MAX);
    if (!pk_store_api_keys_load(store, &fresh.arena, &fresh.keys, err)) {
        pk_arena_free(&fresh.arena);
        return false;
    }
    pkd_keyring_free(k);
    *k = fresh;
    return true;
}

static bool read_keys(struct pkd_keyring *k, struct pk_store *store, struct pk_error *err)
{
    int64_t epoch;

    return pk_store_epoch(store, &epoch, err) &&
           ((k->loaded && epoch == k->epoch) || load(k, store, epoch, err));
}

/* When the store cannot be read, the keys that are known hold on. */
static bool refresh(struct pkd_keyring *k, struct pk_store *store, struct pk_error *err)
{
    int64_t now_ms = pk_clock_ms();

    if (k->loaded && now_ms < k->look_ms)
        return true;
    k->trouble.code = PK_OK;
    if (read_keys(k, store, err)) {
        k->look_ms = now_ms + LOOK_MS;
        return true;
    }
    k->trouble = *err;
    k->look_ms = now_ms + TROUBLE_MS;
    if (k->loaded)
        pkd_warn("api_keys_unreadable why=%s", err->msg);
    return k->loaded;
}

bool pkd_auth_needed(struct pk_store *store, bool *needed, struct pk_error *err)
{
    struct pkd_keyring k = {0};
    int64_t now_us = pk_clock_us();

    *needed = false;
    if (!load(&k, store, 0, err))
        return false;
    for (int i = 0; i < k.keys.count; i++) {
        const struct pk_api_key *key = &k.keys.keys[i];

        if (!key->revoked && (key->scopes & PK_SCOPE_CALL) &&
            (key->expires_us == 0 || key->expires_us > now_us))
            *needed = true;
    }
    pkd_keyring_free(&k);
    return true;
}

/* --- a request's --------------------------------------------------------------------------- */

static const uint8_t *hash_of(struct pkd_key_hashes *h, pk_str key)
{
    uint8_t by[PK_SECRET_HASH_BYTES];

    pk_secret_hash(h->seed, key, by);
    size_t i = by[0] % PKD_KEY_HASHES;
    if (memcmp(h->list[i].by, by, sizeof by) != 0) {
        memcpy(h->list[i].by, by, sizeof by);
        pk_api_key_hash(key, h->list[i].hash);
    }
    return h->list[i].hash;
}

bool pkd_auth(struct pkd_keyring *k, struct pk_store *store, pk_str key, unsigned scopes, bool open,
              const struct pk_api_key **who, struct pk_error *err)
{
    *who = NULL;
    if (!refresh(k, store, err))
        return false;
    if (k->keys.count == 0 && open)
        return true;
    if (key.len == 0)
        return pk_fail(err, PK_UNAUTHORIZED,
                       "API key: one is needed, as x-portkey-api-key or Authorization: Bearer");
    *who = pk_api_keys_find(&k->keys, hash_of(&k->hashes, key), pk_clock_us(), err);
    if (!*who && err->code == PK_UNAUTHORIZED && k->trouble.code != PK_OK)
        *err = k->trouble; /* it may be new */
    if (!*who)
        return false;
    char needed[32];
    pk_scopes_print(scopes, needed);
    return ((*who)->scopes & scopes) ||
           pk_fail(err, PK_NO_PERMISSION, "API key \"%.*s\": needs the scope %s",
                   PK_FMT((*who)->name), needed);
}

static bool names_config(const struct pkd_ask *ask)
{
    return ask->config.len || ask->virtual_key.len || ask->provider.len;
}

bool pkd_auth_apply(const struct pk_api_key *who, struct pk_arena *arena, bool prompt,
                    struct pkd_ask *ask, struct pk_error *err)
{
    if (!who)
        return true;
    if (who->config_fixed && (names_config(ask) || ask->key.len || ask->custom_host.len))
        return pk_fail(err, PK_NO_PERMISSION, "API key \"%.*s\": allows no config but its own",
                       PK_FMT(who->name));
    if (who->config.len && !names_config(ask) && (who->config_fixed || !prompt))
        ask->config = pk_copy(arena, who->config);
    if (who->metadata.len && ask->metadata.len)
        return pk_request_metadata(arena, ask->metadata, err) &&
               pk_json_merge(arena, ask->metadata, who->metadata, "metadata", &ask->metadata, err);
    if (who->metadata.len)
        ask->metadata = pk_copy(arena, who->metadata);
    return true;
}
