/* params.c - see params.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "params.h"

#include <string.h>

/* --- paths ----------------------------------------------------------------------------------- */

/* One step of a path: a member's name, or an item's index. */
struct part {
    pk_str name; /* empty: an index */
    int index;   /* -1: every item */
};

static bool take_index(pk_str *rest, struct part *part)
{
    int close = pk_str_find(*rest, ']');
    pk_str text = close < 0 ? PK_NONE : pk_str_sub(*rest, 1, (size_t)close - 1);
    int64_t n;

    if (text.len == 0)
        return false;
    *part = (struct part){.index = -1};
    if (!pk_str_is(text, "*")) {
        if (!pk_str_int(text, &n) || n < 0 || n > INT32_MAX)
            return false;
        part->index = (int)n;
    }
    *rest = pk_str_sub(*rest, (size_t)close + 1, rest->len);
    return true;
}

static bool take_name(pk_str *rest, struct part *part)
{
    size_t n = 0;

    while (n < rest->len && rest->at[n] != '.' && rest->at[n] != '[')
        n++;
    *part = (struct part){.name = pk_str_sub(*rest, 0, n)};
    *rest = pk_str_sub(*rest, n, rest->len);
    return n > 0;
}

/* The parts of `path`; 0 when it is none that can be dropped. */
static int split(pk_str path, struct part *parts)
{
    int count = 0;

    while (path.len) {
        bool index = path.at[0] == '[';

        if (count == PK_DROP_PARTS_MAX)
            return 0;
        if (!index && count > 0) {
            if (path.at[0] != '.')
                return 0;
            path = pk_str_sub(path, 1, path.len);
        }
        if (index && count == 0)
            return 0;
        if (!(index ? take_index(&path, &parts[count]) : take_name(&path, &parts[count])))
            return 0;
        count++;
    }
    return count > 0 && parts[count - 1].name.len ? count : 0;
}

bool pk_params_check_drop(pk_str path)
{
    struct part parts[PK_DROP_PARTS_MAX];

    return split(path, parts) > 0;
}

/* --- dropping ---------------------------------------------------------------------------------- */

static void copy(struct pk_buf *out, const struct pk_json *doc, int value, const struct part *part,
                 int left);

static void copy_object(struct pk_buf *out, const struct pk_json *doc, int object,
                        const struct part *part, int left)
{
    bool first = true;

    pk_buf_addc(out, '{');
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        bool here = pk_str_eq(pk_json_str(out->arena, doc, k), part->name);

        if (here && left == 1)
            continue;
        if (!first)
            pk_buf_addc(out, ',');
        first = false;
        pk_buf_add(out, pk_json_raw(doc, k));
        pk_buf_addc(out, ':');
        copy(out, doc, k + 1, here ? part + 1 : NULL, left - 1);
    }
    pk_buf_addc(out, '}');
}

static void copy_array(struct pk_buf *out, const struct pk_json *doc, int array,
                       const struct part *part, int left)
{
    int i = 0;

    pk_buf_addc(out, '[');
    for (int v = pk_json_first(doc, array); v >= 0; v = pk_json_next(doc, array, v), i++) {
        bool here = part->index < 0 || part->index == i;

        if (i > 0)
            pk_buf_addc(out, ',');
        copy(out, doc, v, here ? part + 1 : NULL, left - 1);
    }
    pk_buf_addc(out, ']');
}

/* Copies a value without what the `left` parts from `part` on lead to; `part` NULL: whole. What the path
 * does not go through keeps its bytes. Recursion is bounded by PK_DROP_PARTS_MAX. */
static void copy(struct pk_buf *out, const struct pk_json *doc, int value, const struct part *part,
                 int left)
{
    enum pk_json_type type = pk_json_type(doc, value);

    if (part && part->name.len && type == PK_JSON_OBJECT)
        copy_object(out, doc, value, part, left);
    else if (part && !part->name.len && type == PK_JSON_ARRAY)
        copy_array(out, doc, value, part, left);
    else
        pk_buf_add(out, pk_json_raw(doc, value));
}

static bool built(const struct pk_buf *out, pk_str *body, struct pk_error *err)
{
    if (out->failed)
        return pk_fail(err, out->arena->failed ? PK_NO_MEMORY : PK_TOO_LARGE,
                       "body: larger than %d MiB", PK_BODY_BYTES_MAX >> 20);
    *body = pk_buf_str(out);
    return true;
}

static bool drop(struct pk_arena *arena, pk_str path, pk_str *body, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct part parts[PK_DROP_PARTS_MAX];
    int count = split(path, parts);
    struct pk_json doc;

    PK_ASSERT(count > 0);
    if (!pk_json_parse(arena, *body, "body", &doc, err))
        return false;
    if (pk_json_get(&doc, 0, pk_copy(arena, parts[0].name).at) < 0)
        return true;
    copy(&out, &doc, 0, parts, count);
    return built(&out, body, err);
}

/* --- the whole --------------------------------------------------------------------------------- */

/* Adds what the body does not have. */
static bool supply(struct pk_arena *arena, pk_str defaults, pk_str *body, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json_edit edits[64];
    struct pk_json doc, from;
    int count = 0;

    if (!pk_json_parse(arena, *body, "body", &doc, err) ||
        !pk_json_parse(arena, defaults, "default_params", &from, err))
        return false;
    for (int k = pk_json_first(&from, 0); k >= 0; k = pk_json_next(&from, 0, k)) {
        pk_str name = pk_json_str(arena, &from, k);

        if (pk_json_get(&doc, 0, pk_copy(arena, name).at) >= 0)
            continue;
        if (count == (int)PK_COUNT(edits))
            return pk_fail(err, PK_BAD_REQUEST, "default_params: more than %zu members",
                           PK_COUNT(edits));
        edits[count++] = (struct pk_json_edit){name, pk_json_raw(&from, k + 1)};
    }
    if (count == 0)
        return true;
    pk_json_splice(&out, &doc, 0, edits, count);
    return built(&out, body, err);
}

bool pk_params_change(const struct pk_params *p)
{
    return p->defaults.len > 0 || p->overrides.len > 0 || p->drop_count > 0;
}

bool pk_params_apply(struct pk_arena *arena, const struct pk_params *p, pk_str body, pk_str *out,
                     struct pk_error *err)
{
    *out = body;
    if (p->defaults.len && !supply(arena, p->defaults, out, err))
        return false;
    if (p->overrides.len && !pk_json_merge(arena, *out, p->overrides, "override_params", out, err))
        return false;
    for (int i = 0; i < p->drop_count; i++)
        if (!drop(arena, p->drops[i], out, err))
            return false;
    return true;
}

/* The member `model` of a JSON object; -1 in *value when there is none. */
static pk_str model_in(struct pk_arena *arena, pk_str object, int *value)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    *value = -1;
    if (object.len == 0 || !pk_json_parse(arena, object, "params", &doc, &unused))
        return PK_NONE;
    *value = pk_json_get(&doc, 0, "model");
    return pk_json_str(arena, &doc, *value);
}

pk_str pk_params_model(struct pk_arena *arena, const struct pk_params *p,
                       const struct pk_json *body)
{
    int value;
    pk_str model = model_in(arena, p->overrides, &value);

    if (value >= 0)
        return model;
    value = pk_json_get(body, 0, "model");
    return value >= 0 ? pk_json_str(arena, body, value) : model_in(arena, p->defaults, &value);
}
