/* rows.h - rows that ask, of a query of the user, and rows that answer, as pk_map() and the like give them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_ROWS_H
#define PK_ROWS_H

#include "pk_pg.h"

#include "batch.h"

#include "executor/spi.h"
#include "utils/portal.h"
#include "utils/tuplestore.h"

enum pk_ask_kind { PK_ASK_PROMPT, PK_ASK_MESSAGES, PK_ASK_VARS };

/* One row as it was read: in the memory context of the moment. */
struct pk_ask_row {
    bool has_key, has_text;
    pk_str key, text;
    enum pk_ask_kind kind;
};

/* A query with the columns key (or not) and prompt, messages or vars. Zeroed, then pk_rows_open() between SPI_connect()
 * and SPI_finish(); runs as the caller, and may only read. Throws. */
struct pk_rows {
    Portal portal;
    SPITupleTable *rows;
    uint64 row, row_count;
    int key_column, text_column; /* from 1; key_column 0: none */
    enum pk_ask_kind kind;
};
void pk_rows_open(struct pk_rows *r, const char *query);
bool pk_rows_next(struct pk_rows *r, struct pk_ask_row *row); /* false: there are no more */

/* The rows of a function that returns a set; zeroed at first. */
struct pk_out {
    Tuplestorestate *store;
    TupleDesc desc;
};
struct pk_out_row {
    int64 ord;
    bool has_key;
    pk_str key;
    const struct pk_result *result;
};
void pk_out_open(struct pk_out *out, FunctionCallInfo fcinfo); /* what the caller will read */
void pk_out_put(struct pk_out *out, const struct pk_out_row *row);

Datum pk_usd_datum(int64_t pusd); /* numeric, dollars */

#endif
