/* client_hot.c - requests that equal one that was answered from the cache a moment ago: answered without a call.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Of each its API key is asked for, as of any other (endpoint.c), and it has a log row of its own, with its own id and
 * times. All else is as it was: what is equal in every byte means the same as long as the keys, the config and the
 * entry are known to be the same, which is never longer than each of them is known without looking (hot.h, recall.h).
 */
#include "client_inner.h"

#include "answer.h"
#include "xfer.h"

#include <string.h>

/* Whether nothing but the body and the record belongs to the answer. */
static bool is_plain(const struct pk_reply *r)
{
    return r->status == 200 && r->content_type.len == 0 && r->headers.len == 0;
}

void pkd_call_note_hot(struct pkd_call *c, const struct pk_record *logged)
{
    const struct pk_reply reply = pk_call_reply(c->task.call);
    struct pk_buf record = pk_buf_in(&c->arena, PKD_HOT_ASKED_BYTES_MAX);
    struct pk_record kept = *logged;

    if (!c->hot || !c->conn || c->begun || c->body.len || c->held.len || c->req.prompt.len ||
        c->thread->app->options->durable || !is_plain(&reply) || !pk_call_repeats(c->task.call))
        return;
    if (c->req.trace_id.len == 0)
        kept.trace_id = PK_NONE;
    if (c->req.span_id.len == 0)
        kept.span_id = PK_NONE;
    pk_record_encode(&kept, &record);
    if (!record.failed)
        pkd_hot_note(&c->thread->hot, c->waiter.key, &c->asked,
                     &(struct pkd_hot_answer){.number = c->hot,
                                              .told = c->task.next.out,
                                              .stream = reply.stream,
                                              .record = pk_buf_str(&record),
                                              .until_ms = c->meaning->until_ms});
}

struct ids {
    char trace[PK_UUID_TEXT + 1], span[PK_SPAN_ID_TEXT];
};

static void give_ids(struct pkd_thread *t, struct pk_record *r, struct ids *ids)
{
    uint64_t random = pk_random_next(&t->random);

    pk_uuid7(r->started_us, random, r->id);
    if (r->trace_id.len == 0) {
        pk_uuid_print(r->id, ids->trace);
        r->trace_id = (pk_str){ids->trace, PK_UUID_TEXT};
    }
    if (r->span_id.len == 0) {
        pk_span_id_print(pk_random_next(&t->random), ids->span);
        r->span_id = (pk_str){ids->span, PK_SPAN_ID_TEXT};
    }
}

static void give(struct pkd_thread *t, struct pkd_conn *conn, const struct pk_record *r,
                 const struct pkd_hot_entry *e)
{
    const struct pk_reply reply = {.status = 200, .stream = e->stream};
    const struct pkd_head head = {
        .status = reply.status,
        .content_type = e->stream ? "text/event-stream" : "application/json",
        .headers = pkd_answer_headers(&t->scratch, r, &reply, r->ended_us - r->started_us, true),
        .traced = true,
    };

    if (!e->stream) {
        pkd_conn_reply(conn, &head, e->told);
        return;
    }
    pkd_conn_begin(conn, &head);
    (void)pkd_conn_send(conn, e->told);
    pkd_conn_end(conn, true);
}

bool pkd_call_repeat(struct pkd_thread *t, struct pkd_conn *conn, const struct pkd_asked *asked)
{
    const struct pkd_hot_entry *e = pkd_hot_asked(&t->hot, asked);
    struct ids ids;

    if (!e || pkd_flight_has(t->app->flights, e->key))
        return false;
    struct pk_record r = e->record;
    r.started_us = pk_clock_us();
    give_ids(t, &r, &ids);
    r.ended_us = pk_clock_us();
    pkd_call_log_repeat(t, asked->operation, &r, e->rest);
    pkd_add(&t->meter->repeats, 1);
    give(t, conn, &r, e);
    return true;
}
