/* dialect_anthropic_pivot.c - a chat completion's body for the body of a Messages request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Anthropic's reference of POST /v1/messages, and OpenAI's of chat completions.
 *
 *   system            the first message
 *   tool_result       a message of the role tool each, before what else the user says; images in it, where
 *                     the provider takes only text there, in the user's message behind them
 *   thinking          signed blocks go to providers of another shape; others get the thoughts if they want them
 *   thinking, effort  reasoning_effort: below 4096 tokens low, below 16384 medium, else high
 *   user_id           user, unless it is longer than the 64 characters that OpenAI takes
 *   tools             those with a schema; what only Anthropic runs (web search, bash ...) is dropped
 */
#include "dialect_anthropic.h"
#include "dialect_pivot.h"

#include <stdio.h>
#include <string.h>

enum { USER_BYTES_MAX = 64, LOW_BELOW = 4096, MEDIUM_BELOW = 16384 };

static const struct pk_pivot *pivot_of(const struct pk_maker *m)
{
    return m->own;
}

static bool is_plain(const struct pk_maker *m)
{
    return pk_pivot_is_plain(pivot_of(m));
}

static bool is(const struct pk_maker *m, int object, const char *type)
{
    return pk_json_is(m->in, pk_make_get(m, object, "type"), type);
}

static void copy_cache_control(struct pk_maker *m, int block)
{
    if (!pk_make_has(m, block, "cache_control"))
        return;
    if (pk_pivot_takes(pivot_of(m), PK_EXTRA_CACHE))
        pk_make_copy(m, block, "cache_control", "cache_control");
    else
        pk_make_drop(m, "cache_control");
}

/* --- blocks that become parts ---------------------------------------------------------------- */

static void open_part(struct pk_maker *m, const char *type)
{
    pk_dialect_comma(m->out);
    pk_buf_addf(m->out, "{\"type\":\"%s\"", type);
}

static void close_part(struct pk_maker *m, int block)
{
    copy_cache_control(m, block);
    pk_buf_addc(m->out, '}');
}

/* A text as a part of its own; none for empty text. */
static void write_text(struct pk_maker *m, int text, int block)
{
    if (pk_make_type(m, text) != PK_JSON_STRING || pk_json_raw(m->in, text).len <= 2)
        return;
    open_part(m, "text");
    pk_dialect_raw(m->out, "text", pk_json_raw(m->in, text));
    if (pk_make_has(m, block, "citations"))
        pk_make_drop(m, "messages.citations");
    close_part(m, block);
}

/* "data:TYPE;base64,BYTES" as a member. */
static void write_data_url(struct pk_maker *m, const char *name, int source)
{
    pk_str media = pk_json_raw(m->in, pk_make_get(m, source, "media_type"));
    pk_str bytes = pk_json_raw(m->in, pk_make_get(m, source, "data"));

    pk_dialect_key(m->out, name);
    pk_buf_adds(m->out, "\"data:");
    pk_buf_add(m->out, pk_str_sub(media, 1, media.len - 2));
    pk_buf_adds(m->out, ";base64,");
    pk_buf_add(m->out, pk_str_sub(bytes, 1, bytes.len - 1));
}

static bool is_base64(const struct pk_maker *m, int source)
{
    return is(m, source, "base64") &&
           pk_make_type(m, pk_make_get(m, source, "data")) == PK_JSON_STRING &&
           pk_make_type(m, pk_make_get(m, source, "media_type")) == PK_JSON_STRING;
}

static bool write_image(struct pk_maker *m, int block)
{
    int source = pk_make_get(m, block, "source"), url = pk_make_get(m, source, "url");
    bool inlined = is_base64(m, source);

    if (!inlined && !(is(m, source, "url") && pk_make_type(m, url) == PK_JSON_STRING))
        return pk_make_refuse(m, "an image needs a source of the type base64 or url to be sent to "
                                 "this provider");
    open_part(m, "image_url");
    pk_buf_adds(m->out, ",\"image_url\":{");
    if (inlined)
        write_data_url(m, "url", source);
    else
        pk_dialect_raw(m->out, "url", pk_json_raw(m->in, url));
    pk_buf_addc(m->out, '}');
    close_part(m, block);
    return true;
}

