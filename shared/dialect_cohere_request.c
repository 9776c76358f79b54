/* dialect_cohere_request.c - the body of Cohere's v2/chat for a chat completion's body.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Cohere's reference of POST /v2/chat. Messages and tools are spelled much like OpenAI's.
 *
 *   assistant           text beside tool calls is tool_plan; reasoning_content goes back as thinking,
 *                       to the models that think
 *   top_p, penalties    clamped to what Cohere takes: p to 0.01..0.99, penalties to 0..1
 *   tool_choice         REQUIRED or NONE; a choice among some functions leaves out the others
 *   strict              strict_tools, when each of the tools is strict
 *   response_format     json_object, with the schema as json_schema
 *   reasoning_effort    thinking: none disables it; minimal, low 1024 tokens, medium 8192, else without
 *                       a limit; dropped for the models that do not think
 */
#include "dialect_cohere.h"

#include <stdio.h>
#include <string.h>

/* Models that do not think refuse to be asked to. */
static bool thinks(const struct pk_maker *m)
{
    static const char *const never[] = {"command-a-03",     "command-a-translate",
                                        "command-a-vision", "command-r",
                                        "command-light",    "c4ai-",
                                        "tiny-aya",         NULL};
    pk_str model = pk_make_string(m, pk_make_get(m, 0, "model"));

    for (int i = 0; never[i]; i++)
        if (pk_str_starts(model, never[i]))
            return false;
    return !pk_str_is(model, "command");
}

/* --- content --------------------------------------------------------------------------------- */

static void write_text(struct pk_maker *m, const char *role, int text, int owner)
{
    (void)role;
    (void)owner;
    if (pk_make_type(m, text) != PK_JSON_STRING || pk_json_raw(m->in, text).len <= 2)
        return;
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"text\"");
    pk_dialect_raw(m->out, "text", pk_json_raw(m->in, text));
    pk_buf_addc(m->out, '}');
}

static bool write_image(struct pk_maker *m, int part)
{
    int image = pk_make_get(m, part, "image_url");
    pk_str url = pk_make_image_url(m, part), media, bytes;

    if (!pk_make_data_url(url, &media, &bytes) && !pk_make_is_web(url))
        return pk_make_refuse(m, "image_url must be a data: URL in base64, or http(s)");
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"image_url\",\"image_url\":{");
    pk_member_text(m->out, "url", url);
    pk_make_copy(m, image, "detail", "detail");
    pk_buf_adds(m->out, "}}");
    return true;
}

/* `role` is the message's. */
static bool write_part(struct pk_maker *m, const char *role, int part)
{
    int type = pk_make_get(m, part, "type");
    bool refusal = pk_json_is(m->in, type, "refusal");

    if (pk_make_has(m, part, "cache_control"))
        pk_make_drop(m, "cache_control");
    if (refusal || pk_json_is(m->in, type, "text")) {
        write_text(m, role, pk_make_get(m, part, refusal ? "refusal" : "text"), part);
        return true;
    }
    if (pk_json_is(m->in, type, "image_url") && strcmp(role, "user") == 0)
        return write_image(m, part);
    if (pk_json_is(m->in, type, "document") && strcmp(role, "tool") == 0) {
        pk_member_comma(m->out);
        pk_dialect_line(m->out, pk_json_raw(m->in, part));
        return true;
    }
    return pk_make_refuse(m, "a part of this type cannot be sent to this provider");
}

/* "content" as the next member. */
static void write_items(struct pk_maker *m, const struct pk_buf *items)
{
    m->out->failed = m->out->failed || items->failed;
    if (items->len == 0)
        return;
    pk_member_key(m->out, "content");
    pk_buf_addc(m->out, '[');
    pk_buf_add(m->out, pk_buf_str(items));
    pk_buf_addc(m->out, ']');
}

