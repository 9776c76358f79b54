/* dialect_openai.c - chat completions, the shape that most providers speak, as they are read.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "chat" and "chat streaming" pages of OpenAI's API reference, and what compatible
 * providers add: `reasoning_content` or `reasoning` beside `content`, usage in other places, an
 * error object in a stream or in a 200, in a choice too. As the back, bytes pass; here they are only
 * understood. Some end a stream without [DONE]: it is whole when every choice has said why it stopped.
 */
#include "dialect_openai.h"

#include "dialect_read.h"

/* --- usage ----------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t first_of(int64_t a, int64_t b)
{
    return a ? a : b;
}

enum usage_name { U_PROMPT, U_COMPLETION, U_TOTAL, U_IN, U_OUT, U_HIT, U_CACHED, USAGE_NAMES };
static const pk_str usage_names[USAGE_NAMES + 1] = {
    [U_PROMPT] = PK_NAME("prompt_tokens"),
    [U_COMPLETION] = PK_NAME("completion_tokens"),
    [U_TOTAL] = PK_NAME("total_tokens"),
    [U_IN] = PK_NAME("prompt_tokens_details"),
    [U_OUT] = PK_NAME("completion_tokens_details"),
    [U_HIT] = PK_NAME("prompt_cache_hit_tokens"),
    [U_CACHED] = PK_NAME("cached_tokens"),
};

/* prompt_tokens includes what was read from the cache, completion_tokens what was thought. Where
 * the total is more than both, the rest was thought too (xAI, Gemini). Cache hits are spelled in
 * three ways: OpenAI's, DeepSeek's, Moonshot's. False when `usage` is no object. */
static bool read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    *u = (struct pk_usage){0};
    if (pk_json_type(doc, usage) != PK_JSON_OBJECT) /* as in most events of a stream */
        return pk_json_type(doc, usage) <= PK_JSON_NULL;
    int at[USAGE_NAMES];
    pk_json_members(doc, usage, usage_names, at);
    int64_t prompt = pk_dialect_count_of(doc, at[U_PROMPT]);
    int64_t completion = pk_dialect_count_of(doc, at[U_COMPLETION]);
    int64_t cached = first_of(
        pk_dialect_count(doc, at[U_IN], "cached_tokens"),
        first_of(pk_dialect_count_of(doc, at[U_HIT]), pk_dialect_count_of(doc, at[U_CACHED])));
    int64_t written = pk_dialect_count(doc, at[U_IN], "cache_write_tokens");
    int64_t thought = pk_dialect_count(doc, at[U_OUT], "reasoning_tokens");
    int64_t beyond = pk_dialect_count_of(doc, at[U_TOTAL]) - prompt - completion;

    u->source = PK_USAGE_PROVIDER;
    u->cache_read = least(cached, prompt);
    u->cache_write = least(written, prompt - u->cache_read);
    u->input = prompt - u->cache_read - u->cache_write;
    u->reasoning = beyond > 0 ? beyond : least(thought, completion);
    u->output = beyond > 0 ? completion : completion - u->reasoning;
    return true;
}

/* --- answers that failed --------------------------------------------------------------------- */

/* What OpenRouter, Mistral and DeepSeek say where the model was cut off by a failure of theirs. */
static bool is_failure(const struct pk_json *doc, int reason)
{
    return pk_json_is(doc, reason, "error") ||
           pk_json_is(doc, reason, "insufficient_system_resource");
}

/* Whether a choice is a failure, with its members `reason` and `error`; its words, if it has some, or the reason. */
static bool read_failure(struct pk_arena *arena, const struct pk_json *doc, int reason, int error,
                         struct pk_fault *f)
{
    if (pk_json_count(doc, error) == 0 && !is_failure(doc, reason))
        return false;
    *f = (struct pk_fault){
        .message = pk_json_str(arena, doc, pk_json_get(doc, error, "message")),
        .type = pk_json_str(arena, doc, reason),
        .code = pk_json_raw(doc, pk_json_get(doc, error, "code")),
    };
    if (f->message.len == 0)
        f->message = f->type.len ? f->type : PK_STR("the answer has an error in it");
    return true;
}

/* --- complete answers ------------------------------------------------------------------------ */

static bool is_text(enum pk_json_type type)
{
    return type <= PK_JSON_NULL || type == PK_JSON_STRING;
}

