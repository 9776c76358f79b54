/* call_pick.c - the state pick: what this call's route depends on, and the first target.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Conditions and hashes are worked out once, here; later moves along the route go by the same.
 */
#include "call_inner.h"

#include "condition.h"
#include "sticky.h"

static bool looks_at_request(const struct pk_config *config)
{
    for (int i = 0; i < config->route.count; i++)
        if (config->conditional[i] || config->sticky[i])
            return true;
    return false;
}

/* What conditionals and sticky loadbalances make of the request. */
static bool read_request(struct pk_call *c)
{
    const struct pk_config *config = c->config;
    int64_t now_s = c->record.started_us / 1000000;
    struct pk_field_source from;

    if (!pk_field_source_init(&from, c->arena, c->req, &c->body, &c->error))
        return false;
    for (int i = 0; i < config->route.count; i++) {
        int child = -1;

        if (config->conditional[i] &&
            !pk_conditional_choose(config->conditional[i], &from, &child, &c->error))
            return false;
        c->steer->chosen[i] = (int16_t)child;
        if (config->sticky[i] &&
            pk_sticky_hash(config->sticky[i], &from, now_s, &c->steer->hashes[i]))
            c->steer->sticky |= (uint64_t)1 << i;
    }
    return !c->arena->failed || pk_fail(&c->error, PK_NO_MEMORY, "conditions: out of memory");
}

/* What is known of each leaf for the model that it would be asked for. */
static void settle(struct pk_call *c)
{
    struct pk_figure figures[PK_NODES_MAX];

    for (int i = 0; c->config->figures && i < c->config->target_count; i++) {
        const struct pk_target *t = &c->config->targets[i];
        pk_str model = pk_call_model(c, &t->params);

        figures[t->node] = pk_figure_find(
            c->config->figures, pk_figure_id(t->path, pk_str_of(t->provider->name), model));
    }
    pk_route_settle(&c->config->route, c->steer, c->config->figures ? figures : NULL);
}

/* One target for all calls of a batch, whatever the strategy: the first that can take one. */
static int pick_batch(struct pk_call *c)
{
    for (int i = 0; i < c->config->target_count; i++) {
        const struct pk_target *t = &c->config->targets[i];

        if (!t->provider->batches)
            continue;
        c->steer->undecided = -1;
        c->node = t->node;
        return pk_call_go(c, ST_guard_in);
    }
    (void)pk_fail(&c->error, PK_BAD_CONFIG, "no provider of the config has a batch API");
    return pk_call_go(c, ST_finish);
}

static int picked(struct pk_call *c)
{
    if (c->req->batched)
        return pick_batch(c);
    c->node = pk_route_first(&c->config->route, c->steer);
    return c->node < 0 ? pk_call_undecided(c) : pk_call_go(c, ST_guard_in);
}

int pk_step_pick(struct pk_call *c, const struct pk_event *ev)
{
    (void)ev;
    c->steer->random = pk_random_next(&c->random);
    c->steer->open = c->config->open;
    if (looks_at_request(c->config) && !read_request(c))
        return pk_call_go(c, ST_finish);
    settle(c);
    return picked(c);
}

uint64_t pk_call_targets(const struct pk_call *c)
{
    const struct pk_route *r = &c->config->route;
    uint64_t targets = 0;

    for (int i = 0; i < r->count; i++)
        if (r->nodes[i].strategy == PK_LEAF && pk_route_reaches(r, c->steer, i))
            targets |= (uint64_t)1 << r->nodes[i].target;
    return targets;
}

int pk_call_undecided(struct pk_call *c)
{
    const struct pk_conditional *rule = c->config->conditional[c->steer->undecided];

    c->answered = false;
    c->fault = (struct pk_fault){0};
    (void)pk_fail(&c->error, PK_BAD_REQUEST,
                  "config.%.*s: no condition holds for this request, and there is no default",
                  PK_FMT(rule->path));
    return pk_call_go(c, ST_finish);
}
