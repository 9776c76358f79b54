/* store_group.c - see store_group.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_group.h"

#include "store_hits.h"
#include "store_hold.h"
#include "store_payload.h"
#include "store_rows.h"

void pk_store_group_init(struct pk_store *s)
{
    if (!s->settling)
        s->settling = pk_settling_new();
    if (!s->packing)
        s->packing = pk_packing_new();
    if (!s->hits)
        s->hits = pk_hits_new();
    if (!s->rows)
        s->rows = pk_log_rows_new();
}

void pk_store_group_free(struct pk_store *s)
{
    pk_settling_free(s->settling);
    pk_packing_free(s->packing);
    pk_hits_free(s->hits);
    pk_log_rows_free(s->rows);
    s->settling = NULL;
    s->packing = NULL;
    s->hits = NULL;
    s->rows = NULL;
}

bool pk_store_group_begin(struct pk_store *s, bool kept, struct pk_error *err)
{
    if (!s->ops->begin(s, err))
        return false;
    pk_settling_forget(s->settling);
    pk_hits_forget(s->hits);
    pk_log_rows_forget(s->rows);
    pk_packing_begin(s->packing, kept);
    return true;
}

bool pk_store_group_settle(struct pk_store *s, struct pk_error *err)
{
    return pk_store_rows_end(s, err) && pk_store_packing_end(s, err) && pk_store_hits_end(s, err) &&
           pk_store_settle_end(s, err);
}

bool pk_store_group_end(struct pk_store *s, bool ok, struct pk_error *err)
{
    struct pk_error ignored;

    if (ok)
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &ignored);
    return false;
}
