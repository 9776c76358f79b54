/* codec.h - what the codecs of embeddings, rerankers and moderations share (operation.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Requests come, and answers go, in OpenAI's shape; rerank has Cohere's, which the others copied. A list of
 * inputs gives a vector each, in their order, whoever makes them.
 */
#ifndef PK_CODEC_H
#define PK_CODEC_H

#include "dialect_make.h"
#include "operation.h"

enum { PK_VECTOR_DIMS_MAX = 1 << 16 }; /* numbers of a vector */

/* --- tables ---------------------------------------------------------------------------------- */

/* What a dialect has of its own, by the name of its file; a row without an operation ends each. */
extern const struct pk_codec pk_codecs_gemini[], pk_codecs_cohere[], pk_codecs_vertex[],
    pk_codecs_bedrock[], pk_codecs_ollama[], pk_codecs_anthropic[];

/* What a provider of OpenAI's family spells otherwise; NULL: nothing. */
const struct pk_codec *pk_codecs_of_provider(pk_str name);

/* Of those that make images; NULL: as OpenAI does. */
const struct pk_codec *pk_codecs_of_images(pk_str provider);

/* Google's images, by Imagen or by Gemini; the verb follows the model's path. */
bool pk_gemini_images_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err);
const char *pk_gemini_images_verb(pk_str model);
bool pk_gemini_images_request(const struct pk_json *body, struct pk_buf *out,
                              struct pk_buf *dropped, struct pk_error *err);
bool pk_gemini_images_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                             struct pk_buf *out, struct pk_error *err);

/* An answer with "4000 bytes" in the place of each image that is in it: for the log. `body` itself when it has
 * none; empty when memory is short. */
pk_str pk_images_outline(struct pk_arena *arena, pk_str body);

/* --- requests for embeddings ------------------------------------------------------------------ */

/* One thing to embed: a text, an image, or both. */
struct pk_embed_item {
    int text;     /* its string in the request; -1: none */
    pk_str image; /* an address, http(s): or data: with base64; empty: none */
};

typedef bool pk_embed_item_fn(struct pk_maker *m, const struct pk_embed_item *item);

/* Writes each of "input". PK_BAD_REQUEST for tokens, and for what is neither text nor image. */
bool pk_embed_items(struct pk_maker *m, pk_embed_item_fn *write);
/* A way to write the field (pk_make_field): all of them as a list of strings. */
bool pk_embed_texts(struct pk_maker *m, int value, const char *to);
/* How many vectors that makes; -1: nobody knows. */
int pk_embed_count(const struct pk_json *request);
/* Whether any item has, or is nothing but, an image. */
bool pk_embed_has_images(const struct pk_json *request);

/* What embeddings are for has a name everywhere, and everywhere another. */
enum pk_task_names { PK_TASK_COHERE, PK_TASK_VOYAGE, PK_TASK_JINA, PK_TASK_GEMINI, PK_TASK_NOMIC };

/* The word for the task that "input_type", "task_type" or "task" names in anybody's words: itself when nobody
 * knows it, empty when none is named or there is no word for it, which is reported. */
pk_str pk_embed_task(struct pk_maker *m, enum pk_task_names names);

/* --- answers ---------------------------------------------------------------------------------- */

/* Embeddings in OpenAI's shape while they are written. */
struct pk_embed_writer {
    struct pk_arena *arena;
    const struct pk_json *doc;     /* the provider's answer */
    const struct pk_json *request; /* NULL: not known */
    struct pk_buf *out;
    struct pk_error *err;
    bool base64; /* the client wants them so */
    int count;
};

struct pk_embed_writer pk_embed_begin(struct pk_arena *arena, const struct pk_json *doc,
                                      const struct pk_answer *a, struct pk_buf *out,
                                      struct pk_error *err);
/* The next vector, a value of w->doc. PK_BAD_ANSWER when it is none. */
bool pk_embed_add(struct pk_embed_writer *w, int vector);
/* Each of a list of vectors. */
bool pk_embed_add_all(struct pk_embed_writer *w, int list);
/* Ends the list, with the model asked for and a->usage, and leaves the object open. PK_BAD_ANSWER when there are
 * not as many vectors as inputs. */
bool pk_embed_end(struct pk_embed_writer *w, const struct pk_answer *a);

/* The numbers of a vector, a list or base64 of little-endian floats. PK_BAD_ANSWER when it is none. */
bool pk_embed_floats(struct pk_arena *arena, const struct pk_json *doc, int vector, float **at,
                     int *dims, struct pk_error *err) PK_MUST_CHECK;

/* An answer in the common shape with "1536 numbers" in the place of each vector: for the log, which would hold
 * little else. `body` itself when it has none. */
pk_str pk_embed_outline(struct pk_arena *arena, pk_str body);

/* What is there in the common shape already is checked, and completed: `out` stays empty when nothing is to be
 * changed. `request` may be NULL. PK_BAD_ANSWER when it is none. */
typedef bool pk_settle_fn(struct pk_arena *arena, const struct pk_json *doc,
                          const struct pk_json *request, struct pk_buf *out, struct pk_error *err);

pk_settle_fn pk_embed_settle;    /* as the client wants them: float or base64 */
pk_settle_fn pk_rerank_settle;   /* results, with the documents when they were asked for */
pk_settle_fn pk_moderate_settle; /* each with "flagged" */

/* --- bodies that dialects share --------------------------------------------------------------- */

/* Cohere's embeddings, which Bedrock serves too; there without a model in the body. */
bool pk_cohere_embed(struct pk_maker *m, bool with_model);
bool pk_cohere_embedded(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                        struct pk_buf *out, struct pk_error *err);
/* "documents" as a list of texts. */
bool pk_rerank_documents(struct pk_maker *m);

#endif
