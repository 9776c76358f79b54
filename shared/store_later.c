/* store_later.c - a store that is opened when it is first used.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What one file holds takes SQLite two milliseconds to read, connection for connection: a start does not wait for
 * one that is not needed yet. What cannot be opened is tried again the next time.
 */
#include "store_audit.h"

#include <stdlib.h>

struct later {
    struct pk_store head;
    struct pk_store *real; /* NULL: not open */
    struct pk_opening how;
    int patience_ms; /* to tell it; 0: its own */
    bool keeps_log;  /* likewise */
};

static struct pk_store *opened(struct pk_store *s, struct pk_error *err)
{
    struct later *l = (struct later *)s;

    if (l->real)
        return l->real;
    l->real = l->how.open(l->how.ctx, err);
    if (l->real && l->patience_ms)
        l->real->ops->patience(l->real, l->patience_ms);
    if (l->real && l->keeps_log)
        l->real->ops->keep_log(l->real);
    return l->real;
}

static bool exec(struct pk_store *s, enum pk_stmt stmt, const struct pk_value *args, int count,
                 pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    return real && real->ops->exec(real, stmt, args, count, on_row, ctx, err);
}

static bool begin(struct pk_store *s, struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    return real && real->ops->begin(real, err);
}

static bool end(struct pk_store *s, bool commit, struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    if (!real || !real->ops->end(real, commit, err))
        return false;
    s->logged = real->logged;
    return true;
}

static void close_store(struct pk_store *s)
{
    struct later *l = (struct later *)s;

    pk_store_close(l->real);
    free(l);
}

static bool predicate(struct pk_store *s, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    return real && real->ops->predicate(real, q, truth, err);
}

static bool shrink(struct pk_store *s, int max, int64_t *pages, struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    return real && real->ops->shrink(real, max, pages, err);
}

static bool settle(struct pk_store *s, int64_t *behind, struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    return real && real->ops->settle(real, behind, err);
}

static void keep_log(struct pk_store *s)
{
    struct later *l = (struct later *)s;

    l->keeps_log = true;
    if (l->real)
        l->real->ops->keep_log(l->real);
}

static void patience(struct pk_store *s, int wait_ms)
{
    struct later *l = (struct later *)s;

    l->patience_ms = wait_ms;
    if (l->real)
        l->real->ops->patience(l->real, wait_ms);
}

static bool durable(struct pk_store *s, struct pk_error *err)
{
    struct pk_store *real = opened(s, err);

    return real && real->ops->durable(real, err);
}

static const struct pk_store_ops ops = {exec,   begin,  end,      close_store, predicate,
                                        shrink, settle, keep_log, patience,    durable};

struct pk_store *pk_store_later(const struct pk_opening *how, struct pk_error *err)
{
    struct later *l = calloc(1, sizeof *l);

    if (!l) {
        (void)pk_fail(err, PK_NO_MEMORY, "store: out of memory");
        return NULL;
    }
    *l = (struct later){.head = {.ops = &ops}, .how = *how};
    pk_store_act_as_user(&l->head);
    return &l->head;
}
