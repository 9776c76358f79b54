/* mustache_parse.c - from a template's text to its program.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "mustache_inner.h"

#include <string.h>

enum { DELIMITER_BYTES_MAX = 8 };

struct parser {
    struct pk_arena *arena;
    const char *what;
    pk_str text;
    size_t at; /* what is before it has been read */
    pk_str open, close;
    struct pk_program *program;
    int sections[PK_TEMPLATE_DEPTH_MAX]; /* the open ones */
    int depth;
    struct pk_error *err;
};

struct tag {
    size_t from, end;
    char sigil; /* one of "#^/!>&={", or 0 */
    pk_str name;
};

/* Where `needle` is in `text`, at `from` or later; text.len when it is not. */
static size_t find(pk_str text, size_t from, pk_str needle)
{
    const char *found =
        from < text.len ? memmem(text.at + from, text.len - from, needle.at, needle.len) : NULL;

    return found ? (size_t)(found - text.at) : text.len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static int blank_in(pk_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_blank(s.at[i]))
            return (int)i;
    return -1;
}

static struct pk_mustache_node *add_node(struct parser *p, enum pk_mustache_kind kind, pk_str text)
{
    struct pk_program *g = p->program;
    struct pk_mustache_node *rows = pk_alloc_row(p->arena, g->nodes, g->count, sizeof *rows);

    if (!rows) {
        (void)pk_fail(p->err, PK_NO_MEMORY, "%s: out of memory", p->what);
        return NULL;
    }
    g->nodes = rows;
    g->nodes[g->count] = (struct pk_mustache_node){.kind = kind, .text = text};
    return &g->nodes[g->count++];
}

/* "a", "a.b.0" or "." */
static bool check_name(struct parser *p, pk_str name)
{
    bool dotted = !pk_str_is(name, ".");

    if (name.len == 0)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: a tag has no name", p->what);
    if (name.len > PK_VARIABLE_BYTES_MAX)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: a name is longer than %d bytes", p->what,
                       PK_VARIABLE_BYTES_MAX);
    if (blank_in(name) >= 0)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: \"%.*s\" is no name: it has blanks", p->what,
                       PK_FMT(pk_mustache_shown(name)));
    for (size_t i = 0; dotted && i < name.len; i++)
        if (name.at[i] == '.' && (i == 0 || i + 1 == name.len || name.at[i + 1] == '.'))
            return pk_fail(p->err, PK_BAD_REQUEST, "%s: \"%.*s\" is no name: a part is empty",
                           p->what, PK_FMT(pk_mustache_shown(name)));
    return true;
}

/* The tag at `from`, where the open delimiter is. */
static bool read_tag(struct parser *p, size_t from, struct tag *t)
{
    size_t inner = from + p->open.len;
    char first = inner < p->text.len ? p->text.at[inner] : '\0';
    char text[DELIMITER_BYTES_MAX + 1];
    pk_str close = p->close;

    *t = (struct tag){.from = from};
    if (first && strchr("#^/!>&={<$*", first)) {
        t->sigil = first;
        inner++;
    }
    if (t->sigil == '{' || t->sigil == '=') {
        text[0] = t->sigil == '{' ? '}' : '=';
        memcpy(text + 1, p->close.at, p->close.len);
        close = (pk_str){text, p->close.len + 1};
    }
    size_t end = find(p->text, inner, close);
    if (end == p->text.len)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: the tag at byte %zu is not closed", p->what,
                       from);
    t->name = pk_str_trim(pk_str_sub(p->text, inner, end - inner));
    t->end = end + close.len;
    return true;
}

/* Whether a tag has its line for itself; *line and *next are where that begins and where the next does. */
static bool stands_alone(pk_str text, const struct tag *t, size_t *line, size_t *next)
{
    size_t i = t->from, k = t->end;

    while (i > 0 && (text.at[i - 1] == ' ' || text.at[i - 1] == '\t'))
        i--;
    if (i > 0 && text.at[i - 1] != '\n')
        return false;
    while (k < text.len && (text.at[k] == ' ' || text.at[k] == '\t'))
        k++;
    if (k + 1 < text.len && text.at[k] == '\r' && text.at[k + 1] == '\n')
        k++;
    if (k < text.len && text.at[k] != '\n')
        return false;
    *line = i;
    *next = k < text.len ? k + 1 : k;
    return true;
}

/* {{=<% %>=}} */
static bool set_delimiters(struct parser *p, pk_str words)
{
    int blank = blank_in(words);
    pk_str open = pk_str_sub(words, 0, blank < 0 ? 0 : (size_t)blank);
    pk_str close = pk_str_trim(pk_str_sub(words, open.len, words.len));

    if (open.len == 0 || open.len > DELIMITER_BYTES_MAX || close.len == 0 ||
        close.len > DELIMITER_BYTES_MAX || blank_in(close) >= 0 || pk_str_find(words, '=') >= 0)
        return pk_fail(p->err, PK_BAD_REQUEST,
                       "%s: delimiters are set by two words of at most %d bytes without a '='",
                       p->what, DELIMITER_BYTES_MAX);
    p->open = open;
    p->close = close;
    return true;
}

