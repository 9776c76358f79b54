/* fn_reduce.c - the aggregate pk_reduce: one answer about the texts of a group.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rows are only kept until the group is whole; the final function asks, and leaves what was kept as it is. The calls of
 * a level (reduce.h) are a batch like pk_map's.
 */
#include "map.h"

#include "reduce.h"
#include "result.h"
#include "verb.h"

#include "utils/memutils.h"

/* A group, in the memory of the aggregate. */
struct group {
    MemoryContext context;
    struct pk_home home;
    pk_str config, instruction, params; /* of its first row */
    pk_str *items;
    int count, cap;
    size_t bytes;
};

_Noreturn static void refuse(const struct pk_error *err)
{
    pk_throw(err, PK_NONE, NULL);
}

/* --- rows -------------------------------------------------------------------------------- */

static pk_str kept(pk_str text)
{
    char *copy = palloc(text.len + 1);

    if (text.len)
        memcpy(copy, text.at, text.len);
    copy[text.len] = 0;
    return (pk_str){copy, text.len};
}

static struct group *group_of(FunctionCallInfo fcinfo)
{
    MemoryContext context;

    if (!AggCheckCallContext(fcinfo, &context))
        elog(ERROR, "pk: called outside of an aggregate");
    if (!PG_ARGISNULL(0))
        return (struct group *)PG_GETARG_POINTER(0);
    struct group *g = MemoryContextAllocZero(context, sizeof *g);
    g->context = context;
    g->home = pk_home_of(fcinfo);
    return g;
}

/* What all rows of a group have in common. */
static void same(const struct group *g, pk_str *at, pk_str given, const char *name)
{
    struct pk_error err;

    if (g->count == 0)
        *at = kept(given);
    if (pk_str_eq(*at, given))
        return;
    (void)pk_fail(&err, PK_BAD_REQUEST, "%s: must be the same for all rows of a group", name);
    refuse(&err);
}

static void keep(struct group *g, pk_str item)
{
    struct pk_error err;

    if (item.len > PK_REDUCE_BYTES_MAX - g->bytes) {
        (void)pk_fail(&err, PK_TOO_LARGE, "pk_reduce: the items of a group are larger than %d MiB",
                      PK_REDUCE_BYTES_MAX >> 20);
        refuse(&err);
    }
    if (g->count == g->cap) {
        g->cap = g->cap ? g->cap * 2 : 64;
        g->items = g->items ? repalloc_huge(g->items, (size_t)g->cap * sizeof *g->items)
                            : palloc((size_t)g->cap * sizeof *g->items);
    }
    g->bytes += item.len;
    g->items[g->count++] = kept(item);
}

static Datum add(FunctionCallInfo fcinfo, bool json_config)
{
    struct group *g = group_of(fcinfo);

    if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
        PG_RETURN_POINTER(g);
    pk_str config = json_config ? pk_arg_json(fcinfo, 1, true) : pk_arg_text(fcinfo, 1);
    pk_str instruction = pk_arg_text(fcinfo, 2), item = pk_arg_text(fcinfo, 3),
           params = pk_arg_json(fcinfo, 4, false);
    MemoryContext outer = MemoryContextSwitchTo(g->context);
    same(g, &g->config, config, "config");
    same(g, &g->instruction, instruction, "instruction");
    same(g, &g->params, params, "params");
    keep(g, item);
    MemoryContextSwitchTo(outer);
    PG_RETURN_POINTER(g);
}

/* A row whose config, instruction or item is NULL is left out. */
PK_FUNCTION(pk_sql_reduce_add);
Datum pk_sql_reduce_add(PG_FUNCTION_ARGS)
{
    return add(fcinfo, false);
}

PK_FUNCTION(pk_sql_reduce_add_json);
Datum pk_sql_reduce_add_json(PG_FUNCTION_ARGS)
{
    return add(fcinfo, true);
}

/* --- the calls --------------------------------------------------------------------------- */

struct level {
    struct pk_reduce *reduce;
    struct pk_error failed; /* PK_OK: every answer is there */
};

static pk_str messages(void *ctx, int i)
{
    const struct level *l = ctx;
    struct pk_error err;
    pk_str text;

    if (!pk_reduce_messages(l->reduce, i, pk_arena_here(), &text, &err))
        refuse(&err);
    return text;
}

/* One that failed ends the level, as pk.on_error says. */
static void answer(void *ctx, int i, const struct pk_result *r, const struct pk_given *why)
{
    struct level *l = ctx;

    if (r->ok && r->has_content) {
        pk_reduce_answer(l->reduce, i, r->content);
        return;
    }
    pk_result_why(r, &l->failed);
    if (pk_settings.on_error == PK_ON_ERROR_NULL)
        return;
    if (why && why->error.code != PK_OK) /* whose words have the provider's apart */
        pk_given_throw(why);
    pk_throw(&l->failed, PK_NONE, NULL);
}

static void fit(struct pk_reduce *r, const struct group *g, struct pk_arena *arena)
{
    struct pk_run *base = palloc0(sizeof *base);
    struct pk_error err;

    base->arena = arena;
    base->store = pk_store_spi(g->home, PK_READ);
    pk_run_hang(base);
    pk_run_resolve(base, g->config);
    if (!pk_reduce_fit(r, &base->snapshot->config, &base->snapshot->facts->prices, pk_clock_us(),
                       &err))
        refuse(&err);
}

/* False: it failed, and the value is NULL. */
static bool reduce(const struct group *g, pk_str *out)
{
    struct pk_arena *arena = pk_arena_here();
    struct pk_reduce_options o;
    struct level l = {0};
    struct pk_map_list list = {.count = 2, .messages = messages, .answer = answer, .ctx = &l};
    struct pk_error err;

    if (!pk_reduce_options_read(arena, g->params, &o, &err))
        refuse(&err);
    l.reduce = pk_reduce_new(arena, g->instruction, g->items, g->count, &o, &err);
    if (!l.reduce)
        refuse(&err);
    fit(l.reduce, g, arena);
    while (list.count > 1) {
        if (!pk_reduce_level(l.reduce, &list.count, &err))
            refuse(&err);
        pk_map_list(g->home, g->config, o.params, &list);
        if (l.failed.code != PK_OK)
            return false;
    }
    *out = pk_reduce_value(l.reduce);
    return true;
}

PK_FUNCTION(pk_sql_reduce_end);
Datum pk_sql_reduce_end(PG_FUNCTION_ARGS)
{
    const struct group *g = PG_ARGISNULL(0) ? NULL : (struct group *)PG_GETARG_POINTER(0);
    MemoryContext outer = CurrentMemoryContext;
    Datum result = (Datum)0;
    pk_str out;

    if (!AggCheckCallContext(fcinfo, NULL))
        elog(ERROR, "pk: called outside of an aggregate");
    if (!g || g->count == 0)
        PG_RETURN_NULL();
    pk_run_check();
    MemoryContext inner = AllocSetContextCreate(outer, "pk reduce", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(inner);
    fcinfo->isnull = !reduce(g, &out);
    MemoryContextSwitchTo(outer);
    if (!fcinfo->isnull)
        result = pk_text_datum(out);
    MemoryContextDelete(inner);
    return result;
}
