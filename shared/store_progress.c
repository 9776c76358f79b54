/* store_progress.c - see store_progress.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_progress.h"

#include "store_value.h"

bool pk_store_progress_put(struct pk_store *s, const struct pk_progress_row *r,
                           struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_uuid(r->id),
        pk_v_int(r->started_us),
        pk_v_int(r->updated_us),
        pk_v_required(r->kind),
        pk_v_required(r->source),
        pk_v_required(r->query_id),
        pk_v_required(r->actor),
        pk_v_required(r->host),
        pk_v_int(r->pid),
        pk_v_text(r->config),
        pk_v_int_unless(r->total < 0, r->total),
        pk_v_int(r->done),
        pk_v_int(r->failed),
        pk_v_int(r->in_flight),
        pk_v_int(r->cost_pusd),
    };

    if (r->over)
        return s->ops->exec(s, PK_SQL_progress_end, args, 1, NULL, NULL, err);
    return s->ops->exec(s, PK_SQL_progress_put, args, PK_COUNT(args), NULL, NULL, err);
}
