/* vtab_map.c - pk_map(config, query, params) and pk_batch(config, inputs, params): a call for each row of a query, or
 * for each item of a JSON array, many in flight; and pk_map with `prompt in (select ...)`.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The arguments are hidden columns. A query is read on the caller's connection, a row at a time, as calls have room. While
 * that connection writes, all of it is read before the first call: an insert would see its own rows.
 *
 * A scan that begins again with the same arguments would pay again, as a join's inner side would; it is an error.
 */
#include "functions.h"

#include "columns.h"
#include "rows.h"
#include "sticky.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

/* The hidden columns: arguments. */
enum column { C_CONFIG = PK_COLUMNS, C_QUERY, C_PARAMS, C_PROMPT };

static const char map_columns[] = "create table x(" PK_COLUMN_TYPES
                                  ", config hidden, query hidden, params hidden, prompt hidden)";
static const char batch_columns[] =
    "create table x(" PK_COLUMN_TYPES ", config hidden, inputs hidden, params hidden)";

struct table {
    struct pk_table base;
    bool map; /* not pk_batch */
};

struct cursor {
    sqlite3_vtab_cursor base;
    struct pk_many *many;
    const struct pk_item *item; /* NULL: at the end */
    struct pk_rows rows;        /* of pk_map */
    struct pk_arena arena;      /* of the array of pk_batch */
    struct pk_json inputs;
    int input;      /* the next item; -1: no more */
    uint64_t asked; /* hash of the arguments of the last scan; 0: there was none */
};

static struct table *table_of(sqlite3_vtab_cursor *base)
{
    return (struct table *)(void *)base->pVtab;
}

static struct cursor *cursor_of(sqlite3_vtab_cursor *base)
{
    return (struct cursor *)(void *)base;
}

/* --- where rows come from ------------------------------------------------------------------ */

static bool next_input(void *ctx, struct pk_many_row *row, bool *more, struct pk_error *row_error,
                       struct pk_error *err)
{
    struct cursor *cur = ctx;
    const struct pk_json *doc = &cur->inputs;
    int at = cur->input;

    (void)err;
    *more = at >= 0;
    if (!*more)
        return true;
    cur->input = pk_json_next(doc, 0, at);
    row->has_text = pk_json_type(doc, at) != PK_JSON_NULL;
    switch (pk_json_type(doc, at)) {
    case PK_JSON_STRING:
        row->kind = PK_ASK_PROMPT;
        row->text = pk_json_str(&cur->arena, doc, at);
        return true;
    case PK_JSON_ARRAY:
    case PK_JSON_OBJECT:
        row->kind = pk_json_type(doc, at) == PK_JSON_ARRAY ? PK_ASK_MESSAGES : PK_ASK_VARS;
        row->text = pk_json_raw(doc, at);
        return true;
    case PK_JSON_NULL: return true;
    case PK_JSON_NONE:
    case PK_JSON_FALSE:
    case PK_JSON_TRUE:
    case PK_JSON_NUMBER: break;
    }
    (void)pk_fail(row_error, PK_BAD_REQUEST,
                  "inputs: an item must be a prompt, messages or variables, not %s",
                  pk_json_type_name(pk_json_type(doc, at)));
    return true;
}

/* The values of `prompt in (...)`; each is its own key. */
static bool read_prompts(struct cursor *cur, sqlite3_value *list, struct pk_error *err)
{
    sqlite3_value *v = NULL;
    int rc = sqlite3_vtab_in_first(list, &v);

    for (; rc == SQLITE_OK && v; rc = sqlite3_vtab_in_next(list, &v))
        if (!pk_rows_keep(&cur->rows, v, v, err))
            return false;
    return true;
}

/* --- scan ---------------------------------------------------------------------------------- */

/* The arguments that the plan has, each NULL when it is not given. */
struct arguments {
    sqlite3_value *config, *query, *params, *prompt, *prompts;
};

static struct arguments arguments_of(const char *plan, sqlite3_value **values)
{
    struct arguments a = {0};

    for (int i = 0; plan[i]; i++) {
        switch (plan[i]) {
        case 'c': a.config = values[i]; break;
        case 'q': a.query = values[i]; break;
        case 'o': a.params = values[i]; break;
        case 'p': a.prompt = values[i]; break;
        default: a.prompts = values[i]; break;
        }
    }
    return a;
}

