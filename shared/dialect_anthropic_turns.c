/* dialect_anthropic_turns.c - the messages of a chat completion for those of a Messages request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   system            the first message
 *   tool_result       a message of the role tool each, before what else the user says; images in it, where
 *                     the provider takes only text there, in the user's message behind them
 *   thinking          signed blocks go to providers of another shape; others get the thoughts if they want them
 */
#include "dialect_anthropic.h"
#include "dialect_pivot.h"

#include <stdio.h>
#include <string.h>

enum { ID_BYTES_SHOWN = 64 };

static void copy_cache_control(struct pk_maker *m, int block)
{
    if (!pk_make_has(m, block, "cache_control"))
        return;
    if (pk_pivot_takes(pk_pivot_of(m), PK_EXTRA_CACHE))
        pk_make_copy(m, block, "cache_control", "cache_control");
    else
        pk_make_drop(m, "cache_control");
}

/* --- blocks that become parts ---------------------------------------------------------------- */

static void open_part(struct pk_maker *m, const char *type)
{
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"type\":\"%s\"", type);
}

void pk_anthropic_close_part(struct pk_maker *m, int block)
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
    pk_anthropic_close_part(m, block);
}

/* "data:TYPE;base64,BYTES" as a member. */
static void write_data_url(struct pk_maker *m, const char *name, int source)
{
    pk_str media = pk_json_raw(m->in, pk_make_get(m, source, "media_type"));
    pk_str bytes = pk_json_raw(m->in, pk_make_get(m, source, "data"));

    pk_member_key(m->out, name);
    pk_buf_adds(m->out, "\"data:");
    pk_buf_add(m->out, pk_str_sub(media, 1, media.len - 2));
    pk_buf_adds(m->out, ";base64,");
    pk_buf_add(m->out, pk_str_sub(bytes, 1, bytes.len - 1));
}

static bool is_base64(const struct pk_maker *m, int source)
{
    return pk_make_is(m, source, "base64") &&
           pk_make_type(m, pk_make_get(m, source, "data")) == PK_JSON_STRING &&
           pk_make_type(m, pk_make_get(m, source, "media_type")) == PK_JSON_STRING;
}

static bool write_image(struct pk_maker *m, int block)
{
    int source = pk_make_get(m, block, "source"), url = pk_make_get(m, source, "url");
    bool inlined = is_base64(m, source);

    if (!inlined && !(pk_make_is(m, source, "url") && pk_make_type(m, url) == PK_JSON_STRING))
        return pk_make_refuse(m, "an image needs a source of the type base64 or url to be sent to "
                                 "this provider");
    open_part(m, "image_url");
    pk_buf_adds(m->out, ",\"image_url\":{");
    if (inlined)
        write_data_url(m, "url", source);
    else
        pk_dialect_raw(m->out, "url", pk_json_raw(m->in, url));
    pk_buf_addc(m->out, '}');
    pk_anthropic_close_part(m, block);
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
    pk_anthropic_close_part(m, block);
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
        if (pk_make_is(m, b, "text"))
            write_text(m, pk_make_get(m, b, "text"), b);
        else if (!pk_make_is(m, b, "image"))
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
    if (pk_make_is(m, source, "text"))
        return write_content_source(m, block, pk_make_get(m, source, "data"));
    if (pk_make_is(m, source, "content"))
        return write_content_source(m, block, pk_make_get(m, source, "content"));
    if (!inlined && (pk_pivot_plain(m) || !pk_make_is(m, source, "url")))
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
    if (pk_make_is(m, block, "text")) {
        write_text(m, pk_make_get(m, block, "text"), block);
        return true;
    }
    if (pk_make_is(m, block, "image"))
        return write_image(m, block);
    if (pk_make_is(m, block, "document"))
        return write_document(m, block);
    if (pk_make_is(m, block, "search_result"))
        return write_search_result(m, block);
    return pk_make_refuse(m, "a block of this type cannot be sent to this provider");
}

/* The texts of a list as one string, `between` them. Blocks that are no texts are left out. */
static void join_texts(struct pk_maker *m, int list, const char *between)
{
    struct pk_buf text = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    int count = 0;

    for (int b = pk_json_first(m->in, list); b >= 0; b = pk_json_next(m->in, list, b)) {
        if (!pk_make_is(m, b, "text"))
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
        if (!pk_make_is(m, b, "text"))
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

    return pk_pivot_plain(m) && pk_make_type(m, content) == PK_JSON_ARRAY && !are_texts(m, content);
}

static bool write_result_content(struct pk_maker *m, int content)
{
    enum pk_json_type type = pk_make_type(m, content);

    if (type > PK_JSON_NULL && type != PK_JSON_STRING && type != PK_JSON_ARRAY)
        return pk_make_refuse(m, "content must be a string or a list of blocks");
    pk_member_key(m->out, "content");
    if (type == PK_JSON_STRING) {
        pk_dialect_line(m->out, pk_json_raw(m->in, content));
    } else if (type <= PK_JSON_NULL || pk_pivot_plain(m) || are_texts(m, content)) {
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
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":\"tool\"");
    pk_dialect_raw(m->out, "tool_call_id", pk_json_raw(m->in, id));
    if (!write_result_content(m, pk_make_get(m, result, "content")))
        return false;
    if (pk_json_true(m->in, pk_make_get(m, result, "is_error"))) {
        if (pk_pivot_plain(m))
            pk_make_drop(m, "messages.is_error");
        else
            pk_make_copy(m, result, "is_error", "is_error");
    }
    pk_anthropic_close_part(m, result);
    return true;
}

/* What of a result had to leave it, with a line that says where it is from. */
static bool write_moved(struct pk_maker *m, int result)
{
    int content = pk_make_get(m, result, "content");
    pk_str id = pk_make_string(m, pk_make_get(m, result, "tool_use_id"));

    open_part(m, "text");
    pk_member_text(m->out, "text",
                   pk_copyf(m->arena, "What the tool call %.*s gave back beside its text:",
                            PK_FMT(pk_str_sub(id, 0, ID_BYTES_SHOWN))));
    pk_buf_addc(m->out, '}');
    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b))
        if (!pk_make_is(m, b, "text") && !write_block(m, b))
            return false;
    return true;
}

