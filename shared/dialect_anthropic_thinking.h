/* dialect_anthropic_thinking.h - how Anthropic's models think, wherever they are hosted.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   reasoning_effort  becomes a thinking budget (minimal, low 1024; medium 8192; high 24576; xhigh,
 *                     max 32768), or adaptive thinking and an effort for the models that decide for
 *                     themselves. The budget stays 1024 below the client's max_tokens; without one,
 *                     max_tokens is the budget and 4096
 *   sampling          temperature, top_p and top_k are dropped where thinking forbids them
 */
#ifndef PK_DIALECT_ANTHROPIC_THINKING_H
#define PK_DIALECT_ANTHROPIC_THINKING_H

#include "dialect_make.h"

enum { PK_ANTHROPIC_MAX_TOKENS = 4096 };

/* How a model thinks. */
enum pk_thinks {
    PK_THINKS_NEVER,
    PK_THINKS_BUDGET,   /* as many tokens as it is given */
    PK_THINKS_ADAPTIVE, /* as much as it likes, by effort */
    PK_THINKS_ITSELF,   /* likewise, and it takes no sampling parameters */
};

/* What of thinking will be asked for. */
struct pk_thinking {
    enum pk_thinks model;
    bool on;            /* the model will think */
    int64_t budget;     /* of reasoning_effort; 0 = none */
    bool adaptive;      /* of reasoning_effort */
    pk_str effort;      /* as JSON; empty = none */
    int64_t max_tokens; /* that the budget or effort needs; 0 = as the client said */
};

/* Decides from `thinking`, `reasoning_effort` and max_tokens before anything is written; drops
 * reasoning_effort, and reports it, where it has no place. `model` without what a host adds to it. */
bool pk_anthropic_think(struct pk_maker *m, pk_str model, struct pk_thinking *t);

/* The client's max_completion_tokens or max_tokens; < 0: neither. */
int pk_anthropic_max_tokens(const struct pk_maker *m);

/* A sampling parameter, where the model takes it: temperature within 0..1. Thinking allows only
 * temperature 1 and a top_p of 0.95 or more. *number is empty when it was dropped and reported. */
bool pk_anthropic_sampling(struct pk_maker *m, const struct pk_thinking *t, const char *name,
                           pk_str *number);

/* Appends thinking as the next member; nothing when the client's own, or none, is asked for. */
void pk_anthropic_write_thinking(struct pk_buf *out, const struct pk_thinking *t);

#endif
