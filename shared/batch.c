/* batch.c - see batch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rows are in three lists: all of them as they came (`first`), those whose call may begin (`waits`), and those that are
 * due to be given away (`done`, only by completion). Equal requests meet in the memo, by a hash that nobody can make
 * collide: it names the row that leads, or, when that is gone, a copy of its result.
 */
#include "batch.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    MEMO_START = 256, /* places, always a power of two */
    PAUSE_MS =
        1000, /* before a refused row is asked again, when the provider names no time; doubles */
    PAUSE_MS_MAX = 60 * 1000,
    MEMO_PLACES_MAX = 1 << 18,
    SORT_STEPS = 64, /* how far back a row looks for its place */
};

struct list {
    struct pk_item *first, *last;
};

/* A place of the memo. With neither, it is known that there is no answer yet. */
struct memo {
    uint8_t hash[32];
    bool taken;
    struct pk_item *leader;   /* waits or runs */
    struct pk_result *result; /* in `kept` */
};

struct pk_batch {
    struct pk_allocator from;
    struct pk_batch_options options;
    struct pk_item *first, *last; /* in the order of input */
    struct list waits, done;
    int64_t held; /* rows in `first` */
    size_t held_bytes;
    bool eof, stopped;
    const char *stop_code;
    char stop_why[160];
    double allowed; /* calls in flight, as the provider lets us */
    int64_t pause_until_ms, cut_ms;
    struct memo *memo;
    size_t places, used;
    struct pk_arena kept; /* results of rows that were given away */
    struct pk_batch_progress progress;
    int64_t failed_calls; /* but for those that are asked again */
    int64_t dearest;      /* pico-dollars of one call */
};

/* --- lists --------------------------------------------------------------------------------- */

static void push(struct list *l, struct pk_item *item)
{
    item->turn = NULL;
    item->turn_prev = l->last;
    *(l->last ? &l->last->turn : &l->first) = item;
    l->last = item;
}

static void take_out(struct list *l, struct pk_item *item)
{
    *(item->turn_prev ? &item->turn_prev->turn : &l->first) = item->turn;
    *(item->turn ? &item->turn->turn_prev : &l->last) = item->turn_prev;
    item->turn = item->turn_prev = NULL;
}

/* Before those that come after it by their request: equal beginnings meet. */
static void push_sorted(struct list *l, struct pk_item *item)
{
    struct pk_item *at = l->last;

    for (int i = 0; at && at->tries == 0 && i < SORT_STEPS; i++) {
        pk_str a = at->req.body, b = item->req.body;
        int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

        if (order < 0 || (order == 0 && a.len <= b.len))
            break;
        at = at->turn_prev;
    }
    item->turn_prev = at;
    item->turn = at ? at->turn : l->first;
    *(at ? &at->turn : &l->first) = item;
    *(item->turn ? &item->turn->turn_prev : &l->last) = item;
}

static void push_first(struct list *l, struct pk_item *item)
{
    item->turn_prev = NULL;
    item->turn = l->first;
    *(l->first ? &l->first->turn_prev : &l->last) = item;
    l->first = item;
}

/* --- results ------------------------------------------------------------------------------- */

static void copy_result(struct pk_arena *arena, const struct pk_result *from, struct pk_result *to)
{
    *to = *from;
    to->content = pk_copy(arena, from->content);
    to->response = pk_copy(arena, from->response);
    to->error_message = pk_copy(arena, from->error_message);
    to->provider = pk_copy(arena, from->provider);
    to->model = pk_copy(arena, from->model);
    to->trace_id = pk_copy(arena, from->trace_id);
    to->cache_status = pk_copy(arena, from->cache_status);
}

/* What a row gets that asked the same as another: the answer, not the bill. */
static void share(struct pk_item *item, const struct pk_result *from)
{
    copy_result(&item->arena, from, &item->result);
    item->result.called = false;
    item->result.attempts = 0;
    item->result.latency_us = 0;
    item->result.cost_pusd = 0;
    item->result.cost_known = true;
    if (from->ok)
        item->result.cache_status = PK_STR("HIT");
}

static void fail(struct pk_item *item, const char *code, const char *why)
{
    item->result = (struct pk_result){.error_code = code,
                                      .error_message = pk_copy(&item->arena, pk_str_of(why)),
                                      .retryable = true,
                                      .cost_known = true};
}

static void finish(struct pk_batch *b, struct pk_item *item)
{
    item->state = PK_ITEM_DONE;
    b->progress.done++;
    b->progress.failed += !item->result.ok;
    if (b->options.by_completion)
        push(&b->done, item);
}

