/* dialect_responses_pivot.c - a chat completion's body for the body of a Responses request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "Responses" page of OpenAI's API reference.
 *
 *   instructions          the first message
 *   reasoning             thoughts that are sent back: signed blocks stand in encrypted_content, as they were
 *                         given (dialect_responses_print.c), for providers that sign them
 *   function_call, ...    one message of the assistant for all items in a row that the model has made
 *   custom tools          functions with one member, "input", that is a text
 *   store                 cannot be had: nothing is kept there, so what refers to it is an error
 */
#include "dialect_pivot.h"
#include "dialect_responses.h"

#include <stdio.h>
#include <string.h>

/* What the model has made in a row, for one message. */
struct turn {
    struct pk_buf text, calls, thoughts, signed_thoughts;
    bool said; /* there is a text, maybe an empty one */
};

struct making {
    struct pk_pivot to; /* first: for pk_pivot_fields() */
    struct turn turn;
};

static struct turn *turn_of(const struct pk_maker *m)
{
    return &((struct making *)m->own)->turn;
}

static bool is_string(const struct pk_maker *m, int object, const char *name)
{
    return pk_make_type(m, pk_make_get(m, object, name)) == PK_JSON_STRING;
}

/* --- parts ----------------------------------------------------------------------------------- */

static bool is_text(const struct pk_maker *m, int part)
{
    static const char *const types[] = {"input_text",   "output_text",    "text",
                                        "summary_text", "reasoning_text", NULL};

    return pk_make_listed(m, pk_make_get(m, part, "type"), types);
}

static void open_part(struct pk_maker *m, const char *type)
{
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"type\":\"%s\"", type);
}

