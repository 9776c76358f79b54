/* dialect_pivot.c - see dialect_pivot.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_pivot.h"

#include "dialect_read.h"

#include <string.h>

/* --- whom a request is for ------------------------------------------------------------------- */

/* By the providers' references: DeepSeek, Moonshot, Z.ai and MiniMax want the thoughts of a turn back while
 * its tools are at work; OpenRouter passes cache_control on. Whoever is not here gets OpenAI's fields only. */
static const struct {
    const char *provider;
    unsigned extras;
} takers[] = {
    {"openrouter", PK_EXTRA_CACHE | PK_EXTRA_TOP_K | PK_EXTRA_EFFORT},
    {"vercel", PK_EXTRA_CACHE},
    {"deepseek", PK_EXTRA_THOUGHTS},
    {"moonshot", PK_EXTRA_THOUGHTS},
    {"moonshot-intl", PK_EXTRA_THOUGHTS},
    {"z-ai", PK_EXTRA_THOUGHTS},
    {"zhipu", PK_EXTRA_THOUGHTS},
    {"minimax", PK_EXTRA_THOUGHTS},
    {"minimax-cn", PK_EXTRA_THOUGHTS},
    {"dashscope", PK_EXTRA_CACHE | PK_EXTRA_TOP_K},
    {"dashscope-cn", PK_EXTRA_CACHE | PK_EXTRA_TOP_K},
    {"together-ai", PK_EXTRA_TOP_K},
    {"fireworks-ai", PK_EXTRA_TOP_K},
    {"deepinfra", PK_EXTRA_TOP_K},
    {"novita-ai", PK_EXTRA_TOP_K},
    {"nebius", PK_EXTRA_TOP_K},
    {"siliconflow", PK_EXTRA_TOP_K},
    {"siliconflow-intl", PK_EXTRA_TOP_K},
    {"vllm", PK_EXTRA_TOP_K},
    {"sglang", PK_EXTRA_TOP_K},
    {"llamacpp", PK_EXTRA_TOP_K},
    {"lmstudio", PK_EXTRA_TOP_K},
    {"litellm", PK_EXTRA_CACHE | PK_EXTRA_TOP_K},
};

bool pk_pivot_is_plain(const struct pk_pivot *p)
{
    return p->back == &pk_dialect_openai;
}

bool pk_pivot_takes(const struct pk_pivot *p, enum pk_extra extra)
{
    if (!pk_pivot_is_plain(p))
        return true;
    for (size_t i = 0; i < PK_COUNT(takers); i++)
        if (pk_str_is(p->provider, takers[i].provider))
            return (takers[i].extras & (unsigned)extra) != 0;
    return false;
}

/* "gpt-5.1" and what comes after it; not "gpt-4o". */
static bool is_new_gpt(pk_str model)
{
    return pk_str_starts(model, "gpt-") && model.len > 4 && model.at[4] >= '5' &&
           model.at[4] <= '9' && !pk_str_starts(model, "gpt-5-chat");
}

bool pk_pivot_model_thinks(const struct pk_pivot *p, pk_str model)
{
    static const char *const thinkers[] = {"o1",      "o3",          "o4",         "codex-",
                                           "gpt-oss", "grok-3-mini", "gemini-2.5", "gemini-3"};
    static const char *const others[] = {"o1-mini", "o1-preview"};
    size_t from = 0;

    if (pk_pivot_takes(p, PK_EXTRA_EFFORT))
        return true;
    for (size_t i = 0; i < model.len; i++)
        if (model.at[i] == '/')
            from = i + 1;
    model = pk_str_sub(model, from, model.len);
    for (size_t i = 0; i < PK_COUNT(others); i++)
        if (pk_str_starts(model, others[i]))
            return false;
    for (size_t i = 0; i < PK_COUNT(thinkers); i++)
        if (pk_str_starts(model, thinkers[i]))
            return true;
    return is_new_gpt(model);
}

/* --- fields ---------------------------------------------------------------------------------- */

/* OpenAI's own words, which a client of another shape may say all the same, or a config for it. */
static bool is_own(const struct pk_maker *m, int key)
{
    static const char *const own[] = {
        "audio",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "stop",
        "stream_options",
        "top_logprobs",
        "user",
        "verbosity",
        "web_search_options",
        NULL,
    };

    return pk_make_listed(m, key, own);
}

static bool has_row(const struct pk_maker *m, int key, const struct pk_make_field *fields,
                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pk_json_is(m->in, key, fields[i].from))
            return true;
    return false;
}

static bool write_rows(struct pk_maker *m, const struct pk_make_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pk_make_field *f = &fields[i];
        bool twice = strcmp(f->from, f->to) != 0 && pk_make_has(m, 0, f->to);

        if (pk_make_has(m, 0, f->from) && !twice && !f->write(m, pk_make_get(m, 0, f->from), f->to))
            return false;
    }
    return true;
}

bool pk_pivot_fields(struct pk_maker *m, const struct pk_make_field *fields, size_t count)
{
    if (!write_rows(m, fields, count))
        return false;
    for (int k = pk_json_first(m->in, 0); k >= 0; k = pk_json_next(m->in, 0, k)) {
        if (pk_make_type(m, k + 1) == PK_JSON_NULL || has_row(m, k, fields, count))
            continue;
        if (!is_own(m, k)) {
            pk_dialect_drop(m->dropped, pk_make_string(m, k));
            continue;
        }
        pk_member_comma(m->out);
        pk_dialect_line(m->out, pk_json_raw(m->in, k));
        pk_buf_addc(m->out, ':');
        pk_dialect_line(m->out, pk_json_raw(m->in, k + 1));
    }
    return true;
}

