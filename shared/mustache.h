/* mustache.h - text with {{variables}}, filled from JSON values.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Mustache (https://github.com/mustache/spec): variables, dotted names, {{.}}, sections, inverted
 * sections, comments, partials and other delimiters. A template here is a prompt and no web page, so:
 *
 *   - nothing is escaped: {{x}}, {{{x}}} and {{&x}} are the same;
 *   - a variable that is not there is an error that names it, and not the empty text. Whether one is there
 *     is asked with a section, {{#x}}...{{/x}} or {{^x}}...{{/x}}, inside which it may be absent;
 *   - a partial that is not there is an error;
 *   - a name has no blanks, so that {{#if x}} of other template languages is an error; so are {{<x}}, {{$x}}
 *     and {{*x}} of optional modules.
 *
 * A section is left out when its value is absent, null, false, 0, "" or []; repeated for each item of an
 * array; and rendered once for everything else, which is then the context. null prints as nothing, an
 * object or array as its JSON. A number in a dotted name is an index: {{items.0.name}}.
 */
#ifndef PK_MUSTACHE_H
#define PK_MUSTACHE_H

#include "json.h"

enum { PK_MISSING_MAX = 32 }; /* names that an error can list */

/* Distinct names. */
struct pk_names {
    pk_str list[PK_PARTIALS_MAX];
    int count;
};

struct pk_partial {
    pk_str name, text;
    struct pk_program *program; /* mustache.c's own; NULL at first */
};

/* One rendering of any number of templates with the same values. The first four are the caller's, the
 * rest starts zeroed. */
struct pk_mustache {
    struct pk_arena *arena;
    const struct pk_json *vars; /* its root is what names are looked up in */
    struct pk_partial *partials;
    int partial_count;

    int steps; /* work done so far, at most PK_TEMPLATE_STEPS_MAX */
    pk_str missing[PK_MISSING_MAX];
    int missing_count; /* may exceed PK_MISSING_MAX: not all are listed then */
};

/* Whether `text` (UTF-8 without NUL, here and below) is a template. Adds the partials that it names to
 * `partials`. Errors begin with `what`. */
bool pk_mustache_check(struct pk_arena *arena, pk_str text, const char *what,
                       struct pk_names *partials, struct pk_error *err) PK_MUST_CHECK;

/* Whether `text` is one variable and nothing else; *value is then its value, -1 when it is not there. */
bool pk_mustache_alone(struct pk_mustache *m, pk_str text, int *value);

/* Appends the rendered `text` as a JSON string: whatever is in a variable stays inside of it. But when
 * `text` is one variable alone whose value is an object or an array, appends that. Variables that are
 * not there are noted in *m, and all is rendered without them. */
bool pk_mustache_json(struct pk_mustache *m, pk_str text, const char *what, struct pk_buf *out,
                      struct pk_error *err) PK_MUST_CHECK;

/* True when nothing was missing; else the error names what was. */
bool pk_mustache_whole(const struct pk_mustache *m, const char *what,
                       struct pk_error *err) PK_MUST_CHECK;

#endif
