/* tap.c - see tap.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tap.h"

#include "dialect_parts.h"
#include "http.h"

/* --- one document ---------------------------------------------------------------------------- */

/* "b" of the object, or "a.b": b of its a; 0 for what is no count. */
static int64_t count_of(const struct pk_json *doc, int object, pk_str name)
{
    int dot = pk_str_find(name, '.');
    int64_t n = 0;

    if (dot >= 0) {
        object = pk_json_member(doc, object, pk_str_sub(name, 0, (size_t)dot));
        name = pk_str_sub(name, (size_t)dot + 1, name.len);
    }
    return pk_json_int(doc, pk_json_member(doc, object, name), &n) && n > 0 ? n : 0;
}

/* The first of a blank separated list that is a count. */
static int64_t first_of(const struct pk_json *doc, int object, const char *list)
{
    pk_str rest = pk_str_of(list);
    int64_t n = 0;

    while (n == 0 && rest.len) {
        int blank = pk_str_find(rest, ' ');
        size_t len = blank < 0 ? rest.len : (size_t)blank;

        n = count_of(doc, object, pk_str_sub(rest, 0, len));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return n;
}

/* Counts of what is cached or thought are within the others, but for those of Anthropic's cache and Google's
 * thoughts. */
static bool read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    int64_t in = first_of(doc, usage, "prompt_tokens input_tokens promptTokenCount");
    int64_t out = first_of(doc, usage, "completion_tokens output_tokens candidatesTokenCount");
    int64_t cached =
        first_of(doc, usage,
                 "prompt_tokens_details.cached_tokens input_tokens_details.cached_tokens "
                 "prompt_cache_hit_tokens cachedContentTokenCount cached_tokens");
    int64_t thought = first_of(doc, usage,
                               "completion_tokens_details.reasoning_tokens "
                               "output_tokens_details.reasoning_tokens");
    int64_t hour = first_of(doc, usage, "cache_creation.ephemeral_1h_input_tokens");
    int64_t written = first_of(doc, usage, "cache_creation_input_tokens");
    int64_t read = first_of(doc, usage, "cache_read_input_tokens");

    if (in == 0 && out == 0)
        in = first_of(doc, usage, "total_tokens totalTokenCount");
    if (in == 0 && out == 0 && read == 0 && written == 0)
        return false;
    cached = cached > in ? in : cached;
    thought = thought > out ? out : thought;
    hour = hour > written ? written : hour;
    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .input = in - cached,
        .cache_read = cached + read,
        .cache_write = written - hour,
        .cache_write_1h = hour,
        .output = out - thought,
        .reasoning = thought + first_of(doc, usage, "thoughtsTokenCount"),
    };
    return true;
}

bool pk_tap_usage(const struct pk_json *doc, struct pk_usage *u)
{
    static const char *const places[] = {
        "usage",
        "usageMetadata",
        "response.usage",
        "message.usage",
        "usage.billed_units",
        "usage.tokens",
        "meta.billed_units",
        "meta.tokens",
        "x_groq.usage",
    };

    *u = (struct pk_usage){0};
    for (size_t i = 0; i < PK_COUNT(places); i++) {
        int usage = pk_json_at(doc, places[i]);

        if (pk_json_type(doc, usage) == PK_JSON_OBJECT && read_usage(doc, usage, u))
            return true;
    }
    return false;
}

/* --- a stream -------------------------------------------------------------------------------- */

struct pk_tap *pk_tap_new(struct pk_arena *arena, pk_str content_type)
{
    static const enum pk_framing framings[] = {PK_FRAMED_SSE, PK_FRAMED_LINES};

    for (size_t i = 0; i < PK_COUNT(framings); i++) {
        if (!pk_http_is_type(content_type, pk_framing_type(framings[i])))
            continue;
        struct pk_tap *t = pk_alloc(arena, sizeof *t);
        if (!t)
            return NULL;
        t->arena = arena;
        pk_arena_init(&t->scratch, arena->from, PK_CALL_BYTES_MAX);
        t->scratch.torture = arena->torture;
        pk_frames_init(&t->frames, framings[i], arena);
        return t;
    }
    return NULL;
}

static void keep(int64_t *most, int64_t n)
{
    *most = n > *most ? n : *most;
}

/* The first error that is told. */
static void hear_error(struct pk_tap *t, const struct pk_json *doc)
{
    struct pk_fault f = {0};

    if (t->error.code != PK_OK || pk_dialect_no_error(&t->scratch, doc, &f, &t->error))
        return;
    f.message = pk_copy(t->arena, f.message);
    f.type = pk_copy(t->arena, f.type);
    f.param = pk_copy(t->arena, f.param);
    f.code = pk_copy(t->arena, f.code);
    t->fault = f;
}

static void take(struct pk_tap *t, pk_str data)
{
    static const char *const models[] = {"model", "response.model", "message.model",
                                         "modelVersion"};
    struct pk_error unused = {0};
    struct pk_usage u;
    struct pk_json doc;

    if (!pk_json_parse(&t->scratch, data, "event", &doc, &unused) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return;
    hear_error(t, &doc);
    if (t->text)
        pk_text_take(t->text, &t->scratch, &doc);
    pk_str type = pk_json_str(&t->scratch, &doc, pk_json_get(&doc, 0, "type"));
    t->ended = t->ended || pk_str_ends(type, ".completed") || pk_str_ends(type, ".done");
    for (size_t i = 0; i < PK_COUNT(models) && t->model.len == 0; i++)
        t->model = pk_copy(t->arena, pk_json_str(&t->scratch, &doc, pk_json_at(&doc, models[i])));
    if (!pk_tap_usage(&doc, &u)) {
        t->pieces++;
        return;
    }
    t->usage.source = PK_USAGE_PROVIDER;
    keep(&t->usage.input, u.input);
    keep(&t->usage.cache_read, u.cache_read);
    keep(&t->usage.cache_write, u.cache_write);
    keep(&t->usage.cache_write_1h, u.cache_write_1h);
    keep(&t->usage.output, u.output);
    keep(&t->usage.reasoning, u.reasoning);
}

void pk_tap_feed(struct pk_tap *t, pk_str bytes)
{
    struct pk_error err = {0};
    struct pk_sse_event ev;

    while (!t->broken && pk_frames_next(&t->frames, &bytes, &ev, &err)) {
        if (ev.data.len && ev.data.at[0] == '{')
            take(t, ev.data);
        t->ended = t->ended || pk_str_is(ev.data, "[DONE]");
        pk_arena_free(&t->scratch);
    }
    t->broken = t->broken || err.code != PK_OK;
}