/* A string as it is, parts as parts. */
static bool write_content(struct pk_maker *m, const char *role, int message, int index)
{
    int content = pk_make_get(m, message, "content");

    if (pk_make_type(m, content) == PK_JSON_STRING) {
        pk_make_copy(m, message, "content", "content");
        return true;
    }
    struct pk_buf *out = m->out, items = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    m->out = &items;
    bool ok = pk_make_content(m, role, message, index);
    m->out = out;
    write_items(m, &items);
    return ok;
}

static void open_message(struct pk_maker *m, const char *role)
{
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"role\":\"%s\"", role);
}

/* --- what the model said --------------------------------------------------------------------- */

static bool write_call(struct pk_maker *m, int call)
{
    int function = pk_make_get(m, call, "function");
    pk_str arguments = PK_NONE;

    if (pk_make_type(m, pk_make_get(m, call, "id")) != PK_JSON_STRING ||
        pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "a tool call needs an id and function.name");
    if (!pk_make_arguments(m, pk_make_get(m, function, "arguments"), &arguments))
        return false;
    pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, call, "id", "id");
    pk_buf_adds(m->out, ",\"type\":\"function\",\"function\":{");
    pk_make_copy(m, function, "name", "name");
    pk_member_text(m->out, "arguments", arguments);
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool write_calls(struct pk_maker *m, int calls, int index)
{
    int i = 0;

    if (pk_make_type(m, calls) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "tool_calls must be a list");
    pk_member_key(m->out, "tool_calls");
    pk_buf_addc(m->out, '[');
    for (int c = pk_json_first(m->in, calls); c >= 0; c = pk_json_next(m->in, calls, c), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d].tool_calls[%d]", index, i);
        if (!write_call(m, c))
            return false;
    }
    pk_buf_addc(m->out, ']');
    return true;
}

/* All texts of a message as one. */
static pk_str text_of(struct pk_maker *m, int message)
{
    int content = pk_make_get(m, message, "content");
    struct pk_buf text = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (pk_make_type(m, content) == PK_JSON_STRING)
        return pk_make_string(m, content);
    for (int p = pk_json_first(m->in, content); p >= 0; p = pk_json_next(m->in, content, p))
        pk_buf_add(&text, pk_make_string(m, pk_make_get(m, p, "text")));
    m->out->failed = m->out->failed || text.failed;
    return pk_buf_str(&text);
}

/* The content of an assistant: its thinking, and its text unless that is the plan of its calls. */
static bool write_said(struct pk_maker *m, int message, int index, bool plan)
{
    int thought = pk_make_get(m, message, "reasoning_content");
    struct pk_buf *out = m->out, items = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    bool ok = true;

    m->out = &items;
    if (pk_make_type(m, thought) == PK_JSON_STRING && thinks(m)) {
        pk_buf_adds(&items, "{\"type\":\"thinking\"");
        pk_dialect_raw(&items, "thinking", pk_json_raw(m->in, thought));
        pk_buf_addc(&items, '}');
    } else if (pk_make_has(m, message, "reasoning_content")) {
        pk_make_drop(m, "messages.reasoning_content");
    }
    if (!plan) {
        ok = pk_make_content(m, "assistant", message, index);
        write_text(m, "assistant", pk_make_get(m, message, "refusal"), message);
    }
    m->out = out;
    write_items(m, &items);
    return ok;
}

