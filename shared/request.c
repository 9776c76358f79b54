/* request.c - see request.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "request.h"

#include "codec.h"
#include "config.h"

#include <string.h>

/* A call option: a member of params.pk. */
struct option {
    const char *name;
    bool (*read)(struct pk_arena *arena, const struct pk_json *doc, int value,
                 struct pk_request *req, struct pk_error *err);
};

static bool text_option(struct pk_arena *arena, const struct pk_json *doc, int value,
                        const char *name, pk_str *out, struct pk_error *err)
{
    pk_str s = pk_json_str(arena, doc, value);

    if (pk_json_type(doc, value) != PK_JSON_STRING || s.len == 0 || s.len > PK_SLUG_BYTES_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "params.pk.%s: must be a string of 1 to %d bytes", name,
                       PK_SLUG_BYTES_MAX);
    *out = s;
    return true;
}

#define TEXT_OPTION(field)                                                                         \
    static bool read_##field(struct pk_arena *arena, const struct pk_json *doc, int value,         \
                             struct pk_request *req, struct pk_error *err)                         \
    {                                                                                              \
        return text_option(arena, doc, value, #field, &req->field, err);                           \
    }
TEXT_OPTION(trace_id)
TEXT_OPTION(span_id)
TEXT_OPTION(parent_span_id)
TEXT_OPTION(span_name)
TEXT_OPTION(user_id)
#undef TEXT_OPTION

/* Postgres's jsonb refuses numbers like 1e200000, and with it the whole log row. */
static bool check_numbers(const struct pk_json *doc, struct pk_error *err)
{
    double unused;

    for (int i = 0; i < doc->count; i++)
        if (doc->nodes[i].type == PK_JSON_NUMBER && !pk_json_number(doc, i, &unused))
            return pk_fail(err, PK_BAD_REQUEST, "metadata: a number is too long or out of range");
    return true;
}

const char *pk_source_name(enum pk_source source)
{
    switch (source) {
    case PK_SOURCE_SQLITE: return "sqlite";
    case PK_SOURCE_POSTGRES: return "postgres";
    case PK_SOURCE_HTTP: return "http";
    }
    return "http";
}

bool pk_request_metadata(struct pk_arena *arena, pk_str metadata, struct pk_error *err)
{
    struct pk_json doc;

    if (metadata.len > PK_METADATA_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "metadata: larger than %d KiB",
                       PK_METADATA_BYTES_MAX >> 10);
    if (!pk_json_parse(arena, metadata, "metadata", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "metadata: must be an object, not %s",
                       pk_json_type_name(pk_json_type(&doc, 0)));
    return check_numbers(&doc, err);
}

static bool read_metadata(struct pk_arena *arena, const struct pk_json *doc, int value,
                          struct pk_request *req, struct pk_error *err)
{
    req->metadata = pk_json_raw(doc, value);
    return pk_request_metadata(arena, req->metadata, err);
}

static bool read_cache_object(struct pk_arena *arena, const struct pk_json *doc, int object,
                              struct pk_request *req, struct pk_error *err)
{
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        if (pk_json_is(doc, k, "namespace")) {
            if (!text_option(arena, doc, k + 1, "cache.namespace", &req->cache_ns, err))
                return false;
        } else if (pk_json_is(doc, k, "force_refresh")) {
            req->cache_refresh = pk_json_true(doc, k + 1);
            if (!req->cache_refresh && pk_json_type(doc, k + 1) != PK_JSON_FALSE)
                return pk_fail(err, PK_BAD_REQUEST,
                               "params.pk.cache.force_refresh: must be true or false");
        } else {
            return pk_fail(err, PK_BAD_REQUEST, "params.pk.cache: unknown key %.*s",
                           PK_FMT(pk_str_sub(pk_json_raw(doc, k), 0, 64)));
        }
    }
    return true;
}

static bool read_cache(struct pk_arena *arena, const struct pk_json *doc, int value,
                       struct pk_request *req, struct pk_error *err)
{
    if (pk_json_type(doc, value) == PK_JSON_OBJECT)
        return read_cache_object(arena, doc, value, req, err);
    if (pk_json_type(doc, value) == PK_JSON_FALSE)
        req->cache_off = true;
    else if (pk_json_is(doc, value, "refresh"))
        req->cache_refresh = true;
    else if (pk_json_type(doc, value) == PK_JSON_TRUE)
        req->cache_on = true;
    else
        return pk_fail(err, PK_BAD_REQUEST,
                       "params.pk.cache: must be true, false, \"refresh\" or an object");
    return true;
}

static bool duration_option(const struct pk_json *doc, int value, const char *name, int64_t *ms,
                            struct pk_error *err)
{
    return pk_config_duration_ms(doc, value, ms) ||
           pk_fail(err, PK_BAD_REQUEST,
                   "params.pk.%s: must be milliseconds (under 1000: seconds), \"250ms\" or \"30s\"",
                   name);
}

static bool read_timeout(struct pk_arena *arena, const struct pk_json *doc, int value,
                         struct pk_request *req, struct pk_error *err)
{
    (void)arena;
    return duration_option(doc, value, "timeout", &req->timeout_ms, err);
}

static bool read_request_timeout(struct pk_arena *arena, const struct pk_json *doc, int value,
                                 struct pk_request *req, struct pk_error *err)
{
    (void)arena;
    return duration_option(doc, value, "request_timeout", &req->request_ms, err);
}

static bool read_log(struct pk_arena *arena, const struct pk_json *doc, int value,
                     struct pk_request *req, struct pk_error *err)
{
    enum pk_json_type type = pk_json_type(doc, value);
    pk_str word = type == PK_JSON_STRING ? pk_json_str(arena, doc, value) : pk_json_raw(doc, value);

    return pk_payloads_parse(word, &req->privacy.payloads) ||
           pk_fail(err, PK_BAD_REQUEST,
                   "params.pk.log: must be true, false, \"full\", \"hash\" or \"none\"");
}

static bool read_strict_params(struct pk_arena *arena, const struct pk_json *doc, int value,
                               struct pk_request *req, struct pk_error *err)
{
    enum pk_json_type type = pk_json_type(doc, value);

    (void)arena;
    req->strict_params = type == PK_JSON_TRUE;
    return type == PK_JSON_TRUE || type == PK_JSON_FALSE ||
           pk_fail(err, PK_BAD_REQUEST, "params.pk.strict_params: must be true or false");
}

static bool read_dedup(struct pk_arena *arena, const struct pk_json *doc, int value,
                       struct pk_request *req, struct pk_error *err)
{
    (void)arena;
    req->alone = pk_json_type(doc, value) == PK_JSON_FALSE;
    return req->alone || pk_json_true(doc, value) ||
           pk_fail(err, PK_BAD_REQUEST, "params.pk.dedup: must be true or false");
}

static const struct option options[] = {
    {"metadata", read_metadata},
    {"trace_id", read_trace_id},
    {"span_id", read_span_id},
    {"parent_span_id", read_parent_span_id},
    {"span_name", read_span_name},
    {"user_id", read_user_id},
    {"cache", read_cache},
    {"timeout", read_timeout},
    {"request_timeout", read_request_timeout},
    {"log", read_log},
    {"strict_params", read_strict_params},
    {"dedup", read_dedup},
};

static bool unknown(const struct pk_json *doc, int key, struct pk_error *err)
{
    bool of_jobs = pk_json_is(doc, key, "executor") || pk_json_is(doc, key, "max_attempts");

    return pk_fail(err, PK_BAD_REQUEST, "params.pk: %s %.*s%s",
                   of_jobs ? "no option here:" : "unknown option",
                   PK_FMT(pk_str_sub(pk_json_raw(doc, key), 0, 64)),
                   of_jobs ? "; only jobs take it, that is pk_enqueue and pk_enqueue_query" : "");
}

static bool read_options(struct pk_arena *arena, const struct pk_json *doc, int object,
                         struct pk_request *req, struct pk_error *err)
{
    if (pk_json_type(doc, object) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "params.pk: must be an object, not %s",
                       pk_json_type_name(pk_json_type(doc, object)));
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        size_t i = 0;

        while (i < PK_COUNT(options) && !pk_json_is(doc, k, options[i].name))
            i++;
        if (i == PK_COUNT(options))
            return unknown(doc, k, err);
        if (!options[i].read(arena, doc, k + 1, req, err))
            return false;
    }
    return true;
}

