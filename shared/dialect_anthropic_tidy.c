/* dialect_anthropic_tidy.c - a conversation that another provider has had a part in, on its way to Anthropic.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What dialect_anthropic_print.c gives to a client that Anthropic itself never gives, and so refuses: thinking
 * blocks with an empty signature, and extra_content in tool_use. Every other byte stays as it came.
 */
#include "dialect_anthropic.h"
#include "dialect_parts.h"

#include <string.h>

/* Whether `text` has the member `name` (with its quotes) with what `value` begins with. */
static bool has_member(pk_str text, const char *name, const char *value)
{
    size_t len = strlen(name);

    for (;;) {
        const char *at = text.len ? memmem(text.at, text.len, name, len) : NULL;

        if (!at)
            return false;
        text = pk_str_sub(text, (size_t)(at - text.at) + len, text.len);
        pk_str rest = pk_str_trim(text);
        if (!pk_str_starts(rest, ":"))
            continue;
        if (pk_str_starts(pk_str_trim(pk_str_sub(rest, 1, rest.len)), value))
            return true;
    }
}

static bool is_unsigned(const struct pk_json *doc, int block)
{
    return pk_json_is(doc, pk_json_get(doc, block, "type"), "thinking") &&
           pk_json_is(doc, pk_json_get(doc, block, "signature"), "");
}

static bool has_extra(const struct pk_json *doc, int block)
{
    return pk_json_is(doc, pk_json_get(doc, block, "type"), "tool_use") &&
           pk_json_get(doc, block, "extra_content") >= 0;
}

static bool needs_it(const struct pk_json *doc, int content)
{
    if (pk_json_type(doc, content) != PK_JSON_ARRAY)
        return false;
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b))
        if (is_unsigned(doc, b) || has_extra(doc, b))
            return true;
    return false;
}

static void copy_content(const struct pk_json *doc, int content, struct pk_buf *out)
{
    const struct pk_json_edit edit = {PK_STR("extra_content"), PK_NONE};

    pk_buf_addc(out, '[');
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b)) {
        if (is_unsigned(doc, b))
            continue;
        pk_member_comma(out);
        if (has_extra(doc, b))
            pk_json_splice(out, doc, b, &edit, 1);
        else
            pk_buf_add(out, pk_json_raw(doc, b));
    }
    pk_buf_addc(out, ']');
}

bool pk_anthropic_wants_tidying(pk_str body)
{
    return has_member(body, "\"signature\"", "\"\"") || has_member(body, "\"extra_content\"", "");
}

void pk_anthropic_tidy(const struct pk_json *body, struct pk_buf *out)
{
    int messages = pk_json_get(body, 0, "messages");
    size_t from = 0;

    for (int m = pk_json_first(body, messages); m >= 0; m = pk_json_next(body, messages, m)) {
        int content = pk_json_get(body, m, "content");

        if (!needs_it(body, content))
            continue;
        pk_buf_add(out, pk_str_sub(body->text, from, body->nodes[content].start - from));
        copy_content(body, content, out);
        from = body->nodes[content].end;
    }
    pk_buf_add(out, pk_str_sub(body->text, from, body->text.len));
}
