/* trace.h - the trace that an answer names when it is not a call's.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Clients look for x-portkey-trace-id on every answer, errors among them.
 */
#ifndef PKD_TRACE_H
#define PKD_TRACE_H

#include "base.h"

enum { PKD_TRACE_LINE_BYTES = 32 + PK_SLUG_BYTES_MAX };

/* Writes the header line: the trace that the request's headers name, or else a new one. Returns its length. */
size_t pkd_trace_line(pk_str request_headers, char line[PKD_TRACE_LINE_BYTES]);

#endif
