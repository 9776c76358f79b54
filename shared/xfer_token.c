/* xfer_token.c - short-lived credentials: fetched once for all who wait, kept until shortly before they end.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   nobody has it --start--> on its way, others wait with the first --answer--> here, all go on --time--> gone
 *                                         \--refused, broken--> all fail, gone
 *
 * A token is known by a hash of the credential and of what it is for. There is a fetch exactly as long as somebody
 * waits for it, so that whoever gives up, at a deadline or because of a cancelled statement, leaves nothing behind.
 */
#include "http.h"
#include "xfer_inner.h"

#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 64, EARLY_MS_MAX = 300 * 1000 };

struct pk_token {
    struct pk_token *next;
    uint8_t id[PK_TOKEN_ID_BYTES];
    struct pk_arena arena; /* in the vault: what is asked, then what was given */
    struct pk_token_ask ask;
    struct pk_token_answer given;
    pk_str region; /* that a temporary key signs for */
    int64_t until_ms;
    char name[PK_SLUG_BYTES_MAX + 1]; /* of the provider that it is for */
    struct pk_target issuer;
    struct pk_exchange ex;
    struct pk_transfer *fetch;   /* NULL: the token is here */
    struct pk_transfer *waiting; /* by wait_next */
};

/* Whoever gives tokens. It has no row of its own: `own_url` of the target says where it is. */
static const struct pk_provider issuer = {.name = "the token's issuer",
                                          .base_url = "",
                                          .key_header = "",
                                          .key_env = "",
                                          .rejects = "",
                                          .renames = "",
                                          .headers = "",
                                          .own = true};

static void destroy(struct pk_token *k)
{
    PK_ASSERT(!k->waiting && !k->fetch);
    pk_arena_free(&k->arena);
    free(k);
}

static void drop(struct pk_xfer *x, struct pk_token *k)
{
    struct pk_token **link = &x->tokens;

    while (*link != k)
        link = &(*link)->next;
    *link = k->next;
    destroy(k);
}

static struct pk_token *find(struct pk_xfer *x, const uint8_t *id)
{
    for (struct pk_token **link = &x->tokens; *link; link = &(*link)->next) {
        struct pk_token *k = *link;

        if (memcmp(k->id, id, sizeof k->id) != 0)
            continue;
        *link = k->next;
        k->next = x->tokens;
        x->tokens = k;
        return k;
    }
    return NULL;
}

/* Forgets the one that was used the longest ago, when there are many. */
static void make_room(struct pk_xfer *x)
{
    struct pk_token *last = NULL;
    int count = 0;

    for (struct pk_token *k = x->tokens; k; k = k->next) {
        count++;
        last = k->fetch ? last : k;
    }
    if (count >= TOKENS_MAX && last)
        drop(x, last);
}

/* The text of a temporary key's parts, copied so that no other trace of the answer is needed. */
static void keep_given(struct pk_xfer *x, struct pk_token *k, const struct pk_token_answer *a)
{
    struct pk_arena kept;

    pk_arena_init(&kept, pk_vault_allocator(&x->vault), PK_TOKEN_ANSWER_BYTES_MAX);
    k->given = (struct pk_token_answer){
        .token = pk_copy(&kept, a->token),
        .key = {pk_copy(&kept, a->key.id), pk_copy(&kept, a->key.secret),
                pk_copy(&kept, a->key.session)},
        .lives_s = a->lives_s,
    };
    k->region = pk_copy(&kept, k->region);
    k->ask = (struct pk_token_ask){.aws = k->ask.aws};
    pk_arena_free(&k->arena);
    k->arena = kept;
}

static struct pk_grant grant_of(const struct pk_token *k)
{
    if (k->ask.aws)
        return (struct pk_grant){
            .aws = k->given.key, .region = k->region, .service = pk_str_of(k->name)};
    return (struct pk_grant){.header = PK_STR("authorization: Bearer "), .secret = k->given.token};
}

static void note_use(struct pk_transfer *t, const struct pk_token *k)
{
    memcpy(t->token_id, k->id, sizeof k->id);
    t->by_token = true;
}

static void wait_for(struct pk_token *k, struct pk_transfer *t, const struct pk_exchange *ex)
{
    t->waits = ex;
    t->token = k;
    t->wait_next = k->waiting;
    k->waiting = t;
}

bool pk_token_use(struct pk_transfer *t, const struct pk_exchange *ex,
                  const uint8_t id[PK_TOKEN_ID_BYTES], struct pk_grant *g)
{
    struct pk_token *k = find(t->x, id);

    if (k && !k->fetch && pk_clock_ms() >= k->until_ms) {
        drop(t->x, k);
        k = NULL;
    }
    if (!k)
        return false;
    if (k->fetch) {
        wait_for(k, t, ex);
    } else {
        note_use(t, k);
        *g = grant_of(k);
    }
    return true;
}

static bool begin(struct pk_xfer *x, struct pk_token *k, struct pk_error *err)
{
    const struct pk_grant g = {.secret = k->ask.hide,
                               .aws = k->ask.key,
                               .region = k->ask.region,
                               .service = PK_STR("sts")};

    k->issuer = (struct pk_target){.provider = &issuer, .own_url = k->ask.host};
    k->ex = (struct pk_exchange){
        .method = k->ask.get ? PK_GET : PK_POST,
        .url = k->ask.url,
        .headers = pk_copyf(&k->arena, "%.*saccept: %s\n", PK_FMT(k->ask.headers),
                            k->ask.aws ? "text/xml" : "application/json"),
        .body = k->ask.body,
        .target = &k->issuer,
    };
    if (k->arena.failed)
        return pk_fail(err, PK_NO_MEMORY, "token: out of memory");
    k->fetch = pk_transfer_fetch(x, &k->ex, &g, err);
    return k->fetch != NULL;
}

