/* store_guard.c - see store_guard.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_guard.h"

#include "store_place.h"

#include "store_audit.h"
#include "store_users.h"
#include "store_value.h"

struct guardrail_row {
    struct pk_arena *arena;
    pk_str body, owner;
};

static bool read_guardrail(void *ctx, const struct pk_value *columns, int count)
{
    struct guardrail_row *row = ctx;

    PK_ASSERT(count == 2);
    row->body = pk_copy(row->arena, columns[0].s);
    row->owner = pk_copy(row->arena, columns[1].s);
    return false;
}

static bool get(struct pk_store *s, pk_str slug, struct guardrail_row *row, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};

    return s->ops->exec(s, PK_SQL_guardrail_get, args, PK_COUNT(args), read_guardrail, row, err) &&
           (!row->arena->failed || pk_fail(err, PK_NO_MEMORY, "guardrail: out of memory"));
}

bool pk_store_guardrail_get(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str *body,
                            struct pk_error *err)
{
    struct guardrail_row row = {.arena = arena};

    if (!get(s, slug, &row, err))
        return false;
    *body = row.body;
    return true;
}

/* --- putting ------------------------------------------------------------------------------------ */

/* Gives the version that is no longer in force; 0: there was none. */
static bool retire(struct pk_store *s, pk_str slug, int64_t *version, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};

    *version = 0;
    return s->ops->exec(s, PK_SQL_guardrail_retire, args, PK_COUNT(args), pk_row_int, version, err);
}

/* What the checks of a guardrail need: keys that are there, predicates that can be run. */
static bool bind_checks(struct pk_store_binding *b, struct pk_guardrail *g, bool try_predicates,
                        struct pk_error *err)
{
    for (int i = 0; i < g->check_count; i++) {
        const struct pk_check *check = &g->checks[i];
        const struct pk_guard_query q = {.sql = pk_check_predicate(check), .owner = g->owner};

        if (check->target && !pk_store_target_bind(b, check->target, err))
            return false;
        if (check->target && !pk_store_place(b->arena, check->target, err))
            return false;
        if (try_predicates && q.sql.len && !b->store->ops->predicate(b->store, &q, NULL, err))
            return false;
    }
    return true;
}

static bool check_body(struct pk_store_binding *b, pk_str body, pk_str owner, struct pk_error *err)
{
    struct pk_guardrail g = {.owner = owner};

    return pk_guardrail_check(b->arena, body, &g, err) && bind_checks(b, &g, true, err);
}

bool pk_store_guardrail_put(struct pk_store *s, struct pk_arena *arena,
                            const struct pk_guardrail_draft *d, int64_t *version,
                            struct pk_error *err)
{
    struct pk_store_binding b = {s, arena, d->at_us, INT64_MAX};
    const struct pk_value args[] = {pk_v_required(d->slug), pk_v_int(d->at_us),
                                    pk_v_required(d->body), pk_v_text(d->owner)};
    int64_t before;

    *version = 0;
    if (!pk_slug_check(d->slug, err) || !check_body(&b, d->body, d->owner, err) ||
        !s->ops->begin(s, err))
        return false;
    bool ok = retire(s, d->slug, &before, err) &&
              s->ops->exec(s, PK_SQL_guardrail_put, args, PK_COUNT(args), pk_row_int, version, err);
    const struct pk_change change = {d->at_us, "guardrail_put", d->slug,
                                     pk_copyf(arena, "{\"version\":%lld}", (long long)*version)};
    return pk_store_change_end(s, ok, &change, err);
}

bool pk_store_guardrail_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                               struct pk_error *err)
{
    int64_t version;

    *existed = false;
    if (!pk_slug_check(slug, err) || !s->ops->begin(s, err))
        return false;
    bool ok = pk_store_unused(s, PK_USED_GUARDRAIL, slug, err) && retire(s, slug, &version, err);
    *existed = ok && version > 0;
    const struct pk_change change = {now_us, "guardrail_delete", slug, PK_NONE};
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}

/* --- binding ------------------------------------------------------------------------------------- */

static bool fill(struct pk_store_binding *b, struct pk_guardrail *g, struct pk_error *err)
{
    struct guardrail_row row = {.arena = b->arena};

    if (!get(b->store, g->slug, &row, err))
        return false;
    if (row.body.len == 0)
        return pk_fail(err, PK_BAD_CONFIG, "%.*s: there is no guardrail called \"%.*s\"",
                       PK_FMT(g->path), PK_FMT(g->slug));
    g->owner = row.owner;
    return pk_guardrail_parse(b->arena, row.body, g, err);
}

bool pk_store_guards_bind(struct pk_store_binding *b, struct pk_guards *guards,
                          struct pk_error *err)
{
    for (int i = 0; i < guards->count; i++) {
        struct pk_guardrail *g = &guards->list[i];

        if ((!g->bound && !fill(b, g, err)) || !bind_checks(b, g, false, err))
            return false;
    }
    pk_guards_settle(guards);
    return true;
}

struct pk_event pk_store_row(struct pk_store *s, const struct pk_guard_query *q)
{
    struct pk_event ev = {.kind = PK_EV_ROW};

    if (!s->ops->predicate(s, q, &ev.truth, &ev.error))
        ev.kind = PK_EV_FAIL;
    return ev;
}
