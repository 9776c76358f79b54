/* field.h - what a config may look at in a request: metadata.tier, params.model, url.pathname.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * `metadata` is the call's metadata, `params` the body as the client sent it, before any target's
 * changes. A path may go deeper than its second name; a number picks an item of a list.
 */
#ifndef PK_FIELD_H
#define PK_FIELD_H

#include "json.h"
#include "request.h"

enum { PK_FIELD_STEPS_MAX = 8 };

enum pk_field_kind {
    PK_FIELD_METADATA, /* metadata.NAME... */
    PK_FIELD_PARAMS,   /* params.NAME... */
    PK_FIELD_PATHNAME, /* url.pathname */
    PK_FIELD_USER,     /* user_id: the call's, else metadata._user, else the body's `user` */
    PK_FIELD_TRACE,    /* trace_id, if the client gave one */
    PK_FIELD_SESSION,  /* session: metadata.session_id, else trace_id */
    PK_FIELD_PREFIX,   /* prefix: system messages, tools and the first user turn; has no value */
};

struct pk_field {
    enum pk_field_kind kind;
    int count;
    pk_str steps[PK_FIELD_STEPS_MAX]; /* the names behind metadata or params; NUL-terminated */
};

/* Where values come from. `metadata` has no nodes when the call has none. */
struct pk_field_source {
    struct pk_arena *arena;
    const struct pk_request *req;
    const struct pk_json *body;
    struct pk_json metadata;
};

/* A value, as conditions compare it. */
struct pk_scalar {
    enum pk_json_type type; /* PK_JSON_NONE: missing */
    pk_str text;            /* of a string: its content; else the JSON text */
    bool numeric;           /* a number, or a string that spells one */
    double number;
};

/* False when `text` names no field. Strings are copied into `arena`. */
bool pk_field_parse(struct pk_arena *arena, pk_str text, struct pk_field *field) PK_MUST_CHECK;

/* Parses the metadata. PK_BAD_JSON, PK_NO_MEMORY. */
bool pk_field_source_init(struct pk_field_source *from, struct pk_arena *arena,
                          const struct pk_request *req, const struct pk_json *body,
                          struct pk_error *err) PK_MUST_CHECK;

struct pk_scalar pk_scalar_of(struct pk_arena *arena, const struct pk_json *doc, int value);
struct pk_scalar pk_field_value(const struct pk_field_source *from, const struct pk_field *field);

#endif
