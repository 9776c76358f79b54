/* call_count.c - counting tokens for a target whose provider does not: an estimate, which says that it is one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Nobody is asked, and nothing is paid for.
 */
#include "call_inner.h"
#include "estimate.h"

bool pk_call_counts_itself(const struct pk_call *c)
{
    return c->operation == &pk_operation_count_tokens && c->back != &pk_dialect_anthropic;
}

void pk_call_count(struct pk_call *c)
{
    enum pk_family family = pk_tokens_family(c->record.request_model);
    int64_t tokens = pk_estimate_tokens_of(c->arena, &c->body, family);

    c->status = 200;
    c->reply.headers = PK_STR("x-pk-token-count: estimated\n");
    c->answer = (struct pk_answer){
        .usage = {.source = PK_USAGE_ESTIMATED},
        .body = pk_copyf(c->arena, "{\"input_tokens\":%lld}", (long long)tokens),
    };
    c->answered =
        !c->arena->failed || pk_fail(&c->error, PK_NO_MEMORY, "count_tokens: out of memory");
}
