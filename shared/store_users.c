/* store_users.c - see store_users.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_users.h"

#include "config.h"
#include "guard.h"
#include "member.h"
#include "prompt.h"
#include "store_value.h"

static const char *const nouns[] = {
    [PK_USED_CONFIG] = "config",           [PK_USED_GUARDRAIL] = "guardrail",
    [PK_USED_VIRTUAL_KEY] = "virtual key", [PK_USED_PROMPT] = "prompt",
    [PK_USED_PROVIDER] = "provider",
};

struct step;

struct search {
    struct pk_arena *arena; /* of the names */
    enum pk_used what;
    pk_str slug;
    const struct step *step;
    struct pk_users *users;
};

/* --- what a body names ----------------------------------------------------------------------- */

static bool target_names(const struct pk_target *t, const struct search *find)
{
    if (find->what == PK_USED_PROVIDER && pk_str_eq(t->provider_name, find->slug))
        return true;
    return (find->what == PK_USED_VIRTUAL_KEY || t->by_slug) &&
           pk_str_eq(t->virtual_key, find->slug);
}

static bool guards_name(const struct pk_guards *guards, pk_str slug)
{
    for (const struct pk_guards *g = guards; g; g = g->next)
        for (int i = 0; i < g->count; i++)
            if (pk_str_eq(g->list[i].slug, slug))
                return true;
    return false;
}

/* A body that cannot be read, of a newer version maybe, is not used by this one; so below. */
static bool config_names(struct pk_arena *scratch, const struct search *find, pk_str body)
{
    struct pk_config *c = pk_alloc(scratch, sizeof *c);
    struct pk_error unused;

    if (!c || !pk_config_parse(scratch, body, c, &unused))
        return false;
    if (find->what == PK_USED_GUARDRAIL)
        return guards_name(c->guards, find->slug);
    for (int i = 0; i < c->target_count; i++)
        if (target_names(&c->targets[i], find))
            return true;
    for (int i = 0; i < c->embedder_count; i++)
        if (target_names(&c->embedders[i].target, find))
            return true;
    return false;
}

static bool guardrail_names(struct pk_arena *scratch, const struct search *find, pk_str body)
{
    struct pk_guardrail g = {0};
    struct pk_error unused;

    if (!pk_guardrail_check(scratch, body, &g, &unused))
        return false;
    for (int i = 0; i < g.check_count; i++)
        if (g.checks[i].target && target_names(g.checks[i].target, find))
            return true;
    return false;
}

/* Of a partial, with the version or label that the template may have behind it. */
static bool template_names(struct pk_arena *scratch, const struct search *find, pk_str body)
{
    struct pk_names names = {.count = 0};
    struct pk_prompt_ref ref;
    struct pk_error unused;

    if (!pk_prompt_partials(scratch, body, &names, &unused))
        return false;
    for (int i = 0; i < names.count; i++) {
        pk_str name = pk_copyf(scratch, "partial/%.*s", PK_FMT(names.list[i]));

        if (pk_prompt_ref_parse(name, &ref, &unused) && pk_str_eq(ref.slug, find->slug))
            return true;
    }
    return false;
}

/* --- all that may name it ---------------------------------------------------------------------- */

/* Rows of a name and a body, or of the names alone of those that do. */
struct step {
    enum pk_used what;
    enum pk_stmt rows;
    bool by_slug; /* whether the rows are asked for by the slug */
    const char *kind;
    bool (*names)(struct pk_arena *scratch, const struct search *find, pk_str body);
};

static const struct step steps[] = {
    {PK_USED_CONFIG, PK_SQL_config_users, true, "", NULL},
    {PK_USED_GUARDRAIL, PK_SQL_config_bodies, false, "config ", config_names},
    {PK_USED_GUARDRAIL, PK_SQL_prompt_configs, false, "prompt ", config_names},
    {PK_USED_VIRTUAL_KEY, PK_SQL_config_bodies, false, "config ", config_names},
    {PK_USED_VIRTUAL_KEY, PK_SQL_guardrail_bodies, false, "guardrail ", guardrail_names},
    {PK_USED_VIRTUAL_KEY, PK_SQL_prompt_configs, false, "prompt ", config_names},
    {PK_USED_VIRTUAL_KEY, PK_SQL_key_users, true, "", NULL},
    {PK_USED_PROMPT, PK_SQL_prompt_templates, true, "prompt ", template_names},
    {PK_USED_PROVIDER, PK_SQL_provider_keys, true, "virtual key ", NULL},
    {PK_USED_PROVIDER, PK_SQL_config_bodies, false, "config ", config_names},
    {PK_USED_PROVIDER, PK_SQL_guardrail_bodies, false, "guardrail ", guardrail_names},
    {PK_USED_PROVIDER, PK_SQL_prompt_configs, false, "prompt ", config_names},
};

static bool look(void *ctx, const struct pk_value *v, int count)
{
    struct search *find = ctx;
    struct pk_users *u = find->users;
    struct pk_arena scratch;

    PK_ASSERT(count == (find->step->names ? 2 : 1));
    pk_arena_init(&scratch, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool found = !find->step->names || find->step->names(&scratch, find, v[1].s);
    pk_arena_free(&scratch);
    if (found && u->count < PK_USERS_NAMED_MAX)
        u->names[u->count] = pk_copyf(find->arena, "%s%.*s", find->step->kind, PK_FMT(v[0].s));
    u->count += found;
    return true;
}

bool pk_store_users(struct pk_store *s, struct pk_arena *arena, enum pk_used what, pk_str slug,
                    struct pk_users *users, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};
    struct search find = {arena, what, slug, NULL, users};

    users->count = 0;
    for (size_t i = 0; i < PK_COUNT(steps); i++) {
        find.step = &steps[i];
        if (steps[i].what == what &&
            !s->ops->exec(s, steps[i].rows, args, steps[i].by_slug, look, &find, err))
            return false;
    }
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "%s: out of memory", nouns[what]);
}

const char *pk_users_told(struct pk_arena *arena, enum pk_used what, pk_str slug,
                          const struct pk_users *users)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    int shown = users->count < PK_USERS_NAMED_MAX ? users->count : PK_USERS_NAMED_MAX;

    PK_ASSERT(users->count > 0);
    pk_buf_addf(&out, "%s \"%.*s\": is named by ", nouns[what], PK_FMT(slug));
    for (int i = 0; i < shown; i++)
        pk_buf_addf(&out, "%s%.*s", i ? ", " : "", PK_FMT(users->names[i]));
    if (users->count > shown)
        pk_buf_addf(&out, " and %d more", users->count - shown);
    pk_buf_addc(&out, 0);
    return out.failed ? "it is named by others" : out.at;
}

void pk_users_print(struct pk_buf *out, const struct pk_users *users)
{
    if (users->count == 0)
        return;
    pk_member_raw(out, "used_by", PK_STR("["));
    for (int i = 0; i < users->count && i < PK_USERS_NAMED_MAX; i++) {
        if (i)
            pk_buf_addc(out, ',');
        pk_json_quote(out, users->names[i]);
    }
    pk_buf_addc(out, ']');
    pk_member_int(out, "used_by_total", users->count);
}

bool pk_store_unused(struct pk_store *s, enum pk_used what, pk_str slug, struct pk_error *err)
{
    struct pk_arena arena;
    struct pk_users users;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool ok = pk_store_users(s, &arena, what, slug, &users, err);
    if (ok && users.count > 0)
        ok = pk_fail(err, PK_IN_USE, "%s", pk_users_told(&arena, what, slug, &users));
    pk_arena_free(&arena);
    return ok;
}