static bool write_assistant(struct pk_maker *m, int message, int index)
{
    static const char *const unsaid[] = {"reasoning", "thinking_blocks", "audio",
                                         "images",    "extra_content",   NULL};
    int calls = pk_make_get(m, message, "tool_calls");
    bool with_calls = pk_make_type(m, calls) > PK_JSON_NULL && pk_json_count(m->in, calls) > 0;
    pk_str plan = with_calls ? text_of(m, message) : PK_NONE;

    for (int i = 0; unsaid[i]; i++)
        if (pk_make_has(m, message, unsaid[i]))
            pk_dialect_drop(m->dropped, pk_copyf(m->arena, "messages.%s", unsaid[i]));
    if (pk_make_has(m, message, "function_call"))
        return pk_make_refuse(m, "function_call is not understood: use tool_calls");
    open_message(m, "assistant");
    if (!write_said(m, message, index, with_calls))
        return false;
    if (plan.len)
        pk_member_text(m->out, "tool_plan", plan);
    if (with_calls && !write_calls(m, calls, index))
        return false;
    pk_buf_addc(m->out, '}');
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

static bool write_result(struct pk_maker *m, int message, int index)
{
    if (pk_make_type(m, pk_make_get(m, message, "tool_call_id")) != PK_JSON_STRING)
        return pk_make_refuse(m, "tool_call_id is missing");
    open_message(m, "tool");
    pk_make_copy(m, message, "tool_call_id", "tool_call_id");
    if (pk_make_has(m, message, "is_error"))
        pk_make_drop(m, "messages.is_error");
    if (!write_content(m, "tool", message, index))
        return false;
    pk_buf_addc(m->out, '}');
    return true;
}

static bool write_message(struct pk_maker *m, int message, int index)
{
    int role = pk_make_get(m, message, "role");
    bool user = pk_json_is(m->in, role, "user");

    if (pk_make_has(m, message, "name"))
        pk_make_drop(m, "messages.name");
    if (pk_make_has(m, message, "cache_control"))
        pk_make_drop(m, "cache_control");
    if (pk_json_is(m->in, role, "assistant"))
        return write_assistant(m, message, index);
    if (pk_json_is(m->in, role, "tool"))
        return write_result(m, message, index);
    if (!user && !pk_make_is_system(m, message))
        return pk_make_refuse(m, "role must be system, developer, user, assistant or tool");
    open_message(m, user ? "user" : "system");
    if (!write_content(m, user ? "user" : "system", message, index))
        return false;
    pk_buf_addc(m->out, '}');
    return true;
}

/* --- tools ----------------------------------------------------------------------------------- */

/* What tool_choice says: a word of Cohere's, and which functions are left. */
struct choice {
    const char *word; /* NULL: the model's own choice */
    int only;         /* a function, or a list of tools; -1: all of them */
};

static struct choice choice_of(struct pk_maker *m)
{
    int choice = pk_make_get(m, 0, "tool_choice"), type = pk_make_get(m, choice, "type");
    int allowed = pk_make_get(m, choice, "allowed_tools");

    if (pk_json_is(m->in, choice, "required") || pk_json_is(m->in, choice, "any"))
        return (struct choice){"REQUIRED", -1};
    if (pk_json_is(m->in, choice, "none"))
        return (struct choice){"NONE", -1};
    if (pk_json_is(m->in, type, "function"))
        return (struct choice){"REQUIRED", pk_make_get(m, choice, "function")};
    if (pk_json_is(m->in, type, "allowed_tools")) {
        bool must = pk_json_is(m->in, pk_make_get(m, allowed, "mode"), "required");

        return (struct choice){must ? "REQUIRED" : NULL, pk_make_get(m, allowed, "tools")};
    }
    if (pk_make_type(m, choice) > PK_JSON_NULL && !pk_json_is(m->in, choice, "auto"))
        pk_make_drop(m, "tool_choice");
    return (struct choice){NULL, -1};
}

static bool is_left(const struct pk_maker *m, const struct choice *choice, int function)
{
    pk_str name = pk_make_string(m, pk_make_get(m, function, "name"));

    if (pk_make_type(m, choice->only) == PK_JSON_OBJECT)
        return pk_str_eq(name, pk_make_string(m, pk_make_get(m, choice->only, "name")));
    if (pk_make_type(m, choice->only) != PK_JSON_ARRAY)
        return true;
    for (int t = pk_json_first(m->in, choice->only); t >= 0;
         t = pk_json_next(m->in, choice->only, t)) {
        int inner = pk_make_get(m, t, "function");

        if (pk_str_eq(name, pk_make_string(m, pk_make_get(m, inner < 0 ? t : inner, "name"))))
            return true;
    }
    return false;
}

static bool write_tool(struct pk_maker *m, int function)
{
    if (pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "function.name is missing");
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"function\",\"function\":{");
    pk_make_copy(m, function, "name", "name");
    pk_make_copy(m, function, "description", "description");
    pk_make_copy(m, function, "parameters", "parameters");
    pk_buf_adds(m->out, "}}");
    return true;
}

