/* schema_check.c - judging a value: one function a kind of keyword, in a table.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What has been evaluated (for unevaluatedItems and unevaluatedProperties) is one bit a child of the value in
 * hand, on a stack of bits. A subschema that is applied to the same value gets bits of its own, which join
 * its parent's only when it holds.
 */
#include "schema_inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES_MAX = 256 << 20,
    WORD_BITS = 64,
    NOT_TRACKED = -1,
    PATH_BYTES_MAX = 160,
};

/* Schemas that were entered on the way here. */
struct scope {
    const struct scope *up;
    int resource;
};

struct run {
    const struct pk_schema *s;
    struct pk_schema_text text, schema_text; /* of the value's document, of the schema's */
    struct pk_arena *arena;
    const struct scope *scope;
    int depth, quiet; /* quiet: inside of what may fail */
    int64_t steps;
    uint64_t *bits; /* a stack of bit sets, in words */
    size_t used, cap;
    const char *gave_up; /* why nobody knows; NULL while all is well */
    struct pk_error *why;
};

static bool eval(struct run *r, int node, int value, ptrdiff_t seen);

/* --- failing ------------------------------------------------------------------------------ */

static bool give_up(struct run *r, const char *reason)
{
    if (!r->gave_up)
        r->gave_up = reason;
    return false;
}

static bool fault(struct run *r, int value, const char *problem, pk_str name)
{
    struct pk_buf path = pk_buf_in(r->arena, SCRATCH_BYTES_MAX);

    if (r->quiet > 0 || r->why->code != PK_OK || r->gave_up)
        return false;
    pk_schema_path(&path, "$", r->text.doc, value);
    if (path.len > PATH_BYTES_MAX) {
        path.len = PATH_BYTES_MAX;
        while (path.len > 0 && ((unsigned char)path.at[path.len] & 0xc0) == 0x80)
            path.len--;
        pk_buf_adds(&path, "...");
    }
    return pk_fail(r->why, PK_BAD_REQUEST, "%.*s: %s%.*s", PK_FMT(pk_buf_str(&path)), problem,
                   PK_FMT(pk_str_sub(name, 0, 64)));
}

/* --- bits --------------------------------------------------------------------------------- */

static size_t words_for(const struct run *r, int value)
{
    return ((size_t)pk_json_count(r->text.doc, value) + WORD_BITS - 1) / WORD_BITS;
}

/* The offset of a cleared set of `words`; NOT_TRACKED when memory is out. */
static ptrdiff_t push_bits(struct run *r, size_t words)
{
    size_t need = r->used + words, cap = r->cap ? r->cap : 64;

    while (cap < need)
        cap *= 2;
    if (cap > r->cap) {
        void *more =
            pk_alloc_grow(r->arena, r->bits, r->cap * sizeof *r->bits, cap * sizeof *r->bits);

        if (!more)
            return give_up(r, "out of memory"), NOT_TRACKED;
        r->bits = more;
        r->cap = cap;
    }
    if (words)
        memset(r->bits + r->used, 0, words * sizeof *r->bits);
    r->used = need;
    return (ptrdiff_t)(need - words);
}

static void set_bit(struct run *r, ptrdiff_t set, int i)
{
    if (set != NOT_TRACKED)
        r->bits[(size_t)set + (size_t)i / WORD_BITS] |= 1ull << (i % WORD_BITS);
}

