/* wsframe_test.c - frames, whole and cut anywhere, and what a session's events add up to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "realtime.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

/* Appends a server's frame: 0x81 is a whole text message. */
static void frame(struct pk_buf *out, unsigned first, pk_str payload)
{
    pk_buf_addc(out, (char)first);
    if (payload.len < 126) {
        pk_buf_addc(out, (char)payload.len);
    } else if (payload.len < 65536) {
        pk_buf_addc(out, 126);
        pk_buf_addc(out, (char)(payload.len >> 8));
        pk_buf_addc(out, (char)payload.len);
    } else {
        pk_buf_addc(out, 127);
        for (int i = 56; i >= 0; i -= 8)
            pk_buf_addc(out, (char)((uint64_t)payload.len >> i));
    }
    pk_buf_add(out, payload);
}

/* All text messages of `bytes`, cut into pieces of `step`, each in brackets. */
static pk_str read_all(pk_str bytes, size_t step, struct pk_wsframes *w)
{
    struct pk_buf seen = pk_buf_in(&arena, 64 << 20);
    pk_str text;

    pk_wsframes_init(w, &arena);
    for (size_t at = 0; at < bytes.len; at += step) {
        pk_str piece = pk_str_sub(bytes, at, step);

        while (pk_wsframes_next(w, &piece, &text))
            pk_buf_addf(&seen, "[%.*s]", PK_FMT(text));
        EXPECT(piece.len == 0);
    }
    return pk_buf_str(&seen);
}

static void messages_are_the_same_wherever_they_are_cut(void)
{
    struct pk_buf bytes = pk_buf_in(&arena, 1 << 20);
    char middle[300], large[70000];
    struct pk_wsframes w;

    memset(middle, 'm', sizeof middle);
    memset(large, 'l', sizeof large);
    frame(&bytes, 0x81, PK_STR("one"));
    frame(&bytes, 0x01, PK_STR("t"));
    frame(&bytes, 0x89, PK_STR("ping between fragments"));
    frame(&bytes, 0x00, PK_STR("w"));
    frame(&bytes, 0x80, PK_STR("o"));
    frame(&bytes, 0x82, PK_STR("binary"));
    frame(&bytes, 0x02, PK_STR("bin"));
    frame(&bytes, 0x80, PK_STR("ary"));
    frame(&bytes, 0x81, PK_NONE);
    frame(&bytes, 0x81, (pk_str){middle, sizeof middle});
    frame(&bytes, 0x81, (pk_str){large, sizeof large});
    frame(&bytes, 0x88, PK_STR("\x03\xe8"));
    pk_str whole = read_all(pk_buf_str(&bytes), bytes.len, &w);
    EXPECT(pk_str_starts(whole, "[one][two][][mmm") && whole.len == 12 + 302 + 70002);
    EXPECT(w.closed && w.unread == 0 && pk_wsframes_between(&w));
    for (size_t step = 1; step < 10; step++)
        EXPECT(pk_str_eq(whole, read_all(pk_buf_str(&bytes), step, &w)) && w.closed);
}

static void a_frame_may_follow_only_behind_a_frame(void)
{
    struct pk_buf bytes = pk_buf_in(&arena, 1 << 20);
    struct pk_wsframes w;

    frame(&bytes, 0x01, PK_STR("abc"));
    for (size_t len = 1; len < bytes.len; len++) {
        (void)read_all((pk_str){bytes.at, len}, len, &w);
        EXPECT(!pk_wsframes_between(&w));
    }
    (void)read_all(pk_buf_str(&bytes), bytes.len, &w);
    EXPECT(pk_wsframes_between(&w)); /* between two fragments */
}

static void a_message_that_is_too_long_is_passed_over(void)
{
    struct pk_buf bytes = pk_buf_in(&arena, 16 << 20);
    size_t len = PK_WS_MESSAGE_BYTES_MAX + 1;
    char *large = pk_alloc(&arena, len);
    struct pk_wsframes w;

    memset(large, 'x', len);
    frame(&bytes, 0x81, (pk_str){large, len});
    frame(&bytes, 0x81, PK_STR("next"));
    EXPECT(pk_str_is(read_all(pk_buf_str(&bytes), 1000, &w), "[next]"));
    EXPECT(w.unread == 1 && !w.broken);
}