/* Parts of the ask may be in the opened key, which is wiped soon, or in a config. */
static void keep_ask(struct pk_token *k, const struct pk_token_ask *ask)
{
    struct pk_arena *a = &k->arena;

    k->ask = (struct pk_token_ask){
        .get = ask->get,
        .aws = ask->aws,
        .url = pk_copy(a, ask->url),
        .headers = pk_copy(a, ask->headers),
        .body = pk_copy(a, ask->body),
        .hide = pk_copy(a, ask->hide),
        .host = pk_copy(a, ask->host),
        .key = {pk_copy(a, ask->key.id), pk_copy(a, ask->key.secret), pk_copy(a, ask->key.session)},
        .region = pk_copy(a, ask->region),
    };
    k->region = k->ask.region;
}

bool pk_token_start(struct pk_transfer *t, const struct pk_exchange *ex,
                    const uint8_t id[PK_TOKEN_ID_BYTES], struct pk_arena *arena,
                    const struct pk_token_ask *ask, struct pk_error *err)
{
    struct pk_xfer *x = t->x;
    struct pk_token *k = calloc(1, sizeof *k);

    if (!k)
        return pk_fail(err, PK_NO_MEMORY, "token: out of memory");
    make_room(x);
    memcpy(k->id, id, sizeof k->id);
    pk_str name = pk_str_sub(pk_str_of(ex->target->provider->name), 0, PK_SLUG_BYTES_MAX);
    memcpy(k->name, name.at, name.len);
    k->arena = *arena; /* where everything in *ask is */
    pk_arena_init(arena, k->arena.from, k->arena.limit);
    keep_ask(k, ask);
    if (!begin(x, k, err)) {
        destroy(k);
        return false;
    }
    k->next = x->tokens;
    x->tokens = k;
    wait_for(k, t, ex);
    return true;
}

/* --- the answer ------------------------------------------------------------------------------------ */

static bool read_answer(struct pk_xfer *x, struct pk_token *k, struct pk_error *err)
{
    const struct pk_transfer *f = k->fetch;
    struct pk_token_answer a;

    if (f->error.code != PK_OK) {
        *err = f->error;
        return false;
    }
    if (!pk_token_read(&k->arena, k->ask.aws, f->status, (pk_str){f->fill.at, f->fill.len},
                       pk_clock_us(), &a, err))
        return false;
    if (a.token.len > PK_TOKEN_BYTES_MAX || !pk_http_valid_value(a.token) ||
        !pk_http_valid_value(a.key.session) || !pk_http_valid_value(a.key.id))
        return pk_fail(err, PK_BAD_ANSWER,
                       "no token: its issuer's answer has none that can be sent");
    int64_t lives_ms = a.lives_s * 1000, early_ms = lives_ms / 4;
    k->until_ms = pk_clock_ms() + lives_ms - (early_ms < EARLY_MS_MAX ? early_ms : EARLY_MS_MAX);
    keep_given(x, k, &a);
    return !k->arena.failed || pk_fail(err, PK_NO_MEMORY, "token: out of memory");
}

static void name_provider(const struct pk_token *k, struct pk_error *err)
{
    char why[sizeof err->msg];
    bool retryable = err->retryable;

    memcpy(why, err->msg, sizeof why);
    (void)pk_fail(err, err->code, "%s: %.200s", k->name, why);
    err->retryable = retryable;
}

static void hand_over(struct pk_xfer *x, struct pk_token *k)
{
    struct pk_error err = {0};
    bool ok = read_answer(x, k, &err);
    struct pk_grant g = {0};
    struct pk_transfer *fetch = k->fetch;

    if (ok)
        g = grant_of(k);
    else
        name_provider(k, &err);
    pk_secret_wipe(fetch->fill.at, fetch->fill.cap);
    k->fetch = NULL;
    pk_transfer_free(fetch);
    while (k->waiting) {
        struct pk_transfer *t = k->waiting;

        k->waiting = t->wait_next;
        t->token = NULL;
        if (ok)
            note_use(t, k);
        pk_transfer_go_on(t, &g, ok ? NULL : &err);
    }
    if (!ok)
        drop(x, k);
}

void pk_tokens_pump(struct pk_xfer *x)
{
    for (struct pk_token *k = x->tokens, *next; k; k = next) {
        next = k->next;
        if (k->fetch && k->fetch->ended)
            hand_over(x, k);
    }
}

/* --- giving up ------------------------------------------------------------------------------------- */

void pk_token_leave(struct pk_transfer *t)
{
    struct pk_token *k = t->token;
    struct pk_transfer **link = &k->waiting;

    while (*link != t)
        link = &(*link)->wait_next;
    *link = t->wait_next;
    t->waits = NULL;
    t->token = NULL;
    if (k->waiting)
        return;
    struct pk_transfer *fetch = k->fetch;
    k->fetch = NULL;
    pk_transfer_free(fetch);
    drop(t->x, k);
}

void pk_token_refused(const struct pk_transfer *t)
{
    for (struct pk_token *k = t->x->tokens; k; k = k->next)
        if (!k->fetch && memcmp(k->id, t->token_id, sizeof k->id) == 0 &&
            t->status == (k->ask.aws ? 403 : 401))
            k->until_ms = 0;
}

void pk_tokens_free(struct pk_xfer *x)
{
    while (x->tokens)
        drop(x, x->tokens);
}
