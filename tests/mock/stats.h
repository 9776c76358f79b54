/* stats.h - what the mock provider saw, for tests to look at.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_STATS_H
#define MOCK_STATS_H

#include "ask.h"

struct stats {
    int64_t requests, connections_accepted, open, in_flight, max_in_flight;
    int64_t aborted; /* answers that the client did not wait for */
};

extern struct stats stats;

/* Counts a request and keeps it as the last one. `at_ms` is since the program started. */
void stats_note(const struct ask *a, int64_t at_ms);
/* Answers GET /__mock/stats, /__mock/last, /__mock/recent; false when it is another path. */
bool stats_answer(const char *path, struct text *out);
/* Forgets all but the open connections and the requests in flight. */
void stats_reset(void);

#endif