static bool parse_params(struct pk_arena *arena, pk_str params, struct pk_json *doc,
                         struct pk_error *err)
{
    if (!pk_json_parse(arena, params.len ? params : PK_STR("{}"), "params", doc, err))
        return false;
    return pk_json_type(doc, 0) == PK_JSON_OBJECT ||
           pk_fail(err, PK_BAD_REQUEST, "params: must be an object, not %s",
                   pk_json_type_name(pk_json_type(doc, 0)));
}

static bool take_options(struct pk_arena *arena, const struct pk_json *params,
                         struct pk_request *req, struct pk_error *err)
{
    int pk = pk_json_get(params, 0, "pk");

    if (pk_json_true(params, pk_json_get(params, 0, "stream")))
        return pk_fail(err, PK_BAD_REQUEST, "params.stream: SQL returns one value; leave it out");
    return pk < 0 || read_options(arena, params, pk, req, err);
}

/* The body of the members of params and what the request is about: `about` and, when it has a value, `more`. */
static bool splice_body(struct pk_arena *arena, const struct pk_json *params,
                        struct pk_json_edit about, struct pk_json_edit more, struct pk_request *req)
{
    struct pk_buf body = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    const struct pk_json_edit edits[] = {{PK_STR("pk"), PK_NONE}, about, more};

