/* guard_check.c - what the checks share: the texts that they look at, and what they say.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guard_inner.h"

#include "dialect_parts.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    SAID_BYTES_MAX = 512,
    STRINGS_MAX = 1024,
    STRING_BYTES_MAX = 4096,
    NOTES_BYTES_MAX = 64 << 10, /* hook_results are for people, and are kept with every answer */
};

/* --- texts ------------------------------------------------------------------------------------ */

static bool of_system(const struct pk_guard_doc *doc, int unit)
{
    for (int i = 0; i < doc->count; i++)
        if (doc->pieces[i].unit == unit)
            return doc->pieces[i].system;
    return false;
}

int pk_check_texts(struct pk_check_run *r, pk_str **texts)
{
    const struct pk_guard_doc *doc = r->doc;
    bool last = doc->phase == PK_GUARD_INPUT && !r->guardrail->scope_all;
    int first = last && doc->units ? doc->units - 1 : 0, count = 0;

    *texts = pk_alloc(r->arena, (size_t)(doc->units + 1) * sizeof **texts);
    if (!*texts)
        return 0;
    for (int unit = first; unit < doc->units; unit++)
        if (last || !of_system(doc, unit))
            (*texts)[count++] = pk_guard_unit(doc, unit);
    return count ? count : 1; /* nothing there is an empty text */
}

bool pk_check_may_change(const struct pk_check_run *r, const struct pk_guard_piece *piece)
{
    return !piece->system && (!r->guardrail->scope_last || r->doc->phase == PK_GUARD_OUTPUT ||
                              piece->unit == r->doc->units - 1);
}

void pk_check_change(struct pk_check_run *r, struct pk_guard_piece *piece, pk_str text)
{
    piece->text = text;
    piece->changed = true;
    r->transformed = true;
}

/* --- words ------------------------------------------------------------------------------------ */

PK_PRINTF(2, 0)
static pk_str said(struct pk_check_run *r, const char *fmt, va_list args)
{
    char text[SAID_BYTES_MAX];

    (void)vsnprintf(text, sizeof text, fmt, args);
    return pk_copy(r->arena, pk_dialect_shorten(pk_str_of(text), SAID_BYTES_MAX - 4));
}

void pk_check_say(struct pk_check_run *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    r->why = said(r, fmt, args);
    va_end(args);
}

void pk_check_err(struct pk_check_run *r, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    r->error = said(r, fmt, args);
    va_end(args);
    if (r->error.len == 0)
        r->error = PK_STR("out of memory");
}

void pk_check_note(struct pk_check_run *r, const char *name, pk_str json)
{
    if (json.len > NOTES_BYTES_MAX || r->extra.len + json.len > NOTES_BYTES_MAX)
        json = PK_STR("null");
    r->extra = pk_copyf(r->arena, "%.*s%s\"%s\":%.*s", PK_FMT(r->extra), r->extra.len ? "," : "",
                        name, PK_FMT(json));
}

pk_str pk_check_quoted(struct pk_check_run *r, pk_str text)
{
    struct pk_buf out = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);

    pk_json_quote(&out, text);
    return pk_buf_str(&out);
}

/* --- lists of strings ------------------------------------------------------------------------ */

static bool read_string(struct pk_config_reader *p, const char *name, int value, pk_str *out)
{
    return pk_config_read_text(p, name, value, STRING_BYTES_MAX, out);
}

bool pk_strings_read(struct pk_config_reader *p, const char *name, int value,
                     struct pk_strings *out)
{
    bool list = pk_json_type(&p->doc, value) == PK_JSON_ARRAY;
    int n = list ? pk_json_count(&p->doc, value) : 1;
    bool ok = true;

    if (n > STRINGS_MAX)
        return pk_config_fail(p, name, "more than %d", STRINGS_MAX);
    out->at = pk_alloc(p->arena, (size_t)(n + 1) * sizeof *out->at);
    if (!out->at)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    if (!list)
        return read_string(p, name, value, &out->at[out->count++]);
    for (int v = pk_json_first(&p->doc, value); ok && v >= 0; v = pk_json_next(&p->doc, value, v))
        ok = read_string(p, name, v, &out->at[out->count++]);
    return ok;
}

bool pk_strings_have(const struct pk_strings *s, pk_str text)
{
    for (int i = 0; i < s->count; i++)
        if (pk_str_eq(s->at[i], text))
            return true;
    return false;
}

pk_str pk_strings_json(struct pk_arena *arena, const pk_str *at, int count)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    pk_buf_addc(&out, '[');
    for (int i = 0; i < count; i++) {
        if (i)
            pk_buf_addc(&out, ',');
        pk_json_quote(&out, at[i]);
    }
    pk_buf_addc(&out, ']');
    return pk_buf_str(&out);
}

/* --- any, all, none -------------------------------------------------------------------------- */

static const char *const operators[] = {
    [PK_WANT_ANY] = "any",
    [PK_WANT_ALL] = "all",
    [PK_WANT_NONE] = "none",
};

bool pk_wanted_read(struct pk_config_reader *p, int value, enum pk_wanted *out)
{
    for (size_t i = 0; i < PK_COUNT(operators); i++) {
        if (!pk_json_is(&p->doc, value, operators[i]))
            continue;
        *out = (enum pk_wanted)i;
        return true;
    }
    return pk_config_fail(p, "operator", "must be \"any\", \"all\" or \"none\"");
}

const char *pk_wanted_name(enum pk_wanted op)
{
    return operators[op];
}

bool pk_wanted_holds(enum pk_wanted op, int found, int of)
{
    switch (op) {
    case PK_WANT_ANY: return found > 0;
    case PK_WANT_ALL: return found == of;
    case PK_WANT_NONE: return found == 0;
    }
    return false;
}
