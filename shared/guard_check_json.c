/* guard_check_json.c - checks of the JSON in a text.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * JSON in a text is: the text itself; or what stands in fenced blocks; or else every outermost {...} and
 * [...] that parses, left to right. A check is true when any of them will do.
 */
#include "guard_inner.h"

#include <string.h>

enum { CANDIDATES_MAX = 64 };

/* --- finding ---------------------------------------------------------------------------------- */

struct finder {
    struct pk_arena *arena;
    pk_str rest;
    bool fenced; /* in blocks; else anywhere */
    int left;    /* candidates that may still be tried */
};

/* The end of the bracket that `text` begins with, strings considered; 0: it does not close. */
static size_t closing(pk_str text)
{
    int depth = 0;
    bool string = false;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];

        if (string) {
            i += c == '\\';
            string = c != '"';
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static pk_str next_block(struct finder *f)
{
    const char *open = f->rest.len ? memmem(f->rest.at, f->rest.len, "```", 3) : NULL;
    const char *end = f->rest.at + f->rest.len, *line, *close;

    if (!open)
        return PK_NONE;
    line = memchr(open, '\n', (size_t)(end - open));
    close = line ? memmem(line, (size_t)(end - line), "```", 3) : NULL;
    if (!close)
        return PK_NONE;
    f->rest = (pk_str){close + 3, (size_t)(end - close) - 3};
    return (pk_str){line, (size_t)(close - line)};
}

static pk_str next_bracket(struct finder *f)
{
    size_t from = 0, len = 0;

    while (from < f->rest.len && f->rest.at[from] != '{' && f->rest.at[from] != '[')
        from++;
    pk_str found = pk_str_sub(f->rest, from, f->rest.len);
    len = closing(found);
    f->rest = pk_str_sub(found, len ? len : 1, found.len);
    return pk_str_sub(found, 0, len ? len : 1);
}

/* The next piece of text that is JSON, parsed into *doc; false at the end. */
static bool next_json(struct finder *f, struct pk_json *doc)
{
    while (f->rest.len && f->left-- > 0) {
        struct pk_error unused = {0};
        pk_str text = f->fenced ? next_block(f) : next_bracket(f);

        if (text.len == 0)
            return false;
        if (pk_json_parse(f->arena, text, "json", doc, &unused))
            return true;
    }
    return false;
}

bool pk_check_any_json(struct pk_check_run *r, pk_str text,
                       bool (*good)(struct pk_check_run *, const struct pk_json *))
{
    struct finder f = {.arena = r->arena, .fenced = true, .left = CANDIDATES_MAX};
    struct pk_error unused = {0};
    struct pk_json doc;
    bool any = false;

    if (pk_json_parse(r->arena, pk_str_trim(text), "json", &doc, &unused) &&
        pk_json_type(&doc, 0) >= PK_JSON_ARRAY)
        return good(r, &doc);
    for (f.rest = text; next_json(&f, &doc);) {
        any = true;
        if (good(r, &doc))
            return true;
    }
    f.fenced = false;
    f.left = CANDIDATES_MAX;
    for (f.rest = any ? PK_NONE : text; next_json(&f, &doc);) {
        any = true;
        if (good(r, &doc))
            return true;
    }
    if (!any)
        pk_check_say(r, "There is no JSON in the text.");
    return false;
}

/* --- json_keys -------------------------------------------------------------------------------- */

struct keys_params {
    struct pk_strings keys;
    enum pk_wanted op;
};

static bool keys_keys(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "keys", value, &((struct keys_params *)into)->keys);
}

static bool keys_operator(struct pk_config_reader *p, int value, void *into)
{
    return pk_wanted_read(p, value, &((struct keys_params *)into)->op);
}

static const struct pk_config_member keys_members[] = {
    {"keys", keys_keys}, {"operator", keys_operator}, {0}};

static bool keys_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct keys_params *x = check->params;

    return x->keys.count > 0 || pk_config_fail(p, "keys", "must be given");
}

static bool has_keys(struct pk_check_run *r, const struct pk_json *doc)
{
    const struct keys_params *x = r->check->params;
    int found = 0;

    for (int i = 0; i < x->keys.count; i++)
        found += pk_json_get(doc, 0, x->keys.at[i].at) >= 0;
    pk_check_say(r, "%d of %d keys were found; wanted: %s.", found, x->keys.count,
                 pk_wanted_name(x->op));
    return pk_wanted_holds(x->op, found, x->keys.count);
}

static void keys_run(struct pk_check_run *r)
{
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++)
        r->verdict = pk_check_any_json(r, texts[i], has_keys);
}

const struct pk_check_body pk_check_json_keys = {sizeof(struct keys_params), keys_members,
                                                 keys_ready, keys_run, NULL};
