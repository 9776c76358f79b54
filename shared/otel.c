/* otel.c - see otel.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "otel.h"

#include "json.h"
#include "member.h"

#include <string.h>

enum { KIND_INTERNAL = 1, KIND_CLIENT = 3, STATUS_OK = 1, STATUS_ERROR = 2, CHILD_DIGITS = 14 };

/* --- ids ------------------------------------------------------------------------------------ */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The hex digits of `text` in lower case, without the dashes of a UUID. False when it has others, or not so many. */
static bool copy_digits(pk_str text, int digits, char *out)
{
    int count = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i] >= 'A' && text.at[i] <= 'F' ? (char)(text.at[i] | 0x20) : text.at[i];

        if (c == '-' && digits == PK_OTEL_TRACE_HEX)
            continue;
        if (!is_hex(c) || count == digits)
            return false;
        out[count++] = c;
    }
    out[count] = 0;
    return count == digits;
}

void pk_otel_id(pk_str text, int digits, char *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t bytes = (size_t)digits / 2;

    if (copy_digits(text, digits, out))
        return;
    pk_str tail = text.len > bytes ? pk_str_sub(text, text.len - bytes, bytes) : text;
    memset(out, '0', (size_t)digits);
    for (size_t i = 0; i < tail.len; i++) {
        out[2 * i] = hex[(uint8_t)tail.at[i] >> 4];
        out[2 * i + 1] = hex[(uint8_t)tail.at[i] & 15];
    }
    out[digits] = 0;
}

/* Of a step, or of a call that has no id of its own: digits of the call's UUID, and which it is. */
static void child_id(const struct pk_record *r, const char *which, char out[PK_OTEL_SPAN_HEX + 1])
{
    char uuid[PK_UUID_TEXT + 1], digits[PK_OTEL_TRACE_HEX + 1];

    pk_uuid_print(r->id, uuid);
    pk_otel_id(pk_str_of(uuid), PK_OTEL_TRACE_HEX, digits);
    memcpy(out, digits + PK_OTEL_TRACE_HEX - CHILD_DIGITS, CHILD_DIGITS);
    memcpy(out + CHILD_DIGITS, which, 3);
}

static void call_id(const struct pk_record *r, char out[PK_OTEL_SPAN_HEX + 1])
{
    if (r->span_id.len)
        pk_otel_id(r->span_id, PK_OTEL_SPAN_HEX, out);
    else
        child_id(r, "ff", out);
}

bool pk_otel_parent(pk_str header, pk_str *trace_id, pk_str *span_id)
{
    char digits[PK_OTEL_TRACE_HEX + 1];

    *trace_id = pk_str_sub(header, 3, PK_OTEL_TRACE_HEX);
    *span_id = pk_str_sub(header, 4 + PK_OTEL_TRACE_HEX, PK_OTEL_SPAN_HEX);
    if (header.len < 55 || header.at[2] != '-' || header.at[35] != '-' || header.at[52] != '-' ||
        pk_str_starts(header, "ff") || (pk_str_starts(header, "00") && header.len != 55))
        return false;
    for (size_t i = 0; i < 55; i++) /* upper case is none of the standard's */
        if (!is_hex(header.at[i]) && i != 2 && i != 35 && i != 52)
            return false;
    return copy_digits(*trace_id, PK_OTEL_TRACE_HEX, digits) &&
           strspn(digits, "0") < PK_OTEL_TRACE_HEX &&
           copy_digits(*span_id, PK_OTEL_SPAN_HEX, digits) &&
           strspn(digits, "0") < PK_OTEL_SPAN_HEX;
}

/* --- words ---------------------------------------------------------------------------------- */

static pk_str translated(pk_str word, const char *const (*table)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pk_str_is(word, table[i][0]))
            return pk_str_of(table[i][1]);
    return word;
}

static pk_str operation_of(const struct pk_record *r)
{
    static const char *const table[][2] = {
        {"messages", "chat"}, {"responses", "chat"}, {"completions", "text_completion"}};

    return translated(r->operation, table, PK_COUNT(table));
}

static pk_str provider_of(pk_str provider)
{
    static const char *const table[][2] = {
        {"google", "gcp.gemini"},
        {"vertex-ai", "gcp.vertex_ai"},
        {"bedrock", "aws.bedrock"},
        {"azure-openai", "azure.ai.openai"},
        {"azure-ai", "azure.ai.inference"},
        {"mistral-ai", "mistral_ai"},
        {"x-ai", "x_ai"},
        {"perplexity-ai", "perplexity"},
    };

    return translated(provider, table, PK_COUNT(table));
}

