/* interrupt.c - see interrupt.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "interrupt.h"

#include <pthread.h>
#include <string.h>

static pthread_rwlock_t probing = PTHREAD_RWLOCK_INITIALIZER; /* for writing: by who forks */

/* About 1,150 opcodes, 9 us. */
static const char probe_sql[] = "with recursive c(x) as (select 1 union all select x + 1 from c "
                                "where x < 60) select max(x) from c";

/* The functions of sqlite3_api that came after the version that we are compiled with follow it. */
static bool flag_is_set(sqlite3 *db)
{
    const char *end =
        (const char *)&sqlite3_api->value_encoding + sizeof sqlite3_api->value_encoding;
    int (*is_interrupted)(sqlite3 *);

    if (sqlite3_libversion_number() < 3041000)
        return false;
    memcpy(&is_interrupted, end, sizeof is_interrupted);
    return is_interrupted(db) != 0;
}

static bool probe(struct pk_interrupt *p)
{
    if (flag_is_set(p->db))
        return true;
    if (p->unusable)
        return false;
    int rc = SQLITE_OK;
    if (!p->stmt)
        rc = sqlite3_prepare_v2(p->db, probe_sql, -1, &p->stmt, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(p->stmt);
        (void)sqlite3_reset(p->stmt);
    }
    if (rc == SQLITE_INTERRUPT)
        return true;
    p->unusable = rc != SQLITE_ROW;
    return false;
}

bool pk_interrupted(struct pk_interrupt *p, int64_t every_ms)
{
    int64_t now = pk_clock_ms();

    if (now - p->last_ms < every_ms || pthread_rwlock_tryrdlock(&probing) != 0)
        return false;
    bool interrupted = probe(p);
    (void)pthread_rwlock_unlock(&probing);
    p->last_ms = now;
    return interrupted;
}

void pk_interrupt_end(struct pk_interrupt *p)
{
    (void)sqlite3_finalize(p->stmt);
    p->stmt = NULL;
}

bool pk_interrupt_hold(int64_t wait_ms)
{
    int64_t at = pk_clock_mono_us() / 1000 + wait_ms;
    struct timespec until = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};

    return pthread_rwlock_clockwrlock(&probing, CLOCK_MONOTONIC, &until) == 0;
}

void pk_interrupt_let_go(void)
{
    (void)pthread_rwlock_unlock(&probing);
}

void pk_interrupt_in_child(void)
{
    probing = (pthread_rwlock_t)PTHREAD_RWLOCK_INITIALIZER;
}
