/* sheet.c - see sheet.h. libcsv reads; it is given a byte at a time, so that one row is held at a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sheet.h"

#include <csv.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct pkd_sheet {
    FILE *file;
    const char *path;
    struct csv_parser parser;
    struct pk_arena arena; /* of the row */
    pk_str fields[PKD_SHEET_COLUMNS_MAX];
    int count;
    int64_t row; /* from 1 */
    bool complete, too_wide, over;
};

/* A blank is part of its field. */
static int no_space(unsigned char c)
{
    (void)c;
    return 0;
}

static void take_field(void *at, size_t len, void *sheet)
{
    struct pkd_sheet *s = sheet;

    if (s->count == PKD_SHEET_COLUMNS_MAX) {
        s->too_wide = true;
        return;
    }
    s->fields[s->count++] = pk_copy(&s->arena, (pk_str){at, len});
}

static void take_end(int byte, void *sheet)
{
    (void)byte;
    ((struct pkd_sheet *)sheet)->complete = true;
}

/* What Excel puts in front. */
static void skip_mark(FILE *file)
{
    int first = getc(file);

    if (first == 0xef && getc(file) == 0xbb && getc(file) == 0xbf)
        return;
    if (first != EOF && first != 0xef)
        (void)ungetc(first, file);
}

struct pkd_sheet *pkd_sheet_open(const char *path, struct pk_error *err)
{
    struct pkd_sheet *s = calloc(1, sizeof *s);

    if (!s || csv_init(&s->parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        free(s);
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for a CSV file");
        return NULL;
    }
    csv_set_space_func(&s->parser, no_space);
    pk_arena_init(&s->arena, pk_allocator_malloc(), PKD_SHEET_ROW_BYTES_MAX);
    s->path = path;
    s->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!s->file) {
        (void)pk_fail(err, PK_BAD_REQUEST, "%.200s: %s", path, strerror(errno));
        pkd_sheet_close(s);
        return NULL;
    }
    skip_mark(s->file);
    return s;
}

void pkd_sheet_close(struct pkd_sheet *s)
{
    if (!s)
        return;
    if (s->file && s->file != stdin)
        (void)fclose(s->file);
    csv_free(&s->parser);
    pk_arena_free(&s->arena);
    free(s);
}

bool pkd_sheet_is(const struct pkd_sheet *s, const char *path)
{
    struct stat ours, theirs;

    return stat(path, &theirs) == 0 && fstat(fileno(s->file), &ours) == 0 &&
           S_ISREG(ours.st_mode) && ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* Reads on until the row is complete, or there is no more. False: what is there is no CSV. */
static bool read_row(struct pkd_sheet *s)
{
    while (!s->complete) {
        int byte = getc(s->file);
        unsigned char c = (unsigned char)byte;

        if (byte == EOF) {
            s->over = true;
            return csv_fini(&s->parser, take_field, take_end, s) == 0;
        }
        if (csv_parse(&s->parser, &c, 1, take_field, take_end, s) != 1)
            return false;
    }
    return true;
}

bool pkd_sheet_next(struct pkd_sheet *s, const pk_str **fields, int *count, struct pk_error *err)
{
    pk_arena_free(&s->arena);
    pk_arena_init(&s->arena, pk_allocator_malloc(), PKD_SHEET_ROW_BYTES_MAX);
    s->count = 0;
    s->complete = false;
    s->row++;
    bool ok = s->over || read_row(s);
    *fields = s->fields;
    *count = s->count;
    if (ferror(s->file))
        return pk_fail(err, PK_BAD_REQUEST, "%.200s: %s", s->path, strerror(errno));
    if (!ok)
        return pk_fail(err, PK_BAD_REQUEST,
                       "%.200s: row %lld: a quote stands where none may, or is not closed", s->path,
                       (long long)s->row);
    if (s->too_wide || s->arena.failed)
        return pk_fail(err, PK_TOO_LARGE, "%.200s: row %lld: more than %d columns or %d MiB",
                       s->path, (long long)s->row, PKD_SHEET_COLUMNS_MAX,
                       PKD_SHEET_ROW_BYTES_MAX >> 20);
    return true;
}

void pkd_sheet_put(FILE *to, pk_str field, bool last)
{
    (void)csv_fwrite(to, field.at ? field.at : "", field.len);
    (void)fputs(last ? "\r\n" : ",", to);
}
