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

/* The same of a maker whose `own` begins with a struct pk_pivot. */
static inline const struct pk_pivot *pk_pivot_of(const struct pk_maker *m)
{
    return m->own;
}

static inline bool pk_pivot_plain(const struct pk_maker *m)
{
    return pk_pivot_is_plain(pk_pivot_of(m));
}

/* The rest of a body whose maker's `own` is a struct pk_pivot: the fields of the table that are there, unless they
 * are there in OpenAI's words as well; what else the client, or the target's override_params, said in those; and
 * the report of everything beside. */
bool pk_pivot_fields(struct pk_maker *m, const struct pk_make_field *fields, size_t count);

/* Ways to write a field: sampling that only some know, and one that is everybody's default when it is "auto". */
bool pk_pivot_top_k(struct pk_maker *m, int value, const char *to);
bool pk_pivot_unless_auto(struct pk_maker *m, int value, const char *to);

/* Takes any answer of a provider, in OpenAI's shape, and gives it in s->front's. */
bool pk_pivot_answer(struct pk_arena *arena, struct pk_stream *s, pk_str openai, struct pk_buf *out,
                     struct pk_error *err);

/* A tool's arguments as a JSON object, {} when they are none, were cut, or are no object. */
pk_str pk_pivot_arguments(struct pk_arena *arena, pk_str text);

/* Tool calls on their way to a client who reads them one after the other. Providers of OpenAI's shape may go
 * on with an earlier call while a later one is under way: the later one waits until the earlier one is whole. */
struct pk_pivot_calls {
    int next;    /* the stream's tool that is open, or will be */
    bool open;   /* it has been begun, */
    size_t sent; /* and so many bytes of its arguments are printed */
    void (*begin)(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out);
    void (*more)(struct pk_stream *s, pk_str arguments, struct pk_buf *out);
    void (*end)(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out);
};

/* Prints what has come since. `last`: no more of any of them will come. */
void pk_pivot_print_calls(struct pk_stream *s, struct pk_pivot_calls *calls, bool last,
                          struct pk_buf *out);

#endif