/* What a document says about itself, in front of a text of it. */
static void write_title(struct pk_maker *m, int block)
{
    static const char *const members[] = {"title", "context"};

    for (size_t i = 0; i < PK_COUNT(members); i++)
        write_text(m, pk_make_get(m, block, members[i]), -1);
}

static void write_file(struct pk_maker *m, int block, int source, bool inlined)
{
    int title = pk_make_get(m, block, "title");
    bool named = pk_make_type(m, title) == PK_JSON_STRING && pk_json_raw(m->in, title).len > 2;

    if (pk_make_has(m, block, "context"))
        write_text(m, pk_make_get(m, block, "context"), -1);
    open_part(m, "file");
    pk_buf_adds(m->out, ",\"file\":{");
    pk_dialect_raw(m->out, "filename",
                   named ? pk_json_raw(m->in, title) : PK_STR("\"document.pdf\""));
    if (inlined)
        write_data_url(m, "file_data", source);
    else
        pk_dialect_raw(m->out, "file_id", pk_json_raw(m->in, pk_make_get(m, source, "url")));
    pk_buf_addc(m->out, '}');
    close_part(m, block);
}

/* A document whose content is a text, or blocks. */
static bool write_content_source(struct pk_maker *m, int block, int content)
{
    write_title(m, block);
    if (pk_make_type(m, content) == PK_JSON_STRING) {
        write_text(m, content, block);
        return true;
    }
    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b)) {
        if (is(m, b, "text"))
            write_text(m, pk_make_get(m, b, "text"), b);
        else if (!is(m, b, "image"))
            return pk_make_refuse(m, "a document can hold texts and images");
        else if (!write_image(m, b))
            return false;
    }
    return true;
}

static bool write_document(struct pk_maker *m, int block)
{
    int source = pk_make_get(m, block, "source");
    bool inlined = is_base64(m, source);

    if (pk_json_true(m->in, pk_make_get(m, pk_make_get(m, block, "citations"), "enabled")))
        pk_make_drop(m, "messages.citations");
    if (is(m, source, "text"))
        return write_content_source(m, block, pk_make_get(m, source, "data"));
    if (is(m, source, "content"))
        return write_content_source(m, block, pk_make_get(m, source, "content"));
    if (!inlined && (is_plain(m) || !is(m, source, "url")))
        return pk_make_refuse(m, "a document needs a source of the type base64, text or content to "
                                 "be sent to this provider");
    write_file(m, block, source, inlined);
    return true;
}

static bool write_search_result(struct pk_maker *m, int block)
{
    write_text(m, pk_make_get(m, block, "title"), -1);
    write_text(m, pk_make_get(m, block, "source"), -1);
    return write_content_source(m, -1, pk_make_get(m, block, "content"));
}

/* A block as parts of a list that is open. */
static bool write_block(struct pk_maker *m, int block)
{
    if (is(m, block, "text")) {
        write_text(m, pk_make_get(m, block, "text"), block);
        return true;
    }
    if (is(m, block, "image"))
        return write_image(m, block);
    if (is(m, block, "document"))
        return write_document(m, block);
    if (is(m, block, "search_result"))
        return write_search_result(m, block);
    return pk_make_refuse(m, "a block of this type cannot be sent to this provider");
}

/* The texts of a list as one string, `between` them. Blocks that are no texts are left out. */
static void join_texts(struct pk_maker *m, int list, const char *between)
{
    struct pk_buf text = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    int count = 0;

    for (int b = pk_json_first(m->in, list); b >= 0; b = pk_json_next(m->in, list, b)) {
        if (!is(m, b, "text"))
            continue;
        if (count++)
            pk_buf_adds(&text, between);
        pk_buf_add(&text, pk_make_string(m, pk_make_get(m, b, "text")));
        if (pk_make_has(m, b, "cache_control"))
            pk_make_drop(m, "cache_control");
    }
    pk_json_quote(m->out, pk_buf_str(&text));
    m->out->failed = m->out->failed || text.failed;
}

