/* dialect_ollama_request.c - the body of Ollama's /api/chat for a chat completion's body.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Ollama's API reference.
 *
 *   content           one text; parts are joined by line breaks, images stand beside them as bytes
 *   tool              its tool_name is that of the call that it answers
 *   sampling          members of "options", under the client's own
 *   response_format   format: "json", or the schema
 *   reasoning_effort  think: false for none, low, medium or high
 *   tool_choice       unknown there: none leaves the tools out, others are dropped and reported
 */
#include "dialect_ollama.h"

#include <stdio.h>
#include <string.h>

/* The message that is being written. */
struct message {
    struct pk_buf text, images;
};

static struct message *message_of(const struct pk_maker *m)
{
    return m->own;
}

/* --- content --------------------------------------------------------------------------------- */

static void write_text(struct pk_maker *m, const char *role, int text, int owner)
{
    struct pk_buf *to = &message_of(m)->text;
    pk_str said = pk_make_string(m, text);

    (void)role;
    if (pk_make_has(m, owner, "cache_control"))
        pk_make_drop(m, "cache_control");
    if (to->len && said.len)
        pk_buf_addc(to, '\n');
    pk_buf_add(to, said);
}

static bool write_image(struct pk_maker *m, int part)
{
    pk_str media, bytes;
    struct pk_buf *to = &message_of(m)->images;

    if (!pk_make_data_url(pk_make_image_url(m, part), &media, &bytes) || bytes.len == 0)
        return pk_make_refuse(m, "an image must be a data: URL in base64: Ollama fetches none");
    if (to->len)
        pk_buf_addc(to, ',');
    pk_json_quote(to, bytes);
    return true;
}

static bool write_part(struct pk_maker *m, const char *role, int part)
{
    int type = pk_make_get(m, part, "type");

    if (pk_json_is(m->in, type, "image_url"))
        return write_image(m, part);
    if (!pk_json_is(m->in, type, "text") && !pk_json_is(m->in, type, "refusal"))
        return pk_make_refuse(m, "a part of this type cannot be sent to this provider");
    write_text(m, role, pk_make_get(m, part, pk_json_is(m->in, type, "text") ? "text" : "refusal"),
               part);
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

static bool write_call(struct pk_maker *m, int call)
{
    int function = pk_make_get(m, call, "function");
    pk_str input = PK_NONE;

    if (pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "a tool call needs function.name");
    if (!pk_make_arguments(m, pk_make_get(m, function, "arguments"), &input))
        return false;
    pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, call, "id", "id");
    pk_member_key(m->out, "function");
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, function, "name", "name");
    pk_dialect_raw(m->out, "arguments", input);
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool write_calls(struct pk_maker *m, int message, int index)
{
    int calls = pk_make_get(m, message, "tool_calls");

    if (pk_make_type(m, calls) == PK_JSON_ARRAY && pk_json_count(m->in, calls) == 0)
        return true;
    if (pk_make_type(m, calls) > PK_JSON_NULL) {
        pk_member_key(m->out, "tool_calls");
        pk_buf_addc(m->out, '[');
    }
    if (!pk_make_calls(m, message, index, write_call))
        return false;
    if (pk_make_type(m, calls) > PK_JSON_NULL)
        pk_buf_addc(m->out, ']');
    return true;
}

/* The function's name in the call of that id; < 0: there is no such call. */
static int called(const struct pk_maker *m, int id)
{
    int messages = pk_make_get(m, 0, "messages");
    pk_str wanted = pk_make_string(m, id);

    for (int i = pk_json_first(m->in, messages); i >= 0; i = pk_json_next(m->in, messages, i)) {
        int calls = pk_make_get(m, i, "tool_calls");

        if (pk_make_type(m, calls) != PK_JSON_ARRAY)
            continue;
        for (int c = pk_json_first(m->in, calls); c >= 0; c = pk_json_next(m->in, calls, c))
            if (pk_str_eq(pk_make_string(m, pk_make_get(m, c, "id")), wanted))
                return pk_make_get(m, pk_make_get(m, c, "function"), "name");
    }
    return -1;
}

static bool write_result(struct pk_maker *m, int message)
{
    int id = pk_make_get(m, message, "tool_call_id"), name = called(m, id);

    if (pk_make_type(m, id) != PK_JSON_STRING)
        return pk_make_refuse(m, "tool_call_id is missing");
    if (name >= 0)
        pk_dialect_raw(m->out, "tool_name", pk_json_raw(m->in, name));
    else
        pk_make_copy(m, message, "name", "tool_name");
    pk_make_copy(m, message, "tool_call_id", "tool_call_id");
    if (pk_json_true(m->in, pk_make_get(m, message, "is_error")))
        pk_make_drop(m, "messages.is_error");
    return true;
}