/* --- attributes ----------------------------------------------------------------------------- */

static void add_key(struct pk_buf *out, const char *key)
{
    pk_member_comma(out);
    pk_buf_addf(out, "{\"key\":\"%s\",\"value\":{", key);
}

static void add_text(struct pk_buf *out, const char *key, pk_str text)
{
    if (text.len == 0)
        return;
    add_key(out, key);
    pk_buf_adds(out, "\"stringValue\":");
    pk_json_quote(out, text);
    pk_buf_adds(out, "}}");
}

static void add_int(struct pk_buf *out, const char *key, int64_t number)
{
    add_key(out, key);
    pk_buf_addf(out, "\"intValue\":\"%lld\"}}", (long long)number);
}

/* A number of 10^-6 or 10^-12, as a double. */
static void add_decimal(struct pk_buf *out, const char *key, int64_t number, int places)
{
    char text[32];

    pk_usd_print(places == 12 ? number : number * 1000000, text);
    add_key(out, key);
    pk_buf_addf(out, "\"doubleValue\":%s}}", text);
}

static void add_list(struct pk_buf *out, const char *key, pk_str text)
{
    if (text.len == 0)
        return;
    add_key(out, key);
    pk_buf_adds(out, "\"arrayValue\":{\"values\":[{\"stringValue\":");
    pk_json_quote(out, text);
    pk_buf_adds(out, "}]}}}");
}

static void add_usage(struct pk_buf *out, const struct pk_usage *u)
{
    if (u->source == PK_USAGE_NONE)
        return;
    add_int(out, "gen_ai.usage.input_tokens",
            u->input + u->cache_read + u->cache_write + u->cache_write_1h);
    add_int(out, "gen_ai.usage.output_tokens", u->output + u->reasoning);
    add_int(out, "gen_ai.usage.cache_read.input_tokens", u->cache_read);
    add_int(out, "gen_ai.usage.cache_creation.input_tokens", u->cache_write + u->cache_write_1h);
    add_int(out, "gen_ai.usage.reasoning.output_tokens", u->reasoning);
}

/* What `attribute` names come from: "" when the call did not fail. */
static pk_str failure_of(const struct pk_record *r)
{
    if (r->status == PK_ST_SUCCESS)
        return PK_NONE;
    return pk_str_of(r->code == PK_OK ? pk_status_name(r->status) : pk_code_name(r->code));
}

static void add_call_attributes(struct pk_buf *out, const struct pk_record *r)
{
    add_text(out, "gen_ai.operation.name", operation_of(r));
    add_text(out, "gen_ai.provider.name", provider_of(r->provider));
    add_text(out, "gen_ai.request.model", r->request_model);
    add_text(out, "gen_ai.response.model", r->model);
    add_list(out, "gen_ai.response.finish_reasons", r->finish_reason);
    add_usage(out, &r->usage);
    if (r->first_token_us)
        add_decimal(out, "gen_ai.response.time_to_first_chunk", r->first_token_us - r->started_us,
                    6);
    if (r->http_status)
        add_int(out, "http.response.status_code", r->http_status);
    add_text(out, "error.type", failure_of(r));
    add_text(out, "user.id", r->user_id);
    add_text(out, "pk.step", PK_STR("call"));
    add_text(out, "pk.trace_id", r->trace_id);
    add_text(out, "pk.span_name", r->span_name);
    add_text(out, "pk.status", pk_str_of(pk_status_name(r->status)));
    if (r->cost_known)
        add_decimal(out, "pk.cost_usd", r->cost_pusd, 12);
    add_text(out, "pk.cache_status", pk_str_of(pk_cache_status_name(r->cache_status)));
    add_text(out, "pk.config", r->config);
    add_text(out, "pk.target_path", r->target_path);
    add_text(out, "pk.virtual_key", r->virtual_key);
    add_text(out, "pk.api_key", r->api_key);
    add_text(out, "pk.prompt", r->prompt);
}

