/* hostile.c - answers that no provider should send, over every dialect.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each dialect has a good answer and a good stream. They are cut, bent and framed in other ways; what comes of that
 * may be an error or the same answer, never a crash and never an answer that looks whole and is another.
 */
#include "provider.h"
#include "stream.h"

#include "test.h"
#include "test_frames.h"

#include <string.h>

enum { EVENTS_MAX = 16, CREATED_S = 1700000000 };

#define TEXT "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xe2\x80\xa8z" /* of 1 to 4 bytes, and U+2028 */

/* An event: its name, if it has one, and its data. */
struct piece {
    const char *name, *data;
};

struct subject {
    const struct pk_dialect *back;
    const char *answer; /* complete */
    const char *error;  /* what its providers say in place of one */
    struct piece stream[EVENTS_MAX];
    int text, finish;    /* which pieces say the text, and that it is over */
    struct piece failed; /* an event that ends a stream with an error */
};

/* clang-format off */
static const struct subject subjects[] = {
    {&pk_dialect_openai,
     "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT "\"},"
     "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}",
     "{\"error\":{\"message\":\"no\",\"type\":\"t\",\"code\":null}}",
     {{NULL, "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}"},
      {NULL, "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" TEXT "\"},\"finish_reason\":null}]}"},
      {NULL, "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"},
      {NULL, "{\"id\":\"i\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}"},
      {NULL, "[DONE]"}},
     1, 2, {NULL, "{\"error\":{\"message\":\"no\"}}"}},
    {&pk_dialect_anthropic,
     "{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{\"type\":\"text\",\"text\":\"" TEXT "\"}],"
     "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}",
     "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}",
     {{"message_start", "{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}"},
      {"content_block_start", "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}"},
      {"content_block_delta", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" TEXT "\"}}"},
      {"content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}"},
      {"message_delta", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}"},
      {"message_stop", "{\"type\":\"message_stop\"}"}},
     2, 4, {"error", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}"}},
    {&pk_dialect_gemini,
     "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"" TEXT "\"}]},\"finishReason\":\"STOP\",\"index\":0}],"
     "\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2,\"totalTokenCount\":3},\"modelVersion\":\"m\",\"responseId\":\"i\"}",
     "{\"error\":{\"code\":503,\"message\":\"no\",\"status\":\"UNAVAILABLE\"}}",
     {{NULL, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"" TEXT "\"}]},\"index\":0}],\"modelVersion\":\"m\",\"responseId\":\"i\"}"},
      {NULL, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"\"}]},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2,\"totalTokenCount\":3},\"modelVersion\":\"m\",\"responseId\":\"i\"}"}},
     0, 1, {NULL, "{\"error\":{\"code\":503,\"message\":\"no\",\"status\":\"UNAVAILABLE\"}}"}},
    {&pk_dialect_cohere,
     "{\"id\":\"i\",\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"" TEXT "\"}]},"
     "\"usage\":{\"billed_units\":{\"input_tokens\":1,\"output_tokens\":2}}}",
     "{\"message\":\"no\"}",
     {{"message-start", "{\"type\":\"message-start\",\"id\":\"i\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}"},
      {"content-start", "{\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}"},
      {"content-delta", "{\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"" TEXT "\"}}}}"},
      {"content-end", "{\"type\":\"content-end\",\"index\":0}"},
      {"message-end", "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":1,\"output_tokens\":2}}}}"}},
     2, 4, {"message-end", "{\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"no\"}}"}},
    {&pk_dialect_bedrock,
     "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"" TEXT "\"}]}},\"stopReason\":\"end_turn\","
     "\"usage\":{\"inputTokens\":1,\"outputTokens\":2,\"totalTokens\":3},\"metrics\":{\"latencyMs\":1}}",
     "{\"message\":\"no\"}",
     {{"messageStart", "{\"role\":\"assistant\"}"},
      {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"" TEXT "\"}}"},
      {"contentBlockStop", "{\"contentBlockIndex\":0}"},
      {"messageStop", "{\"stopReason\":\"end_turn\"}"},
      {"metadata", "{\"usage\":{\"inputTokens\":1,\"outputTokens\":2,\"totalTokens\":3},\"metrics\":{\"latencyMs\":1}}"}},
     1, 3, {"!throttlingException", "{\"message\":\"no\"}"}},
    {&pk_dialect_ollama,
     "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT "\"},\"done\":true,\"done_reason\":\"stop\","
     "\"prompt_eval_count\":1,\"eval_count\":2}",
     "{\"error\":\"no\"}",
     {{NULL, "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT "\"},\"done\":false}"},
      {NULL, "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":1,\"eval_count\":2}"}},
     0, 1, {NULL, "{\"error\":\"no\"}"}},
};
/* clang-format on */

static struct pk_arena arena;
static struct pk_error err;

/* --- complete answers ------------------------------------------------------------------------ */

static bool answered(const struct subject *s, const struct pk_dialect *front, pk_str body,
                     struct pk_answer *a)
{
    *a = (struct pk_answer){.created_s = CREATED_S, .asked = PK_STR("asked")};
    return pk_dialect_answer(&arena, front, s->back, body, a, &err);
}

/* What a client of OpenAI's reads in it; empty when there is none. */
static pk_str text_of(pk_str body)
{
    struct pk_json doc;
    struct pk_error unused;

    if (!pk_json_parse(&arena, body, "answer", &doc, &unused))
        return PK_NONE;
    return pk_json_str(&arena, &doc, pk_json_at(&doc, "choices[0].message.content"));
}

static void an_answer_is_whole_or_none(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        pk_str whole = pk_str_of(s->answer);
        struct pk_answer a;

        EXPECT(answered(s, &pk_dialect_openai, whole, &a) && pk_str_is(text_of(a.body), TEXT));
        for (size_t cut = 0; cut < whole.len; cut++)
            EXPECT(!answered(s, &pk_dialect_openai, pk_str_sub(whole, 0, cut), &a) &&
                   err.code == PK_BAD_ANSWER);
        for (size_t cut = 0; cut < whole.len; cut++)
            EXPECT(!answered(s, s->back, pk_str_sub(whole, 0, cut), &a));
    }
}