static bool are_texts(const struct pk_maker *m, int list)
{
    for (int b = pk_json_first(m->in, list); b >= 0; b = pk_json_next(m->in, list, b))
        if (!is(m, b, "text"))
            return false;
    return true;
}

/* --- the user -------------------------------------------------------------------------------- */

static void name_block(struct pk_maker *m, int message, int block)
{
    (void)snprintf(m->path, sizeof m->path, "messages[%d].content[%d]", message, block);
}

/* Whether a result's content is more than a provider of OpenAI's shape takes there: texts. */
static bool must_move(const struct pk_maker *m, int result)
{
    int content = pk_make_get(m, result, "content");

    return is_plain(m) && pk_make_type(m, content) == PK_JSON_ARRAY && !are_texts(m, content);
}

static bool write_result_content(struct pk_maker *m, int content)
{
    enum pk_json_type type = pk_make_type(m, content);

    if (type > PK_JSON_NULL && type != PK_JSON_STRING && type != PK_JSON_ARRAY)
        return pk_make_refuse(m, "content must be a string or a list of blocks");
    pk_dialect_key(m->out, "content");
    if (type == PK_JSON_STRING) {
        pk_dialect_line(m->out, pk_json_raw(m->in, content));
    } else if (type <= PK_JSON_NULL || is_plain(m) || are_texts(m, content)) {
        join_texts(m, content, "\n");
    } else {
        pk_buf_addc(m->out, '[');
        for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b))
            if (!write_block(m, b))
                return false;
        pk_buf_addc(m->out, ']');
    }
    return true;
}

static bool write_result(struct pk_maker *m, int result)
{
    int id = pk_make_get(m, result, "tool_use_id");

    if (pk_make_type(m, id) != PK_JSON_STRING)
        return pk_make_refuse(m, "tool_use_id is missing");
    pk_dialect_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":\"tool\"");
    pk_dialect_raw(m->out, "tool_call_id", pk_json_raw(m->in, id));
    if (!write_result_content(m, pk_make_get(m, result, "content")))
        return false;
    if (pk_json_true(m->in, pk_make_get(m, result, "is_error"))) {
        if (is_plain(m))
            pk_make_drop(m, "messages.is_error");
        else
            pk_make_copy(m, result, "is_error", "is_error");
    }
    close_part(m, result);
    return true;
}

/* What of a result had to leave it, with a line that says where it is from. */
static bool write_moved(struct pk_maker *m, int result)
{
    int content = pk_make_get(m, result, "content");
    pk_str id = pk_make_string(m, pk_make_get(m, result, "tool_use_id"));

    open_part(m, "text");
    pk_dialect_text(m->out, "text",
                    pk_copyf(m->arena, "What the tool call %.*s gave back beside its text:",
                             PK_FMT(pk_str_sub(id, 0, USER_BYTES_MAX))));
    pk_buf_addc(m->out, '}');
    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b))
        if (!is(m, b, "text") && !write_block(m, b))
            return false;
    return true;
}

/* The parts of a user's message: what results had to give away, then what the user says. */
static bool write_parts(struct pk_maker *m, int content, int index)
{
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        name_block(m, index, i);
        if (is(m, b, "tool_result") && must_move(m, b) && !write_moved(m, b))
            return false;
    }
    i = 0;
    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        name_block(m, index, i);
        if (!is(m, b, "tool_result") && !write_block(m, b))
            return false;
    }
    return true;
}

static bool write_results(struct pk_maker *m, int content, int index)
{
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        name_block(m, index, i);
        if (is(m, b, "tool_result") && !write_result(m, b))
            return false;
    }
    return true;
}