static bool argument(sqlite3_value *v, const char *name, size_t max, pk_str *out,
                     struct pk_error *err)
{
    sqlite3_value *list[] = {v};

    *out = PK_NONE;
    return !v || pk_arg_text((struct pk_args){list, 1}, 0, name, max, out, err);
}

/* Whether the scan before had the same arguments. */
static bool repeats(struct cursor *cur, pk_str config, pk_str query, pk_str params)
{
    pk_str parts[] = {config, PK_STR("\xff"), query, PK_STR("\xff"), params};
    uint64_t asked = PK_HASH_START, before = cur->asked;

    for (size_t i = 0; i < PK_COUNT(parts); i++)
        asked = pk_hash_add(asked, parts[i]);
    cur->asked = asked;
    return asked == before;
}

static void close_scan(struct cursor *cur)
{
    pk_many_free(cur->many);
    pk_rows_close(&cur->rows);
    pk_arena_free(&cur->arena);
    cur->many = NULL;
    cur->item = NULL;
}

static bool open_inputs(struct cursor *cur, pk_str text, struct pk_error *err)
{
    if (!pk_json_parse(&cur->arena, pk_copy(&cur->arena, text), "inputs", &cur->inputs, err))
        return false;
    if (pk_json_type(&cur->inputs, 0) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_REQUEST, "inputs: must be a JSON array");
    cur->input = pk_json_first(&cur->inputs, 0);
    return true;
}

static bool open_source(struct cursor *cur, const struct arguments *a, pk_str query,
                        struct pk_many_source *source, struct pk_error *err)
{
    const struct table *t = table_of(&cur->base);

    if (!t->map) {
        if (!open_inputs(cur, query, err))
            return false;
        *source = (struct pk_many_source){.next = next_input,
                                          .ctx = cur,
                                          .name = "pk_batch",
                                          .count = pk_json_count(&cur->inputs, 0)};
        return true;
    }
    cur->rows = (struct pk_rows){.db = t->base.conn->db, .kind = PK_ASK_PROMPT};
    bool ok = a->query     ? pk_rows_open(&cur->rows, query, err)
              : a->prompts ? read_prompts(cur, a->prompts, err)
                           : pk_rows_keep(&cur->rows, a->prompt, a->prompt, err);
    *source = pk_rows_source(&cur->rows, "pk_map");
    return ok;
}

static bool begin(struct cursor *cur, const struct arguments *a, struct pk_error *err)
{
    struct pk_conn *c = pk_table_conn(&cur->base);
    struct pk_many_source source;
    pk_str config, query, params;

    if (!argument(a->config, "config", PK_CONFIG_BYTES_MAX, &config, err) ||
        !argument(a->query, "query", PK_BODY_BYTES_MAX, &query, err) ||
        !argument(a->params, "params", PK_BODY_BYTES_MAX, &params, err))
        return false;
    if (config.at == NULL || (a->query && query.at == NULL))
        return true; /* NULL in: no rows */
    if (a->query && repeats(cur, config, query, params))
        return pk_fail(
            err, PK_BAD_REQUEST,
            "this statement scans it again with the same arguments, and would pay again: "
            "put it into `with x as materialized (...)`");
    if (!open_source(cur, a, query, &source, err))
        return false;
    cur->many = pk_many_new(c, config, params, source, err);
    return cur->many && pk_many_next(cur->many, &cur->item, err);
}

static int filter(sqlite3_vtab_cursor *base, int number, const char *plan, int count,
                  sqlite3_value **values)
{
    struct cursor *cur = cursor_of(base);
    struct pk_conn *c = pk_table_conn(base);
    struct arguments a = arguments_of(plan, values);
    struct pk_error err = {0};

    (void)number;
    (void)count;
    close_scan(cur);
    c->busy++;
    bool ok = begin(cur, &a, &err);
    c->busy--;
    return ok ? SQLITE_OK : pk_table_fail(base->pVtab, &err);
}

static int next(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);
    struct pk_conn *c = pk_table_conn(base);
    struct pk_error err = {0};

    c->busy++;
    bool ok = pk_many_next(cur->many, &cur->item, &err);
    c->busy--;
    return ok ? SQLITE_OK : pk_table_fail(base->pVtab, &err);
}

static int eof(sqlite3_vtab_cursor *base)
{
    return !cursor_of(base)->item;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *id)
{
    *id = cursor_of(base)->item->ord;
    return SQLITE_OK;
}

/* --- values -------------------------------------------------------------------------------- */

