/* dialect.h - how one family of providers spells a chat request and its answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Two dialects meet in a call: the front's, which the client speaks, and the back's, which
 * the provider speaks. When they are the same, bytes pass through and only what must change is
 * spliced; otherwise requests and complete answers are translated by way of the OpenAI shape,
 * and streams by way of struct pk_delta. One file per dialect; providers are rows (provider.h).
 */
#ifndef PK_DIALECT_H
#define PK_DIALECT_H

#include "framing.h"
#include "json.h"
#include "usage.h"

struct pk_codec;
struct pk_pivot;
struct pk_provider;
struct pk_stream;

/* What a provider's error says. Empty where it says nothing. */
struct pk_fault {
    pk_str message, type, param, code;
    int64_t retry_ms; /* when to try again; 0: the body does not say */
    int status; /* what the client is told, for fronts that have a word for each; of an error in a stream, the
                 * status that it stands for; 0: not known */
};

/* What a complete answer says, whatever the dialect. */
struct pk_answer {
    pk_str id;    /* set by the caller too: one for where the provider names none */
    pk_str model; /* as the provider names it */
    pk_str
        finish_reason; /* stop | length | tool_calls | content_filter | the provider's own word */
    struct pk_usage usage;
    int64_t created_s; /* set by the caller: seconds since 1970, for fronts that print it */
    pk_str asked;      /* set by the caller: the model asked for, where the provider names none */
    /* Set by the caller: the request as its client spelled it, for fronts that repeat it; of what is no
     * conversation in the common shape. NULL: not known. */
    const struct pk_json *request;
    const char *billed; /* what the provider bills instead of tokens: "search units"; NULL */
    pk_str body; /* the whole answer as JSON, in the front's dialect: for client, log and cache */
    bool opaque; /* the body is no JSON */
    struct pk_fault fault; /* when the answer is an error with a status that is none */
};

/* One piece of a streamed answer, whatever the dialect. Strings are valid until the next event. */
enum pk_delta_kind {
    PK_DELTA_START,     /* id, model (text) */
    PK_DELTA_TEXT,      /* text */
    PK_DELTA_REASONING, /* text: visible thinking */
    PK_DELTA_THINKING,  /* text: a whole, signed thinking block as JSON, to be sent back */
    PK_DELTA_REFUSAL,   /* text */
    PK_DELTA_TOOL,      /* tool = its index; id, name and extra at its start; text = arguments */
    PK_DELTA_IMAGE,     /* text: an image as a data: URL */
    PK_DELTA_LOGPROBS,  /* text: items of OpenAI's logprobs.content, as JSON */
    PK_DELTA_EXTRA,     /* text: the message's extra_content as JSON, to be sent back */
    PK_DELTA_MEMBER,    /* name, text: a member of the choice beside OpenAI's own, as JSON */
    PK_DELTA_FINISH,    /* text = finish_reason in OpenAI's words */
    PK_DELTA_USAGE,     /* usage, whole (a later one replaces it) */
    PK_DELTA_OTHER,     /* something that the log's answer cannot show; text = its name */
    PK_DELTA_ERROR,     /* fault: the stream failed */
    PK_DELTA_DONE,      /* the terminal event: the answer is complete */
};

struct pk_delta {
    enum pk_delta_kind kind;
    int choice; /* 0 unless the client asked for several */
    int tool;
    pk_str id, name, text;
    pk_str extra; /* a tool call's extra_content as JSON, to be sent back; may be empty */
    struct pk_usage usage;
    struct pk_fault fault;
};

/* Takes the deltas that one event is made of, in order. */
typedef void pk_delta_fn(struct pk_stream *s, const struct pk_delta *d);

struct pk_dialect {
    const char *name;
    const char *chat_path; /* appended to the base URL; NULL: path() says it */
    const char *headers;   /* sent with every request: "name: value\n" lines, or "" */
    const char
        *own_headers; /* of a client that speaks it: passed on, in place of those above; blank
                               * separated; NULL: none */
    const char *error_event;  /* the name of an error event in a stream, or "" */
    enum pk_framing framing;  /* of its streams */
    const char *error_header; /* of an error answer: names its type; NULL: the body does */
    /* Operations that are no conversations (operation.h): those that it spells in its own way, which a row
     * without an operation ends; NULL: none. `plain`: all others as their clients do. */
    const struct pk_codec *codecs;
    bool plain;
    /* The dialect that it is but for address, frames and a few members of the body: a client of that one gets
     * what came, as it came. NULL: one of its own. */
    const struct pk_dialect *like;
    /* The dialect in which its providers are asked for `model` by a client of `front`; NULL: always it. */
    const struct pk_dialect *(*back_for)(const struct pk_dialect *front, pk_str model);

