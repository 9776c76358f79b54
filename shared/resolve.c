/* resolve.c - see resolve.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   reference --find--> kept entry ---------------------> snapshot
 *             \--make--> parse, bind, check -> new entry -/
 *
 * Entries are counted: the resolver holds one reference while it keeps an entry, each caller one until
 * it releases it. After a new epoch an entry is made anew when it is asked for; calls in progress go on with what they
 * have. One that holds a literal key is found as long as a caller has it. The facts of an epoch, such as its price
 * list, are shared by its entries in the same way. One thread at a time.
 *
 * While the store does not answer, what is known holds on: only a key that has expired ends an entry.
 */
#include "resolve.h"

#include "store_limit.h"
#include "store_place.h"
#include "store_provider.h"
#include "store_route.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEPT_MAX = 64,              /* entries */
    KEY_BYTES_MAX = 16 << 10,   /* of a reference that is kept */
    ENTRY_BYTES_MAX = 16 << 20, /* what one entry may hold */
    EMBEDDER_BYTES_MAX = 8 << 10,
    KNOWN_MAX = 16,
    PRICED_MAX = 16, /* providers whose prices are read one by one */
};

static const int64_t figures_us = 30 * 1000000; /* how long figures are taken for new */

struct moment {
    struct pk_arena arena;
    struct pk_facts facts;     /* the prices are those of the providers that were asked for */
    pk_str priced[PRICED_MAX]; /* which these are */
    int priced_count;
    bool all_priced; /* or all */
    int holds;
};

struct entry {
    struct pk_snapshot snapshot; /* first: what the caller has is the entry */
    struct pk_arena arena;
    struct moment *moment;
    pk_str reference;
    pk_str embedder;  /* the default one; borrowed while the entry is made */
    int64_t epoch;    /* of the store, when it was made */
    int64_t until_us; /* when the first of its keys expires */
    int64_t renew_us; /* when a circuit closes, or figures are old */
    uint64_t used;    /* the resolver's clock when it was last asked for */
    bool literal;     /* it holds a key: not kept for the resolver's own sake */
    int holds;
};

/* What was read from the log a moment ago. */
struct known {
    char slug[PK_SLUG_BYTES_MAX];
    size_t len;
    int64_t until_us;
    struct pk_figures figures;
};

struct pk_resolver {
    struct pk_allocator from;
    struct entry *kept[KEPT_MAX];
    int count;
    uint64_t clock;
    int64_t epoch;
    struct moment *moment; /* of this epoch; NULL until asked for */
    struct known *known;   /* KNOWN_MAX of them; NULL until asked for */
    int known_next;        /* which is overwritten next */
    bool embedder_told;
    size_t embedder_len;
    char embedder[EMBEDDER_BYTES_MAX];
};

static void drop_facts(struct pk_resolver *r, struct moment *m)
{
    if (!m || --m->holds > 0)
        return;
    pk_arena_free(&m->arena);
    r->from.free(r->from.ctx, m);
}

static void drop_entry(struct pk_resolver *r, struct entry *e)
{
    PK_ASSERT(e->holds > 0);
    if (--e->holds > 0)
        return;
    drop_facts(r, e->moment);
    pk_arena_free(&e->arena);
    r->from.free(r->from.ctx, e);
}

static void forget(struct pk_resolver *r, int i)
{
    struct entry *e = r->kept[i];

    r->kept[i] = r->kept[--r->count];
    drop_entry(r, e);
}

static void forget_literal(struct pk_resolver *r, const struct entry *e)
{
    for (int i = 0; i < r->count; i++)
        if (r->kept[i] == e) {
            forget(r, i);
            return;
        }
}

static void forget_all(struct pk_resolver *r)
{
    while (r->count)
        forget(r, r->count - 1);
    drop_facts(r, r->moment);
    r->moment = NULL;
}

struct pk_resolver *pk_resolver_new(struct pk_allocator from)
{
    struct pk_resolver *r = from.alloc(from.ctx, sizeof *r);

    if (r)
        *r = (struct pk_resolver){.from = from};
    return r;
}

void pk_resolver_free(struct pk_resolver *r)
{
    if (!r)
        return;
    forget_all(r);
    if (r->known)
        r->from.free(r->from.ctx, r->known);
    r->from.free(r->from.ctx, r);
}

static pk_str default_embedder(const struct pk_resolver *r)
{
    if (r->embedder_told)
        return (pk_str){r->embedder, r->embedder_len};
    return pk_str_of(getenv("PK_EMBEDDER"));
}

