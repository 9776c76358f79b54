/* prefetch.c - see prefetch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "prefetch.h"

static bool has_cache(const struct pk_config *config)
{
    for (int i = 0; i < config->target_count; i++)
        if (config->targets[i].cache.mode != PK_CACHE_OFF)
            return true;
    return false;
}

bool pk_prefetch_check(struct pk_arena *arena, const struct pk_config *config, pk_str params,
                       struct pk_error *err)
{
    struct pk_request options = {0};

    if (!pk_request_options(arena, params, &options, err))
        return false;
    if (options.cache_off)
        return pk_fail(err, PK_BAD_REQUEST,
                       "params.pk.cache: must not be false, as the cache is what is filled");
    return options.cache_on || has_cache(config) ||
           pk_fail(err, PK_BAD_CONFIG,
                   "config.cache: needed, or nobody would find the answers; params.pk.cache true, "
                   "here and where they are asked for, is one too");
}

void pk_prefetch_print(struct pk_buf *out, const struct pk_batch_progress *p)
{
    char usd[32];

    pk_usd_print(p->cost_pusd, usd);
    pk_buf_addf(out,
                "{\"rows\":%lld,\"distinct_prompts\":%lld,\"cached\":%lld,\"called\":%lld,"
                "\"failed\":%lld,\"cost_usd\":%s}",
                (long long)p->rows, (long long)p->ended, (long long)p->cached,
                (long long)(p->ended - p->cached), (long long)p->failed,
                p->unpriced ? "null" : usd);
}
