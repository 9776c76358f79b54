/* fuzz_stream.c - any bytes as a provider's stream or answer, through every pair of dialects.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What reaches the client is whole events, and an answer is JSON. For AWS's event stream, whose checksums no fuzzer
 * guesses, the bytes are the names and payloads of its messages; a name after "!" is that of an exception, and a chunk's
 * payload is what it has in base64.
 * Seeds tests/golden
 */
#include "dialect_bedrock.h"
#include "fuzz.h"
#include "stream.h"
#include "test_frames.h"

static void is_json(struct pk_arena *arena, pk_str text)
{
    struct pk_error err = {0};
    struct pk_json doc;

    PK_ASSERT(pk_json_parse(arena, text, "answer", &doc, &err));
}

static void stream(const struct pk_dialect *front, const struct pk_dialect *back, pk_str bytes)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_stream *s = pk_stream_new(&arena, front, back, true, 1700000000);
    struct pk_buf out = pk_buf_in(&arena, 64 << 20);
    struct pk_error err = {0};
    struct pk_answer answer = {0};

    PK_ASSERT(s != NULL);
    bool fed = pk_stream_feed(s, pk_str_sub(bytes, 0, bytes.len / 2), &out, &err) &&
               pk_stream_feed(s, pk_str_sub(bytes, bytes.len / 2, bytes.len), &out, &err) &&
               pk_stream_end(s, &out, &err);
    PK_ASSERT(fed || err.code == PK_BAD_ANSWER || err.code == PK_TOO_LARGE ||
              err.code == PK_UPSTREAM);
    PK_ASSERT(!(s->failed && fed));
    if (pk_stream_answer(s, &answer, &err))
        is_json(&arena, answer.body);
    pk_arena_free(&arena);
}

static void answer(const struct pk_dialect *front, const struct pk_dialect *back, pk_str bytes)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_answer a = {0};
    struct pk_error err = {0};
    struct pk_fault fault = {0};
    struct pk_buf out = pk_buf_in(&arena, 64 << 20);

    if (pk_dialect_answer(&arena, front, back, bytes, &a, &err))
        is_json(&arena, a.body);
    else
        PK_ASSERT(err.code != PK_OK);
    pk_dialect_fault(&arena, back, 500, bytes, &fault);
    PK_ASSERT(fault.message.len > 0);
    front->print_error(&fault, PK_STR("mock"), &out);
    is_json(&arena, pk_buf_str(&out));
    pk_arena_free(&arena);
}

static void messages(const struct pk_dialect *front, const struct pk_dialect *back, pk_str bytes)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_buf out = pk_buf_in(&arena, 64 << 20);

    while (bytes.len) {
        pk_str name = pk_str_sub(fuzz_part(&bytes), 0, UINT16_MAX);
        bool failed = pk_str_starts(name, "!");

        if (pk_str_is(name, "chunk"))
            frame_chunk(&out, fuzz_part(&bytes));
        else
            frame_event(&out, failed ? PK_STR("exception") : PK_STR("event"),
                        pk_str_sub(name, failed, name.len), fuzz_part(&bytes));
    }
    stream(front, back, pk_buf_str(&out));
    pk_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct pk_dialect *const fronts[] = {&pk_dialect_openai, &pk_dialect_anthropic,
                                                      &pk_dialect_responses};
    static const struct pk_dialect *const backs[] = {&pk_dialect_openai,  &pk_dialect_anthropic,
                                                     &pk_dialect_gemini,  &pk_dialect_cohere,
                                                     &pk_dialect_bedrock, &pk_dialect_ollama};
    pk_str text = fuzz_text(bytes, size);

    for (size_t f = 0; f < PK_COUNT(fronts); f++) {
        for (size_t b = 0; b < PK_COUNT(backs); b++) {
            stream(fronts[f], backs[b], text);
            answer(fronts[f], backs[b], text);
        }
        messages(fronts[f], &pk_dialect_bedrock, text);
        messages(fronts[f], &pk_dialect_bedrock_claude, text);
    }
    stream(&pk_dialect_responses, &pk_dialect_responses, text);
    answer(&pk_dialect_responses, &pk_dialect_responses, text);
    return 0;
}
