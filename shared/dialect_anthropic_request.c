/* dialect_anthropic_request.c - the body of a Messages request for a chat completion's body.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Anthropic's reference of POST /v1/messages. Values are copied as they stand in the text.
 * Top-level fields are rows of a table; a field without a row is dropped and reported. What
 * would change the meaning of the conversation (a part that cannot be sent) is an error instead.
 *
 *   max_tokens        is required there: max_completion_tokens, max_tokens, else 4096
 *   temperature       is clamped to 0..1
 *   reasoning_effort  becomes a thinking budget (minimal, low 1024; medium 8192; high 24576; xhigh,
 *                     max 32768), or adaptive thinking and output_config.effort for the models that
 *                     decide for themselves. The budget stays 1024 below the client's max_tokens;
 *                     without one, max_tokens is the budget and 4096
 *   sampling          temperature, top_p and top_k are dropped where thinking forbids them
 */
#include "dialect_parts.h"

#include <stdio.h>
#include <string.h>

enum { MAX_TOKENS_DEFAULT = 4096, BUDGET_MIN = 1024, PATH_BYTES_MAX = 96 };

/* How a model thinks. */
enum thinks {
    THINKS_NEVER,
    THINKS_BUDGET,   /* as many tokens as it is given */
    THINKS_ADAPTIVE, /* as much as it likes, by effort */
    THINKS_ITSELF,   /* likewise, and it takes no sampling parameters */
};

static const struct {
    const char *prefix;
    enum thinks thinks;
} models[] = {
    {"claude-3-7", THINKS_BUDGET},
    {"claude-3", THINKS_NEVER},
    {"claude-2", THINKS_NEVER},
    {"claude-instant", THINKS_NEVER},
    {"claude-opus-4-0", THINKS_BUDGET},
    {"claude-opus-4-1", THINKS_BUDGET},
    {"claude-opus-4-2025", THINKS_BUDGET},
    {"claude-opus-4-5", THINKS_BUDGET},
    {"claude-opus-4-6", THINKS_ADAPTIVE},
    {"claude-sonnet-4-0", THINKS_BUDGET},
    {"claude-sonnet-4-2025", THINKS_BUDGET},
    {"claude-sonnet-4-5", THINKS_BUDGET},
    {"claude-sonnet-4-6", THINKS_ADAPTIVE},
    {"claude-haiku-4", THINKS_BUDGET},
    {"claude-", THINKS_ITSELF}, /* 4.7 and later */
    {"", THINKS_BUDGET},        /* other models behind the same API */
};

/* What `thinking` and `output_config.effort` will be, decided before anything is written. */
struct plan {
    enum thinks model;
    bool thinking;      /* the model will think */
    int64_t budget;     /* of reasoning_effort; 0 = none */
    bool adaptive;      /* of reasoning_effort */
    pk_str effort;      /* output_config.effort as JSON; empty = none */
    int64_t max_tokens; /* to be written; 0 = as the client said */
};

struct maker {
    const struct pk_json *in;
    struct pk_arena *arena;
    struct pk_buf *out, *dropped;
    struct pk_error *err;
    struct plan plan;
    const char *role;          /* of the message being written; NULL = none is open */
    char path[PATH_BYTES_MAX]; /* the place in the request, for errors */
};

/* --- small parts ----------------------------------------------------------------------------- */

static int get(const struct maker *m, int object, const char *name)
{
    return pk_json_get(m->in, object, name);
}

static enum pk_json_type type_of(const struct maker *m, int value)
{
    return pk_json_type(m->in, value);
}

static bool has(const struct maker *m, int object, const char *name)
{
    return pk_dialect_has(m->in, object, name);
}

static pk_str string(const struct maker *m, int value)
{
    return pk_json_str(m->arena, m->in, value);
}

static void drop(const struct maker *m, const char *name)
{
    pk_dialect_drop(m->dropped, pk_str_of(name));
}

/* Copies a member as it is, under a name of its own. */
static void copy(const struct maker *m, int object, const char *from, const char *to)
{
    if (has(m, object, from))
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, get(m, object, from)));
}

