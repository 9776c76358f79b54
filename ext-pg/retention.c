/* retention.c - rows that are older than they may be go; settings of the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The writer (worker.c) sweeps when it has nothing to write, a step a transaction. What is too old while nobody
 * calls, when there is no writer, waits for the next call or for pk_retention_run(), which has a worker of
 * its own (pass.h) make a whole pass: a function cannot commit between two steps.
 *
 * A retention that the server's files give (pk.retention_logs) is written to the store, where all find it.
 */
#include "pk_pg.h"

#include "pass.h"
#include "store_audit.h"
#include "store_sweep.h"

#include "miscadmin.h"
#include "utils/builtins.h"

/* What a pass leaves for who asked for it. */
struct retention_pass {
    struct pk_pass pass;
    struct pk_swept swept;
};

PGDLLEXPORT void pk_retention_main(Datum segment);

/* --- a step ------------------------------------------------------------------------------ */

static bool adopt_settings(struct pk_store *store, struct pk_error *err)
{
    struct pk_arena *arena = pk_arena_here();

    pk_store_act_as(store, "server", PK_STR("postgresql.conf"));
    for (int i = 0; i < PK_KEPT_COUNT; i++) {
        pk_str value = pk_str_of(pk_settings.retention[i]);

        if (value.len && !pk_store_setting_put(store, arena, pk_str_of(pk_kept_setting(i)), value,
                                               pk_clock_us(), err))
            return false;
    }
    return true;
}

struct step {
    struct pk_sweep *sweep;
    enum pk_sweep_then then;
};

static bool sweep(void *ctx, struct pk_store *store, struct pk_error *err)
{
    struct step *st = ctx;
    struct pk_sweep *w = st->sweep;

    return (w->stage > 0 || w->steps > 0 || adopt_settings(store, err)) &&
           pk_store_sweep(store, w, pk_clock_us(), &st->then, err);
}

static bool step(struct pk_sweep *w, enum pk_sweep_then *then, struct pk_error *err)
{
    struct step st = {w, *then};
    int64_t from_us = pk_clock_mono_us();
    bool ok = pk_transact(PK_WRITE, sweep, &st, err);

    *then = st.then;
    pk_sweep_took(w, pk_clock_mono_us() - from_us);
    return ok;
}

/* --- in the writer -------------------------------------------------------------------------- */

long pk_retention_turn(void)
{
    static struct pk_sweep w;
    static int64_t next_ms;
    struct pk_error err;
    enum pk_sweep_then then = PK_SWEEP_OVER;

    if (pk_clock_ms() < next_ms)
        return (long)(next_ms - pk_clock_ms());
    pgstat_report_activity(STATE_RUNNING, "pk: deleting rows by their retention");
    bool ok = step(&w, &then, &err);
    if (!ok)
        ereport(LOG, (errmsg("pk: old rows cannot be deleted: %s", err.msg)));
    pgstat_report_activity(STATE_IDLE, NULL);
    long pause_ms = (long)pk_sweep_pause_ms(ok, then);
    next_ms = pk_clock_ms() + pause_ms;
    return pause_ms;
}

/* --- a whole pass ---------------------------------------------------------------------------- */

static void run_pass(struct pk_pass *pass)
{
    struct pk_sweep w = {0};
    enum pk_sweep_then then = PK_SWEEP_ON;
    struct pk_error err;

    while (then != PK_SWEEP_OVER) {
        CHECK_FOR_INTERRUPTS();
        if (!step(&w, &then, &err)) {
            strlcpy(pass->why, err.msg, sizeof pass->why);
            return;
        }
    }
    ((struct retention_pass *)pass)->swept = w.swept;
    pass->done = true;
}

void pk_retention_main(Datum handle)
{
    pk_pass_main(handle, "pk: deleting rows by their retention", run_pass);
}

PK_FUNCTION(pk_sql_retention_run);
Datum pk_sql_retention_run(PG_FUNCTION_ARGS)
{
    struct pk_buf out = pk_buf_in(pk_arena_here(), PK_CONFIG_BYTES_MAX);
    dsm_segment *segment = pk_pass_new(sizeof(struct retention_pass));
    const struct retention_pass *p = dsm_segment_address(segment);

    pk_pass_make(segment, "retention", "pk_retention_main", "old rows could not all be deleted");
    pk_swept_print(&p->swept, &out);
    dsm_detach(segment);
    return pk_jsonb_datum(pk_buf_str(&out));
}

/* --- settings of the store ---------------------------------------------------------------------- */

static void check(struct pk_store *s, bool ok, const struct pk_error *err)
{
    pk_store_spi_check(s);
    if (!ok)
        pk_throw(err, PK_NONE,
                 err->code == PK_NOT_FOUND
                     ? "Other settings of pk are those of the server: SET pk.name = value."
                     : NULL);
}

PK_FUNCTION(pk_sql_set);
Datum pk_sql_set(PG_FUNCTION_ARGS)
{
    struct pk_error err;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), PK_WRITE);
    pk_store_act_as(s, "role", pk_str_of(GetUserNameFromId(GetUserId(), false)));
    bool ok = pk_store_setting_put(s, pk_arena_here(), pk_arg_text(fcinfo, 0),
                                   pk_arg_text(fcinfo, 1), pk_clock_us(), &err);
    check(s, ok, &err);
    if (PG_ARGISNULL(1))
        PG_RETURN_NULL();
    return PG_GETARG_DATUM(1);
}

PK_FUNCTION(pk_sql_get);
Datum pk_sql_get(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    pk_str value = PK_NONE;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), PK_READ);
    bool ok = pk_store_setting_known(pk_arg_text(fcinfo, 0))
                  ? pk_store_setting_get(s, pk_arena_here(), pk_arg_text(fcinfo, 0), &value, &err)
                  : pk_fail(&err, PK_NOT_FOUND, "no setting of the store is named \"%.*s\"",
                            PK_FMT(pk_str_sub(pk_arg_text(fcinfo, 0), 0, 64)));
    check(s, ok, &err);
    if (value.len == 0)
        PG_RETURN_NULL();
    return pk_text_datum(value);
}