static bool write_image(struct pk_maker *m, int part)
{
    if (!is_string(m, part, "image_url"))
        return pk_make_refuse(m, "an image needs image_url to be sent to this provider");
    open_part(m, "image_url");
    pk_buf_adds(m->out, ",\"image_url\":{");
    pk_make_copy(m, part, "image_url", "url");
    pk_make_copy(m, part, "detail", "detail");
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool write_file(struct pk_maker *m, int part)
{
    bool url = is_string(m, part, "file_url");

    if (!is_string(m, part, "file_data") && (pk_pivot_plain(m) || !url))
        return pk_make_refuse(m, "a file needs file_data to be sent to this provider");
    open_part(m, "file");
    pk_buf_adds(m->out, ",\"file\":{");
    pk_make_copy(m, part, "filename", "filename");
    pk_make_copy(m, part, "file_data", "file_data");
    if (!is_string(m, part, "file_data"))
        pk_make_copy(m, part, "file_url", "file_id"); /* a file by its address */
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool write_part(struct pk_maker *m, int part)
{
    if (pk_make_is(m, part, "input_image"))
        return write_image(m, part);
    if (pk_make_is(m, part, "input_file"))
        return write_file(m, part);
    if (pk_make_is(m, part, "input_audio")) {
        pk_member_comma(m->out);
        pk_dialect_line(m->out, pk_json_raw(m->in, part));
        return true;
    }
    if (!is_text(m, part) || !is_string(m, part, "text"))
        return pk_make_refuse(m, "a part of this type cannot be sent to this provider");
    open_part(m, "text");
    pk_make_copy(m, part, "text", "text");
    pk_buf_addc(m->out, '}');
    return true;
}

/* The texts of a list, one after the other. */
static void join_texts(struct pk_maker *m, int list, struct pk_buf *text)
{
    for (int p = pk_json_first(m->in, list); p >= 0; p = pk_json_next(m->in, list, p)) {
        if (is_text(m, p))
            pk_buf_add(text, pk_make_string(m, pk_make_get(m, p, "text")));
        else if (pk_make_is(m, p, "refusal"))
            pk_buf_add(text, pk_make_string(m, pk_make_get(m, p, "refusal")));
    }
}

static bool are_texts(const struct pk_maker *m, int list)
{
    for (int p = pk_json_first(m->in, list); p >= 0; p = pk_json_next(m->in, list, p))
        if (!is_text(m, p))
            return false;
    return true;
}

/* A string, or parts: one text is a string, which every provider reads. */
static bool write_content(struct pk_maker *m, int content)
{
    int first = pk_json_first(m->in, content);
    bool ok = true;

    if (pk_make_type(m, content) == PK_JSON_STRING) {
        pk_dialect_line(m->out, pk_json_raw(m->in, content));
    } else if (pk_make_type(m, content) != PK_JSON_ARRAY) {
        return pk_make_refuse(m, "content must be a string or a list of parts");
    } else if (pk_json_count(m->in, content) == 1 && is_text(m, first) &&
               is_string(m, first, "text")) {
        pk_dialect_line(m->out, pk_json_raw(m->in, pk_make_get(m, first, "text")));
    } else {
        pk_buf_addc(m->out, '[');
        for (int p = first; p >= 0 && ok; p = pk_json_next(m->in, content, p))
            ok = write_part(m, p);
        pk_buf_addc(m->out, ']');
    }
    return ok;
}

/* --- what the model has made ----------------------------------------------------------------- */

/* Ends the message that is being put together. */
static void close_turn(struct pk_maker *m)
{
    struct turn *t = turn_of(m);

    if (t->said || t->calls.len || t->thoughts.len || t->signed_thoughts.len) {
        pk_member_comma(m->out);
        pk_buf_adds(m->out, "{\"role\":\"assistant\",\"content\":");
        if (t->said || !t->calls.len)
            pk_json_quote(m->out, pk_buf_str(&t->text));
        else
            pk_buf_adds(m->out, "null");
        if (t->thoughts.len)
            pk_member_text(m->out, "reasoning_content", pk_buf_str(&t->thoughts));
        if (t->signed_thoughts.len)
            pk_buf_addf(m->out, ",\"thinking_blocks\":[%.*s]",
                        PK_FMT(pk_buf_str(&t->signed_thoughts)));
        if (t->calls.len)
            pk_buf_addf(m->out, ",\"tool_calls\":[%.*s]", PK_FMT(pk_buf_str(&t->calls)));
        pk_buf_addc(m->out, '}');
    }
    m->out->failed = m->out->failed || t->text.failed || t->calls.failed || t->thoughts.failed ||
                     t->signed_thoughts.failed;
    pk_buf_reset(&t->text);
    pk_buf_reset(&t->calls);
    pk_buf_reset(&t->thoughts);
    pk_buf_reset(&t->signed_thoughts);
    t->said = false;
}

static bool write_said(struct pk_maker *m, int item)
{
    struct turn *t = turn_of(m);
    int content = pk_make_get(m, item, "content");

    if (t->calls.len) /* what was said after them is another message */
        close_turn(m);
    if (pk_make_type(m, content) == PK_JSON_STRING)
        pk_buf_add(&t->text, pk_make_string(m, content));
    else if (pk_make_type(m, content) == PK_JSON_ARRAY)
        join_texts(m, content, &t->text);
    else
        return pk_make_refuse(m, "content must be a string or a list of parts");
    t->said = true;
    return true;
}

/* A call of a function; a custom tool's has its input as a text. */
static bool write_call(struct pk_maker *m, int item, bool custom)
{
    struct turn *t = turn_of(m);
    struct pk_buf *out = m->out;

    if (!is_string(m, item, "call_id") || !is_string(m, item, "name") ||
        !is_string(m, item, custom ? "input" : "arguments"))
        return pk_make_refuse(m, "a call needs call_id, name and its arguments or input");
    m->out = &t->calls;
    if (t->calls.len)
        pk_buf_addc(m->out, ',');
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, item, "call_id", "id");
    pk_buf_adds(m->out, ",\"type\":\"function\",\"function\":{");
    pk_make_copy(m, item, "name", "name");
    if (custom)
        pk_member_text(m->out, "arguments",
                       pk_copyf(m->arena, "{\"" PK_RESPONSES_INPUT "\":%.*s}",
                                PK_FMT(pk_json_raw(m->in, pk_make_get(m, item, "input")))));
    else
        pk_make_copy(m, item, "arguments", "arguments");
    pk_buf_addc(m->out, '}');
    if (!pk_pivot_plain(m))
        pk_make_copy(m, item, "extra_content", "extra_content");
    pk_buf_addc(m->out, '}');
    m->out = out;
    return true;
}

/* The blocks that pk put into encrypted_content; what another has put there only that one can read. */
static void take_signed(struct pk_maker *m, int item)
{
    pk_str sealed = pk_make_string(m, pk_make_get(m, item, "encrypted_content"));
    struct turn *t = turn_of(m);
    struct pk_json doc;
    struct pk_error unused;

    if (sealed.len == 0)
        return;
    if (pk_pivot_plain(m) || !pk_str_starts(sealed, "[{") ||
        !pk_json_parse(m->arena, sealed, "encrypted_content", &doc, &unused)) {
        pk_make_drop(m, "input.encrypted_content");
        return;
    }
    if (t->signed_thoughts.len)
        pk_buf_addc(&t->signed_thoughts, ',');
    pk_dialect_line(&t->signed_thoughts, pk_str_sub(sealed, 1, sealed.len - 2));
}

static bool write_reasoning(struct pk_maker *m, int item)
{
    int summary = pk_make_get(m, item, "summary"), content = pk_make_get(m, item, "content");
    struct turn *t = turn_of(m);

    if (t->calls.len || t->said)
        close_turn(m);
    take_signed(m, item);
    if (!pk_pivot_takes(pk_pivot_of(m), PK_EXTRA_THOUGHTS)) {
        if (pk_json_count(m->in, summary) || pk_json_count(m->in, content))
            pk_make_drop(m, "input.reasoning");
        return true;
    }
    join_texts(m, pk_json_count(m->in, content) ? content : summary, &t->thoughts);
    return true;
}

/* --- what its tools gave back ---------------------------------------------------------------- */

static bool write_output_list(struct pk_maker *m, int output)
{
    struct pk_buf text = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (!pk_pivot_plain(m) && !are_texts(m, output))
        return write_content(m, output);
    join_texts(m, output, &text);
    pk_json_quote(m->out, pk_buf_str(&text));
    m->out->failed = m->out->failed || text.failed;
    return true;
}

/* What is no text follows in a message of the user's, where the provider takes only text from a tool. */
static bool write_moved(struct pk_maker *m, int output)
{
    bool ok = true;

    if (!pk_pivot_plain(m) || pk_make_type(m, output) != PK_JSON_ARRAY || are_texts(m, output))
        return true;
    pk_buf_adds(m->out, ",{\"role\":\"user\",\"content\":[");
    for (int p = pk_json_first(m->in, output); p >= 0 && ok; p = pk_json_next(m->in, output, p))
        ok = is_text(m, p) || write_part(m, p);
    pk_buf_adds(m->out, "]}");
    return ok;
}

static bool write_output(struct pk_maker *m, int item)
{
    int output = pk_make_get(m, item, "output");
    bool ok = true;

    close_turn(m);
    if (!is_string(m, item, "call_id"))
        return pk_make_refuse(m, "call_id is missing");
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":\"tool\"");
    pk_make_copy(m, item, "call_id", "tool_call_id");
    pk_member_key(m->out, "content");
    if (pk_make_type(m, output) == PK_JSON_STRING)
        pk_dialect_line(m->out, pk_json_raw(m->in, output));
    else if (pk_make_type(m, output) == PK_JSON_ARRAY)
        ok = write_output_list(m, output);
    else
        return pk_make_refuse(m, "output must be a string or a list of parts");
    pk_buf_addc(m->out, '}');
    return ok && write_moved(m, output);
}

