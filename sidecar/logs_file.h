/* logs_file.h - calls of the log as lines of JSON or CSV.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_LOGS_FILE_H
#define PKD_LOGS_FILE_H

#include "logs_filter.h"

enum { PKD_EXPORTS_MAX = 2 }; /* at a time: each keeps one of PKD_CLERKS */

/* Sends the calls that the filter lets through, newest first. `format` is jsonl, or csv, which begins with the names;
 * `fields` are names of pkd_log_cells, request or response, with commas between; empty: all but these two. */
bool pkd_logs_send(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err) PK_MUST_CHECK;

/* Whether `fields` are such names. */
bool pkd_fields_check(pk_str fields, struct pk_error *err) PK_MUST_CHECK;

#endif
