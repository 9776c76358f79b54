/* held.h - entries for which there is no room anywhere else; see held.c. Include pk_pg.h first.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_HELD_H
#define PK_HELD_H

bool pk_held_any(void);
/* To the spool, unless others are held already; else it is held behind them, or lost. */
void pk_held_put(pk_str entry);
/* Gives those that are held to the ring or the spool, as far as there is room; the last time the rest is lost. */
void pk_held_pass_on(bool last_time);

/* Of ring.c, for these. */
bool pk_ring_put_at_once(pk_str entry); /* into the ring or else the spool */
bool pk_ring_spool(pk_str entry);
void pk_ring_count_held(int64 change);
void pk_ring_lose(const char *why); /* counts one that is lost, and says so */

#endif