/* --- input ----------------------------------------------------------------------------------- */

static bool write_said_by(struct pk_maker *m, int item)
{
    static const char *const system[] = {"system", "developer", NULL};
    int role = pk_make_get(m, item, "role");

    if (pk_json_is(m->in, role, "assistant"))
        return write_said(m, item);
    close_turn(m);
    if (!pk_json_is(m->in, role, "user") && !pk_make_listed(m, role, system))
        return pk_make_refuse(m, "role must be user, assistant, system or developer");
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"role\":\"%s\",\"content\":",
                pk_json_is(m->in, role, "user") ? "user" : "system");
    if (!write_content(m, pk_make_get(m, item, "content")))
        return false;
    pk_buf_addc(m->out, '}');
    return true;
}

static bool write_item(struct pk_maker *m, int item)
{
    pk_str type = pk_make_string(m, pk_make_get(m, item, "type"));

    if (type.len == 0 || pk_str_is(type, "message"))
        return write_said_by(m, item);
    if (pk_str_is(type, "function_call") || pk_str_is(type, "custom_tool_call"))
        return write_call(m, item, pk_str_is(type, "custom_tool_call"));
    if (pk_str_is(type, "function_call_output") || pk_str_is(type, "custom_tool_call_output"))
        return write_output(m, item);
    if (pk_str_is(type, "reasoning"))
        return write_reasoning(m, item);
    return pk_fail(m->err, PK_BAD_REQUEST,
                   "%s.type: an item \"%.*s\" needs a provider with the Responses API", m->path,
                   PK_FMT(pk_dialect_shorten(type, 40)));
}

