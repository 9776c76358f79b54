/* dialect.c - what a request and an answer cost when the provider speaks another dialect.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-dialect
 *
 * Prints a line of JSON: nanoseconds per KB of what comes in, the median of many rounds, by dialect: of a
 * request (an agent's, with tools and their results), of an answer, and of the same answer as a stream. An
 * OpenAI client before an OpenAI provider is beside them: there bytes pass.
 */
#include "bench.h"
#include "provider.h"
#include "stream.h"
#include "test_frames.h"

enum { ROUNDS = 200, TURNS = 20, PIECES = 400 };

static struct pk_arena texts; /* what is read again and again */

static pk_str conversation(void)
{
    struct pk_buf b = pk_buf_in(&texts, PK_BODY_BYTES_MAX);

    pk_buf_adds(&b,
                "{\"model\":\"m\",\"max_tokens\":512,\"temperature\":0.2,\"tools\":[{\"type\":"
                "\"function\",\"function\":{\"name\":\"search\",\"description\":\"Finds pages\","
                "\"parameters\":{\"type\":\"object\",\"properties\":{\"query\":{\"type\":"
                "\"string\"}},\"required\":[\"query\"]}}}],\"messages\":[{\"role\":\"system\","
                "\"content\":\"You answer questions about invoices in one short paragraph.\"}");
    for (int i = 0; i < TURNS; i++) {
        pk_buf_addf(&b,
                    ",{\"role\":\"user\",\"content\":\"Which of the invoices of week %d are open, "
                    "and who has to be asked about them?\"}",
                    i);
        pk_buf_addf(&b,
                    ",{\"role\":\"assistant\",\"content\":\"I look.\",\"tool_calls\":[{\"id\":"
                    "\"call_%d\",\"type\":\"function\",\"function\":{\"name\":\"search\","
                    "\"arguments\":\"{\\\"query\\\":\\\"week %d\\\"}\"}}]}",
                    i, i);
        pk_buf_addf(&b,
                    ",{\"role\":\"tool\",\"tool_call_id\":\"call_%d\",\"content\":\"{\\\"open\\\":"
                    "[{\\\"id\\\":%d,\\\"customer\\\":\\\"ACME Trading Company\\\",\\\"amount\\\":"
                    "1204.50}]}\"}",
                    i, i);
    }
    pk_buf_adds(&b, "]}");
    return pk_buf_str(&b);
}

/* `piece` again and again between a start and an end, as text with \u00e9 in it. */
static pk_str repeated(const char *start, const char *piece, const char *end)
{
    struct pk_buf b = pk_buf_in(&texts, PK_STREAM_BYTES_MAX);

    pk_buf_adds(&b, start);
    for (int i = 0; i < PIECES; i++)
        pk_buf_adds(&b, piece);
    pk_buf_adds(&b, end);
    return pk_buf_str(&b);
}

static struct subject {
    const char *provider;
    struct {
        const char *start, *piece, *end;
    } answer, stream;
    bool frames;  /* the stream is told in lines (test_frames.h) */
    pk_str in[3]; /* request, answer, stream */
    double ns[3][ROUNDS];
} subjects[] = {
    {.provider = "openai",
     .answer = {"{\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                "\"assistant\",\"content\":\"",
                "caf\\u00e9 with \\\"words\\\" ",
                "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,"
                "\"completion_tokens\":9}}"},
     .stream =
         {"data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
          "\"assistant\"}}]}\n\n",
          "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
          "\"caf\\u00e9 with \\\"words\\\" \"}}]}\n\n",
          "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
          "\"stop\"}]}\n\ndata: [DONE]\n\n"}},
    {.provider = "anthropic",
     .answer =
         {"{\"type\":\"message\",\"id\":\"a\",\"model\":\"m\",\"content\":[{\"type\":\"text\","
          "\"text\":\"",
          "caf\\u00e9 with \\\"words\\\" ",
          "\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":9}}"},
     .stream =
         {"data: {\"type\":\"message_start\",\"message\":{\"id\":\"a\"}}\n\ndata: {\"type\":"
          "\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":"
          "\"\"}}\n\n",
          "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
          "\"text_delta\",\"text\":\"caf\\u00e9 with \\\"words\\\" \"}}\n\n",
          "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\ndata: "
          "{\"type\":\"message_stop\"}\n\n"}},
    {.provider = "google",
     .answer = {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"",
                "caf\\u00e9 with \\\"words\\\" ",
                "\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":9}}"},
     .stream = {"data: {\"candidates\":[],\"responseId\":\"a\"}\n\n",
                "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"caf\\u00e9 with "
                "\\\"words\\\" \"}],\"role\":\"model\"},\"index\":0}],\"responseId\":\"a\"}\n\n",
                "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n"}},
    {.provider = "cohere",
     .answer = {"{\"id\":\"a\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"",
                "caf\\u00e9 with \\\"words\\\" ", "\"}]},\"finish_reason\":\"COMPLETE\"}"},
     .stream =
         {"data: {\"type\":\"message-start\",\"id\":\"a\"}\n\n",
          "data: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{"
          "\"text\":\"caf\\u00e9 with \\\"words\\\" \"}}}}\n\n",
          "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n"}},
    {.provider = "bedrock",
     .frames = true,
     .answer = {"{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"",
                "caf\\u00e9 with \\\"words\\\" ",
                "\"}]}},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":9}}"},
     .stream =
         {"event messageStart {\"role\":\"assistant\"}\n",
          "event contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"text\":\"caf\\u00e9 with "
          "\\\"words\\\" \"},\"p\":\"abcdefgh\"}\n",
          "event messageStop {\"stopReason\":\"end_turn\"}\nevent metadata {\"usage\":{}}\n"}},
    {.provider = "ollama-native",
     .answer = {"{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"",
                "caf\\u00e9 with \\\"words\\\" ", "\"},\"done\":true,\"done_reason\":\"stop\"}"},
     .stream =
         {"{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":false}\n",
          "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"caf\\u00e9 with "
          "\\\"words\\\" \"},\"done\":false}\n",
          "{\"model\":\"m\",\"message\":{},\"done\":true,\"done_reason\":\"stop\"}\n"}},
};

