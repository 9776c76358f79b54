/* schema_ref.c - identifiers, anchors, and where references lead.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * JSON Schema core, sections 8.2 and 9; URIs are resolved as RFC 3986, section 5.2, says. Nothing is fetched: a
 * reference to a resource that is not in the document is an error.
 */
#include "schema_inner.h"
#include "url.h"

#include <string.h>

/* A URI reference without its fragment. `has_authority` tells "//" from nothing. */
struct uri {
    pk_str scheme, authority, path, query;
    bool has_authority, has_query;
};

/* What stands before the first character that is one of `stops`. */
static pk_str before(pk_str s, const char *stops)
{
    size_t n = 0;

    while (n < s.len && !strchr(stops, s.at[n]))
        n++;
    return pk_str_sub(s, 0, n);
}

static pk_str without_fragment(pk_str uri)
{
    return before(uri, "#");
}

static struct uri split(pk_str s)
{
    struct uri u = {0};
    pk_str scheme = before(s, ":/?");

    if (scheme.len > 0 && scheme.len < s.len && s.at[scheme.len] == ':') {
        u.scheme = scheme;
        s = pk_str_sub(s, scheme.len + 1, s.len);
    }
    if (pk_str_starts(s, "//")) {
        u.has_authority = true;
        u.authority = before(pk_str_sub(s, 2, s.len), "/?");
        s = pk_str_sub(s, 2 + u.authority.len, s.len);
    }
    u.path = before(s, "?");
    u.has_query = u.path.len < s.len;
    u.query = u.has_query ? pk_str_sub(s, u.path.len + 1, s.len) : PK_NONE;
    return u;
}

/* Takes the last segment off what has been written since `start`. */
static void drop_segment(struct pk_buf *out, size_t start)
{
    while (out->len > start && out->at[out->len - 1] != '/')
        out->len--;
    if (out->len > start)
        out->len--;
}

/* RFC 3986, section 5.2.4, over whole segments. */
static void add_path(struct pk_buf *out, pk_str path)
{
    size_t start = out->len;
    bool dots = false;

    while (path.len > 0 && !out->failed) {
        bool slash = path.at[0] == '/';
        pk_str segment = before(pk_str_sub(path, slash, path.len), "/");

        path = pk_str_sub(path, slash + segment.len, path.len);
        dots = pk_str_is(segment, ".") || pk_str_is(segment, "..");
        if (pk_str_is(segment, ".."))
            drop_segment(out, start);
        if (dots)
            continue;
        if (slash)
            pk_buf_addc(out, '/');
        pk_buf_add(out, segment);
    }
    if (dots)
        pk_buf_addc(out, '/');
}

/* RFC 3986, section 5.2.2: `reference`, without its fragment, as seen from `base`. */
static pk_str resolved(struct pk_arena *arena, pk_str base, pk_str reference)
{
    struct pk_buf out = pk_buf_in(arena, base.len + reference.len + 16);
    struct uri b = split(base), r = split(without_fragment(reference));
    bool own_path = r.scheme.len > 0 || r.has_authority || pk_str_starts(r.path, "/");
    bool own_authority = r.scheme.len > 0 || r.has_authority;
    const struct uri *a = own_authority ? &r : &b;
    pk_str scheme = r.scheme.len > 0 ? r.scheme : b.scheme;

    if (scheme.len > 0) {
        pk_buf_add(&out, scheme);
        pk_buf_addc(&out, ':');
    }
    if (a->has_authority) {
        pk_buf_adds(&out, "//");
        pk_buf_add(&out, a->authority);
    }
    if (own_path) {
        add_path(&out, r.path);
    } else if (r.path.len == 0) {
        pk_buf_add(&out, b.path);
    } else {
        size_t dir = b.path.len;

        while (dir > 0 && b.path.at[dir - 1] != '/')
            dir--;
        pk_str merged =
            dir == 0 && b.has_authority
                ? pk_copyf(arena, "/%.*s", PK_FMT(r.path))
                : pk_copyf(arena, "%.*s%.*s", (int)dir, b.path.at ? b.path.at : "", PK_FMT(r.path));
        add_path(&out, merged);
    }
    const struct uri *q = own_path || r.path.len > 0 || r.has_query ? &r : &b;
    if (q->has_query) {
        pk_buf_addc(&out, '?');
        pk_buf_add(&out, q->query);
    }
    return out.failed ? PK_NONE : pk_buf_str(&out);
}

/* --- identifiers -------------------------------------------------------------------------- */

bool pk_schema_add_resource(struct pk_schema_compiler *c, int place, int value)
{
    struct pk_schema *s = c->s;
    pk_str id = pk_schema_text(&c->text, value);
    int hash = pk_str_find(id, '#');

    if (pk_json_type(&s->doc, value) != PK_JSON_STRING)
        return pk_schema_fail(c, value, "must be a string");
    if (hash >= 0 && (size_t)hash + 1 != id.len)
        return pk_schema_fail(c, value, "must have no fragment; use $anchor");
    pk_str base = s->resources[c->resource].uri;
    pk_str uri = resolved(c->arena, base, id);
    if (place == 0) {
        s->resources[0].uri = uri;
        return true;
    }
    for (int i = 0; i < s->resource_count; i++)
        if (pk_str_eq(s->resources[i].uri, uri))
            return pk_schema_fail(c, value, "names two schemas");
    if (s->resource_count == PK_SCHEMA_RESOURCES_MAX)
        return pk_schema_fail(c, value, "too many identifiers");
    s->resources[s->resource_count] = (struct pk_schema_resource){uri, place};
    c->resource = s->resource_count++;
    return true;
}

