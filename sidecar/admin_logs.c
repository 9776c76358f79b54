/* admin_logs.c - `pkd logs`: reads the log from a shell, by the filters of /v1/logs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "json.h"
#include "logs.h"
#include "logs_row.h"
#include "member.h"
#include "xfer.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PAGE_ROWS = 1000,
    TAIL_ROWS = 10,
    TAIL_MS = 500,
    TAIL_RANGE_S = 900, /* a call is in the log when it ends, under when it began */
    PROGRESS_MS = 1000,
    FILTER_BYTES_MAX = 64 << 10,
};

/* --- what is asked for ------------------------------------------------------------------------ */

bool pkd_logs_metadata(struct pk_buf *out, pk_str lines, struct pk_error *err)
{
    pk_member_key(out, "metadata");
    pk_buf_addc(out, '{');
    while (lines.len) {
        int end = pk_str_find(lines, '\n');
        pk_str line = pk_str_sub(lines, 0, end < 0 ? lines.len : (size_t)end);
        int equals = pk_str_find(line, '=');

        if (equals < 1)
            return pk_fail(err, PK_BAD_REQUEST, "--metadata: must be KEY=VALUE, not %.*s",
                           PK_FMT(line));
        pk_member_comma(out);
        pk_json_quote(out, pk_str_sub(line, 0, (size_t)equals));
        pk_buf_addc(out, ':');
        pk_json_quote(out, pk_str_sub(line, (size_t)equals + 1, line.len));
        lines = pk_str_sub(lines, line.len + 1, lines.len);
    }
    pk_buf_addc(out, '}');
    return true;
}

static const char since_name[] = "time_range";

/* The options, and the words behind the verb, as an object of filters. */
static bool spell_filter(struct pkd_desk *d, char **words, int count, pk_str *out,
                         struct pk_error *err)
{
    const struct pkd_options *o = d->options;
    const char *const given[][2] = {{"trace_id", o->of_trace},
                                    {"status", o->of_status},
                                    {"provider", o->of_provider},
                                    {"model", o->of_model},
                                    {since_name, o->since}};
    struct pk_buf b = pk_buf_in(&d->arena, FILTER_BYTES_MAX);

    pk_buf_addc(&b, '{');
    for (size_t i = 0; i < PK_COUNT(given); i++)
        if (given[i][1])
            pk_member_text(&b, given[i][0], pk_str_of(given[i][1]));
    for (int i = 0; i < count; i++) {
        pk_str word = pk_str_of(words[i]);
        int equals = pk_str_find(word, '=');

        if (equals < 1)
            return pk_fail(err, PK_BAD_REQUEST, "%s: must be FILTER=VALUE", words[i]);
        char *name = pk_alloc(&d->arena, (size_t)equals + 1);
        if (!name)
            return pk_fail(err, PK_NO_MEMORY, "filter: out of memory");
        memcpy(name, word.at, (size_t)equals);
        name[equals] = 0;
        pk_member_text(&b, name, pk_str_sub(word, (size_t)equals + 1, word.len));
    }
    if (b.len == 1)
        pk_buf_adds(&b, "\"payloads\":null");
    if (o->of_metadata && !pkd_logs_metadata(&b, pk_str_of(o->of_metadata), err))
        return false;
    pk_buf_addc(&b, '}');
    *out = pk_buf_str(&b);
    return !b.failed || pk_fail(err, PK_TOO_LARGE, "filter: too long");
}

static bool read_filter(struct pkd_desk *d, char **words, int count, struct pkd_filter *f,
                        struct pk_error *err)
{
    struct pkd_errand e = {.arena = &d->arena, .store = d->store};
    struct pk_json doc;
    pk_str text;

    if (spell_filter(d, words, count, &text, err) &&
        pk_json_parse(&d->arena, text, "filter", &doc, err) && pkd_filter_json(&e, &doc, 0, f, err))
        return true;
    if (d->options->since &&
        pk_str_starts(pk_str_of(err->msg), since_name)) /* the one that differs */
        return pk_fail(err, err->code, "--since: must be like 30m, 24h, 7d or 2w");
    return false;
}

static const int payload_columns[] = {PKD_L_request_encoding, PKD_L_response_encoding};

/* --- rows ------------------------------------------------------------------------------------ */

/* What is done with each row of a page, in its order. */
struct reading {
    struct pkd_desk *d;
    struct pk_buf out, room;
    struct pk_error *err;
    void (*print)(struct reading *r, const struct pk_value *row);
    int64_t rows;
    uint8_t last[PK_UUID_BYTES];
    bool failed;
};