/* A message with one text has it as a string, which every provider reads. */
static bool write_user(struct pk_maker *m, int message, int index)
{
    int content = pk_make_get(m, message, "content");
    bool list = pk_make_type(m, content) == PK_JSON_ARRAY;
    struct pk_buf parts = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    struct pk_buf *out = m->out;

    if (list && !write_results(m, content, index))
        return false;
    m->out = &parts;
    bool ok = !list || write_parts(m, content, index);
    m->out = out;
    out->failed = out->failed || parts.failed;
    if (!ok || (list && parts.len == 0))
        return ok;
    pk_dialect_comma(out);
    pk_buf_adds(out, "{\"role\":\"user\",\"content\":");
    if (!list) {
        pk_dialect_line(out, pk_json_raw(m->in, content));
    } else if (pk_json_count(m->in, content) == 1 && are_texts(m, content) &&
               !pk_pivot_takes(pivot_of(m), PK_EXTRA_CACHE)) {
        pk_dialect_line(out,
                        pk_json_raw(m->in, pk_make_get(m, pk_json_first(m->in, content), "text")));
    } else {
        pk_buf_addc(out, '[');
        pk_buf_add(out, pk_buf_str(&parts));
        pk_buf_addc(out, ']');
    }
    pk_buf_addc(out, '}');
    return true;
}

/* --- the model ------------------------------------------------------------------------------- */

static bool is_thought(const struct pk_maker *m, int block)
{
    return is(m, block, "thinking") || is(m, block, "redacted_thinking");
}

/* Whether another provider can be shown that it is Anthropic's own: thoughts of a provider that signs none
 * have an empty signature (dialect_anthropic_print.c). */
static bool is_signed(const struct pk_maker *m, int block)
{
    return is(m, block, "redacted_thinking") ||
           pk_make_string(m, pk_make_get(m, block, "signature")).len > 0;
}

static void write_signed(struct pk_maker *m, int content)
{
    size_t from = m->out->len;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b)) {
        if (!is_thought(m, b) || !is_signed(m, b))
            continue;
        if (m->out->len == from) {
            pk_dialect_key(m->out, "thinking_blocks");
            pk_buf_addc(m->out, '[');
        }
        pk_dialect_comma(m->out);
        pk_dialect_line(m->out, pk_json_raw(m->in, b));
    }
    if (m->out->len > from)
        pk_buf_addc(m->out, ']');
}

static void write_thoughts(struct pk_maker *m, int content)
{
    struct pk_buf text = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    int count = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b)) {
        count += is_thought(m, b);
        if (is(m, b, "thinking"))
            pk_buf_add(&text, pk_make_string(m, pk_make_get(m, b, "thinking")));
    }
    m->out->failed = m->out->failed || text.failed;
    if (count == 0)
        return;
    if (!pk_pivot_takes(pivot_of(m), PK_EXTRA_THOUGHTS)) {
        pk_make_drop(m, "messages.thinking");
        return;
    }
    if (text.len)
        pk_dialect_text(m->out, "reasoning_content", pk_buf_str(&text));
    if (!is_plain(m))
        write_signed(m, content);
}

static bool write_call(struct pk_maker *m, int block)
{
    int id = pk_make_get(m, block, "id"), name = pk_make_get(m, block, "name"),
        input = pk_make_get(m, block, "input");

    if (pk_make_type(m, id) != PK_JSON_STRING || pk_make_type(m, name) != PK_JSON_STRING ||
        pk_make_type(m, input) != PK_JSON_OBJECT)
        return pk_make_refuse(m, "tool_use needs an id, a name and an object as its input");
    pk_dialect_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_dialect_raw(m->out, "id", pk_json_raw(m->in, id));
    pk_buf_adds(m->out, ",\"type\":\"function\",\"function\":{");
    pk_dialect_raw(m->out, "name", pk_json_raw(m->in, name));
    pk_dialect_text(m->out, "arguments", pk_json_raw(m->in, input));
    pk_buf_addc(m->out, '}');
    if (!is_plain(m))
        pk_make_copy(m, block, "extra_content", "extra_content");
    close_part(m, block);
    return true;
}

static bool write_calls(struct pk_maker *m, int content, int index)
{
    size_t from = m->out->len;
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        if (!is(m, b, "tool_use"))
            continue;
        name_block(m, index, i);
        if (m->out->len == from)
            pk_buf_adds(m->out, ",\"tool_calls\":[");
        if (!write_call(m, b))
            return false;
    }
    if (m->out->len > from)
        pk_buf_addc(m->out, ']');
    return true;
}

