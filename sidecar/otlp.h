/* otlp.h - sends every finished call to an OpenTelemetry collector (OTLP over HTTP, as JSON).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   serving threads                     its own thread
 *   pkd_otlp_add(record) ── queue ────▶ a batch ──▶ POST {endpoint}/v1/traces
 *
 * The queue is bounded and nobody waits for it: what does not fit, or is not taken after a few tries, is dropped
 * and counted. Set by the variables that every OpenTelemetry SDK has: OTEL_EXPORTER_OTLP_ENDPOINT or
 * OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_SERVICE_NAME,
 * OTEL_SDK_DISABLED.
 */
#ifndef PKD_OTLP_H
#define PKD_OTLP_H

#include "record.h"

struct pkd_otlp;

struct pkd_otlp_stats {
    int64_t sent, dropped; /* calls since the start */
};

/* *out is NULL when no endpoint is set. False with *err filled when one is that cannot be used. */
bool pkd_otlp_open(struct pkd_otlp **out, struct pk_error *err) PK_MUST_CHECK;
/* Tries to send what is left, for at most two seconds. NULL is fine. */
void pkd_otlp_free(struct pkd_otlp *o);

/* From any thread; a copy is made, of all but request and response. NULL is fine. */
void pkd_otlp_add(struct pkd_otlp *o, struct pk_arena *arena, const struct pk_record *r);

struct pkd_otlp_stats pkd_otlp_stats(struct pkd_otlp *o);

#endif
