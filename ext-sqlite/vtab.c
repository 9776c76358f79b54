/* vtab.c - pk_logs and the other relations: views of the store, as read-only virtual tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One module serves them all. A table has the columns of the view of its name in the store; a scan
 * steps a statement there, row by row, so a LIMIT stops it by itself. What the store has an index for is
 * asked of it; SQLite checks every condition once more, so a condition that is pushed down
 * may let through too much but never too little. A scan first waits for the rows that are still
 * being written.
 *
 * The plan travels in idxStr, two letters a condition: which of the relation's columns ('0'..) and the
 * comparison (one of "=<>"); and at the end 'a' or 'd' behind a column when the store is to sort.
 */
#include "functions.h"

#include "table.h"

#include <stdio.h>
#include <string.h>

enum { PUSHED_MAX = 3, PLAN_MAX = 64 };

enum kind { K_NONE, K_TEXT, K_UUID, K_HEX, K_TIME }; /* K_TIME: of an id, which begins with it */

/* A column that conditions may be pushed down on. */
struct pushed {
    const char *column;
    const char *expr; /* what it is in the store; tables as the view calls them */
    enum kind kind;
};

struct relation {
    const char *name;
    int key_columns;   /* the first of its columns, which tell its rows apart; 0: all do */
    bool open;         /* the view ends in its joins: a `where` over its tables may follow */
    const char *began; /* when a row came to be, if rows come while others are read */
    struct pushed pushed[PUSHED_MAX];
};

/* clang-format off */
static const struct relation relations[] = {
    {"pk_logs",         1, true,  "l.started_us", {{"id", "l.id", K_UUID}, {"trace_id", "l.trace_id", K_TEXT},
                                                   {"started_at", "l.id", K_TIME}}},
    {"pk_spans",        3, true,  "l.started_us", {{"log_id", "l.id", K_UUID},
                                                   {"trace_id", "l.trace_id", K_TEXT}}},
    {"pk_feedback",     1, true,  NULL, {{"id", "f.id", K_UUID}, {"trace_id", "f.trace_id", K_TEXT}}},
    {"pk_configs",      1, false, NULL, {{"slug", "slug", K_TEXT}}},
    {"pk_guardrails",   1, false, NULL, {{"slug", "slug", K_TEXT}}},
    {"pk_circuits",     3, true,  NULL, {{"config", "c.config", K_TEXT}}},
    {"pk_prompts",      2, false, NULL, {{"slug", "slug", K_TEXT}}},
    {"pk_providers",    1, false, NULL, {{"name", "name", K_TEXT}}},
    {"pk_virtual_keys", 1, true,  NULL, {{"slug", "k.slug", K_TEXT}}},
    {"pk_api_keys",     1, true,  NULL, {{"name", "k.name", K_TEXT}}},
    {"pk_limits",       0, false, NULL, {{0}}},
    {"pk_alerts",       0, false, NULL, {{0}}},
    {"pk_jobs",         1, false, NULL, {{"id", "id", K_TEXT}}},
    {"pk_running",      1, false, NULL, {{"id", "id", K_TEXT}}},
    {"pk_settings",     1, true,  NULL, {{0}}},
    {"pk_audit",        1, true,  NULL, {{0}}},
    {"pk_prices",       0, false, NULL, {{"provider", "provider", K_TEXT}, {"model", "model", K_TEXT}}},
    {"pk_models",       2, false, NULL, {{"provider", "provider", K_TEXT}, {"model", "model", K_TEXT}}},
    {"pk_cache",        1, true,  NULL, {{"key", "e.key", K_HEX}}},
    {"pk_usage_hourly", 0, false, NULL, {{0}}},
    {"pk_usage_daily",  0, false, NULL, {{0}}},
    {"pk_latency",      2, false, NULL, {{0}}},
    {"pk_traces",       1, false, NULL, {{"trace_id", "trace_id", K_TEXT}}},
    {"pk_logs_otel",    4, false, NULL, {{0}}},
};
/* clang-format on */

struct table {
    struct pk_table base;
    const struct relation *relation;
    char *select;           /* what to append conditions to */
    int column[PUSHED_MAX]; /* number of the pushed column; -1 = none */
};

struct cursor {
    sqlite3_vtab_cursor base;
    sqlite3_stmt *stmt; /* NULL: no rows */
};

static struct table *table_of(sqlite3_vtab_cursor *base)
{
    return (struct table *)(void *)base->pVtab;
}

static struct cursor *cursor_of(sqlite3_vtab_cursor *base)
{
    return (struct cursor *)(void *)base;
}

