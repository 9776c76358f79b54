/* dialect_anthropic_request.c - the body of a Messages request for a chat completion's body.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Anthropic's reference of POST /v1/messages.
 *
 *   max_tokens        is required there: max_completion_tokens, max_tokens, else 4096
 *   reasoning_effort, temperature, top_p and top_k: see dialect_anthropic_thinking.h
 */
#include "dialect_anthropic.h"
#include "dialect_anthropic_thinking.h"

#include <stdio.h>
#include <string.h>

static const struct pk_thinking *plan_of(const struct pk_maker *m)
{
    return m->own;
}

/* --- top-level fields ------------------------------------------------------------------------ */

static bool sampling(struct pk_maker *m, int value, const char *name)
{
    pk_str number;

    (void)value;
    if (!pk_anthropic_sampling(m, plan_of(m), name, &number))
        return false;
    pk_dialect_raw(m->out, name, number);
    return true;
}

static bool user(struct pk_maker *m, int value, const char *name)
{
    (void)name;
    pk_member_key(m->out, "metadata");
    pk_buf_adds(m->out, "{\"user_id\":");
    pk_buf_add(m->out, pk_json_raw(m->in, value));
    pk_buf_addc(m->out, '}');
    return true;
}

/* --- output_config --------------------------------------------------------------------------- */

/* {"type":"json_schema","schema":...}, or empty when the format is text or cannot be expressed. */
static pk_str format_of(const struct pk_maker *m)
{
    int format = pk_make_get(m, 0, "response_format"), type = pk_make_get(m, format, "type");
    int schema = pk_make_get(m, pk_make_get(m, format, "json_schema"), "schema");

    if (pk_make_type(m, format) <= PK_JSON_NULL || pk_json_is(m->in, type, "text"))
        return PK_NONE;
    if (!pk_json_is(m->in, type, "json_schema") || pk_make_type(m, schema) != PK_JSON_OBJECT) {
        pk_make_drop(m, "response_format");
        return PK_NONE;
    }
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    pk_buf_adds(&out, "{\"type\":\"json_schema\"");
    pk_dialect_raw(&out, "schema", pk_json_raw(m->in, schema));
    pk_buf_addc(&out, '}');
    return pk_buf_str(&out);
}

/* The client's own output_config, with what its OpenAI fields mean. */
static void write_output_config(struct pk_maker *m)
{
    const struct pk_json_edit members[] = {{PK_STR("effort"), plan_of(m)->effort},
                                           {PK_STR("format"), format_of(m)}};

    pk_make_merged(m, pk_make_get(m, 0, "output_config"), "output_config", members,
                   PK_COUNT(members));
}

/* --- tools ----------------------------------------------------------------------------------- */

