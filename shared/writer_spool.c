/* writer_spool.c - what the store does not take now: aside, and back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A store that is away is asked again once a moment, by the next group or the next piece of the spool; meanwhile
 * groups go to the spool at once. Pieces of the spool and groups that come take turns.
 */
#include "writer_inner.h"

#include "xfer.h"

enum {
    PATIENCE_MS = 50, /* with others' transactions: what waits in memory is lost with the process */
    AWAY_MS = 500,    /* until a store that was away is asked again */
    FAILURES_MAX = 3, /* entries in a row that fail alone: then it is the store */
    PIECE_BYTES = 1 << 20,
    SPOOL_GROUP = 64, /* entries that are put aside together */
};

void pk_writer_spool(struct pk_writer *w, const char *path, int64_t bytes_max)
{
    pk_turn_take(&w->turn);
    if (w->store->ops->patience)
        w->store->ops->patience(w->store, PATIENCE_MS);
    pk_turn_give(&w->turn);
    (void)pthread_mutex_lock(&w->lock);
    w->spool_waits = pk_spool_init(&w->spool, path, bytes_max) && pk_spool_bytes(&w->spool) > 0;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
}

bool pk_writer_durable(struct pk_writer *w, void (*on_settled)(void *ctx), void *ctx,
                       struct pk_error *err)
{
    pk_turn_take(&w->turn);
    bool ok = !w->store->ops->durable || w->store->ops->durable(w->store, err);
    pk_turn_give(&w->turn);
    (void)pthread_mutex_lock(&w->lock);
    w->durable = w->spool.synced = ok;
    w->on_settled = on_settled;
    w->settled_ctx = ctx;
    (void)pthread_mutex_unlock(&w->lock);
    return ok;
}

enum pk_fate pk_writer_fate(struct pk_writer *w, int64_t number)
{
    (void)pthread_mutex_lock(&w->lock);
    bool settled = w->settled >= number, lost = false;
    for (int i = 0; i < w->lost_count; i++)
        lost = lost || (number > w->lost[i].after && number <= w->lost[i].upto);
    (void)pthread_mutex_unlock(&w->lock);
    return !settled ? PK_UNSETTLED : lost ? PK_LOST : PK_SAFE;
}

void pk_writer_away(struct pk_writer *w)
{
    w->away_until_ms = pk_clock_ms() + AWAY_MS;
    w->replay_at_ms = w->away_until_ms;
}

bool pk_writer_is_away(const struct pk_writer *w)
{
    return w->spool.path[0] && w->away_until_ms > pk_clock_ms();
}

/* --- aside ----------------------------------------------------------------------------------- */

static void note_kept(struct pk_writer *w, int64_t kept)
{
    (void)pthread_mutex_lock(&w->lock);
    w->spooled += kept;
    w->spool_waits = w->spool_waits || kept > 0;
    (void)pthread_mutex_unlock(&w->lock);
}

bool pk_writer_set_aside(struct pk_writer *w, const struct queue *q, size_t *from, size_t to)
{
    pk_str entries[SPOOL_GROUP];
    int64_t kept = 0;
    int most = SPOOL_GROUP;

    while (*from < to && most > 0) {
        size_t next = *from;
        int count = 0;

        while (next < to && count < most)
            entries[count++] = pk_queue_take(q, &next);
        if (pk_spool_put(&w->spool, entries, count)) {
            kept += count;
            *from = next;
        } else { /* the first ones may fit */
            most = most > 1 ? 1 : 0;
        }
    }
    if (kept > 0)
        note_kept(w, kept);
    return *from == to;
}

/* The store will never take it. */
static int64_t park(struct pk_writer *w, pk_str entry)
{
    bool kept = pk_spool_park(&w->spool, entry);

    (void)pthread_mutex_lock(&w->lock);
    w->parked += kept;
    (void)pthread_mutex_unlock(&w->lock);
    return 1; /* not in the log in any case */
}

