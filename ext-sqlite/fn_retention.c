/* fn_retention.c - pk_retention_run: everything that is too old goes now.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "interrupt.h"
#include "store_sweep.h"
#include "value.h"

enum { LOOK_MS = 5 };

/* Step by step, each a transaction, so that others get their turn. */
static bool run(struct pk_conn *c, struct pk_sweep *w, struct pk_error *err)
{
    struct pk_interrupt interrupt = {.db = c->db};
    enum pk_sweep_then then = PK_SWEEP_ON;
    bool ok = true;

    while (ok && then != PK_SWEEP_OVER) {
        int64_t from_us = pk_clock_mono_us();

        ok = pk_store_sweep(c->store, w, pk_clock_us(), &then, err);
        pk_sweep_took(w, pk_clock_mono_us() - from_us);
        if (ok && then != PK_SWEEP_OVER && pk_interrupted(&interrupt, LOOK_MS))
            ok = pk_fail(err, PK_CANCELLED, "cancelled; what is gone is gone");
    }
    pk_interrupt_end(&interrupt);
    return ok;
}

/* pk_retention_run(): JSON of how many rows went, {logs, spans, payloads, cache, feedback, audit, pages}. */
void pk_fn_retention_run(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_sweep w = {0};
    struct pk_arena arena;
    struct pk_error err;

    (void)count;
    (void)values;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    struct pk_buf out = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);
    c->busy++;
    if (pk_conn_ready(c, &err) && pk_conn_flush(c, &err) && run(c, &w, &err)) {
        pk_swept_print(&w.swept, &out);
        pk_result_json(ctx, pk_buf_str(&out));
    } else {
        pk_result_error(ctx, &err, PK_NONE);
    }
    c->busy--;
    pk_arena_free(&arena);
}