static bool write_assistant(struct pk_maker *m, int message, int index)
{
    pk_make_copy(m, message, "reasoning_content", "thinking");
    if (pk_make_has(m, message, "thinking_blocks"))
        pk_make_drop(m, "messages.thinking_blocks");
    if (pk_make_has(m, message, "audio"))
        pk_make_drop(m, "messages.audio");
    if (pk_make_has(m, message, "function_call"))
        return pk_make_refuse(m, "function_call is not understood: use tool_calls");
    return write_calls(m, message, index);
}

/* What belongs to the role alone. */
static bool write_more(struct pk_maker *m, int message, int index)
{
    int role = pk_make_get(m, message, "role");

    if (pk_json_is(m->in, role, "tool"))
        return write_result(m, message);
    if (pk_make_has(m, message, "name"))
        pk_make_drop(m, "messages.name");
    return !pk_json_is(m->in, role, "assistant") || write_assistant(m, message, index);
}

static bool write_message(struct pk_maker *m, int message, int index)
{
    static const char *const roles[] = {"user", "assistant", "tool", NULL};
    struct message *own = message_of(m);
    int role = pk_make_get(m, message, "role");
    bool system = pk_make_is_system(m, message);

    if (!system && !pk_make_listed(m, role, roles))
        return pk_make_refuse(m, "role must be system, developer, user, assistant or tool");
    pk_buf_reset(&own->text);
    pk_buf_reset(&own->images);
    if (!pk_make_content(m, NULL, message, index))
        return false;
    if (pk_make_type(m, pk_make_get(m, message, "refusal")) == PK_JSON_STRING)
        write_text(m, NULL, pk_make_get(m, message, "refusal"), -1);
    m->out->failed = m->out->failed || own->text.failed || own->images.failed;
    (void)snprintf(m->path, sizeof m->path, "messages[%d]", index);
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":");
    pk_buf_add(m->out, system ? PK_STR("\"system\"") : pk_json_raw(m->in, role));
    pk_buf_adds(m->out, ",\"content\":");
    pk_json_quote(m->out, pk_buf_str(&own->text));
    if (own->images.len) {
        pk_buf_adds(m->out, ",\"images\":[");
        pk_buf_add(m->out, pk_buf_str(&own->images));
        pk_buf_addc(m->out, ']');
    }
    if (!write_more(m, message, index))
        return false;
    pk_buf_addc(m->out, '}');
    return true;
}

/* --- fields ---------------------------------------------------------------------------------- */

static bool tools(struct pk_maker *m, int value, const char *to)
{
    int choice = pk_make_get(m, 0, "tool_choice");

    if (pk_make_type(m, value) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (pk_json_count(m->in, value) == 0 || pk_json_is(m->in, choice, "none"))
        return true;
    if (pk_make_type(m, choice) > PK_JSON_NULL && !pk_json_is(m->in, choice, "auto"))
        pk_make_drop(m, "tool_choice");
    if (pk_make_type(m, pk_make_get(m, 0, "parallel_tool_calls")) == PK_JSON_FALSE)
        pk_make_drop(m, "parallel_tool_calls");
    return pk_make_same(m, value, to);
}

static bool response_format(struct pk_maker *m, int value, const char *to)
{
    int type = pk_make_get(m, value, "type"),
        schema = pk_make_get(m, pk_make_get(m, value, "json_schema"), "schema");

    if (pk_make_has(m, 0, "format") || pk_json_is(m->in, type, "text"))
        return true;
    if (pk_json_is(m->in, type, "json_object"))
        pk_dialect_raw(m->out, to, PK_STR("\"json\""));
    else if (pk_json_is(m->in, type, "json_schema") && pk_make_type(m, schema) == PK_JSON_OBJECT)
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, schema));
    else
        pk_make_drop(m, "response_format");
    return true;
}

static bool reasoning_effort(struct pk_maker *m, int value, const char *to)
{
    static const struct {
        const char *effort, *think;
    } words[] = {{"none", "false"},        {"minimal", "\"low\""}, {"low", "\"low\""},
                 {"medium", "\"medium\""}, {"high", "\"high\""},   {"xhigh", "\"high\""},
                 {"max", "\"high\""}};
    size_t i = 0;

    while (i < PK_COUNT(words) && !pk_json_is(m->in, value, words[i].effort))
        i++;
    if (i == PK_COUNT(words) || pk_make_has(m, 0, "think"))
        pk_make_drop(m, "reasoning_effort");
    else
        pk_dialect_raw(m->out, to, pk_str_of(words[i].think));
    return true;
}

