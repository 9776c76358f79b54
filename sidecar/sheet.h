/* sheet.h - a CSV file (RFC 4180), a row at a time, and rows for another one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_SHEET_H
#define PKD_SHEET_H

#include "arena.h"

#include <stdio.h>

enum { PKD_SHEET_COLUMNS_MAX = 1024, PKD_SHEET_ROW_BYTES_MAX = 16 << 20 };

struct pkd_sheet;

/* "-" is stdin. */
struct pkd_sheet *pkd_sheet_open(const char *path, struct pk_error *err) PK_MUST_CHECK;
void pkd_sheet_close(struct pkd_sheet *s); /* NULL is fine */

/* Whether `path` is the file that is read. */
bool pkd_sheet_is(const struct pkd_sheet *s, const char *path);

/* The fields of the next row, valid until the next call; *count 0: there is none. The error names the row. */
bool pkd_sheet_next(struct pkd_sheet *s, const pk_str **fields, int *count,
                    struct pk_error *err) PK_MUST_CHECK;

/* Writes a field, and what ends it: a comma, or the line's end when it is the last. */
void pkd_sheet_put(FILE *to, pk_str field, bool last);

#endif