/* Appends the tools; *strict: each of them is. */
static bool write_list(struct pk_maker *m, int tools, const struct choice *choice, bool *strict)
{
    bool some = false;
    int i = 0;

    *strict = true;
    for (int t = pk_json_first(m->in, tools); t >= 0; t = pk_json_next(m->in, tools, t), i++) {
        int function = pk_make_get(m, t, "function");
        bool is_strict = pk_json_true(m->in, pk_make_get(m, function, "strict"));

        (void)snprintf(m->path, sizeof m->path, "tools[%d]", i);
        if (pk_make_type(m, t) != PK_JSON_OBJECT)
            return pk_make_refuse(m, "must be an object");
        if (pk_make_type(m, function) != PK_JSON_OBJECT) {
            pk_make_drop(m, m->path);
            continue;
        }
        some = some || is_strict;
        *strict = *strict && is_strict;
        if (pk_make_has(m, t, "cache_control"))
            pk_make_drop(m, "cache_control");
        if (is_left(m, choice, function) && !write_tool(m, function))
            return false;
    }
    if (some && !*strict)
        pk_make_drop(m, "tools.function.strict");
    return true;
}

static bool tools(struct pk_maker *m, int value, const char *to)
{
    struct pk_buf *out = m->out, list = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    bool strict;

    if (pk_make_type(m, value) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    struct choice choice = choice_of(m);
    m->out = &list;
    bool ok = write_list(m, value, &choice, &strict);
    m->out = out;
    out->failed = out->failed || list.failed;
    if (!ok || list.len == 0)
        return ok;
    pk_member_key(out, to);
    pk_buf_addc(out, '[');
    pk_buf_add(out, pk_buf_str(&list));
    pk_buf_addc(out, ']');
    if (strict && !pk_make_has(m, 0, "strict_tools"))
        pk_dialect_raw(out, "strict_tools", PK_STR("true"));
    if (choice.word) {
        pk_member_key(out, "tool_choice");
        pk_buf_addf(out, "\"%s\"", choice.word);
    }
    return true;
}

/* --- fields ---------------------------------------------------------------------------------- */

static bool max_tokens(struct pk_maker *m, int value, const char *to)
{
    return pk_make_has(m, 0, "max_completion_tokens") || pk_make_same(m, value, to);
}

static bool clamped(struct pk_maker *m, int value, const char *to)
{
    static const struct {
        const char *to;
        double least, most;
        pk_str least_text, most_text;
    } ranges[] = {
        {"p", 0.01, 0.99, {"0.01", 4}, {"0.99", 4}},
        {"frequency_penalty", 0, 1, {"0", 1}, {"1", 1}},
        {"presence_penalty", 0, 1, {"0", 1}, {"1", 1}},
    };
    double number;
    size_t i = 0;

    while (strcmp(ranges[i].to, to) != 0)
        i++;
    if (!pk_json_number(m->in, value, &number))
        return pk_fail(m->err, PK_BAD_REQUEST, "%s: must be a number", to);
    pk_dialect_raw(m->out, to,
                   number < ranges[i].least  ? ranges[i].least_text
                   : number > ranges[i].most ? ranges[i].most_text
                                             : pk_json_raw(m->in, value));
    return true;
}

static bool response_format(struct pk_maker *m, int value, const char *to)
{
    int type = pk_make_get(m, value, "type"), json = pk_make_get(m, value, "json_schema");
    int schema = pk_make_get(m, json, "schema");
    bool with_schema = pk_json_is(m->in, type, "json_schema");

    if (pk_json_is(m->in, type, "text"))
        return true;
    if (!with_schema && !pk_json_is(m->in, type, "json_object")) {
        pk_make_drop(m, to);
        return true;
    }
    if (!with_schema) /* may hold a schema in Cohere's own place */
        return pk_make_same(m, value, to);
    pk_member_key(m->out, to);
    pk_buf_adds(m->out, "{\"type\":\"json_object\"");
    if (pk_make_type(m, schema) == PK_JSON_OBJECT)
        pk_dialect_raw(m->out, "json_schema", pk_json_raw(m->in, schema));
    pk_buf_addc(m->out, '}');
    return true;
}

static bool reasoning_effort(struct pk_maker *m, int value, const char *to)
{
    static const char *const efforts[] = {"minimal", "low", "medium", "high", "xhigh", "max", NULL};
    static const char *const low[] = {"minimal", "low", NULL};
    bool none = pk_json_is(m->in, value, "none");

    if (!thinks(m) || pk_make_has(m, 0, "thinking") ||
        (!none && !pk_make_listed(m, value, efforts))) {
        if (!none)
            pk_make_drop(m, to);
        return true;
    }
    pk_member_key(m->out, "thinking");
    pk_buf_addf(m->out, "{\"type\":\"%s\"", none ? "disabled" : "enabled");
    if (pk_make_listed(m, value, low))
        pk_buf_adds(m->out, ",\"token_budget\":1024");
    else if (pk_json_is(m->in, value, "medium"))
        pk_buf_adds(m->out, ",\"token_budget\":8192");
    pk_buf_addc(m->out, '}');
    return true;
}

/* Cohere's own, or Anthropic's, whose budget is called budget_tokens. */
static bool thinking(struct pk_maker *m, int value, const char *to)
{
    int budget = pk_make_get(m, value, "budget_tokens");

    if (budget < 0)
        return pk_make_same(m, value, to);
    pk_member_key(m->out, to);
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, value, "type", "type");
    pk_dialect_raw(m->out, "token_budget", pk_json_raw(m->in, budget));
    pk_buf_addc(m->out, '}');
    return true;
}