int64_t pk_writer_singly(struct pk_writer *w, const struct queue *q, size_t *from, size_t to)
{
    int failures = 0;
    int64_t lost = 0;

    while (*from < to) {
        size_t next = *from;
        struct pk_error err;
        pk_str entry = pk_queue_take(q, &next);
        enum pk_wrote wrote = pk_writer_group(w, q, *from, next, &err);

        if (wrote != PK_WROTE)
            pk_writer_note(w, &err);
        failures = wrote == PK_FAILED ? failures + 1 : 0;
        if (wrote == PK_AWAY || (failures == FAILURES_MAX && w->spool.path[0])) {
            pk_writer_away(w);
            break;
        }
        if (wrote == PK_REFUSED)
            lost += park(w, entry);
        if (wrote == PK_FAILED && !pk_writer_set_aside(w, q, from, next) && w->spool.path[0]) {
            pk_writer_away(w); /* there is no room: it stays where it is */
            break;
        }
        lost += *from < next && wrote == PK_FAILED;
        *from = next; /* the others first */
    }
    return lost;
}

/* --- back ------------------------------------------------------------------------------------ */

/* Reads the next piece, empty at the end; false when there is no memory. */
static bool read_piece(struct pk_writer *w)
{
    pk_str entry;

    pk_queue_empty(&w->replaying);
    for (int count = 0; count < PK_WRITER_GROUP_MAX && w->replaying.len < PIECE_BYTES; count++) {
        if (!pk_spool_next(w->reading, &entry))
            return true;
        if (!pk_queue_add(&w->replaying, entry))
            return false;
    }
    return true;
}

static void end_reading(struct pk_writer *w, bool done)
{
    struct pk_error err = {.code = PK_OK};

    if (done && pk_spool_damaged(w->reading) > 0) {
        (void)pk_fail(&err, PK_STORE, "spool: %lld bytes at the end of it were damaged",
                      (long long)pk_spool_damaged(w->reading));
        pk_writer_note(w, &err);
    }
    pk_spool_close(w->reading, done);
    w->reading = NULL;
    (void)pthread_mutex_lock(&w->lock);
    w->spool_waits = pk_spool_bytes(&w->spool) > 0;
    (void)pthread_cond_broadcast(&w->done);
    (void)pthread_mutex_unlock(&w->lock);
}

/* False: the store is away. */
static bool write_piece(struct pk_writer *w)
{
    struct pk_error err;
    size_t from = 0, to = w->replaying.len;

    pk_turn_take(&w->turn);
    enum pk_wrote wrote = pk_writer_group(w, &w->replaying, from, to, &err);
    int64_t lost = 0;
    if (wrote == PK_REFUSED || wrote == PK_FAILED)
        lost = pk_writer_singly(w, &w->replaying, &from, to);
    pk_turn_give(&w->turn);
    (void)pthread_mutex_lock(&w->lock);
    w->dropped += lost;
    (void)pthread_mutex_unlock(&w->lock);
    if (wrote == PK_AWAY) {
        pk_writer_note(w, &err);
        pk_writer_away(w);
        return false;
    }
    return wrote == PK_WROTE || from == to;
}

void pk_writer_replay(struct pk_writer *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool due = w->spool_waits && pk_clock_ms() >= w->replay_at_ms;
    (void)pthread_mutex_unlock(&w->lock);
    if (!due)
        return;
    if (!w->reading)
        w->reading = pk_spool_open(&w->spool);
    if (!w->reading) { /* another process has it */
        w->replay_at_ms = pk_clock_ms() + AWAY_MS;
        end_reading(w, false);
        return;
    }
    bool whole = read_piece(w), over = whole && w->replaying.len == 0;
    if (!whole || over)
        w->replay_at_ms = pk_clock_ms() + AWAY_MS; /* what failed alone is at its end again */
    if (!whole || over || !write_piece(w))
        end_reading(w, over);
    else
        w->away_until_ms = 0;
}
