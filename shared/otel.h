/* otel.h - a call and its steps as OpenTelemetry has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * JSON as OTLP/HTTP takes it (opentelemetry-proto, trace/v1), in the words of the conventions for generative AI; what
 * they have no word for is under "pk.". The view pk_logs_otel says the same of the log. Tokens and cost are the
 * call's alone, so that they add up.
 */
#ifndef PK_OTEL_H
#define PK_OTEL_H

#include "buf.h"
#include "record.h"

enum { PK_OTEL_TRACE_HEX = 32, PK_OTEL_SPAN_HEX = 16 };

/* Appends the span of the call and those of its steps, with commas between. */
void pk_otel_print(struct pk_buf *out, const struct pk_record *r);

/* An id of `digits` hex digits: `text` itself when it has so many (dashes count for nothing in a trace's); otherwise
 * the digits of its last bytes. */
void pk_otel_id(pk_str text, int digits, char *out);

/* Takes a W3C traceparent apart: "00-<32 hex>-<16 hex>-01". Both borrow from it. False when it is none. */
bool pk_otel_parent(pk_str header, pk_str *trace_id, pk_str *span_id) PK_MUST_CHECK;

#endif
