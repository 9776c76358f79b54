/* form.c - see form.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "form.h"

#include "http.h"

#include <string.h>

static bool bad(struct pk_error *err, const char *why)
{
    return pk_fail(err, PK_BAD_REQUEST, "form: %s", why);
}

/* --- parameters of a header ------------------------------------------------------------------ */

struct param {
    pk_str name, value;
    bool quoted;
};

/* Takes "; name=value" or "; name="value"" off the front of *rest; false at the end, with *ok false when there is
 * something else. In quotes a backslash keeps the quote behind it from ending the value; it stays where it is. */
static bool next_param(pk_str *rest, struct param *p, bool *ok)
{
    pk_str s = pk_str_trim(*rest);
    size_t n = 0;

    *ok = true;
    if (s.len == 0)
        return false;
    *ok = s.at[0] == ';';
    s = pk_str_trim(pk_str_sub(s, 1, s.len));
    int equals = pk_str_find(s, '=');
    if (!*ok || equals < 1 || !pk_http_valid_name(pk_str_sub(s, 0, (size_t)equals))) {
        *ok = *ok && s.len == 0; /* a last semicolon */
        return false;
    }
    *p = (struct param){.name = pk_str_sub(s, 0, (size_t)equals)};
    s = pk_str_sub(s, (size_t)equals + 1, s.len);
    p->quoted = s.len > 0 && s.at[0] == '"';
    if (p->quoted) {
        for (n = 1; n < s.len && s.at[n] != '"'; n++)
            n += s.at[n] == '\\';
        *ok = n < s.len;
        p->value = pk_str_sub(s, 1, n - 1);
        *rest = pk_str_sub(s, n + 1, s.len);
        return *ok;
    }
    while (n < s.len && s.at[n] != ';')
        n++;
    p->value = pk_str_trim(pk_str_sub(s, 0, n));
    *rest = pk_str_sub(s, n, s.len);
    return true;
}