    pk_json_splice(&body, params, 0, edits, more.value.len ? 3 : 2);
    req->body = pk_buf_str(&body);
    return !body.failed;
}

/* The body {"messages": ..., and the members of params}. */
static bool take_body(struct pk_arena *arena, pk_str messages, const struct pk_json *params,
                      struct pk_request *req, struct pk_error *err)
{
    const struct pk_json_edit about = {PK_STR("messages"), messages}, none = {PK_NONE, PK_NONE};

    req->operation = &pk_operation_chat;
    if (pk_json_get(params, 0, "messages") >= 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "params.messages: messages are an argument of their own");
    return splice_body(arena, params, about, none, req) ||
           pk_fail(err, PK_TOO_LARGE, "messages: the request is larger than %d MiB",
                   PK_BODY_BYTES_MAX >> 20);
}

static bool build(struct pk_arena *arena, pk_str messages, pk_str params, struct pk_request *req,
                  struct pk_error *err)
{
    struct pk_json doc;

    return parse_params(arena, params, &doc, err) && take_options(arena, &doc, req, err) &&
           take_body(arena, messages, &doc, req, err);
}

bool pk_request_options(struct pk_arena *arena, pk_str params, struct pk_request *req,
                        struct pk_error *err)
{
    struct pk_json doc;

    return parse_params(arena, params, &doc, err) && take_options(arena, &doc, req, err);
}

bool pk_request_body(struct pk_arena *arena, pk_str messages, pk_str params, struct pk_request *req,
                     struct pk_error *err)
{
    struct pk_json doc;

    return parse_params(arena, params, &doc, err) && take_body(arena, messages, &doc, req, err);
}

/* A string member of the JSON object `text`; empty when there is none. */
static pk_str member_of(struct pk_arena *arena, pk_str text, const char *name)
{
    struct pk_error unused;
    struct pk_json doc;

    if (text.len == 0 || !pk_json_parse(arena, text, name, &doc, &unused))
        return PK_NONE;
    return pk_json_str(arena, &doc, pk_json_get(&doc, 0, name));
}

pk_str pk_request_caller(struct pk_arena *arena, const struct pk_request *req, pk_str params)
{
    pk_str caller = req->user_id;

    if (caller.len == 0)
        caller = member_of(arena, req->metadata, "_user");
    if (caller.len == 0)
        caller = member_of(arena, params, "user");
    return caller.len ? caller : req->trace_id;
}

static void add_turn(struct pk_buf *out, const char *role, pk_str text)
{
    pk_buf_addf(out, "%s{\"role\":\"%s\",\"content\":", out->len > 1 ? "," : "", role);
    pk_json_quote(out, text);
    pk_buf_addc(out, '}');
}

void pk_messages_add(struct pk_buf *out, int i, pk_str text)
{
    if (out->len == 0)
        pk_buf_addc(out, '[');
    if (i > 0 || text.len)
        add_turn(out, i == 0 ? "system" : i % 2 ? "user" : "assistant", text);
}

bool pk_messages_end(struct pk_buf *out, pk_str *messages, struct pk_error *err)
{
    pk_buf_addc(out, ']');
    *messages = pk_buf_str(out);
    return !out->failed ||
           (out->arena->failed ? pk_fail(err, PK_NO_MEMORY, "messages: out of memory")
                               : pk_fail(err, PK_TOO_LARGE, "messages: larger than %d MiB",
                                         PK_BODY_BYTES_MAX >> 20));
}

