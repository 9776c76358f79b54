/* flight.c - see flight.h. One lock, held for a few lookups in small lists.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "flight.h"

#include "xfer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUCKETS = 256,
    SETTLE_MS = 100, /* younger answers are taken to be on their way to the store */
    RECENT_BYTES_MAX = 32 << 20,
};

struct pkd_flight {
    uint8_t key[PK_CACHE_KEY_BYTES];
    struct pkd_flight *next; /* in its bucket */
    struct pkd_waiter *leader;
    struct pkd_waiter *first, **last; /* who waits, in order */
};

/* A saved answer, in one block with its strings. */
struct recent {
    uint8_t key[PK_CACHE_KEY_BYTES];
    uint64_t tag;
    int64_t at_ms;
    size_t size;
    struct recent *next; /* in its bucket */
    struct recent *older, *newer;
    struct pk_cache_entry entry;
    char bytes[];
};

struct pkd_inbox {
    int fd;
    struct pkd_waiter *first, **last;
};

struct pkd_flights {
    pthread_mutex_t lock;
    struct pk_writer *writer;
    struct pkd_flight *flights[BUCKETS];
    struct recent *recent[BUCKETS];
    struct recent *oldest, *newest;
    size_t recent_bytes;
};

static unsigned bucket(const uint8_t *key)
{
    return key[0] % BUCKETS;
}

/* --- saved answers ----------------------------------------------------------------------- */

static void forget(struct pkd_flights *f, struct recent *r)
{
    struct recent **link = &f->recent[bucket(r->key)];

    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    *(r->older ? &r->older->newer : &f->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &f->newest) = r->older;
    f->recent_bytes -= r->size;
    free(r);
}

static struct recent *find_recent(const struct pkd_flights *f, const uint8_t *key)
{
    struct recent *r = f->recent[bucket(key)];

    while (r && memcmp(r->key, key, sizeof r->key) != 0)
        r = r->next;
    return r;
}

/* Whether the store has it by now. A young one is not asked about: asking hurries the writer. */
static bool settled(const struct pkd_flights *f, const struct recent *r)
{
    return pk_clock_ms() - r->at_ms > SETTLE_MS && pk_writer_settle(f->writer, r->tag, 0);
}

static void forget_settled(struct pkd_flights *f)
{
    while (f->oldest && (f->recent_bytes > RECENT_BYTES_MAX || settled(f, f->oldest)))
        forget(f, f->oldest);
}

static void copy_out(struct pk_arena *arena, const struct recent *r, struct pk_cache_entry *entry)
{
    *entry = r->entry;
    entry->body = pk_copy(arena, r->entry.body);
    entry->provider = pk_copy(arena, r->entry.provider);
    entry->model = pk_copy(arena, r->entry.model);
    entry->finish_reason = pk_copy(arena, r->entry.finish_reason);
}

/* NULL: the store may know better by now: a purge. */
static struct recent *find_unsettled(struct pkd_flights *f, const uint8_t *key)
{
    struct recent *r = find_recent(f, key);

    if (r && settled(f, r)) {
        forget(f, r);
        return NULL;
    }
    return r;
}

static bool take_recent(struct pkd_flights *f, const uint8_t *key, struct pk_arena *arena,
                        struct pk_cache_entry *entry)
{
    struct recent *r = find_unsettled(f, key);

    if (r)
        copy_out(arena, r, entry);
    return r && !arena->failed;
}

static pk_str put_str(char **at, pk_str s)
{
    pk_str copy = {*at, s.len};

    if (s.len)
        memcpy(*at, s.at, s.len);
    *at += s.len;
    return copy;
}

static struct recent *copy_in(const uint8_t *key, uint64_t tag, const struct pk_cache_entry *entry)
{
    size_t len =
        entry->body.len + entry->provider.len + entry->model.len + entry->finish_reason.len;
    struct recent *r = malloc(sizeof *r + len);

    if (!r)
        return NULL;
    *r = (struct recent){.tag = tag, .at_ms = pk_clock_ms(), .size = sizeof *r + len};
    memcpy(r->key, key, sizeof r->key);
    r->entry = *entry;
    char *at = r->bytes;
    r->entry.body = put_str(&at, entry->body);
    r->entry.provider = put_str(&at, entry->provider);
    r->entry.model = put_str(&at, entry->model);
    r->entry.finish_reason = put_str(&at, entry->finish_reason);
    return r;
}

void pkd_flight_save(struct pkd_flights *f, const uint8_t key[PK_CACHE_KEY_BYTES], uint64_t tag,
                     const struct pk_cache_entry *entry)
{
    struct recent *r = copy_in(key, tag, entry);

    if (!r)
        return; /* the store will have it */
    (void)pthread_mutex_lock(&f->lock);
    struct recent *before = find_recent(f, key);
    if (before)
        forget(f, before);
    r->next = f->recent[bucket(key)];
    f->recent[bucket(key)] = r;
    r->older = f->newest;
    *(f->newest ? &f->newest->newer : &f->oldest) = r;
    f->newest = r;
    f->recent_bytes += r->size;
    forget_settled(f);
    (void)pthread_mutex_unlock(&f->lock);
}

bool pkd_flight_recent(struct pkd_flights *f, const uint8_t key[PK_CACHE_KEY_BYTES],
                       struct pk_arena *arena, struct pk_cache_entry *entry)
{
    (void)pthread_mutex_lock(&f->lock);
    bool found = take_recent(f, key, arena, entry);
    (void)pthread_mutex_unlock(&f->lock);
    return found;
}

