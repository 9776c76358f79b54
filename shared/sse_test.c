/* sse_test.c - server-sent events as the standard parses them, cut anywhere.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sse.h"

#include "test.h"

#include <string.h>
#include <time.h>

/* What a document parses to: "name|data;" for each event, line breaks in data as \n. */
struct reading {
    struct pk_arena arena;
    struct pk_sse sse;
    struct pk_buf events, raw;
    struct pk_error err;
};

static void open_reading(struct reading *r)
{
    *r = (struct reading){0};
    pk_arena_init(&r->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    pk_sse_init(&r->sse, &r->arena);
    r->events = pk_buf_in(&r->arena, PK_CALL_BYTES_MAX);
    r->raw = pk_buf_in(&r->arena, PK_CALL_BYTES_MAX);
}

static void feed(struct reading *r, pk_str bytes)
{
    struct pk_sse_event ev;

    while (pk_sse_next(&r->sse, &bytes, &ev, &r->err)) {
        pk_buf_add(&r->events, ev.name);
        pk_buf_addc(&r->events, '|');
        pk_buf_add(&r->events, ev.data);
        pk_buf_addc(&r->events, ';');
        pk_buf_add(&r->raw, ev.raw);
    }
}

static const struct {
    const char *name, *text, *events;
} cases[] = {
    {"LF", "data: a\n\ndata: b\n\n", "|a;|b;"},
    {"CR", "data: a\r\rdata: b\r\r", "|a;|b;"},
    {"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", "|a;|b;"},
    {"mixed ends", "data: a\rdata: b\n\r\ndata: c\r\n\rdata: d\n\n", "|a\nb;|c;|d;"},
    {"LF then CR is two line ends", "data: a\n\rdata: b\n\n", "|a;|b;"},
    {"a BOM is skipped",
     "\xef\xbb\xbf"
     "data: a\n\n",
     "|a;"},
    {"a second BOM is not",
     "\xef\xbb\xbf\xef\xbb\xbf"
     "data: a\n\n",
     ""},
    {"a BOM later is not",
     "data: a\n\n\xef\xbb\xbf"
     "data: b\n\n",
     "|a;"},
    {"a comment is skipped", ": hi\n\n:\ndata: a\n: x\n\n", "|a;"},
    {"lines of data are joined", "data: a\ndata:\ndata: b\n\n", "|a\n\nb;"},
    {"one blank goes", "data:a\ndata: b\ndata:  c\n\n", "|a\nb\n c;"},
    {"empty data counts", "data\n\ndata:\n\n", "|;|;"},
    {"an event without data does not", "event: x\n\ndata: a\n\n", "|a;"},
    {"the name is the last one", "event: x\nevent: y\ndata: a\n\ndata: b\n\n", "y|a;|b;"},
    {"an empty name", "event: x\nevent\ndata: a\n\n", "|a;"},
    {"id and retry are ignored", "id: 1\nretry: 5\ndata: a\n\n", "|a;"},
    {"unknown fields are ignored", "dat: x\nDATA: x\n data: x\ndata: a\n\n", "|a;"},
    {"colons in data stay", "data: a: b:c\n\n", "|a: b:c;"},
    {"an unfinished event is none", "data: a\n\ndata: b\n", "|a;"},
    {"a line without an end is none", "data: a\n\ndata: b", "|a;"},
    {"blank lines are nothing", "\n\n\r\n\r\rdata: a\n\n\n\n", "|a;"},
    {"UTF-8 and control bytes pass", "data: \xc3\xa4\x01\xff\n\n", "|\xc3\xa4\x01\xff;"},
};

static bool reads_as(struct reading *r, int i)
{
    if (pk_str_is(pk_buf_str(&r->events), cases[i].events) && r->err.code == PK_OK)
        return true;
    printf("# %s: got %.*s\n", cases[i].name, PK_FMT(pk_buf_str(&r->events)));
    return false;
}

static void events_are_read_as_the_standard_says(void)
{
    struct reading r;

    for (int i = 0; i < (int)PK_COUNT(cases); i++) {
        open_reading(&r);
        feed(&r, pk_str_of(cases[i].text));
        EXPECT(reads_as(&r, i));
        pk_arena_free(&r.arena);
    }
}

static void every_cut_in_three_reads_the_same(void)
{
    struct reading r;

    for (int i = 0; i < (int)PK_COUNT(cases); i++) {
        pk_str text = pk_str_of(cases[i].text);

        for (size_t a = 0; a <= text.len; a++) {
            for (size_t b = a; b <= text.len; b++) {
                open_reading(&r);
                feed(&r, pk_str_sub(text, 0, a));
                feed(&r, pk_str_sub(text, a, b - a));
                feed(&r, pk_str_sub(text, b, text.len));
                EXPECT(reads_as(&r, i));
                pk_arena_free(&r.arena);
            }
        }
    }
}

static void byte_by_byte_reads_the_same(void)
{
    struct reading r;

    for (int i = 0; i < (int)PK_COUNT(cases); i++) {
        pk_str text = pk_str_of(cases[i].text);

        open_reading(&r);
        for (size_t n = 0; n < text.len; n++)
            feed(&r, pk_str_sub(text, n, 1));
        EXPECT(reads_as(&r, i));
        pk_arena_free(&r.arena);
    }
}

/* The raw events put together are the document, but for what is no event: only a LF at the very
 * end may be missing when it comes alone. */
static void raw_bytes_are_the_bytes_as_they_came(void)
{
    static const char *const texts[] = {
        "data: a\n\nevent: x\ndata: b\ndata: c\n\n",
        "data: a\r\n\r\nevent: x\r\ndata: b\r\n\r\n",
        ": c\rdata: a\r\rdata: b\r\r",
        "\xef\xbb\xbf"
        "id: 7\ndata: a\r\n\ndata: b\r\r\n",
    };
    struct reading r;

    for (int i = 0; i < (int)PK_COUNT(texts); i++) {
        pk_str text = pk_str_of(texts[i]);

        for (size_t cut = 0; cut <= text.len; cut++) {
            open_reading(&r);
            feed(&r, pk_str_sub(text, 0, cut));
            feed(&r, pk_str_sub(text, cut, text.len));
            pk_str raw = pk_buf_str(&r.raw);
            bool lone_lf = cut == text.len - 1 && text.at[cut - 1] == '\r' && text.at[cut] == '\n';
            EXPECT(pk_str_eq(raw, lone_lf ? pk_str_sub(text, 0, cut) : text));
            pk_arena_free(&r.arena);
        }
    }
}

static void the_raw_bytes_of_what_is_skipped_are_skipped(void)
{
    struct reading r;

    open_reading(&r);
    feed(&r, PK_STR(": x\r\n\r\ndata: a\r\n\r\n: y\n\n"));
    EXPECT(pk_str_is(pk_buf_str(&r.raw), "data: a\r\n\r\n"));
    pk_arena_free(&r.arena);
}

static void strings_live_until_the_next_call(void)
{
    struct reading r;
    struct pk_sse_event ev;
    pk_str bytes = PK_STR("event: n\ndata: first\n\ndata: second\n\n");

    open_reading(&r);
    EXPECT(pk_sse_next(&r.sse, &bytes, &ev, &r.err));
    EXPECT(pk_str_is(ev.name, "n") && pk_str_is(ev.data, "first"));
    EXPECT(pk_str_is(ev.raw, "event: n\ndata: first\n\n"));
    EXPECT(pk_sse_next(&r.sse, &bytes, &ev, &r.err));
    EXPECT(ev.name.len == 0 && pk_str_is(ev.data, "second"));
    EXPECT(!pk_sse_next(&r.sse, &bytes, &ev, &r.err) && bytes.len == 0);
    pk_arena_free(&r.arena);
}

static enum pk_code endless(const char *unit)
{
    struct reading r;
    enum pk_code code;

    open_reading(&r);
    for (size_t fed = 0; fed < PK_EVENT_BYTES_MAX + 4096 && r.err.code == PK_OK; fed += 4096) {
        char block[4096];

        for (size_t i = 0; i < sizeof block; i++)
            block[i] = unit[i % strlen(unit)];
        feed(&r, (pk_str){block, sizeof block});
    }
    code = r.err.code;
    pk_arena_free(&r.arena);
    return code;
}

static void an_event_has_a_limit(void)
{
    EXPECT(endless("x") == PK_TOO_LARGE);
    EXPECT(endless("data: abcdefghi\n") == PK_TOO_LARGE);
    EXPECT(endless(": comment\nx: y\n") == PK_TOO_LARGE);
    EXPECT(endless("data: 789abcde\n\n") == PK_OK);
}

static void out_of_memory_is_said_so(void)
{
    struct reading r;

    open_reading(&r);
    r.arena.limit = 64 << 10;
    for (int i = 0; i < 100 && r.err.code == PK_OK; i++) {
        char block[4096];

        memset(block, 'x', sizeof block);
        feed(&r, (pk_str){block, sizeof block});
    }
    EXPECT(r.err.code == PK_NO_MEMORY);
    pk_arena_free(&r.arena);
}

static double seconds_for(size_t len, size_t piece)
{
    struct reading r;
    struct timespec a, b;
    char *block = malloc(piece);

    memset(block, 'x', piece);
    open_reading(&r);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    feed(&r, PK_STR("data: "));
    for (size_t n = 0; n < len; n += piece)
        feed(&r, (pk_str){block, piece});
    feed(&r, PK_STR("\n\n"));
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    EXPECT(r.events.len > piece);
    free(block);
    pk_arena_free(&r.arena);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* Eight times the bytes: a quadratic parser needs 64 times as long. */
static void long_lines_take_linear_time(void)
{
    double small = seconds_for(1 << 20, 64), large = seconds_for(8 << 20, 64);

    EXPECT(large < 0.05 || large < small * 30);
}

static double seconds_for_lines(size_t len)
{
    struct reading r;
    struct timespec a, b;
    char *block = malloc(len);

    for (size_t i = 0; i < len; i++)
        block[i] = i % 2 ? '\r' : 'x';
    open_reading(&r);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    feed(&r, (pk_str){block, len});
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    EXPECT(r.err.code == PK_OK);
    pk_arena_free(&r.arena);
    free(block);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static void many_lines_in_one_piece_take_linear_time(void)
{
    double small = seconds_for_lines(1 << 19), large = seconds_for_lines(8 << 19);

    EXPECT(large < 0.05 || large < small * 30);
}

static void printing_is_read_back(void)
{
    struct reading r;
    struct pk_buf out;

    open_reading(&r);
    out = pk_buf_in(&r.arena, 1 << 16);
    pk_sse_print(&out, PK_STR("ping"), PK_STR("{\"a\":1}"));
    pk_sse_print(&out, PK_NONE, PK_STR("[DONE]"));
    EXPECT(pk_str_is(pk_buf_str(&out), "event: ping\ndata: {\"a\":1}\n\ndata: [DONE]\n\n"));
    feed(&r, pk_buf_str(&out));
    EXPECT(pk_str_is(pk_buf_str(&r.events), "ping|{\"a\":1};|[DONE];"));
    pk_arena_free(&r.arena);
}

int main(void)
{
    RUN(events_are_read_as_the_standard_says);
    RUN(every_cut_in_three_reads_the_same);
    RUN(byte_by_byte_reads_the_same);
    RUN(raw_bytes_are_the_bytes_as_they_came);
    RUN(the_raw_bytes_of_what_is_skipped_are_skipped);
    RUN(strings_live_until_the_next_call);
    RUN(an_event_has_a_limit);
    RUN(out_of_memory_is_said_so);
    RUN(long_lines_take_linear_time);
    RUN(many_lines_in_one_piece_take_linear_time);
    RUN(printing_is_read_back);
    return test_end();
}
