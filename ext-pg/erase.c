/* erase.c - pk_logs_erase: one person's calls go.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A worker of its own does it (pass.h), step by step, so that nobody waits for long. What is still in the ring or in
 * the spool is written before: it would come back otherwise.
 */
#include "pk_pg.h"

#include "pass.h"
#include "store_audit.h"
#include "store_erase.h"

#include "miscadmin.h"
#include "utils/builtins.h"

enum { FLUSH_WAIT_MS = 10 * 1000, TOLD_BYTES = 1024 };

struct erase_pass {
    struct pk_pass pass;
    bool dry;
    char role[NAMEDATALEN]; /* who asks */
    size_t filter_len;
    char filter[PK_ERASE_FILTER_BYTES];
    char told[TOLD_BYTES];
};

PGDLLEXPORT void pk_erase_main(Datum segment);

/* --- in the worker --------------------------------------------------------------------------- */

struct step {
    const struct erase_pass *pass;
    struct pk_erasure *erasure;
    bool ok, over;
};

/* What is only tried is not kept. */
static bool erase_step(void *ctx, struct pk_store *s, struct pk_error *err)
{
    struct step *st = ctx;

    pk_store_act_as(s, "role", pk_str_of(st->pass->role));
    st->ok = pk_store_erase(s, st->erasure, &st->over, err);
    return st->ok && !st->pass->dry;
}

static void show(const struct step *st)
{
    char text[128];

    (void)snprintf(text, sizeof text, "pk: erasing calls: %lld, of some %lld looked at",
                   (long long)pk_erasure_counts(st->erasure)->logs,
                   (long long)pk_erasure_counts(st->erasure)->looked_at);
    pgstat_report_activity(STATE_RUNNING, text);
}

static bool erase(struct step *st, struct pk_error *err)
{
    while (!st->over) {
        int64_t from_us = pk_clock_mono_us();

        CHECK_FOR_INTERRUPTS();
        st->ok = false;
        if (!pk_transact(PK_WRITE, erase_step, st, err) && !st->ok)
            return false;
        pk_erasure_took(st->erasure, pk_clock_mono_us() - from_us);
        show(st);
    }
    return true;
}

static void run(struct pk_pass *pass)
{
    struct erase_pass *p = (struct erase_pass *)pass;
    struct pk_arena *arena = pk_arena_here();
    struct pk_buf told = pk_buf_in(arena, sizeof p->told - 1);
    struct step st = {.pass = p};
    struct pk_erase_filter filter;
    struct pk_error err;

    if (pk_erase_filter_read(arena, (pk_str){p->filter, p->filter_len}, &filter, &err))
        st.erasure = pk_erasure_new(&filter, p->dry, pk_clock_us(), &err);
    pass->done = st.erasure && erase(&st, &err);
    if (!pass->done) {
        strlcpy(pass->why, err.msg, sizeof pass->why);
        return;
    }
    pk_erased_print(st.erasure, &told);
    memcpy(p->told, told.at, told.len);
    pk_erasure_free(st.erasure);
}

void pk_erase_main(Datum handle)
{
    pk_pass_main(handle, "pk: erasing calls", run);
}

/* --- who asks --------------------------------------------------------------------------------- */

PK_FUNCTION(pk_sql_logs_erase);
Datum pk_sql_logs_erase(PG_FUNCTION_ARGS)
{
    struct pk_erase_filter filter;
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    pk_str text = pk_arg_json(fcinfo, 0, false);
    if (!pk_erase_filter_read(pk_arena_here(), text, &filter, &err))
        pk_throw(&err, PK_NONE, NULL);
    dsm_segment *segment = pk_pass_new(sizeof(struct erase_pass));
    struct erase_pass *p = dsm_segment_address(segment);
    p->dry = PG_GETARG_BOOL(1);
    p->filter_len = text.len;
    memcpy(p->filter, text.at, text.len);
    strlcpy(p->role, GetUserNameFromId(GetUserId(), false), sizeof p->role);
    if (!pk_ring_flush(FLUSH_WAIT_MS))
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("log rows wait that could not be written, and would come back"),
                        errhint("pk_health() says why; then try again.")));
    pk_pass_make(segment, "eraser", "pk_erase_main", "calls could not all be erased");
    Datum told = pk_jsonb_datum(pk_str_of(p->told));
    dsm_detach(segment);
    return told;
}
