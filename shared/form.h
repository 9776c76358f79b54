/* form.h - a multipart/form-data body (RFC 7578): its fields as JSON, and the body with other fields in it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A form is sent byte for byte unless a field of it is to change. Where two readers might differ about what it
 * says (a field given twice, an encoding, a delimiter that is almost one) it is refused, because rights and
 * limits go by what pk has read.
 */
#ifndef PK_FORM_H
#define PK_FORM_H

#include "json.h"

enum { PK_FORM_PARTS_MAX = 512, PK_FORM_BOUNDARY_MAX = 70, PK_FORM_HEAD_BYTES_MAX = 8 << 10 };

struct pk_form_part {
    pk_str name;
    pk_str filename, type; /* of a file; may be empty */
    pk_str content;
    pk_str whole; /* with its delimiter before it and the line break behind it */
    bool file;
};

/* All of it borrows from the body. */
struct pk_form {
    pk_str boundary;
    struct pk_form_part *parts;
    int count;
};

/* Reads a body whose content-type header is `type`. PK_BAD_REQUEST, PK_NO_MEMORY. */
bool pk_form_parse(struct pk_arena *arena, pk_str type, pk_str body, struct pk_form *f,
                   struct pk_error *err) PK_MUST_CHECK;

/* {"model":"whisper-1","file":{"filename":"a.wav","content_type":"audio/wav","bytes":3},"tags[]":["a","b"]}: what
 * is called "name[]", and several files of one name, are lists. */
bool pk_form_fields(struct pk_arena *arena, const struct pk_form *f, pk_str *json,
                    struct pk_error *err) PK_MUST_CHECK;

/* The form with the fields of `after` where those were that pk_form_fields() has given: what is the same keeps its
 * bytes. PK_BAD_REQUEST for a value that a form cannot hold. */
bool pk_form_with(struct pk_arena *arena, const struct pk_form *f, pk_str after, pk_str *body,
                  struct pk_error *err) PK_MUST_CHECK;

#endif
