/* tap_test.c - what answers of many APIs say that was used.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tap.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

/* "input read write write_1h output reasoning", or "none". */
static void print(const struct pk_usage *u, char *text, size_t size)
{
    if (u->source == PK_USAGE_NONE)
        (void)snprintf(text, size, "none");
    else
        (void)snprintf(text, size, "%d %d %d %d %d %d", (int)u->input, (int)u->cache_read,
                       (int)u->cache_write, (int)u->cache_write_1h, (int)u->output,
                       (int)u->reasoning);
}

static void usage_is_found_in_each_api_s_place(void)
{
    static const struct {
        const char *answer, *usage;
    } cases[] = {
        {"{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"prompt_tokens_details\":{"
         "\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":2}}}",
         "6 4 0 0 3 2"},
        {"{\"usage\":{\"input_tokens\":14,\"output_tokens\":101,\"total_tokens\":115,"
         "\"input_token_details\":{\"text_tokens\":10,\"audio_tokens\":4}}}",
         "14 0 0 0 101 0"},
        {"{\"response\":{\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":"
         "9},"
         "\"output_tokens\":3,\"output_tokens_details\":{\"reasoning_tokens\":4}}}}",
         "0 9 0 0 0 3"},
        {"{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":20,"
         "\"cache_creation_input_tokens\":30,\"cache_creation\":{\"ephemeral_1h_input_tokens\":10},"
         "\"output_tokens\":2}}",
         "3 20 20 10 2 0"},
        {"{\"usageMetadata\":{\"promptTokenCount\":8,\"cachedContentTokenCount\":3,"
         "\"candidatesTokenCount\":4,\"thoughtsTokenCount\":5}}",
         "5 3 0 0 4 5"},
        {"{\"usage\":{\"billed_units\":{\"input_tokens\":1,\"output_tokens\":2},\"tokens\":{"
         "\"input_tokens\":7,\"output_tokens\":2}}}",
         "1 0 0 0 2 0"},
        {"{\"meta\":{\"billed_units\":{\"input_tokens\":6}}}", "6 0 0 0 0 0"},
        {"{\"usage\":{\"total_tokens\":12}}", "12 0 0 0 0 0"},
        {"{\"usage\":{\"type\":\"duration\",\"seconds\":27}}", "none"},
        {"{\"usage\":{\"prompt_tokens\":-4,\"completion_tokens\":1.5}}", "none"},
        {"{\"usage\":[1],\"data\":[]}", "none"},
        {"{}", "none"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_error err = {0};
        struct pk_usage u;
        struct pk_json doc;
        char got[128];

        if (!EXPECT(pk_json_parse(&arena, pk_str_of(cases[i].answer), "case", &doc, &err)))
            continue;
        EXPECT(pk_tap_usage(&doc, &u) == (u.source == PK_USAGE_PROVIDER));
        print(&u, got, sizeof got);
        if (!EXPECT(strcmp(got, cases[i].usage) == 0))
            printf("# %s: %s\n", cases[i].answer, got);
    }
}

static void a_stream_is_read_along_however_it_is_cut(void)
{
    static const char stream[] =
        "event: message_start\r\ndata: "
        "{\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":7,"
        "\"output_tokens\":1}}}\r\n\r\ndata: [DONE]\n\ndata: {\"delta\":{},\n\n"
        "data: {\"usage\":{\"output_tokens\":9}}\n\n";

    for (size_t step = 1; step < sizeof stream; step += 7) {
        struct pk_tap *t = pk_tap_new(&arena, PK_STR("text/event-stream; charset=utf-8"));
        char got[128];

        if (!EXPECT(t))
            return;
        for (size_t i = 0; i < sizeof stream - 1; i += step)
            pk_tap_feed(t, pk_str_sub(PK_STR(stream), i, step));
        print(&t->usage, got, sizeof got);
        EXPECT(strcmp(got, "7 0 0 0 9 0") == 0 && pk_str_is(t->model, "claude"));
    }
    EXPECT(!pk_tap_new(&arena, PK_STR("audio/mpeg")));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(usage_is_found_in_each_api_s_place);
    RUN(a_stream_is_read_along_however_it_is_cut);
    pk_arena_free(&arena);
    return test_end();
}
