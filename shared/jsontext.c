/* jsontext.c - see jsontext.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jsontext.h"

#include <string.h>

enum { CANDIDATES_MAX = 64 };

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

static pk_str next_block(struct pk_jsontext *t)
{
    const char *open = t->rest.len ? memmem(t->rest.at, t->rest.len, "```", 3) : NULL;
    const char *end = t->rest.at + t->rest.len, *line, *close;

    if (!open)
        return PK_NONE;
    line = memchr(open, '\n', (size_t)(end - open));
    close = line ? memmem(line, (size_t)(end - line), "```", 3) : NULL;
    if (!close)
        return PK_NONE;
    t->rest = (pk_str){close + 3, (size_t)(end - close) - 3};
    return (pk_str){line, (size_t)(close - line)};
}

static pk_str next_bracket(struct pk_jsontext *t)
{
    size_t from = 0, len = 0;

    while (from < t->rest.len && t->rest.at[from] != '{' && t->rest.at[from] != '[')
        from++;
    pk_str found = pk_str_sub(t->rest, from, t->rest.len);
    len = closing(found);
    t->rest = pk_str_sub(found, len ? len : 1, found.len);
    return pk_str_sub(found, 0, len ? len : 1);
}

static bool next_candidate(struct pk_jsontext *t, struct pk_json *doc)
{
    while (t->rest.len && t->left-- > 0) {
        struct pk_error unused = {0};
        pk_str text = t->stage == PK_JSONTEXT_FENCED ? next_block(t) : next_bracket(t);

        if (text.len == 0)
            return false;
        if (pk_json_parse(t->arena, text, "json", doc, &unused))
            return true;
    }
    return false;
}

static bool is_whole(struct pk_jsontext *t, struct pk_json *doc)
{
    struct pk_error unused = {0};

    return pk_json_parse(t->arena, pk_str_trim(t->text), "json", doc, &unused) &&
           pk_json_type(doc, 0) >= PK_JSON_ARRAY;
}

struct pk_jsontext pk_jsontext_of(struct pk_arena *arena, pk_str text)
{
    return (struct pk_jsontext){.arena = arena, .text = text};
}

bool pk_jsontext_next(struct pk_jsontext *t, struct pk_json *doc)
{
    if (t->stage == PK_JSONTEXT_WHOLE) {
        t->some = is_whole(t, doc);
        t->stage = t->some ? PK_JSONTEXT_OVER : PK_JSONTEXT_FENCED;
        t->rest = t->text;
        t->left = CANDIDATES_MAX;
        if (t->some)
            return true;
    }
    if (t->stage == PK_JSONTEXT_FENCED) {
        if (next_candidate(t, doc))
            return t->some = true;
        t->stage = t->some ? PK_JSONTEXT_OVER : PK_JSONTEXT_ANYWHERE;
        t->rest = t->text;
        t->left = CANDIDATES_MAX;
    }
    if (t->stage == PK_JSONTEXT_ANYWHERE && next_candidate(t, doc))
        return t->some = true;
    t->stage = PK_JSONTEXT_OVER;
    return false;
}