/* What Anthropic's servers did on the way to an answer has no place elsewhere; the answer has. */
static bool check_said(struct pk_maker *m, int content, int index)
{
    static const char *const said[] = {"text", "tool_use", "thinking", "redacted_thinking", NULL};
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        pk_str type = pk_make_string(m, pk_make_get(m, b, "type"));

        if (pk_make_listed(m, pk_make_get(m, b, "type"), said))
            continue;
        name_block(m, index, i);
        if (!pk_str_ends(type, "_tool_use") && !pk_str_ends(type, "_tool_result"))
            return pk_make_refuse(m, "a block of this type cannot be sent to this provider");
        pk_make_drop(m, "messages.server_tool_use");
    }
    return true;
}

static bool has_text(const struct pk_maker *m, int content)
{
    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b))
        if (is(m, b, "text"))
            return true;
    return false;
}

static bool write_assistant(struct pk_maker *m, int message, int index)
{
    int content = pk_make_get(m, message, "content");

    pk_dialect_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":\"assistant\",\"content\":");
    if (pk_make_type(m, content) == PK_JSON_STRING) {
        pk_dialect_line(m->out, pk_json_raw(m->in, content));
        pk_buf_addc(m->out, '}');
        return true;
    }
    if (has_text(m, content))
        join_texts(m, content, ""); /* one text, cut where citations begin and end */
    else
        pk_buf_adds(m->out, "null");
    write_thoughts(m, content);
    bool ok = check_said(m, content, index) && write_calls(m, content, index);
    pk_buf_addc(m->out, '}');
    return ok;
}

/* --- messages -------------------------------------------------------------------------------- */

static void write_system(struct pk_maker *m, int content)
{
    bool list = pk_make_type(m, content) == PK_JSON_ARRAY;

    pk_dialect_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":\"system\",\"content\":");
    if (!list) {
        pk_dialect_line(m->out, pk_json_raw(m->in, content));
    } else if (pk_pivot_takes(pivot_of(m), PK_EXTRA_CACHE)) {
        pk_buf_addc(m->out, '[');
        for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b))
            write_text(m, pk_make_get(m, b, "text"), b);
        pk_buf_addc(m->out, ']');
    } else {
        join_texts(m, content, "\n\n");
    }
    pk_buf_addc(m->out, '}');
}

static bool write_message(struct pk_maker *m, int message, int index)
{
    int role = pk_make_get(m, message, "role"), content = pk_make_get(m, message, "content");

    (void)snprintf(m->path, sizeof m->path, "messages[%d]", index);
    if (pk_make_type(m, content) != PK_JSON_STRING && pk_make_type(m, content) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "content must be a string or a list of blocks");
    if (pk_json_is(m->in, role, "user"))
        return write_user(m, message, index);
    if (pk_json_is(m->in, role, "assistant"))
        return write_assistant(m, message, index);
    if (!pk_json_is(m->in, role, "system"))
        return pk_make_refuse(m, "role must be user or assistant");
    write_system(m, content);
    return true;
}

static bool write_messages(struct pk_maker *m)
{
    int messages = pk_make_get(m, 0, "messages"), system = pk_make_get(m, 0, "system"), i = 0;
    enum pk_json_type type = pk_make_type(m, system);

    if (pk_make_type(m, messages) != PK_JSON_ARRAY || pk_json_count(m->in, messages) == 0)
        return pk_fail(m->err, PK_BAD_REQUEST, "messages: must be a list of at least one message");
    if (type > PK_JSON_NULL && type != PK_JSON_STRING &&
        !(type == PK_JSON_ARRAY && are_texts(m, system)))
        return pk_fail(m->err, PK_BAD_REQUEST, "system: must be a string or a list of texts");
    pk_dialect_key(m->out, "messages");
    pk_buf_addc(m->out, '[');
    if (pk_json_count(m->in, system) ||
        (type == PK_JSON_STRING && pk_json_raw(m->in, system).len > 2))
        write_system(m, system);
    for (int v = pk_json_first(m->in, messages); v >= 0; v = pk_json_next(m->in, messages, v), i++)
        if (!write_message(m, v, i))
            return false;
    pk_buf_addc(m->out, ']');
    return true;
}

/* --- tools ----------------------------------------------------------------------------------- */

