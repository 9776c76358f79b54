/* lines_test.c - JSON documents, one a line, cut anywhere.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "framing.h"

#include "test.h"

#include <string.h>

static const struct {
    const char *name, *text, *events;
} cases[] = {
    {"lines end in LF", "{\"a\":1}\n{\"b\":2}\n", "{\"a\":1};{\"b\":2};"},
    {"or in CRLF", "{\"a\":1}\r\n{\"b\":2}\r\n", "{\"a\":1};{\"b\":2};"},
    {"the last one may have no end", "{\"a\":1}\n{\"b\":2}", "{\"a\":1};{\"b\":2};"},
    {"blank lines are skipped", "\n\r\n  \n{\"a\":1}\n\n\n", "{\"a\":1};"},
    {"blanks at the end are no line", "{\"a\":1}\n \r", "{\"a\":1};"},
    {"blanks around are cut", " \t{\"a\":1} \n", "{\"a\":1};"},
    {"other line ends stay", "{\"a\":\"\xe2\x80\xa8\"}\n", "{\"a\":\"\xe2\x80\xa8\"};"},
    {"nothing is nothing", "", ""},
};

static void add(struct pk_buf *events, const struct pk_sse_event *ev)
{
    pk_buf_add(events, ev->data);
    pk_buf_addc(events, ';');
    EXPECT(!ev->error && ev->name.len == 0);
}

static bool reads_as(struct pk_arena *arena, int i, size_t step)
{
    struct pk_frames f;
    struct pk_sse_event ev;
    struct pk_error err = {0};
    struct pk_buf events = pk_buf_in(arena, PK_CALL_BYTES_MAX);
    pk_str text = pk_str_of(cases[i].text);

    pk_frames_init(&f, PK_FRAMED_LINES, arena);
    for (size_t at = 0; at < text.len; at += step) {
        pk_str piece = pk_str_sub(text, at, step);

        while (pk_frames_next(&f, &piece, &ev, &err))
            add(&events, &ev);
        EXPECT(piece.len == 0);
    }
    if (pk_frames_end(&f, &ev, &err))
        add(&events, &ev);
    return err.code == PK_OK && pk_str_is(pk_buf_str(&events), cases[i].events);
}

static void lines_are_read_however_they_are_cut(void)
{
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    for (size_t i = 0; i < PK_COUNT(cases); i++)
        for (size_t step = 1; step <= strlen(cases[i].text) + 1; step++)
            if (!EXPECT(reads_as(&arena, (int)i, step)))
                printf("# %s, step %zu\n", cases[i].name, step);
    pk_arena_free(&arena);
}

static void a_line_over_the_limit_is_refused(void)
{
    struct pk_arena arena;
    struct pk_lines s;
    struct pk_sse_event ev;
    struct pk_error err = {0};

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    char *large = pk_alloc(&arena, PK_EVENT_BYTES_MAX);
    memset(large, 'x', PK_EVENT_BYTES_MAX);
    pk_lines_init(&s, &arena);
    pk_str most = {large, PK_EVENT_BYTES_MAX}, more = PK_STR("\n");
    EXPECT(!pk_lines_next(&s, &most, &ev, &err) && err.code == PK_OK);
    EXPECT(!pk_lines_next(&s, &more, &ev, &err) && err.code == PK_TOO_LARGE);
    EXPECT(!pk_lines_end(&s, &ev));
    pk_arena_free(&arena);
}

static void every_framing_has_its_content_type(void)
{
    EXPECT(strcmp(pk_framing_type(PK_FRAMED_SSE), "text/event-stream") == 0);
    EXPECT(strcmp(pk_framing_type(PK_FRAMED_EVENTSTREAM), "application/vnd.amazon.eventstream") ==
           0);
    EXPECT(strcmp(pk_framing_type(PK_FRAMED_LINES), "application/x-ndjson") == 0);
}

int main(void)
{
    RUN(lines_are_read_however_they_are_cut);
    RUN(a_line_over_the_limit_is_refused);
    RUN(every_framing_has_its_content_type);
    return test_end();
}
