/* eventstream.c - see eventstream.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A message is gathered whole in `raw`: first its 12 bytes of prelude, which say how much follows.
 */
#include "eventstream.h"

#include "json.h"

enum { PRELUDE_BYTES = 12, LENGTHS_BYTES = 8, CRC_BYTES = 4 };

/* The types of header values. */
enum {
    VALUE_TRUE,
    VALUE_FALSE,
    VALUE_BYTE,
    VALUE_SHORT,
    VALUE_INTEGER,
    VALUE_LONG,
    VALUE_BYTES,
    VALUE_STRING,
    VALUE_TIMESTAMP,
    VALUE_UUID,
};

/* --- checksums ------------------------------------------------------------------------------- */

/* Four bits at a time: fast enough beside JSON, and the table can be read. */
uint32_t pk_crc32(pk_str bytes)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.at[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}

/* --- headers --------------------------------------------------------------------------------- */

static uint32_t number_at(pk_str s, size_t at, size_t bytes)
{
    uint32_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | (unsigned char)s.at[at + i];
    return n;
}

/* Takes `len` bytes off the front of *rest; false when they are not there. */
static bool take(pk_str *rest, size_t len, pk_str *out)
{
    if (len > rest->len)
        return false;
    *out = pk_str_sub(*rest, 0, len);
    *rest = pk_str_sub(*rest, len, rest->len);
    return true;
}

/* The same for what follows its length, which is a number of `digits` bytes. */
static bool take_sized(pk_str *rest, size_t digits, pk_str *out)
{
    pk_str len;

    return take(rest, digits, &len) && take(rest, number_at(len, 0, digits), out);
}

struct header {
    pk_str name, value; /* the value's bytes */
    int type;
};

static bool take_header(pk_str *rest, struct header *h)
{
    static const unsigned char sizes[] = {
        [VALUE_TRUE] = 0,    [VALUE_FALSE] = 0, [VALUE_BYTE] = 1,      [VALUE_SHORT] = 2,
        [VALUE_INTEGER] = 4, [VALUE_LONG] = 8,  [VALUE_TIMESTAMP] = 8, [VALUE_UUID] = 16,
    };
    pk_str type;

    if (!take_sized(rest, 1, &h->name) || h->name.len == 0 || !take(rest, 1, &type))
        return false;
    h->type = (unsigned char)type.at[0];
    if (h->type == VALUE_BYTES || h->type == VALUE_STRING)
        return take_sized(rest, 2, &h->value);
    return h->type <= VALUE_UUID && take(rest, sizes[h->type], &h->value);
}

/* What a message's headers say of it. */
struct told {
    pk_str kind, name,
        message; /* :message-type; of the event, exception or error; :error-message */
};

static bool read_headers(pk_str rest, struct told *t)
{
    struct header h;

    *t = (struct told){0};
    while (rest.len) {
        if (!take_header(&rest, &h))
            return false;
        if (h.type != VALUE_STRING)
            continue;
        if (pk_str_is(h.name, ":message-type"))
            t->kind = h.value;
        else if (pk_str_is(h.name, ":error-message"))
            t->message = h.value;
        else if (pk_str_is(h.name, ":event-type") || pk_str_is(h.name, ":exception-type") ||
                 pk_str_is(h.name, ":error-code"))
            t->name = h.value;
    }
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

void pk_eventstream_init(struct pk_eventstream *s, struct pk_arena *arena)
{
    *s = (struct pk_eventstream){
        .raw = pk_buf_in(arena, PK_EVENT_BYTES_MAX),
        .told = pk_buf_in(arena, PK_EVENT_BYTES_MAX),
    };
}

static bool malformed(struct pk_eventstream *s, const char *what, struct pk_error *err)
{
    s->failed = true;
    return pk_fail(err, PK_BAD_ANSWER, "event stream: %s", what);
}

static bool read_prelude(struct pk_eventstream *s, struct pk_error *err)
{
    pk_str raw = pk_buf_str(&s->raw);
    size_t total = number_at(raw, 0, 4), headers = number_at(raw, 4, 4);

    if (pk_crc32(pk_str_sub(raw, 0, LENGTHS_BYTES)) != number_at(raw, LENGTHS_BYTES, CRC_BYTES))
        return malformed(s, "the checksum of a prelude is wrong", err);
    if (total > PK_EVENT_BYTES_MAX) {
        s->failed = true;
        return pk_fail(err, PK_TOO_LARGE, "event stream: an event is larger than %d MiB",
                       PK_EVENT_BYTES_MAX >> 20);
    }
    if (headers > PK_EVENTSTREAM_HEADERS_MAX || total < PK_EVENTSTREAM_OVERHEAD + headers)
        return malformed(s, "the lengths of a message cannot be", err);
    s->total = total;
    s->headers = headers;
    return true;
}

/* The bytes that the message still needs, as far as is known. */
static size_t missing(const struct pk_eventstream *s)
{
    return (s->total ? s->total : PRELUDE_BYTES) - s->raw.len;
}

static bool read_message(struct pk_eventstream *s, struct pk_sse_event *ev, struct pk_error *err)
{
    pk_str raw = pk_buf_str(&s->raw), body = pk_str_sub(raw, 0, s->total - CRC_BYTES);
    struct told t;

    if (pk_crc32(body) != number_at(raw, body.len, CRC_BYTES))
        return malformed(s, "the checksum of a message is wrong", err);
    if (!read_headers(pk_str_sub(body, PRELUDE_BYTES, s->headers), &t))
        return malformed(s, "a header is malformed", err);
    bool event = pk_str_is(t.kind, "event");
    if (!event && !pk_str_is(t.kind, "exception") && !pk_str_is(t.kind, "error"))
        return malformed(s, "a message of an unknown type", err);
    *ev = (struct pk_sse_event){
        .name = t.name,
        .data = pk_str_sub(body, PRELUDE_BYTES + s->headers, body.len),
        .raw = raw,
        .error = !event,
    };
    if (ev->error && ev->data.len == 0) {
        pk_buf_reset(&s->told);
        pk_buf_adds(&s->told, "{\"message\":");
        pk_json_quote(&s->told, t.message);
        pk_buf_addc(&s->told, '}');
        ev->data = pk_buf_str(&s->told);
    }
    s->ready = true;
    return true;
}

bool pk_eventstream_next(struct pk_eventstream *s, pk_str *bytes, struct pk_sse_event *ev,
                         struct pk_error *err)
{
    if (s->ready) {
        pk_buf_reset(&s->raw);
        s->total = 0;
        s->ready = false;
    }
    while (bytes->len && !s->failed && !s->raw.failed) {
        pk_str piece;

        (void)take(bytes, missing(s) < bytes->len ? missing(s) : bytes->len, &piece);
        pk_buf_add(&s->raw, piece);
        if (s->raw.failed)
            return pk_fail(err, PK_NO_MEMORY, "event stream: out of memory");
        if (missing(s) > 0)
            continue;
        if (s->total)
            return read_message(s, ev, err);
        if (!read_prelude(s, err))
            return false;
    }
    return false;
}

void pk_eventstream_end(const struct pk_eventstream *s, struct pk_error *err)
{
    if (!s->ready && s->raw.len > 0)
        (void)pk_fail(err, PK_BAD_ANSWER, "event stream: it ended in the middle of a message");
}
