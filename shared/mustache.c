/* mustache.c - see mustache.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   text --parse--> program: a flat list of nodes; a section knows where it ends --run--> text
 *
 * A template is parsed once for each rendering, a partial once unless it is indented: then its lines are
 * indented first, as the spec has it, so that values of several lines are not. A section or partial that
 * is entered is a frame on a stack of PK_TEMPLATE_DEPTH_MAX, so a partial may name itself. Since sections over
 * arrays multiply, the number of steps is bounded too.
 */
#include "mustache.h"

#include <string.h>

enum {
    DELIMITER_BYTES_MAX = 8,
    NODES_MIN = 8,        /* first size of a program */
    STEP_MEMBERS = 16,    /* members that are looked through in one step */
    STEP_BYTES = 64,      /* bytes of a partial that are indented in one step */
    SHOWN_BYTES_MAX = 64, /* of a name in an error */
};

enum kind { TEXT, VALUE, SECTION, INVERTED, PARTIAL };

struct node {
    enum kind kind;
    pk_str text;   /* TEXT: itself; otherwise the name */
    pk_str indent; /* PARTIAL alone on its line: the blanks before it */
    int end;       /* SECTION, INVERTED: index behind the last node inside */
};

struct pk_program {
    struct node *nodes;
    int count, cap;
};

/* --- parsing --------------------------------------------------------------------------- */

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

static pk_str shown(pk_str name)
{
    return pk_str_sub(name, 0, SHOWN_BYTES_MAX);
}

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

static struct node *add_node(struct parser *p, enum kind kind, pk_str text)
{
    struct pk_program *g = p->program;

    if (g->count == g->cap) {
        int cap = g->cap ? g->cap * 2 : NODES_MIN;
        struct node *more = pk_alloc_grow(p->arena, g->nodes, (size_t)g->cap * sizeof *more,
                                          (size_t)cap * sizeof *more);

        if (!more) {
            (void)pk_fail(p->err, PK_NO_MEMORY, "%s: out of memory", p->what);
            return NULL;
        }
        g->nodes = more;
        g->cap = cap;
    }
    g->nodes[g->count] = (struct node){.kind = kind, .text = text};
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
                       PK_FMT(shown(name)));
    for (size_t i = 0; dotted && i < name.len; i++)
        if (name.at[i] == '.' && (i == 0 || i + 1 == name.len || name.at[i + 1] == '.'))
            return pk_fail(p->err, PK_BAD_REQUEST, "%s: \"%.*s\" is no name: a part is empty",
                           p->what, PK_FMT(shown(name)));
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
           add_node(p, t->sigil == '#' ? SECTION : INVERTED, t->name) != NULL;
}

static bool close_section(struct parser *p, const struct tag *t)
{
    struct node *open = p->depth ? &p->program->nodes[p->sections[p->depth - 1]] : NULL;

    if (!open)
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: {{/%.*s}} closes nothing", p->what,
                       PK_FMT(shown(t->name)));
    if (!pk_str_eq(open->text, t->name))
        return pk_fail(p->err, PK_BAD_REQUEST, "%s: {{/%.*s}} stands where {{/%.*s}} is due",
                       p->what, PK_FMT(shown(t->name)), PK_FMT(shown(open->text)));
    open->end = p->program->count;
    p->depth--;
    return true;
}

static bool take_partial(struct parser *p, const struct tag *t, pk_str indent)
{
    struct node *n = check_name(p, t->name) ? add_node(p, PARTIAL, t->name) : NULL;

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
    default: return check_name(p, t->name) && add_node(p, VALUE, t->name) != NULL;
    }
}