/* --- equal requests ------------------------------------------------------------------------ */

static void hash_of(struct pk_item *item)
{
    const struct pk_operation *o = pk_request_operation(&item->req);
    crypto_generichash_state h;
    size_t len = item->same.len;

    (void)crypto_generichash_init(&h, (const unsigned char *)o->name, strlen(o->name),
                                  sizeof item->hash);
    (void)crypto_generichash_update(&h, (const unsigned char *)&len, sizeof len);
    (void)crypto_generichash_update(&h, (const unsigned char *)item->same.at, len);
    (void)crypto_generichash_update(&h, (const unsigned char *)item->req.body.at,
                                    item->req.body.len);
    (void)crypto_generichash_final(&h, item->hash, sizeof item->hash);
}

/* The place of the hash, or the empty one where it belongs. */
static struct memo *place_of(const struct pk_batch *b, const uint8_t *hash)
{
    size_t at;

    memcpy(&at, hash, sizeof at);
    for (at &= b->places - 1;; at = (at + 1) & (b->places - 1)) {
        struct memo *m = &b->memo[at];

        if (!m->taken || memcmp(m->hash, hash, sizeof m->hash) == 0)
            return m;
    }
}

static bool resize(struct pk_batch *b, size_t places, bool forget)
{
    struct pk_batch old = *b;

    b->memo = b->from.alloc(b->from.ctx, places * sizeof *b->memo);
    if (!b->memo) {
        b->memo = old.memo;
        return false;
    }
    memset(b->memo, 0, places * sizeof *b->memo);
    b->places = places;
    b->used = 0;
    for (size_t i = 0; i < old.places; i++) {
        struct memo *m = &old.memo[i];

        if (!m->taken || (forget && !m->leader))
            continue;
        if (forget)
            m->result = NULL;
        *place_of(b, m->hash) = *m;
        b->used++;
    }
    if (old.memo)
        b->from.free(b->from.ctx, old.memo);
    if (forget)
        pk_arena_free(&b->kept);
    return true;
}

/* Room for one more; old answers are forgotten when there are too many. */
static bool make_room(struct pk_batch *b)
{
    if (b->used + 1 <= b->places / 2)
        return true;
    if (b->places == 0)
        return resize(b, MEMO_START, false);
    return resize(b, b->places < MEMO_PLACES_MAX ? b->places * 2 : b->places,
                  b->places == MEMO_PLACES_MAX);
}

/* Whether the row needs no call of its own. False as well when there is no memory to know. */
static bool meets_equal(struct pk_batch *b, struct pk_item *item)
{
    if (!b->options.dedup || item->req.alone || !make_room(b))
        return false;
    hash_of(item);
    struct memo *m = place_of(b, item->hash);
    if (m->leader) {
        item->state = PK_ITEM_FOLLOWS;
        item->leader = m->leader;
        item->turn = m->leader->followers;
        m->leader->followers = item;
        return true;
    }
    if (m->result) {
        share(item, m->result);
        finish(b, item);
        return true;
    }
    b->used += !m->taken;
    *m = (struct memo){.taken = true, .leader = item};
    memcpy(m->hash, item->hash, sizeof m->hash);
    return false;
}

static struct pk_result *keep(struct pk_batch *b, const struct pk_result *r)
{
    struct pk_result *kept = pk_alloc(&b->kept, sizeof *kept);

    if (kept)
        copy_result(&b->kept, r, kept);
    return b->kept.failed ? NULL : kept;
}

/* The leader has its result: those behind it get theirs, and later ones if it is an answer. */
static void release(struct pk_batch *b, struct pk_item *item)
{
    if (!b->options.dedup || item->req.alone || !b->memo)
        return;
    struct memo *m = place_of(b, item->hash);
    if (m->leader != item)
        return;
    m->leader = NULL;
    m->result = item->result.ok ? keep(b, &item->result) : NULL;
    if (b->kept.failed)
        (void)resize(b, b->places, true); /* the arena begins anew */
    for (struct pk_item *f = item->followers, *next; f; f = next) {
        next = f->turn;
        f->leader = NULL;
        f->turn = NULL;
        share(f, &item->result);
        finish(b, f);
    }
    item->followers = NULL;
}

/* --- rows come in -------------------------------------------------------------------------- */

bool pk_batch_wants(const struct pk_batch *b)
{
    return !b->eof && b->held < (int64_t)b->options.concurrency * PK_BATCH_AHEAD &&
           (b->held == 0 || b->held_bytes < PK_BATCH_AHEAD_BYTES);
}