static void run_request(struct pk_arena *arena, const struct subject *s)
{
    const struct pk_provider *p = pk_provider_find(pk_str_of(s->provider));
    struct pk_error err = {0};
    pk_str out, dropped;

    PK_ASSERT(pk_dialect_request(
        arena, &(struct pk_dialect_pair){&pk_dialect_openai, p->dialect, p, PK_NONE, NULL},
        s->in[0], &out, &dropped, &err));
}

static void run_answer(struct pk_arena *arena, const struct subject *s)
{
    const struct pk_provider *p = pk_provider_find(pk_str_of(s->provider));
    struct pk_error err = {0};
    struct pk_answer a = {0};

    PK_ASSERT(pk_dialect_answer(arena, &pk_dialect_openai, p->dialect, s->in[1], &a, &err));
}

/* As it comes over a network: an event or two at a time. */
static void run_stream(struct pk_arena *arena, const struct subject *s)
{
    enum { READ = 256 };
    const struct pk_provider *p = pk_provider_find(pk_str_of(s->provider));
    struct pk_stream *stream = pk_stream_new(arena, &pk_dialect_openai, p->dialect, true, 0);
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_error err = {0};

    for (size_t at = 0; at < s->in[2].len; at += READ) {
        PK_ASSERT(pk_stream_feed(stream, pk_str_sub(s->in[2], at, READ), &out, &err));
        pk_buf_reset(&out);
    }
    PK_ASSERT(pk_stream_end(stream, &out, &err) && stream->complete);
}

static void (*const runs[])(struct pk_arena *arena,
                            const struct subject *s) = {run_request, run_answer, run_stream};
static const char *const run_names[] = {"request", "answer", "stream"};

static void measure(struct subject *s, int what, int round)
{
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    double from = now_ns();
    runs[what](&arena, s);
    pk_arena_free(&arena);
    s->ns[what][round] = (now_ns() - from) / ((double)s->in[what].len / 1024);
}

int main(void)
{
    pk_arena_init(&texts, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        struct subject *s = &subjects[i];

        s->in[0] = conversation();
        s->in[1] = repeated(s->answer.start, s->answer.piece, s->answer.end);
        s->in[2] = repeated(s->stream.start, s->stream.piece, s->stream.end);
        if (s->frames) {
            struct pk_buf framed = pk_buf_in(&texts, PK_STREAM_BYTES_MAX);

            frame_lines(&framed, s->in[2]);
            s->in[2] = pk_buf_str(&framed);
        }
    }
    for (int round = 0; round < ROUNDS; round++) /* in turns: whatever slows one down slows all */
        for (size_t i = 0; i < PK_COUNT(subjects); i++)
            for (int what = 0; what < 3; what++)
                measure(&subjects[i], what, round);
    for (size_t i = 0; i < PK_COUNT(subjects); i++)
        for (int what = 0; what < 3; what++) {
            printf("%s\"%s %s\": %.0f", i + (size_t)what ? ", " : "{", subjects[i].provider,
                   run_names[what], median(subjects[i].ns[what], ROUNDS));
        }
    printf("}\n");
    pk_arena_free(&texts);
    return 0;
}
