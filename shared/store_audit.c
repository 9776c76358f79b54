/* store_audit.c - see store_audit.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_audit.h"

#include "store_value.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Once a request: without printf. */
void pk_store_act_as(struct pk_store *s, const char *kind, pk_str name)
{
    const pk_str pieces[] = {pk_str_of(kind), PK_STR(":"), name};
    size_t end = 0, bad;

    for (size_t i = 0; i < PK_COUNT(pieces); i++) {
        pk_str piece = pk_str_sub(pieces[i], 0, sizeof s->actor - 1 - end);

        if (piece.len)
            memcpy(s->actor + end, piece.at, piece.len);
        end += piece.len;
    }
    s->actor[end] = 0;
    if (!pk_utf8_valid((pk_str){s->actor, end}, &bad))
        s->actor[bad] = 0; /* cut inside a character, or never one */
}

void pk_store_act_as_user(struct pk_store *s)
{
    char space[1024];
    struct passwd entry, *user = NULL;

    if (getpwuid_r(geteuid(), &entry, space, sizeof space, &user) != 0 || !user)
        (void)snprintf(space, sizeof space, "%u", (unsigned)geteuid());
    pk_store_act_as(s, "os", pk_str_of(user ? user->pw_name : space));
}

pk_str pk_store_actor_name(const struct pk_store *s)
{
    pk_str actor = pk_str_of(s->actor);

    return pk_str_sub(actor, (size_t)pk_str_find(actor, ':') + 1, actor.len);
}

static bool put_row(struct pk_store *s, const struct pk_change *change, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_int(change->at_us),
        pk_v_required(pk_str_of(s->actor)),
        pk_v_required(pk_str_of(change->verb)),
        pk_v_required(change->object),
        pk_v_text(change->detail),
    };

    return s->ops->exec(s, PK_SQL_audit_put, args, PK_COUNT(args), NULL, NULL, err);
}

static bool note(struct pk_store *s, const struct pk_change *change, struct pk_error *err)
{
    const struct pk_value now[] = {pk_v_int(change->at_us)};

    return put_row(s, change, err) &&
           s->ops->exec(s, PK_SQL_epoch_bump, now, PK_COUNT(now), NULL, NULL, err);
}

bool pk_store_change_end(struct pk_store *s, bool ok, const struct pk_change *change,
                         struct pk_error *err)
{
    struct pk_error ignored;

    if (ok && change)
        ok = note(s, change, err);
    if (ok)
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &ignored);
    return false;
}