static bool check_message(const struct pk_json *doc, int message, struct pk_error *err)
{
    static const pk_str names[] = {PK_NAME("content"), PK_NAME("tool_calls"), {0}};
    enum { CONTENT, TOOLS, NAMES };
    int at[NAMES];

    if (pk_json_type(doc, message) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: choices hold no message");
    pk_json_members(doc, message, names, at);
    enum pk_json_type content = pk_json_type(doc, at[CONTENT]),
                      tools = pk_json_type(doc, at[TOOLS]);
    if (!is_text(content) && content != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: message.content is %s",
                       pk_json_type_name(content));
    if (tools > PK_JSON_NULL && tools != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: message.tool_calls is %s",
                       pk_json_type_name(tools));
    return true;
}

/* a->finish_reason: of the first. */
static bool check_choices(struct pk_arena *arena, const struct pk_json *doc, int choices,
                          struct pk_answer *a, struct pk_error *err)
{
    static const pk_str names[] = {
        PK_NAME("message"), PK_NAME("finish_reason"), PK_NAME("error"), {0}};
    enum { MESSAGE, REASON, ERROR, NAMES };
    int at[NAMES], first = pk_json_first(doc, choices);

    if (pk_json_type(doc, choices) != PK_JSON_ARRAY || first < 0)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no list of choices in it");
    for (int c = first; c >= 0; c = pk_json_next(doc, choices, c)) {
        pk_json_members(doc, c, names, at);
        if (read_failure(arena, doc, at[REASON], at[ERROR], &a->fault))
            return pk_fail(err, PK_UPSTREAM, "the provider answered with an error");
        if (!check_message(doc, at[MESSAGE], err))
            return false;
        if (!is_text(pk_json_type(doc, at[REASON])))
            return pk_fail(err, PK_BAD_ANSWER, "answer: finish_reason is no text");
        if (c == first)
            a->finish_reason = pk_json_str(arena, doc, at[REASON]);
    }
    return true;
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    static const pk_str names[] = {
        PK_NAME("id"), PK_NAME("model"), PK_NAME("choices"), PK_NAME("usage"), {0}};
    enum { ID, MODEL, CHOICES, USAGE, NAMES };
    int at[NAMES];

    pk_json_members(doc, 0, names, at);
    bool usage = read_usage(doc, at[USAGE], &a->usage);
    a->model = pk_json_str(arena, doc, at[MODEL]);
    if (!pk_dialect_no_error(arena, doc, &a->fault, err) ||
        !check_choices(arena, doc, at[CHOICES], a, err))
        return false; /* which is billed all the same */
    if (!usage)
        return pk_fail(err, PK_BAD_ANSWER, "answer: usage is no object");
    a->id = pk_json_str(arena, doc, at[ID]);
    if (out)
        pk_buf_add(out, doc->text);
    return true;
}

/* --- streams: reading ------------------------------------------------------------------------ */

static void emit_string(const struct pk_reader *r, enum pk_delta_kind kind, int value)
{
    pk_str text = pk_json_str(&r->s->scratch, r->doc, value);

    if (text.len)
        pk_read_emit(r, kind, text);
}

/* Content as parts: text is read, anything else is only passed on. */
static void emit_parts(const struct pk_reader *r, int parts)
{
    for (int p = pk_json_first(r->doc, parts); p >= 0; p = pk_json_next(r->doc, parts, p)) {
        int text = pk_json_get(r->doc, p, "text");

        if (pk_json_type(r->doc, text) == PK_JSON_STRING)
            emit_string(r, PK_DELTA_TEXT, text);
        else
            pk_read_emit(r, PK_DELTA_OTHER, PK_STR("content part"));
    }
}

/* Whether a member is one of those that are known, or null. */
static bool is_known(const struct pk_json *doc, int key, const pk_str *known)
{
    return pk_json_type(doc, key + 1) == PK_JSON_NULL || pk_json_which(doc, key, known) >= 0;
}

/* Whether an object has a member, not null, beside those that are known. */
static bool has_more(const struct pk_reader *r, int object, const pk_str *known)
{
    if (pk_json_type(r->doc, object) != PK_JSON_OBJECT)
        return pk_json_type(r->doc, object) > PK_JSON_NULL;
    for (int k = pk_json_first(r->doc, object); k >= 0; k = pk_json_next(r->doc, object, k)) {
        if (!is_known(r->doc, k, known))
            return true;
    }
    return false;
}

static void emit_tool(const struct pk_reader *r, int call, int position)
{
    static const pk_str known[] = {
        PK_NAME("index"), PK_NAME("id"), PK_NAME("type"), PK_NAME("function"), {0}};
    static const pk_str function_known[] = {PK_NAME("name"), PK_NAME("arguments"), {0}};
    struct pk_arena *arena = &r->s->scratch;
    int function = pk_json_get(r->doc, call, "function");
    int64_t index;

    if (!pk_json_int(r->doc, pk_json_get(r->doc, call, "index"), &index) || index < 0 ||
        index > INT32_MAX)
        index = position;
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL,
        .choice = r->choice,
        .tool = (int)index,
        .id = pk_json_str(arena, r->doc, pk_json_get(r->doc, call, "id")),
        .name = pk_json_str(arena, r->doc, pk_json_get(r->doc, function, "name")),
        .text = pk_json_str(arena, r->doc, pk_json_get(r->doc, function, "arguments")),
    };
    r->emit(r->s, &d);
    if (has_more(r, call, known) || has_more(r, function, function_known))
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("tool call"));
}

