/* record.c - see record.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "record_wire.h"

#include <string.h>

enum {
    VERSION = 2,
    HTTP_STATUS_MAX = 999,
    CODE_LAST = -1
#define FAILURE(code, name, status, sqlstate, retryable) +1
#include "errors.def"
#undef FAILURE
};

static const char hex_digits[] = "0123456789abcdef";

const char *pk_status_name(enum pk_status status)
{
    switch (status) {
    case PK_ST_SUCCESS: return "success";
    case PK_ST_ERROR: return "error";
    case PK_ST_BLOCKED: return "blocked";
    case PK_ST_CLIENT_CLOSED: return "client_closed";
    case PK_ST_TRUNCATED: return "truncated";
    case PK_ST_CANCELLED: return "cancelled";
    }
    return "error";
}

const char *pk_cache_status_name(enum pk_cache_status status)
{
    switch (status) {
    case PK_CS_DISABLED: return "DISABLED";
    case PK_CS_MISS: return "MISS";
    case PK_CS_HIT: return "HIT";
    case PK_CS_REFRESH: return "REFRESH";
    case PK_CS_SEMANTIC_HIT: return "SEMANTIC HIT";
    case PK_CS_SEMANTIC_MISS: return "SEMANTIC MISS";
    }
    return "DISABLED";
}

const char *pk_span_kind_name(enum pk_span_kind kind)
{
    switch (kind) {
    case PK_SPAN_ATTEMPT: return "attempt";
    case PK_SPAN_CACHE: return "cache";
    case PK_SPAN_GUARDRAIL: return "guardrail";
    }
    return "attempt";
}

const char *pk_usage_source_name(enum pk_usage_source source)
{
    switch (source) {
    case PK_USAGE_NONE: return "none";
    case PK_USAGE_PROVIDER: return "provider";
    case PK_USAGE_ESTIMATED: return "estimated";
    }
    return "none";
}

void pk_uuid7(int64_t at_us, uint64_t random, uint8_t out[PK_UUID_BYTES])
{
    uint64_t at_ms = (uint64_t)at_us / 1000, part = (uint64_t)at_us % 1000 * 4096 / 1000;

    for (int i = 0; i < 6; i++)
        out[i] = (uint8_t)(at_ms >> (40 - 8 * i));
    out[6] = (uint8_t)(part >> 8 | 0x70); /* version 7 */
    out[7] = (uint8_t)part;
    memcpy(out + 8, &random, sizeof random);
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */
}

void pk_uuid_print(const uint8_t id[PK_UUID_BYTES], char out[PK_UUID_TEXT + 1])
{
    char *to = out;

    for (int i = 0; i < PK_UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = hex_digits[id[i] >> 4];
        *to++ = hex_digits[id[i] & 15];
    }
    *to = 0;
}

void pk_span_id_print(uint64_t random, char out[PK_SPAN_ID_TEXT])
{
    for (int i = PK_SPAN_ID_TEXT - 1; i >= 0; i--, random >>= 4)
        out[i] = hex_digits[random & 15];
}

bool pk_uuid_parse(pk_str text, uint8_t id[PK_UUID_BYTES])
{
    char again[PK_UUID_TEXT + 1];
    int digits = 0;

    for (size_t i = 0; i < text.len && digits < 2 * PK_UUID_BYTES; i++) {
        int value = pk_hex_digit(text.at[i]);

        if (value < 0)
            continue; /* a hyphen, or what the comparison below finds */
        id[digits / 2] = (uint8_t)(digits % 2 ? id[digits / 2] << 4 | value : value);
        digits++;
    }
    if (digits < 2 * PK_UUID_BYTES)
        return false;
    pk_uuid_print(id, again);
    return pk_str_is_nocase(text, again);
}

/* --- bytes ----------------------------------------------------------------------------- */

PK_FIELDS void wire_span(struct pk_wire *w, struct pk_span *s)
{
    pk_str *const texts[] = {&s->name, &s->target_path, &s->provider, &s->model, &s->message};
    int64_t *const numbers[] = {&s->started_us,   &s->first_byte_us, &s->ended_us, &s->wait_ms,
                                &s->input_tokens, &s->output_tokens, &s->cost_pusd};

    s->kind = (enum pk_span_kind)pk_wire_choice(w, (int)s->kind, PK_SPAN_GUARDRAIL);
    s->code = (enum pk_code)pk_wire_choice(w, (int)s->code, CODE_LAST);
    pk_wire_small(w, &s->status, HTTP_STATUS_MAX);
    pk_wire_strs(w, texts, PK_COUNT(texts));
    pk_wire_ints(w, numbers, PK_COUNT(numbers));
    pk_wire_bool(w, &s->used);
    pk_wire_bool(w, &s->cost_known);
}

PK_FIELDS void wire_outcome(struct pk_wire *w, struct pk_outcome *o)
{
    int64_t *const numbers[] = {&o->breaker.failures, &o->breaker.percentage, &o->breaker.minimum,
                                &o->breaker.cooldown_ms, &o->at_us};

    pk_wire_str(w, &o->target_path);
    pk_wire_ints(w, numbers, PK_COUNT(numbers));
    pk_wire_small(w, &o->attempts, PK_ATTEMPTS_MAX);
    pk_wire_small(w, &o->failures, PK_ATTEMPTS_MAX);
}

