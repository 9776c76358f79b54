/* systemd.h - what a service manager passes and wants to hear: socket activation and sd_notify, without its library.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3). Without a service manager nothing happens.
 */
#ifndef PKD_SYSTEMD_H
#define PKD_SYSTEMD_H

#include "base.h"

/* How many sockets were passed to this process, and the first of their descriptors, which follow each other. Their
 * names do not matter. To be asked once: the environment forgets it. False when it makes no sense. */
bool pkd_systemd_sockets(int *first, int *count, struct pk_error *err) PK_MUST_CHECK;

/* Sends "READY=1" or the like, if somebody listens. */
void pkd_systemd_notify(const char *state);
/* RELOADING=1, with the time that it takes; READY=1 must follow. */
void pkd_systemd_reloading(void);

/* How often "WATCHDOG=1" is to be sent, which is twice as often as it is awaited; 0: never. */
int64_t pkd_systemd_watchdog_ms(void);

#endif
