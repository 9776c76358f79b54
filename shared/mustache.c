/* mustache.c - see mustache.h: a program that is run with its values.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   text --mustache_parse.c--> program --run--> text
 *
 * A template is parsed once for each rendering, a partial once unless it is indented: then its lines are
 * indented first, as the spec has it, so that values of several lines are not. A section or partial that
 * is entered is a frame on a stack of PK_TEMPLATE_DEPTH_MAX, so a partial may name itself. Since sections over
 * arrays multiply, the number of steps is bounded too.
 */
#include "mustache_inner.h"

#include <string.h>

enum {
    STEP_MEMBERS = 16, /* members that are looked through in one step */
    STEP_BYTES = 64,   /* bytes of a partial that are indented in one step */
};

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
    const struct pk_mustache_node *n = &g->nodes[section];
    int value = look_up(r, n->text);
    bool list = pk_json_type(doc, value) == PK_JSON_ARRAY;
    struct frame f = {.program = g, .from = section + 1, .to = n->end, .context = -1, .list = -1};

    if (is_true(doc, value) != (n->kind == PK_M_SECTION))
        return true;
    if (n->kind == PK_M_SECTION) {
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
        return pk_mustache_parse(arena, indented(arena, p->text, indent), r->what, r->err);
    }
    if (!p->program)
        p->program = pk_mustache_parse(arena, p->text, r->what, r->err);
    return p->program;
}

static struct pk_partial *find_partial(struct pk_mustache *m, pk_str name)
{
    for (int i = 0; i < m->partial_count; i++)
        if (pk_str_eq(m->partials[i].name, name))
            return &m->partials[i];
    return NULL;
}

static bool enter_partial(struct rendering *r, const struct pk_mustache_node *n)
{
    struct pk_partial *partial = find_partial(r->m, n->text);

    if (!partial)
        return pk_fail(r->err, PK_NOT_FOUND, "%s: there is no partial called \"%.*s\"", r->what,
                       PK_FMT(pk_mustache_shown(n->text)));
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
    const struct pk_mustache_node *n = &f->program->nodes[i];

    r->m->steps++;
    switch (n->kind) {
    case PK_M_TEXT: pk_buf_add(r->out, n->text); return true;
    case PK_M_VALUE: print_value(r, n->text); return true;
    case PK_M_SECTION:
    case PK_M_INVERTED: f->at = n->end; return enter_section(r, f->program, i);
    case PK_M_PARTIAL: return enter_partial(r, n);
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
    return g->count == 1 && g->nodes[0].kind == PK_M_VALUE;
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
    const struct pk_program *g = pk_mustache_parse(m->arena, text, "", &unused);
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
    const struct pk_program *g = pk_mustache_parse(m->arena, text, what, err);

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
        pk_str name = pk_mustache_shown(m->missing[i]);

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
