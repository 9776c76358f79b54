/* reply.c - frames an answer as HTTP/1.1 and cuts it into timed pieces.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reply.h"

#include <http_parser.h>
#include <stdlib.h>

void reply_init(struct reply *r)
{
    *r = (struct reply){.status = 200, .keep = SIZE_MAX};
}

void reply_free(struct reply *r)
{
    text_free(&r->headers);
    text_free(&r->body);
    free(r->ends);
    r->ends = NULL;
}

void reply_reset(struct reply *r, int status)
{
    r->status = status;
    r->type = NULL;
    r->body.len = 0;
    r->events = 0;
    r->stream = false;
}

void reply_event(struct reply *r)
{
    r->ends = grown(r->ends, (size_t)(r->events + 1) * sizeof(*r->ends));
    r->ends[r->events++] = r->body.len;
    r->stream = true;
}

size_t reply_event_end(const struct reply *r, int i)
{
    if (i < 0 || r->events == 0)
        return 0;
    return r->ends[i < r->events ? i : r->events - 1];
}

/* What was added to the wire since the last piece is one more. */
static void piece(struct wire *w, int64_t wait_ms, size_t *done)
{
    if (w->bytes.len == *done && wait_ms == 0)
        return;
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 8;
        w->pieces = grown(w->pieces, (size_t)w->cap * sizeof(*w->pieces));
    }
    w->pieces[w->count++] = (struct piece){wait_ms, w->bytes.len - *done};
    *done = w->bytes.len;
}

static void head(const struct reply *r, struct text *out)
{
    text_addf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", r->status,
              http_status_str((enum http_status)r->status), r->type ? r->type : "application/json");
    if (r->stream)
        text_adds(out, "Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\n");
    else
        text_addf(out, "Content-Length: %zu\r\n", r->body.len);
    text_add(out, r->headers.at, r->headers.len);
    text_adds(out, "\r\n");
}

/* The rest of the wire, one byte a piece. */
static void slowly(const struct reply *r, struct wire *w, size_t *done)
{
    size_t end = w->bytes.len;

    while (*done < end) {
        w->bytes.len = *done + 1;
        piece(w, r->slow_ms, done);
    }
}

static void stream_body(const struct reply *r, struct wire *w, size_t *done)
{
    size_t at = 0;

    for (int i = 0; i < r->events && at < r->keep; i++) {
        size_t len = r->ends[i] - at;
        bool cut = r->keep - at < len;
        text_addf(&w->bytes, "%zx\r\n", len);
        text_add(&w->bytes, r->body.at + at, cut ? r->keep - at : len);
        if (!cut)
            text_adds(&w->bytes, "\r\n");
        at += len;
        if (!r->slow_ms && r->tick_ms)
            piece(w, i ? r->tick_ms : 0, done);
    }
    if (at <= r->keep && !r->unterminated && r->ending != END_STALL)
        text_adds(&w->bytes, "0\r\n\r\n");
}

void reply_wire(const struct reply *r, struct wire *w)
{
    size_t done = 0;

    w->ending = r->ending;
    if (r->silent) {
        piece(w, r->wait_ms, &done);
        return;
    }
    head(r, &w->bytes);
    if (r->wait_ms || r->slow_ms)
        piece(w, r->wait_ms, &done);
    if (r->stream)
        stream_body(r, w, &done);
    else
        text_add(&w->bytes, r->body.at, r->body.len < r->keep ? r->body.len : r->keep);
    if (r->slow_ms)
        slowly(r, w, &done);
    piece(w, 0, &done);
}

void wire_free(struct wire *w)
{
    text_free(&w->bytes);
    free(w->pieces);
    *w = (struct wire){0};
}
