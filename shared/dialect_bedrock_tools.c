/* dialect_bedrock_tools.c - "toolConfig": tools, and the choice among them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_bedrock.h"

#include <stdio.h>

static bool write_function(struct pk_maker *m, int tool, int function)
{
    int description = pk_make_get(m, function, "description");

    if (pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "function.name is missing");
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"toolSpec\":{");
    pk_make_copy(m, function, "name", "name");
    if (pk_make_type(m, description) == PK_JSON_STRING && pk_json_raw(m->in, description).len > 2)
        pk_make_copy(m, function, "description", "description");
    pk_member_key(m->out, "inputSchema");
    pk_buf_addc(m->out, '{');
    if (pk_make_has(m, function, "parameters"))
        pk_make_copy(m, function, "parameters", "json");
    else
        pk_dialect_raw(m->out, "json", PK_STR("{\"type\":\"object\",\"properties\":{}}"));
    pk_buf_addc(m->out, '}');
    if (pk_bedrock_plan_of(m)->model.formats)
        pk_make_copy(m, function, "strict", "strict");
    else if (pk_json_true(m->in, pk_make_get(m, function, "strict")))
        pk_make_drop(m, "tools.strict");
    pk_buf_adds(m->out, "}}");
    pk_bedrock_cache_point(m, pk_make_has(m, tool, "cache_control") ? tool : function);
    return true;
}

/* Converse's own kinds of tools stand as they are. */
static bool write_tool(struct pk_maker *m, int tool)
{
    static const char *const own[] = {"toolSpec", "systemTool", "cachePoint", NULL};
    int function = pk_make_get(m, tool, "function");

    if (pk_make_type(m, tool) != PK_JSON_OBJECT)
        return pk_make_refuse(m, "must be an object");
    if (pk_make_type(m, function) == PK_JSON_OBJECT)
        return write_function(m, tool, function);
    if (pk_json_count(m->in, tool) != 1 || !pk_make_listed(m, pk_json_first(m->in, tool), own)) {
        pk_make_drop(m, m->path);
        return true;
    }
    pk_member_comma(m->out);
    pk_dialect_line(m->out, pk_json_raw(m->in, tool));
    return true;
}

/* Whether the conversation has calls or results of tools, which are refused without toolConfig. */
static bool used_tools(const struct pk_maker *m)
{
    int messages = pk_make_get(m, 0, "messages");

    for (int i = pk_json_first(m->in, messages); i >= 0; i = pk_json_next(m->in, messages, i))
        if (pk_json_is(m->in, pk_make_get(m, i, "role"), "tool") ||
            pk_json_count(m->in, pk_make_get(m, i, "tool_calls")) > 0)
            return true;
    return false;
}

/* "none" is unknown there, and so is a choice among some: reported. Auto is what holds without one. */
static void write_choice(struct pk_maker *m)
{
    static const char *const own[] = {"auto", "any", "tool", NULL};
    int choice = pk_make_get(m, 0, "tool_choice");
    int name = pk_make_get(m, pk_make_get(m, choice, "function"), "name");

    if (pk_make_type(m, choice) <= PK_JSON_NULL || pk_json_is(m->in, choice, "auto"))
        return;
    if (pk_json_is(m->in, choice, "required") || pk_json_is(m->in, choice, "any")) {
        pk_dialect_raw(m->out, "toolChoice", PK_STR("{\"any\":{}}"));
    } else if (pk_make_type(m, name) == PK_JSON_STRING) {
        pk_member_key(m->out, "toolChoice");
        pk_buf_adds(m->out, "{\"tool\":{");
        pk_dialect_raw(m->out, "name", pk_json_raw(m->in, name));
        pk_buf_adds(m->out, "}}");
    } else if (pk_make_type(m, choice) == PK_JSON_OBJECT && pk_json_count(m->in, choice) == 1 &&
               pk_make_listed(m, pk_json_first(m->in, choice), own)) {
        pk_dialect_raw(m->out, "toolChoice", pk_json_raw(m->in, choice));
    } else {
        pk_make_drop(m, "tool_choice");
    }
}

bool pk_bedrock_tools(struct pk_maker *m)
{
    int tools = pk_make_get(m, 0, "tools"), i = 0;
    size_t before = m->out->len, empty;
    bool none = pk_json_is(m->in, pk_make_get(m, 0, "tool_choice"), "none");

    if (pk_make_type(m, pk_make_get(m, 0, "parallel_tool_calls")) == PK_JSON_FALSE)
        pk_make_drop(m, "parallel_tool_calls");
    if (pk_make_type(m, tools) <= PK_JSON_NULL)
        return true;
    if (pk_make_type(m, tools) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (pk_json_count(m->in, tools) == 0 || (none && !used_tools(m)))
        return true; /* without tools none can be called */
    pk_member_key(m->out, "toolConfig");
    pk_buf_adds(m->out, "{\"tools\":[");
    empty = m->out->len;
    for (int t = pk_json_first(m->in, tools); t >= 0; t = pk_json_next(m->in, tools, t), i++) {
        (void)snprintf(m->path, sizeof m->path, "tools[%d]", i);
        if (!write_tool(m, t))
            return false;
    }
    if (m->out->len == empty) { /* all of them were dropped */
        m->out->len = before;
        return true;
    }
    pk_buf_addc(m->out, ']');
    write_choice(m);
    pk_buf_addc(m->out, '}');
    return true;
}
