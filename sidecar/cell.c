/* cell.c - see cell.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "cell.h"

#include "iso.h"
#include "json.h"
#include "record.h"

#include <math.h>
#include <string.h>

/* `number` of 10^-places, without zeros at its end. */
static void add_decimal(struct pk_buf *out, int64_t number, int places)
{
    uint64_t one = 1, whole = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    for (int i = 0; i < places; i++)
        one *= 10;
    pk_buf_addf(out, "%s%llu", number < 0 ? "-" : "", (unsigned long long)(whole / one));
    if (whole % one == 0)
        return;
    pk_buf_addf(out, ".%0*llu", places, (unsigned long long)(whole % one));
    while (!out->failed && out->len && out->at[out->len - 1] == '0')
        out->len--;
}

static void add_real(struct pk_buf *out, const struct pk_value *v)
{
    double number = v->type == PK_V_REAL ? v->r : (double)v->i;

    if (isfinite(number))
        pk_buf_addf(out, "%.12g", number);
    else
        pk_buf_adds(out, "null");
}

static pk_str iso(int64_t at_us, char text[PK_ISO_BYTES])
{
    pk_iso_print(at_us, text);
    return pk_str_of(text);
}

static pk_str uuid(const struct pk_value *v, char text[PK_UUID_TEXT + 1])
{
    PK_ASSERT(v->s.len == PK_UUID_BYTES);
    pk_uuid_print((const uint8_t *)v->s.at, text);
    return pk_str_of(text);
}

/* The value as JSON; null when it is NULL. */
static void print(struct pk_buf *out, const struct pkd_cell *cell, const struct pk_value *columns)
{
    const struct pk_value *v = &columns[cell->column];
    char text[PK_UUID_TEXT + 1];

    if (v->type == PK_V_NULL) {
        pk_buf_adds(out, "null");
        return;
    }
    switch (cell->kind) {
    case PKD_CELL_TEXT: pk_json_quote(out, v->s); break;
    case PKD_CELL_INT: pk_buf_addf(out, "%lld", (long long)v->i); break;
    case PKD_CELL_BOOL: pk_buf_adds(out, v->i ? "true" : "false"); break;
    case PKD_CELL_REAL: add_real(out, v); break;
    case PKD_CELL_MILLI: add_decimal(out, v->i, 3); break;
    case PKD_CELL_USD: add_decimal(out, v->i, 12); break;
    case PKD_CELL_CENTS: add_decimal(out, v->i, 10); break;
    case PKD_CELL_CURRENCY: pk_buf_adds(out, "\"USD\""); break;
    case PKD_CELL_TIME: pk_json_quote(out, iso(v->i, text)); break;
    case PKD_CELL_JSON: pk_buf_add(out, v->s); break;
    case PKD_CELL_UUID: pk_json_quote(out, uuid(v, text)); break;
    }
}

void pkd_cell_member(struct pk_buf *out, const struct pkd_cell *cell,
                     const struct pk_value *columns)
{
    const char last = out->len ? out->at[out->len - 1] : 0;

    pk_buf_addf(out, "%s\"%s\":", last == '{' || last == 0 ? "" : ",", cell->name);
    print(out, cell, columns);
}

void pkd_cell_members(struct pk_buf *out, const struct pkd_cell *cells,
                      const struct pk_value *columns)
{
    for (; cells->name; cells++)
        pkd_cell_member(out, cells, columns);
}

void pkd_csv_text(struct pk_buf *out, pk_str text)
{
    bool plain = true;

    for (size_t i = 0; i < text.len && plain; i++)
        plain = !strchr(",\"\r\n", text.at[i]);
    if (plain) {
        pk_buf_add(out, text);
        return;
    }
    pk_buf_addc(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"')
            pk_buf_addc(out, '"');
        pk_buf_addc(out, text.at[i]);
    }
    pk_buf_addc(out, '"');
}

void pkd_cell_csv(struct pk_buf *out, const struct pkd_cell *cell, const struct pk_value *columns)
{
    const struct pk_value *v = &columns[cell->column];
    char text[PK_UUID_TEXT + 1];

    if (v->type == PK_V_NULL)
        return;
    if (cell->kind == PKD_CELL_TEXT || cell->kind == PKD_CELL_JSON)
        pkd_csv_text(out, v->s);
    else if (cell->kind == PKD_CELL_CURRENCY)
        pk_buf_adds(out, "USD");
    else if (cell->kind == PKD_CELL_TIME)
        pk_buf_add(out, iso(v->i, text));
    else if (cell->kind == PKD_CELL_UUID)
        pk_buf_add(out, uuid(v, text));
    else
        print(out, cell, columns);
}
