/* guard_draft.h - a guardrail while it is read.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_GUARD_DRAFT_H
#define PK_GUARD_DRAFT_H

#include "guard_inner.h"

struct pk_guard_draft {
    struct pk_guardrail g;
    const struct pk_guard_kind *flat; /* the check of the flat dialect, or NULL */
    struct pk_check own;              /* and what its members say */
    bool redact;                      /* what is found is to be blotted out */
    bool mode_given, fail_on_error_given, fail_on_error;
};

/* What every check takes beside its kind's own parameters; read into a struct pk_check. */
extern const struct pk_config_member pk_guard_check_members[];

struct pk_check *pk_guard_add_check(struct pk_config_reader *p, struct pk_guard_draft *d);
bool pk_guard_begin_params(struct pk_config_reader *p, struct pk_check *check);
bool pk_guard_unknown_parameter(struct pk_config_reader *p, int key);
bool pk_guard_finish_check(struct pk_config_reader *p, const struct pk_guard_draft *d,
                           struct pk_check *check);
/* The check called `id`, with the object `params` (-1: none). */
bool pk_guard_read_check(struct pk_config_reader *p, struct pk_guard_draft *d, pk_str id,
                         int params, bool disabled);
/* The member "checks" of a draft. */
bool pk_guard_read_checks(struct pk_config_reader *p, int value, void *into);

#endif