bool pk_resolver_embedder(struct pk_resolver *r, pk_str embedder, struct pk_error *err)
{
    if (embedder.len > sizeof r->embedder)
        return pk_fail(err, PK_TOO_LARGE, "embedder: longer than %d bytes", EMBEDDER_BYTES_MAX);
    if (r->embedder_told && pk_str_eq(embedder, default_embedder(r)))
        return true;
    forget_all(r);
    r->embedder_told = true;
    r->embedder_len = embedder.len;
    if (embedder.len)
        memcpy(r->embedder, embedder.at, embedder.len);
    return true;
}

/* --- what a reference means ------------------------------------------------------------ */

static bool is_inline(pk_str reference)
{
    return pk_str_starts(pk_str_trim(reference), "{");
}

/* {"NAME":"VALUE"}: how a bare name becomes a config. */
static pk_str one_member(struct pk_arena *arena, const char *name, pk_str value)
{
    struct pk_buf text = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);

    pk_buf_addf(&text, "{\"%s\":", name);
    pk_json_quote(&text, value);
    pk_buf_addc(&text, '}');
    return pk_buf_str(&text);
}

/* Whether the provider can be called with what is in the environment. */
static bool has_key(const struct pk_provider *p)
{
    return !p->key_env || !*p->key_env || pk_environment_key(p);
}

static bool fail_unknown(const struct pk_provider *p, pk_str reference, struct pk_error *err)
{
    pk_str shown = pk_name_shown(reference);

    if (p)
        return pk_fail(err, PK_NO_KEY,
                       "config \"%.*s\": no stored config or virtual key has this name, and the "
                       "environment variable %s, for the provider, is not set",
                       PK_FMT(shown), p->key_env);
    return pk_fail(err, PK_NOT_FOUND,
                   "config \"%.*s\": no stored config, virtual key or provider has this name",
                   PK_FMT(shown));
}

bool pk_resolve_unknown(pk_str reference, struct pk_error *err)
{
    return fail_unknown(NULL, reference, err);
}

/* The text of what a bare name stands for; *slug and *version when it is a stored config. */
static bool look_up(struct entry *e, struct pk_store *s, pk_str name, pk_str *text,
                    struct pk_error *err)
{
    struct pk_config *config = &e->snapshot.config;
    const struct pk_provider *p;
    struct pk_virtual_key key;
    bool found;

    if (!pk_store_config_get(s, &e->arena, name, text, &config->version, err))
        return false;
    if (text->len) {
        config->slug = pk_copy(&e->arena, name);
        return true;
    }
    if (!pk_store_key_get(s, &e->arena, name, &key, &found, err))
        return false;
    if (!found && !pk_store_provider_find(s, &e->arena, name, &p, err))
        return false;
    if (!found && (!p || !has_key(p)))
        return fail_unknown(p, name, err);
    *text = one_member(&e->arena, found ? "virtual_key" : "provider", name);
    return true;
}

/* --- what routing goes by --------------------------------------------------------------- */

/* The slug, or for a config that is not stored # and a hash of it. */
static void name_circuits(struct entry *e)
{
    struct pk_config *config = &e->snapshot.config;
    uint8_t hash[PK_PAYLOAD_HASH_BYTES];
    struct pk_buf name = pk_buf_in(&e->arena, PK_SLUG_BYTES_MAX);

    config->circuit = config->slug;
    if (config->slug.len)
        return;
    pk_payload_hash(e->reference, hash);
    pk_buf_addc(&name, '#');
    for (int i = 0; i < 16; i++)
        pk_buf_addf(&name, "%02x", hash[i]);
    config->circuit = pk_buf_str(&name);
}

static struct known *find_known(struct pk_resolver *r, pk_str slug, int64_t now_us)
{
    for (int i = 0; i < KNOWN_MAX; i++) {
        struct known *k = &r->known[i];

        if (now_us < k->until_us && k->until_us <= now_us + figures_us &&
            pk_str_eq((pk_str){k->slug, k->len}, slug))
            return k;
    }
    return NULL;
}

/* What the log says of a config's targets, read at most every figures_us: also for configs that are made
 * anew for each call. */
static struct known *know(struct pk_resolver *r, struct pk_store *s, pk_str slug, int64_t now_us,
                          struct pk_error *err)
{
    if (!r->known) {
        r->known = r->from.alloc(r->from.ctx, KNOWN_MAX * sizeof *r->known);
        if (!r->known) {
            (void)pk_fail(err, PK_NO_MEMORY, "figures: out of memory");
            return NULL;
        }
        memset(r->known, 0, KNOWN_MAX * sizeof *r->known);
    }
    struct known *k = find_known(r, slug, now_us);
    if (k)
        return k;
    k = &r->known[r->known_next];
    k->until_us = 0;
    if (!pk_store_figures_load(s, slug, now_us, &k->figures, err))
        return NULL;
    r->known_next = (r->known_next + 1) % KNOWN_MAX;
    memcpy(k->slug, slug.at ? slug.at : "", slug.len);
    k->len = slug.len;
    k->until_us = now_us + figures_us;
    return k;
}

