/* control.h - what the control APIs have in common: bodies, slugs, lists and answers in Portkey's shapes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An id is the slug, the id of a version is "slug@3". Lists are {"object":"list","total":n,"data":[...]}. What
 * changes something is one transaction.
 */
#ifndef PKD_CONTROL_H
#define PKD_CONTROL_H

#include "errand.h"
#include "json.h"
#include "limit.h"
#include "store_title.h"

struct pkd_control;

/* One kind of thing that is administered. */
struct pkd_resource {
    const char *noun; /* in errors, and the "object" of what is answered: "virtual-key" */
    const char *kind; /* of its title (store_title.h) */
    const char
        *prefix; /* of the slugs that are made of names, or ""; NULL: a name that can be one is */
    /* The members that a body may have, in snake_case; camelCase is taken too. NULL at the end. */
    const char *const *members;
    bool (*more)(
        pk_str member);  /* whether there is another one of this name; NULL: there are none */
    const char *queries; /* what else a query may ask, separated by blanks; NULL: nothing */
    const char *note;    /* the member that is kept as the note; NULL: none is */
    bool wrapped; /* answers are {"success":true,"data":{...}}, and have the data outside as well */
    enum pk_limit_scope limited; /* whose limits are shown with it; PK_LS_ALL: it has none */
    int at;                      /* the path's segment that is the slug; 0: the third */
    /* Whether a list that is asked for in parts has this row; NULL: it has all. */
    bool (*chosen)(struct pkd_control *c, const struct pk_value *row);
    enum pk_stmt page; /* rows for print(): $1 is a slug, NULL for all; the slug comes first */
    /* Prints a row's members; `whole`: it was asked for alone. */
    void (*print)(struct pkd_control *c, const struct pk_value *row, bool whole);
};

/* One request. */
struct pkd_control {
    struct pkd_errand *errand;
    const struct pkd_resource *is;
    struct pk_arena *arena;
    struct pk_store *store;
    struct pk_buf *out;
    pk_str slug;         /* the path's third segment, or pkd_control_name()'s */
    struct pk_json body; /* pkd_control_body()'s */
    int64_t now_us;
    struct pkd_held *held; /* limits and what is used of them, of all that may be shown */
    int held_count;
    bool listed; /* the answer is a list */
    struct pk_error *err;
};

/* Prints the members of the answer. False with c->err filled. */
typedef bool pkd_control_fn(struct pkd_control *c);
bool pkd_control(struct pkd_errand *e, const struct pkd_resource *is, pkd_control_fn *verb,
                 struct pk_error *err) PK_MUST_CHECK;

/* Defines what endpoints.def calls: pkd_NAME(), which does `verb` with the resource. */
#define PKD_VERB(is, name, verb)                                                                   \
    pkd_errand_fn pkd_##name;                                                                      \
    bool pkd_##name(struct pkd_errand *e, struct pk_error *err)                                    \
    {                                                                                              \
        return pkd_control(e, &is, verb, err);                                                     \
    }

/* The verbs that are the same for all. */
pkd_control_fn pkd_control_list, pkd_control_get;

/* --- bodies: what a verb that changes something begins with ------------------------------------- */

/* Reads the body, which has no member but those that there are. */
bool pkd_control_body(struct pkd_control *c) PK_MUST_CHECK;
/* The value of a member, by its name in snake_case; -1: not given. */
int pkd_control_at(const struct pkd_control *c, const char *member);
/* The text of a member; empty when it is null or not given. */
bool pkd_control_text(struct pkd_control *c, const char *member, pk_str *text) PK_MUST_CHECK;
/* "apiVersion" as "api_version". */
pk_str pkd_snake(struct pk_arena *arena, pk_str name);

/* Sets c->slug to one that is free: the body's "slug", else one made of its "name". */
bool pkd_control_name(struct pkd_control *c) PK_MUST_CHECK;
/* The prefix, and the letters and digits of the name with '-' for what is between. */
pk_str pkd_slug_of(struct pk_arena *arena, const char *prefix, pk_str name);
/* Whether `c->slug` is there; an error says that it is not. */
bool pkd_control_known(struct pkd_control *c) PK_MUST_CHECK;
/* Keeps the body's name and note, if it has them. */
bool pkd_control_title(struct pkd_control *c) PK_MUST_CHECK;
/* Forgets them. */
bool pkd_control_untitle(struct pkd_control *c) PK_MUST_CHECK;
/* A "status" other than active is refused: what is archived elsewhere is deleted here. */
bool pkd_control_active(struct pkd_control *c) PK_MUST_CHECK;

/* --- answers -------------------------------------------------------------------------------------- */

void pkd_print_ids(struct pkd_control *c, pk_str slug);
pk_str pkd_version_id(struct pkd_control *c, pk_str slug, int64_t version);

/* Prints rate_limits, usage_limits, usage and status of what has the slug. `expires_us` 0: never. `one_rate`: a
 * single rate is no list, and none is null. */
void pkd_print_limits(struct pkd_control *c, pk_str slug, int64_t expires_us, bool one_rate);
/* When a count begins anew that is to begin so at `until_us`, 0: nothing was used yet; 0: never, or a window rolls. */
int64_t pkd_resets_us(enum pk_limit_window window, bool rolling, int64_t until_us, int64_t now_us);
/* Forgets what was used, when the body says reset_usage. */
bool pkd_control_reset(struct pkd_control *c) PK_MUST_CHECK;

#endif