static bool open_section(struct parser *p, const struct tag *t)
{
    if (p->depth == PK_TEMPLATE_DEPTH_MAX)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: sections are nested deeper than %d", p->what,
                       PK_TEMPLATE_DEPTH_MAX);
    p->sections[p->depth++] = p->program->count;
    return check_name(p, t->name) &&
           add_node(p, t->sigil == '#' ? PK_M_SECTION : PK_M_INVERTED, t->name) != NULL;
}

static bool close_section(struct parser *p, const struct tag *t)
{
    struct pk_mustache_node *open = p->depth ? &p->program->nodes[p->sections[p->depth - 1]] : NULL;

    if (!open)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: {{/%.*s}} closes nothing", p->what,
                       PK_FMT(pk_mustache_shown(t->name)));
    if (!pk_str_eq(open->text, t->name))
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: {{/%.*s}} stands where {{/%.*s}} is due",
                       p->what, PK_FMT(pk_mustache_shown(t->name)),
                       PK_FMT(pk_mustache_shown(open->text)));
    open->end = p->program->count;
    p->depth--;
    return true;
}

static bool take_partial(struct parser *p, const struct tag *t, pk_str indent)
{
    struct pk_mustache_node *n = check_name(p, t->name) ? add_node(p, PK_M_PARTIAL, t->name) : NULL;

    if (n)
        n->indent = indent;
    return n != NULL;
}

/* `indent` is what stands before a tag that is alone on its line. */
static bool take_tag(struct parser *p, const struct tag *t, pk_str indent)
{
    switch (t->sigil) {
    case '!': return true;
    case '#':
    case '^': return open_section(p, t);
    case '/': return close_section(p, t);
    case '>': return take_partial(p, t, indent);
    case '=': return set_delimiters(p, t->name);
    case '<':
    case '$':
    case '*':
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: there are no tags {{%c...}} here", p->what,
                       t->sigil);
    default: return check_name(p, t->name) && add_node(p, PK_M_VALUE, t->name) != NULL;
    }
}

static bool take_text(struct parser *p, size_t from, size_t to)
{
    return from >= to || add_node(p, PK_M_TEXT, pk_str_sub(p->text, from, to - from)) != NULL;
}

/* Reads one tag and the text before it; false at the end and on errors. */
static bool advance(struct parser *p, bool *ok)
{
    size_t from = find(p->text, p->at, p->open), line = 0, next = 0;
    struct tag t;

    if (from == p->text.len) {
        *ok = take_text(p, p->at, from);
        return false;
    }
    *ok = read_tag(p, from, &t);
    if (!*ok)
        return false;
    bool alone =
        t.sigil && t.sigil != '&' && t.sigil != '{' && stands_alone(p->text, &t, &line, &next);
    *ok = take_text(p, p->at, alone ? line : from) &&
          take_tag(p, &t, alone ? pk_str_sub(p->text, line, from - line) : PK_NONE);
    p->at = alone ? next : t.end;
    return *ok;
}

struct pk_program *pk_mustache_parse(struct pk_arena *arena, pk_str text, const char *what,
                                     struct pk_error *err)
{
    struct parser p = {.arena = arena,
                       .what = what,
                       .text = text,
                       .open = PK_STR("{{"),
                       .close = PK_STR("}}"),
                       .program = pk_alloc(arena, sizeof *p.program),
                       .err = err};
    bool ok = true;

    if (!p.program) {
        (void)pk_fail(err, PK_NO_MEMORY, "%s: out of memory", what);
        return NULL;
    }
    while (advance(&p, &ok))
        continue;
    if (ok && p.depth)
        ok = pk_fail(err, PK_BAD_REQUEST, "%s: the section \"%.*s\" is not closed", what,
                     PK_FMT(pk_mustache_shown(p.program->nodes[p.sections[p.depth - 1]].text)));
    return ok ? p.program : NULL;
}

static bool add_name(struct pk_names *names, pk_str name)
{
    for (int i = 0; i < names->count; i++)
        if (pk_str_eq(names->list[i], name))
            return true;
    if (names->count == (int)PK_COUNT(names->list))
        return false;
    names->list[names->count++] = name;
    return true;
}

bool pk_mustache_check(struct pk_arena *arena, pk_str text, const char *what,
                       struct pk_names *partials, struct pk_error *err)
{
    struct pk_program *g = pk_mustache_parse(arena, text, what, err);

    for (int i = 0; g && i < g->count; i++)
        if (g->nodes[i].kind == PK_M_PARTIAL && !add_name(partials, g->nodes[i].text))
            return pk_fail(err, PK_BAD_REQUEST, "%s: more than %d partials", what, PK_PARTIALS_MAX);
    return g != NULL;
}