static bool has_bit(const struct run *r, ptrdiff_t set, int i)
{
    return r->bits[(size_t)set + (size_t)i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

/* --- one function a kind of keyword --------------------------------------------------------- */

static bool is_integer(const struct run *r, int value)
{
    struct pk_decimal d = pk_decimal_of(pk_json_raw(r->text.doc, value));

    return pk_decimal_is_integer(&d);
}

static bool types(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    enum pk_json_type type = pk_json_type(r->text.doc, value);
    pk_str place;

    (void)mine;
    if (!n->types || (n->types >> type & 1) ||
        ((n->types & PK_SCHEMA_INTEGER) && type == PK_JSON_NUMBER && is_integer(r, value)))
        return true;
    place = pk_json_raw(&r->s->doc, pk_json_get(&r->s->doc, n->place, "type"));
    return fault(r, value, "must be of the type ", place);
}

static bool values(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    const struct pk_json *doc = &r->s->doc;
    int i = 0;

    (void)mine;
    if (n->const_value >= 0 &&
        !pk_schema_equal(&r->text, value, &r->schema_text, n->const_value, &r->steps))
        return fault(r, value, "must be ", pk_json_raw(doc, n->const_value));
    if (n->enum_values < 0)
        return true;
    uint64_t hash = pk_schema_hash(&r->text, value, &r->steps);
    for (int v = pk_json_first(doc, n->enum_values); v >= 0;
         v = pk_json_next(doc, n->enum_values, v))
        if (n->enum_hashes[i++] == hash &&
            pk_schema_equal(&r->text, value, &r->schema_text, v, &r->steps))
            return true;
    return fault(r, value, "must be one of ", pk_json_raw(doc, n->enum_values));
}

static bool numbers(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    const struct pk_schema_numbers *l = n->numbers;
    struct pk_decimal d;

    (void)mine;
    if (!l || pk_json_type(r->text.doc, value) != PK_JSON_NUMBER)
        return true;
    d = pk_decimal_of(pk_json_raw(r->text.doc, value));
    if (l->min.given && pk_decimal_compare(&d, &l->min.at) < 0)
        return fault(r, value, "is less than the minimum", PK_NONE);
    if (l->max.given && pk_decimal_compare(&d, &l->max.at) > 0)
        return fault(r, value, "is more than the maximum", PK_NONE);
    if (l->above.given && pk_decimal_compare(&d, &l->above.at) <= 0)
        return fault(r, value, "is not above the exclusiveMinimum", PK_NONE);
    if (l->below.given && pk_decimal_compare(&d, &l->below.at) >= 0)
        return fault(r, value, "is not below the exclusiveMaximum", PK_NONE);
    return !l->divisor || pk_decimal_divides(&d, l->divisor, l->scale) ||
           fault(r, value, "is no multiple of what multipleOf says", PK_NONE);
}

static int64_t code_points(pk_str s)
{
    int64_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.at[i] & 0xc0) != 0x80;
    return n;
}

static bool matches(struct run *r, const struct pk_regex *regex, pk_str text)
{
    enum pk_found found = pk_regex_find(regex, text, 0, NULL);

    r->steps -= 1 + (int64_t)text.len / 16;
    if (found == PK_FOUND_GAVE_UP)
        return give_up(r, "a pattern needs too many steps");
    return found == PK_FOUND;
}

static bool strings(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    const struct pk_schema_strings *l = n->strings;
    pk_str s;

    (void)mine;
    if (!l || pk_json_type(r->text.doc, value) != PK_JSON_STRING)
        return true;
    s = pk_schema_text(&r->text, value);
    if (l->min > 0 && ((int64_t)s.len < l->min || code_points(s) < l->min))
        return fault(r, value, "is shorter than minLength", PK_NONE);
    if (l->max >= 0 && (int64_t)s.len > l->max && code_points(s) > l->max)
        return fault(r, value, "is longer than maxLength", PK_NONE);
    if (l->pattern && !matches(r, l->pattern, s))
        return fault(r, value, "does not match the pattern", PK_NONE);
    return !l->format || l->format(s) || fault(r, value, "is no ", l->format_name);
}

struct hashed {
    uint64_t hash;
    int value;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->value - y->value;
}

static bool unique(struct run *r, int value)
{
    int count = pk_json_count(r->text.doc, value), n = 0;
    struct hashed *items;

    if (count < 2)
        return true;
    items = pk_alloc(r->arena, (size_t)count * sizeof *items);
    if (!items)
        return give_up(r, "out of memory");
    for (int v = pk_json_first(r->text.doc, value); v >= 0; v = pk_json_next(r->text.doc, value, v))
        items[n++] = (struct hashed){pk_schema_hash(&r->text, v, &r->steps), v};
    qsort(items, (size_t)count, sizeof *items, by_hash);
    for (int i = 1; i < count; i++)
        for (int j = i - 1; j >= 0 && items[j].hash == items[i].hash && r->steps > 0; j--)
            if (pk_schema_equal(&r->text, items[i].value, &r->text, items[j].value, &r->steps))
                return fault(r, items[i].value, "is in the list twice", PK_NONE);
    return true;
}

static bool contains(struct run *r, const struct pk_schema_arrays *l, int value, ptrdiff_t mine)
{
    int64_t found = 0;
    int i = 0;

    for (int v = pk_json_first(r->text.doc, value); v >= 0;
         v = pk_json_next(r->text.doc, value, v), i++) {
        r->quiet++;
        if (eval(r, l->contains, v, NOT_TRACKED)) {
            set_bit(r, mine, i);
            found++;
        }
        r->quiet--;
    }
    if (found < l->min_contains)
        return fault(r, value, "has too few items that `contains` describes", PK_NONE);
    return l->max_contains < 0 || found <= l->max_contains ||
           fault(r, value, "has too many items that `contains` describes", PK_NONE);
}

static bool arrays(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    const struct pk_schema_arrays *l = n->arrays;
    int count = pk_json_count(r->text.doc, value), i = 0;

    if (!l || pk_json_type(r->text.doc, value) != PK_JSON_ARRAY)
        return true;
    if (count < l->min)
        return fault(r, value, "has fewer items than minItems", PK_NONE);
    if (l->max >= 0 && count > l->max)
        return fault(r, value, "has more items than maxItems", PK_NONE);
    for (int v = pk_json_first(r->text.doc, value); v >= 0;
         v = pk_json_next(r->text.doc, value, v), i++) {
        int schema = i < l->prefix.count ? l->prefix.at[i] : l->items;

        if (schema >= 0 && !eval(r, schema, v, NOT_TRACKED))
            return false;
        if (schema >= 0)
            set_bit(r, mine, i);
    }
    if (l->unique && !unique(r, value))
        return false;
    return l->contains < 0 || contains(r, l, value, mine);
}

static int name_index(const struct pk_schema_objects *l, pk_str name)
{
    int low = 0, high = l->name_count - 1;

    while (low <= high) {
        int middle = low + (high - low) / 2;
        pk_str at = l->names[middle].text;
        size_t n = at.len < name.len ? at.len : name.len;
        int c = n ? memcmp(name.at, at.at, n) : 0;

        if (c == 0 && name.len == at.len)
            return middle;
        if (c < 0 || (c == 0 && name.len < at.len))
            high = middle - 1;
        else
            low = middle + 1;
    }
    return -1;
}

/* One member: `key`, and its value behind it. */
static bool member(struct run *r, const struct pk_schema_objects *l, int key, int index,
                   bool *evaluated)
{
    pk_str name = pk_schema_text(&r->text, key);

    if (index >= 0 && l->names[index].schema >= 0) {
        *evaluated = true;
        if (!eval(r, l->names[index].schema, key + 1, NOT_TRACKED))
            return false;
    }
    for (int p = 0; p < l->pattern_count && !r->gave_up; p++) {
        if (!matches(r, l->patterns[p].regex, name))
            continue;
        *evaluated = true;
        if (!eval(r, l->patterns[p].schema, key + 1, NOT_TRACKED))
            return false;
    }
    if (!*evaluated && l->additional >= 0) {
        *evaluated = true;
        if (!eval(r, l->additional, key + 1, NOT_TRACKED))
            return false;
    }
    return l->property_names < 0 || eval(r, l->property_names, key, NOT_TRACKED);
}

/* What the names that are there ask for. */
static bool needs(struct run *r, const struct pk_schema_objects *l, int value, ptrdiff_t there,
                  ptrdiff_t mine)
{
    for (int i = 0; i < l->name_count; i++)
        if (l->names[i].required && !has_bit(r, there, i))
            return fault(r, value, "needs the member ", l->names[i].text);
    for (int i = 0; i < l->dependent_count; i++) {
        const struct pk_schema_dependent *d = &l->dependents[i];

        if (!has_bit(r, there, d->if_there))
            continue;
        if (d->then_there >= 0 && !has_bit(r, there, d->then_there))
            return fault(r, value, "needs the member ", l->names[d->then_there].text);
        if (d->schema >= 0 && !eval(r, d->schema, value, mine))
            return false;
    }
    return true;
}

static bool members(struct run *r, const struct pk_schema_objects *l, int value, ptrdiff_t there,
                    ptrdiff_t mine)
{
    int i = 0;

    for (int k = pk_json_first(r->text.doc, value); k >= 0;
         k = pk_json_next(r->text.doc, value, k), i++) {
        int index = l->name_count ? name_index(l, pk_schema_text(&r->text, k)) : -1;
        bool evaluated = false;

        if (index >= 0)
            set_bit(r, there, index);
        if (!member(r, l, k, index, &evaluated))
            return false;
        if (evaluated)
            set_bit(r, mine, i);
    }
    return !l->needs || needs(r, l, value, there, mine);
}

static bool objects(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    const struct pk_schema_objects *l = n->objects;
    int count = pk_json_count(r->text.doc, value);
    ptrdiff_t there = NOT_TRACKED;

    if (!l || pk_json_type(r->text.doc, value) != PK_JSON_OBJECT)
        return true;
    if (count < l->min)
        return fault(r, value, "has fewer members than minProperties", PK_NONE);
    if (l->max >= 0 && count > l->max)
        return fault(r, value, "has more members than maxProperties", PK_NONE);
    size_t mark = r->used;
    if (l->needs) {
        there = push_bits(r, ((size_t)l->name_count + WORD_BITS - 1) / WORD_BITS);
        if (there == NOT_TRACKED)
            return false;
    }
    bool ok = members(r, l, value, there, mine);
    r->used = mark;
    return ok;
}

/* The schema of the dynamic anchor in the outermost scope that has it, or `node`. */
static int dynamic(const struct run *r, pk_str name, int node)
{
    for (const struct scope *at = r->scope; at; at = at->up)
        for (int i = 0; i < r->s->anchor_count; i++) {
            const struct pk_schema_anchor *a = &r->s->anchors[i];

            if (a->dynamic && a->resource == at->resource && pk_str_eq(a->name, name))
                node = a->node;
        }
    return node;
}

static bool references(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    if (n->ref >= 0 && !eval(r, n->ref, value, mine))
        return false;
    if (n->dynamic_ref < 0)
        return true;
    int node = n->dynamic_name.at ? dynamic(r, n->dynamic_name, n->dynamic_ref) : n->dynamic_ref;
    return eval(r, node, value, mine);
}

static bool alternatives(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    int held = 0;

    for (int i = 0; i < n->all_of.count; i++)
        if (!eval(r, n->all_of.at[i], value, mine))
            return false;
    r->quiet++;
    for (int i = 0; i < n->any_of.count && (held == 0 || mine != NOT_TRACKED); i++)
        held += eval(r, n->any_of.at[i], value, mine);
    r->quiet--;
    if (n->any_of.count > 0 && held == 0)
        return fault(r, value, "matches none of the schemas of anyOf", PK_NONE);
    held = 0;
    r->quiet++;
    for (int i = 0; i < n->one_of.count && held < 2; i++)
        held += eval(r, n->one_of.at[i], value, mine);
    r->quiet--;
    if (n->one_of.count > 0 && held != 1)
        return fault(r, value,
                     held ? "matches more than one of the schemas of oneOf"
                          : "matches none of the schemas of oneOf",
                     PK_NONE);
    return true;
}

static bool conditions(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    bool held;

    r->quiet++;
    held = n->negated >= 0 && eval(r, n->negated, value, NOT_TRACKED);
    r->quiet--;
    if (held)
        return fault(r, value, "matches what `not` forbids", PK_NONE);
    if (n->condition < 0)
        return true;
    r->quiet++;
    held = eval(r, n->condition, value, mine);
    r->quiet--;
    int next = held ? n->then : n->otherwise;
    return next < 0 || eval(r, next, value, mine);
}

/* Last: applies to the children that nothing above has evaluated. */
static bool unevaluated(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t mine)
{
    const struct pk_json *doc = r->text.doc;
    bool object = pk_json_type(doc, value) == PK_JSON_OBJECT;
    int schema = object ? n->unevaluated_properties : n->unevaluated_items, i = 0;

    if (mine == NOT_TRACKED || schema < 0)
        return true;
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v), i++) {
        if (has_bit(r, mine, i))
            continue;
        if (!eval(r, schema, object ? v + 1 : v, NOT_TRACKED))
            return false;
        set_bit(r, mine, i);
    }
    return true;
}

