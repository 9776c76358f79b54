/* fuzz_head.c - any bytes as HTTP requests on a connection of pkd: refused, or read the same however they are cut.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The first byte says how long the pieces are.
 * Links sidecar/head.c
 */
#include "fuzz.h"

#include "../../sidecar/head.h"

struct seen {
    int requests, refused;
    size_t used;
    struct pk_buf bodies;
};

static void is_inside(const struct pkd_span *s, size_t len)
{
    PK_ASSERT(s->from <= len && s->len <= len - s->from);
}

/* What a server behind might take for something else is never accepted. */
static void check(const struct pkd_message *m, pk_str head)
{
    is_inside(&m->path, m->head_len);
    is_inside(&m->query, m->head_len);
    is_inside(&m->headers, m->head_len);
    is_inside(&m->host, m->head_len);
    is_inside(&m->origin, m->head_len);
    PK_ASSERT(m->path.len + m->query.len <= PKD_TARGET_BYTES_MAX);
    PK_ASSERT(m->length_count + m->coding_count <= 1 && m->host_count <= 1);
    PK_ASSERT(m->header_count <= PKD_HEADERS_MAX);
    PK_ASSERT(!memchr(head.at, 0, head.len));
}

/* One request in in[0..len), that comes in pieces; what it took. */
static size_t request(char *in, size_t len, size_t step, struct seen *s)
{
    static struct pkd_heads known; /* of all inputs */
    struct pkd_message m;
    size_t raw = 0, to = 0, used = 0;

    pkd_message_init(&m);
    while (!m.refused && !m.complete && (to < len || used)) {
        to = len - to < step ? len : to + step;
        used = 0;
        if (!m.head_len) {
            if (!pkd_message_head(&m, &known, (pk_str){in, to}))
                continue;
            raw = m.head_len;
            check(&m, (pk_str){in, m.head_len});
        }
        if (!m.complete && !m.refused && to > raw)
            used = pkd_message_body(&m, in, raw, to);
        raw += used;
        PK_ASSERT(raw <= to && m.head_len + m.body_len <= raw);
    }
    s->refused = m.refused;
    if (m.refused)
        PK_ASSERT(m.refused >= 400 && m.refused <= 599 && m.why);
    else if (m.complete)
        pk_buf_add(&s->bodies, (pk_str){in + m.head_len, m.body_len});
    s->requests += m.complete && !m.refused;
    return m.complete && !m.refused ? raw : 0;
}

static struct seen serve(struct pk_arena *arena, pk_str text, size_t step)
{
    struct seen s = {.bodies = pk_buf_in(arena, 64 << 20)};
    char *in = malloc(text.len + 1);
    size_t took = 1;

    PK_ASSERT(in);
    if (text.len)
        memcpy(in, text.at, text.len);
    for (; took && s.used < text.len; s.used += took)
        took = request(in + s.used, text.len - s.used, step, &s);
    free(in);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str text = size ? fuzz_text(bytes + 1, size - 1) : PK_NONE;
    struct seen whole = serve(&arena, text, text.len + 1);
    struct seen pieces = serve(&arena, text, size ? (size_t)bytes[0] % 64 + 1 : 1);

    PK_ASSERT(whole.requests == pieces.requests && whole.used == pieces.used);
    PK_ASSERT((whole.refused != 0) == (pieces.refused != 0));
    PK_ASSERT(pk_str_eq(pk_buf_str(&whole.bodies), pk_buf_str(&pieces.bodies)));
    pk_arena_free(&arena);
    return 0;
}
