/* models.c - see models.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "models.h"

/* Greedy with one step back: the last '*' takes one byte more when what follows it does not fit. */
bool pk_models_match(pk_str pattern, pk_str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && (pattern.at[p] == '?' || pattern.at[p] == text.at[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

bool pk_models_read(struct pk_arena *arena, const struct pk_json *doc, int value, const char *name,
                    const pk_str **list, int *count, struct pk_error *err)
{
    int wanted = pk_json_count(doc, value), i = 0;

    if (pk_json_type(doc, value) != PK_JSON_ARRAY || wanted < 1 || wanted > PK_MODELS_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "%s: must be a list of 1..%d models", name,
                       PK_MODELS_MAX);
    pk_str *rows = pk_alloc(arena, (size_t)wanted * sizeof *rows);
    for (int v = pk_json_first(doc, value); rows && v >= 0; v = pk_json_next(doc, value, v)) {
        pk_str pattern = pk_copy(arena, pk_json_str(arena, doc, v));

        if (!arena->failed && (pattern.len == 0 || pattern.len > PK_MODEL_BYTES_MAX))
            return pk_fail(err, PK_BAD_REQUEST, "%s[%d]: must be a text of 1..%d bytes", name, i,
                           PK_MODEL_BYTES_MAX);
        rows[i++] = pattern;
    }
    *list = rows;
    *count = i;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "%s: out of memory", name);
}

static bool any_match(const pk_str *patterns, int count, pk_str model)
{
    for (int i = 0; i < count; i++)
        if (pk_models_match(patterns[i], model))
            return true;
    return false;
}

bool pk_models_allow(const struct pk_models *m, pk_str model)
{
    if (m->allowed_count == 0 && m->denied_count == 0)
        return true;
    if (model.len == 0 || any_match(m->denied, m->denied_count, model))
        return false;
    return m->allowed_count == 0 || any_match(m->allowed, m->allowed_count, model);
}
