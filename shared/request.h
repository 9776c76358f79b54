/* request.h - what a client asks for, before routing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * pkd fills one from headers and body; the SQL doors build one from their arguments with the
 * functions below, so that all doors mean the same.
 */
#ifndef PK_REQUEST_H
#define PK_REQUEST_H

#include "arena.h"
#include "operation.h"
#include "privacy.h"

struct pk_account;
struct pk_guards;
struct pk_typed;

enum pk_source { PK_SOURCE_SQLITE, PK_SOURCE_POSTGRES, PK_SOURCE_HTTP };
const char *pk_source_name(enum pk_source source); /* "http" */

/* Strings are borrowed and must outlive the call. */
struct pk_request {
    const struct pk_operation *operation; /* NULL = chat */
    pk_str body;                          /* JSON object; of a raw operation anything */
    pk_str content_type;                  /* of the body; empty = application/json */
    enum pk_method method; /* of a raw operation, which may also have what follows its path: */
    pk_str tail;           /* "/file-1/content?x=y" */
    pk_str headers;        /* the client's, for forward_headers; empty from SQL */
    pk_str trace_id, span_id, parent_span_id, span_name; /* empty trace_id: one is made */
    pk_str metadata;                                     /* JSON object, or empty */
    pk_str user_id;     /* empty: metadata._user, else the body's user */
    pk_str pathname;    /* the path of the URL that was called; empty = "/v1/chat/completions" */
    pk_str prompt;      /* "greet@3" that the body was made from; empty: metadata._prompt */
    pk_str query_id;    /* groups the calls of one statement; may be empty */
    pk_str cache_ns;    /* over the config's namespace */
    bool cache_refresh; /* do not read, but store */
    bool cache_off;
    bool cache_on;      /* also where the config has no cache: a simple one */
    int64_t timeout_ms; /* for the whole call; 0 = as configured */
    int64_t idle_ms;    /* of a session without bytes; 0 = PK_SESSION_IDLE_MS */
    int64_t
        request_ms; /* request_timeout for every attempt, over the config's; 0 = as configured */
    pk_str custom_host; /* base URL for every target, over the config's; bound keys still refuse */
    pk_str forward; /* names of client headers to pass on, comma separated, besides the config's */
    const struct pk_guards *guards[2]; /* by phase, after those of every target; NULL: none */
    const struct pk_typed *typed;      /* what the answer must be (typed.h); NULL: anything */
    bool alone;         /* equal to no other: not answered with the answer of another */
    bool native;        /* the client reads what is not OpenAI's: hook_results in a stream */
    bool strict_params; /* likewise for all targets what a config says of one */
    bool
        batched; /* it goes through its provider's batch API: the first target that has one is asked once, at that
                     price, and the host performs its SEND and READ (loop.h) */
    struct pk_privacy privacy; /* of the host's settings and the call's own options */
    pk_str api_key;            /* the name of the API key that it came with; empty: none */
    pk_str role;               /* the SQL role, or the user of the process */
    int64_t
        output_assumed; /* output tokens of a request that sets no limit; 0: PK_OUTPUT_ASSUMED */
    struct pk_account *account; /* of the statement; NULL: none keeps one */
    enum pk_source source;
};

static inline const struct pk_operation *pk_request_operation(const struct pk_request *req)
{
    return req->operation ? req->operation : &pk_operation_chat;
}

/* The dialect in which the client is answered. */
static inline const struct pk_dialect *pk_request_front(const struct pk_request *req)
{
    return pk_operation_front(pk_request_operation(req));
}

/* `messages` is an OpenAI messages array or a JSON string meaning one user turn; plain text too
 * when `plain_text` (SQLite has no JSON type). `params` is a JSON object merged over the body, or
 * empty; its "pk" member holds call options: metadata, trace_id, span_id, parent_span_id,
 * span_name, cache (true | false | "refresh" | {"namespace","force_refresh"}), timeout, request_timeout,
 * log (false, "full", "hash", "none"), strict_params, user_id, dedup. An unknown option is an error that names it. "stream" is
 * refused: SQL returns one value. */
bool pk_request_chat(struct pk_arena *arena, pk_str messages, pk_str params, bool plain_text,
                     struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

/* The two halves of pk_request_chat(), for messages that depend on the options: what params.pk says; and the
 * body, of `messages` (an array) and params without its "pk". "stream" is refused by the first only. */
bool pk_request_options(struct pk_arena *arena, pk_str params, struct pk_request *req,
                        struct pk_error *err) PK_MUST_CHECK;
bool pk_request_body(struct pk_arena *arena, pk_str messages, pk_str params, struct pk_request *req,
                     struct pk_error *err) PK_MUST_CHECK;

/* Who asks, for what must not change from call to call: user_id, metadata._user, params.user, else the trace id
 * that was given; empty when nothing was. */
pk_str pk_request_caller(struct pk_arena *arena, const struct pk_request *req, pk_str params);

/* One user turn, after a system message when `system` is not empty. */
bool pk_request_ask(struct pk_arena *arena, pk_str prompt, pk_str system, pk_str params,
                    struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

/* A text to embed, in a vector of `dimensions` numbers (0: as many as the model makes), or to moderate: both are
 * errors among params. */
bool pk_request_embed(struct pk_arena *arena, pk_str input, int64_t dimensions, pk_str params,
                      struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;
bool pk_request_moderate(struct pk_arena *arena, pk_str input, pk_str params,
                         struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

/* For pk_messages(): adds argument `i` to *out, the system's when it is 0 (left out when it is empty), else a turn of
 * the user (1, 3 ...) or the assistant; and what ends the list. PK_TOO_LARGE, PK_NO_MEMORY. */
void pk_messages_add(struct pk_buf *out, int i, pk_str text);
bool pk_messages_end(struct pk_buf *out, pk_str *messages, struct pk_error *err) PK_MUST_CHECK;

/* Checks metadata for a log row and conditional routing: a JSON object of at most
 * PK_METADATA_BYTES_MAX, whose numbers fit a double. */
bool pk_request_metadata(struct pk_arena *arena, pk_str metadata,
                         struct pk_error *err) PK_MUST_CHECK;

#endif