static void what_is_no_answer_is_none(void)
{
    static const char *const bodies[] = {"",
                                         " \r\n",
                                         "null",
                                         "true",
                                         "7",
                                         "\"text\"",
                                         "[]",
                                         "{}",
                                         "[{}]",
                                         "{\"x\":1}",
                                         "OK",
                                         "<html><body>sign in</body></html>",
                                         "<?xml version=\"1.0\"?><Error/>",
                                         "upstream timeout",
                                         "{\"choices\":[]}",
                                         "{\"choices\":null}",
                                         "{\"choices\":{}}",
                                         "{\"choices\":[null]}",
                                         "{\"content\":\"x\"}",
                                         "{\"candidates\":[]}",
                                         "{\"candidates\":[7]}",
                                         "{\"message\":7}",
                                         "{\"output\":{}}",
                                         "{\"output\":{\"message\":{}}}",
                                         "\xff\xfe{}",
                                         "{\"a\":\"\xff\"}"};

    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        struct pk_answer a;

        for (size_t k = 0; k < PK_COUNT(bodies); k++)
            if (!EXPECT(!answered(s, &pk_dialect_openai, pk_str_of(bodies[k]), &a)))
                printf("# %s: %s\n", s->back->name, bodies[k]);
        EXPECT(!answered(s, &pk_dialect_openai, pk_str_of(s->error), &a));
    }
}

/* The document with the value of a node replaced. */
static pk_str bent(const struct pk_json *doc, int node, const char *by)
{
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    const struct pk_json_node *n = &doc->nodes[node];

    pk_buf_add(&out, pk_str_sub(doc->text, 0, n->start));
    pk_buf_adds(&out, by);
    pk_buf_add(&out, pk_str_sub(doc->text, n->end, doc->text.len));
    return pk_buf_str(&out);
}

static const char *const values[] = {"null",   "true", "7",           "-1",
                                     "1e400",  "\"\"", "\"x\"",       "[]",
                                     "[null]", "{}",   "{\"\":null}", "99999999999999999999"};