bool pk_pivot_top_k(struct pk_maker *m, int value, const char *to)
{
    if (pk_pivot_takes(m->own, PK_EXTRA_TOP_K))
        return pk_make_same(m, value, to);
    pk_make_drop(m, to);
    return true;
}

bool pk_pivot_unless_auto(struct pk_maker *m, int value, const char *to)
{
    if (!pk_json_is(m->in, value, "auto"))
        pk_make_drop(m, to);
    return true;
}

/* --- what came back -------------------------------------------------------------------------- */

static void read_content(const struct pk_reader *r, int message)
{
    int content = pk_json_get(r->doc, message, "content");

    pk_read_emit_string(r, PK_DELTA_TEXT, message, "content");
    if (pk_json_type(r->doc, content) != PK_JSON_ARRAY)
        return;
    for (int p = pk_json_first(r->doc, content); p >= 0; p = pk_json_next(r->doc, content, p))
        pk_read_emit_string(r, PK_DELTA_TEXT, p, "text");
}

static void read_thoughts(const struct pk_reader *r, int message)
{
    int blocks = pk_json_get(r->doc, message, "thinking_blocks");
    bool named = pk_dialect_has(r->doc, message, "reasoning_content");

    pk_read_emit_string(r, PK_DELTA_REASONING, message, named ? "reasoning_content" : "reasoning");
    if (pk_json_type(r->doc, blocks) != PK_JSON_ARRAY)
        return;
    for (int b = pk_json_first(r->doc, blocks); b >= 0; b = pk_json_next(r->doc, blocks, b))
        pk_read_emit(r, PK_DELTA_THINKING, pk_json_raw(r->doc, b));
}

static void read_images(const struct pk_reader *r, int message)
{
    int images = pk_json_get(r->doc, message, "images");

    if (pk_json_type(r->doc, images) != PK_JSON_ARRAY)
        return;
    for (int i = pk_json_first(r->doc, images); i >= 0; i = pk_json_next(r->doc, images, i))
        pk_read_emit_string(r, PK_DELTA_IMAGE, pk_json_get(r->doc, i, "image_url"), "url");
}

static void read_tools(const struct pk_reader *r, int message)
{
    int calls = pk_json_get(r->doc, message, "tool_calls"), index = 0;

    if (pk_json_type(r->doc, calls) != PK_JSON_ARRAY)
        return;
    for (int c = pk_json_first(r->doc, calls); c >= 0; c = pk_json_next(r->doc, calls, c)) {
        int function = pk_json_get(r->doc, c, "function");
        int arguments = pk_json_get(r->doc, function, "arguments");
        bool object = pk_json_type(r->doc, arguments) == PK_JSON_OBJECT;
        struct pk_delta d = {
            .kind = PK_DELTA_TOOL,
            .tool = index++,
            .id = pk_read_string(r, c, "id"),
            .name = pk_read_string(r, function, "name"),
            .text =
                object ? pk_json_raw(r->doc, arguments) : pk_read_string(r, function, "arguments"),
            .extra = pk_json_raw(r->doc, pk_json_get(r->doc, c, "extra_content")),
        };

        r->emit(r->s, &d);
    }
}

/* Takes a complete answer in OpenAI's shape as deltas. */
static void read_answer(struct pk_stream *s, const struct pk_json *answer)
{
    int choice = pk_json_at(answer, "choices[0]");
    int message = pk_json_get(answer, choice, "message");
    struct pk_reader r = {.s = s, .doc = answer, .emit = pk_stream_take};

    read_thoughts(&r, message);
    read_content(&r, message);
    pk_read_emit_string(&r, PK_DELTA_REFUSAL, message, "refusal");
    read_images(&r, message);
    read_tools(&r, message);
    pk_read_emit_string(&r, PK_DELTA_FINISH, choice, "finish_reason");
    pk_read_emit(&r, PK_DELTA_DONE, PK_NONE);
}

bool pk_pivot_answer(struct pk_arena *arena, struct pk_stream *s, pk_str openai, struct pk_buf *out,
                     struct pk_error *err)
{
    struct pk_json doc;

    struct pk_buf events = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    if (!pk_dialect_parse(arena, openai, &doc, err))
        return false;
    s->out =
        &events; /* what a stream would have said, for fronts that put it together from there */
    read_answer(s, &doc);
    s->out = NULL;
    s->front->print_answer(s, out);
    return !s->scratch.failed || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

static bool is_object(struct pk_arena *arena, pk_str text)
{
    struct pk_json doc;
    struct pk_error unused;

    return pk_json_parse(arena, text, "arguments", &doc, &unused) &&
           pk_json_type(&doc, 0) == PK_JSON_OBJECT;
}

pk_str pk_pivot_arguments(struct pk_arena *arena, pk_str text)
{
    return is_object(arena, text) ? pk_str_trim(text) : PK_STR("{}");
}

/* --- tool calls ------------------------------------------------------------------------------ */

void pk_pivot_print_calls(struct pk_stream *s, struct pk_pivot_calls *calls, bool last,
                          struct pk_buf *out)
{
    while (calls->next < s->tool_count) {
        const struct pk_stream_tool *t = &s->tools[calls->next];
        pk_str all = pk_buf_str(&t->arguments);

        if (t->choice != 0) {
            calls->next++;
            continue;
        }
        if (t->name.len == 0 && !last) /* it is known before long */
            return;
        if (!calls->open)
            calls->begin(s, t, out);
        calls->open = true;
        if (all.len > calls->sent)
            calls->more(s, pk_str_sub(all, calls->sent, all.len), out);
        calls->sent = all.len;
        if (!last && (calls->next + 1 == s->tool_count || !is_object(&s->scratch, all)))
            return;
        calls->end(s, t, out);
        calls->open = false;
        calls->sent = 0;
        calls->next++;
    }
}
