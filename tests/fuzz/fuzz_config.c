/* fuzz_config.c - any text as a config: refused with the place, or usable.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.h"
#include "fuzz.h"

/* The route names leaves that are targets, and ends for any run of statuses. */
static void walk(const struct pk_config *config, uint64_t seed)
{
    const struct pk_route *r = &config->route;
    int node = pk_route_first(r, seed);

    for (int tries = 0; node >= 0; tries++) {
        PK_ASSERT(node < r->count && tries < PK_NODES_MAX);
        PK_ASSERT(r->nodes[node].strategy == PK_LEAF);
        PK_ASSERT(r->nodes[node].target >= 0 && r->nodes[node].target < config->target_count);
        PK_ASSERT(pk_route_fallback_index(r, node) >= 0);
        node = pk_route_next(r, node, tries % 2 ? 408 : 503, seed + (uint64_t)tries);
    }
}

static void check_ranges(const struct pk_config *config)
{
    for (int i = 0; i < config->target_count; i++) {
        const struct pk_target *t = &config->targets[i];
        PK_ASSERT(t->retry.attempts >= 0 && t->retry.attempts <= PK_RETRIES_MAX);
        PK_ASSERT(t->timeouts.request_ms >= 0 && t->timeouts.request_ms <= PK_TIMEOUT_MS_MAX);
        PK_ASSERT(t->forward_count >= 0 && t->forward_count <= PK_FORWARD_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_config *config = pk_alloc(&arena, sizeof(*config));
    struct pk_error err = {0};
    pk_str path;

    PK_ASSERT(config != NULL);
    if (pk_config_parse(&arena, fuzz_text(bytes, size), config, &err)) {
        PK_ASSERT(config->target_count > 0 && config->target_count <= PK_NODES_MAX);
        check_ranges(config);
        walk(config, size);
        (void)pk_config_has_literal_key(config, &path);
        for (int i = 0; pk_config_ready(config, &err) && i < config->target_count; i++)
            PK_ASSERT(config->targets[i].provider && config->targets[i].base_url.len);
    } else {
        PK_ASSERT(err.code != PK_OK && err.msg[0] && !strchr(err.msg, '\n'));
    }
    pk_arena_free(&arena);
    return 0;
}