static bool is_boundary(pk_str s)
{
    if (s.len == 0 || s.len > PK_FORM_BOUNDARY_MAX || s.at[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < ' ' || s.at[i] > '~' || s.at[i] == '"' || s.at[i] == '\\')
            return false;
    return true;
}

static bool read_boundary(pk_str type, pk_str *boundary, struct pk_error *err)
{
    int semicolon = pk_str_find(type, ';');
    pk_str rest = semicolon < 0 ? PK_NONE : pk_str_sub(type, (size_t)semicolon, type.len);
    struct param p;
    bool ok = true;

    *boundary = PK_NONE;
    while (next_param(&rest, &p, &ok)) {
        if (!pk_str_is_nocase(p.name, "boundary"))
            continue;
        if (boundary->len)
            return bad(err, "its content-type has two boundaries");
        *boundary = p.value;
    }
    return (ok && is_boundary(*boundary)) || bad(err, "its content-type has no usable boundary");
}

/* --- parts ----------------------------------------------------------------------------------- */

/* Where the delimiter line that begins at or behind `from` begins, with the line break before it; body.len: nowhere.
 * At the very beginning it needs none. */
static size_t find_delimiter(pk_str body, pk_str boundary, size_t from)
{
    PK_ASSERT(boundary.at);
    while (from < body.len) {
        const char *at = memmem(body.at + from, body.len - from, boundary.at, boundary.len);
        size_t i = at ? (size_t)(at - body.at) : body.len;

        if (!at)
            return body.len;
        if (i == 2 && memcmp(body.at, "--", 2) == 0)
            return 0;
        if (i >= 4 && memcmp(body.at + i - 4, "\r\n--", 4) == 0)
            return i - 4;
        from = i + 1;
    }
    return body.len;
}

/* What follows the delimiter at `at`: the offset behind its line. *last: it closes the form. */
static bool pass_delimiter(pk_str body, pk_str boundary, size_t *at, bool *last,
                           struct pk_error *err)
{
    size_t i = *at + (body.at[*at] == '\r' ? 2 : 0) + 2 + boundary.len;

    *last = pk_str_starts(pk_str_sub(body, i, 2), "--");
    i += *last ? 2 : 0;
    while (i < body.len && (body.at[i] == ' ' || body.at[i] == '\t'))
        i++;
    *at = i + 2;
    if (*last && i == body.len)
        return true;
    if (!pk_str_starts(pk_str_sub(body, i, 2), "\r\n"))
        return bad(err, "a delimiter is not a line of its own");
    return !*last || *at == body.len || bad(err, "something follows its end");
}

static bool read_disposition(struct pk_form_part *p, pk_str value, struct pk_error *err)
{
    int semicolon = pk_str_find(value, ';');
    pk_str rest = semicolon < 0 ? PK_NONE : pk_str_sub(value, (size_t)semicolon, value.len);
    struct param param;
    size_t at;
    bool ok = true, named = false;

    if (!pk_http_is_type(value, "form-data"))
        return bad(err, "a part is no form-data");
    while (next_param(&rest, &param, &ok)) {
        bool name = pk_str_is_nocase(param.name, "name");

        if (name && named)
            return bad(err, "a part has two names");
        named = named || name;
        if (name)
            p->name = param.value;
        if (pk_str_is_nocase(param.name, "filename"))
            p->filename = param.value;
        p->file = p->file || pk_str_is_nocase(param.name, "filename") ||
                  pk_str_is_nocase(param.name, "filename*");
    }
    if (!ok || p->name.len == 0)
        return bad(err, "a part has no name");
    if (!pk_utf8_valid(p->name, &at) || pk_str_find(p->name, '\\') >= 0 ||
        !pk_http_valid_value(p->name))
        return bad(err, "a part has a name that readers may not agree on");
    return true;
}

/* Whether every line ends in CR LF, and none continues the one before. */
static bool is_plain_head(pk_str head)
{
    for (size_t i = 0; i < head.len; i++) {
        bool blank = i + 1 < head.len && (head.at[i + 1] == ' ' || head.at[i + 1] == '\t');

        if (head.at[i] == 0 || (head.at[i] == '\n' && (i == 0 || head.at[i - 1] != '\r' || blank)))
            return false;
    }
    return true;
}

/* The part's own headers, which end at the first empty line. */
static bool read_head(struct pk_form_part *p, pk_str part, struct pk_error *err)
{
    bool none = pk_str_starts(part, "\r\n");
    const char *end = none ? part.at : memmem(part.at, part.len, "\r\n\r\n", 4);
    size_t len = end ? (size_t)(end - part.at) : 0;
    pk_str rest = pk_str_sub(part, 0, len), name, value;
    bool disposed = false;

    if (!end || len > PK_FORM_HEAD_BYTES_MAX)
        return bad(err, "the headers of a part do not end");
    if (!is_plain_head(rest))
        return bad(err, "the headers of a part are not lines of their own");
    while (pk_http_next_header(&rest, &name, &value)) {
        if (pk_str_is_nocase(name, "content-type"))
            p->type = value;
        if (pk_str_is_nocase(name, "content-transfer-encoding") &&
            !pk_str_is_nocase(value, "binary") && !pk_str_is_nocase(value, "8bit") &&
            !pk_str_is_nocase(value, "7bit"))
            return bad(err, "a part has a content-transfer-encoding");
        if (!pk_str_is_nocase(name, "content-disposition"))
            continue;
        if (disposed || !read_disposition(p, value, err))
            return err->code != PK_OK ? false : bad(err, "a part has two dispositions");
        disposed = true;
    }
    p->content = pk_str_sub(part, len + (none ? 2 : 4), part.len);
    return disposed || bad(err, "a part has no content-disposition");
}

static bool is_list(pk_str name)
{
    return pk_str_ends(name, "[]");
}

/* A text may be there once, unless its name says that it is of a list. */
static bool check_repeated(const struct pk_form *f, const struct pk_form_part *p,
                           struct pk_error *err)
{
    for (int i = 0; i < f->count && !is_list(p->name); i++)
        if (pk_str_eq(f->parts[i].name, p->name) && !(f->parts[i].file && p->file))
            return pk_fail(err, PK_BAD_REQUEST, "%.*s: given twice",
                           PK_FMT(pk_str_sub(p->name, 0, PK_SLUG_BYTES_MAX)));
    return true;
}

static bool add_part(struct pk_arena *arena, struct pk_form *f, const struct pk_form_part *p,
                     struct pk_error *err)
{
    if (f->count == PK_FORM_PARTS_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "form: more than %d parts", PK_FORM_PARTS_MAX);
    void *rows = pk_alloc_row(arena, f->parts, f->count, sizeof *f->parts);
    if (!rows)
        return pk_fail(err, PK_NO_MEMORY, "form: out of memory");
    f->parts = rows;
    f->parts[f->count++] = *p;
    return true;
}

bool pk_form_parse(struct pk_arena *arena, pk_str type, pk_str body, struct pk_form *f,
                   struct pk_error *err)
{
    bool last = false;

    *f = (struct pk_form){0};
    if (!read_boundary(type, &f->boundary, err))
        return false;
    size_t at = find_delimiter(body, f->boundary, 0);
    if (body.len == 0 || at != 0)
        return bad(err, "it does not begin with its boundary");
    for (;;) {
        size_t begins = at + (body.at[at] == '\r' ? 2 : 0);

        if (!pass_delimiter(body, f->boundary, &at, &last, err))
            return false;
        if (last)
            return true;
        /* A part without headers begins with the line break that may be the delimiter's own. */
        size_t end = find_delimiter(body, f->boundary, at - 2);
        if (end == body.len)
            return bad(err, "it has no end");
        struct pk_form_part p = {.whole = pk_str_sub(body, begins, end + 2 - begins)};
        if (end < at || !read_head(&p, pk_str_sub(body, at, end - at), err))
            return err->code != PK_OK ? false : bad(err, "a part is empty");
        if (!check_repeated(f, &p, err) || !add_part(arena, f, &p, err))
            return false;
        at = end;
    }
}

/* --- the fields as JSON ---------------------------------------------------------------------- */

static void print_part(struct pk_buf *out, const struct pk_form_part *p)
{
    size_t at;

    if (!p->file && pk_utf8_valid(p->content, &at)) {
        pk_json_quote(out, p->content);
        return;
    }
    pk_buf_addc(out, '{');
    if (p->filename.len) {
        pk_buf_adds(out, "\"filename\":");
        pk_json_quote(out, p->filename);
        pk_buf_addc(out, ',');
    }
    if (p->type.len) {
        pk_buf_adds(out, "\"content_type\":");
        pk_json_quote(out, p->type);
        pk_buf_addc(out, ',');
    }
    pk_buf_addf(out, "\"bytes\":%zu}", p->content.len);
}

/* How many parts from `i` on have its name. */
static int alike(const struct pk_form *f, int i)
{
    int n = 0;

    for (int k = i; k < f->count; k++)
        n += pk_str_eq(f->parts[k].name, f->parts[i].name);
    return n;
}

static bool is_first(const struct pk_form *f, int i)
{
    for (int k = 0; k < i; k++)
        if (pk_str_eq(f->parts[k].name, f->parts[i].name))
            return false;
    return true;
}

static void print_list(struct pk_buf *out, const struct pk_form *f, int i)
{
    const char *between = "";

    pk_buf_addc(out, '[');
    for (int k = i; k < f->count; k++) {
        if (!pk_str_eq(f->parts[k].name, f->parts[i].name))
            continue;
        pk_buf_adds(out, between);
        print_part(out, &f->parts[k]);
        between = ",";
    }
    pk_buf_addc(out, ']');
}

bool pk_form_fields(struct pk_arena *arena, const struct pk_form *f, pk_str *json,
                    struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    pk_buf_addc(&out, '{');
    for (int i = 0; i < f->count; i++) {
        if (!is_first(f, i))
            continue;
        if (out.len > 1)
            pk_buf_addc(&out, ',');
        pk_json_quote(&out, f->parts[i].name);
        pk_buf_addc(&out, ':');
        if (is_list(f->parts[i].name) || alike(f, i) > 1)
            print_list(&out, f, i);
        else
            print_part(&out, &f->parts[i]);
    }
    pk_buf_addc(&out, '}');
    *json = pk_buf_str(&out);
    return !out.failed || pk_fail(err, arena->failed ? PK_NO_MEMORY : PK_TOO_LARGE,
                                  "form: its fields are too large");
}

/* --- the form with other fields -------------------------------------------------------------- */

/* The body that is being made, and what it is made of. */
struct making {
    const struct pk_form *form;
    struct pk_buf out;
    struct pk_json before, after;
    bool unfit; /* a field cannot be said in this form */
};

static void add_field(struct making *m, pk_str name, int value)
{
    const struct pk_json *doc = &m->after;
    pk_str boundary = m->form->boundary;
    enum pk_json_type type = pk_json_type(doc, value);
    pk_str text =
        type == PK_JSON_STRING ? pk_json_str(m->out.arena, doc, value) : pk_json_raw(doc, value);

    if (type == PK_JSON_NULL)
        return;
    m->unfit = m->unfit || pk_str_find(name, '"') >= 0 || pk_str_find(name, '\\') >= 0 ||
               !pk_http_valid_value(name) ||
               (text.len && memmem(text.at, text.len, boundary.at, boundary.len));
    pk_buf_addf(&m->out, "--%.*s\r\nContent-Disposition: form-data; name=\"", PK_FMT(boundary));
    pk_buf_add(&m->out, name);
    pk_buf_adds(&m->out, "\"\r\n\r\n");
    pk_buf_add(&m->out, text);
    pk_buf_adds(&m->out, "\r\n");
}

static void add_value(struct making *m, pk_str name, int value)
{
    const struct pk_json *doc = &m->after;

    if (pk_json_type(doc, value) != PK_JSON_ARRAY) {
        add_field(m, name, value);
        return;
    }
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        add_field(m, name, v);
}

/* The parts in their order: as they are, with another value in the place of the first, or left out. */
static void add_parts(struct making *m)
{
    const struct pk_form *f = m->form;

    for (int i = 0; i < f->count; i++) {
        pk_str name = f->parts[i].name;
        int was = pk_json_member(&m->before, 0, name), is = pk_json_member(&m->after, 0, name);

        if (is >= 0 && pk_str_eq(pk_json_raw(&m->before, was), pk_json_raw(&m->after, is)))
            pk_buf_add(&m->out, f->parts[i].whole);
        else if (is >= 0 && is_first(f, i))
            add_value(m, name, is);
    }
}

bool pk_form_with(struct pk_arena *arena, const struct pk_form *f, pk_str after, pk_str *body,
                  struct pk_error *err)
{
    struct making m = {.form = f, .out = pk_buf_in(arena, PK_BODY_BYTES_MAX)};
    pk_str before;

    if (!pk_form_fields(arena, f, &before, err) ||
        !pk_json_parse(arena, before, "form", &m.before, err) ||
        !pk_json_parse(arena, after, "form", &m.after, err))
        return false;
    add_parts(&m);
    for (int k = pk_json_first(&m.after, 0); k >= 0; k = pk_json_next(&m.after, 0, k)) {
        pk_str name = pk_json_str(arena, &m.after, k);

        if (pk_json_member(&m.before, 0, name) < 0)
            add_value(&m, name, k + 1);
    }
    pk_buf_addf(&m.out, "--%.*s--\r\n", PK_FMT(f->boundary));
    *body = pk_buf_str(&m.out);
    if (m.out.failed)
        return pk_fail(err, arena->failed ? PK_NO_MEMORY : PK_TOO_LARGE, "form: larger than %d MiB",
                       PK_BODY_BYTES_MAX >> 20);
    return !m.unfit || bad(err, "a field that the config sets cannot be said in it");
}
