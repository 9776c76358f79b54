/* target_field.h - the fields that only some providers take: a table, its names and what may stand in them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What becomes of them is place.h's; secret ones go into the target's key (config_field.c) and no further.
 */
#ifndef PK_TARGET_FIELD_H
#define PK_TARGET_FIELD_H

#include "base.h"

enum pk_target_field {
#define TARGET_FIELD(name, other, shape, environment, header, providers) PK_TF_##name,
#include "target_fields.def"
#undef TARGET_FIELD
    PK_TARGET_FIELDS
};

enum pk_field_shape {
    PK_SHAPE_TEXT,        /* what a header line may hold */
    PK_SHAPE_LABEL,       /* one label of a host name: a-z, 0-9 and dashes */
    PK_SHAPE_ACCOUNT,     /* as LABEL, or several with dots between; a stored key is bound to it */
    PK_SHAPE_SEGMENT,     /* one segment of a path; escaped where it is used */
    PK_SHAPE_URL,         /* a base URL, in place of the provider's own */
    PK_SHAPE_SECRET,      /* part of the key */
    PK_SHAPE_SECRET_JSON, /* the same; a JSON object, or the text of one */
};

struct pk_target_field_row {
    const char *name, *other;
    enum pk_field_shape shape;
    const char *environment; /* the variable that says it where the key is the environment's */
    const char *header;      /* it is sent upstream in; empty: none */
    const char *providers;   /* that take it, blank separated */
};

/* What a target says of them; empty: not given. */
struct pk_target_fields {
    pk_str at[PK_TARGET_FIELDS];
};

const struct pk_target_field_row *pk_target_field_row(enum pk_target_field f);
/* By its name or other name, in snake_case; -1 when there is none. */
int pk_target_field_find(pk_str name);
bool pk_target_field_secret(enum pk_target_field f);
bool pk_target_field_taken(enum pk_target_field f, const char *provider);
/* NULL, or why the value cannot be one of this field: "must be ...". */
const char *pk_target_field_wrong(enum pk_target_field f, pk_str value);

#endif