static bool copy_figures(struct pk_resolver *r, struct pk_store *s, struct entry *e, int64_t now_us,
                         struct pk_error *err)
{
    struct pk_figures *copy = pk_alloc(&e->arena, sizeof *copy);
    const struct known *k = copy ? know(r, s, e->snapshot.config.slug, now_us, err) : NULL;

    if (!copy)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    if (!k)
        return false;
    *copy = k->figures;
    e->snapshot.config.figures = copy;
    if (k->until_us < e->renew_us)
        e->renew_us = k->until_us;
    return true;
}

static bool look_around(struct pk_resolver *r, struct pk_store *s, struct entry *e, int64_t now_us,
                        struct pk_error *err)
{
    struct pk_config *config = &e->snapshot.config;

    if (pk_config_has_breaker(config)) {
        name_circuits(e);
        if (!pk_store_circuits_load(s, config, now_us, &e->renew_us, err))
            return false;
    }
    return !pk_config_needs_figures(config) || copy_figures(r, s, e, now_us, err);
}

static bool fill(struct entry *e, struct pk_store *s, int64_t now_us, struct pk_error *err)
{
    struct pk_config *config = &e->snapshot.config;
    pk_str text = e->reference;

    if (!is_inline(text) && !look_up(e, s, text, &text, err))
        return false;
    pk_str slug = config->slug; /* parsing starts from nothing */
    int64_t version = config->version;
    if (e->arena.failed)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    if (!pk_config_parse(&e->arena, text, config, err) ||
        !pk_config_embed(&e->arena, e->embedder, config, err) ||
        !pk_store_config_bind(s, &e->arena, config, now_us, &e->until_us, err))
        return false;
    config->slug = slug;
    config->version = version;
    return pk_config_ready(config, err);
}

/* --- keeping --------------------------------------------------------------------------- */

static bool is_priced(const struct moment *m, pk_str provider)
{
    for (int i = 0; i < m->priced_count; i++)
        if (pk_str_eq(m->priced[i], provider))
            return true;
    return m->all_priced;
}

/* No name: of all. */
static bool load_prices(struct moment *m, struct pk_store *s, pk_str provider, struct pk_error *err)
{
    if (is_priced(m, provider))
        return true;
    if (m->priced_count == PRICED_MAX)
        provider = PK_NONE;
    if (!pk_store_prices_load(s, &m->arena, provider, &m->facts.prices, err))
        return false;
    if (provider.len)
        m->priced[m->priced_count++] = pk_copy(&m->arena, provider);
    else
        m->all_priced = true;
    return !m->arena.failed || pk_fail(err, PK_NO_MEMORY, "prices: out of memory");
}

/* Of whoever a call of the config may pay. */
static bool load_prices_of(struct moment *m, struct pk_store *s, const struct pk_config *config,
                           struct pk_error *err)
{
    for (int i = 0; i < config->target_count; i++)
        if (!load_prices(m, s, pk_str_of(config->targets[i].provider->name), err))
            return false;
    for (int i = 0; i < config->embedder_count; i++)
        if (!load_prices(m, s, pk_str_of(config->embedders[i].target.provider->name), err))
            return false;
    return true;
}

/* One trip to another machine costs more than all prices. */
static bool load_facts(struct pk_resolver *r, struct pk_store *s, struct pk_error *err)
{
    if (r->moment && r->moment->facts.epoch == r->epoch && !r->moment->arena.failed)
        return true;
    struct moment *m = r->from.alloc(r->from.ctx, sizeof *m);
    if (!m)
        return pk_fail(err, PK_NO_MEMORY, "prices: out of memory");
    *m = (struct moment){.holds = 1, .facts.epoch = r->epoch};
    pk_arena_init(&m->arena, r->from, ENTRY_BYTES_MAX);
    if (!pk_store_limits_load(s, &m->arena, &m->facts.limits, err) ||
        (s->remote && !load_prices(m, s, PK_NONE, err))) {
        drop_facts(r, m);
        return r->moment && err->code == PK_STORE_DOWN;
    }
    drop_facts(r, r->moment);
    r->moment = m;
    return true;
}