/* The parts of a user's message: what results had to give away, then what the user says. */
static bool write_parts(struct pk_maker *m, int content, int index)
{
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        name_block(m, index, i);
        if (pk_make_is(m, b, "tool_result") && must_move(m, b) && !write_moved(m, b))
            return false;
    }
    i = 0;
    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        name_block(m, index, i);
        if (!pk_make_is(m, b, "tool_result") && !write_block(m, b))
            return false;
    }
    return true;
}

static bool write_results(struct pk_maker *m, int content, int index)
{
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        name_block(m, index, i);
        if (pk_make_is(m, b, "tool_result") && !write_result(m, b))
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
    pk_member_comma(out);
    pk_buf_adds(out, "{\"role\":\"user\",\"content\":");
    if (!list) {
        pk_dialect_line(out, pk_json_raw(m->in, content));
    } else if (pk_json_count(m->in, content) == 1 && are_texts(m, content) &&
               !pk_pivot_takes(pk_pivot_of(m), PK_EXTRA_CACHE)) {
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
    return pk_make_is(m, block, "thinking") || pk_make_is(m, block, "redacted_thinking");
}

/* Whether another provider can be shown that it is Anthropic's own: thoughts of a provider that signs none
 * have an empty signature (dialect_anthropic_print.c). */
static bool is_signed(const struct pk_maker *m, int block)
{
    return pk_make_is(m, block, "redacted_thinking") ||
           pk_make_string(m, pk_make_get(m, block, "signature")).len > 0;
}

static void write_signed(struct pk_maker *m, int content)
{
    size_t from = m->out->len;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b)) {
        if (!is_thought(m, b) || !is_signed(m, b))
            continue;
        if (m->out->len == from) {
            pk_member_key(m->out, "thinking_blocks");
            pk_buf_addc(m->out, '[');
        }
        pk_member_comma(m->out);
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
        if (pk_make_is(m, b, "thinking"))
            pk_buf_add(&text, pk_make_string(m, pk_make_get(m, b, "thinking")));
    }
    m->out->failed = m->out->failed || text.failed;
    if (count == 0)
        return;
    if (!pk_pivot_takes(pk_pivot_of(m), PK_EXTRA_THOUGHTS)) {
        pk_make_drop(m, "messages.thinking");
        return;
    }
    if (text.len)
        pk_member_text(m->out, "reasoning_content", pk_buf_str(&text));
    if (!pk_pivot_plain(m))
        write_signed(m, content);
}

static bool write_call(struct pk_maker *m, int block)
{
    int id = pk_make_get(m, block, "id"), name = pk_make_get(m, block, "name"),
        input = pk_make_get(m, block, "input");

    if (pk_make_type(m, id) != PK_JSON_STRING || pk_make_type(m, name) != PK_JSON_STRING ||
        pk_make_type(m, input) != PK_JSON_OBJECT)
        return pk_make_refuse(m, "tool_use needs an id, a name and an object as its input");
    pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_dialect_raw(m->out, "id", pk_json_raw(m->in, id));
    pk_buf_adds(m->out, ",\"type\":\"function\",\"function\":{");
    pk_dialect_raw(m->out, "name", pk_json_raw(m->in, name));
    pk_member_text(m->out, "arguments", pk_json_raw(m->in, input));
    pk_buf_addc(m->out, '}');
    if (!pk_pivot_plain(m))
        pk_make_copy(m, block, "extra_content", "extra_content");
    pk_anthropic_close_part(m, block);
    return true;
}

static bool write_calls(struct pk_maker *m, int content, int index)
{
    size_t from = m->out->len;
    int i = 0;

    for (int b = pk_json_first(m->in, content); b >= 0; b = pk_json_next(m->in, content, b), i++) {
        if (!pk_make_is(m, b, "tool_use"))
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
        if (pk_make_is(m, b, "text"))
            return true;
    return false;
}

static bool write_assistant(struct pk_maker *m, int message, int index)
{
    int content = pk_make_get(m, message, "content");

    pk_member_comma(m->out);
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

    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"role\":\"system\",\"content\":");
    if (!list) {
        pk_dialect_line(m->out, pk_json_raw(m->in, content));
    } else if (pk_pivot_takes(pk_pivot_of(m), PK_EXTRA_CACHE)) {
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

bool pk_anthropic_turns(struct pk_maker *m)
{
    int messages = pk_make_get(m, 0, "messages"), system = pk_make_get(m, 0, "system"), i = 0;
    enum pk_json_type type = pk_make_type(m, system);

    if (pk_make_type(m, messages) != PK_JSON_ARRAY || pk_json_count(m->in, messages) == 0)
        return pk_fail(m->err, PK_BAD_REQUEST, "messages: must be a list of at least one message");
    if (type > PK_JSON_NULL && type != PK_JSON_STRING &&
        !(type == PK_JSON_ARRAY && are_texts(m, system)))
        return pk_fail(m->err, PK_BAD_REQUEST, "system: must be a string or a list of texts");
    pk_member_key(m->out, "messages");
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