static bool take_row(void *ctx, const struct pk_value *row, int count)
{
    struct reading *r = ctx;

    PK_ASSERT(count == PKD_LOG_COLUMNS);
    r->print(r, row);
    memcpy(r->last, row[PKD_L_id].s.at, PK_UUID_BYTES);
    r->rows++;
    return !r->failed && !r->out.failed;
}

/* At most `rows` of those that the filter lets through, newest first. */
static bool read_page(struct reading *r, struct pkd_filter *f, int64_t rows)
{
    struct pk_store *s = r->d->store;

    f->args[PKD_FILTER_ARGS] = pk_v_int(rows);
    f->args[PKD_FILTER_ARGS + 1] = pk_v_int(0);
    f->args[PKD_FILTER_ARGS + 2] = pk_v_int(r->d->options->payloads);
    return s->ops->exec(s, PK_SQL_logs, f->args, PKD_FILTER_ARGS + 3, take_row, r, r->err) &&
           !r->failed &&
           (!r->out.failed || pk_fail(r->err, PK_TOO_LARGE, "a row is too large to print"));
}

static struct reading reading_of(struct pkd_desk *d, struct pk_error *err)
{
    return (struct reading){.d = d,
                            .out = pk_buf_in(&d->arena, PK_BODY_BYTES_MAX),
                            .room = pk_buf_in(&d->arena, PK_BODY_BYTES_MAX),
                            .err = err};
}

/* Writes what is in r->out, and empties it. False: standard output takes no more. */
static bool flush(struct reading *r)
{
    pk_str text = pk_buf_str(&r->out);
    bool written =
        (text.len == 0 || fwrite(text.at, 1, text.len, stdout) == text.len) && fflush(stdout) == 0;

    pk_buf_reset(&r->out);
    return written || pk_fail(r->err, PK_STORE, "standard output takes no more");
}

static bool add_payloads(struct reading *r, const struct pk_value *row)
{
    static const char *const names[] = {"request", "response"};

    for (int i = 0; i < 2; i++) {
        pk_str text;

        if (!pkd_log_payload(r->d->store, row, payload_columns[i], &r->room, &text, r->err))
            return false;
        pk_member_raw(&r->out, names[i], text.len ? text : PK_STR("null"));
    }
    return true;
}

static void print_object(struct reading *r, const struct pk_value *row)
{
    pk_buf_addc(&r->out, '{');
    pkd_cell_members(&r->out, pkd_log_cells, row);
    r->failed = r->d->options->payloads && !add_payloads(r, row);
    pk_buf_adds(&r->out, "}\n");
}

/* Clients chose some of these: what a terminal would obey is not printed. */
static void print_plain(struct pk_buf *out, pk_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];

        pk_buf_addc(out, c < ' ' || c == 0x7f ? '?' : (char)c);
    }
}

/* Columns that a person looks for first. */
static void print_line(struct reading *r, const struct pk_value *row)
{
    static const struct pkd_cell cells[] = {
        {"started_at", PKD_L_started_us, PKD_CELL_TIME},
        {"status", PKD_L_status, PKD_CELL_TEXT},
        {"http", PKD_L_http_status, PKD_CELL_INT},
        {"provider", PKD_L_provider, PKD_CELL_TEXT},
        {"model", PKD_L_model, PKD_CELL_TEXT},
        {"tokens", PKD_L_units, PKD_CELL_INT},
        {"cost_usd", PKD_L_cost_pusd, PKD_CELL_USD},
        {"ms", PKD_L_duration_us, PKD_CELL_MILLI},
        {"cache", PKD_L_cache_status, PKD_CELL_TEXT},
        {"id", PKD_L_id, PKD_CELL_UUID},
        {"trace_id", PKD_L_trace_id, PKD_CELL_TEXT},
    };

    for (size_t i = 0; i < PK_COUNT(cells); i++) {
        if (i)
            pk_buf_addc(&r->out, '\t');
        if (cells[i].column == PKD_L_model && row[PKD_L_model].type == PK_V_NULL)
            print_plain(&r->out, row[PKD_L_request_model].s);
        else if (row[cells[i].column].type == PK_V_NULL)
            pk_buf_addc(&r->out, '-');
        else if (row[cells[i].column].type == PK_V_TEXT)
            print_plain(&r->out, row[cells[i].column].s);
        else
            pkd_cell_csv(&r->out, &cells[i], row);
    }
    pk_buf_addc(&r->out, '\n');
}

/* --- list ------------------------------------------------------------------------------------ */

static void print_item(struct reading *r, const struct pk_value *row)
{
    pk_buf_adds(&r->out, r->rows ? ",\n " : "[");
    print_object(r, row);
    r->out.len--; /* its line break */
}