/* --- putting it together -------------------------------------------------------------------- */

static bool (*const kinds[])(struct run *, const struct pk_schema_node *, int, ptrdiff_t) = {
    types,   values,     numbers,      strings,    arrays,
    objects, references, alternatives, conditions, unevaluated,
};

static bool judge(struct run *r, const struct pk_schema_node *n, int value, ptrdiff_t seen)
{
    enum pk_json_type type = pk_json_type(r->text.doc, value);
    bool tracks = type >= PK_JSON_ARRAY && (seen != NOT_TRACKED || n->unevaluated_items >= 0 ||
                                            n->unevaluated_properties >= 0);
    size_t words = tracks ? words_for(r, value) : 0, mark = r->used;
    ptrdiff_t mine = tracks ? push_bits(r, words) : NOT_TRACKED;
    bool ok = !r->gave_up;

    for (size_t i = 0; ok && i < PK_COUNT(kinds); i++)
        ok = kinds[i](r, n, value, mine) && !r->gave_up;
    if (ok && mine != NOT_TRACKED && seen != NOT_TRACKED)
        for (size_t i = 0; i < words; i++)
            r->bits[(size_t)seen + i] |= r->bits[(size_t)mine + i];
    r->used = mark;
    return ok;
}

/* Whether the schema `node` holds for `value`. When it does, what it evaluated is added to `seen`. */
static bool eval(struct run *r, int node, int value, ptrdiff_t seen)
{
    const struct pk_schema_node *n = r->s->nodes[node];
    struct scope here = {r->scope, n->resource};
    bool ok;

    if (r->gave_up)
        return false;
    if (--r->steps <= 0)
        return give_up(r, "too many steps");
    if (n->never)
        return fault(r, value, "is not allowed", PK_NONE);
    if (r->depth == PK_SCHEMA_DEPTH_MAX)
        return give_up(r, "schemas are nested too deep");
    r->depth++;
    r->scope = &here;
    ok = judge(r, n, value, seen);
    r->scope = here.up;
    r->depth--;
    return ok;
}

