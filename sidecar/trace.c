/* trace.c - see trace.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "trace.h"

#include "http.h"
#include "record.h"
#include "xfer.h"

#include <stdio.h>
#include <sys/random.h>

static pk_str named(pk_str headers)
{
    pk_str trace = pk_http_header(headers, "x-portkey-trace-id");

    if (trace.len == 0)
        trace = pk_http_header(headers, "x-pk-trace-id");
    return trace.len <= PK_SLUG_BYTES_MAX && pk_http_valid_value(trace) ? trace : PK_NONE;
}

size_t pkd_trace_line(pk_str request_headers, char line[PKD_TRACE_LINE_BYTES])
{
    pk_str trace = named(request_headers);
    char text[PK_UUID_TEXT + 1];

    if (trace.len == 0) {
        uint64_t random = 0;
        uint8_t id[PK_UUID_BYTES];

        if (getrandom(&random, sizeof random, 0) < 0)
            random = (uint64_t)pk_clock_us(); /* it is no secret */
        pk_uuid7(pk_clock_us(), random, id);
        pk_uuid_print(id, text);
        trace = pk_str_of(text);
    }
    int len = snprintf(line, PKD_TRACE_LINE_BYTES, "x-portkey-trace-id: %.*s\r\n", PK_FMT(trace));
    return len > 0 ? (size_t)len : 0;
}
