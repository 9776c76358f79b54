/* dialect_openai.c - chat completions, the shape that most providers speak.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "chat" and "chat streaming" pages of OpenAI's API reference, and what compatible
 * providers add: `reasoning_content` or `reasoning` beside `content`, usage in other places, an
 * error object in a stream or in a 200, in a choice too. As the back, bytes pass; here they are only
 * understood. Some end a stream without [DONE]: it is whole when every choice has said why it stopped.
 */
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

/* prompt_tokens includes what was read from the cache, completion_tokens what was thought. Where
 * the total is more than both, the rest was thought too (xAI, Gemini). Cache hits are spelled in
 * three ways: OpenAI's, DeepSeek's, Moonshot's. False when `usage` is no object. */
static bool read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    *u = (struct pk_usage){0};
    if (pk_json_type(doc, usage) != PK_JSON_OBJECT) /* as in most events of a stream */
        return pk_json_type(doc, usage) <= PK_JSON_NULL;
    int in = pk_json_get(doc, usage, "prompt_tokens_details");
    int out = pk_json_get(doc, usage, "completion_tokens_details");
    int64_t prompt = pk_dialect_count(doc, usage, "prompt_tokens");
    int64_t completion = pk_dialect_count(doc, usage, "completion_tokens");
    int64_t cached = first_of(pk_dialect_count(doc, in, "cached_tokens"),
                              first_of(pk_dialect_count(doc, usage, "prompt_cache_hit_tokens"),
                                       pk_dialect_count(doc, usage, "cached_tokens")));
    int64_t written = pk_dialect_count(doc, in, "cache_write_tokens");
    int64_t thought = pk_dialect_count(doc, out, "reasoning_tokens");
    int64_t beyond = pk_dialect_count(doc, usage, "total_tokens") - prompt - completion;

    u->source = PK_USAGE_PROVIDER;
    u->cache_read = least(cached, prompt);
    u->cache_write = least(written, prompt - u->cache_read);
    u->input = prompt - u->cache_read - u->cache_write;
    u->reasoning = beyond > 0 ? beyond : least(thought, completion);
    u->output = beyond > 0 ? completion : completion - u->reasoning;
    return true;
}

static void print_usage(struct pk_buf *out, const struct pk_usage *u)
{
    int64_t written = u->cache_write + u->cache_write_1h;
    int64_t prompt = u->input + u->cache_read + written, completion = u->output + u->reasoning;
    int64_t total = prompt + completion;

    pk_buf_addf(out, "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld",
                (long long)prompt, (long long)completion, (long long)total);
    pk_buf_addf(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%lld",
                (long long)u->cache_read);
    if (written)
        pk_buf_addf(out, ",\"cache_write_tokens\":%lld", (long long)written);
    pk_buf_addc(out, '}');
    if (u->reasoning)
        pk_buf_addf(out, ",\"completion_tokens_details\":{\"reasoning_tokens\":%lld}",
                    (long long)u->reasoning);
    pk_buf_addc(out, '}');
}

/* --- answers that failed --------------------------------------------------------------------- */

/* What OpenRouter, Mistral and DeepSeek say where the model was cut off by a failure of theirs. */
static bool is_failure(const struct pk_json *doc, int reason)
{
    return pk_json_is(doc, reason, "error") ||
           pk_json_is(doc, reason, "insufficient_system_resource");
}

