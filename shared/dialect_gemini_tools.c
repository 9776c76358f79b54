/* dialect_gemini_tools.c - tools, and which of them the model may or must use.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Google's reference of Tool and ToolConfig. Google's own tools come as they stand, as an object
 * without "type" ({"google_search":{}}), or as a function of that name without a schema, as Portkey's
 * clients spell them.
 */
#include "dialect_gemini.h"

#include <stdio.h>

static const char *const native_tools[] = {
    "google_search",         "googleSearch", "google_search_retrieval",
    "googleSearchRetrieval", "google_maps",  "googleMaps",
    "url_context",           "urlContext",   "code_execution",
    "codeExecution",         "computer_use", "computerUse",
    "file_search",           "fileSearch",   NULL,
};

static bool is_function(const struct pk_maker *m, int tool)
{
    return pk_make_type(m, pk_make_get(m, tool, "function")) == PK_JSON_OBJECT;
}

/* A function that stands for one of Google's tools: its parameters are the tool's options. */
static bool is_native(const struct pk_maker *m, int tool)
{
    int function = pk_make_get(m, tool, "function");
    int parameters = pk_make_get(m, function, "parameters");

    if (!is_function(m, tool))
        return pk_make_get(m, tool, "type") < 0 && pk_json_count(m->in, tool) > 0;
    return pk_make_listed(m, pk_make_get(m, function, "name"), native_tools) &&
           !pk_make_has(m, parameters, "type");
}

static bool write_function(struct pk_maker *m, int tool)
{
    int function = pk_make_get(m, tool, "function");
    int parameters = pk_make_get(m, function, "parameters");

    if (pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "function.name is missing");
    if (pk_json_true(m->in, pk_make_get(m, function, "strict")))
        pk_make_drop(m, "tools.function.strict");
    if (pk_make_has(m, tool, "cache_control") || pk_make_has(m, function, "cache_control"))
        pk_make_drop(m, "cache_control");
    pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, function, "name", "name");
    pk_make_copy(m, function, "description", "description");
    /* An object without properties is refused there, and says as much as none. */
    if (pk_json_count(m->in, pk_make_get(m, parameters, "properties")) ||
        (pk_make_type(m, parameters) == PK_JSON_OBJECT &&
         pk_make_get(m, parameters, "$ref") >= 0)) {
        pk_member_key(m->out, "parametersJsonSchema");
        pk_gemini_schema(m->out, m->in, parameters);
    }
    pk_buf_addc(m->out, '}');
    return true;
}

static bool write_functions(struct pk_maker *m, int tools)
{
    size_t from = m->out->len;
    int i = 0;

    for (int t = pk_json_first(m->in, tools); t >= 0; t = pk_json_next(m->in, tools, t), i++) {
        (void)snprintf(m->path, sizeof m->path, "tools[%d]", i);
        if (pk_make_type(m, t) != PK_JSON_OBJECT)
            return pk_make_refuse(m, "must be an object");
        if (!is_function(m, t) && !is_native(m, t))
            pk_make_drop(m, m->path);
        if (!is_function(m, t) || is_native(m, t))
            continue;
        if (m->out->len == from)
            pk_buf_adds(m->out, "{\"functionDeclarations\":[");
        if (!write_function(m, t))
            return false;
    }
    if (m->out->len > from)
        pk_buf_adds(m->out, "]}");
    return true;
}

static void write_native(struct pk_maker *m, int tool)
{
    int function = pk_make_get(m, tool, "function");
    int options = pk_make_get(m, function, "parameters");

    pk_member_comma(m->out);
    if (!is_function(m, tool)) {
        pk_dialect_line(m->out, pk_json_raw(m->in, tool));
        return;
    }
    pk_buf_addc(m->out, '{');
    pk_dialect_raw(
        m->out, pk_copy(m->arena, pk_make_string(m, pk_make_get(m, function, "name"))).at,
        pk_make_type(m, options) == PK_JSON_OBJECT ? pk_json_raw(m->in, options) : PK_STR("{}"));
    pk_buf_addc(m->out, '}');
}