/* A tool that the client runs and describes. */
static bool is_function(const struct pk_maker *m, int tool)
{
    int type = pk_make_get(m, tool, "type");

    return (pk_make_type(m, type) <= PK_JSON_NULL || pk_json_is(m->in, type, "custom")) &&
           pk_make_type(m, pk_make_get(m, tool, "name")) == PK_JSON_STRING;
}

static void write_tool(struct pk_maker *m, int tool)
{
    pk_dialect_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"function\",\"function\":{");
    pk_make_copy(m, tool, "name", "name");
    pk_make_copy(m, tool, "description", "description");
    pk_make_copy(m, tool, "input_schema", "parameters");
    pk_make_copy(m, tool, "strict", "strict");
    pk_buf_addc(m->out, '}');
    close_part(m, tool);
}

/* How many tools can be said; the others are reported by their place. */
static int count_tools(struct pk_maker *m, int list)
{
    int count = 0, i = 0;

    for (int t = pk_json_first(m->in, list); t >= 0; t = pk_json_next(m->in, list, t), i++) {
        if (is_function(m, t)) {
            count++;
            continue;
        }
        (void)snprintf(m->path, sizeof m->path, "tools[%d]", i);
        pk_make_drop(m, m->path);
    }
    return count;
}

static bool names_tool(const struct pk_maker *m, int list, int name)
{
    pk_str wanted = pk_make_string(m, name);

    for (int t = pk_json_first(m->in, list); t >= 0; t = pk_json_next(m->in, list, t))
        if (is_function(m, t) && pk_str_eq(pk_make_string(m, pk_make_get(m, t, "name")), wanted))
            return true;
    return false;
}

static bool write_tool_choice(struct pk_maker *m, int list)
{
    int choice = pk_make_get(m, 0, "tool_choice"), name = pk_make_get(m, choice, "name");

    if (pk_make_type(m, choice) <= PK_JSON_NULL)
        return true;
    if (pk_json_true(m->in, pk_make_get(m, choice, "disable_parallel_tool_use")) &&
        !pk_make_has(m, 0, "parallel_tool_calls"))
        pk_dialect_raw(m->out, "parallel_tool_calls", PK_STR("false"));
    if (is(m, choice, "tool")) {
        if (!names_tool(m, list, name))
            return pk_fail(m->err, PK_BAD_REQUEST,
                           "tool_choice.name: this provider is sent no such tool");
        pk_dialect_key(m->out, "tool_choice");
        pk_buf_addf(m->out, "{\"type\":\"function\",\"function\":{\"name\":%.*s}}",
                    PK_FMT(pk_json_raw(m->in, name)));
        return true;
    }
    if (!is(m, choice, "auto") && !is(m, choice, "any") && !is(m, choice, "none"))
        return pk_fail(m->err, PK_BAD_REQUEST, "tool_choice.type: must be auto, any, tool or none");
    pk_dialect_raw(m->out, "tool_choice",
                   is(m, choice, "any")    ? PK_STR("\"required\"")
                   : is(m, choice, "none") ? PK_STR("\"none\"")
                                           : PK_STR("\"auto\""));
    return true;
}

