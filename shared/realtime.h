/* realtime.h - what a realtime session used, from the events that its provider sends.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * OpenAI's Realtime API (and Azure's, which is the same) is JSON events in WebSocket text messages. Each
 * response.done tells what that response used; a session used their sum. Audio and images have prices of
 * their own, and so has the transcription of what was said: a session with such tokens has no known
 * cost, unlike one of text alone.
 */
#ifndef PK_REALTIME_H
#define PK_REALTIME_H

#include "usage.h"
#include "wsframe.h"

struct pk_realtime {
    struct pk_arena message; /* for one event; emptied after each */
    struct pk_wsframes frames;
    struct pk_usage usage; /* of all responses so far; source NONE: of none */
    char model[128];       /* as the provider names it; empty: it has not */
    const char *why;       /* the cost cannot be known; NULL: nothing is in its way */
};

/* One per session, freed with `arena`. NULL when memory runs out. */
struct pk_realtime *pk_realtime_new(struct pk_arena *arena);

/* The next bytes from the provider. */
void pk_realtime_feed(struct pk_realtime *r, pk_str bytes);

#endif