static void what_no_server_sends_is_not_read(void)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
    } cases[] = {
        {"compressed", "\xc1\x01x", 3},
        {"masked", "\x81\x81\1\2\3\4x", 7},
        {"an opcode that nothing has", "\x83\x01x", 3},
        {"a fragmented ping", "\x09\x01x", 3},
        {"a ping of 126 bytes", "\x89\x7e\x00\x7e", 4},
        {"a length of 64 bits", "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10},
    };
    struct pk_wsframes w;

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        const pk_str bytes = {cases[i].bytes, cases[i].len};

        if (!EXPECT(read_all(bytes, bytes.len, &w).len == 0 && w.broken && w.unread == 1))
            printf("# %s\n", cases[i].name);
        EXPECT(!pk_wsframes_between(&w));
    }
}

/* --- usage ----------------------------------------------------------------------------------- */

#define DONE(usage)                                                                                \
    PK_STR("{\"type\":\"response.done\",\"event_id\":\"e\",\"response\":{\"usage\":" usage "}}")

static struct pk_realtime *session(const pk_str *events, size_t count)
{
    struct pk_realtime *r = pk_realtime_new(&arena);

    for (size_t i = 0; i < count; i++) {
        struct pk_buf bytes = pk_buf_in(&arena, 16 << 20);

        frame(&bytes, 0x81, events[i]);
        pk_realtime_feed(r, pk_buf_str(&bytes));
    }
    return r;
}

static void responses_add_up(void)
{
    const pk_str events[] = {
        PK_STR("{\"type\":\"session.created\",\"session\":{\"model\":\"gpt-realtime-1\"}}"),
        PK_STR("{\"type\":\"response.text.delta\",\"delta\":\"\\\"response.done\\\"\"}"),
        DONE("{\"total_tokens\":30,\"input_tokens\":20,\"output_tokens\":10,"
             "\"input_token_details\":{\"text_tokens\":20,\"audio_tokens\":0,\"cached_tokens\":5},"
             "\"output_token_details\":{\"text_tokens\":10,\"audio_tokens\":0}}"),
        DONE("{\"input_tokens\":1,\"output_tokens\":2}"),
        DONE("null"),
    };
    struct pk_realtime *r = session(events, PK_COUNT(events));

    EXPECT(r->usage.source == PK_USAGE_PROVIDER && r->usage.input == 16);
    EXPECT(r->usage.cache_read == 5 && r->usage.output == 12 && !r->why);
    EXPECT(strcmp(r->model, "gpt-realtime-1") == 0);
}

static void audio_has_no_price(void)
{
    const pk_str events[] = {
        DONE("{\"input_tokens\":20,\"output_tokens\":10,"
             "\"output_token_details\":{\"text_tokens\":4,\"audio_tokens\":6}}")};
    struct pk_realtime *r = session(events, 1);

    EXPECT(r->usage.output == 10 && r->why && strstr(r->why, "audio"));
}

static void transcription_has_no_price(void)
{
    const pk_str events[] = {
        DONE("{\"input_tokens\":20,\"output_tokens\":10}"),
        PK_STR("{\"type\":\"conversation.item.input_audio_transcription.completed\","
               "\"usage\":{\"type\":\"duration\",\"seconds\":3}}")};
    struct pk_realtime *r = session(events, 2);

    EXPECT(r->usage.output == 10 && r->why && strstr(r->why, "transcription"));
}

static void a_sum_with_a_gap_is_none(void)
{
    const pk_str events[] = {DONE("{\"input_tokens\":20,\"output_tokens\":10}"),
                             PK_STR("{\"type\":\"response.done\",")};
    struct pk_realtime *r = session(events, 2);

    EXPECT(r->usage.source == PK_USAGE_NONE && r->usage.input == 0 && r->why);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(messages_are_the_same_wherever_they_are_cut);
    RUN(a_frame_may_follow_only_behind_a_frame);
    RUN(a_message_that_is_too_long_is_passed_over);
    RUN(what_no_server_sends_is_not_read);
    RUN(responses_add_up);
    RUN(audio_has_no_price);
    RUN(transcription_has_no_price);
    RUN(a_sum_with_a_gap_is_none);
    pk_arena_free(&arena);
    return test_end();
}
