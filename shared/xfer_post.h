/* xfer_post.h - one request, for threads that have nothing else to do meanwhile.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_XFER_POST_H
#define PK_XFER_POST_H

#include "base.h"

struct pk_poster;

/* `headers`: "name: value\n" lines, which are sent with each. Keeps its connection. NULL with *err filled. */
struct pk_poster *pk_poster_new(const char *url, const char *headers,
                                struct pk_error *err) PK_MUST_CHECK;
void pk_poster_free(struct pk_poster *p); /* NULL is fine */

/* Sends a JSON body and passes over what is answered. *status is the HTTP status; false with *err filled when there is
 * none within so many milliseconds. */
bool pk_poster_send(struct pk_poster *p, pk_str body, int64_t timeout_ms, int *status,
                    struct pk_error *err) PK_MUST_CHECK;

#endif
