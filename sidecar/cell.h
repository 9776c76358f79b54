/* cell.h - values of the store as the control APIs print them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A table of struct pkd_cell says which column of a statement goes out under which name, and in which unit.
 */
#ifndef PKD_CELL_H
#define PKD_CELL_H

#include "buf.h"
#include "store_value.h"

enum pkd_cell_kind {
    PKD_CELL_TEXT,
    PKD_CELL_INT,
    PKD_CELL_BOOL,
    PKD_CELL_REAL,
    PKD_CELL_MILLI, /* thousandths, of milliseconds and others */
    PKD_CELL_USD,   /* pico-dollars as dollars */
    PKD_CELL_CENTS, /* and as cents, which is Portkey's unit */
    PKD_CELL_TIME,
    PKD_CELL_JSON,
    PKD_CELL_UUID,
    PKD_CELL_CURRENCY, /* of a cost: its name */
};

struct pkd_cell {
    const char *name;
    int column;
    enum pkd_cell_kind kind;
};

/* As a member of an object, with a comma first where one is needed. */
void pkd_cell_member(struct pk_buf *out, const struct pkd_cell *cell,
                     const struct pk_value *columns);
/* All of a table that ends with a cell without a name. */
void pkd_cell_members(struct pk_buf *out, const struct pkd_cell *cells,
                      const struct pk_value *columns);
/* As a field of CSV (RFC 4180): nothing when it is NULL, in quotes when it must be. */
void pkd_cell_csv(struct pk_buf *out, const struct pkd_cell *cell, const struct pk_value *columns);
void pkd_csv_text(struct pk_buf *out, pk_str text);

#endif
