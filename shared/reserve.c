/* reserve.c - see reserve.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reserve.h"

#include "record_wire.h"

enum {
    CODE_LAST = -1
#define FAILURE(code, name, status, sqlstate, retryable) +1
#include "errors.def"
#undef FAILURE
};

PK_FIELDS void wire_error(struct pk_wire *w, struct pk_error *e)
{
    int code = (int)e->code;

    pk_wire_small(w, &code, CODE_LAST);
    e->code = (enum pk_code)code;
    pk_wire_small(w, &e->status, 999);
    pk_wire_bool(w, &e->retryable);
    pk_wire_bytes(w, e->msg, sizeof e->msg);
    e->msg[sizeof e->msg - 1] = 0;
}

PK_FIELDS void wire(struct pk_wire *w, struct pk_reserve *r)
{
    int refused = r->refused + 1;

    pk_wire_bytes(w, r->id, sizeof r->id);
    pk_wire_int(w, &r->epoch);
    pk_wire_int(w, &r->expires_us);
    pk_holds_wire(w, &r->holds);
    pk_wire_bool(w, &r->granted);
    pk_wire_small(w, &refused, PK_HOLDS_MAX);
    r->refused = refused - 1;
    pk_wire_int(w, &r->retry_after_ms);
    pk_wire_bool(w, &r->in_use);
    wire_error(w, &r->error);
}

void pk_reserve_encode(const struct pk_reserve *r, struct pk_buf *out)
{
    struct pk_reserve copy = *r;
    struct pk_wire w = pk_wire_to(out);

    wire(&w, &copy);
    (void)pk_wire_end(&w);
}

bool pk_reserve_decode(pk_str bytes, struct pk_reserve *r, struct pk_hold rows[PK_HOLDS_MAX])
{
    struct pk_wire w = pk_wire_from(bytes);

    *r = (struct pk_reserve){.refused = -1, .holds.rows = rows};
    wire(&w, r);
    return pk_wire_end(&w);
}
