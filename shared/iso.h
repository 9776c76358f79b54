/* iso.h - times as people write them (RFC 3339).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_ISO_H
#define PK_ISO_H

#include "base.h"

/* Microseconds since 1970 of "2030-01-31", "2030-01-31T12:00:00Z", "2030-01-31 12:00:00.5+02:00". No zone
 * means UTC; a leap second counts as the next one. False when `text` is none. */
bool pk_iso_us(pk_str text, int64_t *at_us);

/* The same of options.expires_at, which must be still to come. */
bool pk_expiry_read(pk_str text, int64_t now_us, int64_t *at_us,
                    struct pk_error *err) PK_MUST_CHECK;

enum { PK_ISO_BYTES = 25 };

/* "2030-01-31T12:00:00.123Z"; at_us is from 1970 to 9999. */
void pk_iso_print(int64_t at_us, char out[PK_ISO_BYTES]);

#endif
