/* rows.c - see rows.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "rows.h"

enum { INPUT_BYTES_MAX = 1 << 30 }; /* of rows that must be read beforehand */

/* --- where rows come from ------------------------------------------------------------------ */

static pk_str text_of(sqlite3_value *v)
{
    const char *at = (const char *)sqlite3_value_text(v);

    return (pk_str){at, at ? (size_t)sqlite3_value_bytes(v) : 0};
}

static void set_row(struct pk_many_row *row, enum pk_ask_kind kind, sqlite3_value *key,
                    sqlite3_value *text)
{
    row->kind = kind;
    row->has_key = key && sqlite3_value_type(key) != SQLITE_NULL;
    row->key_is_int = row->has_key && sqlite3_value_type(key) == SQLITE_INTEGER;
    row->key = row->has_key ? text_of(key) : PK_NONE;
    row->has_text = sqlite3_value_type(text) != SQLITE_NULL;
    row->text = row->has_text ? text_of(text) : PK_NONE;
}

static bool next_kept(void *ctx, struct pk_many_row *row, bool *more, struct pk_error *row_error,
                      struct pk_error *err)
{
    struct pk_rows *r = ctx;

    (void)row_error;
    (void)err;
    *more = r->kept_at < r->kept_count;
    if (*more) {
        const struct pk_kept *k = &r->kept[r->kept_at++];
        set_row(row, r->kind, k->key, k->text);
    }
    return true;
}

static bool next_of_query(void *ctx, struct pk_many_row *row, bool *more,
                          struct pk_error *row_error, struct pk_error *err)
{
    struct pk_rows *r = ctx;
    int rc = sqlite3_step(r->query);

    (void)row_error;
    *more = rc == SQLITE_ROW;
    if (rc == SQLITE_INTERRUPT)
        return pk_fail(err, PK_CANCELLED, "interrupted");
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return pk_fail(err, PK_BAD_REQUEST, "query: %.200s", sqlite3_errmsg(r->db));
    if (*more)
        set_row(row, r->kind,
                r->key_column < 0 ? NULL : sqlite3_column_value(r->query, r->key_column),
                sqlite3_column_value(r->query, r->text_column));
    return true;
}

/* --- reading beforehand -------------------------------------------------------------------- */

bool pk_rows_keep(struct pk_rows *r, sqlite3_value *key, sqlite3_value *text, struct pk_error *err)
{
    if (r->kept_count == r->kept_cap) {
        int64_t cap = r->kept_cap ? r->kept_cap * 2 : 64;
        struct pk_kept *grown = sqlite3_realloc64(r->kept, (sqlite3_uint64)cap * sizeof *grown);

        if (!grown)
            return pk_fail(err, PK_NO_MEMORY, "query: no memory for its rows");
        r->kept = grown;
        r->kept_cap = cap;
    }
    struct pk_kept *k = &r->kept[r->kept_count++];
    *k = (struct pk_kept){key ? sqlite3_value_dup(key) : NULL, sqlite3_value_dup(text)};
    return k->text || pk_fail(err, PK_NO_MEMORY, "query: no memory for its rows");
}

static void forget_kept(struct pk_rows *r)
{
    for (int64_t i = 0; i < r->kept_count; i++) {
        sqlite3_value_free(r->kept[i].key);
        sqlite3_value_free(r->kept[i].text);
    }
    sqlite3_free(r->kept);
    r->kept = NULL;
    r->kept_count = r->kept_at = r->kept_cap = 0;
}

static bool read_all(struct pk_rows *r, struct pk_error *err)
{
    int64_t bytes = 0;
    int rc;

    while ((rc = sqlite3_step(r->query)) == SQLITE_ROW) {
        sqlite3_value *text = sqlite3_column_value(r->query, r->text_column);
        sqlite3_value *key =
            r->key_column < 0 ? NULL : sqlite3_column_value(r->query, r->key_column);

        bytes += sqlite3_value_bytes(text) + (key ? sqlite3_value_bytes(key) : 0);
        if (bytes > INPUT_BYTES_MAX)
            return pk_fail(err, PK_TOO_LARGE,
                           "query: its rows are larger than 1 GiB, and must be read beforehand");
        if (!pk_rows_keep(r, key, text, err))
            return false;
    }
    if (rc == SQLITE_INTERRUPT)
        return pk_fail(err, PK_CANCELLED, "interrupted");
    return rc == SQLITE_DONE ||
           pk_fail(err, PK_BAD_REQUEST, "query: %.200s", sqlite3_errmsg(r->db));
}

/* --- queries ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum pk_ask_kind kind;
} texts[] = {{"prompt", PK_ASK_PROMPT}, {"messages", PK_ASK_MESSAGES}, {"vars", PK_ASK_VARS}};

/* Which columns are what. */
static bool read_columns(struct pk_rows *r, struct pk_error *err)
{
    int count = sqlite3_column_count(r->query), known = 0;

    r->key_column = r->text_column = -1;
    for (int i = 0; i < count; i++) {
        pk_str name = pk_str_of(sqlite3_column_name(r->query, i));

        if (pk_str_is_nocase(name, "key")) {
            known += r->key_column < 0;
            r->key_column = i;
        }
        for (size_t k = 0; k < PK_COUNT(texts); k++) {
            if (!pk_str_is_nocase(name, texts[k].name))
                continue;
            known += r->text_column < 0;
            r->text_column = i;
            r->kind = texts[k].kind;
        }
    }
    if (known == count && known > 0 && r->text_column >= 0)
        return true;
    return pk_fail(
        err, PK_BAD_REQUEST,
        "query: its columns must be key and one of prompt, messages or vars, each by that "
        "name");
}

static bool prepare(struct pk_rows *r, pk_str text, struct pk_error *err)
{
    const char *tail = NULL;

    if (sqlite3_prepare_v2(r->db, text.at, (int)text.len, &r->query, &tail) != SQLITE_OK)
        return pk_fail(err, PK_BAD_REQUEST, "query: %.200s", sqlite3_errmsg(r->db));
    pk_str rest = pk_str_trim(pk_str_sub(text, (size_t)(tail - text.at), text.len));
    if (!r->query || !sqlite3_stmt_readonly(r->query) || sqlite3_column_count(r->query) == 0 ||
        rest.len > 0)
        return pk_fail(err, PK_BAD_REQUEST, "query: must be one select");
    return read_columns(r, err);
}

/* --- for all ------------------------------------------------------------------------------- */

bool pk_rows_open(struct pk_rows *r, pk_str query, struct pk_error *err)
{
    if (!prepare(r, query, err))
        return false;
    r->beforehand = r->at_once || sqlite3_txn_state(r->db, NULL) == SQLITE_TXN_WRITE;
    return !r->beforehand || read_all(r, err);
}

struct pk_many_source pk_rows_source(struct pk_rows *r, const char *name)
{
    bool kept = !r->query || r->beforehand;

    return (struct pk_many_source){.next = kept ? next_kept : next_of_query,
                                   .ctx = r,
                                   .name = name,
                                   .count = kept ? r->kept_count : -1};
}

void pk_rows_close(struct pk_rows *r)
{
    (void)sqlite3_finalize(r->query);
    r->query = NULL;
    forget_kept(r);
}
