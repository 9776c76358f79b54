/* store_payload.h - where the texts of log rows go.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever writes records in groups (store_group.h) gathers their texts in packs (payload.h): a row of pk_payload a
 * pack, and none for a text that came in the last seconds. Long texts, and those of a record that is
 * written alone, are rows of their own, each once however often it comes.
 */
#ifndef PK_STORE_PAYLOAD_H
#define PK_STORE_PAYLOAD_H

#include "store.h"

enum { PK_PACKED_AGAIN_US = 10 * 1000 * 1000 }; /* then a text that still comes is stored anew */

struct pk_packing;
struct pk_packing *pk_packing_new(void); /* NULL: no memory */
void pk_packing_free(struct pk_packing *p);

/* Before a transaction; `kept`: the one before did not fail. NULL is fine. */
void pk_packing_begin(struct pk_packing *p, bool kept);

/* Stores a text of a record of that time, within the transaction; *place is what the log row refers to. `scratch`
 * is for what is on the way. */
bool pk_store_payload_put(struct pk_store *s, struct pk_arena *scratch, pk_str text, int64_t at_us,
                          int64_t *place, struct pk_error *err) PK_MUST_CHECK;

/* Writes the pack that is open; before the transaction ends. */
bool pk_store_packing_end(struct pk_store *s, struct pk_error *err) PK_MUST_CHECK;

#endif