/* Calls `look` with each version of `text` in which one value is another; keys are left alone. */
static void bend(pk_str text, void (*look)(void *ctx, pk_str bent), void *ctx)
{
    struct pk_json doc;

    if (!pk_json_parse(&arena, text, "good", &doc, &err))
        return;
    for (int n = 0; n < doc.count; n++) {
        const char *behind = doc.text.at + doc.nodes[n].end;

        if (behind < doc.text.at + doc.text.len && *behind == ':')
            continue;
        for (size_t v = 0; v < PK_COUNT(values); v++)
            look(ctx, bent(&doc, n, values[v]));
    }
}

static void look_at_answer(void *ctx, pk_str body)
{
    const struct subject *s = ctx;
    struct pk_answer a;
    struct pk_json doc;

    if (!answered(s, &pk_dialect_openai, body, &a))
        return;
    if (!EXPECT(pk_json_parse(&arena, a.body, "answer", &doc, &err) &&
                pk_json_type(&doc, pk_json_at(&doc, "choices[0].message")) == PK_JSON_OBJECT))
        printf("# %s: %.*s\n# gave %.*s\n", s->back->name, PK_FMT(body), PK_FMT(a.body));
}

static void wrong_types_make_no_answer_that_cannot_be_read(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++)
        bend(pk_str_of(subjects[i].answer), look_at_answer, (void *)(uintptr_t)&subjects[i]);
}

/* --- streams --------------------------------------------------------------------------------- */

static void frame(struct pk_buf *out, const struct subject *s, const struct piece *p,
                  const char *line)
{
    switch (s->back->framing) {
    case PK_FRAMED_SSE:
        if (p->name)
            pk_buf_addf(out, "event: %s%s", p->name, line);
        pk_buf_addf(out, "data: %s%s%s", p->data, line, line);
        break;
    case PK_FRAMED_LINES: pk_buf_addf(out, "%s%s", p->data, line); break;
    case PK_FRAMED_EVENTSTREAM:
        if (*p->name == '!')
            frame_event(out, PK_STR("exception"), pk_str_of(p->name + 1), pk_str_of(p->data));
        else
            frame_event(out, PK_STR("event"), pk_str_of(p->name), pk_str_of(p->data));
        break;
    }
}

/* The whole stream; piece `at` is `other` instead, or, when `also`, comes before it. */
static pk_str framed(const struct subject *s, int at, const struct piece *other, bool also,
                     const char *line)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    for (int i = 0; i < EVENTS_MAX && s->stream[i].data; i++) {
        if (i == at)
            frame(&out, s, other, line);
        if (i != at || also)
            frame(&out, s, &s->stream[i], line);
    }
    return pk_buf_str(&out);
}

static pk_str good(const struct subject *s)
{
    return framed(s, -1, NULL, false, "\n");
}

struct outcome {
    bool ok, complete;
    pk_str text;
    struct pk_usage usage;
};

/* Feeds it whole, or in two pieces, or byte by byte. */
static struct outcome fed(const struct subject *s, pk_str in, size_t cut, bool bytes)
{
    struct pk_stream *stream = pk_stream_new(&arena, &pk_dialect_openai, s->back, true, CREATED_S);
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    struct outcome o = {.ok = true};
    struct pk_answer a;

    for (size_t at = 0; at < in.len && o.ok;) {
        pk_str piece = pk_str_sub(in, at, bytes ? 1 : at < cut ? cut - at : in.len);

        o.ok = pk_stream_feed(stream, piece, &out, &err);
        at += piece.len;
    }
    o.ok = o.ok && pk_stream_end(stream, &out, &err);
    o.complete = o.ok && stream->complete;
    if (pk_stream_answer(stream, &a, &err))
        o.text = text_of(a.body);
    o.usage = stream->usage;
    return o;
}

static bool is_good(const struct outcome *o)
{
    return o->complete && pk_str_is(o->text, TEXT);
}

static void a_stream_is_the_same_however_it_comes(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        pk_str in = good(s);

        for (size_t cut = 0; cut <= in.len; cut++) {
            struct outcome o = fed(s, in, cut, false);

            EXPECT(is_good(&o) && o.usage.input == 1 && o.usage.output == 2);
        }
        struct outcome o = fed(s, in, 0, true);
        EXPECT(is_good(&o));
    }
}