static bool write_input(struct pk_maker *m)
{
    int input = pk_make_get(m, 0, "input"), i = 0;

    if (pk_make_type(m, input) == PK_JSON_STRING) {
        pk_member_comma(m->out);
        pk_buf_addf(m->out, "{\"role\":\"user\",\"content\":%.*s}",
                    PK_FMT(pk_json_raw(m->in, input)));
        return true;
    }
    if (pk_make_type(m, input) != PK_JSON_ARRAY || pk_json_count(m->in, input) == 0)
        return pk_fail(m->err, PK_BAD_REQUEST, "input: must be a string or a list of items");
    for (int v = pk_json_first(m->in, input); v >= 0; v = pk_json_next(m->in, input, v), i++) {
        (void)snprintf(m->path, sizeof m->path, "input[%d]", i);
        if (!write_item(m, v))
            return false;
    }
    close_turn(m);
    return true;
}

static bool write_messages(struct pk_maker *m)
{
    int instructions = pk_make_get(m, 0, "instructions");
    enum pk_json_type type = pk_make_type(m, instructions);

    pk_member_key(m->out, "messages");
    pk_buf_addc(m->out, '[');
    if (type > PK_JSON_NULL && type != PK_JSON_STRING)
        return pk_fail(m->err, PK_BAD_REQUEST, "instructions: must be a string");
    if (type == PK_JSON_STRING && pk_json_raw(m->in, instructions).len > 2)
        pk_buf_addf(m->out, "{\"role\":\"system\",\"content\":%.*s}",
                    PK_FMT(pk_json_raw(m->in, instructions)));
    if (!write_input(m))
        return false;
    pk_buf_addc(m->out, ']');
    return true;
}

/* --- tools ----------------------------------------------------------------------------------- */

static void write_custom(struct pk_maker *m, int tool)
{
    pk_make_copy(m, tool, "name", "name");
    pk_make_copy(m, tool, "description", "description");
    if (pk_make_has(m, tool, "format") && !pk_make_is(m, pk_make_get(m, tool, "format"), "text"))
        pk_make_drop(m, "tools.format");
    pk_buf_adds(m->out, ",\"parameters\":{\"type\":\"object\",\"properties\":{\"" PK_RESPONSES_INPUT
                        "\":{\"type\":\"string\"}},\"required\":[\"" PK_RESPONSES_INPUT
                        "\"],\"additionalProperties\":false}");
}

