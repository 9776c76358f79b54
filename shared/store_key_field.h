/* store_key_field.h - the fields of a virtual key's provider, in its row and beside its secret.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_KEY_FIELD_H
#define PK_STORE_KEY_FIELD_H

#include "place.h"

/* From the row: a JSON object, or empty, which leaves *fields as it is. */
bool pk_key_fields_parse(struct pk_arena *arena, pk_str text,
                         const struct pk_target_fields **fields,
                         struct pk_error *err) PK_MUST_CHECK;
/* For the row; *text is empty when there are none. PK_BAD_REQUEST names a field of another provider. */
bool pk_key_fields_print(struct pk_arena *arena, const struct pk_provider *p,
                         const struct pk_target_fields *fields, pk_str *text,
                         struct pk_error *err) PK_MUST_CHECK;
/* Whether a secret of several parts has none that the provider does not know. A service account gives its project to
 * the fields. */
bool pk_key_secret_check(struct pk_arena *arena, const struct pk_provider *p, pk_str secret,
                         struct pk_target_fields *fields, struct pk_error *err) PK_MUST_CHECK;
/* Those of the key under those of the config. */
const struct pk_target_fields *pk_key_fields_join(struct pk_arena *arena,
                                                  const struct pk_target_fields *of_key,
                                                  const struct pk_target_fields *of_config);

#endif
