/* operation.h - what a client asks for: a chat, embeddings, a file; operations.def has the rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An operation is either a conversation, which its client spells in a dialect (dialect.h) and any provider with
 * a chat can hold; or it is another, and then the provider's dialect either has a codec for it or cannot do it.
 * Between the two stands OpenAI's shape of the operation; rerank has Cohere's, which the others copied.
 */
#ifndef PK_OPERATION_H
#define PK_OPERATION_H

#include "dialect.h"

struct pk_operation {
    const char *name; /* in the log, and for rules about operations */
    const char *type; /* the same in Portkey's words */
    const struct pk_dialect *front;
    const char *path;
    const char *input;
    bool cached, output;
};

/* How a raw operation is asked for; every other is a POST. */
enum pk_method { PK_POST, PK_GET, PK_PUT, PK_PATCH, PK_DELETE };

#define OPERATION(symbol, ...) extern const struct pk_operation pk_operation_##symbol;
#include "operations.def"
#undef OPERATION

/* NULL when there is none of that name. */
const struct pk_operation *pk_operation_find(pk_str name);
/* The i-th of all, from 0; NULL behind the last. */
const struct pk_operation *pk_operation_at(int i);

/* Where a raw operation's answer says what was used, it is what this call has used: of a file or a batch it would
 * be told again with every look at it. */
static inline bool pk_operation_bills(const struct pk_operation *o, enum pk_method method)
{
    return o->output && method == PK_POST;
}

/* Whether what follows an operation's path may be sent to a provider: no segment of it, however it is escaped, leads
 * out of where it is. */
bool pk_operation_check_tail(pk_str tail, struct pk_error *err) PK_MUST_CHECK;

/* The model that a provider's path names ("/models/gemini-pro:generateContent", "/deployments/x/chat"), unescaped;
 * empty when it names none. */
pk_str pk_operation_path_model(struct pk_arena *arena, pk_str tail);

/* The base URL below which `tail` is: a version that the tail begins with ("/v1/chats", "/v1beta/models") stands in
 * the place of the one that the base ends with. */
pk_str pk_operation_base(pk_str base, pk_str tail);

/* The dialect in which its client is answered. */
static inline const struct pk_dialect *pk_operation_front(const struct pk_operation *o)
{
    if (o->front)
        return o->front;
    return o == &pk_operation_count_tokens ? &pk_dialect_anthropic : &pk_dialect_openai;
}

/* Whether body and answer are passed as they are, whatever they are. */
static inline bool pk_operation_is_raw(const struct pk_operation *o)
{
    return !o->input;
}

/* Whether what is asked for is a session in two directions, and not an answer. */
static inline bool pk_operation_is_tunnel(const struct pk_operation *o)
{
    return o == &pk_operation_realtime;
}

/* How a dialect spells an operation that is no conversation. */
struct pk_codec {
    const struct pk_operation *operation;
    const char *path; /* appended to the base URL; NULL: path_of() says it */

    /* Appends what follows the base URL for this model. PK_BAD_REQUEST without one. */
    bool (*path_of)(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err);
    /* The provider's body for the operation's common one. Appends to `dropped` (blank separated) the fields that
     * it cannot express. NULL: the body is sent as it is. */
    bool (*request)(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                    struct pk_error *err);
    /* What a complete 2xx answer says, and the answer in the common shape. NULL: it has that already.
     * PK_BAD_ANSWER when it is none. */
    bool (*answer)(struct pk_arena *arena, const struct pk_json *body, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err);
};

/* How the provider, which is asked in the dialect `back`, spells it; NULL when it cannot. */
const struct pk_codec *pk_codec_find(const struct pk_provider *provider,
                                     const struct pk_dialect *back,
                                     const struct pk_operation *operation);

/* The header lines of a request with this body, content-type among them. */
const char *pk_codec_headers(const struct pk_codec *codec, pk_str body);

bool pk_codec_request(struct pk_arena *arena, const struct pk_codec *codec, pk_str body,
                      pk_str *out, pk_str *dropped, struct pk_error *err) PK_MUST_CHECK;

/* The URL below `base`, which has no slash at its end; `tail` follows the path: "/file-1/content?x=y". */
bool pk_codec_url(struct pk_arena *arena, const struct pk_codec *codec, pk_str base, pk_str model,
                  pk_str tail, pk_str *url, struct pk_error *err) PK_MUST_CHECK;

/* Reads a complete 2xx answer; a->body is `body` itself when there is nothing to translate. Of a raw
 * operation any body is an answer; its usage is read where it has one. Of any other the answer is checked, against
 * a->request too: PK_BAD_ANSWER when it is none. */
bool pk_codec_answer(struct pk_arena *arena, const struct pk_codec *codec, pk_str body,
                     struct pk_answer *a, struct pk_error *err) PK_MUST_CHECK;

#endif
