/* log.h - what pkd tells its operator: one line an event, on stderr.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *     2026-11-21T12:00:00.123Z info listening addr=127.0.0.1:8787 threads=1
 *     {"time":"2026-11-21T12:00:00.123Z","level":"info","event":"listening","addr":"127.0.0.1:8787","threads":1}
 *
 * Never prompt text, never a secret.
 */
#ifndef PKD_LOG_H
#define PKD_LOG_H

#include "base.h"

enum pkd_level { PKD_ERROR, PKD_WARN, PKD_INFO, PKD_DEBUG };

/* What is told from now on: before any thread is there. `level` is one of options.def. At first: info and above, as
 * text. */
void pkd_log_set(const char *level, bool json);

/* `fmt` is the event's name and its pairs: "stopped signal=%u why=%s". A value is what stands before the next blank,
 * made of text and the conversions %s %.*s %d %u %zu %lld; it is quoted where it has to be, and is a number in JSON
 * when it is one conversion of a number. A pair whose value is empty is left out. */
void pkd_debug(const char *fmt, ...) PK_PRINTF(1, 2);
void pkd_info(const char *fmt, ...) PK_PRINTF(1, 2);
/* The same warning more than a few times in ten seconds is counted, and the count told with its next line. */
void pkd_warn(const char *fmt, ...) PK_PRINTF(1, 2);
void pkd_error(const char *fmt, ...) PK_PRINTF(1, 2);

#endif
