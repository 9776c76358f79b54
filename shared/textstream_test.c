/* textstream_test.c - text completions, put together and told again.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "test.h"
#include "textstream.h"

#include <string.h>

static struct pk_arena arena;

static pk_str together(const char *const events[])
{
    struct pk_text_stream *t = pk_text_new(&arena);
    pk_str body = PK_NONE, finish = PK_NONE;
    struct pk_error err;

    for (int i = 0; events[i]; i++) {
        struct pk_json doc;

        EXPECT(pk_json_parse(&arena, pk_str_of(events[i]), "event", &doc, &err));
        pk_text_take(t, &arena, &doc);
    }
    return pk_text_answer(t, &body, &finish) ? body : PK_NONE;
}

static void events_make_an_answer(void)
{
    static const char *const events[] = {
        "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"text\":\"a\\n\",\"index\":0,\"logprobs\":"
        "null}]}",
        "{\"id\":\"c\",\"choices\":[{\"text\":\"x\",\"index\":1,\"finish_reason\":\"length\"},"
        "{\"text\":\"b\",\"index\":0,\"finish_reason\":\"stop\"}]}",
        "{\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", NULL};

    EXPECT(pk_str_is(
        together(events),
        "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"text\":\"a\\nb\",\"index\":0,"
        "\"logprobs\":null,\"finish_reason\":\"stop\"},{\"text\":\"x\",\"index\":1,"
        "\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":1}}"));
}

static void what_is_not_whole_makes_none(void)
{
    static const char *const cases[][3] = {
        {"{\"choices\":[]}"},
        {"{\"choices\":[{\"text\":\"a\",\"index\":0,\"finish_reason\":null}]}"},
        {"{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\",\"logprobs\":{\"tokens\":[\"a\"]"
         "}}]}"},
        {"{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\",\"index\":128}]}"},
        {"{\"choices\":[{\"text\":\"a\",\"finish_reason\":\"stop\"}]}",
         "{\"choices\":[{\"text\":\"b\",\"index\":3}]}"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        EXPECT(pk_str_is(together(cases[i]), ""));
}

static void an_answer_is_told_as_a_stream(void)
{
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);
    struct pk_error err;
    struct pk_json doc;

    EXPECT(pk_json_parse(&arena,
                         PK_STR("{\"id\":\"c\",\n\"choices\":[{\"text\":\"a\",\n\"index\":0}],"
                                "\"usage\":{\"prompt_tokens\":1}}"),
                         "answer", &doc, &err));
    EXPECT(pk_text_replay(&doc, false, &out));
    EXPECT(pk_str_is(pk_buf_str(&out),
                     "data: {\"id\":\"c\",\"choices\":[{\"text\":\"a\", \"index\":0}]}\n\n"
                     "data: [DONE]\n\n"));
    pk_buf_reset(&out);
    EXPECT(pk_text_replay(&doc, true, &out));
    EXPECT(pk_str_is(pk_buf_str(&out),
                     "data: {\"id\":\"c\",\"choices\":[{\"text\":\"a\", \"index\":0}]}\n\n"
                     "data: {\"id\":\"c\",\"usage\":{\"prompt_tokens\":1},\"choices\":[]}\n\n"
                     "data: [DONE]\n\n"));
    EXPECT(pk_json_parse(&arena, PK_STR("{\"choices\":[{\"message\":{}}]}"), "answer", &doc, &err));
    EXPECT(!pk_text_replay(&doc, true, &out));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(events_make_an_answer);
    RUN(what_is_not_whole_makes_none);
    RUN(an_answer_is_told_as_a_stream);
    pk_arena_free(&arena);
    return test_end();
}
