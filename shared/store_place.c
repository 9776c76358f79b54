/* store_place.c - see store_place.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_place.h"

#include <stdlib.h>

static pk_str variable(const char *name)
{
    return *name ? pk_str_of(getenv(name)) : PK_NONE;
}

const char *pk_environment_key(const struct pk_provider *provider)
{
    static const char *const aws[] = {"AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY"};

    for (size_t i = 0; pk_place_auth(provider) == PK_AUTH_AWS && i < PK_COUNT(aws); i++)
        if (variable(aws[i]).len)
            return aws[i];
    if (!provider->key_env || variable(provider->key_env).len == 0)
        return NULL;
    return provider->key_env;
}

/* Whether it may be given what is the environment's. */
static bool open_to_environment(const struct pk_target *t)
{
    return t->virtual_key.len == 0 && t->key.kind == PK_KEY_NONE && t->provider->key_env &&
           *t->provider->key_env;
}

static bool fill(struct pk_arena *arena, struct pk_target *t, struct pk_error *err)
{
    struct pk_target_fields *all = pk_alloc(arena, sizeof *all);

    if (!all)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    if (t->fields)
        *all = *t->fields;
    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        const struct pk_target_field_row *row = pk_target_field_row((enum pk_target_field)f);
        pk_str value = variable(row->environment);

        if (all->at[f].len == 0 && value.len &&
            pk_target_field_taken((enum pk_target_field)f, t->provider->name) &&
            !pk_target_field_wrong((enum pk_target_field)f, value))
            all->at[f] = pk_copy(arena, value);
    }
    t->fields = all;
    return true;
}

/* Whether every account that the address names is the environment's own. */
static bool accounts_are_ours(const struct pk_target *t)
{
    for (int f = 0; t->fields && f < PK_TARGET_FIELDS; f++) {
        const struct pk_target_field_row *row = pk_target_field_row((enum pk_target_field)f);

        if (row->shape == PK_SHAPE_ACCOUNT && t->fields->at[f].len &&
            !pk_str_eq(t->fields->at[f], variable(row->environment)))
            return false;
    }
    return true;
}

bool pk_store_place(struct pk_arena *arena, struct pk_target *t, struct pk_error *err)
{
    bool open = t->provider && open_to_environment(t);

    if (!t->provider)
        return true;
    if ((open && !fill(arena, t, err)) || !pk_place_settle(arena, t, err))
        return false;
    if (!open || !accounts_are_ours(t))
        return true;
    pk_config_use_environment(t);
    if (t->key.kind == PK_KEY_ENV && pk_environment_key(t->provider))
        t->key.value = pk_str_of(pk_environment_key(t->provider));
    return true;
}
