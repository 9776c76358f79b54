/* logs_filter.h - which calls of the log a request is about.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Read from a query ("provider=openai&cost_max=5") or from a JSON object with the same members, in Portkey's words;
 * given to every statement of sql/statements.sql that begins with the parameters @filter@. A word that is none is
 * an error, because without it the answer would be about more than was asked for.
 */
#ifndef PKD_LOGS_FILTER_H
#define PKD_LOGS_FILTER_H

#include "errand.h"
#include "store_value.h"

/* The parameters, in the order of the part "filter". */
enum pkd_filter_arg {
    PKD_F_from_id,
    PKD_F_to_id,
    PKD_F_trace_id,
    PKD_F_span_id,
    PKD_F_status,
    PKD_F_http_status,
    PKD_F_provider,
    PKD_F_model,
    PKD_F_ai_org_model,
    PKD_F_virtual_key,
    PKD_F_config,
    PKD_F_api_key,
    PKD_F_user_id,
    PKD_F_prompt,
    PKD_F_cache_status,
    PKD_F_operation,
    PKD_F_source,
    PKD_F_search,
    PKD_F_cost_min,
    PKD_F_cost_max,
    PKD_F_units_min,
    PKD_F_units_max,
    PKD_F_input_min,
    PKD_F_input_max,
    PKD_F_output_min,
    PKD_F_output_max,
    PKD_F_duration_min,
    PKD_F_duration_max,
    PKD_F_http_min,
    PKD_F_http_max,
    PKD_F_metadata,
    PKD_F_feedback_min,
    PKD_F_feedback_max,
    PKD_F_needle, /* of the metadata: what its text must have in it */
    PKD_FILTER_ARGS
};

enum { PKD_PAGE_ROWS_DEFAULT = 50, PKD_PAGE_ROWS_MAX = 1000 };

/* Lives as long as the arena; stays where it is. */
struct pkd_filter {
    struct pk_value args[PKD_FILTER_ARGS + 4]; /* with room for what a statement has behind them */
    uint8_t from_id[PK_UUID_BYTES], to_id[PK_UUID_BYTES];
    int64_t from_us, to_us;             /* to_us: no longer in the range */
    int64_t asked_from_us, asked_to_us; /* before it was narrowed to a trace */
    bool narrow;                        /* by anything but the time */
    /* What is asked for of what there is. */
    int64_t page_size, current_page;
    pk_str after, interval, format, fields, payloads;
};

/* False with PK_BAD_REQUEST, which names the word. Looks a trace up, so that it need not be looked for. */
bool pkd_filter_query(struct pkd_errand *e, struct pkd_filter *f,
                      struct pk_error *err) PK_MUST_CHECK;
/* Pages and the like mean nothing in such an object, and are passed over. */
bool pkd_filter_json(struct pkd_errand *e, const struct pk_json *doc, int object,
                     struct pkd_filter *f, struct pk_error *err) PK_MUST_CHECK;

/* ISO 8601, or a number since 1970: of seconds, milliseconds or microseconds, as its size says. */
bool pkd_time_read(pk_str text, int64_t *at_us);

/* From now on only what is older than this call. */
void pkd_filter_before(struct pkd_filter *f, const uint8_t id[PK_UUID_BYTES]);

/* No longer narrowed to when the calls of a trace began. */
void pkd_filter_widen(struct pkd_filter *f);

/* How long a point of a graph lasts: what was asked for; otherwise a minute for up to six hours, an hour for up to
 * a fortnight, a day for longer. */
int64_t pkd_filter_bucket_us(const struct pkd_filter *f);

#endif