static int column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int i)
{
    const struct cursor *cur = cursor_of(base);
    const struct pk_item *item = cur->item;
    const struct pk_row row = {item->ord, item->has_key, item->key_is_int, item->key,
                               &item->result};

    if (i < PK_COLUMNS)
        pk_column_give(ctx, i, &row);
    else if (i == C_PROMPT && !cur->rows.query && item->has_key)
        pk_result_text(ctx, item->key); /* SQLite knows the other arguments */
    return SQLITE_OK;
}

/* --- plan ---------------------------------------------------------------------------------- */

/* The letter of the argument in a hidden column; 0: it is none. */
static char letter_of(const struct table *t, int column)
{
    switch (column) {
    case C_CONFIG: return 'c';
    case C_QUERY: return 'q';
    case C_PARAMS: return 'o';
    case C_PROMPT: return t->map ? 'p' : 0;
    default: return 0;
    }
}

/* The condition that gives the argument: a list of prompts rather than one. -1: none does; -2: it will only be known in
 * another order of the join. */
static int condition_of(const struct table *t, sqlite3_index_info *info, char letter)
{
    int found = -1;

    for (int i = 0; i < info->nConstraint; i++) {
        if (letter_of(t, info->aConstraint[i].iColumn) != letter ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!info->aConstraint[i].usable)
            found = found == -1 ? -2 : found;
        else if (found < 0 || (letter == 'p' && sqlite3_vtab_in(info, i, -1)))
            found = i;
    }
    return found;
}

/* What is not taken here, another condition on prompts, SQLite looks after. */
static int best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const struct table *t = (const struct table *)(const void *)base;
    char plan[8] = "";
    int count = 0;

    for (const char *letter = "cqop"; *letter; letter++) {
        int i = condition_of(t, info, *letter);

        if (i == -2)
            return SQLITE_CONSTRAINT; /* without it, it would be another question */
        if (i == -1)
            continue;
        bool list = *letter == 'p' && sqlite3_vtab_in(info, i, 1);
        plan[count++] = list ? 'i' : *letter;
        info->aConstraintUsage[i].argvIndex = count;
        info->aConstraintUsage[i].omit = *letter != 'p';
    }
    if (!strchr(plan, 'c') || !strpbrk(plan, "qpi") || (strchr(plan, 'q') && strpbrk(plan, "pi")))
        return pk_table_refuse(base, t->map ? "pk_map needs a config, and a query or prompts"
                                            : "pk_batch needs a config and inputs");
    info->estimatedRows = 1000;
    info->estimatedCost = 1e9; /* whatever else the statement has is cheaper */
    info->idxStr = sqlite3_mprintf("%s", plan);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

/* --- birth and death ----------------------------------------------------------------------- */

static int connect_map(sqlite3 *db, void *aux, int argc, const char *const *argv,
                       sqlite3_vtab **out, char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    int rc = pk_table_connect(db, aux, sizeof(struct table), map_columns, out);
    if (rc == SQLITE_OK)
        ((struct table *)(void *)*out)->map = true;
    return rc;
}

static int connect_batch(sqlite3 *db, void *aux, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    return pk_table_connect(db, aux, sizeof(struct table), batch_columns, out);
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    struct cursor *cur = sqlite3_malloc(sizeof *cur);

    (void)base;
    if (!cur)
        return SQLITE_NOMEM;
    *cur = (struct cursor){.input = -1};
    pk_arena_init(&cur->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    *out = &cur->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);
    struct pk_conn *c = pk_table_conn(base);

    c->busy++;
    close_scan(cur);
    c->busy--;
    sqlite3_free(cur);
    return SQLITE_OK;
}

#define MODULE(connect_function)                                                                   \
    {                                                                                              \
        .iVersion = 0, .xConnect = connect_function, .xBestIndex = best_index,                     \
        .xDisconnect = pk_table_disconnect, .xOpen = open_cursor, .xClose = close_cursor,          \
        .xFilter = filter, .xNext = next, .xEof = eof, .xColumn = column, .xRowid = row_id,        \
    }
static const sqlite3_module map = MODULE(connect_map), batch = MODULE(connect_batch);
#undef MODULE

int pk_vtab_map_register(struct pk_conn *c)
{
    int rc = pk_table_register(c, "pk_map", &map);

    return rc == SQLITE_OK ? pk_table_register(c, "pk_batch", &batch) : rc;
}
