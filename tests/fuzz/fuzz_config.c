/* fuzz_config.c - any text as a config: refused with the place, or usable.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "condition.h"
#include "config.h"
#include "fuzz.h"

/* What conditions choose for a request. A pattern may give up on it. */
static void choose(struct pk_arena *arena, const struct pk_config *config, struct pk_steer *steer)
{
    struct pk_request req = {.metadata =
                                 PK_STR("{\"a\":{\"b\":[1,\"aaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}")};
    struct pk_field_source from;
    struct pk_error err = {0};
    struct pk_json body;

    PK_ASSERT(pk_json_parse(arena, PK_STR("{\"model\":\"m\"}"), "body", &body, &err));
    PK_ASSERT(pk_field_source_init(&from, arena, &req, &body, &err));
    for (int i = 0; i < config->route.count; i++) {
        int child = -1;

        if (!config->conditional[i])
            continue;
        PK_ASSERT(pk_conditional_choose(config->conditional[i], &from, &child, &err) ||
                  err.code != PK_OK);
        PK_ASSERT(child < 0 || config->route.nodes[child].parent == i);
        steer->chosen[i] = (int16_t)child;
        err = (struct pk_error){0};
    }
}

/* The route names leaves that are targets, and ends for any run of statuses. */
static void walk(struct pk_arena *arena, const struct pk_config *config, uint64_t seed)
{
    const struct pk_route *r = &config->route;
    struct pk_steer steer = {.random = seed, .open = seed * 0x9e3779b97f4a7c15u};

    choose(arena, config, &steer);
    pk_route_settle(r, &steer, NULL);
    int node = pk_route_first(r, &steer);

    for (int tries = 0; node >= 0; tries++) {
        PK_ASSERT(node < r->count && tries < PK_NODES_MAX);
        PK_ASSERT(r->nodes[node].strategy == PK_LEAF);
        PK_ASSERT(r->nodes[node].target >= 0 && r->nodes[node].target < config->target_count);
        PK_ASSERT(pk_route_fallback_index(r, node) >= 0);
        PK_ASSERT(pk_route_reaches(r, &steer, node));
        node = pk_route_next(r, &steer, node, tries % 2 ? 408 : 503);
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
        walk(&arena, config, size);
        (void)pk_config_has_literal_key(config, &path);
        for (int i = 0; pk_config_ready(config, &err) && i < config->target_count; i++)
            PK_ASSERT(config->targets[i].provider && config->targets[i].base_url.len);
    } else {
        PK_ASSERT(err.code != PK_OK && err.msg[0] && !strchr(err.msg, '\n'));
    }
    pk_arena_free(&arena);
    return 0;
}