static bool write_tool(struct pk_maker *m, int tool)
{
    bool custom = pk_make_is(m, tool, "custom");

    if (!custom && !pk_make_is(m, tool, "function"))
        return pk_fail(
            m->err, PK_BAD_REQUEST,
            "%s.type: a tool \"%.*s\" needs a provider with the Responses API", m->path,
            PK_FMT(pk_dialect_shorten(pk_make_string(m, pk_make_get(m, tool, "type")), 40)));
    if (!is_string(m, tool, "name"))
        return pk_make_refuse(m, "name is missing");
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"function\",\"function\":{");
    if (custom) {
        write_custom(m, tool);
    } else {
        pk_make_copy(m, tool, "name", "name");
        pk_make_copy(m, tool, "description", "description");
        pk_make_copy(m, tool, "parameters", "parameters");
        pk_make_copy(m, tool, "strict", "strict");
    }
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool tools(struct pk_maker *m, int list, const char *to)
{
    int i = 0;

    if (pk_make_type(m, list) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (pk_json_count(m->in, list) == 0)
        return true;
    pk_member_key(m->out, to);
    pk_buf_addc(m->out, '[');
    for (int t = pk_json_first(m->in, list); t >= 0; t = pk_json_next(m->in, list, t), i++) {
        (void)snprintf(m->path, sizeof m->path, "tools[%d]", i);
        if (!write_tool(m, t))
            return false;
    }
    pk_buf_addc(m->out, ']');
    return true;
}

static bool tool_choice(struct pk_maker *m, int choice, const char *to)
{
    static const char *const words[] = {"auto", "none", "required", NULL};

    if (pk_json_count(m->in, pk_make_get(m, 0, "tools")) == 0)
        return true; /* refused without tools, and means nothing */
    if (pk_make_listed(m, choice, words))
        return pk_make_same(m, choice, to);
    if ((!pk_make_is(m, choice, "function") && !pk_make_is(m, choice, "custom")) ||
        !is_string(m, choice, "name"))
        return pk_fail(m->err, PK_BAD_REQUEST,
                       "tool_choice: must be auto, none, required or a function for this provider");
    pk_member_key(m->out, to);
    pk_buf_addf(m->out, "{\"type\":\"function\",\"function\":{\"name\":%.*s}}",
                PK_FMT(pk_json_raw(m->in, pk_make_get(m, choice, "name"))));
    return true;
}

/* Refused without tools as well. */
static bool parallel(struct pk_maker *m, int value, const char *to)
{
    return pk_json_count(m->in, pk_make_get(m, 0, "tools")) == 0 || pk_make_same(m, value, to);
}

/* --- other fields ---------------------------------------------------------------------------- */

static bool write_schema(struct pk_maker *m, int format)
{
    pk_member_key(m->out, "response_format");
    pk_buf_adds(m->out, "{\"type\":\"json_schema\",\"json_schema\":{");
    if (is_string(m, format, "name"))
        pk_make_copy(m, format, "name", "name");
    else
        pk_dialect_raw(m->out, "name", PK_STR("\"answer\""));
    pk_make_copy(m, format, "description", "description");
    pk_make_copy(m, format, "strict", "strict");
    pk_make_copy(m, format, "schema", "schema");
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool text(struct pk_maker *m, int value, const char *to)
{
    int format = pk_make_get(m, value, "format"), verbosity = pk_make_get(m, value, "verbosity");

    (void)to;
    if (pk_make_type(m, verbosity) > PK_JSON_NULL && !pk_json_is(m->in, verbosity, "medium"))
        pk_make_drop(m, "text.verbosity");
    if (pk_make_type(m, format) <= PK_JSON_NULL || pk_make_is(m, format, "text") ||
        pk_make_has(m, 0, "response_format"))
        return true;
    if (pk_make_is(m, format, "json_object")) {
        pk_dialect_raw(m->out, "response_format", PK_STR("{\"type\":\"json_object\"}"));
        return true;
    }
    if (!pk_make_is(m, format, "json_schema") ||
        pk_make_type(m, pk_make_get(m, format, "schema")) != PK_JSON_OBJECT)
        return pk_fail(m->err, PK_BAD_REQUEST,
                       "text.format: must be text, json_object or a json_schema");
    return write_schema(m, format);
}

/* The summary comes unasked, where the provider shows its thoughts. */
static bool reasoning(struct pk_maker *m, int value, const char *to)
{
    int effort = pk_make_get(m, value, "effort");
    pk_str model = pk_make_string(m, pk_make_get(m, 0, "model"));

    if (pk_make_type(m, effort) <= PK_JSON_NULL)
        return true;
    if (pk_pivot_plain(m) && !pk_pivot_model_thinks(pk_pivot_of(m), model))
        pk_make_drop(m, "reasoning.effort");
    else
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, effort));
    return true;
}

