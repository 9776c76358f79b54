/* dialect_pivot.h - what fronts share whose clients speak another shape than OpenAI's.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Such a front writes its client's body in OpenAI's shape, for the back to translate, or for a provider that
 * speaks it. A provider's answer comes the same way: as OpenAI's, read here as the deltas that its stream
 * would have had, so that the front prints both by the same hands.
 */
#ifndef PK_DIALECT_PIVOT_H
#define PK_DIALECT_PIVOT_H

#include "dialect_make.h"
#include "stream.h"

/* Whom a body is written for. */
struct pk_pivot {
    const struct pk_dialect *back;
    pk_str provider;
    struct pk_buf *out, *dropped;
};

/* What not every provider that speaks OpenAI's shape takes. Those that speak another are given all of it:
 * their dialect says what it drops. */
enum pk_extra {
    PK_EXTRA_CACHE = 1,    /* cache_control */
    PK_EXTRA_THOUGHTS = 2, /* reasoning_content, in what the model has said */
    PK_EXTRA_TOP_K = 4,
    PK_EXTRA_EFFORT = 8, /* reasoning_effort, whatever the model */
};

/* Whether the body goes out as it is written: nothing may stand in it beside OpenAI's own. */
bool pk_pivot_is_plain(const struct pk_pivot *p);
bool pk_pivot_takes(const struct pk_pivot *p, enum pk_extra extra);
/* Whether reasoning_effort is no error for the model. */
bool pk_pivot_model_thinks(const struct pk_pivot *p, pk_str model);

/* A top-level field that is OpenAI's own and the client sent all the same, or a config for it. */
bool pk_pivot_is_own(const struct pk_json *body, int key);

/* Takes a complete answer in OpenAI's shape as deltas. */
void pk_pivot_read(struct pk_stream *s, const struct pk_json *answer);

/* Takes any answer of a provider, in OpenAI's shape, and gives it in s->front's. */
bool pk_pivot_answer(struct pk_arena *arena, struct pk_stream *s, pk_str openai, struct pk_buf *out,
                     struct pk_error *err);

bool pk_pivot_is_object(struct pk_arena *arena, pk_str text); /* of JSON */
/* A tool's arguments as a JSON object, {} when they are none, were cut, or are no object. */
pk_str pk_pivot_arguments(struct pk_arena *arena, pk_str text);

#endif
