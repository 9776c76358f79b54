/* client_store.c - what calls ask of the store, and leave there: cache, limits, predicates, the log.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "client_inner.h"

#include "log.h"
#include "store_cache.h"
#include "store_guard.h"

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
    LOG_WAIT_MS = 100, /* how long a full writer may hold a thread up before a row is dropped */
    CACHE_TAG_BYTES = 8,
    ENTRY_BYTES = 960,   /* most that an entry of the log takes besides its payloads */
    FRONT_BYTES = 192,   /* and besides its rest (record.h) */
    RESERVE_MAX = 64,    /* calls a transaction */
    SETTLE_WAIT_MS = 50, /* for calls that are over and may be in the way of others */
};

/* --- the log and the cache ----------------------------------------------------------------- */

/* As pk_writer_put(). */
static int64_t hand_to_writer(struct pkd_thread *t, const struct pk_buf *entry, uint64_t tag)
{
    int64_t number = -1;

    if (entry->failed)
        pk_writer_lose(t->app->writer);
    else
        number = pk_writer_put(t->app->writer, pk_buf_str(entry), tag, LOG_WAIT_MS);
    if (number < 0)
        pkd_warn("entry_dropped why=%s", entry->failed ? "out of memory" : "the writer is full");
    return number;
}

static void count(struct pkd_thread *t, const struct pk_operation *operation,
                  const struct pk_record *r)
{
    pkd_meter_call(t->meter, operation, r);
    pkd_debug(
        "call trace_id=%.*s operation=%.*s status=%s http=%d provider=%.*s attempts=%d us=%lld",
        PK_FMT(r->trace_id), PK_FMT(r->operation), pk_status_name(r->status), r->http_status,
        PK_FMT(r->provider), r->attempts, (long long)(r->ended_us - r->started_us));
}

int64_t pkd_call_log(struct pkd_thread *t, struct pk_arena *arena,
                     const struct pk_operation *operation, struct pk_record *logged,
                     const struct pk_record *r)
{
    struct pk_buf entry = pk_buf_in(arena, PK_CALL_BYTES_MAX);

    (void)pk_buf_room(&entry, ENTRY_BYTES + logged->request.len + logged->response.len);
    pkd_otlp_add(t->app->otlp, arena, logged);
    pk_journal_record(&entry, logged);
    int64_t number = hand_to_writer(t, &entry, 0);
    count(t, operation, r);
    return number;
}

void pkd_call_log_repeat(struct pkd_thread *t, const struct pk_operation *operation,
                         struct pk_record *r, pk_str rest)
{
    struct pk_buf entry = pk_buf_in(&t->scratch, PK_CALL_BYTES_MAX);

    (void)pk_buf_room(&entry, FRONT_BYTES + rest.len);
    pkd_otlp_add(t->app->otlp, &t->scratch, r);
    pk_journal_repeat(&entry, r, rest);
    (void)hand_to_writer(t, &entry, 0);
    count(t, operation, r);
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

void pkd_call_wait_no_more(struct pkd_call *c)
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
        pkd_call_leave(c, c->leaves);
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

void pkd_call_look_up(struct pkd_call *c)
{
    struct pkd_flights *flights = c->thread->app->flights;
    struct pk_cache_entry entry = {0};

    memcpy(c->waiter.key, pk_call_cache_key(c->task.call), sizeof c->waiter.key);
    c->waiter.inbox = c->thread->inbox;
    c->waiter.owner = c;
    bool recent = pkd_flight_recent(flights, c->waiter.key, &c->arena, &entry);
    c->hot = recent ? 0
                    : pkd_hot_find(&c->thread->hot, c->waiter.key, pk_call_max_age_s(c->task.call),
                                   &c->arena, &entry);
    if (recent || c->hot)
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

void pkd_call_look_near(struct pkd_call *c)
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

void pkd_call_save(struct pkd_call *c)
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

void pkd_call_query(struct pkd_call *c)
{
    put_question(c, ask_row, tell_row);
}

void pkd_call_woken(struct pkd_thread *t)
{
    struct pkd_waiter *w;

    while ((w = pkd_flight_woken(t->app->flights, t->inbox))) {
        struct pkd_call *c = w->owner;

        pkd_call_wait_no_more(c);
        pkd_call_look_up(c);
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
        pkd_call_wait_no_more(c);
        pkd_flight_leave(t->app->flights, &c->waiter);
        answer_lookup(c, NULL); /* the machine sees for itself that it is late */
    }
}

/* --- limits -------------------------------------------------------------------------------- */

void pkd_call_wait_for_limits(struct pkd_call *c)
{
    c->reserve_next = c->thread->reserving;
    c->thread->reserving = c;
}

void pkd_call_reserve_no_more(struct pkd_call *c)
{
    struct pkd_call **link = &c->thread->reserving;

    while (*link && *link != c)
        link = &(*link)->reserve_next;
    if (*link)
        *link = c->reserve_next;
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

void pkd_call_reserve(struct pkd_thread *t)
{
    struct reservation r;

    r.thread = t;
    for (r.count = 0; t->reserving && r.count < RESERVE_MAX; r.count++) {
        r.calls[r.count] = t->reserving;
        t->reserving = t->reserving->reserve_next;
    }
    if (r.count > 0)
        reserve_for(&r);
}
