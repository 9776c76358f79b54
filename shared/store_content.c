/* store_content.c - see store_content.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_content.h"

#include "batch.h"
#include "cachekey.h"
#include "store_prompt.h"
#include "xfer.h"

#include <stdio.h>

/* An array that begins with an object: "[urgent] help" is a prompt. */
static bool is_messages(struct pk_arena *arena, pk_str input)
{
    pk_str start = pk_str_trim(input);
    struct pk_error unused = {0};
    struct pk_json doc;

    return start.len > 0 && start.at[0] == '[' &&
           pk_json_parse(arena, input, "messages", &doc, &unused) && pk_json_count(&doc, 0) > 0 &&
           pk_json_type(&doc, pk_json_item(&doc, 0, 0)) == PK_JSON_OBJECT;
}

static bool use_prompt(struct pk_store *s, struct pk_arena *arena, const struct pk_content *c,
                       pk_str prompt, struct pk_request *req, struct pk_error *err)
{
    struct pk_prompt_use use = {.reference = prompt,
                                .vars = c->input,
                                .params = c->params,
                                .config = c->config,
                                .preview = true}; /* the same version for the same variables */

    return pk_request_options(arena, c->params, req, err) &&
           pk_store_prompt_request(s, arena, &use, req, err);
}

static bool build(struct pk_store *s, struct pk_arena *arena, const struct pk_content *c,
                  struct pk_request *req, struct pk_error *err)
{
    struct pk_batch_options options = {0};
    struct pk_content rest = *c;

    if (!pk_batch_options_read(arena, c->params, &options, &rest.params, err))
        return false;
    if (options.prompt.len)
        return use_prompt(s, arena, &rest, options.prompt, req, err);
    return is_messages(arena, c->input)
               ? pk_request_chat(arena, c->input, rest.params, false, req, err)
               : pk_request_ask(arena, c->input, PK_NONE, rest.params, req, err);
}

/* The cache's key says whether two questions are one; who may share the answer does not matter here. */
static bool hash(struct pk_arena *arena, const struct pk_config *config, struct pk_request *req,
                 char *hex, struct pk_error *err)
{
    static const struct pk_cache_policy nobody = {.embedder = -1};
    uint8_t key[PK_CACHE_KEY_BYTES];
    struct pk_json body;
    struct pk_cache_question q = {
        .config = config, .targets = UINT64_MAX, .policy = &nobody, .req = req, .body = &body};

    req->cache_ns = PK_NONE;
    if (!pk_json_parse(arena, req->body, "request", &body, err) ||
        !pk_cache_key(arena, &q, key, err))
        return false;
    for (size_t i = 0; i < sizeof key; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", key[i]);
    return true;
}

bool pk_store_content_hash(struct pk_store *s, struct pk_resolver *resolver, struct pk_arena *arena,
                           const struct pk_content *c, char hex[PK_CONTENT_HASH_TEXT + 1],
                           struct pk_error *err)
{
    struct pk_request req = {0};

    if (!build(s, arena, c, &req, err))
        return false;
    const struct pk_snapshot *snapshot = pk_resolve(resolver, s, c->config, pk_clock_us(), err);
    if (!snapshot)
        return false;
    bool ok = hash(arena, &snapshot->config, &req, hex, err);
    pk_snapshot_release(resolver, snapshot);
    return ok;
}