static bool list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct reading r = reading_of(d, err);
    struct pkd_filter f = {0};

    r.print = d->options->json ? print_item : print_line;
    if (!read_filter(d, words, count, &f, err) ||
        !read_page(&r, &f, d->options->rows ? d->options->rows : f.page_size))
        return false;
    if (d->options->json)
        pk_buf_adds(&r.out, r.rows ? "]\n" : "[]\n");
    return flush(&r);
}

/* --- show ------------------------------------------------------------------------------------ */

/* A JSON document with a line a member. */
static void print_indented(pk_str json)
{
    int depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < json.len; i++) {
        char c = json.at[i];
        bool opens = !quoted && (c == '{' || c == '['), closes = !quoted && (c == '}' || c == ']');
        bool empty = opens && i + 1 < json.len && (json.at[i + 1] == '}' || json.at[i + 1] == ']');

        if (c == '"')
            quoted = !quoted;
        if (closes)
            (void)printf("\n%*s", 2 * --depth, "");
        (void)putchar(c);
        if (quoted && c == '\\' && i + 1 < json.len)
            (void)putchar(json.at[++i]);
        else if (empty)
            (void)putchar(json.at[++i]);
        else if (opens)
            (void)printf("\n%*s", 2 * ++depth, "");
        else if (!quoted && c == ',')
            (void)printf("\n%*s", 2 * depth, "");
        else if (!quoted && c == ':')
            (void)putchar(' ');
    }
    (void)putchar('\n');
}

static bool show(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pkd_errand e = {.arena = &d->arena,
                           .store = d->store,
                           .path = pk_copyf(&d->arena, "/v1/logs/%s", words[0]),
                           .out = pk_buf_in(&d->arena, PK_BODY_BYTES_MAX)};

    (void)count;
    if (!pkd_log_get(&e, err))
        return false;
    if (e.out.failed)
        return pk_fail(err, PK_TOO_LARGE, "%s: too large to print", words[0]);
    if (d->options->json)
        (void)printf("%.*s\n", PK_FMT(pk_buf_str(&e.out)));
    else
        print_indented(pk_buf_str(&e.out));
    return true;
}

/* --- tail ------------------------------------------------------------------------------------ */

/* One look at the newest rows: their ids, newest first, and where the text of each is. */
struct look {
    struct reading reading;
    int count;
    uint8_t ids[PAGE_ROWS][PK_UUID_BYTES];
    size_t from[PAGE_ROWS + 1];
};

static void note_row(struct reading *r, const struct pk_value *row)
{
    struct look *l = (struct look *)(void *)r; /* it is the first member */

    memcpy(l->ids[l->count], row[PKD_L_id].s.at, PK_UUID_BYTES);
    l->from[l->count++] = r->out.len;
    (r->d->options->json ? print_object : print_line)(r, row);
    l->from[l->count] = r->out.len;
}

/* Prints, oldest first, what the look before did not have; both are sorted. At most `most`: the newest. */
static void print_new(const struct look *now, const struct look *before, int most)
{
    int is_new[PAGE_ROWS], count = 0;

    for (int i = 0, k = 0; i < now->count && count < most; i++) {
        while (k < before->count && memcmp(before->ids[k], now->ids[i], PK_UUID_BYTES) > 0)
            k++;
        if (k == before->count || memcmp(before->ids[k], now->ids[i], PK_UUID_BYTES) != 0)
            is_new[count++] = i;
    }
    while (count-- > 0) {
        size_t from = now->from[is_new[count]];

        (void)fwrite(now->reading.out.at + from, 1, now->from[is_new[count] + 1] - from, stdout);
    }
}

/* Into `now`; prints what is new since *before, which then has the ids of now. */
static bool look(struct look *now, struct pkd_filter *f, struct look *before, int most)
{
    int64_t range_us = pk_clock_us() - INT64_C(1000000) * TAIL_RANGE_S;
    now->reading.print = note_row;
    now->count = 0;
    if (f->from_us < range_us)
        pk_uuid7(range_us, 0, f->from_id);
    if (!read_page(&now->reading, f, PAGE_ROWS))
        return false;
    print_new(now, before, most);
    before->count = now->count;
    memcpy(before->ids, now->ids, sizeof now->ids);
    return fflush(stdout) == 0 ||
           pk_fail(now->reading.err, PK_STORE, "standard output takes no more");
}

/* What a look takes goes with it. */
static bool look_once(struct pkd_desk *d, struct pkd_filter *f, struct look *before, int most,
                      struct pk_error *err)
{
    struct pk_arena kept = d->arena;
    struct look *now;
    bool ok = false;