static bool check_text(pk_str text, const char *what, struct pk_error *err)
{
    size_t bad;

    if (text.len > PK_BODY_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "%s: larger than %d MiB", what, PK_BODY_BYTES_MAX >> 20);
    if (!pk_utf8_valid(text, &bad))
        return pk_fail(err, PK_BAD_REQUEST, "%s: invalid UTF-8 or a NUL at byte %zu", what, bad);
    return true;
}

static bool one_turn(struct pk_arena *arena, pk_str text, pk_str *messages, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    if (!check_text(text, "messages", err))
        return false;
    pk_buf_addc(&out, '[');
    add_turn(&out, "user", text);
    pk_buf_addc(&out, ']');
    *messages = pk_buf_str(&out);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "messages: out of memory");
}

bool pk_request_chat(struct pk_arena *arena, pk_str messages, pk_str params, bool plain_text,
                     struct pk_request *req, struct pk_error *err)
{
    pk_str start = pk_str_trim(messages);
    struct pk_json doc;

    if (messages.len > PK_BODY_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "messages: larger than %d MiB", PK_BODY_BYTES_MAX >> 20);
    if (plain_text && (start.len == 0 || !strchr("[{\"", start.at[0])))
        return one_turn(arena, messages, &messages, err) &&
               build(arena, messages, params, req, err);
    if (!pk_json_parse(arena, messages, "messages", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) == PK_JSON_STRING) {
        if (!one_turn(arena, pk_json_str(arena, &doc, 0), &messages, err))
            return false;
    } else if (pk_json_type(&doc, 0) != PK_JSON_ARRAY) {
        return pk_fail(err, PK_BAD_REQUEST, "messages: must be an array or a string, not %s",
                       pk_json_type_name(pk_json_type(&doc, 0)));
    }
    return build(arena, messages, params, req, err);
}

bool pk_request_ask(struct pk_arena *arena, pk_str prompt, pk_str system, pk_str params,
                    struct pk_request *req, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    if (!check_text(prompt, "prompt", err) || !check_text(system, "system", err))
        return false;
    pk_buf_addc(&out, '[');
    if (system.len)
        add_turn(&out, "system", system);
    add_turn(&out, "user", prompt);
    pk_buf_addc(&out, ']');
    if (out.failed)
        return pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
    return build(arena, pk_buf_str(&out), params, req, err);
}

/* {"input": text, "dimensions", and the members of params}. */
static bool about_input(struct pk_arena *arena, pk_str input, pk_str dimensions, pk_str params,
                        struct pk_request *req, struct pk_error *err)
{
    struct pk_buf quoted = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_json doc;

    if (!check_text(input, "input", err) || !parse_params(arena, params, &doc, err) ||
        !take_options(arena, &doc, req, err))
        return false;
    if (pk_json_get(&doc, 0, "input") >= 0)
        return pk_fail(err, PK_BAD_REQUEST, "params.input: the input is an argument of its own");
    if (dimensions.len && pk_json_get(&doc, 0, "dimensions") >= 0)
        return pk_fail(err, PK_BAD_REQUEST, "params.dimensions: given as an argument too");
    pk_json_quote(&quoted, input);
    const struct pk_json_edit about = {PK_STR("input"), pk_buf_str(&quoted)},
                              more = {PK_STR("dimensions"), dimensions};
    return (!quoted.failed && splice_body(arena, &doc, about, more, req)) ||
           pk_fail(err, PK_TOO_LARGE, "input: the request is larger than %d MiB",
                   PK_BODY_BYTES_MAX >> 20);
}

bool pk_request_embed(struct pk_arena *arena, pk_str input, int64_t dimensions, pk_str params,
                      struct pk_request *req, struct pk_error *err)
{
    pk_str text = PK_NONE;

    req->operation = &pk_operation_embeddings;
    if (dimensions < 0 || dimensions > PK_VECTOR_DIMS_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "dimensions: must be 1..%d", PK_VECTOR_DIMS_MAX);
    if (dimensions)
        text = pk_copyf(arena, "%lld", (long long)dimensions);
    return about_input(arena, input, text, params, req, err);
}

bool pk_request_moderate(struct pk_arena *arena, pk_str input, pk_str params,
                         struct pk_request *req, struct pk_error *err)
{
    req->operation = &pk_operation_moderations;
    return about_input(arena, input, PK_NONE, params, req, err);
}