/* XML's NCName, as far as ASCII goes. */
static bool is_anchor(pk_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '.')))
            return false;
    }
    return name.len > 0;
}

bool pk_schema_add_anchor(struct pk_schema_compiler *c, int node, int value, bool dynamic)
{
    struct pk_schema *s = c->s;
    pk_str name = pk_schema_text(&c->text, value);

    if (pk_json_type(&s->doc, value) != PK_JSON_STRING || !is_anchor(name))
        return pk_schema_fail(c, value, "must be a name: letters, digits, - _ .");
    for (int i = 0; i < s->anchor_count; i++)
        if (s->anchors[i].resource == c->resource && s->anchors[i].node != node &&
            pk_str_eq(s->anchors[i].name, name))
            return pk_schema_fail(c, value, "names two schemas");
    if (s->anchor_count == PK_SCHEMA_ANCHORS_MAX)
        return pk_schema_fail(c, value, "too many anchors");
    s->anchors[s->anchor_count++] = (struct pk_schema_anchor){name, c->resource, node, dynamic};
    return true;
}

/* --- following ---------------------------------------------------------------------------- */

/* Percent-decoded. */
static pk_str decoded(struct pk_arena *arena, pk_str s)
{
    struct pk_buf out = pk_buf_in(arena, s.len + 1);

    for (size_t i = 0; i < s.len;) {
        char c;

        i += pk_url_byte(s, i, &c);
        pk_buf_addc(&out, c);
    }
    return pk_buf_str(&out);
}

/* A step of a JSON pointer (RFC 6901): ~1 is /, ~0 is ~ */
static bool step_is(pk_str name, pk_str step)
{
    size_t n = 0;

    for (size_t i = 0; i < step.len; i++, n++) {
        char c = step.at[i];

        if (c == '~' && i + 1 < step.len)
            c = step.at[++i] == '1' ? '/' : '~';
        if (n >= name.len || name.at[n] != c)
            return false;
    }
    return n == name.len;
}

static int child(struct pk_schema_compiler *c, int at, pk_str step)
{
    const struct pk_json *doc = &c->s->doc;
    int64_t i;

    if (pk_json_type(doc, at) == PK_JSON_ARRAY)
        return pk_str_int(step, &i) && i >= 0 && i < pk_json_count(doc, at)
                   ? pk_json_item(doc, at, (int)i)
                   : -1;
    for (int k = pk_json_first(doc, at); k >= 0; k = pk_json_next(doc, at, k))
        if (step_is(pk_schema_text(&c->text, k), step))
            return k + 1;
    return -1;
}

/* The place that a JSON pointer leads to from `at`, or -1. c->resource follows the $id on the way. */
static int point(struct pk_schema_compiler *c, int at, pk_str pointer)
{
    while (at >= 0 && pointer.len > 0) {
        pk_str step = before(pk_str_sub(pointer, 1, pointer.len), "/");

        at = child(c, at, step);
        pointer = pk_str_sub(pointer, 1 + step.len, pointer.len);
        if (at >= 0 && c->node_at[at] >= 0)
            c->resource = c->s->nodes[c->node_at[at]]->resource;
    }
    return at;
}

static int resource_of(const struct pk_schema *s, pk_str uri)
{
    for (int i = 0; i < s->resource_count; i++)
        if (pk_str_eq(s->resources[i].uri, uri))
            return i;
    return -1;
}

static const struct pk_schema_anchor *anchor_of(const struct pk_schema *s, int resource,
                                                pk_str name)
{
    for (int i = 0; i < s->anchor_count; i++)
        if (s->anchors[i].resource == resource && pk_str_eq(s->anchors[i].name, name))
            return &s->anchors[i];
    return NULL;
}

int pk_schema_follow(struct pk_schema_compiler *c, int resource, int value, pk_str *name)
{
    struct pk_schema *s = c->s;
    pk_str reference = pk_schema_text(&c->text, value);
    pk_str address = without_fragment(reference);
    pk_str fragment = decoded(c->arena, pk_str_sub(reference, address.len + 1, reference.len));
    int to = resource_of(s, resolved(c->arena, s->resources[resource].uri, address));

    if (to < 0)
        return pk_schema_fail(c, value, "leads out of the schema; nothing is fetched"), -1;
    if (fragment.len > 0 && fragment.at[0] != '/') {
        const struct pk_schema_anchor *a = anchor_of(s, to, fragment);

        if (!a)
            return pk_schema_fail(c, value, "leads nowhere"), -1;
        *name = a->dynamic ? a->name : PK_NONE;
        return a->node;
    }
    c->resource = to;
    int place = point(c, s->resources[to].place, fragment);
    if (place < 0)
        return pk_schema_fail(c, value, "leads nowhere"), -1;
    return pk_schema_node_at(c, place);
}