enum pk_schema_verdict pk_schema_check(struct pk_arena *arena, const struct pk_schema *schema,
                                       const struct pk_json *doc, int value, struct pk_error *why)
{
    struct pk_arena
        scratch; /* what judging needs goes with it, and its failure is not the caller's */
    struct run r = {.s = schema, .arena = &scratch, .steps = PK_SCHEMA_STEPS_MAX, .why = why};
    bool ok;

    PK_ASSERT(value >= 0 && value < doc->count);
    pk_arena_init(&scratch, arena->from, SCRATCH_BYTES_MAX);
    *why = (struct pk_error){0};
    r.text = (struct pk_schema_text){&scratch, doc, NULL};
    r.schema_text = (struct pk_schema_text){&scratch, &schema->doc, NULL};
    ok = eval(&r, 0, value, NOT_TRACKED);
    if (scratch.failed)
        (void)give_up(&r, "out of memory");
    if (r.steps <= 0)
        (void)give_up(&r, "too many steps");
    pk_arena_free(&scratch);
    if (r.gave_up) {
        (void)pk_fail(why, PK_TOO_LARGE, "the schema gave up: %s", r.gave_up);
        return PK_SCHEMA_UNDECIDED;
    }
    return ok ? PK_SCHEMA_VALID : PK_SCHEMA_INVALID;
}
