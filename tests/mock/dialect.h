/* dialect.h - how a provider spells requests, answers, streams and errors.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Written from the providers' references, with cJSON and without any code of the gateway, so that
 * both cannot make the same mistake.
 */
#ifndef MOCK_DIALECT_H
#define MOCK_DIALECT_H

#include "ask.h"
#include "reply.h"

/* What the model "says", before a dialect spells it. */
struct content {
    const char *text;
    size_t len;
    const char *tool, *arguments; /* a tool call instead of text; arguments are JSON text */
    const char *finish;           /* in OpenAI's words: stop, length, tool_calls */
    int cached;                   /* prompt tokens that came from the provider's cache */
    int reasoning;                /* completion tokens that were thought, not said */
    bool one_event;               /* a stream sends the whole text in one event */
    bool no_usage;
    const char *vectors; /* what is wrong with embeddings; NULL: nothing */
};

struct dialect {
    const char *name;
    /* Fills the ask from its path and JSON. */
    void (*read)(struct ask *a);
    /* False when the request is refused; the reply holds the error then. */
    bool (*check)(const struct ask *a, struct reply *r);
    void (*answer)(const struct ask *a, const struct content *c, struct reply *r);
    void (*stream)(const struct ask *a, const struct content *c, struct reply *r);
    /* `param` may be NULL. Replaces what the reply holds. */
    void (*error)(int status, const char *message, const char *param, struct reply *r);
    /* An error event, added to a stream that has begun. */
    void (*error_event)(struct reply *r);
    void (*models)(struct reply *r);
};

extern const struct dialect openai, responses, anthropic, gemini, cohere, bedrock, bedrock_claude,
    ollama, embeddings;
extern const struct dialect gemini_embeddings, cohere_embeddings;       /* embed_more.c */
extern const struct dialect reranker, cohere_reranker, voyage_reranker; /* rank.c */
extern const struct dialect moderations;

enum { EMBED_DIMS_DEFAULT = 256 };

/* A text's vector, which has the model's directions, as a JSON list. */
void embed_vector(const struct ask *a, const struct content *c, const char *text, int dims,
                  struct text *out);

/* Of images, audio and text completions, by the end of the path; NULL: it is for none of them. */
const struct dialect *media_find(const struct ask *a);

/* The first piece of text for one event of a stream: blanks, then a word. */
size_t word_len(const char *s, size_t len);
/* The model's name, percent-escaped in the path between these. */
void path_name(struct ask *a, const char *from, const char *to);
/* Whether `word` stands in a list like "|a|b|". */
bool listed(const char *list, const char *word);
/* Grows with every answer. */
int64_t answer_number(void);
/* Completion tokens of the content. */
int content_tokens(const struct content *c);
/* Whether the body is a JSON object under application/json; the reply holds the error if not. */
bool check_json(const struct dialect *d, const struct ask *a, struct reply *r);

#endif