struct pk_item *pk_batch_add(struct pk_batch *b)
{
    struct pk_item *item = b->from.alloc(b->from.ctx, sizeof *item);

    PK_ASSERT(!b->eof);
    if (!item)
        return NULL;
    memset(item, 0, sizeof *item);
    pk_arena_init(&item->arena, b->from, PK_CALL_BYTES_MAX);
    item->ord = ++b->progress.rows;
    item->prev = b->last;
    *(b->last ? &b->last->next : &b->first) = item;
    b->last = item;
    b->held++;
    return item;
}

bool pk_batch_ready(struct pk_batch *b, struct pk_item *item, bool answered, struct pk_error *err)
{
    PK_ASSERT(item->state == PK_ITEM_OPEN);
    if (item->arena.failed)
        return pk_fail(err, PK_NO_MEMORY, "out of memory");
    item->bytes = item->arena.used;
    b->held_bytes += item->bytes;
    if (answered) {
        finish(b, item);
        return true;
    }
    if (meets_equal(b, item))
        return true;
    item->state = PK_ITEM_WAITS;
    if (!b->stopped) {
        (b->options.as_they_came ? push : push_sorted)(&b->waits, item);
        return true;
    }
    fail(item, b->stop_code, b->stop_why);
    finish(b, item);
    release(b, item);
    return true;
}

void pk_batch_eof(struct pk_batch *b)
{
    b->eof = true;
}

/* --- calls --------------------------------------------------------------------------------- */

void pk_batch_stop(struct pk_batch *b, const char *code, const char *why)
{
    if (b->stopped)
        return;
    b->stopped = true;
    b->stop_code = code;
    (void)snprintf(b->stop_why, sizeof b->stop_why, "%s", why);
    while (b->waits.first) {
        struct pk_item *item = b->waits.first;

        take_out(&b->waits, item);
        fail(item, code, why);
        finish(b, item);
        release(b, item);
    }
}

/* Whether one more call could, at the price of the dearest so far, pass the most that may be spent. */
static bool too_dear(const struct pk_batch *b)
{
    const struct pk_batch_progress *p = &b->progress;
    int64_t max = b->options.max_cost_pusd;

    return max > 0 && (p->cost_pusd >= max || (max - p->cost_pusd) / (p->running + 1) < b->dearest);
}

/* Nothing is known of the price yet: one call finds out. */
static bool must_probe(const struct pk_batch *b)
{
    return b->options.max_cost_pusd > 0 && b->progress.ended == 0 && b->progress.running > 0;
}

/* What a call in flight costs says whether there may be another. */
static bool awaits_cost(const struct pk_batch *b)
{
    return must_probe(b) || (b->progress.running > 0 && too_dear(b));
}

static bool may_start(struct pk_batch *b, int64_t now_ms)
{
    const struct pk_batch_progress *p = &b->progress;

    if (!b->waits.first || now_ms < b->pause_until_ms || p->running >= (int64_t)b->allowed ||
        awaits_cost(b))
        return false;
    if (b->options.max_calls > 0 && p->calls >= b->options.max_calls) {
        pk_batch_stop(b, "max_calls", "max_calls: as many calls as are allowed were made");
        return false;
    }
    if (!too_dear(b))
        return true;
    pk_batch_stop(b, "max_cost", "max_cost_usd: one more call could pass it");
    return false;
}

struct pk_item *pk_batch_start(struct pk_batch *b, int64_t now_ms)
{
    struct pk_item *item = b->waits.first;

    if (!may_start(b, now_ms))
        return NULL;
    take_out(&b->waits, item);
    item->state = PK_ITEM_RUNS;
    item->started_ms = now_ms;
    b->progress.running++;
    b->progress.calls++;
    return item;
}

int64_t pk_batch_wake_ms(const struct pk_batch *b)
{
    if (!b->waits.first || b->progress.running >= (int64_t)b->allowed || awaits_cost(b))
        return INT64_MAX;
    return b->pause_until_ms;
}

static bool is_refusal(const struct pk_result *r)
{
    return !r->ok && r->retryable && (r->http_status == 429 || r->http_status == 529);
}

/* The provider has no room: fewer at a time, and none for a while. */
static void slow_down(struct pk_batch *b, const struct pk_item *item, int64_t now_ms,
                      int64_t retry_after_ms)
{
    int64_t pause_ms = retry_after_ms > 0 ? retry_after_ms : (int64_t)PAUSE_MS << item->tries;

    if (pause_ms > PAUSE_MS_MAX)
        pause_ms = PAUSE_MS_MAX;
    if (item->started_ms >=
        b->cut_ms) { /* else it began before the last cut: that was for it too */
        b->allowed = b->allowed / 2 < 1 ? 1 : b->allowed / 2;
        b->cut_ms = now_ms;
    }
    if (now_ms + pause_ms > b->pause_until_ms)
        b->pause_until_ms = now_ms + pause_ms;
}