static struct entry *make(struct pk_resolver *r, struct pk_store *s, pk_str reference,
                          int64_t now_us, struct pk_error *err)
{
    struct entry *e = r->from.alloc(r->from.ctx, sizeof *e);

    if (!e) {
        pk_fail(err, PK_NO_MEMORY, "config: out of memory");
        return NULL;
    }
    memset(e, 0, sizeof *e);
    e->holds = 1;
    e->epoch = r->epoch;
    e->renew_us = INT64_MAX;
    pk_arena_init(&e->arena, r->from, ENTRY_BYTES_MAX);
    e->arena.wipe = is_inline(reference); /* it may hold a key */
    e->reference = pk_copy(&e->arena, reference);
    e->embedder = default_embedder(r);
    if (!fill(e, s, now_us, err) || !look_around(r, s, e, now_us, err) || !load_facts(r, s, err) ||
        !load_prices_of(r->moment, s, &e->snapshot.config, err)) {
        drop_entry(r, e);
        return NULL;
    }
    e->moment = r->moment;
    e->moment->holds++;
    e->snapshot.facts = &e->moment->facts;
    return e;
}

static int oldest(const struct pk_resolver *r)
{
    int found = 0;

    for (int i = 1; i < r->count; i++)
        if (r->kept[i]->used < r->kept[found]->used)
            found = i;
    return found;
}

static void keep(struct pk_resolver *r, struct entry *e)
{
    pk_str path;

    e->literal = pk_config_has_literal_key(&e->snapshot.config, &path);
    if (e->reference.len > KEY_BYTES_MAX || (e->literal && r->count == KEPT_MAX))
        return;
    if (r->count == KEPT_MAX)
        forget(r, oldest(r));
    r->kept[r->count++] = e;
    e->holds++;
}

/* Where the entry is, or -1. */
static int find(struct pk_resolver *r, pk_str reference, int64_t now_us)
{
    for (int i = 0; i < r->count; i++) {
        if (!pk_str_eq(r->kept[i]->reference, reference))
            continue;
        if (now_us < r->kept[i]->until_us)
            return i;
        forget(r, i); /* a key of it has expired: making it anew says so */
        return -1;
    }
    return -1;
}

/* Whether the store said which epoch it is. */
static bool follow_epoch(struct pk_resolver *r, struct pk_store *s, struct pk_error *err)
{
    int64_t epoch;

    if (!pk_store_epoch(s, &epoch, err))
        return false;
    r->epoch = epoch;
    return true;
}

/* The entry made anew, or the one at `at` when the store does not answer. */
static struct entry *renew(struct pk_resolver *r, struct pk_store *s, int at, pk_str reference,
                           int64_t now_us, struct pk_error *err)
{
    struct entry *e = make(r, s, reference, now_us, err);

    if (!e && at >= 0 && err->code == PK_STORE_DOWN) {
        r->kept[at]->holds++;
        return r->kept[at];
    }
    if (at >= 0)
        forget(r, at);
    if (e)
        keep(r, e);
    return e;
}

const struct pk_snapshot *pk_resolve(struct pk_resolver *r, struct pk_store *s, pk_str reference,
                                     int64_t now_us, struct pk_error *err)
{
    if (pk_str_trim(reference).len == 0) {
        pk_fail(err, PK_BAD_REQUEST, "config: must not be empty");
        return NULL;
    }
    bool told = follow_epoch(r, s, err);
    int at = find(r, reference, now_us);
    struct entry *e = at < 0 ? NULL : r->kept[at];
    if (e && (!told || (e->epoch == r->epoch && now_us < e->renew_us)))
        e->holds++;
    else
        e = renew(r, s, at, reference, now_us, err);
    if (!e)
        return NULL;
    e->used = ++r->clock;
    return &e->snapshot;
}

void pk_snapshot_release(struct pk_resolver *r, const struct pk_snapshot *snapshot)
{
    struct entry *e = (struct entry *)(uintptr_t)snapshot;

    if (!e)
        return;
    if (e->literal && e->holds == 2) /* the other one may be the resolver's */
        forget_literal(r, e);
    drop_entry(r, e);
}

void pk_snapshot_hold(struct pk_resolver *r, const struct pk_snapshot **place,
                      const struct pk_snapshot *snapshot)
{
    if (*place == snapshot)
        return;
    if (snapshot)
        ((struct entry *)(uintptr_t)snapshot)->holds++;
    pk_snapshot_release(r, *place);
    *place = snapshot;
}

const struct pk_prices *pk_resolver_prices(struct pk_resolver *r, struct pk_store *s,
                                           struct pk_error *err)
{
    if (!(follow_epoch(r, s, err) || r->moment) || !load_facts(r, s, err) ||
        !load_prices(r->moment, s, PK_NONE, err))
        return NULL;
    return &r->moment->facts.prices;
}
