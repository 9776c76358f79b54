/* dialect_bedrock.h - what the files of Amazon Bedrock's dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_BEDROCK_H
#define PK_DIALECT_BEDROCK_H

#include "dialect_anthropic_thinking.h"

/* What is to be known of a model. */
enum pk_bedrock_family {
    PK_BEDROCK_OTHER, /* an ARN or name that does not say */
    PK_BEDROCK_ANTHROPIC,
    PK_BEDROCK_NOVA,
    PK_BEDROCK_NOVA_2,
    PK_BEDROCK_OPENAI,
    PK_BEDROCK_COHERE,
    PK_BEDROCK_MISTRAL,
    PK_BEDROCK_PLAIN, /* takes what Converse itself has */
};

struct pk_bedrock_model {
    enum pk_bedrock_family family;
    bool formats; /* takes JSON schemas: outputConfig.textFormat, and strict tools */
    pk_str name;  /* without region and maker: "claude-sonnet-4-5-20250929-v1:0" */
};

/* dialect_bedrock_model.c: of a model's id, an inference profile or an ARN. */
struct pk_bedrock_model pk_bedrock_model_of(pk_str id);

/* What a request is made with: m->own. */
struct pk_bedrock_plan {
    struct pk_bedrock_model model;
    struct pk_thinking thinking;
    int documents;  /* that were written without a name of their own */
    bool in_system; /* what is written stands in the system prompt, */
    bool in_result; /* or in the result of a tool, */
    int marked;     /* of which this part has a cache_control; < 0: none */
};

static inline struct pk_bedrock_plan *pk_bedrock_plan_of(const struct pk_maker *m)
{
    return m->own;
}

/* Whether the model is one of Anthropic's, or may be. */
static inline bool pk_bedrock_may_be_claude(const struct pk_maker *m)
{
    enum pk_bedrock_family family = pk_bedrock_plan_of(m)->model.family;

    return family == PK_BEDROCK_ANTHROPIC || family == PK_BEDROCK_OTHER;
}

/* dialect_bedrock.c: what an error says; and an exception of a stream, whose name is its kind and whose payload is
 * {"message":...}. */
void pk_bedrock_fault(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f);
void pk_bedrock_exception(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take);

/* dialect_bedrock_claude.c: Anthropic's dialect there. */
extern const struct pk_dialect pk_dialect_bedrock_claude;

/* dialect_bedrock_request.c: the body of Converse. */
bool pk_bedrock_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                        struct pk_error *err);

/* dialect_bedrock_content.c: m->text and m->part. */
void pk_bedrock_text(struct pk_maker *m, const char *role, int text, int owner);
bool pk_bedrock_part(struct pk_maker *m, const char *role, int part);
/* Appends {"cachePoint":...} to the list that is open when `owner` has a cache_control. */
void pk_bedrock_cache_point(struct pk_maker *m, int owner);

/* dialect_bedrock_media.c: images, documents, audio and video as blocks. False, with the error, for what
 * cannot be sent. */
bool pk_bedrock_media_part(struct pk_maker *m, const char *role, int part);
/* Whether a part is one of these. */
bool pk_bedrock_is_media(const struct pk_maker *m, int part);

/* dialect_bedrock_tools.c: "toolConfig". */
bool pk_bedrock_tools(struct pk_maker *m);

#endif