    pk_arena_init(&d->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    now = pk_alloc(&d->arena, sizeof *now);
    if (now) {
        now->reading = reading_of(d, err);
        ok = look(now, f, before, most);
    } else {
        (void)pk_fail(err, PK_NO_MEMORY, "out of memory");
    }
    pk_arena_free(&d->arena);
    d->arena = kept;
    return ok;
}

static bool tail(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct look *before = pk_alloc(&d->arena, sizeof *before);
    int most = d->options->rows ? (int)d->options->rows : TAIL_ROWS;
    struct pkd_filter f = {0};

    if (!before || !read_filter(d, words, count, &f, err))
        return before ? false : pk_fail(err, PK_NO_MEMORY, "out of memory");
    before->count = 0;
    for (; look_once(d, &f, before, most, err); most = PAGE_ROWS) {
        struct pollfd out = {.fd = STDOUT_FILENO};

        if (poll(&out, 1, TAIL_MS) > 0 && out.revents & (POLLERR | POLLHUP))
            return true; /* nobody reads it any more */
    }
    return false;
}

/* --- export ---------------------------------------------------------------------------------- */

static void print_record(struct reading *r, const struct pk_value *row)
{
    for (const struct pkd_cell *c = pkd_log_cells; c->name; c++) {
        if (c != pkd_log_cells)
            pk_buf_addc(&r->out, ',');
        pkd_cell_csv(&r->out, c, row);
    }
    for (int i = 0; i < 2 && !r->failed && r->d->options->payloads; i++) {
        pk_str text;

        r->failed = !pkd_log_payload(r->d->store, row, payload_columns[i], &r->room, &text, r->err);
        pk_buf_addc(&r->out, ',');
        if (!r->failed)
            pkd_csv_text(&r->out, text);
    }
    pk_buf_adds(&r->out, "\r\n");
}

static void print_header(struct reading *r)
{
    for (const struct pkd_cell *c = pkd_log_cells; c->name; c++)
        pk_buf_addf(&r->out, "%s%s", c == pkd_log_cells ? "" : ",", c->name);
    pk_buf_adds(&r->out, r->d->options->payloads ? ",request,response\r\n" : "\r\n");
}

/* On a terminal, once it takes a while. */
static void print_progress(int64_t rows, int64_t took_ms, bool last)
{
    if (took_ms < PROGRESS_MS || !isatty(STDERR_FILENO))
        return;
    (void)fprintf(stderr, "\r%lld calls, %lld a second%s", (long long)rows,
                  (long long)(rows * 1000 / took_ms), last ? "\n" : "");
}

static bool export(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct reading r = reading_of(d, err);
    bool csv = d->options->form && strcmp(d->options->form, "csv") == 0;
    int64_t most = d->options->rows ? d->options->rows : INT64_MAX, began_ms = pk_clock_ms();
    int64_t before = -1;
    struct pkd_filter f = {0};

    r.print = csv ? print_record : print_object;
    if (!read_filter(d, words, count, &f, err))
        return false;
    if (csv)
        print_header(&r);
    while (r.rows != before && r.rows < most) {
        before = r.rows;
        if (!read_page(&r, &f, most - r.rows < PAGE_ROWS ? most - r.rows : PAGE_ROWS) || !flush(&r))
            return false;
        pkd_filter_before(&f, r.last);
        print_progress(r.rows, pk_clock_ms() - began_ms, false);
    }
    print_progress(r.rows, pk_clock_ms() - began_ms, true);
    return flush(&r);
}

/* clang-format off */
const struct pkd_verb pkd_logs_verbs[] = {
    {"list",   "[FILTER=VALUE...]", 0, PKD_FILTER_ARGS, list,   "the newest calls; a FILTER is one of GET /v1/logs", "pkd logs list --since 1h --status error --metadata feature=search cost_usd_min=0.01"},
    {"show",   "ID",                1, 1,               show,   "one call: what was asked and answered, its attempts, its feedback", "pkd logs show 01a21fbd-aa49-7f65-8322-c34e297eda8b"},
    {"tail",   "[FILTER=VALUE...]", 0, PKD_FILTER_ARGS, tail,   "the newest calls, and then each that ends, until it is interrupted", "pkd logs tail --provider openai"},
    {"export", "[FILTER=VALUE...]", 0, PKD_FILTER_ARGS, export, "every call, newest first, with --limit the newest; as a line of JSON each, or as CSV", "pkd logs export --since 30d --format csv > calls.csv"},
    {"erase",  "[user=NAME] [api_key=NAME] [trace_id=ID]", 0, 3, pkd_logs_erase, "delete all calls of a person, named by --metadata, --trace or a word, and what is kept of them elsewhere; with --dry-run, only count them", "pkd logs erase --metadata _user=alice --dry-run"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