PK_FIELDS void wire_texts(struct pk_wire *w, struct pk_record *r)
{
    pk_str *const texts[] = {
        &r->parent_span_id,    &r->span_name, &r->query_id,      &r->operation, &r->source,
        &r->provider,          &r->model,     &r->request_model, &r->config,    &r->target_path,
        &r->virtual_key,       &r->api_key,   &r->user_id,       &r->prompt,    &r->error_message,
        &r->finish_reason,     &r->metadata,  &r->cost_reason,   &r->request,   &r->response,
        &r->guardrail_verdict, &r->dropped,   &r->cache_key,     &r->circuit,
    };

    pk_wire_strs(w, texts, PK_COUNT(texts));
}

/* What no two calls have in common. */
PK_FIELDS void wire_front(struct pk_wire *w, struct pk_record *r)
{
    int version = VERSION;

    pk_wire_small(w, &version, VERSION);
    if (version != VERSION)
        pk_wire_fail(w);
    pk_wire_bytes(w, r->id, sizeof r->id);
    pk_wire_int(w, &r->started_us);
    pk_wire_int(w, &r->ended_us);
    pk_wire_str(w, &r->trace_id);
    pk_wire_str(w, &r->span_id);
}

PK_FIELDS void wire_rest(struct pk_wire *w, struct pk_record *r)
{
    int64_t *const numbers[] = {&r->first_token_us, &r->upstream_us, &r->cost_pusd,
                                &r->cost_saved_pusd};

    wire_texts(w, r);
    pk_wire_ints(w, numbers, PK_COUNT(numbers));
    pk_wire_small(w, &r->attempts, PK_ATTEMPTS_MAX);
    pk_wire_small(w, &r->retries, PK_ATTEMPTS_MAX);
    pk_wire_small(w, &r->fallback_index, PK_NODES_MAX);
    pk_wire_small(w, &r->http_status, HTTP_STATUS_MAX);
    pk_wire_bool(w, &r->retries_exhausted);
    pk_wire_bool(w, &r->stream);
    pk_wire_bool(w, &r->cost_known);
    r->status = (enum pk_status)pk_wire_choice(w, (int)r->status, PK_ST_CANCELLED);
    r->code = (enum pk_code)pk_wire_choice(w, (int)r->code, CODE_LAST);
    r->cache_status =
        (enum pk_cache_status)pk_wire_choice(w, (int)r->cache_status, PK_CS_SEMANTIC_MISS);
    pk_wire_bytes(w, &r->cache_similarity, sizeof r->cache_similarity);
    pk_usage_wire(w, &r->usage);
    pk_wire_small(w, &r->span_count, PK_SPANS_MAX);
    pk_wire_clear(w, r->spans, (size_t)r->span_count * sizeof *r->spans);
    for (int i = 0; i < r->span_count; i++)
        wire_span(w, &r->spans[i]);
    pk_wire_int(w, &r->circuit_version);
    pk_wire_small(w, &r->outcome_count, PK_ATTEMPTS_MAX);
    pk_wire_clear(w, r->outcomes, (size_t)r->outcome_count * sizeof *r->outcomes);
    for (int i = 0; i < r->outcome_count; i++)
        wire_outcome(w, &r->outcomes[i]);
    pk_wire_small(w, &r->feedback_count, PK_FEEDBACK_MAX);
    pk_wire_clear(w, r->feedback, (size_t)r->feedback_count * sizeof *r->feedback);
    for (int i = 0; i < r->feedback_count; i++)
        pk_feedback_wire(w, &r->feedback[i]);
    pk_holds_wire(w, &r->holds);
}

void pk_record_encode(struct pk_record *r, struct pk_buf *out)
{
    struct pk_wire w = pk_wire_to(out);

    wire_front(&w, r);
    wire_rest(&w, r);
    (void)pk_wire_end(&w);
}

void pk_record_encode_repeat(struct pk_record *r, pk_str rest, struct pk_buf *out)
{
    struct pk_wire w = pk_wire_to(out);

    wire_front(&w, r);
    (void)pk_wire_end(&w);
    pk_buf_add(out, rest);
}

bool pk_record_decode_front(pk_str bytes, struct pk_record *r, pk_str *rest)
{
    struct pk_wire w = pk_wire_from(bytes);

    wire_front(&w, r);
    *rest = pk_wire_left(&w);
    return !w.failed;
}

bool pk_record_decode(pk_str bytes, struct pk_record *r, struct pk_record_room *room)
{
    struct pk_wire w = pk_wire_from(bytes);

    *r = (struct pk_record){.holds.rows = room->holds,
                            .spans = room->spans,
                            .outcomes = room->outcomes,
                            .feedback = room->feedback};
    wire_front(&w, r);
    wire_rest(&w, r);
    return pk_wire_end(&w);
}

void pk_usd_print(int64_t pusd, char out[32])
{
    const uint64_t one = 1000000000000;
    uint64_t n = pusd < 0 ? 0 - (uint64_t)pusd : (uint64_t)pusd, rest = n % one;
    char digits[PK_DIGITS_BYTES], *to = out;
    pk_str whole = pk_digits(n / one, digits);

    if (pusd < 0)
        *to++ = '-';
    memcpy(to, whole.at, whole.len);
    to += whole.len;
    if (rest)
        *to++ = '.';
    for (uint64_t place = one / 10; rest; place /= 10) {
        *to++ = (char)('0' + rest / place);
        rest %= place;
    }
    *to = 0;
}