/* Several calls at once is what there is. */
static bool parallel(struct pk_maker *m, int value, const char *to)
{
    if (pk_make_type(m, value) == PK_JSON_FALSE)
        pk_make_drop(m, to);
    return true;
}

static const struct pk_make_field fields[] = {
    {"model", "model", pk_make_same},
    {"messages", "", pk_make_nothing},
    {"stream", "stream", pk_make_same},
    {"stream_options", "", pk_make_nothing}, /* usage is always told */
    {"max_completion_tokens", "max_tokens", pk_make_same},
    {"max_tokens", "max_tokens", max_tokens},
    {"temperature", "temperature", pk_make_same},
    {"top_p", "p", clamped},
    {"top_k", "k", pk_make_same},
    {"stop", "stop_sequences", pk_make_list},
    {"seed", "seed", pk_make_same},
    {"n", "n", pk_make_one},
    {"frequency_penalty", "frequency_penalty", clamped},
    {"presence_penalty", "presence_penalty", clamped},
    {"logprobs", "logprobs", pk_make_same},
    {"tools", "tools", tools},
    {"tool_choice", "", pk_make_nothing}, /* with the tools */
    {"parallel_tool_calls", "parallel_tool_calls", parallel},
    {"response_format", "response_format", response_format},
    {"reasoning_effort", "reasoning_effort", reasoning_effort},
    {"thinking", "thinking", thinking},
    {"strict_tools", "strict_tools", pk_make_same}, /* from here: Cohere's own */
    {"documents", "documents", pk_make_same},
    {"citation_options", "citation_options", pk_make_same},
    {"safety_mode", "safety_mode", pk_make_same},
    {"priority", "priority", pk_make_same},
};

bool pk_cohere_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                       struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);

    m.text = write_text;
    m.part = write_part;
    pk_buf_addc(out, '{');
    if (!pk_make_messages(&m, "messages", write_message) ||
        !pk_make_fields(&m, fields, PK_COUNT(fields)))
        return false;
    pk_make_end(&m, fields, PK_COUNT(fields));
    return true;
}