static bool take_text(struct parser *p, size_t from, size_t to)
{
    return from >= to || add_node(p, TEXT, pk_str_sub(p->text, from, to - from)) != NULL;
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

static struct pk_program *parse(struct pk_arena *arena, pk_str text, const char *what,
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
                     PK_FMT(shown(p.program->nodes[p.sections[p.depth - 1]].text)));
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
    struct pk_program *g = parse(arena, text, what, err);

    for (int i = 0; g && i < g->count; i++)
        if (g->nodes[i].kind == PARTIAL && !add_name(partials, g->nodes[i].text))
            return pk_fail(err, PK_BAD_REQUEST, "%s: more than %d partials", what, PK_PARTIALS_MAX);
    return g != NULL;
}

/* --- values ---------------------------------------------------------------------------- */

/* A run of nodes that is being rendered: a template, a partial, or the inside of a section. */
struct frame {
    const struct pk_program *program;
    int from, at, to;
    int context; /* the value that names are looked up in first; -1: none of its own */
    int list;    /* the array whose item `context` is; -1: none */
};

/* What a template is rendered with, and into. */
struct rendering {
    struct pk_mustache *m;
    const char *what;
    struct pk_buf *out;
    struct frame frames[PK_TEMPLATE_DEPTH_MAX];
    int depth;
    struct pk_error *err;
};

/* A member of an object, or an item of an array by its number. */
static int part_of(struct pk_mustache *m, int value, pk_str name)
{
    int64_t i;

    m->steps += pk_json_count(m->vars, value) / STEP_MEMBERS;
    if (pk_json_type(m->vars, value) == PK_JSON_OBJECT)
        return pk_json_member(m->vars, value, name);
    if (pk_json_type(m->vars, value) == PK_JSON_ARRAY && pk_str_int(name, &i) && i >= 0 &&
        i < pk_json_count(m->vars, value))
        return pk_json_item(m->vars, value, (int)i);
    return -1;
}

/* From the innermost context outwards. An empty `name` is the innermost itself. */
static int look_around(struct rendering *r, pk_str name)
{
    int value = -1;

    for (int i = r->depth - 1; value < 0 && i >= 0; i--) {
        int context = r->frames[i].context;

        if (context >= 0)
            value = name.len ? part_of(r->m, context, name) : context;
    }
    return value;
}

/* The first part of a name is looked for around, the others in what it is. */
static int look_up(struct rendering *r, pk_str name)
{
    int dot = pk_str_find(name, '.');
    pk_str part = pk_str_sub(name, 0, dot < 0 ? name.len : (size_t)dot);
    int value = look_around(r, part);

    if (pk_str_is(name, "."))
        return value;
    while (value >= 0 && part.len < name.len) {
        name = pk_str_sub(name, part.len + 1, name.len);
        dot = pk_str_find(name, '.');
        part = pk_str_sub(name, 0, dot < 0 ? name.len : (size_t)dot);
        value = part_of(r->m, value, part);
    }
    return value;
}

static bool is_true(const struct pk_json *doc, int value)
{
    double number;

    switch (pk_json_type(doc, value)) {
    case PK_JSON_NONE:
    case PK_JSON_NULL:
    case PK_JSON_FALSE: return false;
    case PK_JSON_NUMBER: return !pk_json_number(doc, value, &number) || number < 0 || number > 0;
    case PK_JSON_STRING: return !pk_json_is(doc, value, "");
    case PK_JSON_ARRAY: return pk_json_count(doc, value) > 0;
    case PK_JSON_TRUE:
    case PK_JSON_OBJECT: break;
    }
    return true;
}

static void note_missing(struct pk_mustache *m, pk_str name)
{
    int listed = m->missing_count < PK_MISSING_MAX ? m->missing_count : PK_MISSING_MAX;

    for (int i = 0; i < listed; i++)
        if (pk_str_eq(m->missing[i], name))
            return;
    if (listed < PK_MISSING_MAX)
        m->missing[listed] = name;
    m->missing_count++;
}

