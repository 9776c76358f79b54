/* logs_file.c - see logs_file.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "logs_file.h"

#include "logs_row.h"

#include <stdatomic.h>
#include <string.h>

enum { PAGE_ROWS = 1000, PIECE_BYTES = 256 << 10, FIELDS_MAX = 80 };

/* A field that is no column: printed by itself. */
static const struct pkd_cell payload_cells[] = {
    {"request", PKD_L_request_encoding, PKD_CELL_JSON},
    {"response", PKD_L_response_encoding, PKD_CELL_JSON},
};

static atomic_int running; /* files, in the whole process */

struct file {
    struct pkd_errand *e;
    const struct pkd_cell *fields[FIELDS_MAX];
    int count;
    bool csv, payloads, failed;
    struct pk_buf room; /* for a payload */
    int64_t rows;       /* of this page */
    uint8_t last[PK_UUID_BYTES];
    struct pk_error *err;
};

/* --- fields --------------------------------------------------------------------------------- */

static const struct pkd_cell *find_field(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(payload_cells); i++)
        if (pk_str_is(name, payload_cells[i].name))
            return &payload_cells[i];
    for (const struct pkd_cell *c = pkd_log_cells; c->name; c++)
        if (pk_str_is(name, c->name))
            return c;
    return NULL;
}

static bool is_payload(const struct pkd_cell *field)
{
    return field == &payload_cells[0] || field == &payload_cells[1];
}

/* With `out` NULL they are only checked. */
static bool read_fields(pk_str names, struct file *out, struct pk_error *err)
{
    for (int count = 0; names.len; count++) {
        int comma = pk_str_find(names, ',');
        size_t len = comma < 0 ? names.len : (size_t)comma;
        pk_str name = pk_str_trim(pk_str_sub(names, 0, len));
        const struct pkd_cell *field = find_field(name);

        if (!field)
            return pk_fail(err, PK_BAD_REQUEST, "fields: there is none called \"%.*s\"",
                           PK_FMT(pk_str_sub(name, 0, 64)));
        if (count == FIELDS_MAX)
            return pk_fail(err, PK_BAD_REQUEST, "fields: at most %d", FIELDS_MAX);
        names = pk_str_sub(names, len + 1, names.len);
        if (!out)
            continue;
        out->fields[out->count++] = field;
        out->payloads |= is_payload(field);
    }
    return true;
}

bool pkd_fields_check(pk_str fields, struct pk_error *err)
{
    return read_fields(fields, NULL, err);
}

static void take_all_fields(struct file *file, bool payloads)
{
    for (const struct pkd_cell *c = pkd_log_cells; c->name; c++)
        file->fields[file->count++] = c;
    for (size_t i = 0; payloads && i < PK_COUNT(payload_cells); i++)
        file->fields[file->count++] = &payload_cells[i];
    file->payloads = payloads;
    PK_ASSERT(file->count <= FIELDS_MAX);
}

/* --- lines ---------------------------------------------------------------------------------- */

static bool add_payload(struct file *file, const struct pkd_cell *field, const struct pk_value *v)
{
    struct pk_buf *out = &file->e->out;
    pk_str text;

    if (!pkd_log_payload(file->e->store, v, field->column, &file->room, &text, file->err))
        return false;
    const struct pk_value value = pk_v_text(text);
    const struct pkd_cell cell = {field->name, 0, PKD_CELL_JSON};
    if (file->csv)
        pkd_cell_csv(out, &cell, &value);
    else
        pkd_cell_member(out, &cell, &value);
    return true;
}

static bool add_field(struct file *file, int i, const struct pk_value *v)
{
    struct pk_buf *out = &file->e->out;

    if (file->csv && i > 0)
        pk_buf_addc(out, ',');
    if (is_payload(file->fields[i]))
        return add_payload(file, file->fields[i], v);
    if (file->csv)
        pkd_cell_csv(out, file->fields[i], v);
    else
        pkd_cell_member(out, file->fields[i], v);
    return true;
}

static bool take_line(void *ctx, const struct pk_value *v, int count)
{
    struct file *file = ctx;
    struct pk_buf *out = &file->e->out;

    PK_ASSERT(count == PKD_LOG_COLUMNS);
    if (!file->csv)
        pk_buf_addc(out, '{');
    for (int i = 0; i < file->count && !file->failed; i++)
        file->failed = !add_field(file, i, v);
    pk_buf_adds(out, file->csv ? "\r\n" : "}\n");
    memcpy(file->last, v[PKD_L_id].s.at, PK_UUID_BYTES);
    file->rows++;
    return !file->failed && out->len < PIECE_BYTES;
}

static void add_names(struct file *file)
{
    for (int i = 0; i < file->count; i++)
        pk_buf_addf(&file->e->out, "%s%s", i ? "," : "", file->fields[i]->name);
    pk_buf_adds(&file->e->out, "\r\n");
}

/* --- pages ---------------------------------------------------------------------------------- */

static bool send_pages(struct file *file, struct pkd_filter *f)
{
    struct pkd_errand *e = file->e;

    f->args[PKD_FILTER_ARGS] = pk_v_int(PAGE_ROWS);
    f->args[PKD_FILTER_ARGS + 1] = pk_v_int(0);
    f->args[PKD_FILTER_ARGS + 2] = pk_v_int(file->payloads);
    do {
        file->rows = 0;
        if (!e->store->ops->exec(e->store, PK_SQL_logs, f->args, PKD_FILTER_ARGS + 3, take_line,
                                 file, file->err) ||
            file->failed)
            return false;
        if (file->rows)
            pkd_filter_before(f, file->last);
        if (!pkd_errand_flush(e))
            return false;
    } while (file->rows);
    return true;
}

static bool read_format(struct pkd_errand *e, pk_str format, bool *csv, struct pk_error *err)
{
    *csv = pk_str_is(format, "csv");
    if (!*csv && format.len && !pk_str_is(format, "jsonl"))
        return pk_fail(err, PK_BAD_REQUEST, "format: must be jsonl or csv");
    e->content_type = *csv ? "text/csv; charset=utf-8" : "application/x-ndjson";
    e->more_headers = *csv ? PK_STR("content-disposition: attachment; filename=\"logs.csv\"\r\n")
                           : PK_STR("content-disposition: attachment; filename=\"logs.jsonl\"\r\n");
    return true;
}

bool pkd_logs_send(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err)
{
    struct file file = {.e = e, .room = pk_buf_in(e->arena, PK_BODY_BYTES_MAX), .err = err};

    if (!read_fields(f->fields, &file, err) || !read_format(e, f->format, &file.csv, err))
        return false;
    if (file.count == 0)
        take_all_fields(&file, pk_str_is(f->payloads, "true"));
    if (file.csv)
        add_names(&file);
    bool ok = true;
    if (atomic_fetch_add(&running, 1) < PKD_EXPORTS_MAX)
        ok = send_pages(&file, f);
    else
        ok = pk_fail(err, PK_RATE, "export: %d are running already; try again", PKD_EXPORTS_MAX);
    atomic_fetch_sub(&running, 1);
    return ok;
}
