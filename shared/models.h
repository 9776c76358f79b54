/* models.h - which models a virtual key is for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_MODELS_H
#define PK_MODELS_H

#include "json.h"

enum { PK_MODELS_MAX = 128, PK_MODEL_BYTES_MAX = 256 };

/* Patterns: '*' stands for any bytes, '?' for one. */
struct pk_models {
    const pk_str *allowed, *denied;
    int allowed_count, denied_count; /* no allowed ones: all that are not denied */
};

/* Whether `text` is what `pattern` describes, as a whole. */
bool pk_models_match(pk_str pattern, pk_str text);

/* Reads one list: a JSON array of 1..PK_MODELS_MAX patterns. `name` is for the error, PK_BAD_REQUEST. */
bool pk_models_read(struct pk_arena *arena, const struct pk_json *doc, int value, const char *name,
                    const pk_str **list, int *count, struct pk_error *err) PK_MUST_CHECK;

/* A model that is denied is not allowed, whatever else says so; one without a name is not, when there is
 * a list. */
bool pk_models_allow(const struct pk_models *models, pk_str model);

#endif