static void print_value(struct rendering *r, pk_str name)
{
    const struct pk_json *doc = r->m->vars;
    int value = look_up(r, name);

    switch (pk_json_type(doc, value)) {
    case PK_JSON_NONE: note_missing(r->m, name); break;
    case PK_JSON_NULL: break;
    case PK_JSON_STRING: pk_buf_add(r->out, pk_json_str(r->m->arena, doc, value)); break;
    case PK_JSON_FALSE:
    case PK_JSON_TRUE:
    case PK_JSON_NUMBER:
    case PK_JSON_ARRAY:
    case PK_JSON_OBJECT: pk_buf_add(r->out, pk_json_raw(doc, value)); break;
    }
}

/* --- running --------------------------------------------------------------------------- */

static bool enter(struct rendering *r, struct frame f)
{
    if (r->depth == PK_TEMPLATE_DEPTH_MAX)
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "%s: sections and partials are nested deeper than %d", r->what,
                       PK_TEMPLATE_DEPTH_MAX);
    f.at = f.from;
    r->frames[r->depth++] = f;
    return true;
}

static bool enter_section(struct rendering *r, const struct pk_program *g, int section)
{
    const struct pk_json *doc = r->m->vars;
    const struct node *n = &g->nodes[section];
    int value = look_up(r, n->text);
    bool list = pk_json_type(doc, value) == PK_JSON_ARRAY;
    struct frame f = {.program = g, .from = section + 1, .to = n->end, .context = -1, .list = -1};

    if (is_true(doc, value) != (n->kind == SECTION))
        return true;
    if (n->kind == SECTION) {
        f.context = list ? pk_json_first(doc, value) : value;
        f.list = list ? value : -1;
    }
    return enter(r, f);
}

/* The inside of a section once more, for the next item; or on with what is behind it. */
static void leave(struct rendering *r)
{
    struct frame *f = &r->frames[r->depth - 1];
    int item = f->list < 0 ? -1 : pk_json_next(r->m->vars, f->list, f->context);

    if (item < 0) {
        r->depth--;
        return;
    }
    r->m->steps++;
    f->context = item;
    f->at = f->from;
}

/* The text with `indent` before each line. */
static pk_str indented(struct pk_arena *arena, pk_str text, pk_str indent)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    bool begins = true;

    for (size_t i = 0; i < text.len; i++) {
        if (begins)
            pk_buf_add(&out, indent);
        pk_buf_addc(&out, text.at[i]);
        begins = text.at[i] == '\n';
    }
    return pk_buf_str(&out);
}

static const struct pk_program *program_of(struct rendering *r, struct pk_partial *p, pk_str indent)
{
    struct pk_arena *arena = r->m->arena;

    if (indent.len) {
        r->m->steps += (int)(p->text.len / STEP_BYTES);
        return parse(arena, indented(arena, p->text, indent), r->what, r->err);
    }
    if (!p->program)
        p->program = parse(arena, p->text, r->what, r->err);
    return p->program;
}

static struct pk_partial *find_partial(struct pk_mustache *m, pk_str name)
{
    for (int i = 0; i < m->partial_count; i++)
        if (pk_str_eq(m->partials[i].name, name))
            return &m->partials[i];
    return NULL;
}

static bool enter_partial(struct rendering *r, const struct node *n)
{
    struct pk_partial *partial = find_partial(r->m, n->text);

    if (!partial)
        return pk_fail(r->err, PK_NOT_FOUND, "%s: there is no partial called \"%.*s\"", r->what,
                       PK_FMT(shown(n->text)));
    const struct pk_program *g = program_of(r, partial, n->indent);
    return g && enter(r, (struct frame){.program = g, .to = g->count, .context = -1, .list = -1});
}