static void a_stream_that_is_cut_is_not_whole(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        pk_str in = good(s);

        for (size_t len = 0; len < in.len; len++) {
            struct outcome o = fed(s, pk_str_sub(in, 0, len), 0, false);

            if (!EXPECT(!o.complete || pk_str_is(o.text, TEXT)))
                printf("# %s after %zu bytes: %.*s\n", s->back->name, len, PK_FMT(o.text));
        }
    }
}

static void line_ends_and_marks_do_not_matter(void)
{
    static const char *const lines[] = {"\n", "\r\n", "\r"};

    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];

        if (s->back->framing != PK_FRAMED_SSE)
            continue;
        for (size_t k = 0; k < PK_COUNT(lines); k++) {
            pk_str in = framed(s, -1, NULL, false, lines[k]);
            struct pk_buf marked = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

            pk_buf_adds(&marked, "\xef\xbb\xbf: a comment\n\nretry: 10\n\n");
            pk_buf_add(&marked, in);
            struct outcome plain = fed(s, in, 0, false), bytes = fed(s, in, 0, true);
            struct outcome more = fed(s, pk_buf_str(&marked), 0, false);
            if (!EXPECT(is_good(&plain) && is_good(&bytes) && is_good(&more)))
                printf("# %s, line end %zu\n", s->back->name, k);
        }
        struct pk_buf mixed = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
        for (int p = 0; p < EVENTS_MAX && s->stream[p].data; p++)
            frame(&mixed, s, &s->stream[p], lines[p % 3]);
        struct outcome o = fed(s, pk_buf_str(&mixed), 0, false);
        EXPECT(is_good(&o));
    }
}

static void a_stream_that_is_none_is_not_whole(void)
{
    static const char *const texts[] = {
        "",
        "\n\n\n",
        "<html>\n\n</html>\n\n",
        "data: <html>\n\n",
        "data: [DONE]\n\n",
        "data:\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        "data: null\n\n",
        "data: [1]\n\n",
        "{\"error\":{\"message\":\"no\"}}",
        "{\"error\":{\"message\":\"no\"}}\n\n",
        "{}\n",
        "null\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\n",
        "data: {\"candidates\":[]}\n\n",
        "\xff\xfe\n\n"};

    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        for (size_t k = 0; k < PK_COUNT(texts); k++) {
            struct outcome o = fed(&subjects[i], pk_str_of(texts[k]), 0, false);

            if (!EXPECT(!o.complete))
                printf("# %s: %s\n", subjects[i].back->name, texts[k]);
        }
        struct outcome o = fed(&subjects[i], pk_str_of(subjects[i].error), 0, false);
        EXPECT(!o.complete);
    }
}

static void an_error_in_a_stream_is_one(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];

        for (int at = 0; at <= s->finish; at++) {
            struct outcome o = fed(s, framed(s, at, &s->failed, true, "\n"), 0, false);

            if (!EXPECT(!o.ok && !o.complete))
                printf("# %s at %d\n", s->back->name, at);
        }
    }
}

static void what_is_said_twice_or_never_heard_of_changes_nothing(void)
{
    static const struct piece unknown[] = {
        {"news", "{\"type\":\"news\",\"news\":[1,2,{\"a\":null}]}"},
        {"ping", "{\"type\":\"ping\"}"},
        {"x", "{}"}};

    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        struct outcome twice =
            fed(s, framed(s, s->finish, &s->stream[s->finish], true, "\n"), 0, false);

        /* a second end may be an error where it is the end of the stream; it adds no text */
        if (!EXPECT(pk_str_is(twice.text, TEXT)))
            printf("# %s: said twice: %.*s\n", s->back->name, PK_FMT(twice.text));
        for (size_t k = 0; k < PK_COUNT(unknown); k++) {
            struct outcome o = fed(s, framed(s, s->finish, &unknown[k], true, "\n"), 0, false);

            /* lines have no names: one that is no answer is an error there */
            if (!EXPECT(is_good(&o) || (s->back->framing == PK_FRAMED_LINES && !o.ok)))
                printf("# %s: %s\n", s->back->name, unknown[k].name);
        }
    }
}

