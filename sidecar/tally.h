/* tally.h - what calls of the log add up to: the rows of a graph, a group or a summary.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Blocks go in, in any order; rows come out, like those of a statement. Rates and means in thousandths are rounded; a
 * percentile is the least latency that so many calls do not exceed. What is not known is NULL.
 */
#ifndef PKD_TALLY_H
#define PKD_TALLY_H

#include "block.h"

/* What is counted beside the calls themselves: these columns must be there. */
enum pkd_counting {
    PKD_N_ERRORS = 1 << 0,     /* status */
    PKD_N_COST = 1 << 1,       /* cost */
    PKD_N_UNITS = 1 << 2,      /* inputs, outputs */
    PKD_N_RESCUED = 1 << 3,    /* status, retries, fallback_index: those that succeeded after all */
    PKD_N_USERS = 1 << 4,      /* user_id */
    PKD_N_LATENCY = 1 << 5,    /* duration */
    PKD_N_SPREAD = 1 << 6,     /* duration: its percentiles */
    PKD_N_CACHE = 1 << 7,      /* cache_status, saved, duration */
    PKD_N_CODES = 1 << 8,      /* status, http_status: errors by status */
    PKD_N_RETRIES = 1 << 9,    /* as RESCUED: by how many retries it took */
    PKD_N_SPAN = 1 << 10,      /* started, duration: from the first to the last */
    PKD_N_BY_USER = 1 << 11,   /* user_id, cost */
    PKD_N_BY_MODEL = 1 << 12,  /* model, request_model, cost */
    PKD_N_BY_MEMBER = 1 << 13, /* the member of the block, cost, inputs, outputs, started */
};

/* The columns of a row. All but the last six begin with when the point begins. */
enum pkd_rows {
    PKD_R_CALLS, /* calls, errors, their rate, cost, its mean, tokens, their mean, retried, fallen back */
    PKD_R_USERS,   /* different users, calls, those that have a user, their mean by user */
    PKD_R_LATENCY, /* mean, p50, p90, p95, p99 */
    PKD_R_STACKS,  /* HTTP status, errors: a row for each, the most first */
    PKD_R_RETRIES, /* fallen back, retries, calls that took so many: a row for each */
    PKD_R_CACHE, /* hits, semantic ones, both, rate of those that looked, saved so far by either, mean us of hits */
    PKD_R_CODES,  /* HTTP status, errors, as STACKS */
    PKD_R_ERRORS, /* errors, different HTTP statuses */
    PKD_R_HITS,   /* hits, their mean us, calls, how many times longer a miss takes */
    PKD_R_TOTALS, /* calls, errors, cost, input, output, both, mean us, hits, users, first, end of the last */
    PKD_R_GROUPS,  /* text, calls, cost, how many groups there are: the largest first */
    PKD_R_MEMBERS, /* likewise: text, calls, cost, mean of tokens, of feedback, calls with feedback, the last, groups */
    PKD_R_NONE,
};

struct pkd_tally;

/* A point lasts bucket_us; INT64_MAX: there is one. It lives in `arena`; NULL: no memory. */
struct pkd_tally *pkd_tally_new(struct pk_arena *arena, unsigned counting, int64_t bucket_us);
/* Of which columns. */
unsigned pkd_tally_needs(unsigned counting, int64_t bucket_us);

/* Adds the calls that are picked. False: no memory. */
bool pkd_tally_add(struct pkd_tally *t, struct pkd_block *b) PK_MUST_CHECK;

/* What is thought of so many calls of a group; of one that has none, nothing. */
void pkd_tally_opinion(struct pkd_tally *t, pk_str group, double mean, int64_t calls);

/* No rows when no calls were counted. Groups begin behind `skip` of them and are at most `count`. False: no memory. */
struct pkd_tally_page {
    int64_t count, skip;
};
bool pkd_tally_rows(struct pkd_tally *t, enum pkd_rows rows, struct pkd_tally_page page,
                    pk_row_fn *on_row, void *ctx) PK_MUST_CHECK;

#endif
