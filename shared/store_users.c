/* store_users.c - see store_users.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_users.h"

#include "config.h"
#include "guard.h"
#include "store_value.h"

static const char *const nouns[] = {
    [PK_USED_CONFIG] = "config",
    [PK_USED_GUARDRAIL] = "guardrail",
    [PK_USED_VIRTUAL_KEY] = "virtual key",
};

struct search {
    struct pk_arena *arena; /* of the names */
    enum pk_used what;
    pk_str slug;
    struct pk_users *users;
};

static void add(struct search *find, const char *kind, pk_str name)
{
    struct pk_users *u = find->users;

    if (u->count < PK_USERS_NAMED_MAX)
        u->names[u->count] = pk_copyf(find->arena, "%s%.*s", kind, PK_FMT(name));
    u->count++;
}

/* --- configs ------------------------------------------------------------------------------- */

static bool names_key(const struct pk_config *c, pk_str slug)
{
    for (int i = 0; i < c->target_count; i++)
        if (pk_str_eq(c->targets[i].virtual_key, slug))
            return true;
    for (int i = 0; i < c->embedder_count; i++)
        if (pk_str_eq(c->embedders[i].target.virtual_key, slug))
            return true;
    return false;
}

static bool names_guardrail(const struct pk_config *c, pk_str slug)
{
    for (const struct pk_guards *g = c->guards; g; g = g->next)
        for (int i = 0; i < g->count; i++)
            if (pk_str_eq(g->list[i].slug, slug))
                return true;
    return false;
}

/* One that cannot be read, of a newer version maybe, is not used by this one. */
static bool look(void *ctx, const struct pk_value *v, int count)
{
    struct search *find = ctx;
    struct pk_error unused;
    struct pk_arena scratch;

    PK_ASSERT(count == 2);
    pk_arena_init(&scratch, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    struct pk_config *c = pk_alloc(&scratch, sizeof *c);

    if (c && pk_config_parse(&scratch, v[1].s, c, &unused) &&
        (find->what == PK_USED_GUARDRAIL ? names_guardrail : names_key)(c, find->slug))
        add(find, "config ", v[0].s);
    pk_arena_free(&scratch);
    return true;
}

/* The key of what a check asks. */
static bool look_at_checks(void *ctx, const struct pk_value *v, int count)
{
    struct search *find = ctx;
    struct pk_guardrail g = {0};
    struct pk_error unused;
    struct pk_arena scratch;
    bool found = false;

    PK_ASSERT(count == 2);
    pk_arena_init(&scratch, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    if (pk_guardrail_check(&scratch, v[1].s, &g, &unused))
        for (int i = 0; i < g.check_count; i++)
            found = found ||
                    (g.checks[i].target && pk_str_eq(g.checks[i].target->virtual_key, find->slug));
    if (found)
        add(find, "guardrail ", v[0].s);
    pk_arena_free(&scratch);
    return true;
}

/* --- all of them --------------------------------------------------------------------------- */

static bool take(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 1);
    add(ctx, "", v[0].s);
    return true;
}

bool pk_store_users(struct pk_store *s, struct pk_arena *arena, enum pk_used what, pk_str slug,
                    struct pk_users *users, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};
    struct search find = {arena, what, slug, users};

    users->count = 0;
    if (what != PK_USED_CONFIG &&
        !s->ops->exec(s, PK_SQL_config_mentions, args, PK_COUNT(args), look, &find, err))
        return false;
    if (what == PK_USED_VIRTUAL_KEY &&
        !s->ops->exec(s, PK_SQL_guardrail_bodies, NULL, 0, look_at_checks, &find, err))
        return false;
    if (what != PK_USED_GUARDRAIL &&
        !s->ops->exec(s, what == PK_USED_CONFIG ? PK_SQL_config_users : PK_SQL_key_users, args,
                      PK_COUNT(args), take, &find, err))
        return false;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "%s: out of memory", nouns[what]);
}

static void list(struct pk_buf *out, const struct pk_users *users)
{
    int shown = users->count < PK_USERS_NAMED_MAX ? users->count : PK_USERS_NAMED_MAX;

    for (int i = 0; i < shown; i++)
        pk_buf_addf(out, "%s%.*s", i ? ", " : "", PK_FMT(users->names[i]));
    if (users->count > shown)
        pk_buf_addf(out, " and %d more", users->count - shown);
}

bool pk_store_unused(struct pk_store *s, enum pk_used what, pk_str slug, struct pk_error *err)
{
    struct pk_arena arena;
    struct pk_users users;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool ok = pk_store_users(s, &arena, what, slug, &users, err);
    if (ok && users.count > 0) {
        struct pk_buf names = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);

        list(&names, &users);
        ok = pk_fail(err, PK_IN_USE, "%s \"%.*s\": is named by %.*s", nouns[what], PK_FMT(slug),
                     PK_FMT(pk_buf_str(&names)));
    }
    pk_arena_free(&arena);
    return ok;
}
