/* cachekey.c - see cachekey.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The canonical form is hashed piece by piece, each with its length in front, so that no two
 * lists of pieces give the same bytes.
 */
#include "cachekey.h"

#include "http.h"

#include <sodium.h>

/* Members of the body that do not shape the answer. */
static const char *const ignored[] = {"stream",   "stream_options", "user",
                                      "metadata", "store",          NULL};

static void add_piece(crypto_generichash_state *h, pk_str s)
{
    uint64_t len = s.len;

    (void)crypto_generichash_update(h, (const unsigned char *)&len, sizeof len);
    if (s.len)
        (void)crypto_generichash_update(h, (const unsigned char *)s.at, s.len);
}

static bool add_canonical(struct pk_arena *arena, crypto_generichash_state *h,
                          const struct pk_json *doc, const char *const *without)
{
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    pk_json_canonical(&out, doc, 0, without);
    add_piece(h, pk_buf_str(&out));
    return !out.failed;
}

static bool add_params(struct pk_arena *arena, crypto_generichash_state *h, pk_str object)
{
    struct pk_error unused = {0};
    struct pk_json params;

    if (object.len == 0) {
        add_piece(h, PK_NONE);
        return true;
    }
    return pk_json_parse(arena, object, "params", &params, &unused) &&
           add_canonical(arena, h, &params, NULL);
}

/* Tenants must not share answers: a target counts with its key, a literal one by its hash. */
static bool add_target(struct pk_arena *arena, crypto_generichash_state *h,
                       const struct pk_target *t)
{
    add_piece(h, pk_str_of(t->provider->name));
    add_piece(h, t->base_url);
    add_piece(h, t->key.slug);
    add_piece(h, t->key.kind == PK_KEY_SEALED ? PK_NONE : t->key.value);
    for (int i = 0; i < t->params.drop_count; i++)
        add_piece(h, t->params.drops[i]);
    return add_params(arena, h, t->params.defaults) && add_params(arena, h, t->params.overrides);
}

/* A client's header that goes to the provider may name a tenant, or ask for another answer. */
static void add_header(crypto_generichash_state *h, const struct pk_request *req, pk_str to,
                       pk_str name)
{
    pk_str value = name.len ? pk_http_header(req->headers, name.at) : PK_NONE;

    if (value.len == 0)
        return;
    add_piece(h, to);
    add_piece(h, name);
    add_piece(h, value);
}

static bool may_answer(const struct pk_cache_question *q, int target)
{
    return q->targets >> target & 1;
}

static void add_forwarded(struct pk_arena *arena, crypto_generichash_state *h,
                          const struct pk_cache_question *q)
{
    const struct pk_request *req = q->req;
    pk_str rest = req->forward;

    for (int i = 0; i < q->config->target_count; i++)
        for (int k = 0; may_answer(q, i) && k < q->config->targets[i].forward_count; k++)
            add_header(h, req, q->config->targets[i].path, q->config->targets[i].forward[k]);
    for (int i = 0; rest.len && i < PK_FORWARD_MAX; i++) {
        int comma = pk_str_find(rest, ',');
        size_t len = comma < 0 ? rest.len : (size_t)comma;

        add_header(h, req, PK_NONE, pk_copy(arena, pk_str_trim(pk_str_sub(rest, 0, len))));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
}

bool pk_cache_key(struct pk_arena *arena, const struct pk_cache_question *q,
                  uint8_t key[PK_CACHE_KEY_BYTES], struct pk_error *err)
{
    const struct pk_request *req = q->req;
    crypto_generichash_state h;

    (void)crypto_generichash_init(&h, NULL, 0, PK_CACHE_KEY_BYTES);
    add_piece(&h, PK_STR("pk cache 1"));
    add_piece(&h, req->operation);
    add_piece(&h, pk_str_of(req->front ? req->front->name : "openai"));
    add_piece(&h, req->custom_host);
    add_piece(&h, req->cache_ns.len ? req->cache_ns : q->config->cache.ns);
    bool ok = add_canonical(arena, &h, q->body, ignored);
    for (int i = 0; ok && i < q->config->target_count; i++)
        ok = !may_answer(q, i) || add_target(arena, &h, &q->config->targets[i]);
    add_forwarded(arena, &h, q);
    (void)crypto_generichash_final(&h, key, PK_CACHE_KEY_BYTES);
    return (ok && !arena->failed) || pk_fail(err, PK_NO_MEMORY, "cache key: out of memory");
}
