/* log.h - what pkd tells its operator: one line an event, on stderr.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *     2026-11-21T12:00:00.123Z info listening addr=127.0.0.1:8787 threads=1
 *
 * Never prompt text, never a secret.
 */
#ifndef PKD_LOG_H
#define PKD_LOG_H

#include "base.h"

/* `fmt` gives the event's name and its key=value pairs; line breaks become blanks. */
void pkd_info(const char *fmt, ...) PK_PRINTF(1, 2);
void pkd_warn(const char *fmt, ...) PK_PRINTF(1, 2);
void pkd_error(const char *fmt, ...) PK_PRINTF(1, 2);

#endif