static void look_at_stream(void *ctx, pk_str data)
{
    const int *place = ctx; /* subject, piece */
    const struct subject *s = &subjects[place[0]];
    const struct piece other = {s->stream[place[1]].name, pk_copy(&arena, data).at};
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    struct pk_stream *stream = pk_stream_new(&arena, &pk_dialect_openai, s->back, true, CREATED_S);
    pk_str in = framed(s, place[1], &other, false, "\n");
    struct pk_answer a;
    struct pk_json doc;

    if (!pk_stream_feed(stream, in, &out, &err) || !pk_stream_end(stream, &out, &err))
        return;
    if (!EXPECT(pk_stream_answer(stream, &a, &err) &&
                pk_json_parse(&arena, a.body, "answer", &doc, &err)))
        printf("# %s: %.*s\n", s->back->name, PK_FMT(data));
}

static void wrong_types_in_streams_are_survived(void)
{
    int place[2];

    for (place[0] = 0; place[0] < (int)PK_COUNT(subjects); place[0]++)
        for (place[1] = 0; subjects[place[0]].stream[place[1]].data; place[1]++) {
            bend(pk_str_of(subjects[place[0]].stream[place[1]].data), look_at_stream, place);
            pk_arena_free(&arena);
        }
}

static pk_str with_text(const char *data, size_t bytes)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CALL_BYTES_MAX);
    const char *at = strstr(data, TEXT);

    PK_ASSERT(at);
    pk_buf_add(&out, (pk_str){data, (size_t)(at - data)});
    for (size_t i = 0; i < bytes; i += 16)
        pk_buf_adds(&out, "0123456789abcdef");
    pk_buf_adds(&out, at + strlen(TEXT));
    pk_buf_addc(&out, 0);
    return pk_buf_str(&out);
}

static void an_event_may_be_large_but_not_without_bound(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        struct piece large = s->stream[s->text];

        large.data = with_text(s->stream[s->text].data, 10 << 20).at;
        struct outcome o = fed(s, framed(s, s->text, &large, false, "\n"), 0, false);
        if (!EXPECT(o.complete && o.text.len == 10 << 20))
            printf("# %s: %zu bytes\n", s->back->name, o.text.len);
        large.data = with_text(s->stream[s->text].data, PK_EVENT_BYTES_MAX).at;
        err = (struct pk_error){0};
        o = fed(s, framed(s, s->text, &large, false, "\n"), 0, false);
        EXPECT(!o.ok && !o.complete);
        pk_arena_free(&arena);
    }
}

static void without_usage_none_is_made_up(void)
{
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        const struct subject *s = &subjects[i];
        struct outcome o = fed(s, good(s), 0, false);

        EXPECT(o.usage.source == PK_USAGE_PROVIDER);
    }
    const struct subject *s = &subjects[0];
    const struct piece blank = {NULL, "{\"id\":\"i\",\"model\":\"m\",\"choices\":[]}"};
    struct outcome o = fed(s, framed(s, 3, &blank, false, "\n"), 0, false);
    EXPECT(is_good(&o) && o.usage.source == PK_USAGE_NONE);
}

#define CASE(test)                                                                                 \
    do {                                                                                           \
        pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);                           \
        RUN(test);                                                                                 \
        pk_arena_free(&arena);                                                                     \
    } while (0)

int main(void)
{
    CASE(an_answer_is_whole_or_none);
    CASE(what_is_no_answer_is_none);
    CASE(wrong_types_make_no_answer_that_cannot_be_read);
    CASE(a_stream_is_the_same_however_it_comes);
    CASE(a_stream_that_is_cut_is_not_whole);
    CASE(line_ends_and_marks_do_not_matter);
    CASE(a_stream_that_is_none_is_not_whole);
    CASE(an_error_in_a_stream_is_one);
    CASE(what_is_said_twice_or_never_heard_of_changes_nothing);
    CASE(wrong_types_in_streams_are_survived);
    CASE(an_event_may_be_large_but_not_without_bound);
    CASE(without_usage_none_is_made_up);
    return test_end();
}