/* Nothing is kept at a provider without that API. */
static bool stateless(struct pk_maker *m, int value, const char *to)
{
    (void)value;
    return pk_fail(m->err, PK_BAD_REQUEST, "%s: needs a provider with the Responses API", to);
}

static bool only_false(struct pk_maker *m, int value, const char *to)
{
    return pk_make_type(m, value) == PK_JSON_FALSE || stateless(m, value, to);
}

static bool store(struct pk_maker *m, int value, const char *to)
{
    if (pk_json_true(m->in, value))
        pk_make_drop(m, to);
    return true;
}

static bool truncation(struct pk_maker *m, int value, const char *to)
{
    if (!pk_json_is(m->in, value, "disabled"))
        pk_make_drop(m, to);
    return true;
}

/* encrypted_content is always there, where the provider signs its thoughts. */
static bool include(struct pk_maker *m, int value, const char *to)
{
    for (int v = pk_json_first(m->in, value); v >= 0; v = pk_json_next(m->in, value, v))
        if (!pk_json_is(m->in, v, "reasoning.encrypted_content"))
            pk_make_drop(m, to);
    return true;
}

static bool drop(struct pk_maker *m, int value, const char *to)
{
    (void)value;
    pk_make_drop(m, to);
    return true;
}

static bool top_logprobs(struct pk_maker *m, int value, const char *to)
{
    int64_t count;

    if (!pk_json_int(m->in, value, &count) || count > 0)
        pk_make_drop(m, to);
    return true;
}

static const struct pk_make_field fields[] = {
    {"model", "model", pk_make_nothing},
    {"input", "input", pk_make_nothing},
    {"instructions", "instructions", pk_make_nothing},
    {"max_output_tokens", "max_completion_tokens", pk_make_same},
    {"stream", "stream", pk_make_same},
    {"stream_options", "stream_options", pk_make_nothing}, /* pk pads no events */
    {"temperature", "temperature", pk_make_same},
    {"top_p", "top_p", pk_make_same},
    {"top_k", "top_k", pk_pivot_top_k},
    {"user", "user", pk_make_same},
    {"tools", "tools", tools},
    {"tool_choice", "tool_choice", tool_choice},
    {"parallel_tool_calls", "parallel_tool_calls", parallel},
    {"text", "text", text},
    {"reasoning", "reasoning_effort", reasoning},
    {"metadata", "metadata", pk_make_nothing}, /* stands in the answer, as promised */
    {"store", "store", store},
    {"include", "include", include},
    {"truncation", "truncation", truncation},
    {"service_tier", "service_tier", pk_pivot_unless_auto},
    {"top_logprobs", "top_logprobs", top_logprobs},
    {"prompt_cache_key", "prompt_cache_key", drop},
    {"prompt_cache_retention", "prompt_cache_retention", drop},
    {"safety_identifier", "safety_identifier", drop},
    {"max_tool_calls", "max_tool_calls", drop},
    {"previous_response_id", "previous_response_id", stateless},
    {"conversation", "conversation", stateless},
    {"prompt", "prompt", stateless},
    {"background", "background", only_false},
};

bool pk_responses_pivot(const struct pk_json *body, const struct pk_pivot *to, struct pk_error *err)
{
    struct pk_maker m = pk_make(body, to->out, to->dropped, err);
    struct pk_buf empty = pk_buf_in(m.arena, PK_BODY_BYTES_MAX);
    struct making making = {.to = *to, .turn = {empty, empty, empty, empty, false}};

    m.own = &making;
    pk_buf_addc(m.out, '{');
    pk_make_copy(&m, 0, "model", "model");
    if (!write_messages(&m) || !pk_pivot_fields(&m, fields, PK_COUNT(fields)))
        return false;
    pk_buf_addc(m.out, '}');
    return true;
}
