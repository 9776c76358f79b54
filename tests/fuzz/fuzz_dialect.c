/* fuzz_dialect.c - any bytes as a client's request, as a cached answer, and as a stream in any cut.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The first byte says how long the pieces of the stream are.
 * Seeds tests/golden
 */
#include "fuzz.h"
#include "provider.h"
#include "stream.h"

static bool is_object(struct pk_arena *arena, pk_str text)
{
    struct pk_error err = {0};
    struct pk_json doc;

    return pk_json_parse(arena, text, "body", &doc, &err) &&
           pk_json_type(&doc, 0) == PK_JSON_OBJECT;
}

/* A body that is accepted gives a body that is JSON, whoever it is for. */
static void request(const struct pk_dialect *front, const char *provider, pk_str body)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_error err = {0};
    const struct pk_provider *p = pk_provider_find(pk_str_of(provider));
    pk_str out, dropped;

    if (pk_dialect_request(&arena, &(struct pk_dialect_pair){front, p->dialect, p, PK_NONE, NULL},
                           body, &out, &dropped, &err))
        PK_ASSERT(is_object(&arena, out));
    else
        PK_ASSERT(err.code == PK_BAD_REQUEST || err.code == PK_BAD_JSON ||
                  err.code == PK_TOO_LARGE);
    pk_arena_free(&arena);
}

/* What is replayed is a stream that its own dialect reads to the end. */
static void replay(const struct pk_dialect *d, pk_str text)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_answer a = {0};
    struct pk_error err = {0};
    struct pk_json doc;
    struct pk_buf events = pk_buf_in(&arena, 64 << 20), out = pk_buf_in(&arena, 64 << 20);

    if (pk_dialect_answer(&arena, d, d, text, &a, &err) &&
        pk_json_parse(&arena, text, "answer", &doc, &err) && d->replay(&doc, true, &events)) {
        struct pk_stream *s = pk_stream_new(&arena, d, d, true, 0);
        bool fed = pk_stream_feed(s, pk_buf_str(&events), &out, &err);

        PK_ASSERT(fed || err.code == PK_BAD_ANSWER || err.code == PK_UPSTREAM);
        PK_ASSERT(!fed || s->complete);
    }
    pk_arena_free(&arena);
}

struct fed {
    struct pk_stream *s;
    struct pk_buf out;
    bool ok;
};

static struct fed feed(struct pk_arena *arena, const struct pk_dialect *back, pk_str text,
                       size_t step)
{
    struct fed f = {.out = pk_buf_in(arena, 64 << 20), .ok = true};
    struct pk_error err = {0};

    f.s = pk_stream_new(arena, &pk_dialect_openai, back, true, 0);
    for (size_t at = 0; at < text.len && f.ok; at += step)
        f.ok = pk_stream_feed(f.s, pk_str_sub(text, at, step), &f.out, &err);
    f.ok = f.ok && pk_stream_end(f.s, &f.out, &err);
    return f;
}

/* Translated, a stream says the same however it is cut. */
static void cut(const struct pk_dialect *back, pk_str text, size_t step)
{
    struct pk_arena arena = fuzz_arena();
    struct fed whole = feed(&arena, back, text, text.len + 1);
    struct fed pieces = feed(&arena, back, text, step);

    PK_ASSERT(whole.ok == pieces.ok && whole.s->complete == pieces.s->complete);
    PK_ASSERT(whole.s->lossy == pieces.s->lossy && whole.s->content == pieces.s->content);
    PK_ASSERT(pk_str_eq(pk_buf_str(&whole.out), pk_buf_str(&pieces.out)));
    pk_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct pk_dialect *const fronts[] = {&pk_dialect_openai, &pk_dialect_anthropic,
                                                      &pk_dialect_responses};
    static const char *const providers[] = {"openai", "mistral-ai", "anthropic",     "google",
                                            "cohere", "bedrock",    "ollama-native", "openrouter"};
    pk_str text = fuzz_text(bytes, size);

    for (size_t f = 0; f < PK_COUNT(fronts); f++)
        for (size_t p = 0; p < PK_COUNT(providers); p++)
            request(fronts[f], providers[p], text);
    replay(&pk_dialect_openai, text);
    replay(&pk_dialect_anthropic, text);
    replay(&pk_dialect_responses, text);
    if (size > 1) {
        cut(&pk_dialect_anthropic, pk_str_sub(text, 1, text.len), (size_t)bytes[0] % 64 + 1);
        cut(&pk_dialect_cohere, pk_str_sub(text, 1, text.len), (size_t)bytes[0] % 64 + 1);
        cut(&pk_dialect_ollama, pk_str_sub(text, 1, text.len), (size_t)bytes[0] % 64 + 1);
        cut(&pk_dialect_gemini, pk_str_sub(text, 1, text.len), (size_t)bytes[0] % 64 + 1);
    }
    return 0;
}
