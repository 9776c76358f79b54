/* test_frames.h - writes messages of AWS's event stream, for those who read them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_TEST_FRAMES_H
#define PK_TEST_FRAMES_H

#include "eventstream.h"

#include <sodium.h>
#include <string.h>

static inline void frame_number(struct pk_buf *out, size_t n, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        pk_buf_addc(out, (char)(n >> (8 * i)));
}

/* Appends a header whose value is a string. */
static inline void frame_header(struct pk_buf *headers, pk_str name, pk_str value)
{
    frame_number(headers, name.len, 1);
    pk_buf_add(headers, name);
    frame_number(headers, 7, 1);
    frame_number(headers, value.len, 2);
    pk_buf_add(headers, value);
}

/* Appends a message with the checksums that belong to it. */
static inline void frame_message(struct pk_buf *out, pk_str headers, pk_str payload)
{
    size_t from = out->len;

    frame_number(out, headers.len + payload.len + PK_EVENTSTREAM_OVERHEAD, 4);
    frame_number(out, headers.len, 4);
    frame_number(out, pk_crc32((pk_str){out->at + from, out->len - from}), 4);
    pk_buf_add(out, headers);
    pk_buf_add(out, payload);
    frame_number(out, pk_crc32((pk_str){out->at + from, out->len - from}), 4);
}

/* Appends an "event" or an "exception" of that name. */
static inline void frame_event(struct pk_buf *out, pk_str kind, pk_str name, pk_str payload)
{
    struct pk_buf headers = pk_buf_in(out->arena, PK_CALL_BYTES_MAX);

    frame_header(&headers,
                 pk_str_is(kind, "event") ? PK_STR(":event-type") : PK_STR(":exception-type"),
                 name);
    frame_header(&headers, PK_STR(":content-type"), PK_STR("application/json"));
    frame_header(&headers, PK_STR(":message-type"), kind);
    frame_message(out, pk_buf_str(&headers), payload);
}

/* Appends a "chunk", which has another API's event in base64. */
static inline void frame_chunk(struct pk_buf *out, pk_str json)
{
    const int variant = sodium_base64_VARIANT_ORIGINAL;
    size_t size = sodium_base64_encoded_len(json.len, variant);
    char *text = pk_alloc(out->arena, size);
    struct pk_buf payload = pk_buf_in(out->arena, PK_CALL_BYTES_MAX);

    (void)sodium_bin2base64(text, size, (const unsigned char *)json.at, json.len, variant);
    pk_buf_addf(&payload, "{\"bytes\":\"%s\",\"p\":\"abc\"}", text);
    frame_event(out, PK_STR("event"), PK_STR("chunk"), pk_buf_str(&payload));
}

/* Takes what stands before the first `c` off the front of *rest. */
static inline pk_str frame_before(pk_str *rest, char c)
{
    int at = pk_str_find(*rest, c);
    pk_str word = at < 0 ? *rest : pk_str_sub(*rest, 0, (size_t)at);

    *rest = at < 0 ? PK_NONE : pk_str_sub(*rest, (size_t)at + 1, rest->len);
    return word;
}

/* Appends a stream that is told in lines: "event", "exception" or "broken" (its checksum is wrong), a name, JSON, of a
 * chunk what is in it; or "cut N": that many bytes of what is above are missing. */
static inline void frame_lines(struct pk_buf *out, pk_str lines)
{
    while (lines.len) {
        pk_str line = frame_before(&lines, '\n'), kind = frame_before(&line, ' ');
        pk_str json = line, name = frame_before(&json, ' ');
        int64_t bytes = 0;

        if (pk_str_is(kind, "cut") && pk_str_int(line, &bytes))
            out->len -= (size_t)bytes;
        else if (pk_str_is(name, "chunk"))
            frame_chunk(out, json);
        else if (kind.len)
            frame_event(out, pk_str_is(kind, "broken") ? PK_STR("event") : kind, name, json);
        if (pk_str_is(kind, "broken"))
            out->at[out->len - 1] ^= 1;
    }
}

#endif
