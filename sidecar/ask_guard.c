/* ask_guard.c - guardrails that a request brings along.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ask.h"

#include "store_guard.h"
#include "xfer.h"

static bool read_list(struct pk_store_binding *b, pk_str text, enum pk_guard_phase phase,
                      const struct pk_guards **out, struct pk_error *err)
{
    static const char *const names[] = {"x-portkey-default-input-guardrails",
                                        "x-portkey-default-output-guardrails"};
    struct pk_guards *list = NULL;

    if (text.len == 0)
        return true;
    if (!pk_guards_parse(b->arena, text, phase, names[phase], &list, err) ||
        !pk_store_guards_bind(b, list, err))
        return false;
    *out = list;
    return true;
}

bool pkd_ask_guards(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                    struct pk_request *req, struct pk_error *err)
{
    req->native = pk_str_is_nocase(ask->strict, "false");
    if (ask->guards_in.len == 0 && ask->guards_out.len == 0)
        return true;
    struct pk_store_binding b = {store, arena, pk_clock_us(), INT64_MAX};
    return read_list(&b, ask->guards_in, PK_GUARD_INPUT, &req->guards[PK_GUARD_INPUT], err) &&
           read_list(&b, ask->guards_out, PK_GUARD_OUTPUT, &req->guards[PK_GUARD_OUTPUT], err);
}