/* --- connect ------------------------------------------------------------------------------- */

static const struct relation *find_relation(const char *name)
{
    for (size_t i = 0; i < PK_COUNT(relations); i++)
        if (strcmp(relations[i].name, name) == 0)
            return &relations[i];
    return NULL;
}

/* "create table" with the columns of `stmt`, and where the pushed ones stand. */
static char *declaration(const struct relation *r, sqlite3_stmt *stmt, int column[PUSHED_MAX])
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendall(sql, "create table x(");
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const char *name = sqlite3_column_name(stmt, i), *type = sqlite3_column_decltype(stmt, i);

        sqlite3_str_appendf(sql, "%s\"%w\" %s", i ? ", " : "", name, type ? type : "");
        for (int k = 0; k < PUSHED_MAX; k++)
            if (r->pushed[k].kind != K_NONE && strcmp(r->pushed[k].column, name) == 0)
                column[k] = i;
    }
    sqlite3_str_appendall(sql, ")");
    return sqlite3_str_finish(sql);
}

/* The text behind "create view NAME as ", or "select * from NAME". */
static char *select_of(sqlite3 *store, const struct relation *r)
{
    static const char find_view[] = "select substr(sql, instr(sql, ' as ') + 4) from sqlite_schema "
                                    "where type = 'view' and name = ?1";
    sqlite3_stmt *stmt = NULL;
    char *select = NULL;

    if (!r->open)
        return sqlite3_mprintf("select * from %s", r->name);
    if (sqlite3_prepare_v2(store, find_view, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_bind_text(stmt, 1, r->name, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        select = sqlite3_mprintf("%s", sqlite3_column_text(stmt, 0));
    (void)sqlite3_finalize(stmt);
    return select;
}

static int declare(sqlite3 *db, struct table *t, sqlite3 *store, char **message)
{
    sqlite3_stmt *stmt = NULL;

    t->select = select_of(store, t->relation);
    if (!t->select || sqlite3_prepare_v2(store, t->select, -1, &stmt, NULL) != SQLITE_OK) {
        *message =
            sqlite3_mprintf("pk: store_error: %s: %s", t->relation->name, sqlite3_errmsg(store));
        return SQLITE_ERROR;
    }
    char *sql = declaration(t->relation, stmt, t->column);
    int rc = sql ? sqlite3_declare_vtab(db, sql) : SQLITE_NOMEM;
    sqlite3_free(sql);
    (void)sqlite3_finalize(stmt);
    return rc;
}

static int disconnect(sqlite3_vtab *base)
{
    struct table *t = (struct table *)(void *)base;

    sqlite3_free(t->select);
    sqlite3_free(t);
    return SQLITE_OK;
}

static int connect_table(struct pk_conn *c, const char *name, sqlite3_vtab **out, char **message)
{
    struct pk_error err;
    struct table *t;

    sqlite3 *store = pk_conn_views(c, &err);
    if (!store) {
        *message = sqlite3_mprintf("pk: %s: %s", pk_code_name(err.code), err.msg);
        return SQLITE_ERROR;
    }
    t = sqlite3_malloc(sizeof *t);
    if (!t)
        return SQLITE_NOMEM;
    *t = (struct table){.base.conn = c, .relation = find_relation(name), .column = {-1, -1, -1}};
    PK_ASSERT(t->relation != NULL);
    int rc = declare(c->db, t, store, message);
    if (rc == SQLITE_OK)
        rc = sqlite3_vtab_config(c->db, SQLITE_VTAB_DIRECTONLY);
    if (rc == SQLITE_OK)
        *out = &t->base.base;
    else
        (void)disconnect(&t->base.base);
    return rc;
}

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                   char **message)
{
    struct pk_conn *c = aux;

    (void)db;
    (void)argc;
    c->busy++;
    int rc = connect_table(c, argv[0], out, message);
    c->busy--;
    return rc;
}

/* --- plan ---------------------------------------------------------------------------------- */

static char comparison(int op, enum kind kind)
{
    if (op == SQLITE_INDEX_CONSTRAINT_EQ)
        return '=';
    if (kind != K_TIME)
        return 0;
    if (op == SQLITE_INDEX_CONSTRAINT_GE || op == SQLITE_INDEX_CONSTRAINT_GT)
        return '>';
    if (op == SQLITE_INDEX_CONSTRAINT_LE || op == SQLITE_INDEX_CONSTRAINT_LT)
        return '<';
    return 0;
}

static int pushed_column(const struct table *t, int column)
{
    for (int k = 0; k < PUSHED_MAX; k++)
        if (column >= 0 && t->column[k] == column)
            return k;
    return -1;
}

/* The rows that a condition leaves, roughly. */
static void estimate(sqlite3_index_info *info, enum kind kind)
{
    double rows = kind == K_TIME ? (double)info->estimatedRows / 20 : kind == K_TEXT ? 20 : 1;

    if (rows < (double)info->estimatedRows)
        info->estimatedRows = (sqlite3_int64)rows + 1;
    info->estimatedCost = (double)info->estimatedRows * 10;
}

static int plan_conditions(const struct table *t, sqlite3_index_info *info, char *plan)
{
    int len = 0, args = 0;

    for (int i = 0; i < info->nConstraint && len < PLAN_MAX - 4; i++) {
        int k = pushed_column(t, info->aConstraint[i].iColumn);
        const struct pushed *p = k < 0 ? NULL : &t->relation->pushed[k];
        char op = p ? comparison(info->aConstraint[i].op, p->kind) : 0;

        if (!op || !info->aConstraint[i].usable ||
            strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
            continue;
        plan[len++] = (char)('0' + k);
        plan[len++] = op;
        info->aConstraintUsage[i].argvIndex = ++args;
        estimate(info, p->kind);
    }
    return len;
}

/* The store sorts by what it has an index for. */
static int plan_order(const struct table *t, sqlite3_index_info *info, char *plan, int len)
{
    if (info->nOrderBy != 1)
        return len;
    int k = pushed_column(t, info->aOrderBy[0].iColumn);
    if (k < 0 || (t->relation->pushed[k].kind != K_TIME && t->relation->pushed[k].kind != K_UUID))
        return len;
    plan[len++] = (char)('0' + k);
    plan[len++] = info->aOrderBy[0].desc ? 'd' : 'a';
    info->orderByConsumed = 1;
    return len;
}

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const struct table *t = (const struct table *)(const void *)base;
    char plan[PLAN_MAX];

    info->estimatedRows = 1000000;
    info->estimatedCost = 1e7;
    int len = plan_conditions(t, info, plan);
    len = plan_order(t, info, plan, len);
    info->idxStr = sqlite3_mprintf("%.*s", len, plan);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

/* --- scan ---------------------------------------------------------------------------------- */

/* Days since 1970 of a civil date (Howard Hinnant's algorithm). */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y % 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* The moments whose text begins like `text`, as far as that is written like pk_logs.started_at
 * ("2026-01-31T12:00:00.000Z"): from *from_us up to, and without, *to_us. False when not even the
 * date is. */
static bool time_span(pk_str text, int64_t *from_us, int64_t *to_us)
{
    char copy[32] = "";
    int y, m, d, h, min, s, ms, used = 0;

    if (text.len < 10)
        return false;
    memcpy(copy, text.at, text.len < sizeof copy ? text.len : sizeof copy - 1);
    if (sscanf(copy, "%4d-%2d-%2d%n", &y, &m, &d, &used) < 3 || used != 10 || y < 1 || m < 1 ||
        m > 12 || d < 1 || d > 31)
        return false;
    *from_us = days(y, m, d) * 86400000000;
    *to_us = *from_us + 86400000000;
    if (text.len < 19 || sscanf(copy + 10, "T%2d:%2d:%2d%n", &h, &min, &s, &used) < 3 ||
        used != 9 || h < 0 || h > 23 || min < 0 || min > 59 || s < 0 || s > 59)
        return true;
    *from_us += (h * 3600LL + min * 60LL + s) * 1000000;
    *to_us = *from_us + 1000000;
    if (text.len < 24 || sscanf(copy + 19, ".%3dZ%n", &ms, &used) < 1 || used != 5 || ms < 0)
        return true;
    *from_us += ms * 1000LL;
    *to_us = *from_us + 1000;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that lower-case hex digits spell; dashes count for nothing. -1: it is no such text. */
static int unhex(pk_str text, uint8_t *out, int max)
{
    int digits = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.at[i]);

        if (text.at[i] == '-')
            continue;
        if (digit < 0 || digits == 2 * max)
            return -1;
        out[digits / 2] = (uint8_t)(digits % 2 ? out[digits / 2] << 4 | digit : digit);
        digits++;
    }
    return digits % 2 ? -1 : digits / 2;
}

/* What one condition asks of the store. */
struct condition {
    const struct pushed *pushed;
    char op;
    uint8_t blob[64]; /* K_UUID, K_HEX: the bytes that the text spells */
    int len;
    int64_t from_us, to_us; /* K_TIME */
};

/* False when no row can have this text in the column. */
static bool read_blob(struct condition *c, pk_str text)
{
    char again[PK_UUID_TEXT + 1];

    c->len = unhex(text, c->blob, c->pushed->kind == K_UUID ? PK_UUID_BYTES : (int)sizeof c->blob);
    if (c->len < 0)
        return false;
    if (c->pushed->kind == K_HEX)
        return pk_str_find(text, '-') < 0;
    if (c->len != PK_UUID_BYTES)
        return false;
    pk_uuid_print(c->blob, again);
    return pk_str_is(text, again);
}

static void append(sqlite3_str *sql, int *count, const char *expr, const char *rest)
{
    sqlite3_str_appendf(sql, " %s %s %s", (*count)++ ? "and" : "where", expr, rest);
}

/* `op` and the smallest id of that time. */
static void append_time(sqlite3_str *sql, int *count, const struct condition *c, const char *op,
                        int64_t at_us)
{
    uint8_t id[PK_UUID_BYTES];
    char rest[8 + 2 * sizeof id];
    int len = snprintf(rest, sizeof rest, "%s x'", op);

    pk_uuid7(at_us > 0 ? at_us : 0, 0, id);
    for (size_t i = 0; i < sizeof id; i++)
        len += snprintf(rest + len, sizeof rest - (size_t)len, "%02x", id[i]);
    (void)snprintf(rest + len, sizeof rest - (size_t)len, "'");
    append(sql, count, c->pushed->expr, rest);
}

/* Adds the condition on value number `i`; false when no row can meet it. A value that is not text is
 * left to SQLite. */
static bool add_condition(sqlite3_str *sql, int *count, const struct condition *given, int i,
                          sqlite3_value *value)
{
    struct condition c = *given;
    char rest[64];

    if (sqlite3_value_type(value) != SQLITE_TEXT)
        return true;
    const void *at = sqlite3_value_text(value);
    pk_str text = {at, at ? (size_t)sqlite3_value_bytes(value) : 0};
    (void)snprintf(rest, sizeof rest, "= ?%d", i + 1);
    switch (c.pushed->kind) {
    case K_NONE: return true;
    case K_TEXT: append(sql, count, c.pushed->expr, rest); return true;
    case K_UUID:
    case K_HEX:
        if (!read_blob(&c, text))
            return false;
        append(sql, count, c.pushed->expr, rest);
        return true;
    case K_TIME: break;
    }
    if (!time_span(text, &c.from_us, &c.to_us))
        return true;
    if (c.op != '<')
        append_time(sql, count, &c, ">=", c.from_us);
    if (c.op != '>')
        append_time(sql, count, &c, "<", c.to_us);
    return true;
}

/* The statement that a plan stands for; NULL with *none when no row can come of it. */
static char *compose(const struct table *t, const char *plan, sqlite3_value **values, bool *none)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    int count = 0;
    char now[32];

    sqlite3_str_appendall(sql, t->select);
    for (int i = 0; plan[0]; plan += 2, i++) {
        struct condition c = {.pushed = &t->relation->pushed[plan[0] - '0'], .op = plan[1]};

        if (c.op == 'a' || c.op == 'd')
            break;
        if (!add_condition(sql, &count, &c, i, values[i])) {
            *none = true;
            break;
        }
    }
    /* Rows written on this very connection would be read again without end. */
    (void)snprintf(now, sizeof now, "<= %lld", (long long)pk_clock_us());
    if (t->relation->began && !t->base.conn->writer)
        append(sql, &count, t->relation->began, now);
    if (plan[0] && !*none)
        sqlite3_str_appendf(sql, " order by %s%s", t->relation->pushed[plan[0] - '0'].expr,
                            plan[1] == 'd' ? " desc" : "");
    return sqlite3_str_finish(sql);
}

/* Blobs are bound as bytes, texts as they are; a value that the statement does not use is left out. */
static int bind(const struct table *t, sqlite3_stmt *stmt, const char *plan, sqlite3_value **values)
{
    int rc = SQLITE_OK;

    for (int i = 0; plan[0] && plan[1] != 'a' && plan[1] != 'd' && rc == SQLITE_OK;
         plan += 2, i++) {
        struct condition c = {.pushed = &t->relation->pushed[plan[0] - '0']};

        if (i >= sqlite3_bind_parameter_count(stmt))
            break;
        if (c.pushed->kind == K_TEXT)
            rc = sqlite3_bind_value(stmt, i + 1, values[i]);
        else if (c.pushed->kind != K_TIME && sqlite3_value_type(values[i]) == SQLITE_TEXT &&
                 read_blob(&c, (pk_str){(const void *)sqlite3_value_text(values[i]),
                                        (size_t)sqlite3_value_bytes(values[i])}))
            rc = sqlite3_bind_blob(stmt, i + 1, c.blob, c.len, SQLITE_TRANSIENT);
    }
    return rc;
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    struct cursor *cur = sqlite3_malloc(sizeof *cur);

    if (!cur)
        return SQLITE_NOMEM;
    *cur = (struct cursor){0};
    ((struct pk_table *)(void *)base)->conn->cursors++;
    *out = &cur->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);

    (void)sqlite3_finalize(cur->stmt);
    pk_table_conn(base)->cursors--;
    sqlite3_free(cur);
    return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);
    struct pk_error err;
    int rc = sqlite3_step(cur->stmt);

    if (rc == SQLITE_ROW)
        return SQLITE_OK;
    if (rc != SQLITE_DONE)
        (void)pk_fail(&err, PK_STORE, "%s: %s", table_of(base)->relation->name,
                      sqlite3_errmsg(sqlite3_db_handle(cur->stmt)));
    (void)sqlite3_finalize(cur->stmt);
    cur->stmt = NULL;
    return rc == SQLITE_DONE ? SQLITE_OK : pk_table_fail(base->pVtab, &err);
}

