/* map_call.c - the calls of pkd map. The thread is its own, so it asks the store where it stands.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "map_inner.h"

#include "journal.h"
#include "result.h"
#include "store_cache.h"
#include "store_guard.h"
#include "store_hold.h"

#include <stdlib.h>
#include <string.h>

enum { LOG_WAIT_MS = 10000, SETTLE_WAIT_MS = 2000 };

static void hand_to_writer(struct pkd_map *m, const struct pk_buf *entry, const uint8_t *key)
{
    uint64_t tag = 0;

    if (key)
        memcpy(&tag, key, sizeof tag);
    if (entry->failed)
        pk_writer_lose(m->writer);
    else
        (void)pk_writer_add(m->writer, pk_buf_str(entry), tag, LOG_WAIT_MS);
}

/* A cache never fails a call. */
static void look_up(struct pkd_map *m, struct pkd_map_call *c)
{
    struct pk_event ev = {.kind = PK_EV_MISS};
    struct pk_cache_entry entry;
    struct pk_error unused;
    bool found = false;

    if (pk_store_cache_get(m->store, &c->arena, pk_call_cache_key(c->task.call), pk_clock_us(),
                           pk_call_max_age_s(c->task.call), &entry, &found, &unused) &&
        found)
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_loop_answer(m->loop, &c->task, &ev);
}

static void save(struct pkd_map *m, struct pkd_map_call *c)
{
    struct pk_buf entry = pk_buf_in(&c->arena, PK_STREAM_BYTES_MAX);
    const struct pk_call *call = c->task.call;
    const struct pk_cache_vector *v = pk_call_vector(call);
    struct pk_event ev = {.kind = PK_EV_SAVED};

    pk_journal_cache(&entry, pk_call_cache_key(call), pk_call_save(call), pk_clock_us(),
                     pk_call_max_age_s(call));
    hand_to_writer(m, &entry, pk_call_cache_key(call));
    if (v) {
        struct pk_buf vector = pk_buf_in(&c->arena, PK_STREAM_BYTES_MAX);

        pk_journal_vector(&vector, pk_call_cache_key(call), v);
        hand_to_writer(m, &vector, v->gate);
    }
    pk_loop_answer(m->loop, &c->task, &ev);
}

static void reserve(struct pkd_map *m, struct pkd_map_call *c)
{
    struct pk_reserve *const asked[] = {pk_call_reserve(c->task.call)};

    pk_writer_reserve(m->writer, m->store, asked, 1, SETTLE_WAIT_MS);
    struct pk_event ev = pk_reserve_event(asked[0], strcmp(m->options->limits, "allow") == 0);
    pk_loop_answer(m->loop, &c->task, &ev);
}

static void leave(struct pkd_map *m, struct pkd_map_call *c, int64_t retry_after_ms)
{
    struct pk_item *item = c->item;

    *(c->prev ? &c->prev->next : &m->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pk_arena_free(&c->arena);
    free(c);
    pk_batch_end(m->batch, item, pk_clock_ms(), retry_after_ms);
}

static void finish(struct pkd_map *m, struct pkd_map_call *c)
{
    struct pk_buf entry = pk_buf_in(&c->arena, PK_CALL_BYTES_MAX);
    struct pk_call *call = c->task.call;
    struct pk_error err = {0};

    if (c->out.failed) {
        (void)pk_fail(&err, PK_NO_MEMORY, "the answer is too large for the call's memory");
        pk_result_of_error(&c->item->arena, &err, &c->item->result);
    } else {
        pk_result_of_call(&c->item->arena, call, pk_buf_str(&c->out), &c->item->result);
    }
    pk_journal_record(&entry, pk_call_logged(call));
    hand_to_writer(m, &entry, NULL);
    leave(m, c, pk_call_retry_after_ms(call));
}

static void perform(struct pkd_map *m, struct pkd_map_call *c)
{
    struct pk_event ev = {.kind = PK_EV_MISS};

    pk_buf_add(&c->out, c->task.next.out);
    switch (c->task.next.op) {
    case PK_OP_LOOKUP: look_up(m, c); break;
    case PK_OP_NEAR: pk_loop_answer(m->loop, &c->task, &ev); break; /* equal ones only */
    case PK_OP_RESERVE: reserve(m, c); break;
    case PK_OP_QUERY:
        ev = pk_store_row(m->store, pk_call_query(c->task.call));
        pk_loop_answer(m->loop, &c->task, &ev);
        break;
    case PK_OP_SAVE: save(m, c); break;
    case PK_OP_DONE: finish(m, c); break;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP: pk_loop_resume(m->loop, &c->task); break;
    }
}

static struct pkd_map_call *new_call(struct pkd_map *m, struct pk_item *item, struct pk_error *err)
{
    struct pkd_map_call *c = calloc(1, sizeof *c);

    if (!c) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for another call");
        return NULL;
    }
    pk_arena_init(&c->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    c->out = pk_buf_in(&c->arena, PK_STREAM_BYTES_MAX);
    c->item = item;
    c->task.call = pk_call_new(&c->arena, &m->snapshot->config, m->snapshot->facts, &item->req,
                               pk_clock_us(), pk_random_next(&m->random), err);
    if (c->task.call)
        return c;
    pk_arena_free(&c->arena);
    free(c);
    return NULL;
}

static void start(struct pkd_map *m, struct pk_item *item)
{
    struct pk_error err = {0};
    struct pkd_map_call *c = new_call(m, item, &err);

    if (!c) {
        pk_result_of_error(&item->arena, &err, &item->result);
        pk_batch_end(m->batch, item, pk_clock_ms(), 0);
        return;
    }
    c->next = m->calls;
    if (m->calls)
        m->calls->prev = c;
    m->calls = c;
    pk_loop_start(m->loop, &c->task);
}

void pkd_map_turn(struct pkd_map *m)
{
    for (struct pk_item *item; (item = pk_batch_start(m->batch, pk_clock_ms()));)
        start(m, item);
    for (struct pk_task *t; (t = pk_loop_next(m->loop));)
        perform(m, (struct pkd_map_call *)(void *)t);
}

void pkd_map_tell(struct pkd_map *m)
{
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_PROGRESS_ENTRY * 2);
    struct pk_buf entry = pk_buf_in(&arena, PK_PROGRESS_ENTRY);
    pk_journal_progress(&entry, &m->progress.row);
    if (!entry.failed)
        pk_writer_offer(m->writer, pk_buf_str(&entry));
    pk_arena_free(&arena);
}

void pkd_map_cancel(struct pkd_map *m)
{
    for (struct pkd_map_call *c = m->calls; c; c = c->next)
        pk_loop_cancel(m->loop, &c->task);
    while (m->calls)
        pkd_map_turn(m);
}