static const struct pk_make_field fields[] = {
    {"model", "model", pk_make_nothing},
    {"messages", "messages", pk_make_nothing},
    {"stream", "stream", pk_make_nothing},
    {"stream_options", "stream_options", pk_make_nothing}, /* usage is always told */
    {"max_tokens", "num_predict", pk_make_nothing},        /* from here: in "options" */
    {"max_completion_tokens", "num_predict", pk_make_nothing},
    {"temperature", "temperature", pk_make_nothing},
    {"top_p", "top_p", pk_make_nothing},
    {"top_k", "top_k", pk_make_nothing},
    {"min_p", "min_p", pk_make_nothing},
    {"seed", "seed", pk_make_nothing},
    {"stop", "stop", pk_make_nothing},
    {"frequency_penalty", "frequency_penalty", pk_make_nothing},
    {"presence_penalty", "presence_penalty", pk_make_nothing},
    {"options", "options", pk_make_nothing},
    {"tools", "tools", tools},
    {"tool_choice", "tool_choice", pk_make_nothing},
    {"parallel_tool_calls", "parallel_tool_calls", pk_make_nothing},
    {"response_format", "format", response_format},
    {"reasoning_effort", "think", reasoning_effort},
    {"n", "n", pk_make_one},
    {"logprobs", "logprobs", pk_make_same},
    {"top_logprobs", "top_logprobs", pk_make_same},
    {"think", "think", pk_make_same}, /* from here: Ollama's own */
    {"format", "format", pk_make_same},
    {"keep_alive", "keep_alive", pk_make_same},
    {"truncate", "truncate", pk_make_same},
    {"shift", "shift", pk_make_same},
};

/* A string or a list of strings, as a list. */
static pk_str stops_of(const struct pk_maker *m)
{
    int stop = pk_make_get(m, 0, "stop");
    pk_str raw = pk_json_raw(m->in, stop);

    if (pk_make_type(m, stop) <= PK_JSON_NULL)
        return PK_NONE;
    return pk_make_type(m, stop) == PK_JSON_ARRAY ? raw : pk_copyf(m->arena, "[%.*s]", PK_FMT(raw));
}

static pk_str value_of(const struct pk_maker *m, const char *name)
{
    return pk_make_has(m, 0, name) ? pk_json_raw(m->in, pk_make_get(m, 0, name)) : PK_NONE;
}

static void write_options(struct pk_maker *m)
{
    pk_str most = value_of(m, "max_completion_tokens");
    const struct pk_json_edit options[] = {
        {PK_STR("num_predict"), most.len ? most : value_of(m, "max_tokens")},
        {PK_STR("temperature"), value_of(m, "temperature")},
        {PK_STR("top_p"), value_of(m, "top_p")},
        {PK_STR("top_k"), value_of(m, "top_k")},
        {PK_STR("min_p"), value_of(m, "min_p")},
        {PK_STR("seed"), value_of(m, "seed")},
        {PK_STR("frequency_penalty"), value_of(m, "frequency_penalty")},
        {PK_STR("presence_penalty"), value_of(m, "presence_penalty")},
        {PK_STR("stop"), stops_of(m)},
    };

    pk_make_merged(m, pk_make_get(m, 0, "options"), "options", options, PK_COUNT(options));
}

/* Ollama streams unless it is told not to. */
bool pk_ollama_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                       struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    struct message own = {pk_buf_in(m.arena, PK_BODY_BYTES_MAX),
                          pk_buf_in(m.arena, PK_BODY_BYTES_MAX)};
    bool stream = pk_json_true(body, pk_make_get(&m, 0, "stream"));

    m.own = &own;
    m.text = write_text;
    m.part = write_part;
    pk_buf_addc(out, '{');
    pk_make_copy(&m, 0, "model", "model");
    pk_dialect_raw(out, "stream", stream ? PK_STR("true") : PK_STR("false"));
    if (!pk_make_messages(&m, "messages", write_message) ||
        !pk_make_fields(&m, fields, PK_COUNT(fields)))
        return false;
    write_options(&m);
    pk_make_end(&m, fields, PK_COUNT(fields));
    return true;
}