bool pkd_flight_has(struct pkd_flights *f, const uint8_t key[PK_CACHE_KEY_BYTES])
{
    (void)pthread_mutex_lock(&f->lock);
    bool found = find_unsettled(f, key) != NULL;
    (void)pthread_mutex_unlock(&f->lock);
    return found;
}

/* --- who leads, who waits ---------------------------------------------------------------- */

static struct pkd_flight **find_flight(struct pkd_flights *f, const uint8_t *key)
{
    struct pkd_flight **link = &f->flights[bucket(key)];

    while (*link && memcmp((*link)->key, key, sizeof(*link)->key) != 0)
        link = &(*link)->next;
    return link;
}

static void append(struct pkd_waiter ***last, struct pkd_waiter *w)
{
    w->next = NULL;
    **last = w;
    *last = &w->next;
}

/* Takes `w` out of a list in which it is. */
static void take_out(struct pkd_waiter **first, struct pkd_waiter ***last, struct pkd_waiter *w)
{
    struct pkd_waiter **link = first;

    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    if (*last == &w->next)
        *last = link;
    w->next = NULL;
}

static void wake(struct pkd_waiter *w)
{
    const uint64_t one = 1;

    w->woken = true;
    append(&w->inbox->last, w);
    ssize_t written = write(w->inbox->fd, &one, sizeof one); /* full only when it is awake anyway */
    (void)written;
}

static void wait_behind(struct pkd_flight *flight, struct pkd_waiter *w)
{
    w->role = PKD_WAITS;
    w->flight = flight;
    append(&flight->last, w);
}

/* Without memory for a flight the call goes alone, and nobody can wait for it. */
static void lead(struct pkd_flights *f, struct pkd_waiter *w)
{
    struct pkd_flight *flight = calloc(1, sizeof *flight);

    w->role = flight ? PKD_LEADS : PKD_ALONE;
    if (!flight)
        return;
    memcpy(flight->key, w->key, sizeof flight->key);
    flight->leader = w;
    flight->last = &flight->first;
    flight->next = f->flights[bucket(w->key)];
    f->flights[bucket(w->key)] = flight;
    w->flight = flight;
}

enum pkd_role pkd_flight_enter(struct pkd_flights *f, struct pkd_waiter *w, struct pk_arena *arena,
                               struct pk_cache_entry *entry)
{
    (void)pthread_mutex_lock(&f->lock);
    PK_ASSERT(!w->woken && w->role != PKD_WAITS);
    if (w->role != PKD_LEADS) {
        struct pkd_flight *flight = *find_flight(f, w->key);

        if (take_recent(f, w->key, arena, entry))
            w->role = PKD_HIT;
        else if (flight)
            wait_behind(flight, w);
        else
            lead(f, w);
    }
    enum pkd_role role = w->role;
    (void)pthread_mutex_unlock(&f->lock);
    return role;
}

static void free_flight(struct pkd_flights *f, struct pkd_flight *flight)
{
    *find_flight(f, flight->key) = flight->next;
    free(flight);
}

/* Those who wait find the answer, or one of them goes for it in the leader's place. */
static void hand_over(struct pkd_flights *f, struct pkd_flight *flight)
{
    bool saved = find_recent(f, flight->key) != NULL;
    struct pkd_waiter *w;

    flight->leader = NULL;
    while ((w = flight->first) && !flight->leader) {
        take_out(&flight->first, &flight->last, w);
        w->role = saved ? PKD_ALONE : PKD_LEADS;
        w->flight = saved ? NULL : flight;
        flight->leader = saved ? NULL : w;
        wake(w);
    }
    if (!flight->leader)
        free_flight(f, flight);
}

void pkd_flight_leave(struct pkd_flights *f, struct pkd_waiter *w)
{
    if (!w->inbox)
        return; /* it has never entered */
    (void)pthread_mutex_lock(&f->lock);
    if (w->woken)
        take_out(&w->inbox->first, &w->inbox->last, w);
    w->woken = false;
    if (w->role == PKD_WAITS)
        take_out(&w->flight->first, &w->flight->last, w);
    else if (w->role == PKD_LEADS)
        hand_over(f, w->flight);
    w->role = PKD_ALONE;
    w->flight = NULL;
    (void)pthread_mutex_unlock(&f->lock);
}

struct pkd_waiter *pkd_flight_woken(struct pkd_flights *f, struct pkd_inbox *inbox)
{
    (void)pthread_mutex_lock(&f->lock);
    struct pkd_waiter *w = inbox->first;
    if (w) {
        take_out(&inbox->first, &inbox->last, w);
        w->woken = false;
    }
    (void)pthread_mutex_unlock(&f->lock);
    return w;
}

/* --- birth and death --------------------------------------------------------------------- */

struct pkd_inbox *pkd_inbox_new(int fd)
{
    struct pkd_inbox *inbox = calloc(1, sizeof *inbox);

    if (!inbox)
        return NULL;
    inbox->fd = fd;
    inbox->last = &inbox->first;
    return inbox;
}

void pkd_inbox_free(struct pkd_inbox *inbox)
{
    free(inbox);
}

struct pkd_flights *pkd_flights_new(struct pk_writer *writer)
{
    struct pkd_flights *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    (void)pthread_mutex_init(&f->lock, NULL);
    f->writer = writer;
    return f;
}

void pkd_flights_free(struct pkd_flights *f)
{
    if (!f)
        return;
    for (struct recent *r = f->oldest, *next; r; r = next) {
        next = r->newer;
        free(r);
    }
    for (int i = 0; i < BUCKETS; i++)
        PK_ASSERT(!f->flights[i]);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}
