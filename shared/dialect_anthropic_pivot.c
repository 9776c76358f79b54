/* dialect_anthropic_pivot.c - a chat completion's body for the body of a Messages request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Anthropic's reference of POST /v1/messages, and OpenAI's of chat completions. The messages are in
 * dialect_anthropic_turns.c.
 *
 *   thinking, effort  reasoning_effort: below 4096 tokens low, below 16384 medium, else high
 *   user_id           user, unless it is longer than the 64 characters that OpenAI takes
 *   tools             those with a schema; what only Anthropic runs (web search, bash ...) is dropped
 */
#include "dialect_anthropic.h"
#include "dialect_pivot.h"

#include <stdio.h>

enum { USER_BYTES_MAX = 64, LOW_BELOW = 4096, MEDIUM_BELOW = 16384 };

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
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"function\",\"function\":{");
    pk_make_copy(m, tool, "name", "name");
    pk_make_copy(m, tool, "description", "description");
    pk_make_copy(m, tool, "input_schema", "parameters");
    pk_make_copy(m, tool, "strict", "strict");
    pk_buf_addc(m->out, '}');
    pk_anthropic_close_part(m, tool);
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
    if (pk_make_is(m, choice, "tool")) {
        if (!names_tool(m, list, name))
            return pk_fail(m->err, PK_BAD_REQUEST,
                           "tool_choice.name: this provider is sent no such tool");
        pk_member_key(m->out, "tool_choice");
        pk_buf_addf(m->out, "{\"type\":\"function\",\"function\":{\"name\":%.*s}}",
                    PK_FMT(pk_json_raw(m->in, name)));
        return true;
    }
    if (!pk_make_is(m, choice, "auto") && !pk_make_is(m, choice, "any") &&
        !pk_make_is(m, choice, "none"))
        return pk_fail(m->err, PK_BAD_REQUEST, "tool_choice.type: must be auto, any, tool or none");
    pk_dialect_raw(m->out, "tool_choice",
                   pk_make_is(m, choice, "any")    ? PK_STR("\"required\"")
                   : pk_make_is(m, choice, "none") ? PK_STR("\"none\"")
                                                   : PK_STR("\"auto\""));
    return true;
}

static bool tools(struct pk_maker *m, int list, const char *to)
{
    if (pk_make_type(m, list) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (count_tools(m, list) == 0) {
        if (pk_make_is(m, pk_make_get(m, 0, "tool_choice"), "tool"))
            return pk_fail(m->err, PK_BAD_REQUEST,
                           "tool_choice.name: this provider is sent no such tool");
        return true;
    }
    pk_member_key(m->out, to);
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
        return pk_pivot_plain(m) ? PK_STR("high") : PK_STR("xhigh");
    if (word.len || !pk_make_is(m, thinking, "enabled"))
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
    if (pk_pivot_plain(m) &&
        !pk_pivot_model_thinks(pk_pivot_of(m), pk_make_string(m, pk_make_get(m, 0, "model"))))
        pk_make_drop(m, pk_make_has(m, 0, "thinking") ? "thinking" : "output_config.effort");
    else
        pk_member_text(m->out, "reasoning_effort", effort);
}

/* --- other fields ---------------------------------------------------------------------------- */

static bool metadata(struct pk_maker *m, int value, const char *to)
{
    int id = pk_make_get(m, value, "user_id");

    if (pk_make_type(m, id) != PK_JSON_STRING)
        return true;
    if (pk_pivot_plain(m) && pk_make_string(m, id).len > USER_BYTES_MAX)
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
    if (!pk_make_is(m, format, "json_schema") || pk_make_type(m, schema) != PK_JSON_OBJECT)
        return pk_fail(m->err, PK_BAD_REQUEST, "output_config.format: must be a json_schema");
    pk_member_key(m->out, "response_format");
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
    if (!pk_anthropic_turns(&m) || !pk_pivot_fields(&m, fields, PK_COUNT(fields)))
        return false;
    write_effort(&m);
    pk_buf_addc(m.out, '}');
    return true;
}
