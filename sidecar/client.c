/* client.c - see client.h. The machine decides (call.h), the loop talks to providers (loop.h), the server
 * to clients (server.h); this file stands between them and performs LOOKUP, QUERY, SAVE and DONE.
 *
 *   begin ─▶ in the loop ⇄ held: waits for the client to read, or for another's answer
 *                │
 *              DONE ─▶ answered, logged, recycled
 *
 * A call ends in one place: when its task comes back at DONE. A client that leaves cancels the task.
 */
#include "client.h"

#include "http.h"

#include "answer.h"
#include "ask.h"
#include "log.h"
#include "prompts.h"
#include "store_cache.h"
#include "store_guard.h"
#include "upgrade.h"

#include <stdlib.h>
#include <string.h>

/* What a call wants to know of the store. A file is asked where the call is; a database by a clerk, while the thread
 * serves others. */
struct question {
    struct pkd_job job;
    struct pkd_call *call;
    /* Where the store is; NULL when it cannot be had. */
    void (*ask)(struct question *q, struct pk_store *store);
    /* In the call's thread. */
    void (*tell)(struct question *q);
    struct pk_cache_entry entry;
    bool found;
    struct pk_event event;
    struct pk_error error; /* of the store */
};

enum {
    SPARES_MAX = 64,   /* calls kept for reuse, each with nothing but its struct */
    LOG_WAIT_MS = 100, /* how long a full writer may hold a thread up before a row is dropped */
    CACHE_TAG_BYTES = 8,
    RESERVE_MAX = 64,    /* calls a transaction */
    SETTLE_WAIT_MS = 50, /* for calls that are over and may be in the way of others */
};

struct pkd_call {
    struct pk_task task; /* first: the loop returns its address */
    struct pkd_thread *thread;
    struct pkd_conn *conn; /* NULL once the client has left or is answered */
    struct pk_arena arena;
    struct pk_request req;
    struct pkd_meaning *meaning;
    struct pkd_waiter waiter;
    pk_str body; /* a JSON answer that came before DONE */
    pk_str held; /* the end of an answer, likewise, until its row is on disk */
    int64_t row; /* then: the number of its row */
    bool begun;  /* a stream's head is out */
    bool paused; /* the client does not keep up */
    bool waits;  /* in t->waiting */
    bool cancelled;
    bool asks;    /* a clerk has its question, or its reservation */
    bool leaves;  /* is to be cancelled when that is over */
    bool tunnel;  /* a session that is open: the client may send */
    bool uploads; /* in t->uploads */
    void *input;  /* what the request is in, once the client has left */
    size_t input_size;
    int64_t began_us;                       /* monotonic */
    struct pkd_call *prev, *next;           /* in t->calls, or next in t->spares */
    struct pkd_call *wait_prev, *wait_next; /* in t->waiting */
    struct pkd_call *reserve_next;          /* in t->reserving */
    struct pkd_call *upload_next;           /* in t->uploads */
    struct pkd_call *logged_next;           /* in t->logged */
};

/* --- birth and death ----------------------------------------------------------------------- */

static struct pkd_call *new_call(struct pkd_thread *t)
{
    struct pkd_call *c = t->spares;

    if (c) {
        t->spares = c->next;
        t->spare_count--;
        memset(c, 0, sizeof *c);
    } else {
        c = calloc(1, sizeof *c);
    }
    if (!c)
        return NULL;
    pk_arena_init(&c->arena, pkd_blocks_allocator(t->blocks), PK_CALL_BYTES_MAX);
    c->thread = t;
    c->next = t->calls;
    if (t->calls)
        t->calls->prev = c;
    t->calls = c;
    t->call_count++;
    return c;
}

