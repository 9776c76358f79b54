/* table.c - see table.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "table.h"

#include <string.h>

int pk_table_connect(sqlite3 *db, struct pk_conn *c, size_t bytes, const char *columns,
                     sqlite3_vtab **out)
{
    struct pk_table *t = sqlite3_malloc((int)bytes);

    if (!t)
        return SQLITE_NOMEM;
    memset(t, 0, bytes);
    t->conn = c;
    int rc = sqlite3_declare_vtab(db, columns);
    if (rc == SQLITE_OK)
        rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
    if (rc == SQLITE_OK)
        *out = &t->base;
    else
        sqlite3_free(t);
    return rc;
}

int pk_table_disconnect(sqlite3_vtab *base)
{
    sqlite3_free(base);
    return SQLITE_OK;
}

struct pk_conn *pk_table_conn(const sqlite3_vtab_cursor *cursor)
{
    return ((const struct pk_table *)(const void *)cursor->pVtab)->conn;
}

static void tell(sqlite3_vtab *base, enum pk_code code, const char *why)
{
    sqlite3_free(base->zErrMsg);
    base->zErrMsg = sqlite3_mprintf("pk: %s: %s", pk_code_name(code), why);
}

int pk_table_fail(sqlite3_vtab *base, const struct pk_error *err)
{
    tell(base, err->code, err->msg);
    return err->code == PK_CANCELLED ? SQLITE_INTERRUPT : SQLITE_ERROR;
}

int pk_table_refuse(sqlite3_vtab *base, const char *why)
{
    tell(base, PK_BAD_REQUEST, why);
    return SQLITE_ERROR;
}

int pk_table_register(struct pk_conn *c, const char *name, const sqlite3_module *module)
{
    c->refs++;
    return sqlite3_create_module_v2(c->db, name, module, c, pk_conn_release);
}