static bool check_bounds(struct rendering *r)
{
    if (r->m->steps > PK_TEMPLATE_STEPS_MAX)
        return pk_fail(r->err, PK_TOO_LARGE, "%s: takes more than %d steps", r->what,
                       PK_TEMPLATE_STEPS_MAX);
    if (r->m->arena->failed)
        return pk_fail(r->err, PK_NO_MEMORY, "%s: out of memory", r->what);
    return !r->out->failed ||
           pk_fail(r->err, PK_TOO_LARGE, "%s: becomes larger than %zu bytes", r->what, r->out->max);
}

static bool run_node(struct rendering *r, struct frame *f)
{
    int i = f->at++;
    const struct node *n = &f->program->nodes[i];

    r->m->steps++;
    switch (n->kind) {
    case TEXT: pk_buf_add(r->out, n->text); return true;
    case VALUE: print_value(r, n->text); return true;
    case SECTION:
    case INVERTED: f->at = n->end; return enter_section(r, f->program, i);
    case PARTIAL: return enter_partial(r, n);
    }
    return false;
}

static bool run(struct rendering *r)
{
    bool ok = true;

    while (ok && r->depth) {
        struct frame *f = &r->frames[r->depth - 1];

        if (f->at == f->to)
            leave(r);
        else
            ok = run_node(r, f);
        ok = ok && check_bounds(r);
    }
    return ok;
}

/* --- what is exported ------------------------------------------------------------------ */

static bool is_alone(const struct pk_program *g)
{
    return g->count == 1 && g->nodes[0].kind == VALUE;
}

/* At the beginning of `g`, where all of the values are the context. */
static void begin(struct rendering *r, const struct pk_program *g)
{
    r->frames[0] = (struct frame){.program = g, .to = g->count, .list = -1};
    r->depth = 1;
}

bool pk_mustache_alone(struct pk_mustache *m, pk_str text, int *value)
{
    struct pk_error unused;
    const struct pk_program *g = parse(m->arena, text, "", &unused);
    struct rendering r = {.m = m};

    if (!g || !is_alone(g))
        return false;
    begin(&r, g);
    *value = look_up(&r, g->nodes[0].text);
    if (*value < 0)
        note_missing(m, g->nodes[0].text);
    return true;
}

bool pk_mustache_json(struct pk_mustache *m, pk_str text, const char *what, struct pk_buf *out,
                      struct pk_error *err)
{
    struct pk_buf plain = pk_buf_in(m->arena, out->max);
    struct rendering r = {.m = m, .what = what, .out = &plain, .err = err};
    const struct pk_program *g = parse(m->arena, text, what, err);

    if (!g)
        return false;
    begin(&r, g);
    int value = is_alone(g) ? look_up(&r, g->nodes[0].text) : -1;
    enum pk_json_type type = pk_json_type(m->vars, value);
    if (type == PK_JSON_OBJECT || type == PK_JSON_ARRAY)
        pk_buf_add(out, pk_json_raw(m->vars, value));
    else if (run(&r))
        pk_json_quote(out, pk_buf_str(&plain));
    else
        return false;
    r.out = out;
    return check_bounds(&r);
}

bool pk_mustache_whole(const struct pk_mustache *m, const char *what, struct pk_error *err)
{
    char names[sizeof err->msg];
    size_t len = 0;
    int i = 0;

    if (m->missing_count == 0)
        return true;
    for (; i < m->missing_count && i < PK_MISSING_MAX; i++) {
        pk_str name = shown(m->missing[i]);

        if (len + name.len + 2 > sizeof names / 2)
            break;
        memcpy(names + len, i ? ", " : "", i ? 2 : 0);
        len += i ? 2 : 0;
        memcpy(names + len, name.at, name.len);
        len += name.len;
    }
    pk_str list = {names, len};
    if (i < m->missing_count)
        return pk_fail(err, PK_BAD_REQUEST, "%s: missing variables: %.*s and %d more", what,
                       PK_FMT(list), m->missing_count - i);
    return pk_fail(err, PK_BAD_REQUEST, "%s: missing variable%s: %.*s", what, i > 1 ? "s" : "",
                   PK_FMT(list));
}
