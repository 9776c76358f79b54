/* fn_erase.c - pk_logs_erase: one person's calls go.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "interrupt.h"
#include "store_erase.h"
#include "value.h"

enum { LOOK_MS = 5 };

/* Step by step, so that others get their turn. */
static bool run(struct pk_conn *c, struct pk_erasure *e, struct pk_error *err)
{
    struct pk_interrupt interrupt = {.db = c->db};
    bool ok = true, over = false;

    while (ok && !over) {
        int64_t from_us = pk_clock_mono_us();

        ok = pk_store_erase(c->store, e, &over, err);
        pk_erasure_took(e, pk_clock_mono_us() - from_us);
        if (ok && !over && pk_interrupted(&interrupt, LOOK_MS))
            ok = pk_fail(err, PK_CANCELLED, "cancelled; what is gone is gone");
    }
    pk_interrupt_end(&interrupt);
    return ok;
}

static bool erase(struct pk_conn *c, struct pk_args args, struct pk_arena *arena,
                  struct pk_buf *out, struct pk_error *err)
{
    struct pk_erase_filter filter;
    int64_t dry = 0;
    bool given;
    pk_str text;

    if (!pk_arg_text(args, 0, "filter", PK_CONFIG_BYTES_MAX, &text, err) ||
        !pk_arg_int(args, 1, "dry_run", &dry, &given, err) ||
        !pk_erase_filter_read(arena, text, &filter, err) || !pk_conn_ready(c, err) ||
        !pk_conn_flush(c, err)) /* what waits to be written would come back */
        return false;
    struct pk_erasure *e = pk_erasure_new(&filter, dry != 0, pk_clock_us(), err);
    bool ok = e && run(c, e, err);
    if (ok)
        pk_erased_print(e, out);
    pk_erasure_free(e);
    return ok;
}

/* pk_logs_erase(filter [, dry_run]): JSON of how many rows went. */
void pk_fn_logs_erase(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_conn *c = sqlite3_user_data(ctx);
    const struct pk_args args = {values, count};
    struct pk_arena arena;
    struct pk_error err;

    if (pk_args_null(args, count))
        return;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    struct pk_buf out = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);
    c->busy++;
    if (erase(c, args, &arena, &out, &err))
        pk_result_json(ctx, pk_buf_str(&out));
    else
        pk_result_error(ctx, &err, PK_NONE);
    c->busy--;
    pk_arena_free(&arena);
}