static bool write_function(struct pk_maker *m, int tool, int function)
{
    if (pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "function.name is missing");
    pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, function, "name", "name");
    pk_make_copy(m, function, "description", "description");
    if (pk_make_has(m, function, "parameters"))
        pk_make_copy(m, function, "parameters", "input_schema");
    else
        pk_dialect_raw(m->out, "input_schema", PK_STR("{\"type\":\"object\",\"properties\":{}}"));
    pk_make_copy(m, function, "strict", "strict");
    pk_make_copy(m, pk_make_has(m, tool, "cache_control") ? tool : function, "cache_control",
                 "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* Anthropic's own tools (web search, bash ...) stand as they are. */
static bool write_tool(struct pk_maker *m, int tool)
{
    int function = pk_make_get(m, tool, "function");

    if (pk_make_type(m, tool) != PK_JSON_OBJECT)
        return pk_make_refuse(m, "must be an object");
    if (pk_make_type(m, function) == PK_JSON_OBJECT)
        return write_function(m, tool, function);
    if (pk_make_type(m, pk_make_get(m, tool, "name")) != PK_JSON_STRING) {
        pk_make_drop(m, m->path);
        return true;
    }
    pk_member_comma(m->out);
    pk_dialect_line(m->out, pk_json_raw(m->in, tool));
    return true;
}

static bool tools(struct pk_maker *m, int value, const char *name)
{
    int i = 0;

    if (pk_make_type(m, value) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (pk_json_count(m->in, value) == 0)
        return true;
    pk_member_key(m->out, name);
    pk_buf_addc(m->out, '[');
    for (int t = pk_json_first(m->in, value); t >= 0; t = pk_json_next(m->in, value, t), i++) {
        (void)snprintf(m->path, sizeof m->path, "tools[%d]", i);
        if (!write_tool(m, t))
            return false;
    }
    pk_buf_addc(m->out, ']');
    return true;
}

/* {"type":...} up to its closing brace; false when the choice cannot be expressed. */
static bool write_choice(struct pk_maker *m, int choice, struct pk_buf *out)
{
    static const char *const own[] = {"auto", "none", "any", "tool", NULL};
    int type = pk_make_get(m, choice, "type"),
        name = pk_make_get(m, pk_make_get(m, choice, "function"), "name");

    if (pk_make_type(m, choice) <= PK_JSON_NULL || pk_json_is(m->in, choice, "auto")) {
        pk_buf_adds(out, "{\"type\":\"auto\"");
    } else if (pk_json_is(m->in, choice, "none")) {
        pk_buf_adds(out, "{\"type\":\"none\"");
    } else if (pk_json_is(m->in, choice, "required") || pk_json_is(m->in, choice, "any")) {
        pk_buf_adds(out, "{\"type\":\"any\"");
    } else if (pk_json_is(m->in, type, "function") && pk_make_type(m, name) == PK_JSON_STRING) {
        pk_buf_adds(out, "{\"type\":\"tool\"");
        pk_dialect_raw(out, "name", pk_json_raw(m->in, name));
    } else if (pk_make_listed(m, type, own)) {
        pk_str raw = pk_json_raw(m->in, choice);

        pk_dialect_line(out, pk_str_sub(raw, 0, raw.len - 1));
    } else {
        return false;
    }
    return true;
}

/* A choice without tools is refused there and means nothing here. */
static void write_tool_choice(struct pk_maker *m)
{
    int choice = pk_make_get(m, 0, "tool_choice"),
        parallel = pk_make_get(m, 0, "parallel_tool_calls");
    bool single = pk_make_type(m, parallel) == PK_JSON_FALSE;
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (pk_json_count(m->in, pk_make_get(m, 0, "tools")) == 0 ||
        (pk_make_type(m, choice) <= PK_JSON_NULL && !single))
        return;
    if (!write_choice(m, choice, &out)) {
        pk_make_drop(m, "tool_choice");
        return;
    }
    if (single && !pk_str_starts(pk_buf_str(&out), "{\"type\":\"none\""))
        pk_buf_adds(&out, ",\"disable_parallel_tool_use\":true");
    pk_buf_addc(&out, '}');
    pk_dialect_raw(m->out, "tool_choice", pk_buf_str(&out));
}

/* --- content --------------------------------------------------------------------------------- */

static void open_message(struct pk_maker *m, const char *role)
{
    pk_make_open(m, role, role, "content");
}

/* A text block; none for empty text, which the API refuses. */
static void write_text(struct pk_maker *m, const char *role, int text, int cache)
{
    if (pk_make_type(m, text) != PK_JSON_STRING || pk_json_raw(m->in, text).len <= 2)
        return;
    if (role)
        open_message(m, role);
    else
        pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"text\"");
    pk_dialect_raw(m->out, "text", pk_json_raw(m->in, text));
    pk_make_copy(m, cache, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
}

static void write_base64(struct pk_maker *m, pk_str media, pk_str bytes)
{
    pk_buf_adds(m->out, "{\"type\":\"base64\"");
    pk_member_text(m->out, "media_type", media);
    pk_member_text(m->out, "data", bytes);
    pk_buf_addc(m->out, '}');
}

static void write_source_url(struct pk_maker *m, pk_str url)
{
    pk_buf_adds(m->out, "{\"type\":\"url\"");
    pk_member_text(m->out, "url", url);
    pk_buf_addc(m->out, '}');
}

static void open_block(struct pk_maker *m, const char *type)
{
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"type\":\"%s\"", type);
}

static bool write_image(struct pk_maker *m, int part)
{
    int image = pk_make_get(m, part, "image_url"), detail = pk_make_get(m, image, "detail");
    pk_str url = pk_make_image_url(m, part);
    pk_str media = PK_NONE, bytes = PK_NONE;
    bool inlined = pk_make_data_url(url, &media, &bytes);

    if (!inlined && !pk_make_is_web(url))
        return pk_make_refuse(m, "image_url must be a data: URL in base64, or http(s)");
    if (pk_make_type(m, detail) > PK_JSON_NULL && !pk_json_is(m->in, detail, "auto"))
        pk_make_drop(m, "image_url.detail");
    open_block(m, pk_str_is(media, "application/pdf") ? "document" : "image");
    pk_member_key(m->out, "source");
    if (inlined)
        write_base64(m, media, bytes);
    else
        write_source_url(m, url);
    pk_make_copy(m, part, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* A file by its bytes, by the id that Anthropic gave it, or by its address. */
static bool write_file_source(struct pk_maker *m, int file)
{
    pk_str data = pk_make_string(m, pk_make_get(m, file, "file_data")),
           id = pk_make_string(m, pk_make_get(m, file, "file_id"));
    pk_str media = PK_STR("application/pdf"), bytes = data;
    bool inlined =
        data.len && (pk_make_data_url(data, &media, &bytes) || !pk_str_starts(data, "data:"));
    bool image = pk_str_starts(media, "image/");

    if (!inlined && id.len == 0)
        return pk_make_refuse(m, "a file needs file_data in base64, or file_id");
    if (inlined && !image && !pk_str_is(media, "application/pdf"))
        return pk_make_refuse(m, "only PDF and image files can be sent to this provider");
    open_block(m, image ? "image" : "document");
    pk_member_key(m->out, "source");
    if (inlined) {
        write_base64(m, media, bytes);
    } else if (pk_make_is_web(id)) {
        write_source_url(m, id);
    } else {
        pk_buf_adds(m->out, "{\"type\":\"file\"");
        pk_member_text(m->out, "file_id", id);
        pk_buf_addc(m->out, '}');
    }
    if (!image)
        pk_make_copy(m, file, "filename", "title");
    return true;
}

static bool write_file(struct pk_maker *m, int part)
{
    if (!write_file_source(m, pk_make_get(m, part, "file")))
        return false;
    pk_make_copy(m, part, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* One part of a content list, as a block. `role` opens its message; NULL: inside a tool result. */
static bool write_part(struct pk_maker *m, const char *role, int part)
{
    static const char *const own[] = {"image",       "document",         "search_result",
                                      "thinking",    "tool_use",         "redacted_thinking",
                                      "tool_result", "container_upload", NULL};
    int type = pk_make_get(m, part, "type");

    if (pk_json_is(m->in, type, "text") || pk_json_is(m->in, type, "refusal")) {
        write_text(m, role,
                   pk_make_get(m, part, pk_json_is(m->in, type, "text") ? "text" : "refusal"),
                   part);
        return true;
    }
    bool image = pk_json_is(m->in, type, "image_url"), file = pk_json_is(m->in, type, "file");
    if (!image && !file && !pk_make_listed(m, type, own))
        return pk_make_refuse(m, "a part of this type cannot be sent to this provider");
    if (role)
        open_message(m, role);
    if (image)
        return write_image(m, part);
    if (file)
        return write_file(m, part);
    pk_member_comma(m->out);
    pk_dialect_line(m->out, pk_json_raw(m->in, part));
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

static bool write_call(struct pk_maker *m, int call)
{
    int function = pk_make_get(m, call, "function");
    pk_str input = PK_NONE;

    if (pk_make_type(m, pk_make_get(m, call, "id")) != PK_JSON_STRING ||
        pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "a tool call needs an id and function.name");
    open_message(m, "assistant");
    pk_buf_adds(m->out, "{\"type\":\"tool_use\"");
    pk_make_copy(m, call, "id", "id");
    pk_make_copy(m, function, "name", "name");
    if (!pk_make_arguments(m, pk_make_get(m, function, "arguments"), &input))
        return false;
    pk_dialect_raw(m->out, "input", input);
    pk_make_copy(m, call, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* Thinking goes first, as it came: the API checks its signature. */
static bool write_assistant(struct pk_maker *m, int message, int index)
{
    int blocks = pk_make_get(m, message, "thinking_blocks");

    pk_make_close(m);
    for (int b = pk_json_first(m->in, blocks); b >= 0; b = pk_json_next(m->in, blocks, b)) {
        open_message(m, "assistant");
        pk_dialect_line(m->out, pk_json_raw(m->in, b));
    }
    if (pk_json_count(m->in, blocks) == 0 && pk_make_has(m, message, "reasoning_content"))
        pk_make_drop(m, "messages.reasoning_content");
    if (pk_make_has(m, message, "audio"))
        pk_make_drop(m, "messages.audio");
    if (pk_make_has(m, message, "function_call"))
        return pk_make_refuse(m, "function_call is not understood: use tool_calls");
    if (!pk_make_content(m, "assistant", message, index))
        return false;
    write_text(m, "assistant", pk_make_get(m, message, "refusal"), -1);
    return pk_make_calls(m, message, index, write_call);
}

static bool write_result(struct pk_maker *m, int message, int index)
{
    int content = pk_make_get(m, message, "content");

    if (pk_make_type(m, pk_make_get(m, message, "tool_call_id")) != PK_JSON_STRING)
        return pk_make_refuse(m, "tool_call_id is missing");
    open_message(m, "user");
    pk_buf_adds(m->out, "{\"type\":\"tool_result\"");
    pk_make_copy(m, message, "tool_call_id", "tool_use_id");
    if (pk_make_type(m, content) == PK_JSON_STRING) {
        pk_make_copy(m, message, "content", "content");
    } else if (pk_json_count(m->in, content)) {
        pk_member_key(m->out, "content");
        pk_buf_addc(m->out, '[');
        if (!pk_make_content(m, NULL, message, index))
            return false;
        pk_buf_addc(m->out, ']');
    }
    pk_make_copy(m, message, "is_error", "is_error");
    pk_make_copy(m, message, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

static bool write_message(struct pk_maker *m, int message, int index)
{
    return pk_make_by_role(m, message, index, write_assistant, write_result);
}

/* --- the whole ------------------------------------------------------------------------------- */

static const struct pk_make_field fields[] = {
    {"model", "model", pk_make_nothing},
    {"messages", "messages", pk_make_nothing},
    {"max_tokens", "max_tokens", pk_make_nothing},
    {"max_completion_tokens", "max_completion_tokens", pk_make_nothing},
    {"reasoning_effort", "reasoning_effort", pk_make_nothing},
    {"response_format", "response_format", pk_make_nothing},
    {"output_config", "output_config", pk_make_nothing},
    {"tool_choice", "tool_choice", pk_make_nothing},
    {"parallel_tool_calls", "parallel_tool_calls", pk_make_nothing},
    {"stream_options", "stream_options", pk_make_nothing}, /* usage is always told */
    {"stream", "stream", pk_make_same},
    {"temperature", "temperature", sampling},
    {"top_p", "top_p", sampling},
    {"top_k", "top_k", sampling},
    {"stop", "stop_sequences", pk_make_list},
    {"n", "n", pk_make_one},
    {"thinking", "thinking", pk_make_same},
    {"user", "user", user},
    {"tools", "tools", tools},
    {"cache_control", "cache_control", pk_make_same}, /* from here: Anthropic's own */
    {"container", "container", pk_make_same},
    {"context_management", "context_management", pk_make_same},
    {"inference_geo", "inference_geo", pk_make_same},
    {"mcp_servers", "mcp_servers", pk_make_same},
};

bool pk_anthropic_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                          struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    struct pk_thinking plan = {0};
    int given;

    m.own = &plan;
    m.text = write_text;
    m.part = write_part;
    if (!pk_anthropic_think(&m, pk_make_string(&m, pk_make_get(&m, 0, "model")), &plan))
        return false;
    given = pk_anthropic_max_tokens(&m);
    pk_buf_addc(out, '{');
    pk_make_copy(&m, 0, "model", "model");
    pk_member_key(out, "max_tokens");
    if (plan.max_tokens == 0 && pk_make_type(&m, given) > PK_JSON_NULL)
        pk_buf_add(out, pk_json_raw(body, given));
    else
        pk_buf_addf(out, "%lld",
                    (long long)(plan.max_tokens ? plan.max_tokens : PK_ANTHROPIC_MAX_TOKENS));
    if (!pk_make_system_list(&m) || !pk_make_messages(&m, "messages", write_message) ||
        !pk_make_fields(&m, fields, PK_COUNT(fields)))
        return false;
    pk_anthropic_write_thinking(out, &plan);
    write_tool_choice(&m);
    write_output_config(&m);
    pk_make_end(&m, fields, PK_COUNT(fields));
    return true;
}
