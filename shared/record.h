/* record.h - what is known about a call once it is over: the log row and its spans.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A record can be flattened to bytes, for a queue or a ring in shared memory, and read
 * back on the other side; the store writes it either way (store.h).
 */
#ifndef PK_RECORD_H
#define PK_RECORD_H

#include "arena.h"
#include "buf.h"
#include "circuit.h"
#include "limit.h"
#include "usage.h"

enum {
    PK_UUID_BYTES = 16,
    PK_UUID_TEXT = 36,
    PK_SPAN_ID_TEXT = 16,
    PK_FEEDBACK_MAX = 8,
    PK_SPANS_MAX = PK_ATTEMPTS_MAX + 8, /* the attempts always have room */
};

enum pk_status {
    PK_ST_SUCCESS,
    PK_ST_ERROR,
    PK_ST_BLOCKED,
    PK_ST_CLIENT_CLOSED,
    PK_ST_TRUNCATED,
    PK_ST_CANCELLED,
};

enum pk_cache_status {
    PK_CS_DISABLED,
    PK_CS_MISS,
    PK_CS_HIT,
    PK_CS_REFRESH,
    PK_CS_SEMANTIC_HIT,
    PK_CS_SEMANTIC_MISS,
};

enum pk_span_kind { PK_SPAN_ATTEMPT, PK_SPAN_CACHE, PK_SPAN_GUARDRAIL };

/* One step inside the call. Times are microseconds since 1970. */
struct pk_span {
    enum pk_span_kind kind;
    pk_str target_path, provider, model;
    int64_t started_us, first_byte_us, ended_us; /* first_byte_us 0: none came */
    int status;                                  /* HTTP status; 0: no answer */
    enum pk_code code;                           /* PK_OK, or why it did not do */
    pk_str message;                              /* the provider's words, or ours */
    int64_t wait_ms;                             /* slept after it, before a retry */
    pk_str name;                                 /* of a guardrail */
    bool used;                                   /* the provider said how many tokens: */
    int64_t input_tokens, output_tokens;         /* all of each, cached and hidden ones too */
    bool cost_known;
    int64_t cost_pusd;
    /* Behind its first `own` bytes the message quotes others; both are for privacy.h, and not kept. */
    bool quotes;
    size_t own;
};

/* What somebody thinks of a call: a row of pk_feedback. */
struct pk_feedback {
    uint8_t id[PK_UUID_BYTES];
    int64_t at_us;
    pk_str trace_id;
    int64_t value;   /* -10..10 */
    double weight;   /* 0..1 */
    pk_str metadata; /* JSON object or empty */
};

struct pk_record {
    uint8_t id[PK_UUID_BYTES]; /* UUIDv7 */
    pk_str trace_id, span_id, parent_span_id, span_name, query_id;
    int64_t started_us, ended_us, first_token_us; /* first_token_us 0: not a stream, or none came */
    int64_t upstream_us; /* spent waiting for providers and between retries */
    pk_str operation, source;
    pk_str provider, request_model, model;
    pk_str config, target_path, virtual_key, api_key, user_id, prompt;
    int attempts, retries, fallback_index; /* retries: extra tries at the same target */
    bool retries_exhausted;                /* the last target used up its tries and still failed */
    bool stream;
    enum pk_status status;
    int http_status; /* as the client saw it, or would have */
    enum pk_code code;
    pk_str error_message; /* one line for people; the provider's words behind ours */
    pk_str finish_reason;
    struct pk_usage usage;
    bool cost_known;
    int64_t cost_pusd, cost_saved_pusd;
    pk_str cost_reason; /* why the cost is not known: "no price for model x" */
    enum pk_cache_status cache_status;
    pk_str cache_key;        /* bytes of the entry that answered; empty: none did */
    double cache_similarity; /* 0 when not semantic */
    pk_str guardrail_verdict;
    pk_str metadata;          /* JSON object or empty */
    pk_str request, response; /* JSON; empty when payloads are not logged */
    pk_str dropped;           /* request fields that the target could not take */
    int span_count;
    pk_str circuit; /* under which name its circuits are counted; empty: none is */
    int64_t circuit_version;
    int outcome_count, feedback_count;
    struct pk_holds holds; /* of limits; settled with the row */
    struct pk_span *spans;
    struct pk_outcome *outcomes;  /* of targets that have a breaker */
    struct pk_feedback *feedback; /* of its guardrails; written with the row */
};

/* The lists of any record. */
struct pk_record_room {
    struct pk_hold holds[PK_HOLDS_MAX];
    struct pk_span spans[PK_SPANS_MAX];
    struct pk_outcome outcomes[PK_ATTEMPTS_MAX];
    struct pk_feedback feedback[PK_FEEDBACK_MAX];
};

const char *pk_status_name(enum pk_status status);             /* "client_closed" */
const char *pk_cache_status_name(enum pk_cache_status status); /* "SEMANTIC HIT" */
const char *pk_span_kind_name(enum pk_span_kind kind);
const char *pk_usage_source_name(enum pk_usage_source source);

/* RFC 9562 UUIDv7: milliseconds of at_us, then 4096ths of one, then random bits. */
void pk_uuid7(int64_t at_us, uint64_t random, uint8_t out[PK_UUID_BYTES]);
/* False when `text` is not one as pk_uuid_print() gives it, in either case. */
bool pk_uuid_parse(pk_str text, uint8_t id[PK_UUID_BYTES]);
void pk_uuid_print(const uint8_t id[PK_UUID_BYTES], char out[PK_UUID_TEXT + 1]);

/* The id of a span, as OpenTelemetry writes one: 8 bytes in hex, without a NUL. */
void pk_span_id_print(uint64_t random, char out[PK_SPAN_ID_TEXT]);

/* Versioned, self-contained bytes of a record, which is left as it is. */
void pk_record_encode(struct pk_record *r, struct pk_buf *out);
/* Lists are in `room`, strings point into `bytes`. False when they are not a record of this version. */
bool pk_record_decode(pk_str bytes, struct pk_record *r, struct pk_record_room *room) PK_MUST_CHECK;

/* Its bytes begin with what no two calls have in common: id, start, end, trace and span. What follows, `rest`, is the
 * same of calls that differ in nothing else. */
void pk_record_encode_repeat(struct pk_record *r, pk_str rest, struct pk_buf *out);
/* Of *r only these are set. */
bool pk_record_decode_front(pk_str bytes, struct pk_record *r, pk_str *rest) PK_MUST_CHECK;

/* "0.00042" : dollars, exactly, without trailing zeros. `out` holds 32 bytes. */
void pk_usd_print(int64_t pusd, char out[32]);

#endif
