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

/* A copy of the record whose lists are its own; NULL: no memory. */
static struct pk_record *copy_of(struct pk_call *c)
{
    struct pk_record *r = &c->record, *copy = pk_alloc(c->arena, sizeof *copy);
    struct pk_span *spans = pk_alloc(c->arena, (size_t)r->span_count * sizeof *spans);
    struct pk_feedback *feedback = pk_alloc(c->arena, (size_t)r->feedback_count * sizeof *feedback);

    if (!copy || !spans || !feedback)
        return NULL;
    *copy = *r;
    copy->spans = spans;
    copy->feedback = feedback;
    for (int i = 0; i < r->span_count; i++)
        spans[i] = r->spans[i];
    for (int i = 0; i < r->feedback_count; i++)
        feedback[i] = r->feedback[i];
    return copy;
}

struct pk_record *pk_call_logged(struct pk_call *c)
{
    struct pk_privacy p = privacy_of(c);
    struct pk_record *kept = &c->record;

    PK_ASSERT(c->next.op == PK_OP_DONE);
    if (p.payloads == PK_PAYLOADS_FULL && !p.redact)
        return kept;
    kept = copy_of(c);
    if (!kept)
        kept = &c->record; /* rather than say too much, the client is told less */
    pk_privacy_apply(c->arena, p, pk_str_of(c->error.code ? c->error.msg : ""), kept);
    return kept;
}
