/* cachekey.c - see cachekey.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The canonical form is hashed piece by piece, each with its length in front, so that no two
 * lists of pieces give the same bytes.
 */
#include "cachekey.h"

#include <sodium.h>

/* Members of the body that do not shape the answer. */
static const char *const ignored[] = {"stream", "stream_options", "user", "metadata", "store"};

static void add_piece(crypto_generichash_state *h, pk_str s)
{
    uint64_t len = s.len;

    (void)crypto_generichash_update(h, (const unsigned char *)&len, sizeof len);
    if (s.len)
        (void)crypto_generichash_update(h, (const unsigned char *)s.at, s.len);
}

static bool add_canonical(struct pk_arena *arena, crypto_generichash_state *h, pk_str json)
{
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_error unused = {0};
    struct pk_json doc;

    if (!pk_json_parse(arena, json, "body", &doc, &unused))
        return false;
    pk_json_canonical(&out, &doc, 0);
    add_piece(h, pk_buf_str(&out));
    return !out.failed;
}

/* Tenants must not share answers: a target counts with its key, a literal one by its hash. */
static bool add_target(struct pk_arena *arena, crypto_generichash_state *h,
                       const struct pk_target *t)
{
    add_piece(h, pk_str_of(t->provider->name));
    add_piece(h, t->base_url);
    add_piece(h, t->key.slug);
    add_piece(h, t->key.kind == PK_KEY_SEALED ? PK_NONE : t->key.value);
    if (t->override_params.len == 0) {
        add_piece(h, PK_NONE);
        return true;
    }
    return add_canonical(arena, h, t->override_params);
}

bool pk_cache_key(struct pk_arena *arena, const struct pk_config *config,
                  const struct pk_request *req, const struct pk_json *body,
                  uint8_t key[PK_CACHE_KEY_BYTES], struct pk_error *err)
{
    struct pk_json_edit edits[PK_COUNT(ignored)];
    struct pk_buf trimmed = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    crypto_generichash_state h;

    for (size_t i = 0; i < PK_COUNT(ignored); i++)
        edits[i] = (struct pk_json_edit){pk_str_of(ignored[i]), PK_NONE};
    pk_json_splice(&trimmed, body, 0, edits, (int)PK_COUNT(ignored));
    (void)crypto_generichash_init(&h, NULL, 0, PK_CACHE_KEY_BYTES);
    add_piece(&h, PK_STR("pk cache 1"));
    add_piece(&h, req->operation);
    add_piece(&h, req->front ? pk_str_of(req->front->name) : PK_NONE);
    add_piece(&h, req->custom_host);
    add_piece(&h, req->cache_ns.len ? req->cache_ns : config->cache.ns);
    bool ok = !trimmed.failed && add_canonical(arena, &h, pk_buf_str(&trimmed));
    for (int i = 0; ok && i < config->target_count; i++)
        ok = add_target(arena, &h, &config->targets[i]);
    (void)crypto_generichash_final(&h, key, PK_CACHE_KEY_BYTES);
    return ok || pk_fail(err, PK_NO_MEMORY, "cache key: out of memory");
}
