/* body.h - what every request's body must be, before anything is read from it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_BODY_H
#define PK_BODY_H

#include "json.h"

/* Parses a body: an object with `input`, a list of messages or what else it is about (NULL: nothing in particular), in which nothing is said twice that rights, limits and guardrails
 * look at. JSON lets a name be repeated, and readers differ in which of the values they take: what pk has
 * looked at must be what the provider reads. Fails with PK_BAD_JSON, PK_BAD_REQUEST, PK_NO_MEMORY. */
bool pk_body_parse(struct pk_arena *arena, pk_str text, const char *input, struct pk_json *doc,
                   struct pk_error *err) PK_MUST_CHECK;

#endif
