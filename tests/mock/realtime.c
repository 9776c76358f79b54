/* realtime.c - see realtime.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "realtime.h"

#include "dialect.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

/* The model stands in the query, or a plan in the path. */
static void read_model(struct ask *a)
{
    const char *at = strstr(a->path, "model=");

    if (at && !a->plan[0])
        (void)snprintf(a->plan, sizeof(a->plan), "%.*s", (int)strcspn(at + 6, "&"), at + 6);
    (void)snprintf(a->name, sizeof(a->name), "%s", a->plan);
    a->model = a->name;
}

static void accept_key(const char *key, char *out)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[128];
    unsigned len = 0;

    (void)snprintf(text, sizeof(text), "%.60s%s", key, magic);
    (void)EVP_Digest(text, strlen(text), hash, &len, EVP_sha1(), NULL);
    (void)EVP_EncodeBlock((unsigned char *)out, hash, (int)len);
}

static bool has_key(const struct ask *a)
{
    char value[ASK_KEY_MAX];

    ask_header(a, "authorization", value, sizeof(value));
    if (!value[0])
        ask_header(a, "api-key", value, sizeof(value));
    return value[0] != '\0';
}

bool realtime_begin(struct realtime *r, struct ask *a, struct text *out)
{
    char key[128], protocols[1024], accept[64];
    size_t len;

    ask_route(a);
    read_model(a);
    len = strlen(a->route);
    ask_header(a, "sec-websocket-key", key, sizeof(key));
    ask_header(a, "sec-websocket-protocol", protocols, sizeof(protocols));
    if (len < 9 || strcmp(a->route + len - 9, "/realtime") != 0 || !key[0] || !has_key(a) ||
        strncmp(a->plan, "status-", 7) == 0)
        return false;
    *r = (struct realtime){0};
    accept_key(key, accept);
    text_addf(out,
              "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
              "x-request-id: req_mock_rt\r\nsec-websocket-accept: %s\r\n",
              accept);
    if (protocols[0])
        text_addf(out, "sec-websocket-protocol: %.*s\r\n", (int)strcspn(protocols, ","), protocols);
    text_adds(out, "\r\n");
    return true;
}

void realtime_refuse(struct ask *a, struct reply *r)
{
    read_model(a);
    if (!has_key(a))
        a->dialect->error(401, "You didn't provide an API key.", NULL, r);
    else if (strncmp(a->plan, "status-", 7) == 0)
        a->dialect->error(atoi(a->plan + 7), "The session is refused.", NULL, r);
    else
        a->dialect->error(400, "It is no WebSocket handshake.", NULL, r);
    if (!strstr(a->plan, "chunked"))
        return;
    r->stream = true;
    reply_event(r);
}

static void put_frame(struct text *out, unsigned first, const char *bytes, size_t len)
{
    unsigned char head[10] = {(unsigned char)first, (unsigned char)len};
    size_t size = 2;

    if (len > 125) {
        int wide = len > 65535 ? 8 : 2;

        head[1] = wide == 8 ? 127 : 126;
        for (int i = 0; i < wide; i++)
            head[2 + i] = (unsigned char)((uint64_t)len >> (8 * (wide - 1 - i)));
        size += (size_t)wide;
    }
    text_add(out, (const char *)head, size);
    text_add(out, bytes, len);
}

static void put_event(struct text *out, const char *json)
{
    put_frame(out, 0x80 | TEXT, json, strlen(json));
}

/* A response with usage: 20 tokens in, 5 of them cached, 10 out; the second in two fragments with a ping between
 * them, the third with audio. */
static void respond(struct realtime *r, struct text *out)
{
    struct text done = {0};

    r->responses++;
    put_event(out, "{\"type\":\"response.created\"}");
    text_addf(
        &done,
        "{\"type\":\"response.done\",\"response\":{\"id\":\"r%d\",\"usage\":{\"total_tokens\":30,"
        "\"input_tokens\":20,\"output_tokens\":10,\"input_token_details\":{\"text_tokens\":20,"
        "\"audio_tokens\":0,\"cached_tokens\":5},\"output_token_details\":{\"text_tokens\":%d,"
        "\"audio_tokens\":%d}}}}",
        r->responses, r->responses == 3 ? 4 : 10, r->responses == 3 ? 6 : 0);
    if (r->responses == 2) {
        put_frame(out, TEXT, done.at, 20);
        put_frame(out, 0x80 | PING, "p", 1);
        put_frame(out, 0x80, done.at + 20, done.len - 20);
    } else {
        put_frame(out, 0x80 | TEXT, done.at, done.len);
    }
    text_free(&done);
}

/* A whole text message. */
static void understand(struct realtime *r, struct text *out)
{
    const char *said = r->message.at ? r->message.at : "";

    if (strstr(said, "\"response.create\""))
        respond(r, out);
    else if (strstr(said, "\"drop\""))
        r->dropped = true;
    else if (strstr(said, "\"bye\"")) {
        put_frame(out, 0x80 | CLOSE, "\x03\xe8", 2);
        r->over = true;
    }
    r->message.len = 0;
}

static void take(struct realtime *r, unsigned first, const char *bytes, size_t len,
                 struct text *out)
{
    unsigned opcode = first & 15;

    if (opcode == PING)
        first = (first & 0xf0) | PONG;
    if (opcode != PONG)
        put_frame(out, first, bytes, len);
    if (opcode == CLOSE)
        r->over = true;
    if (opcode > TEXT || r->message.len + len > 4096)
        return;
    text_add(&r->message, bytes, len);
    if (first & 0x80)
        understand(r, out);
}

/* The size of the frame at the front of `in`, head and mask included; 0: not all of it is here. */
static size_t frame_size(const struct text *in, size_t *head)
{
    const unsigned char *p = (const unsigned char *)in->at;
    uint64_t len = in->len < 2 ? 0 : p[1] & 127;
    size_t wide = len == 126 ? 2 : len == 127 ? 8 : 0;

    *head = 2 + wide + 4;
    if (in->len < *head)
        return 0;
    for (size_t i = 0; wide && i < wide; i++)
        len = (i ? len << 8 : 0) | p[2 + i];
    return in->len - *head < len ? 0 : *head + (size_t)len;
}

void realtime_read(struct realtime *r, struct text *in, struct text *out)
{
    size_t head, size, used = 0;
    struct text rest = *in;

    while (!r->over && !r->dropped && (size = frame_size(&rest, &head)) > 0) {
        for (size_t i = head; i < size; i++)
            rest.at[i] ^= rest.at[head - 4 + (i - head) % 4];
        take(r, (unsigned char)rest.at[0], rest.at + head, size - head, out);
        used += size;
        rest.at += size;
        rest.len -= size;
    }
    text_drop(in, used);
}