    /* As the back: appends what follows the base URL for this model. PK_BAD_REQUEST without one. */
    bool (*path)(pk_str base, pk_str model, bool stream, struct pk_buf *out, struct pk_error *err);
    /* As the back: the provider's body for an OpenAI-shaped chat body. Appends to `dropped` (blank
     * separated) the fields that it cannot express. NULL: the body is OpenAI's already. */
    bool (*request)(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                    struct pk_error *err);
    /* As the back, with `like`: its body for one in that dialect, and for the client's headers; `dropped` as above. */
    void (*host)(const struct pk_json *body, pk_str headers, struct pk_buf *out,
                 struct pk_buf *dropped);
    /* As the back: id, model, finish_reason and usage of a complete 2xx answer; and, when `out` is
     * not NULL, the answer in OpenAI's shape. PK_BAD_ANSWER when it is not one. */
    bool (*answer)(struct pk_arena *arena, const struct pk_json *body, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err);
    /* As the back: the deltas of one event. PK_BAD_ANSWER when it is malformed. */
    bool (*event)(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *emit,
                  struct pk_error *err);
    /* As the back: the deltas that the end of the bytes stands for, in a dialect without a terminal
     * event; none when the answer is not whole. NULL: there is such an event. */
    void (*end)(struct pk_stream *s, pk_delta_fn *emit);
    /* As the back: what an error body says. */
    void (*fault)(struct pk_arena *arena, const struct pk_json *body, struct pk_fault *f);

    /* As the front, from here on; all NULL: it is never one. Writes the body of a chat completion for the
     * client's, and reports in to->dropped what of it has no place there; PK_BAD_REQUEST names the place of
     * what changes the conversation. NULL: the body is OpenAI's already. */
    bool (*pivot)(const struct pk_json *body, const struct pk_pivot *to, struct pk_error *err);
    /* Of a body that is for its own providers: whether it may hold what only other providers gave the client;
     * and the body without. NULL: there is no such thing. */
    bool (*wants_tidying)(pk_str body);
    void (*tidy)(const struct pk_json *body, struct pk_buf *out);
    /* Its own words for fields that are reported in OpenAI's: "openai=own", blank separated; NULL: none. */
    const char *words;
    /* One delta as events for the client. */
    void (*print_delta)(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out);
    /* As the front: the assembled answer of a stream as one JSON document. */
    void (*print_answer)(const struct pk_stream *s, struct pk_buf *out);
    /* As the front: an error as a JSON document. `provider` may be empty. */
    void (*print_error)(const struct pk_fault *f, pk_str provider, struct pk_buf *out);
    /* As the front: a complete answer (its own JSON) as the events of a stream: a cache hit. */
    bool (*replay)(const struct pk_json *answer, bool with_usage, struct pk_buf *out);
};

/* dialects.def names them all. */
/* Gemini's, at Vertex AI: it differs in the paths. */
extern const struct pk_dialect pk_dialect_vertex;
extern const struct pk_dialect pk_dialect_openai, pk_dialect_anthropic, pk_dialect_gemini,
    pk_dialect_cohere, pk_dialect_bedrock, pk_dialect_ollama, pk_dialect_responses;

const struct pk_dialect *pk_dialect_find(pk_str name);

/* The dialect that requests, answers and events of `back` are in: itself, or the one that it is like. */
const struct pk_dialect *pk_dialect_spoken(const struct pk_dialect *back);

/* Who speaks what in an attempt. */
struct pk_dialect_pair {
    const struct pk_dialect *front, *back;
    const struct pk_provider *provider;
    pk_str headers;             /* the client's; may be empty */
    const struct pk_json *read; /* the client's body, where that has been parsed; may be NULL */
};

/* The body in the back's dialect of a client body in the front's, overrides applied. Fields that
 * the provider rejects are dropped and named in *dropped (blank separated; empty: none).
 * PK_BAD_REQUEST names the field at fault. */
bool pk_dialect_request(struct pk_arena *arena, const struct pk_dialect_pair *pair, pk_str body,
                        pk_str *out, pk_str *dropped, struct pk_error *err) PK_MUST_CHECK;

/* The URL of a chat request below `base`, which has no slash at its end. */
bool pk_dialect_url(struct pk_arena *arena, const struct pk_dialect *back, pk_str base,
                    pk_str model, bool stream, pk_str *url, struct pk_error *err) PK_MUST_CHECK;

/* Reads a complete 2xx answer of `back` and gives it in `front`'s dialect; a->body is `body`
 * itself when both are the same. PK_BAD_ANSWER for what is no answer: text, HTML, truncated
 * JSON, an error object inside a 200. */
bool pk_dialect_answer(struct pk_arena *arena, const struct pk_dialect *front,
                       const struct pk_dialect *back, pk_str body, struct pk_answer *a,
                       struct pk_error *err) PK_MUST_CHECK;

/* What an error answer says; f->message is never empty: the text itself, shortened, or the
 * status, when the body is not the provider's error JSON. */
void pk_dialect_fault(struct pk_arena *arena, const struct pk_dialect *back, int status,
                      pk_str body, struct pk_fault *f);

#endif
