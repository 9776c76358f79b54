/* statement.c - see statement.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "statement.h"

#include <stdlib.h>

/* What SQLite keeps under a negative number is the statement's rather than a function's (its own json functions keep
 * their cache so). */
enum { SLOT = -774411 };

struct pk_statement {
    struct pk_conn *conn;
};

void pk_statement_join(struct pk_conn *c)
{
    struct pk_account *a = &c->settings.account;

    if (c->statements++ == 0)
        a->calls = a->cost_pusd = a->held_pusd = 0;
}

void pk_statement_leave(struct pk_conn *c)
{
    PK_ASSERT(c->statements > 0);
    c->statements--;
}

static void end(void *object)
{
    struct pk_statement *s = object;

    pk_statement_leave(s->conn);
    pk_conn_release(s->conn);
    free(s);
}

struct pk_statement *pk_statement_of(sqlite3_context *ctx, struct pk_conn *c)
{
    struct pk_statement *s = sqlite3_get_auxdata(ctx, SLOT);

    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->conn = c;
    c->refs++;
    pk_statement_join(c);
    sqlite3_set_auxdata(ctx, SLOT, s, end);
    return sqlite3_get_auxdata(ctx, SLOT);
}