/* --- which ----------------------------------------------------------------------------------- */

static void write_name(struct pk_maker *m, int function)
{
    int name = pk_make_get(m, function, "name");

    if (pk_make_type(m, name) != PK_JSON_STRING)
        return;
    pk_member_comma(m->out);
    pk_dialect_line(m->out, pk_json_raw(m->in, name));
}

static void write_mode(struct pk_maker *m, const char *mode)
{
    pk_member_key(m->out, "toolConfig");
    pk_buf_addf(m->out, "{\"functionCallingConfig\":{\"mode\":\"%s\"", mode);
}

/* {"type":"allowed_tools","allowed_tools":{"mode","tools"}}. A choice among some, or none of them, is
 * called VALIDATED there. */
static void write_allowed(struct pk_maker *m, int choice)
{
    int inner = pk_make_get(m, choice, "allowed_tools");
    int allowed = inner < 0 ? choice : inner, tools = pk_make_get(m, allowed, "tools");

    write_mode(m, pk_json_is(m->in, pk_make_get(m, allowed, "mode"), "required") ? "ANY"
                                                                                 : "VALIDATED");
    pk_buf_adds(m->out, ",\"allowedFunctionNames\":[");
    for (int t = pk_json_first(m->in, tools); t >= 0; t = pk_json_next(m->in, tools, t)) {
        int function = pk_make_get(m, t, "function");

        write_name(m, function < 0 ? t : function);
    }
    pk_buf_adds(m->out, "]}}");
}

static void write_choice(struct pk_maker *m)
{
    int choice = pk_make_get(m, 0, "tool_choice"), type = pk_make_get(m, choice, "type");
    int function = pk_make_get(m, choice, "function");
    static const struct {
        const char *choice, *mode;
    } modes[] = {{"auto", "AUTO"}, {"none", "NONE"}, {"required", "ANY"}, {"any", "ANY"}};

    if (pk_make_type(m, choice) <= PK_JSON_NULL)
        return;
    for (size_t i = 0; i < PK_COUNT(modes); i++) {
        if (!pk_json_is(m->in, choice, modes[i].choice))
            continue;
        write_mode(m, modes[i].mode);
        pk_buf_adds(m->out, "}}");
        return;
    }
    if (pk_json_is(m->in, type, "allowed_tools")) {
        write_allowed(m, choice);
    } else if (pk_json_is(m->in, type, "function") &&
               pk_make_type(m, pk_make_get(m, function, "name")) == PK_JSON_STRING) {
        write_mode(m, "ANY");
        pk_buf_adds(m->out, ",\"allowedFunctionNames\":[");
        write_name(m, function);
        pk_buf_adds(m->out, "]}}");
    } else {
        pk_make_drop(m, "tool_choice");
    }
}

bool pk_gemini_tools(struct pk_maker *m)
{
    int tools = pk_make_get(m, 0, "tools");
    struct pk_buf *out = m->out, list = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (pk_make_type(m, pk_make_get(m, 0, "parallel_tool_calls")) == PK_JSON_FALSE)
        pk_make_drop(m, "parallel_tool_calls");
    if (pk_make_type(m, tools) <= PK_JSON_NULL)
        return true;
    if (pk_make_type(m, tools) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    m->out = &list;
    bool ok = write_functions(m, tools);
    bool functions = list.len > 0;
    for (int t = pk_json_first(m->in, tools); t >= 0 && ok; t = pk_json_next(m->in, tools, t))
        if (is_native(m, t))
            write_native(m, t);
    m->out = out;
    out->failed = out->failed || list.failed;
    if (!ok || list.len == 0)
        return ok;
    pk_member_key(out, "tools");
    pk_buf_addc(out, '[');
    pk_buf_add(out, pk_buf_str(&list));
    pk_buf_addc(out, ']');
    if (functions)
        write_choice(m);
    else if (pk_make_has(m, 0, "tool_choice")) /* which is among functions only */
        pk_make_drop(m, "tool_choice");
    return true;
}
