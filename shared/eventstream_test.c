/* eventstream_test.c - AWS's event stream: as its specification encodes it, cut anywhere, and broken.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "eventstream.h"

#include "test.h"
#include "test_frames.h"

static struct pk_arena arena;

/* --- writing messages ------------------------------------------------------------------------ */

static pk_str message(pk_str headers, pk_str payload)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    frame_message(&out, headers, payload);
    return pk_buf_str(&out);
}

static pk_str typed(const char *kind, const char *name, const char *payload)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    frame_event(&out, pk_str_of(kind), pk_str_of(name), pk_str_of(payload));
    return pk_buf_str(&out);
}

static pk_str event(const char *name, const char *payload)
{
    return typed("event", name, payload);
}

static pk_str joined(pk_str a, pk_str b)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    pk_buf_add(&out, a);
    pk_buf_add(&out, b);
    return pk_buf_str(&out);
}

/* --- reading them ---------------------------------------------------------------------------- */

struct reading {
    struct pk_eventstream s;
    struct pk_buf events; /* "name|data;", with a ! before an error */
    struct pk_error err;
};

static void feed(struct reading *r, pk_str bytes)
{
    struct pk_sse_event ev;

    while (pk_eventstream_next(&r->s, &bytes, &ev, &r->err))
        pk_buf_addf(&r->events, "%s%.*s|%.*s;", ev.error ? "!" : "", PK_FMT(ev.name),
                    PK_FMT(ev.data));
}

/* In pieces of `step` bytes, and then the end. */
static struct reading read_all(pk_str bytes, size_t step)
{
    struct reading r = {.events = pk_buf_in(&arena, PK_CALL_BYTES_MAX)};

    pk_eventstream_init(&r.s, &arena);
    for (size_t at = 0; at < bytes.len && r.err.code == PK_OK; at += step)
        feed(&r, pk_str_sub(bytes, at, step));
    if (r.err.code == PK_OK)
        pk_eventstream_end(&r.s, &r.err);
    return r;
}

static bool reads_as(pk_str bytes, const char *events, const char *error)
{
    for (size_t step = 1; step <= bytes.len + 1; step++) {
        struct reading r = read_all(bytes, step);

        if (!pk_str_is(pk_buf_str(&r.events), events) || strcmp(r.err.msg, error) != 0) {
            printf("# step %zu: %.*s %s\n", step, PK_FMT(pk_buf_str(&r.events)), r.err.msg);
            return false;
        }
    }
    return true;
}

/* The same message with the byte at `at` (from the end when negative) changed. */
static pk_str flipped(pk_str bytes, int at)
{
    char *copy = pk_alloc(&arena, bytes.len);

    memcpy(copy, bytes.at, bytes.len);
    copy[at < 0 ? (int)bytes.len + at : at] ^= 1;
    return (pk_str){copy, bytes.len};
}

/* --- cases ----------------------------------------------------------------------------------- */

static void the_checksum_is_that_of_gzip(void)
{
    EXPECT(pk_crc32(PK_STR("123456789")) == 0xcbf43926);
    EXPECT(pk_crc32(PK_NONE) == 0);
}

/* "payload_no_headers" of the SDKs' test vectors: only its type is missing here. */
static void a_vector_of_the_specification_is_checked(void)
{
    static const unsigned char vector[] = {
        0x00, 0x00, 0x00, 0x1d, 0x00, 0x00, 0x00, 0x00, 0xfd, 0x52, 0x8c, 0x5a, 0x7b, 0x27, 0x66,
        0x6f, 0x6f, 0x27, 0x3a, 0x27, 0x62, 0x61, 0x72, 0x27, 0x7d, 0xc3, 0x65, 0x39, 0x36,
    };

    EXPECT(reads_as((pk_str){(const char *)vector, sizeof vector}, "",
                    "event stream: a message of an unknown type"));
}

static void messages_are_read_however_they_are_cut(void)
{
    pk_str two =
        joined(event("messageStart", "{\"role\":\"assistant\"}"), event("messageStop", "{}"));

    EXPECT(reads_as(two, "messageStart|{\"role\":\"assistant\"};messageStop|{};", ""));
    EXPECT(reads_as(event("empty", ""), "empty|;", ""));
    EXPECT(reads_as(PK_NONE, "", ""));
}

static void errors_are_told_apart_from_events(void)
{
    struct pk_buf headers = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    EXPECT(reads_as(typed("exception", "throttlingException", "{\"message\":\"x\"}"),
                    "!throttlingException|{\"message\":\"x\"};", ""));
    frame_header(&headers, PK_STR(":message-type"), PK_STR("error"));
    frame_header(&headers, PK_STR(":error-code"), PK_STR("InternalError"));
    frame_header(&headers, PK_STR(":error-message"), PK_STR("it \"broke\""));
    EXPECT(reads_as(message(pk_buf_str(&headers), PK_NONE),
                    "!InternalError|{\"message\":\"it \\\"broke\\\"\"};", ""));
}