static bool refuse(const struct maker *m, const char *what)
{
    return pk_fail(m->err, PK_BAD_REQUEST, "%s: %s", m->path, what);
}

static bool listed(const struct maker *m, int value, const char *const names[])
{
    for (int i = 0; names[i]; i++)
        if (pk_json_is(m->in, value, names[i]))
            return true;
    return false;
}

/* --- thinking -------------------------------------------------------------------------------- */

static enum thinks thinks(pk_str model)
{
    size_t i = 0;

    while (!pk_str_starts(model, models[i].prefix))
        i++;
    return models[i].thinks;
}

/* A forced tool call leaves no room to think. */
static bool forces_tool(const struct maker *m)
{
    static const char *const free_choices[] = {"auto", "none", NULL};
    int choice = get(m, 0, "tool_choice"), type = get(m, choice, "type");

    return type_of(m, choice) > PK_JSON_NULL && !listed(m, choice, free_choices) &&
           !listed(m, type, free_choices);
}

/* Whether the conversation stands in the middle of a tool's use without the thinking that led to
 * it, which a model with a budget refuses to go on from. */
static bool thoughts_are_missing(const struct maker *m)
{
    int messages = get(m, 0, "messages"), last = -1;

    for (int i = pk_json_first(m->in, messages); i >= 0; i = pk_json_next(m->in, messages, i))
        if (pk_json_is(m->in, get(m, i, "role"), "assistant"))
            last = i;
    return pk_json_count(m->in, get(m, last, "tool_calls")) > 0 &&
           pk_json_count(m->in, get(m, last, "thinking_blocks")) == 0;
}

static int64_t budget_of(const struct maker *m, int effort)
{
    static const struct {
        const char *effort;
        int64_t budget;
    } budgets[] = {{"minimal", 1024}, {"low", 1024},    {"medium", 8192},
                   {"high", 24576},   {"xhigh", 32768}, {"max", 32768}};

    for (size_t i = 0; i < PK_COUNT(budgets); i++)
        if (pk_json_is(m->in, effort, budgets[i].effort))
            return budgets[i].budget;
    return 0;
}

static void plan_budget(struct maker *m, int64_t budget, int64_t max_tokens)
{
    if (max_tokens && max_tokens - BUDGET_MIN < budget)
        budget = max_tokens - BUDGET_MIN;
    if (budget < BUDGET_MIN || forces_tool(m) || thoughts_are_missing(m)) {
        drop(m, "reasoning_effort");
        return;
    }
    m->plan.budget = budget;
    m->plan.thinking = true;
    if (max_tokens == 0)
        m->plan.max_tokens = budget + MAX_TOKENS_DEFAULT;
}

static void plan_effort(struct maker *m, int64_t max_tokens)
{
    int effort = get(m, 0, "reasoning_effort");
    int64_t budget = budget_of(m, effort);

    if (type_of(m, effort) <= PK_JSON_NULL || pk_json_is(m->in, effort, "none"))
        return;
    if (budget == 0 || m->plan.model == THINKS_NEVER) {
        drop(m, "reasoning_effort");
    } else if (m->plan.model != THINKS_BUDGET) {
        m->plan.effort =
            pk_json_is(m->in, effort, "minimal") ? PK_STR("\"low\"") : pk_json_raw(m->in, effort);
        m->plan.adaptive = !has(m, 0, "thinking") && !forces_tool(m);
        m->plan.thinking = m->plan.thinking || m->plan.adaptive;
        if (max_tokens == 0 && m->plan.thinking)
            m->plan.max_tokens = budget + MAX_TOKENS_DEFAULT;
    } else if (has(m, 0, "thinking")) {
        drop(m, "reasoning_effort");
    } else {
        plan_budget(m, budget, max_tokens);
    }
}