static bool tools(struct pk_maker *m, int list, const char *to)
{
    if (pk_make_type(m, list) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (count_tools(m, list) == 0) {
        if (is(m, pk_make_get(m, 0, "tool_choice"), "tool"))
            return pk_fail(m->err, PK_BAD_REQUEST,
                           "tool_choice.name: this provider is sent no such tool");
        return true;
    }
    pk_dialect_key(m->out, to);
    pk_buf_addc(m->out, '[');
    for (int t = pk_json_first(m->in, list); t >= 0; t = pk_json_next(m->in, list, t))
        if (is_function(m, t))
            write_tool(m, t);
    pk_buf_addc(m->out, ']');
    return write_tool_choice(m, list);
}

/* --- how hard to think ----------------------------------------------------------------------- */

/* The effort that a budget of tokens, or Anthropic's word, stands for; empty when nothing is said. */
static pk_str effort_of(const struct pk_maker *m)
{
    int thinking = pk_make_get(m, 0, "thinking");
    pk_str word = pk_make_string(m, pk_make_get(m, pk_make_get(m, 0, "output_config"), "effort"));
    int64_t budget = 0;

    if (pk_str_is(word, "max") || pk_str_is(word, "xhigh"))
        return is_plain(m) ? PK_STR("high") : PK_STR("xhigh");
    if (word.len || !is(m, thinking, "enabled"))
        return word;
    if (!pk_json_int(m->in, pk_make_get(m, thinking, "budget_tokens"), &budget))
        return PK_NONE;
    return budget < LOW_BELOW      ? PK_STR("low")
           : budget < MEDIUM_BELOW ? PK_STR("medium")
                                   : PK_STR("high");
}

static void write_effort(struct pk_maker *m)
{
    pk_str effort = effort_of(m);

    if (effort.len == 0 || pk_make_has(m, 0, "reasoning_effort"))
        return;
    if (is_plain(m) &&
        !pk_pivot_model_thinks(pivot_of(m), pk_make_string(m, pk_make_get(m, 0, "model"))))
        pk_make_drop(m, pk_make_has(m, 0, "thinking") ? "thinking" : "output_config.effort");
    else
        pk_dialect_text(m->out, "reasoning_effort", effort);
}

/* --- other fields ---------------------------------------------------------------------------- */

static bool metadata(struct pk_maker *m, int value, const char *to)
{
    int id = pk_make_get(m, value, "user_id");

    if (pk_make_type(m, id) != PK_JSON_STRING)
        return true;
    if (is_plain(m) && pk_make_string(m, id).len > USER_BYTES_MAX)
        pk_make_drop(m, "metadata.user_id");
    else
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, id));
    return true;
}

/* {"type":"json_schema","schema":...} under either of its names. */
static bool write_format(struct pk_maker *m, int format)
{
    int schema = pk_make_get(m, format, "schema");

    if (pk_make_type(m, format) <= PK_JSON_NULL || pk_make_has(m, 0, "response_format"))
        return true;
    if (!is(m, format, "json_schema") || pk_make_type(m, schema) != PK_JSON_OBJECT)
        return pk_fail(m->err, PK_BAD_REQUEST, "output_config.format: must be a json_schema");
    pk_dialect_key(m->out, "response_format");
    pk_buf_adds(m->out, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
                        "\"strict\":true");
    pk_dialect_raw(m->out, "schema", pk_json_raw(m->in, schema));
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool output_config(struct pk_maker *m, int value, const char *to)
{
    (void)to; /* the effort is written with the thinking */
    return write_format(m, pk_make_get(m, value, "format"));
}

static bool output_format(struct pk_maker *m, int value, const char *to)
{
    (void)to;
    return write_format(m, value);
}

static const struct pk_make_field fields[] = {
    {"model", "model", pk_make_nothing},
    {"system", "system", pk_make_nothing},
    {"messages", "messages", pk_make_nothing},
    {"max_tokens", "max_completion_tokens", pk_make_same},
    {"stream", "stream", pk_make_same},
    {"temperature", "temperature", pk_make_same},
    {"top_p", "top_p", pk_make_same},
    {"top_k", "top_k", pk_pivot_top_k},
    {"stop_sequences", "stop", pk_make_list},
    {"metadata", "user", metadata},
    {"tools", "tools", tools},
    {"tool_choice", "tool_choice", pk_make_nothing},
    {"thinking", "thinking", pk_make_nothing},
    {"output_config", "output_config", output_config},
    {"output_format", "output_format", output_format},
    {"service_tier", "service_tier", pk_pivot_unless_auto},
};

bool pk_anthropic_pivot(const struct pk_json *body, const struct pk_pivot *to, struct pk_error *err)
{
    struct pk_maker m = pk_make(body, to->out, to->dropped, err);
    struct pk_pivot pivot = *to;

    m.own = &pivot;
    pk_buf_addc(m.out, '{');
    pk_make_copy(&m, 0, "model", "model");
    if (!write_messages(&m) || !pk_pivot_fields(&m, fields, PK_COUNT(fields)))
        return false;
    write_effort(&m);
    pk_buf_addc(m.out, '}');
    return true;
}