static bool emit_tools(const struct pk_reader *r, int calls, struct pk_error *err)
{
    int position = 0;

    if (pk_json_type(r->doc, calls) <= PK_JSON_NULL)
        return true;
    if (pk_json_type(r->doc, calls) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "stream: tool_calls is no list");
    for (int c = pk_json_first(r->doc, calls); c >= 0;
         c = pk_json_next(r->doc, calls, c), position++) {
        if (pk_json_type(r->doc, c) != PK_JSON_OBJECT)
            return pk_fail(err, PK_BAD_ANSWER, "stream: a tool call is no object");
        emit_tool(r, c, position);
    }
    return true;
}

static bool emit_message(const struct pk_reader *r, int delta, struct pk_error *err)
{
    static const pk_str known[] = {PK_NAME("role"),
                                   PK_NAME("content"),
                                   PK_NAME("reasoning_content"),
                                   PK_NAME("reasoning"),
                                   PK_NAME("refusal"),
                                   PK_NAME("tool_calls"),
                                   {0}};
    int content = pk_json_get(r->doc, delta, "content");
    int reasoning = pk_json_get(r->doc, delta, "reasoning_content");
    enum pk_json_type type = pk_json_type(r->doc, content);

    if (!is_text(type) && type != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "stream: content is %s", pk_json_type_name(type));
    if (pk_json_type(r->doc, reasoning) != PK_JSON_STRING)
        reasoning = pk_json_get(r->doc, delta, "reasoning");
    emit_string(r, PK_DELTA_REASONING, reasoning);
    emit_string(r, PK_DELTA_TEXT, content);
    emit_parts(r, content);
    emit_string(r, PK_DELTA_REFUSAL, pk_json_get(r->doc, delta, "refusal"));
    if (has_more(r, delta, known))
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("delta"));
    return emit_tools(r, pk_json_get(r->doc, delta, "tool_calls"), err);
}

/* Tokens and their odds; what has no place among them is only passed on. */
static void emit_logprobs(const struct pk_reader *r, int logprobs)
{
    static const pk_str known[] = {PK_NAME("content"), {0}};
    int content = pk_json_get(r->doc, logprobs, "content");
    pk_str list = pk_json_raw(r->doc, content);

    if (pk_json_type(r->doc, logprobs) <= PK_JSON_NULL)
        return;
    if (pk_json_count(r->doc, content) > 0)
        pk_read_emit(r, PK_DELTA_LOGPROBS, pk_str_sub(list, 1, list.len - 2));
    if (has_more(r, logprobs, known))
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("logprobs"));
}

/* What a choice has beside OpenAI's own. */
static void emit_members(const struct pk_reader *r, int choice)
{
    static const pk_str known[] = {PK_NAME("index"),         PK_NAME("delta"),
                                   PK_NAME("message"),       PK_NAME("logprobs"),
                                   PK_NAME("finish_reason"), {0}};

    for (int k = pk_json_first(r->doc, choice); k >= 0; k = pk_json_next(r->doc, choice, k)) {
        if (!is_known(r->doc, k, known))
            pk_read_emit_member(r, pk_json_str(&r->s->scratch, r->doc, k),
                                pk_json_raw(r->doc, k + 1));
    }
}

static bool emit_failure(const struct pk_reader *r, int choice)
{
    struct pk_delta d = {.kind = PK_DELTA_ERROR, .choice = r->choice};

    if (!read_failure(&r->s->scratch, r->doc, pk_json_get(r->doc, choice, "finish_reason"),
                      pk_json_get(r->doc, choice, "error"), &d.fault))
        return false;
    r->emit(r->s, &d);
    return true;
}

static bool emit_choice(struct pk_reader *r, int choice, struct pk_error *err)
{
    int delta = pk_json_get(r->doc, choice, "delta");
    int64_t index = 0;

    if (pk_json_type(r->doc, choice) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "stream: a choice is no object");
    (void)pk_json_int(r->doc, pk_json_get(r->doc, choice, "index"), &index);
    r->choice = index >= 0 && index < PK_STREAM_CHOICES_MAX ? (int)index : -1;
    if (r->choice < 0) {
        r->choice = 0;
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("choice"));
        return true;
    }
    if (pk_json_type(r->doc, delta) > PK_JSON_NULL && pk_json_type(r->doc, delta) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "stream: a delta is no object");
    if (!emit_message(r, delta, err))
        return false;
    emit_logprobs(r, pk_json_get(r->doc, choice, "logprobs"));
    emit_members(r, choice);
    if (emit_failure(r, choice))
        return true;
    if (!is_text(pk_json_type(r->doc, pk_json_get(r->doc, choice, "finish_reason"))))
        return pk_fail(err, PK_BAD_ANSWER, "stream: finish_reason is no text");
    emit_string(r, PK_DELTA_FINISH, pk_json_get(r->doc, choice, "finish_reason"));
    return true;
}