static int max_tokens_member(const struct maker *m)
{
    return get(m, 0, has(m, 0, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens");
}

static bool plan(struct maker *m)
{
    int thinking = get(m, 0, "thinking"), given = max_tokens_member(m);
    int64_t max_tokens = 0;

    if (type_of(m, given) > PK_JSON_NULL &&
        (!pk_json_int(m->in, given, &max_tokens) || max_tokens < 1))
        return pk_fail(m->err, PK_BAD_REQUEST, "max_tokens: must be a positive integer");
    m->plan.model = thinks(string(m, get(m, 0, "model")));
    m->plan.thinking = type_of(m, thinking) > PK_JSON_NULL &&
                       !pk_json_is(m->in, get(m, thinking, "type"), "disabled");
    plan_effort(m, max_tokens);
    if (max_tokens == 0 && m->plan.max_tokens == 0)
        m->plan.max_tokens = MAX_TOKENS_DEFAULT;
    return true;
}

/* --- top-level fields ------------------------------------------------------------------------ */

static bool as_it_is(struct maker *m, int value, const char *name)
{
    pk_dialect_raw(m->out, name, pk_json_raw(m->in, value));
    return true;
}

/* Written elsewhere, or without a meaning there: dropped in silence. */
static bool nothing(struct maker *m, int value, const char *name)
{
    (void)m;
    (void)value;
    (void)name;
    return true;
}

static bool stop(struct maker *m, int value, const char *name)
{
    (void)name;
    if (type_of(m, value) == PK_JSON_STRING) {
        pk_dialect_key(m->out, "stop_sequences");
        pk_buf_addc(m->out, '[');
        pk_buf_add(m->out, pk_json_raw(m->in, value));
        pk_buf_addc(m->out, ']');
    } else if (type_of(m, value) != PK_JSON_ARRAY) {
        return pk_fail(m->err, PK_BAD_REQUEST, "stop: must be a string or a list of strings");
    } else if (pk_json_count(m->in, value)) {
        pk_dialect_raw(m->out, "stop_sequences", pk_json_raw(m->in, value));
    }
    return true;
}

/* A sampling parameter, where the model takes it. Thinking allows only temperature 1 and a top_p
 * of 0.95 or more. */
static bool sampling(struct maker *m, int value, const char *name)
{
    double number;
    pk_str raw = pk_json_raw(m->in, value);

    if (!pk_json_number(m->in, value, &number))
        return pk_fail(m->err, PK_BAD_REQUEST, "%s: must be a number", name);
    bool top_p = strcmp(name, "top_p") == 0, temperature = strcmp(name, "temperature") == 0;
    bool fits = (temperature && number >= 1) || (top_p && number >= 0.95);
    if (m->plan.model == THINKS_ITSELF || (m->plan.thinking && !fits)) {
        drop(m, name);
        return true;
    }
    if (temperature && number > 1)
        raw = PK_STR("1");
    if (temperature && number < 0)
        raw = PK_STR("0");
    pk_dialect_raw(m->out, name, raw);
    return true;
}

static bool user(struct maker *m, int value, const char *name)
{
    (void)name;
    pk_dialect_key(m->out, "metadata");
    pk_buf_adds(m->out, "{\"user_id\":");
    pk_buf_add(m->out, pk_json_raw(m->in, value));
    pk_buf_addc(m->out, '}');
    return true;
}

/* One answer is what there is; more cannot be had. */
static bool one_answer(struct maker *m, int value, const char *name)
{
    if (!pk_str_is(pk_json_raw(m->in, value), "1"))
        drop(m, name);
    return true;
}

/* --- output_config --------------------------------------------------------------------------- */

/* {"type":"json_schema","schema":...}, or empty when the format is text or cannot be expressed. */
static pk_str format_of(const struct maker *m)
{
    int format = get(m, 0, "response_format"), type = get(m, format, "type");
    int schema = get(m, get(m, format, "json_schema"), "schema");

    if (type_of(m, format) <= PK_JSON_NULL || pk_json_is(m->in, type, "text"))
        return PK_NONE;
    if (!pk_json_is(m->in, type, "json_schema") || type_of(m, schema) != PK_JSON_OBJECT) {
        drop(m, "response_format");
        return PK_NONE;
    }
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    pk_buf_adds(&out, "{\"type\":\"json_schema\"");
    pk_dialect_raw(&out, "schema", pk_json_raw(m->in, schema));
    pk_buf_addc(&out, '}');
    return pk_buf_str(&out);
}

/* The client's own output_config, with what its OpenAI fields mean. */
static void write_output_config(struct maker *m)
{
    int own = get(m, 0, "output_config");
    pk_str format = format_of(m);
    struct pk_json_edit edits[2];
    int count = 0;

    if (m->plan.effort.len && !has(m, own, "effort"))
        edits[count++] = (struct pk_json_edit){PK_STR("effort"), m->plan.effort};
    if (format.len && !has(m, own, "format"))
        edits[count++] = (struct pk_json_edit){PK_STR("format"), format};
    if (type_of(m, own) == PK_JSON_OBJECT) {
        struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

        pk_json_splice(&out, m->in, own, edits, count);
        pk_dialect_raw(m->out, "output_config", pk_buf_str(&out));
        return;
    }
    if (count == 0)
        return;
    pk_dialect_key(m->out, "output_config");
    pk_buf_addc(m->out, '{');
    for (int i = 0; i < count; i++)
        pk_dialect_raw(m->out, edits[i].name.at, edits[i].value);
    pk_buf_addc(m->out, '}');
}

/* --- tools ----------------------------------------------------------------------------------- */

static bool write_function(struct maker *m, int tool, int function)
{
    if (type_of(m, get(m, function, "name")) != PK_JSON_STRING)
        return refuse(m, "function.name is missing");
    pk_dialect_comma(m->out);
    pk_buf_addc(m->out, '{');
    copy(m, function, "name", "name");
    copy(m, function, "description", "description");
    if (has(m, function, "parameters"))
        copy(m, function, "parameters", "input_schema");
    else
        pk_dialect_raw(m->out, "input_schema", PK_STR("{\"type\":\"object\",\"properties\":{}}"));
    copy(m, function, "strict", "strict");
    copy(m, has(m, tool, "cache_control") ? tool : function, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* Anthropic's own tools (web search, bash ...) stand as they are. */
static bool write_tool(struct maker *m, int tool)
{
    int function = get(m, tool, "function");

    if (type_of(m, tool) != PK_JSON_OBJECT)
        return refuse(m, "must be an object");
    if (type_of(m, function) == PK_JSON_OBJECT)
        return write_function(m, tool, function);
    if (type_of(m, get(m, tool, "name")) != PK_JSON_STRING) {
        drop(m, m->path);
        return true;
    }
    pk_dialect_comma(m->out);
    pk_dialect_line(m->out, pk_json_raw(m->in, tool));
    return true;
}

static bool tools(struct maker *m, int value, const char *name)
{
    int i = 0;

    if (type_of(m, value) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "tools: must be a list");
    if (pk_json_count(m->in, value) == 0)
        return true;
    pk_dialect_key(m->out, name);
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
static bool write_choice(struct maker *m, int choice, struct pk_buf *out)
{
    static const char *const own[] = {"auto", "none", "any", "tool", NULL};
    int type = get(m, choice, "type"), name = get(m, get(m, choice, "function"), "name");

    if (type_of(m, choice) <= PK_JSON_NULL || pk_json_is(m->in, choice, "auto")) {
        pk_buf_adds(out, "{\"type\":\"auto\"");
    } else if (pk_json_is(m->in, choice, "none")) {
        pk_buf_adds(out, "{\"type\":\"none\"");
    } else if (pk_json_is(m->in, choice, "required") || pk_json_is(m->in, choice, "any")) {
        pk_buf_adds(out, "{\"type\":\"any\"");
    } else if (pk_json_is(m->in, type, "function") && type_of(m, name) == PK_JSON_STRING) {
        pk_buf_adds(out, "{\"type\":\"tool\"");
        pk_dialect_raw(out, "name", pk_json_raw(m->in, name));
    } else if (listed(m, type, own)) {
        pk_str raw = pk_json_raw(m->in, choice);

        pk_dialect_line(out, pk_str_sub(raw, 0, raw.len - 1));
    } else {
        return false;
    }
    return true;
}

/* A choice without tools is refused there and means nothing here. */
static void write_tool_choice(struct maker *m)
{
    int choice = get(m, 0, "tool_choice"), parallel = get(m, 0, "parallel_tool_calls");
    bool single = type_of(m, parallel) == PK_JSON_FALSE;
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (pk_json_count(m->in, get(m, 0, "tools")) == 0 ||
        (type_of(m, choice) <= PK_JSON_NULL && !single))
        return;
    if (!write_choice(m, choice, &out)) {
        drop(m, "tool_choice");
        return;
    }
    if (single && !pk_str_starts(pk_buf_str(&out), "{\"type\":\"none\""))
        pk_buf_adds(&out, ",\"disable_parallel_tool_use\":true");
    pk_buf_addc(&out, '}');
    pk_dialect_raw(m->out, "tool_choice", pk_buf_str(&out));
}

/* --- content --------------------------------------------------------------------------------- */

/* Opens the message that the next block goes into: blocks of the same role share one, so that
 * parallel tool results and what the user adds to them stand together. */
static void open_message(struct maker *m, const char *role)
{
    if (m->role && strcmp(m->role, role) == 0) {
        pk_dialect_comma(m->out);
        return;
    }
    if (m->role)
        pk_buf_adds(m->out, "]}");
    pk_dialect_comma(m->out);
    pk_buf_addf(m->out, "{\"role\":\"%s\",\"content\":[", role);
    m->role = role;
}

static void close_message(struct maker *m)
{
    if (m->role)
        pk_buf_adds(m->out, "]}");
    m->role = NULL;
}

/* A text block; none for empty text, which the API refuses. */
static void write_text(struct maker *m, const char *role, int text, int cache)
{
    if (type_of(m, text) != PK_JSON_STRING || pk_json_raw(m->in, text).len <= 2)
        return;
    if (role)
        open_message(m, role);
    else
        pk_dialect_comma(m->out);
    pk_buf_adds(m->out, "{\"type\":\"text\"");
    pk_dialect_raw(m->out, "text", pk_json_raw(m->in, text));
    copy(m, cache, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
}

/* What "data:TYPE;...;base64,DATA" says; false when it is not one. */
static bool data_url(pk_str url, pk_str *media, pk_str *bytes)
{
    int comma = pk_str_find(url, ',');
    pk_str head = comma < 0 ? PK_NONE : pk_str_sub(url, 5, (size_t)comma - 5);
    int semicolon = pk_str_find(head, ';');

    if (!pk_str_starts(url, "data:") || semicolon <= 0 || !pk_str_ends(head, ";base64"))
        return false;
    *media = pk_str_sub(head, 0, (size_t)semicolon);
    *bytes = pk_str_sub(url, (size_t)comma + 1, url.len);
    return true;
}

static void write_base64(struct maker *m, pk_str media, pk_str bytes)
{
    pk_buf_adds(m->out, "{\"type\":\"base64\"");
    pk_dialect_text(m->out, "media_type", media);
    pk_dialect_text(m->out, "data", bytes);
    pk_buf_addc(m->out, '}');
}

static void write_source_url(struct maker *m, pk_str url)
{
    pk_buf_adds(m->out, "{\"type\":\"url\"");
    pk_dialect_text(m->out, "url", url);
    pk_buf_addc(m->out, '}');
}

static bool is_web(pk_str url)
{
    return pk_str_starts(url, "http://") || pk_str_starts(url, "https://");
}

static void open_block(struct maker *m, const char *type)
{
    pk_dialect_comma(m->out);
    pk_buf_addf(m->out, "{\"type\":\"%s\"", type);
}

static bool write_image(struct maker *m, int part)
{
    int image = get(m, part, "image_url"), detail = get(m, image, "detail");
    pk_str url = string(m, type_of(m, image) == PK_JSON_STRING ? image : get(m, image, "url"));
    pk_str media = PK_NONE, bytes = PK_NONE;
    bool inlined = data_url(url, &media, &bytes);

    if (!inlined && !is_web(url))
        return refuse(m, "image_url must be a data: URL in base64, or http(s)");
    if (type_of(m, detail) > PK_JSON_NULL && !pk_json_is(m->in, detail, "auto"))
        drop(m, "image_url.detail");
    open_block(m, pk_str_is(media, "application/pdf") ? "document" : "image");
    pk_dialect_key(m->out, "source");
    if (inlined)
        write_base64(m, media, bytes);
    else
        write_source_url(m, url);
    copy(m, part, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* A file by its bytes, by the id that Anthropic gave it, or by its address. */
static bool write_file_source(struct maker *m, int file)
{
    pk_str data = string(m, get(m, file, "file_data")), id = string(m, get(m, file, "file_id"));
    pk_str media = PK_STR("application/pdf"), bytes = data;
    bool inlined = data.len && (data_url(data, &media, &bytes) || !pk_str_starts(data, "data:"));
    bool image = pk_str_starts(media, "image/");

    if (!inlined && id.len == 0)
        return refuse(m, "a file needs file_data in base64, or file_id");
    if (inlined && !image && !pk_str_is(media, "application/pdf"))
        return refuse(m, "only PDF and image files can be sent to this provider");
    open_block(m, image ? "image" : "document");
    pk_dialect_key(m->out, "source");
    if (inlined) {
        write_base64(m, media, bytes);
    } else if (is_web(id)) {
        write_source_url(m, id);
    } else {
        pk_buf_adds(m->out, "{\"type\":\"file\"");
        pk_dialect_text(m->out, "file_id", id);
        pk_buf_addc(m->out, '}');
    }
    if (!image)
        copy(m, file, "filename", "title");
    return true;
}

static bool write_file(struct maker *m, int part)
{
    if (!write_file_source(m, get(m, part, "file")))
        return false;
    copy(m, part, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

/* One part of a content list, as a block. `role` opens its message; NULL: inside a tool result. */
static bool write_part(struct maker *m, const char *role, int part)
{
    static const char *const own[] = {"image",       "document",         "search_result",
                                      "thinking",    "tool_use",         "redacted_thinking",
                                      "tool_result", "container_upload", NULL};
    int type = get(m, part, "type");

    if (pk_json_is(m->in, type, "text") || pk_json_is(m->in, type, "refusal")) {
        write_text(m, role, get(m, part, pk_json_is(m->in, type, "text") ? "text" : "refusal"),
                   part);
        return true;
    }
    bool image = pk_json_is(m->in, type, "image_url"), file = pk_json_is(m->in, type, "file");
    if (!image && !file && !listed(m, type, own))
        return refuse(m, "a part of this type cannot be sent to this provider");
    if (role)
        open_message(m, role);
    if (image)
        return write_image(m, part);
    if (file)
        return write_file(m, part);
    pk_dialect_comma(m->out);
    pk_dialect_line(m->out, pk_json_raw(m->in, part));
    return true;
}

static bool write_content(struct maker *m, const char *role, int message, int index)
{
    int content = get(m, message, "content"), i = 0;

    if (type_of(m, content) <= PK_JSON_NULL)
        return true;
    if (type_of(m, content) == PK_JSON_STRING) {
        write_text(m, role, content, message);
        return true;
    }
    if (type_of(m, content) != PK_JSON_ARRAY)
        return refuse(m, "content must be a string or a list of parts");
    for (int p = pk_json_first(m->in, content); p >= 0; p = pk_json_next(m->in, content, p), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d].content[%d]", index, i);
        if (!write_part(m, role, p))
            return false;
    }
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

/* A call's arguments, which are JSON in a string, as the JSON itself. */
static bool write_arguments(struct maker *m, int arguments)
{
    struct pk_json doc;
    struct pk_error unused;
    pk_str text = pk_str_trim(string(m, arguments));

    if (type_of(m, arguments) == PK_JSON_OBJECT)
        text = pk_json_raw(m->in, arguments);
    if (text.len == 0)
        text = PK_STR("{}");
    if (!pk_json_parse(m->arena, text, "arguments", &doc, &unused) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return refuse(m, "function.arguments must be a JSON object in a string");
    pk_dialect_raw(m->out, "input", text);
    return true;
}

static bool write_call(struct maker *m, int call)
{
    int function = get(m, call, "function");

    if (type_of(m, get(m, call, "id")) != PK_JSON_STRING ||
        type_of(m, get(m, function, "name")) != PK_JSON_STRING)
        return refuse(m, "a tool call needs an id and function.name");
    open_message(m, "assistant");
    pk_buf_adds(m->out, "{\"type\":\"tool_use\"");
    copy(m, call, "id", "id");
    copy(m, function, "name", "name");
    if (!write_arguments(m, get(m, function, "arguments")))
        return false;
    copy(m, call, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

static bool write_calls(struct maker *m, int message, int index)
{
    int calls = get(m, message, "tool_calls"), i = 0;

    if (type_of(m, calls) > PK_JSON_NULL && type_of(m, calls) != PK_JSON_ARRAY)
        return refuse(m, "tool_calls must be a list");
    for (int c = pk_json_first(m->in, calls); c >= 0; c = pk_json_next(m->in, calls, c), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d].tool_calls[%d]", index, i);
        if (!write_call(m, c))
            return false;
    }
    return true;
}

/* Thinking goes first, as it came: the API checks its signature. */
static bool write_assistant(struct maker *m, int message, int index)
{
    int blocks = get(m, message, "thinking_blocks");

    close_message(m);
    for (int b = pk_json_first(m->in, blocks); b >= 0; b = pk_json_next(m->in, blocks, b)) {
        open_message(m, "assistant");
        pk_dialect_line(m->out, pk_json_raw(m->in, b));
    }
    if (pk_json_count(m->in, blocks) == 0 && has(m, message, "reasoning_content"))
        drop(m, "messages.reasoning_content");
    if (has(m, message, "audio"))
        drop(m, "messages.audio");
    if (has(m, message, "function_call"))
        return refuse(m, "function_call is not understood: use tool_calls");
    if (!write_content(m, "assistant", message, index))
        return false;
    write_text(m, "assistant", get(m, message, "refusal"), -1);
    return write_calls(m, message, index);
}

static bool write_result(struct maker *m, int message, int index)
{
    int content = get(m, message, "content");

    if (type_of(m, get(m, message, "tool_call_id")) != PK_JSON_STRING)
        return refuse(m, "tool_call_id is missing");
    open_message(m, "user");
    pk_buf_adds(m->out, "{\"type\":\"tool_result\"");
    copy(m, message, "tool_call_id", "tool_use_id");
    if (type_of(m, content) == PK_JSON_STRING) {
        copy(m, message, "content", "content");
    } else if (pk_json_count(m->in, content)) {
        pk_dialect_key(m->out, "content");
        pk_buf_addc(m->out, '[');
        if (!write_content(m, NULL, message, index))
            return false;
        pk_buf_addc(m->out, ']');
    }
    copy(m, message, "is_error", "is_error");
    copy(m, message, "cache_control", "cache_control");
    pk_buf_addc(m->out, '}');
    return true;
}

static bool is_system(const struct maker *m, int message)
{
    static const char *const roles[] = {"system", "developer", NULL};

    return listed(m, get(m, message, "role"), roles);
}

static bool write_message(struct maker *m, int message, int index)
{
    int role = get(m, message, "role");

    if (has(m, message, "name") && !pk_json_is(m->in, role, "tool"))
        drop(m, "messages.name");
    if (pk_json_is(m->in, role, "user"))
        return write_content(m, "user", message, index);
    if (pk_json_is(m->in, role, "assistant"))
        return write_assistant(m, message, index);
    if (pk_json_is(m->in, role, "tool"))
        return write_result(m, message, index);
    return is_system(m, message) ||
           refuse(m, "role must be system, developer, user, assistant or tool");
}

/* Every system message, wherever it stands, as text blocks. */
static bool write_system(struct maker *m, int messages)
{
    struct pk_buf *out = m->out, blocks = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    bool ok = true;
    int i = 0;

    m->out = &blocks;
    for (int v = pk_json_first(m->in, messages); v >= 0 && ok;
         v = pk_json_next(m->in, messages, v), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d]", i);
        if (is_system(m, v))
            ok = write_content(m, NULL, v, i);
    }
    m->out = out;
    if (!ok || blocks.len == 0)
        return ok;
    pk_dialect_key(out, "system");
    pk_buf_addc(out, '[');
    pk_buf_add(out, pk_buf_str(&blocks));
    pk_buf_addc(out, ']');
    return true;
}

static bool write_messages(struct maker *m)
{
    int messages = get(m, 0, "messages"), i = 0;

    if (type_of(m, messages) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "messages: must be a list");
    if (!write_system(m, messages))
        return false;
    pk_dialect_key(m->out, "messages");
    pk_buf_addc(m->out, '[');
    size_t empty = m->out->len;
    for (int v = pk_json_first(m->in, messages); v >= 0;
         v = pk_json_next(m->in, messages, v), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d]", i);
        if (!write_message(m, v, i))
            return false;
    }
    close_message(m);
    if (m->out->len == empty && !m->out->failed)
        return pk_fail(m->err, PK_BAD_REQUEST, "messages: this provider needs one of a user");
    pk_buf_addc(m->out, ']');
    return true;
}

/* --- the whole ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool (*write)(struct maker *m, int value, const char *name);
} fields[] = {
    {"model", nothing},
    {"messages", nothing},
    {"max_tokens", nothing},
    {"max_completion_tokens", nothing},
    {"reasoning_effort", nothing},
    {"response_format", nothing},
    {"output_config", nothing},
    {"tool_choice", nothing},
    {"parallel_tool_calls", nothing},
    {"stream_options", nothing}, /* usage is always told */
    {"stream", as_it_is},
    {"temperature", sampling},
    {"top_p", sampling},
    {"top_k", sampling},
    {"stop", stop},
    {"n", one_answer},
    {"thinking", as_it_is},
    {"user", user},
    {"tools", tools},
    {"cache_control", as_it_is}, /* from here: Anthropic's own */
    {"container", as_it_is},
    {"context_management", as_it_is},
    {"inference_geo", as_it_is},
    {"mcp_servers", as_it_is},
};

static void report_unknown(struct maker *m)
{
    for (int k = pk_json_first(m->in, 0); k >= 0; k = pk_json_next(m->in, 0, k)) {
        bool known = pk_json_type(m->in, k + 1) == PK_JSON_NULL;

        for (size_t i = 0; i < PK_COUNT(fields) && !known; i++)
            known = pk_json_is(m->in, k, fields[i].name);
        if (!known)
            pk_dialect_drop(m->dropped, string(m, k));
    }
}

static bool write_fields(struct maker *m)
{
    for (size_t i = 0; i < PK_COUNT(fields); i++)
        if (has(m, 0, fields[i].name) &&
            !fields[i].write(m, get(m, 0, fields[i].name), fields[i].name))
            return false;
    return true;
}

static void write_thinking(struct maker *m)
{
    if (m->plan.budget) {
        pk_dialect_key(m->out, "thinking");
        pk_buf_addf(m->out, "{\"type\":\"enabled\",\"budget_tokens\":%lld}",
                    (long long)m->plan.budget);
    } else if (m->plan.adaptive) {
        pk_dialect_raw(m->out, "thinking", PK_STR("{\"type\":\"adaptive\"}"));
    }
}

bool pk_anthropic_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                          struct pk_error *err)
{
    struct maker m = {.in = body, .arena = out->arena, .out = out, .dropped = dropped, .err = err};

    if (!plan(&m))
        return false;
    pk_buf_addc(out, '{');
    copy(&m, 0, "model", "model");
    pk_dialect_key(out, "max_tokens");
    if (m.plan.max_tokens)
        pk_buf_addf(out, "%lld", (long long)m.plan.max_tokens);
    else
        pk_buf_add(out, pk_json_raw(body, max_tokens_member(&m)));
    if (!write_messages(&m) || !write_fields(&m))
        return false;
    write_thinking(&m);
    write_tool_choice(&m);
    write_output_config(&m);
    report_unknown(&m);
    pk_buf_addc(out, '}');
    return true;
}
