/* jsontext.h - JSON in a text that a person or a model wrote.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * That is the text itself when it is an array or an object; or what stands in fenced blocks; or else every
 * outermost {...} and [...] that parses, left to right.
 */
#ifndef PK_JSONTEXT_H
#define PK_JSONTEXT_H

#include "json.h"

struct pk_jsontext {
    struct pk_arena *arena;
    pk_str text, rest;
    enum { PK_JSONTEXT_WHOLE, PK_JSONTEXT_FENCED, PK_JSONTEXT_ANYWHERE, PK_JSONTEXT_OVER } stage;
    int left;  /* candidates that may still be tried at this stage */
    bool some; /* one was found */
};

/* Begins to look through `text`, which is borrowed. */
struct pk_jsontext pk_jsontext_of(struct pk_arena *arena, pk_str text);
/* The next piece, parsed into *doc; false at the end. */
bool pk_jsontext_next(struct pk_jsontext *t, struct pk_json *doc);

#endif