static void headers_of_other_types_are_stepped_over(void)
{
    static const struct {
        int type, bytes;
    } others[] = {{0, 0}, {1, 0}, {2, 1}, {3, 2}, {4, 4}, {5, 8}, {8, 8}, {9, 16}};
    struct pk_buf headers = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    for (size_t i = 0; i < PK_COUNT(others); i++) {
        frame_number(&headers, 1, 1);
        pk_buf_addc(&headers, 'h');
        frame_number(&headers, (size_t)others[i].type, 1);
        for (int b = 0; b < others[i].bytes; b++)
            pk_buf_addc(&headers, (char)0xff);
    }
    pk_buf_add(&headers, PK_STR("\001b\006\000\002xy"));
    frame_header(&headers, PK_STR(":message-type"), PK_STR("event"));
    frame_header(&headers, PK_STR(":event-type"), PK_STR("chunk"));
    EXPECT(reads_as(message(pk_buf_str(&headers), PK_STR("{}")), "chunk|{};", ""));
}

static void any_changed_byte_is_noticed(void)
{
    pk_str whole = event("messageStop", "{\"stopReason\":\"end_turn\"}");

    for (size_t at = 0; at < whole.len; at++) {
        struct reading r = read_all(flipped(whole, (int)at), whole.len);

        if (!EXPECT(r.err.code == PK_BAD_ANSWER && r.events.len == 0))
            printf("# byte %zu\n", at);
    }
    EXPECT(reads_as(flipped(whole, 3), "", "event stream: the checksum of a prelude is wrong"));
    EXPECT(reads_as(flipped(whole, 20), "", "event stream: the checksum of a message is wrong"));
    EXPECT(reads_as(flipped(whole, -1), "", "event stream: the checksum of a message is wrong"));
}

static void a_message_cut_short_is_an_error(void)
{
    pk_str whole = event("messageStop", "{}");

    for (size_t len = 1; len < whole.len; len++)
        EXPECT(reads_as(pk_str_sub(whole, 0, len), "",
                        "event stream: it ended in the middle of a message"));
}

static pk_str prelude(uint32_t total, uint32_t headers)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

    frame_number(&out, total, 4);
    frame_number(&out, headers, 4);
    frame_number(&out, pk_crc32(pk_buf_str(&out)), 4);
    return pk_buf_str(&out);
}

static void lengths_that_cannot_be_are_refused_at_once(void)
{
    EXPECT(reads_as(prelude(15, 0), "", "event stream: the lengths of a message cannot be"));
    EXPECT(reads_as(prelude(0, 0), "", "event stream: the lengths of a message cannot be"));
    EXPECT(reads_as(prelude(100, 85), "", "event stream: the lengths of a message cannot be"));
    EXPECT(reads_as(prelude(1 << 20, PK_EVENTSTREAM_HEADERS_MAX + 1), "",
                    "event stream: the lengths of a message cannot be"));
    EXPECT(reads_as(prelude(PK_EVENT_BYTES_MAX + 1, 0), "",
                    "event stream: an event is larger than 16 MiB"));
    EXPECT(reads_as(prelude(UINT32_MAX, UINT32_MAX), "",
                    "event stream: an event is larger than 16 MiB"));
}

static void headers_beyond_their_message_are_refused(void)
{
    static const char *const bad[] = {
        "\x05"
        "a", /* a name that is longer than the headers */
        "\x01"
        "a", /* no type */
        "\x01"
        "a\x07", /* no length */
        "\x01"
        "a\x07\x01\xff", /* a value that is longer than the headers */
        "\x01"
        "a\x05"
        "1234", /* likewise */
        "\x01"
        "a\x0a", /* a type that is none */
    };

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        EXPECT(reads_as(message(pk_str_of(bad[i]), PK_STR("{}")), "",
                        "event stream: a header is malformed"));
    EXPECT(
        reads_as(message(PK_STR("\0"), PK_STR("{}")), "", "event stream: a header is malformed"));
}

static void a_message_of_an_unknown_type_is_refused(void)
{
    EXPECT(reads_as(typed("initial-response", "x", "{}"), "",
                    "event stream: a message of an unknown type"));
    EXPECT(
        reads_as(message(PK_NONE, PK_STR("{}")), "", "event stream: a message of an unknown type"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(the_checksum_is_that_of_gzip);
    RUN(a_vector_of_the_specification_is_checked);
    RUN(messages_are_read_however_they_are_cut);
    RUN(errors_are_told_apart_from_events);
    RUN(headers_of_other_types_are_stepped_over);
    RUN(any_changed_byte_is_noticed);
    RUN(a_message_cut_short_is_an_error);
    RUN(lengths_that_cannot_be_are_refused_at_once);
    RUN(headers_beyond_their_message_are_refused);
    RUN(a_message_of_an_unknown_type_is_refused);
    pk_arena_free(&arena);
    return test_end();
}
