/* interrupt.h - whether the statement that is running was interrupted.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * SQLite 3.41 and later answer that directly. Before, a small statement on the same connection is stepped: while
 * the outer one runs, the flag is not cleared, so it ends with SQLITE_INTERRUPT. It is stepped on newer
 * versions too, because it is long enough to call the progress handler that a program may have set,
 * which is how Python hears of Ctrl-C. It is prepared when first needed, and gone at the end: a statement kept
 * longer would make sqlite3_close() fail.
 */
#ifndef PK_INTERRUPT_H
#define PK_INTERRUPT_H

#include "conn.h"

/* Zeroed but for `db`. */
struct pk_interrupt {
    sqlite3 *db;
    sqlite3_stmt *stmt;
    bool unusable; /* an authorizer may refuse it */
    int64_t last_ms;
};

/* Looks at most once in `every_ms`; false in between. */
bool pk_interrupted(struct pk_interrupt *p, int64_t every_ms);
void pk_interrupt_end(struct pk_interrupt *p);

/* For who forks: from here on no thread looks, as it would leave SQLite's own locks taken in the child.
 * False when one still looks after `wait_ms`; the others go on. In the parent it is let go of. */
bool pk_interrupt_hold(int64_t wait_ms);
void pk_interrupt_let_go(void);
void pk_interrupt_in_child(void);

#endif