static void add_step_attributes(struct pk_buf *out, const struct pk_record *r,
                                const struct pk_span *s)
{
    add_text(out, "gen_ai.operation.name", operation_of(r));
    add_text(out, "gen_ai.provider.name", provider_of(s->provider.len ? s->provider : r->provider));
    add_text(out, "gen_ai.request.model", r->request_model);
    add_text(out, "gen_ai.response.model", s->model);
    if (s->first_byte_us)
        add_decimal(out, "gen_ai.response.time_to_first_chunk", s->first_byte_us - s->started_us,
                    6);
    if (s->status)
        add_int(out, "http.response.status_code", s->status);
    if (s->code != PK_OK)
        add_text(out, "error.type", pk_str_of(pk_code_name(s->code)));
    add_text(out, "pk.step", pk_str_of(pk_span_kind_name(s->kind)));
    add_text(out, "pk.trace_id", r->trace_id);
    add_text(out, "pk.span_name", s->name);
    add_text(out, "pk.status", s->code == PK_OK ? PK_STR("success") : PK_STR("error"));
    add_text(out, "pk.target_path", s->target_path);
}

/* --- spans ---------------------------------------------------------------------------------- */

/* What every span begins with. */
struct head {
    char id[PK_OTEL_SPAN_HEX + 1], parent[PK_OTEL_SPAN_HEX + 1]; /* parent empty: none */
    int kind;
    int64_t started_us, ended_us;
};

static void begin(struct pk_buf *out, const struct pk_record *r, const struct head *h)
{
    char trace[PK_OTEL_TRACE_HEX + 1];

    pk_otel_id(r->trace_id, PK_OTEL_TRACE_HEX, trace);
    pk_buf_addf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", trace, h->id);
    if (*h->parent)
        pk_buf_addf(out, ",\"parentSpanId\":\"%s\"", h->parent);
    pk_buf_addf(out,
                ",\"kind\":%d,\"startTimeUnixNano\":\"%lld000\",\"endTimeUnixNano\":\"%lld000\"",
                h->kind, (long long)h->started_us, (long long)h->ended_us);
}

static void add_name(struct pk_buf *out, struct pk_buf *name)
{
    pk_buf_adds(out, ",\"name\":");
    pk_json_quote(out, pk_buf_str(name));
    pk_buf_adds(out, ",\"attributes\":[");
}

static void end(struct pk_buf *out, bool ok, pk_str message)
{
    pk_buf_addf(out, "],\"status\":{\"code\":%d", ok ? STATUS_OK : STATUS_ERROR);
    if (message.len) {
        pk_buf_adds(out, ",\"message\":");
        pk_json_quote(out, message);
    }
    pk_buf_adds(out, "}}");
}

static void add_words(struct pk_buf *name, pk_str first, pk_str second)
{
    pk_buf_add(name, first);
    if (second.len)
        pk_buf_addc(name, ' ');
    pk_buf_add(name, second);
}

static void print_call(struct pk_buf *out, const struct pk_record *r)
{
    struct pk_buf name = pk_buf_in(out->arena, PK_URL_BYTES_MAX);
    struct head h = {.kind = KIND_CLIENT, .started_us = r->started_us, .ended_us = r->ended_us};

    call_id(r, h.id);
    if (r->parent_span_id.len)
        pk_otel_id(r->parent_span_id, PK_OTEL_SPAN_HEX, h.parent);
    begin(out, r, &h);
    add_words(&name, operation_of(r), r->request_model);
    add_name(out, &name);
    add_call_attributes(out, r);
    end(out, r->status == PK_ST_SUCCESS, r->error_message);
}

static void print_step(struct pk_buf *out, const struct pk_record *r, int i)
{
    const struct pk_span *s = &r->spans[i];
    struct pk_buf name = pk_buf_in(out->arena, PK_URL_BYTES_MAX);
    bool attempt = s->kind == PK_SPAN_ATTEMPT;
    struct head h = {.kind = attempt ? KIND_CLIENT : KIND_INTERNAL,
                     .started_us = s->started_us,
                     .ended_us = s->ended_us};
    const char which[3] = {(char)('0' + i / 10), (char)('0' + i % 10), 0};

    child_id(r, which, h.id);
    call_id(r, h.parent);
    begin(out, r, &h);
    if (attempt)
        add_words(&name, operation_of(r), s->model.len ? s->model : r->request_model);
    else
        add_words(&name, pk_str_of(pk_span_kind_name(s->kind)), s->name);
    add_name(out, &name);
    add_step_attributes(out, r, s);
    end(out, s->code == PK_OK, s->message);
}

void pk_otel_print(struct pk_buf *out, const struct pk_record *r)
{
    print_call(out, r);
    for (int i = 0; i < r->span_count; i++) {
        pk_buf_addc(out, ',');
        print_step(out, r, i);
    }
}
