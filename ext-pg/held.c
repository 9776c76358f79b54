/* held.c - entries for which neither the ring nor the spool has room, in the memory of the backend that made them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * They go on, in their order, when the backend puts the next, ends a transaction, waits for its rows or exits. Nothing
 * here throws.
 */
#include "pk_pg.h"

#include "held.h"

#include "access/xact.h"

enum { HELD_BYTES_MAX = 8 << 20 };

static const char no_room[] = "the queue is full and so is pk_spool, or it cannot be written";

static struct held {
    struct held *next;
    size_t len;
    char bytes[];
} * first, **last = &first;
static size_t held_bytes;

bool pk_held_any(void)
{
    return first != NULL;
}

/* Keeps a copy; false: there are too many bytes, or no memory. */
static bool hold(pk_str entry)
{
    if (entry.len > HELD_BYTES_MAX - held_bytes)
        return false;
    struct held *h = malloc(sizeof *h + entry.len);
    if (!h)
        return false;
    *h = (struct held){.len = entry.len};
    memcpy(h->bytes, entry.at, entry.len);
    *last = h;
    last = &h->next;
    held_bytes += h->len;
    return true;
}

static void drop_first(void)
{
    struct held *h = first;

    first = h->next;
    if (!first)
        last = &first;
    held_bytes -= h->len;
    free(h);
    pk_ring_count_held(-1);
}

void pk_held_pass_on(bool last_time)
{
    HOLD_INTERRUPTS();
    while (first) {
        bool put = pk_ring_put_at_once((pk_str){first->bytes, first->len});

        if (!put && !last_time)
            break;
        if (!put)
            pk_ring_lose(no_room);
        drop_first();
    }
    RESUME_INTERRUPTS();
}

static void at_end_of_transaction(XactEvent event, void *unused)
{
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
        pk_held_pass_on(false);
}

void pk_held_put(pk_str entry)
{
    static bool registered;

    if (!first && pk_ring_spool(entry))
        return;
    if (!registered)
        RegisterXactCallback(at_end_of_transaction, NULL);
    registered = true;
    if (hold(entry))
        pk_ring_count_held(1);
    else
        pk_ring_lose(no_room);
}
