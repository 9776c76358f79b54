/* call_privacy.c - which part of a call's record the log may hold.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "call_inner.h"

/* A cache hit has made no attempt; a call that ended before any target was picked might have gone to each. */
static struct pk_privacy privacy_of(const struct pk_call *c)
{
    struct pk_privacy p = c->privacy;

    if (c->node >= 0)
        return pk_privacy_join(p, pk_call_target(c)->privacy);
    for (int i = 0; i < c->config->target_count; i++)
        p = pk_privacy_join(p, c->config->targets[i].privacy);
    return p;
}

struct pk_record *pk_call_logged(struct pk_call *c)
{
    struct pk_privacy p = privacy_of(c);
    struct pk_record *kept = &c->record;

    PK_ASSERT(c->next.op == PK_OP_DONE);
    if (p.payloads == PK_PAYLOADS_FULL && !p.redact)
        return kept;
    kept = pk_alloc_room(c->arena, sizeof *kept);
    if (!kept)
        kept = &c->record; /* rather than say too much, the client is told less */
    *kept = c->record;
    pk_privacy_apply(c->arena, p, pk_str_of(c->error.code ? c->error.msg : ""), kept);
    return kept;
}
