/* schema.h - JSON Schema, draft 2020-12.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A schema is compiled once and judges any number of values. Every keyword of the draft's core,
 * applicator, unevaluated and validation vocabularies is there. References are followed inside the
 * document only, $id, $anchor and $dynamicAnchor included. Numbers are compared in decimal, digit by
 * digit. Unknown keywords are annotations, as the draft says; spellings of older drafts that would
 * quietly mean nothing (`items` as a list, `additionalItems`, `dependencies`) are refused.
 */
#ifndef PK_SCHEMA_H
#define PK_SCHEMA_H

#include "json.h"

enum {
    PK_SCHEMA_BYTES_MAX = 256 << 10, /* a schema document */
    PK_SCHEMA_DEPTH_MAX = 512,       /* schemas inside of each other while a value is judged */
    PK_SCHEMA_STEPS_MAX = 8 << 20,   /* schemas applied and values compared for one value */
};

enum {
    PK_SCHEMA_FORMATS = 1 << 0, /* `format` is a rule; without it, an annotation */
};

struct pk_schema; /* compiled; read-only, so that many calls may share it */

/* Compiles `text`, of which it keeps a copy. The error is PK_BAD_JSON, or PK_BAD_CONFIG
 * with the place: "schema.properties.age.type: must be ...". */
bool pk_schema_compile(struct pk_arena *arena, pk_str text, unsigned flags,
                       const struct pk_schema **out, struct pk_error *err) PK_MUST_CHECK;

enum pk_schema_verdict {
    PK_SCHEMA_VALID,
    PK_SCHEMA_INVALID,
    PK_SCHEMA_UNDECIDED, /* a limit was reached, or memory is out: nobody knows */
};

/* Judges `value` of `doc`. *why says what is wrong first, and where: "$.items[2].age: must be an
 * integer". It names members, never the content of strings or numbers of the value. `arena` is for the
 * time of the call only. */
enum pk_schema_verdict pk_schema_check(struct pk_arena *arena, const struct pk_schema *schema,
                                       const struct pk_json *doc, int value, struct pk_error *why);

#endif