static int filter(sqlite3_vtab_cursor *base, int number, const char *plan, int count,
                  sqlite3_value **values)
{
    struct cursor *cur = cursor_of(base);
    struct table *t = table_of(base);
    struct pk_error err;
    bool none = false;

    (void)number;
    (void)count;
    (void)sqlite3_finalize(cur->stmt);
    cur->stmt = NULL;
    sqlite3 *store = pk_conn_views(t->base.conn, &err);
    if (!store)
        return pk_table_fail(base->pVtab, &err);
    char *sql = compose(t, plan, values, &none);
    int rc = !sql   ? SQLITE_NOMEM
             : none ? SQLITE_OK
                    : sqlite3_prepare_v2(store, sql, -1, &cur->stmt, NULL);
    sqlite3_free(sql);
    if (rc == SQLITE_OK && !none)
        rc = bind(t, cur->stmt, plan, values);
    if (rc == SQLITE_OK)
        return none ? SQLITE_OK : next(base);
    (void)pk_fail(&err, PK_STORE, "%s: %s", t->relation->name, sqlite3_errmsg(store));
    return pk_table_fail(base->pVtab, &err);
}

static int eof(sqlite3_vtab_cursor *base)
{
    return cursor_of(base)->stmt == NULL;
}

/* By type, because a value may not cross from one connection to another. */
static int column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int i)
{
    sqlite3_stmt *stmt = cursor_of(base)->stmt;

    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER: sqlite3_result_int64(ctx, sqlite3_column_int64(stmt, i)); break;
    case SQLITE_FLOAT: sqlite3_result_double(ctx, sqlite3_column_double(stmt, i)); break;
    case SQLITE_TEXT: {
        const void *text = sqlite3_column_text(stmt, i);

        sqlite3_result_text(ctx, text, sqlite3_column_bytes(stmt, i), SQLITE_TRANSIENT);
        break;
    }
    case SQLITE_BLOB: {
        const void *blob = sqlite3_column_blob(stmt, i);

        sqlite3_result_blob(ctx, blob, sqlite3_column_bytes(stmt, i), SQLITE_TRANSIENT);
        break;
    }
    default: sqlite3_result_null(ctx);
    }
    return SQLITE_OK;
}

/* The same row has the same number in every scan, which SQLite needs for OR (FNV-1a of its key). */
static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    sqlite3_stmt *stmt = cursor_of(base)->stmt;
    int columns = table_of(base)->relation->key_columns;
    uint64_t hash = 0xcbf29ce484222325u;

    if (columns == 0)
        columns = sqlite3_column_count(stmt);
    for (int i = 0; i < columns; i++) {
        const unsigned char *text = sqlite3_column_text(stmt, i);
        int len = sqlite3_column_bytes(stmt, i);

        for (int k = 0; k <= len; k++)
            hash = (hash ^ (k < len ? text[k] : 0xffu)) * 0x100000001b3u;
    }
    *out = (sqlite3_int64)(hash >> 1);
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 0, /* no xCreate: the tables are just there, without "create virtual table" */
    .xConnect = connect,
    .xBestIndex = best_index,
    .xDisconnect = disconnect,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = rowid,
};

int pk_vtab_register(struct pk_conn *c)
{
    for (size_t i = 0; i < PK_COUNT(relations); i++) {
        int rc = pk_table_register(c, relations[i].name, &module);

        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}
