/* store_provider.c - see store_provider.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A provider says where requests go and how; the key that goes along is a virtual key, which is bound to the
 * host that the provider had when the key was put.
 */
#include "store_provider.h"

#include "store_audit.h"
#include "store_value.h"

struct body {
    struct pk_arena *arena;
    pk_str text;
};

static bool read_body(void *ctx, const struct pk_value *columns, int count)
{
    struct body *b = ctx;

    PK_ASSERT(count == 1);
    b->text = pk_copy(b->arena, columns[0].s);
    return false;
}

bool pk_store_provider_get(struct pk_store *s, struct pk_arena *arena, pk_str name,
                           const struct pk_provider **p, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name)};
    struct body b = {.arena = arena};
    struct pk_error why = {0};

    *p = NULL;
    if (!s->ops->exec(s, PK_SQL_provider_get, args, PK_COUNT(args), read_body, &b, err))
        return false;
    if (b.text.len == 0)
        return !arena->failed || pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
    struct pk_provider *made = pk_alloc(arena, sizeof *made);
    if (!made)
        return pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
    if (!pk_provider_read(arena, name, b.text, made, &why))
        return pk_fail(err, arena->failed ? PK_NO_MEMORY : PK_STORE,
                       "provider \"%.*s\": is of a newer version", PK_FMT(name));
    *p = made;
    return true;
}

bool pk_store_provider_find(struct pk_store *s, struct pk_arena *arena, pk_str name,
                            const struct pk_provider **p, struct pk_error *err)
{
    *p = pk_provider_find(name);
    if (pk_str_starts(name, "@"))
        name = pk_str_sub(name, 1, name.len);
    return *p || pk_store_provider_get(s, arena, name, p, err);
}

bool pk_store_provider_put(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str options,
                           int64_t now_us, struct pk_error *err)
{
    struct pk_buf body = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    struct pk_provider p;

    if (!pk_slug_check(name, err))
        return false;
    if (pk_provider_find(name))
        return pk_fail(err, PK_BAD_REQUEST, "name: \"%.*s\" is one of pk's own providers",
                       PK_FMT(name));
    if (!pk_provider_read(arena, name, options, &p, err))
        return false;
    pk_provider_print(&body, &p);
    if (body.failed)
        return pk_fail(err, PK_NO_MEMORY, "options: out of memory");
    if (!s->ops->begin(s, err))
        return false;
    const struct pk_value args[] = {pk_v_text(name), pk_v_text(pk_buf_str(&body)),
                                    pk_v_int(now_us)};
    bool ok = s->ops->exec(s, PK_SQL_provider_put, args, PK_COUNT(args), NULL, NULL, err);
    const struct pk_change change = {now_us, "provider_put", name, pk_buf_str(&body)};
    return pk_store_change_end(s, ok, &change, err);
}

/* --- deleting ------------------------------------------------------------------------------- */

/* Looks for a user of the provider among rows of slug and body. */
struct search {
    pk_str provider;
    bool guardrails; /* else configs */
    struct pk_arena *arena;
    pk_str found; /* the slug of one */
};

static bool uses(const struct pk_target *t, pk_str provider)
{
    return pk_str_eq(t->provider_name, provider) ||
           (t->by_slug && pk_str_eq(t->virtual_key, provider));
}

static bool guardrail_uses(struct search *x, pk_str body)
{
    struct pk_guardrail g = {0};
    struct pk_error unused;
    bool found = false;

    if (!pk_guardrail_check(x->arena, body, &g, &unused))
        return false;
    for (int i = 0; i < g.check_count; i++)
        found = found || (g.checks[i].target && uses(g.checks[i].target, x->provider));
    return found;
}

static bool config_uses(struct search *x, pk_str body)
{
    struct pk_config *c = pk_alloc(x->arena, sizeof *c);
    struct pk_error unused;
    bool found = false;

    if (!c || !pk_config_parse(x->arena, body, c, &unused))
        return false;
    for (int i = 0; i < c->target_count; i++)
        found = found || uses(&c->targets[i], x->provider);
    for (int i = 0; i < c->embedder_count; i++)
        found = found || uses(&c->embedders[i].target, x->provider);
    return found;
}

static bool look_at(void *ctx, const struct pk_value *columns, int count)
{
    struct search *x = ctx;

    PK_ASSERT(count == 2);
    if (x->guardrails ? guardrail_uses(x, columns[1].s) : config_uses(x, columns[1].s))
        x->found = pk_copy(x->arena, columns[0].s);
    return x->found.len == 0 && !x->arena->failed;
}

static bool take_slug(void *ctx, const struct pk_value *columns, int count)
{
    struct search *x = ctx;

    (void)count;
    x->found = pk_copy(x->arena, columns[0].s);
    return false;
}

/* PK_IN_USE when something that calls may name uses the provider. */
static bool check_unused(struct pk_store *s, struct pk_arena *arena, pk_str name,
                         struct pk_error *err)
{
    static const struct {
        const char *what;
        enum pk_stmt stmt;
        bool by_name, guardrails;
    } users[] = {
        {"virtual key", PK_SQL_provider_keys, true, false},
        {"config", PK_SQL_config_bodies, false, false},
        {"guardrail", PK_SQL_guardrail_bodies, false, true},
    };

    for (size_t i = 0; i < PK_COUNT(users); i++) {
        const struct pk_value args[] = {pk_v_text(name)};
        struct search x = {.provider = name, .guardrails = users[i].guardrails, .arena = arena};

        if (!s->ops->exec(s, users[i].stmt, args, users[i].by_name,
                          users[i].by_name ? take_slug : look_at, &x, err))
            return false;
        if (arena->failed)
            return pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
        if (x.found.len)
            return pk_fail(err, PK_IN_USE, "provider \"%.*s\": the %s \"%.*s\" uses it",
                           PK_FMT(name), users[i].what, PK_FMT(x.found));
    }
    return true;
}

static bool mark(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    *(bool *)ctx = true;
    return true;
}

bool pk_store_provider_delete(struct pk_store *s, struct pk_arena *arena, pk_str name,
                              int64_t now_us, bool *existed, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name)};

    *existed = false;
    if (!pk_slug_check(name, err))
        return false;
    if (pk_provider_find(name))
        return pk_fail(err, PK_BAD_REQUEST, "name: \"%.*s\" is one of pk's own providers",
                       PK_FMT(name));
    if (!s->ops->begin(s, err))
        return false;
    bool ok = check_unused(s, arena, name, err) &&
              s->ops->exec(s, PK_SQL_provider_delete, args, PK_COUNT(args), mark, existed, err);
    const struct pk_change change = {now_us, "provider_delete", name, PK_NONE};
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}