/* Whether a choice is a failure; its words, if it has some, or the reason. */
static bool read_failure(struct pk_arena *arena, const struct pk_json *doc, int choice,
                         struct pk_fault *f)
{
    int reason = pk_json_get(doc, choice, "finish_reason");
    int error = pk_json_get(doc, choice, "error");

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

static bool check_choice(const struct pk_json *doc, int choice, struct pk_error *err)
{
    int message = pk_json_get(doc, choice, "message");
    enum pk_json_type content = pk_json_type(doc, pk_json_get(doc, message, "content"));
    enum pk_json_type tools = pk_json_type(doc, pk_json_get(doc, message, "tool_calls"));

    if (pk_json_type(doc, message) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: choices hold no message");
    if (!is_text(content) && content != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: message.content is %s",
                       pk_json_type_name(content));
    if (tools > PK_JSON_NULL && tools != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: message.tool_calls is %s",
                       pk_json_type_name(tools));
    if (!is_text(pk_json_type(doc, pk_json_get(doc, choice, "finish_reason"))))
        return pk_fail(err, PK_BAD_ANSWER, "answer: finish_reason is no text");
    return true;
}

static bool check_choices(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f,
                          struct pk_error *err)
{
    int choices = pk_json_get(doc, 0, "choices");

    if (pk_json_type(doc, choices) != PK_JSON_ARRAY || pk_json_count(doc, choices) == 0)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no list of choices in it");
    for (int c = pk_json_first(doc, choices); c >= 0; c = pk_json_next(doc, choices, c)) {
        if (read_failure(arena, doc, c, f))
            return pk_fail(err, PK_UPSTREAM, "the provider answered with an error");
        if (!check_choice(doc, c, err))
            return false;
    }
    return true;
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    bool usage = read_usage(doc, pk_json_get(doc, 0, "usage"), &a->usage);

    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    if (!pk_dialect_no_error(arena, doc, &a->fault, err) ||
        !check_choices(arena, doc, &a->fault, err))
        return false; /* which is billed all the same */
    if (!usage)
        return pk_fail(err, PK_BAD_ANSWER, "answer: usage is no object");
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    a->finish_reason = pk_json_str(arena, doc, pk_json_at(doc, "choices[0].finish_reason"));
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

/* Whether an object has a member, not null, beside those of a blank separated list. */
static bool has_more(const struct pk_reader *r, int object, const char *const known[])
{
    if (pk_json_type(r->doc, object) != PK_JSON_OBJECT)
        return pk_json_type(r->doc, object) > PK_JSON_NULL;
    for (int k = pk_json_first(r->doc, object); k >= 0; k = pk_json_next(r->doc, object, k)) {
        bool found = pk_json_type(r->doc, k + 1) == PK_JSON_NULL;

        for (int i = 0; known[i] && !found; i++)
            found = pk_json_is(r->doc, k, known[i]);
        if (!found)
            return true;
    }
    return false;
}

static void emit_tool(const struct pk_reader *r, int call, int position)
{
    static const char *const known[] = {"index", "id", "type", "function", NULL};
    static const char *const function_known[] = {"name", "arguments", NULL};
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
    static const char *const known[] = {
        "role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls", NULL};
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
    static const char *const known[] = {"content", NULL};
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
    static const char *const known[] = {"index",    "delta",         "message",
                                        "logprobs", "finish_reason", NULL};

    for (int k = pk_json_first(r->doc, choice); k >= 0; k = pk_json_next(r->doc, choice, k)) {
        bool found = pk_json_type(r->doc, k + 1) == PK_JSON_NULL;

        for (int i = 0; known[i] && !found; i++)
            found = pk_json_is(r->doc, k, known[i]);
        if (!found)
            pk_read_emit_member(r, pk_json_str(&r->s->scratch, r->doc, k),
                                pk_json_raw(r->doc, k + 1));
    }
}

static bool emit_failure(const struct pk_reader *r, int choice)
{
    struct pk_delta d = {.kind = PK_DELTA_ERROR, .choice = r->choice};

    if (!read_failure(&r->s->scratch, r->doc, choice, &d.fault))
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
    static const char *const known[] = {"id",    "object", "created",     "model", "choices",
                                        "usage", "x_groq", "obfuscation", NULL};

    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        bool found = pk_json_type(doc, k + 1) == PK_JSON_NULL;

        for (int i = 0; known[i] && !found; i++)
            found = pk_json_is(doc, k, known[i]);
        if (!found)
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

/* --- streams: printing ----------------------------------------------------------------------- */

/* What every chunk of a stream starts with, up to its list of choices. */
static void print_head(struct pk_buf *out, const char *object, const struct pk_stream *s)
{
    pk_buf_adds(out, "{\"id\":");
    pk_json_quote(out, s->id);
    pk_buf_addf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
                (long long)s->created_s);
    pk_json_quote(out, s->model.len ? s->model : s->asked);
}

static void open_chunk(struct pk_stream *s, struct pk_buf *out)
{
    if (s->head.len == 0) {
        struct pk_buf head = pk_buf_in(s->arena, PK_EVENT_BYTES_MAX);

        print_head(&head, "chat.completion.chunk", s);
        s->head = pk_buf_str(&head);
    }
    pk_buf_adds(out, "data: ");
    pk_buf_add(out, s->head);
    pk_buf_adds(out, ",\"choices\":[");
}

static void open_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_chunk(s, out);
    pk_buf_addf(out, "{\"index\":%d,\"delta\":{", d->choice);
}

static void close_delta(struct pk_buf *out)
{
    pk_buf_adds(out, "},\"finish_reason\":null}]}\n\n");
}

static void print_text(struct pk_stream *s, const struct pk_delta *d, const char *name,
                       struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_dialect_key(out, name);
    pk_json_quote(out, d->text);
    close_delta(out);
}

static void print_tool(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_buf_addf(out, "\"tool_calls\":[{\"index\":%d", d->tool);
    if (d->id.len || d->name.len) {
        pk_buf_adds(out, ",\"id\":");
        pk_json_quote(out, d->id);
        pk_buf_adds(out, ",\"type\":\"function\",\"function\":{\"name\":");
        pk_json_quote(out, d->name);
        pk_buf_addc(out, ',');
    } else {
        pk_buf_adds(out, ",\"function\":{");
    }
    pk_buf_adds(out, "\"arguments\":");
    pk_json_quote(out, d->text);
    pk_buf_addc(out, '}');
    pk_dialect_raw(out, "extra_content", d->extra);
    pk_buf_adds(out, "}]");
    close_delta(out);
}

static void print_list(struct pk_stream *s, const struct pk_delta *d, const char *name,
                       struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_dialect_key(out, name);
    pk_buf_addc(out, '[');
    if (d->kind == PK_DELTA_IMAGE)
        pk_dialect_image(out, d->text);
    else
        pk_dialect_line(out, d->text);
    pk_buf_addc(out, ']');
    close_delta(out);
}

static void print_extra(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_dialect_raw(out, "extra_content", d->text);
    close_delta(out);
}

static void print_logprobs(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_buf_adds(out, "},\"logprobs\":{\"content\":[");
    pk_dialect_line(out, d->text);
    pk_buf_adds(out, "]},\"finish_reason\":null}]}\n\n");
}

/* Their names are the provider's. */
static void print_list_of(const struct pk_stream_member *list, int count, struct pk_buf *out)
{
    for (int i = 0; i < count; i++) {
        pk_dialect_comma(out);
        pk_json_quote(out, list[i].name);
        pk_buf_addc(out, ':');
        pk_buf_add(out, pk_buf_str(&list[i].json));
    }
}

static void print_members(const struct pk_stream_choice *c, struct pk_buf *out)
{
    if (c->more)
        print_list_of(c->more->members, c->more->member_count, out);
}

static void print_finish(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_buf_adds(out, "},\"finish_reason\":");
    pk_json_quote(out, d->text);
    print_members(&s->choices[d->choice], out);
    pk_buf_adds(out, "}]}\n\n");
}

static void print_done(struct pk_stream *s, struct pk_buf *out)
{
    if (s->with_usage && s->usage.source != PK_USAGE_NONE) {
        open_chunk(s, out);
        pk_buf_adds(out, "],\"usage\":");
        print_usage(out, &s->usage);
        pk_buf_adds(out, "}\n\n");
    }
    pk_buf_adds(out, "data: [DONE]\n\n");
}

static void print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    switch (d->kind) {
    case PK_DELTA_START:
        open_delta(s, d, out);
        pk_buf_adds(out, "\"role\":\"assistant\",\"content\":\"\"");
        close_delta(out);
        break;
    case PK_DELTA_TEXT: print_text(s, d, "content", out); break;
    case PK_DELTA_REASONING: print_text(s, d, "reasoning_content", out); break;
    case PK_DELTA_REFUSAL: print_text(s, d, "refusal", out); break;
    case PK_DELTA_THINKING: print_list(s, d, "thinking_blocks", out); break;
    case PK_DELTA_TOOL: print_tool(s, d, out); break;
    case PK_DELTA_IMAGE: print_list(s, d, "images", out); break;
    case PK_DELTA_LOGPROBS: print_logprobs(s, d, out); break;
    case PK_DELTA_EXTRA: print_extra(s, d, out); break;
    case PK_DELTA_FINISH: print_finish(s, d, out); break;
    case PK_DELTA_DONE: print_done(s, out); break;
    case PK_DELTA_MEMBER:       /* with the finish reason */
    case PK_DELTA_USAGE:        /* at the end, when asked for */
    case PK_DELTA_OTHER:        /* has no place in this dialect */
    case PK_DELTA_ERROR: break; /* the caller ends the stream with it */
    }
}

/* --- whole documents ------------------------------------------------------------------------- */

static void print_tools(const struct pk_stream *s, int choice, struct pk_buf *out)
{
    pk_dialect_key(out, "tool_calls");
    pk_buf_addc(out, '[');
    for (int i = 0; i < s->tool_count; i++) {
        const struct pk_stream_tool *t = &s->tools[i];

        if (t->choice != choice)
            continue;
        pk_dialect_comma(out);
        pk_buf_adds(out, "{\"id\":");
        pk_json_quote(out, t->id);
        pk_buf_adds(out, ",\"type\":\"function\",\"function\":{\"name\":");
        pk_json_quote(out, t->name);
        pk_buf_adds(out, ",\"arguments\":");
        pk_json_quote(out, pk_buf_str(&t->arguments));
        pk_buf_addc(out, '}');
        pk_dialect_raw(out, "extra_content", t->extra);
        pk_buf_addc(out, '}');
    }
    pk_buf_addc(out, ']');
}

static void print_items(const char *name, const struct pk_buf *items, struct pk_buf *out)
{
    if (items->len == 0)
        return;
    pk_dialect_key(out, name);
    pk_buf_addc(out, '[');
    pk_buf_add(out, pk_buf_str(items));
    pk_buf_addc(out, ']');
}

static void print_message(const struct pk_stream *s, int i, struct pk_buf *out)
{
    const struct pk_stream_choice *c = &s->choices[i];
    bool tools = pk_stream_tools(s, i) > 0, silent = tools || c->refusal.len;

    pk_buf_adds(out, "{\"role\":\"assistant\",\"content\":");
    if (c->text.len == 0 && silent)
        pk_buf_adds(out, "null");
    else
        pk_json_quote(out, pk_buf_str(&c->text));
    if (c->refusal.len)
        pk_dialect_text(out, "refusal", pk_buf_str(&c->refusal));
    if (c->reasoning.len)
        pk_dialect_text(out, "reasoning_content", pk_buf_str(&c->reasoning));
    print_items("thinking_blocks", &c->thinking, out);
    if (c->more) {
        print_items("images", &c->more->images, out);
        pk_dialect_raw(out, "extra_content", c->more->extra);
    }
    if (tools)
        print_tools(s, i, out);
    pk_buf_addc(out, '}');
}

static void print_choice(const struct pk_stream *s, int i, struct pk_buf *out)
{
    const struct pk_stream_choice *c = &s->choices[i];

    pk_dialect_comma(out);
    pk_buf_addf(out, "{\"index\":%d,\"message\":", i);
    print_message(s, i, out);
    if (c->more && c->more->logprobs.len) {
        pk_buf_adds(out, ",\"logprobs\":{\"content\":[");
        pk_buf_add(out, pk_buf_str(&c->more->logprobs));
        pk_buf_adds(out, "]}");
    }
    pk_dialect_text(out, "finish_reason", c->finish_reason);
    print_members(c, out);
    pk_buf_addc(out, '}');
}

static void print_answer(const struct pk_stream *s, struct pk_buf *out)
{
    print_head(out, "chat.completion", s);
    pk_buf_adds(out, ",\"choices\":[");
    for (int i = 0; i < s->choice_count; i++) {
        if (s->choices[i].used || i == 0)
            print_choice(s, i, out);
    }
    pk_buf_addc(out, ']');
    if (s->usage.source != PK_USAGE_NONE) {
        pk_dialect_key(out, "usage");
        print_usage(out, &s->usage);
    }
    print_list_of(s->kept, s->kept_count, out);
    pk_buf_addc(out, '}');
}

static void print_error(const struct pk_fault *f, pk_str provider, struct pk_buf *out)
{
    pk_buf_adds(out, "{\"error\":{");
    pk_dialect_text(out, "message", f->message);
    pk_dialect_text(out, "type", f->type);
    pk_dialect_text(out, "param", f->param);
    pk_dialect_text(out, "code", f->code);
    pk_buf_addc(out, '}');
    if (provider.len)
        pk_dialect_text(out, "provider", provider);
    pk_buf_addc(out, '}');
}

/* --- replay: a complete answer as a stream --------------------------------------------------- */

struct replay {
    const struct pk_json *doc;
    struct pk_buf *out;
    pk_str head; /* up to the list of choices */
    pk_str index;
};

static void copy_members(struct pk_buf *out, const struct pk_json *doc, const char *const names[])
{
    for (int i = 0; names[i]; i++)
        if (pk_dialect_has(doc, 0, names[i]))
            pk_dialect_raw(out, names[i], pk_json_raw(doc, pk_json_get(doc, 0, names[i])));
}

static void open_replayed(const struct replay *r)
{
    pk_buf_adds(r->out, "data: ");
    pk_buf_add(r->out, r->head);
    pk_buf_adds(r->out, ",\"choices\":[{\"index\":");
    pk_dialect_line(r->out, r->index);
    pk_buf_adds(r->out, ",\"delta\":{");
}

static void replay_tools(const struct replay *r, int calls)
{
    int position = 0;

    pk_buf_addc(r->out, '[');
    for (int c = pk_json_first(r->doc, calls); c >= 0;
         c = pk_json_next(r->doc, calls, c), position++) {
        struct pk_buf call = pk_buf_in(r->out->arena, PK_STREAM_BYTES_MAX);
        struct pk_json_edit edit = {PK_STR("index"), pk_copyf(r->out->arena, "%d", position)};

        pk_dialect_comma(r->out);
        if (pk_json_type(r->doc, c) == PK_JSON_OBJECT)
            pk_json_splice(&call, r->doc, c, &edit, 1);
        pk_dialect_line(r->out, call.len ? pk_buf_str(&call) : pk_json_raw(r->doc, c));
    }
    pk_buf_addc(r->out, ']');
}

/* Each member of the message in a chunk of its own: thinking first, as it came. */
static void replay_members(const struct replay *r, int message, bool thinking)
{
    for (int k = pk_json_first(r->doc, message); k >= 0; k = pk_json_next(r->doc, message, k)) {
        pk_str name = pk_json_str(r->out->arena, r->doc, k);
        bool first = pk_str_starts(name, "reasoning") || pk_str_starts(name, "thinking");

        if (first != thinking || pk_str_is(name, "role") ||
            pk_json_type(r->doc, k + 1) == PK_JSON_NULL)
            continue;
        open_replayed(r);
        pk_dialect_line(r->out, pk_json_raw(r->doc, k));
        pk_buf_addc(r->out, ':');
        if (pk_str_is(name, "tool_calls"))
            replay_tools(r, k + 1);
        else
            pk_dialect_line(r->out, pk_json_raw(r->doc, k + 1));
        close_delta(r->out);
    }
}

/* What else a choice has, logprobs for one, in its last chunk. */
static void replay_rest(const struct replay *r, int choice)
{
    for (int k = pk_json_first(r->doc, choice); k >= 0; k = pk_json_next(r->doc, choice, k)) {
        if (pk_json_is(r->doc, k, "index") || pk_json_is(r->doc, k, "message") ||
            pk_json_is(r->doc, k, "finish_reason") || pk_json_type(r->doc, k + 1) == PK_JSON_NULL)
            continue;
        pk_dialect_comma(r->out);
        pk_dialect_line(r->out, pk_json_raw(r->doc, k));
        pk_buf_addc(r->out, ':');
        pk_dialect_line(r->out, pk_json_raw(r->doc, k + 1));
    }
}

static void replay_choice(struct replay *r, int choice, int position)
{
    int message = pk_json_get(r->doc, choice, "message");
    int index = pk_json_get(r->doc, choice, "index");
    pk_str finish = pk_json_raw(r->doc, pk_json_get(r->doc, choice, "finish_reason"));

    r->index = pk_json_type(r->doc, index) == PK_JSON_NUMBER
                   ? pk_json_raw(r->doc, index)
                   : pk_copyf(r->out->arena, "%d", position);
    open_replayed(r);
    pk_buf_adds(r->out, "\"role\":\"assistant\",\"content\":\"\"");
    close_delta(r->out);
    replay_members(r, message, true);
    replay_members(r, message, false);
    open_replayed(r);
    pk_buf_addc(r->out, '}');
    replay_rest(r, choice);
    pk_dialect_raw(r->out, "finish_reason", finish.len ? finish : PK_STR("\"stop\""));
    pk_buf_adds(r->out, "}]}\n\n");
}

static bool replay(const struct pk_json *doc, bool with_usage, struct pk_buf *out)
{
    static const char *const shown[] = {"created", "model", "service_tier", "system_fingerprint",
                                        NULL};
    struct pk_buf head = pk_buf_in(out->arena, PK_EVENT_BYTES_MAX);
    struct replay r = {.doc = doc, .out = out};
    int choices = pk_json_get(doc, 0, "choices"), position = 0;

    if (pk_json_type(doc, choices) != PK_JSON_ARRAY)
        return false;
    pk_buf_addc(&head, '{');
    pk_dialect_raw(&head, "id", pk_json_raw(doc, pk_json_get(doc, 0, "id")));
    pk_dialect_raw(&head, "object", PK_STR("\"chat.completion.chunk\""));
    copy_members(&head, doc, shown);
    r.head = pk_buf_str(&head);
    for (int c = pk_json_first(doc, choices); c >= 0;
         c = pk_json_next(doc, choices, c), position++) {
        if (pk_json_type(doc, pk_json_get(doc, c, "message")) != PK_JSON_OBJECT)
            return false;
        replay_choice(&r, c, position);
    }
    if (with_usage && pk_dialect_has(doc, 0, "usage")) {
        pk_buf_adds(out, "data: ");
        pk_buf_add(out, r.head);
        pk_buf_adds(out, ",\"choices\":[]");
        pk_dialect_raw(out, "usage", pk_json_raw(doc, pk_json_get(doc, 0, "usage")));
        pk_buf_adds(out, "}\n\n");
    }
    pk_buf_adds(out, "data: [DONE]\n\n");
    return !out->failed && !head.failed && !out->arena->failed;
}

const struct pk_dialect pk_dialect_openai = {
    .name = "openai",
    .chat_path = "/chat/completions",
    .headers = "",
    .error_event = "",
    .plain = true,
    .request = NULL,
    .answer = answer,
    .event = event,
    .end = end,
    .fault = pk_dialect_read_fault,
    .print_delta = print_delta,
    .print_answer = print_answer,
    .print_error = print_error,
    .replay = replay,
};