static void count(struct pk_batch *b, const struct pk_result *r)
{
    struct pk_batch_progress *p = &b->progress;

    p->ended++;
    p->cached += pk_str_is(r->cache_status, "HIT") || pk_str_is(r->cache_status, "SEMANTIC HIT");
    b->failed_calls += !r->ok;
    p->input_tokens += r->has_usage ? r->input_tokens : 0;
    p->output_tokens += r->has_usage ? r->output_tokens : 0;
    p->cost_pusd += r->cost_known ? r->cost_pusd : 0;
    p->unpriced += r->ok && !r->cost_known;
    if (r->cost_known && r->cost_pusd > b->dearest)
        b->dearest = r->cost_pusd;
}

static void judge(struct pk_batch *b)
{
    double most = b->options.max_error_ratio * (double)b->progress.ended;

    if (b->progress.ended >= PK_BATCH_SAMPLE && (double)b->failed_calls > most)
        pk_batch_stop(b, "max_error_ratio", "max_error_ratio: too many calls have failed");
    if (b->options.max_cost_pusd > 0 && b->progress.unpriced > 0)
        pk_batch_stop(b, "max_cost", "max_cost_usd: the cost of a call is not known");
}

void pk_batch_end(struct pk_batch *b, struct pk_item *item, int64_t now_ms, int64_t retry_after_ms)
{
    bool refused = is_refusal(&item->result);

    PK_ASSERT(item->state == PK_ITEM_RUNS);
    b->progress.running--;
    item->tries++;
    if (refused)
        slow_down(b, item, now_ms, retry_after_ms);
    else if (b->allowed < b->options.concurrency)
        b->allowed += 1 / b->allowed;
    if (refused && item->tries < PK_BATCH_TRIES && !b->stopped) {
        b->progress.calls--; /* it is the same one again */
        item->state = PK_ITEM_WAITS;
        push_first(&b->waits, item);
        return;
    }
    item->result.called = true;
    count(b, &item->result);
    finish(b, item);
    release(b, item);
    judge(b);
}

/* --- rows go out --------------------------------------------------------------------------- */

struct pk_item *pk_batch_take(struct pk_batch *b)
{
    struct pk_item *item = b->options.by_completion ? b->done.first : b->first;

    if (!b->options.by_completion)
        while (item && item->state == PK_ITEM_TAKEN)
            item = item->next;
    if (!item || item->state != PK_ITEM_DONE)
        return NULL;
    if (b->options.by_completion)
        take_out(&b->done, item);
    item->state = PK_ITEM_TAKEN;
    return item;
}

static void free_item(struct pk_batch *b, struct pk_item *item)
{
    *(item->prev ? &item->prev->next : &b->first) = item->next;
    *(item->next ? &item->next->prev : &b->last) = item->prev;
    b->held--;
    b->held_bytes -= item->bytes;
    pk_arena_free(&item->arena);
    b->from.free(b->from.ctx, item);
}

void pk_batch_drop(struct pk_batch *b, struct pk_item *item)
{
    PK_ASSERT(item->state == PK_ITEM_TAKEN);
    free_item(b, item);
}

bool pk_batch_over(const struct pk_batch *b)
{
    return b->eof && !b->first;
}

struct pk_batch_progress pk_batch_progress(const struct pk_batch *b)
{
    struct pk_batch_progress p = b->progress;

    p.complete = b->eof;
    return p;
}

/* --- birth and death ----------------------------------------------------------------------- */

struct pk_batch *pk_batch_new(struct pk_allocator from, const struct pk_batch_options *o)
{
    struct pk_batch *b = from.alloc(from.ctx, sizeof *b);

    if (!b)
        return NULL;
    memset(b, 0, sizeof *b);
    b->from = from;
    b->options = *o;
    b->allowed = o->concurrency;
    pk_arena_init(&b->kept, from, PK_BATCH_MEMO_BYTES);
    return b;
}

void pk_batch_free(struct pk_batch *b)
{
    if (!b)
        return;
    while (b->first)
        free_item(b, b->first);
    pk_arena_free(&b->kept);
    if (b->memo)
        b->from.free(b->from.ctx, b->memo);
    b->from.free(b->from.ctx, b);
}