static bool emit_choices(struct pk_reader *r, int choices, struct pk_error *err)
{
    if (pk_json_type(r->doc, choices) <= PK_JSON_NULL)
        return true;
    if (pk_json_type(r->doc, choices) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "stream: choices is no list");
    for (int c = pk_json_first(r->doc, choices); c >= 0; c = pk_json_next(r->doc, choices, c))
        if (!emit_choice(r, c, err))
            return false;
    r->choice = 0;
    return true;
}

static bool emit_usage(const struct pk_reader *r, int choices, struct pk_error *err)
{
    struct pk_delta d = {.kind = PK_DELTA_USAGE};
    int usage = pk_json_get(r->doc, 0, "usage");

    if (pk_json_type(r->doc, usage) <= PK_JSON_NULL) /* Groq's own place for it */
        usage = pk_json_get(r->doc, pk_json_get(r->doc, 0, "x_groq"), "usage");
    if (!read_usage(r->doc, usage, &d.usage))
        return pk_fail(err, PK_BAD_ANSWER, "stream: usage is no object");
    if (d.usage.source == PK_USAGE_NONE)
        return true;
    r->s->withhold = !r->s->with_usage && pk_json_count(r->doc, choices) == 0;
    r->emit(r->s, &d);
    return true;
}

static void emit_start(const struct pk_reader *r)
{
    if (r->s->id.len || r->s->model.len)
        return;
    struct pk_delta d = {
        .kind = PK_DELTA_START,
        .id = pk_json_str(&r->s->scratch, r->doc, pk_json_get(r->doc, 0, "id")),
        .text = pk_json_str(&r->s->scratch, r->doc, pk_json_get(r->doc, 0, "model")),
    };

    if (d.id.len || d.text.len)
        r->emit(r->s, &d);
}

/* What an event has beside OpenAI's own and stands for the whole answer: citations, a fingerprint. */
static void keep_members(struct pk_stream *s, const struct pk_json *doc)
{
    static const pk_str known[] = {PK_NAME("id"),     PK_NAME("object"),      PK_NAME("created"),
                                   PK_NAME("model"),  PK_NAME("choices"),     PK_NAME("usage"),
                                   PK_NAME("x_groq"), PK_NAME("obfuscation"), {0}};

    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        if (!is_known(doc, k, known))
            pk_stream_keep(s, pk_json_str(&s->scratch, doc, k), pk_json_raw(doc, k + 1));
    }
}

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_reader r = {.s = s, .doc = &doc, .emit = take};

    if (pk_str_is(pk_str_trim(ev->data), "[DONE]")) {
        pk_read_emit(&r, PK_DELTA_DONE, PK_NONE);
        return true;
    }
    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    if (pk_read_emit_error(&r, pk_str_is(ev->name, "error")))
        return true;
    int choices = pk_json_get(&doc, 0, "choices");
    emit_start(&r);
    if (pk_json_type(&doc, choices) <= PK_JSON_NULL && !pk_dialect_has(&doc, 0, "usage"))
        pk_read_emit(&r, PK_DELTA_OTHER, PK_STR("event"));
    keep_members(s, &doc);
    return emit_choices(&r, choices, err) && emit_usage(&r, choices, err);
}

static void end(struct pk_stream *s, pk_delta_fn *take)
{
    struct pk_delta done = {.kind = PK_DELTA_DONE};
    bool any = false;

    for (int i = 0; i < s->choice_count; i++) {
        any = any || s->choices[i].used;
        if (s->choices[i].used && s->choices[i].finish_reason.len == 0)
            return;
    }
    if (!any)
        return;
    if (s->front == s->back && s->out)
        pk_buf_adds(s->out, "data: [DONE]\n\n");
    take(s, &done);
}

const struct pk_dialect pk_dialect_openai = {
    .name = "openai",
    .chat_path = "/chat/completions",
    .headers = "",
    .own_headers = "openai-beta",
    .error_event = "",
    .plain = true,
    .request = NULL,
    .answer = answer,
    .event = event,
    .end = end,
    .fault = pk_dialect_read_fault,
    .print_delta = pk_openai_print_delta,
    .print_answer = pk_openai_print_answer,
    .print_error = pk_openai_print_error,
    .replay = pk_openai_replay,
};