static void free_call(struct pkd_call *c)
{
    struct pkd_thread *t = c->thread;

    pkd_recall_release(t->resolver, c->meaning);
    pk_arena_free(&c->arena);
    if (c->input)
        pk_secret_wipe(c->input, c->input_size);
    free(c->input);
    *(c->prev ? &c->prev->next : &t->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    t->call_count--;
    if (t->spare_count == SPARES_MAX) {
        free(c);
        return;
    }
    c->next = t->spares;
    t->spares = c;
    t->spare_count++;
}

void pkd_call_free_spares(struct pkd_thread *t)
{
    PK_ASSERT(t->call_count == 0);
    for (struct pkd_call *c = t->spares, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    t->spares = NULL;
    t->spare_count = 0;
}

/* --- the log and the cache ----------------------------------------------------------------- */

/* As pk_writer_put(). */
static int64_t hand_to_writer(struct pkd_thread *t, const struct pk_buf *entry, uint64_t tag)
{
    int64_t number =
        entry->failed ? -1 : pk_writer_put(t->app->writer, pk_buf_str(entry), tag, LOG_WAIT_MS);

    if (number < 0)
        pkd_warn("entry_dropped why=%s", entry->failed ? "out of memory" : "the writer is full");
    return number;
}

static int64_t log_call(struct pkd_call *c, const struct pk_record *r)
{
    struct pkd_thread *t = c->thread;
    struct pk_buf entry = pk_buf_in(&c->arena, PK_CALL_BYTES_MAX);
    struct pk_record *logged = pk_call_logged(c->task.call);

    pkd_otlp_add(t->app->otlp, &c->arena, logged);
    pk_journal_record(&entry, logged);
    int64_t number = hand_to_writer(t, &entry, 0);
    pkd_meter_call(t->meter, c->req.operation, r);
    pkd_debug(
        "call trace_id=%.*s operation=%.*s status=%s http=%d provider=%.*s attempts=%d us=%lld",
        PK_FMT(r->trace_id), PK_FMT(r->operation), pk_status_name(r->status), r->http_status,
        PK_FMT(r->provider), r->attempts, (long long)(r->ended_us - r->started_us));
    return number;
}

static void answer_lookup(struct pkd_call *c, const struct pk_cache_entry *entry)
{
    struct pk_event ev = {.kind = entry ? PK_EV_HIT : PK_EV_MISS, .entry = entry};

    pk_loop_answer(c->thread->loop, &c->task, &ev);
}

static void wait_for_other(struct pkd_call *c)
{
    struct pkd_thread *t = c->thread;

    c->waits = true;
    c->wait_prev = NULL;
    c->wait_next = t->waiting;
    if (t->waiting)
        t->waiting->wait_prev = c;
    t->waiting = c;
    if (c->task.next.until_ms < t->next_overdue_ms)
        t->next_overdue_ms = c->task.next.until_ms;
}

static void wait_no_more(struct pkd_call *c)
{
    if (!c->waits)
        return;
    c->waits = false;
    *(c->wait_prev ? &c->wait_prev->wait_next : &c->thread->waiting) = c->wait_next;
    if (c->wait_next)
        c->wait_next->wait_prev = c->wait_prev;
    c->wait_prev = c->wait_next = NULL;
}

/* --- questions ----------------------------------------------------------------------------- */

static void cancel(struct pkd_call *c);

static void run_question(struct pkd_job *job, struct pk_store *store)
{
    struct question *q = (struct question *)(void *)job;

    if (!store)
        q->error = job->error;
    q->ask(q, store);
}

/* Back in its thread: the call goes on, but not far when it was left meanwhile. */
static void go_on(struct pkd_call *c)
{
    c->asks = false;
    if (c->leaves)
        cancel(c);
}

static void answered(struct pkd_job *job)
{
    struct question *q = (struct question *)(void *)job;
    struct pkd_call *c = q->call;

    c->asks = false;
    q->tell(q);
    go_on(c);
}

static void put_question(struct pkd_call *c, void (*ask)(struct question *, struct pk_store *),
                         void (*tell)(struct question *))
{
    struct pkd_thread *t = c->thread;
    struct question here = {.call = c, .ask = ask, .tell = tell};
    struct question *q = t->app->runners ? pk_alloc(&c->arena, sizeof *q) : NULL;

    if (q) {
        *q = here;
        q->job = (struct pkd_job){.run = run_question, .done = answered, .pile = t->pile};
        c->asks = pkd_clerks_ask(t->app->runners, &q->job);
        if (c->asks)
            return;
        (void)pk_fail(&here.error, PK_STORE_DOWN, "too many calls wait for the store");
    }
    ask(&here, q ? NULL : t->store);
    tell(&here);
}

/* A cache never fails a call. */
static bool in_store(struct question *q, struct pk_store *store, const uint8_t *key,
                     struct pk_cache_entry *entry)
{
    struct pkd_call *c = q->call;
    bool found = false;

    return store &&
           pk_store_cache_get(store, &c->arena, key, pk_clock_us(), pk_call_max_age_s(c->task.call),
                              entry, &found, &q->error) &&
           found;
}

static void note_unreadable(const struct question *q)
{
    if (q->error.code == PK_OK)
        return;
    pkd_add(&q->call->thread->meter->store_errors, 1);
    pkd_warn("cache_unreadable why=%s", q->error.msg);
}

/* What the writer knows the entry under `key` by. */
static uint64_t tag_of(const uint8_t *key)
{
    uint64_t tag;

    memcpy(&tag, key, CACHE_TAG_BYTES);
    return tag;
}

static void ask_entry(struct question *q, struct pk_store *store)
{
    q->found = in_store(q, store, q->call->waiter.key, &q->entry);
}

static void tell_entry(struct question *q)
{
    struct pkd_call *c = q->call;

    note_unreadable(q);
    if (q->found) {
        pkd_hot_keep(&c->thread->hot, c->waiter.key, pk_call_max_age_s(c->task.call), &q->entry);
        answer_lookup(c, &q->entry);
        return;
    }
    switch (pkd_flight_enter(c->thread->app->flights, &c->waiter, &c->arena, &q->entry)) {
    case PKD_HIT: answer_lookup(c, &q->entry); break;
    case PKD_WAITS: wait_for_other(c); break;
    case PKD_ALONE:
    case PKD_LEADS: answer_lookup(c, NULL); break;
    }
}

static void look_up(struct pkd_call *c)
{
    struct pkd_flights *flights = c->thread->app->flights;
    struct pk_cache_entry entry = {0};

    memcpy(c->waiter.key, pk_call_cache_key(c->task.call), sizeof c->waiter.key);
    c->waiter.inbox = c->thread->inbox;
    c->waiter.owner = c;
    if (pkd_flight_recent(flights, c->waiter.key, &c->arena, &entry) ||
        pkd_hot_find(&c->thread->hot, c->waiter.key, pk_call_max_age_s(c->task.call), &c->arena,
                     &entry))
        answer_lookup(c, &entry);
    else
        put_question(c, ask_entry, tell_entry);
}

struct fetching {
    struct question *question;
    struct pk_store *store;
};

/* An entry that is near: a moment old, or in the store. */
static bool fetch(void *ctx, const uint8_t key[PK_CACHE_KEY_BYTES], struct pk_cache_entry *entry)
{
    struct fetching *f = ctx;
    struct pkd_call *c = f->question->call;

    return pkd_flight_recent(c->thread->app->flights, key, &c->arena, entry) ||
           in_store(f->question, f->store, key, entry);
}

static void ask_near(struct question *q, struct pk_store *store)
{
    struct pkd_call *c = q->call;
    struct fetching f = {q, store};
    struct pk_near_question near = {pk_call_vector(c->task.call), pk_call_threshold(c->task.call),
                                    fetch, &f};

    q->found = store && pkd_similar_find(c->thread->app->similar, store, &near, &q->entry);
}

static void tell_near(struct question *q)
{
    struct pkd_call *c = q->call;
    struct pk_event ev = {.kind = PK_EV_MISS};

    note_unreadable(q);
    if (q->found) {
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &q->entry};
        if (c->waiter.role == PKD_LEADS) /* for those who ask the same, and wait */
            pkd_flight_save(c->thread->app->flights, c->waiter.key, tag_of(c->waiter.key),
                            &q->entry);
    }
    pk_loop_answer(c->thread->loop, &c->task, &ev);
}

static void look_near(struct pkd_call *c)
{
    put_question(c, ask_near, tell_near);
}

/* Nothing of the store, but whoever looks for what is new there may hold the vectors up. */
static void keep_vector(struct question *q, struct pk_store *store)
{
    const struct pk_call *call = q->call->task.call;

    (void)store;
    pkd_similar_save(q->call->thread->app->similar, pk_call_cache_key(call), pk_call_vector(call));
}

static void tell_saved(struct question *q)
{
    pk_loop_answer(q->call->thread->loop, &q->call->task, &(struct pk_event){.kind = PK_EV_SAVED});
}

/* The entry first, which it belongs to. */
static void save_vector(struct pkd_call *c)
{
    struct pk_buf bytes = pk_buf_in(&c->arena, PK_CALL_BYTES_MAX);

    pk_journal_vector(&bytes, pk_call_cache_key(c->task.call), pk_call_vector(c->task.call));
    (void)hand_to_writer(c->thread, &bytes, 0);
    put_question(c, keep_vector, tell_saved);
}

static void save(struct pkd_call *c)
{
    const struct pk_cache_entry *entry = pk_call_save(c->task.call);
    const uint8_t *key = pk_call_cache_key(c->task.call);
    struct pk_buf bytes = pk_buf_in(&c->arena, PK_CALL_BYTES_MAX);
    uint64_t tag = tag_of(key);

    pk_journal_cache(&bytes, key, entry, pk_clock_us(), pk_call_max_age_s(c->task.call));
    (void)hand_to_writer(c->thread, &bytes, tag);
    pkd_flight_save(c->thread->app->flights, key, tag, entry);
    pkd_hot_expire(&c->thread->hot); /* what was there before may be in it */
    if (pk_call_vector(c->task.call))
        save_vector(c);
    else
        pk_loop_answer(c->thread->loop, &c->task, &(struct pk_event){.kind = PK_EV_SAVED});
}

static void ask_row(struct question *q, struct pk_store *store)
{
    if (store)
        q->event = pk_store_row(store, pk_call_query(q->call->task.call));
    else
        q->event = (struct pk_event){.kind = PK_EV_FAIL, .error = q->error};
}

static void tell_row(struct question *q)
{
    pk_loop_answer(q->call->thread->loop, &q->call->task, &q->event);
}

static void query(struct pkd_call *c)
{
    put_question(c, ask_row, tell_row);
}

void pkd_call_woken(struct pkd_thread *t)
{
    struct pkd_waiter *w;

    while ((w = pkd_flight_woken(t->app->flights, t->inbox))) {
        struct pkd_call *c = w->owner;

        wait_no_more(c);
        look_up(c);
    }
}

void pkd_call_overdue(struct pkd_thread *t, int64_t now_ms)
{
    t->next_overdue_ms = INT64_MAX;
    for (struct pkd_call *c = t->waiting, *next; c; c = next) {
        next = c->wait_next;
        if (c->task.next.until_ms > now_ms) {
            if (c->task.next.until_ms < t->next_overdue_ms)
                t->next_overdue_ms = c->task.next.until_ms;
            continue;
        }
        wait_no_more(c);
        pkd_flight_leave(t->app->flights, &c->waiter);
        answer_lookup(c, NULL); /* the machine sees for itself that it is late */
    }
}

/* --- limits -------------------------------------------------------------------------------- */

static void wait_for_limits(struct pkd_call *c)
{
    c->reserve_next = c->thread->reserving;
    c->thread->reserving = c;
}

/* What several calls ask of their limits at once. */
struct reservation {
    struct pkd_job job;
    struct pkd_thread *thread;
    struct pkd_call *calls[RESERVE_MAX];
    struct pk_reserve *asked[RESERVE_MAX];
    int count;
};

static void reserve(struct reservation *r, struct pk_store *store)
{
    pk_writer_reserve(r->thread->app->writer, store, r->asked, r->count, SETTLE_WAIT_MS);
}

static void refuse_all(struct reservation *r, const struct pk_error *err)
{
    for (int i = 0; i < r->count; i++) {
        r->asked[i]->granted = false;
        r->asked[i]->refused = -1;
        r->asked[i]->error = *err;
    }
}

static void tell_reserved(struct reservation *r)
{
    struct pkd_thread *t = r->thread;
    bool lenient = strcmp(t->app->options->limits, "allow") == 0;

    for (int i = 0; i < r->count; i++) {
        struct pkd_call *c = r->calls[i];
        struct pk_event ev = pk_reserve_event(r->asked[i], lenient);

        if (r->asked[i]->refused < 0 && !r->asked[i]->granted) {
            pkd_add(&t->meter->store_errors, 1);
            pkd_warn("limits_unavailable why=%s", r->asked[i]->error.msg);
        }
        c->asks = false;
        pk_loop_answer(t->loop, &c->task, &ev);
        go_on(c);
    }
}

static void run_reservation(struct pkd_job *job, struct pk_store *store)
{
    struct reservation *r = (struct reservation *)(void *)job;

    if (store)
        reserve(r, store);
    else
        refuse_all(r, &job->error);
}

static void reserved(struct pkd_job *job)
{
    struct reservation *r = (struct reservation *)(void *)job;

    tell_reserved(r);
    free(r);
}

/* By a clerk. False: in no way. */
static bool reserve_there(const struct reservation *here)
{
    struct reservation *r = malloc(sizeof *r);

    if (!r)
        return false;
    *r = *here;
    r->job = (struct pkd_job){.run = run_reservation, .done = reserved, .pile = here->thread->pile};
    for (int i = 0; i < r->count; i++)
        r->calls[i]->asks = true;
    if (pkd_clerks_ask(r->thread->app->runners, &r->job))
        return true;
    free(r);
    return false;
}

static void reserve_for(struct reservation *r)
{
    struct pk_error err;

    for (int i = 0; i < r->count; i++)
        r->asked[i] = pk_call_reserve(r->calls[i]->task.call);
    if (!r->thread->app->runners) {
        reserve(r, r->thread->store);
    } else {
        if (reserve_there(r))
            return;
        (void)pk_fail(&err, PK_STORE_DOWN, "too many calls wait for the store");
        refuse_all(r, &err);
    }
    tell_reserved(r);
}

bool pkd_call_reserve(struct pkd_thread *t)
{
    struct reservation r;

    r.thread = t;
    for (r.count = 0; t->reserving && r.count < RESERVE_MAX; r.count++) {
        r.calls[r.count] = t->reserving;
        t->reserving = t->reserving->reserve_next;
    }
    if (r.count > 0)
        reserve_for(&r);
    return r.count > 0;
}

/* --- what goes to the client --------------------------------------------------------------- */

static struct pkd_head head_of(struct pkd_call *c, const struct pk_reply *reply, bool done)
{
    const struct pk_record *r = pk_call_record(c->task.call);

    return (struct pkd_head){
        .status = reply->status,
        .content_type = reply->status == 204      ? NULL
                        : reply->content_type.len ? pk_copy(&c->arena, reply->content_type).at
                        : reply->stream           ? "text/event-stream"
                                                  : "application/json",
        .headers = pkd_answer_headers(&c->arena, r, reply, pk_clock_us() - c->began_us, done),
        .traced = true,
    };
}

/* Before DONE it has: nobody is told early of an answer that fails. */
static bool ended_well(const struct pkd_call *c)
{
    return c->task.next.op != PK_OP_DONE || pk_call_error(c->task.call)->code == PK_OK;
}

static void give_stream(struct pkd_call *c, const struct pk_reply *reply, bool done)
{
    const struct pk_next *next = &c->task.next;

    if (!c->begun && (next->out.len || done)) {
        struct pkd_head head = head_of(c, reply, done);

        pkd_conn_begin(c->conn, &head);
        c->begun = true;
    }
    if (c->held.len)
        (void)pkd_conn_send(c->conn, c->held);
    if (next->out.len)
        c->paused = !pkd_conn_send(c->conn, next->out);
    if (!done)
        return;
    pkd_conn_end(c->conn, ended_well(c));
    c->conn = NULL;
    c->paused = false;
}

static void give_json(struct pkd_call *c, const struct pk_reply *reply, bool done)
{
    pk_str out = c->task.next.out;

    if (!done) {
        if (out.len)
            c->body = pk_copy(&c->arena, out); /* it is not valid behind the next step */
        return;
    }
    struct pkd_head head = head_of(c, reply, true);
    pkd_conn_reply(c->conn, &head, out.len ? out : c->held.len ? c->held : c->body);
    c->conn = NULL;
}

static void give_notice(struct pkd_call *c)
{
    struct pk_error err = {0};

    (void)pk_fail(&err, PK_CANCELLED, "the gateway is shutting down");
    err.status = 503;
    pkd_answer_error(c->conn, &c->arena, pk_request_front(&c->req), &err);
    c->conn = NULL;
}

/* The client is to be answered before the call is over: what the request is in must stay. */
static bool keep_input(struct pkd_call *c)
{
    c->input = pkd_conn_detach_input(c->conn, &c->input_size);
    return c->input != NULL;
}

/* --- sessions ------------------------------------------------------------------------------ */

/* The client's handshake is complete. False: no memory. */
static bool open_tunnel(struct pkd_call *c)
{
    struct pk_reply reply = pk_call_reply(c->task.call);

    if (!c->conn)
        return true;
    if (!keep_input(c))
        return false;
    pkd_conn_upgrade(c->conn, head_of(c, &reply, false).headers);
    c->begun = c->tunnel = true;
    return true;
}

static size_t on_received(void *owner, struct pkd_conn *conn, pk_str bytes)
{
    struct pkd_call *c = owner;

    (void)conn;
    size_t taken = pk_loop_send(c->thread->loop, &c->task, bytes);
    if (taken < bytes.len && !c->uploads) {
        c->uploads = true;
        c->upload_next = c->thread->uploads;
        c->thread->uploads = c;
    }
    return taken;
}

void pkd_call_read_on(struct pkd_thread *t)
{
    for (struct pkd_call **link = &t->uploads, *c; (c = *link);) {
        if (!pk_loop_can_send(&c->task)) {
            link = &c->upload_next;
            continue;
        }
        *link = c->upload_next;
        c->uploads = false;
        if (c->conn)
            pkd_conn_read_on(c->conn);
    }
}

static void upload_no_more(struct pkd_call *c)
{
    struct pkd_call **link = &c->thread->uploads;

    if (!c->uploads)
        return;
    while (*link != c)
        link = &(*link)->upload_next;
    *link = c->upload_next;
    c->uploads = false;
}

static void give(struct pkd_call *c)
{
    struct pk_reply reply = pk_call_reply(c->task.call);
    const struct pk_next *next = &c->task.next;

    if (!c->conn)
        return;
    bool durable = c->thread->app->options->durable; /* then not before its row is on disk */
    bool done = next->op == PK_OP_DONE || (next->last && !durable && keep_input(c));
    if (!done && next->out.len == 0)
        return;
    if (!done && next->last && durable) {
        c->held = pk_copy(&c->arena, next->out);
        return;
    }
    if (c->begun || reply.stream)
        give_stream(c, &reply, done);
    else if (c->cancelled)
        give_notice(c);
    else
        give_json(c, &reply, done);
}

/* Instead of an answer that would not be in the log. */
static void give_loss(struct pkd_call *c)
{
    struct pk_error err = {0};

    if (c->begun) {
        pkd_conn_end(c->conn, false);
    } else {
        (void)pk_fail(&err, PK_STORE, "the call could not be logged, which durable mode asks for");
        err.status = 503;
        pkd_answer_error(c->conn, &c->arena, pk_request_front(&c->req), &err);
    }
    c->conn = NULL;
}

static void await_row(struct pkd_call *c)
{
    struct pkd_thread *t = c->thread;

    *(t->logged ? &t->logged_last->logged_next : &t->logged) = c;
    t->logged_last = c;
}

/* The log first: the record borrows from the request, which is over once it is answered. */
static void finish(struct pkd_call *c)
{
    bool durable = c->thread->app->options->durable;

    c->row = log_call(c, pk_call_record(c->task.call));
    upload_no_more(c);
    pkd_flight_leave(c->thread->app->flights, &c->waiter);
    if (durable && c->conn && c->row > 0) {
        await_row(c);
        return;
    }
    if (durable && c->conn && c->row < 0)
        give_loss(c);
    give(c);
    free_call(c);
}

void pkd_call_logged(struct pkd_thread *t)
{
    for (struct pkd_call *c; (c = t->logged);) {
        enum pk_fate fate = pk_writer_fate(t->app->writer, c->row);

        if (fate == PK_UNSETTLED)
            return; /* those behind it are later ones */
        t->logged = c->logged_next;
        if (c->conn && fate == PK_LOST)
            give_loss(c);
        give(c);
        free_call(c);
    }
}

static void cancel(struct pkd_call *c)
{
    if (c->cancelled || c->task.next.op == PK_OP_DONE)
        return; /* it comes back in any case */
    c->leaves = true;
    if (c->asks)
        return; /* until the clerk is done with it */
    c->cancelled = true;
    c->paused = false;
    wait_no_more(c);
    pkd_flight_leave(c->thread->app->flights, &c->waiter);
    pk_loop_cancel(c->thread->loop, &c->task);
}

void pkd_call_step(struct pk_task *task)
{
    struct pkd_call *c = (struct pkd_call *)(void *)task;

    if (task->next.open && !open_tunnel(c)) {
        cancel(c);
        return;
    }
    if (task->next.op != PK_OP_DONE)
        give(c);
    switch (task->next.op) {
    case PK_OP_LOOKUP: look_up(c); break;
    case PK_OP_NEAR: look_near(c); break;
    case PK_OP_RESERVE:
        c->paused = false; /* of a session, which goes on when limits say so */
        wait_for_limits(c);
        break;
    case PK_OP_QUERY: query(c); break;
    case PK_OP_SAVE: save(c); break;
    case PK_OP_DONE: finish(c); break;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP:
        if (!c->paused)
            pk_loop_resume(c->thread->loop, task);
        break;
    }
}

static void on_drained(void *owner, struct pkd_conn *conn)
{
    struct pkd_call *c = owner;

    (void)conn;
    if (!c->paused)
        return;
    c->paused = false;
    pk_loop_resume(c->thread->loop, &c->task);
}

static void on_closed(void *owner, struct pkd_conn *conn)
{
    struct pkd_call *c = owner;

    c->conn = NULL;
    if (!c->input)
        c->input = pkd_conn_take_input(conn, &c->input_size);
    cancel(c);
}

static const struct pkd_owner call_owner = {on_drained, on_closed, on_received};

void pkd_call_end_tunnels(struct pkd_thread *t)
{
    for (struct pkd_call *c = t->calls; c; c = c->next)
        if (c->tunnel)
            cancel(c);
}

void pkd_call_cancel_all(struct pkd_thread *t)
{
    for (struct pkd_call *c = t->calls; c; c = c->next)
        cancel(c);
}

/* --- the beginning ------------------------------------------------------------------------- */

static const enum pk_method methods[] = {
    [PKD_GET] = PK_GET, [PKD_HEAD] = PK_GET,    [PKD_POST] = PK_POST,
    [PKD_PUT] = PK_PUT, [PKD_PATCH] = PK_PATCH, [PKD_DELETE] = PK_DELETE,
};

static bool check_type(const struct pkd_ask *ask, const struct pk_operation *operation,
                       struct pk_error *err)
{
    size_t len = ask->content_type.len;
    int semicolon = pk_str_find(ask->content_type, ';');
    pk_str type =
        pk_str_trim(pk_str_sub(ask->content_type, 0, semicolon < 0 ? len : (size_t)semicolon));

    if (len == 0 || pk_operation_is_raw(operation) || pk_str_is_nocase(type, "application/json"))
        return true;
    return pk_fail(err, PK_BAD_REQUEST, "content-type: must be application/json");
}

static bool prepare(struct pkd_call *c, const struct pkd_request *req, pk_str prompt,
                    struct pk_error *err)
{
    struct pkd_thread *t = c->thread;
    const struct pk_snapshot *snapshot;
    struct pkd_ask ask;
    pk_str reference = prompt;

    pkd_ask_read(req->headers, &ask);
    c->arena.wipe = true; /* keys from headers and configs are copied into it */
    if (t->caller)
        c->req.api_key = pk_copy(&c->arena, t->caller->name);
    if (!check_type(&ask, c->req.operation, err) ||
        !pkd_auth_apply(t->caller, &c->arena, prompt.len > 0, &ask, err) ||
        !pkd_ask_request(&c->arena, &ask, &c->req, err) ||
        !pkd_ask_guards(&c->arena, t->store, &ask, &c->req, err) ||
        !(prompt.len ? pkd_prompt_request : pkd_ask_reference)(&c->arena, t->store, &ask, &c->req,
                                                               &reference, err))
        return false;
    c->req.privacy = pk_privacy_join(c->req.privacy, t->app->privacy);
    c->meaning = pkd_recall_resolve(&t->recall, t->resolver, t->store, reference, err);
    if (!c->meaning)
        return false;
    snapshot = c->meaning->snapshot;
    c->task.call = pk_call_new(&c->arena, &snapshot->config, snapshot->facts, &c->req,
                               pk_clock_us(), pk_random_next(&t->random), err);
    return c->task.call != NULL;
}

/* What follows the operation's path, and the query: for operations that have more places than one. */
static pk_str tail_of(struct pk_arena *arena, const struct pkd_request *req,
                      const struct pk_operation *operation)
{
    static const char *const before[] = {"/v1", "/proxy"};
    pk_str path = req->path;

    if (!pk_operation_is_raw(operation))
        return PK_NONE;
    for (size_t i = 0; i < PK_COUNT(before); i++)
        if (pk_str_starts(path, before[i]))
            path = pk_str_sub(path, strlen(before[i]), path.len);
    if (pk_str_starts(path, operation->path))
        path = pk_str_sub(path, strlen(operation->path), path.len);
    if (req->query.len == 0)
        return path;
    return pk_copyf(arena, "%.*s?%.*s", PK_FMT(path), PK_FMT(req->query));
}

/* A session says in its query what a call says in its body. */
static bool read_query(struct pkd_call *c, const struct pkd_request *req, struct pk_error *err)
{
    return !pk_operation_is_tunnel(c->req.operation) ||
           (pkd_upgrade_check(req, err) &&
            pkd_upgrade_body(&c->arena, req->query, &c->req.body, &c->req.tail, err));
}

static void begin(struct pkd_thread *t, struct pkd_conn *conn, const struct pkd_request *req,
                  const struct pk_operation *operation, pk_str prompt)
{
    const struct pk_dialect *front = pk_operation_front(operation);
    struct pk_error err = {0};
    struct pkd_call *c = new_call(t);

    if (!c) {
        (void)pk_fail(&err, PK_NO_MEMORY, "no memory for another call");
        pkd_answer_error(conn, &t->scratch, front, &err);
        return;
    }
    c->conn = conn;
    c->began_us = pk_clock_us();
    c->req = (struct pk_request){
        .operation = operation,
        .body = req->body,
        .content_type = pk_http_header(req->headers, "content-type"),
        .method = methods[req->method],
        .tail = tail_of(&c->arena, req, operation),
        .headers = req->headers,
        .pathname = req->path,
        .output_assumed = t->app->options->output,
        .idle_ms = t->app->options->session_idle_ms,
        .source = PK_SOURCE_HTTP,
    };
    if (!read_query(c, req, &err) || !prepare(c, req, prompt, &err)) {
        pkd_meter_refused(t->meter, &err);
        pkd_answer_error(conn, &c->arena, front, &err);
        free_call(c);
        return;
    }
    pkd_conn_set_owner(conn, &call_owner, c);
    pk_loop_start(t->loop, &c->task);
}

void pkd_call_begin(struct pkd_thread *t, struct pkd_conn *conn, const struct pkd_request *req,
                    const struct pk_operation *operation)
{
    begin(t, conn, req, operation, PK_NONE);
}

void pkd_call_begin_prompt(struct pkd_thread *t, struct pkd_conn *conn,
                           const struct pkd_request *req, pk_str ref)
{
    struct pk_error err = {0};

    if (ref.len) {
        begin(t, conn, req, &pk_operation_chat, ref);
        return;
    }
    (void)pk_fail(&err, PK_NOT_FOUND, "prompt: the path names none");
    pkd_answer_error(conn, &t->scratch, &pk_dialect_openai, &err);
}
