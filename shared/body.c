/* body.c - what every request's body must be, before anything is read from it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One pass over each object, whatever it has: a table of names, and a bit for each that was seen.
 */
#include "body.h"

#include <string.h>

enum { PARTS_DEPTH_MAX = 2 }; /* what a tool gave back (Anthropic) has parts of its own */

static const pk_str body_names[] = {
    PK_NAME("model"),
    PK_NAME("messages"),
    PK_NAME("input"),
    PK_NAME("prompt"),
    PK_NAME("documents"),
    PK_NAME("query"),
    PK_NAME("system"),
    PK_NAME("stream"),
    PK_NAME("stream_options"),
    PK_NAME("max_tokens"),
    PK_NAME("max_completion_tokens"),
    PK_NAME("n"),
    PK_NAME("tools"),
    PK_NAME("user"),
    PK_NAME("metadata"),
    PK_NAME("instructions"),
    PK_NAME("max_output_tokens"),
    {0},
};
static const pk_str message_names[] = {PK_NAME("role"), PK_NAME("content"), {0}};
static const pk_str part_names[] = {PK_NAME("type"), PK_NAME("text"), PK_NAME("content"), {0}};

/* The first of the names that an object has twice, or NULL. */
static const char *repeated(const struct pk_json *doc, int object, const pk_str *names)
{
    unsigned seen = 0;

    if (pk_json_type(doc, object) != PK_JSON_OBJECT)
        return NULL;
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        int i = pk_json_which(doc, k, names);

        if (i >= 0 && seen & 1u << i)
            return names[i].at;
        if (i >= 0)
            seen |= 1u << i;
    }
    return NULL;
}

static const char *repeated_in_parts(const struct pk_json *doc, int parts, int depth)
{
    if (pk_json_type(doc, parts) != PK_JSON_ARRAY)
        return NULL;
    for (int p = pk_json_first(doc, parts); p >= 0; p = pk_json_next(doc, parts, p)) {
        const char *name = repeated(doc, p, part_names);

        if (!name && depth < PARTS_DEPTH_MAX)
            name = repeated_in_parts(doc, pk_json_get(doc, p, "content"), depth + 1);
        if (name)
            return name;
    }
    return NULL;
}

static bool check_messages(const struct pk_json *doc, int messages, struct pk_error *err)
{
    int i = 0;

    for (int m = pk_json_first(doc, messages); m >= 0; m = pk_json_next(doc, messages, m), i++) {
        const char *name = repeated(doc, m, message_names);

        if (name)
            return pk_fail(err, PK_BAD_REQUEST, "messages[%d].%s: given twice", i, name);
        name = repeated_in_parts(doc, pk_json_get(doc, m, "content"), 1);
        if (name)
            return pk_fail(err, PK_BAD_REQUEST, "messages[%d].content: a part has \"%s\" twice", i,
                           name);
    }
    return true;
}

static bool check_input(const struct pk_json *doc, const char *input, struct pk_error *err)
{
    int value = pk_json_get(doc, 0, input);
    const char *twice;

    if (strcmp(input, "messages") != 0) {
        if (pk_json_type(doc, value) <= PK_JSON_NULL)
            return pk_fail(err, PK_BAD_REQUEST, "%s: is missing", input);
        twice = repeated_in_parts(doc, value, 1);
        return !twice || pk_fail(err, PK_BAD_REQUEST, "%s: an item has \"%s\" twice", input, twice);
    }
    if (pk_json_type(doc, value) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_REQUEST, "messages: must be an array");
    return check_messages(doc, value, err);
}

bool pk_body_parse(struct pk_arena *arena, pk_str text, const char *input, struct pk_json *doc,
                   struct pk_error *err)
{
    if (!pk_json_parse(arena, text, "body", doc, err))
        return false;
    if (pk_json_type(doc, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "body: must be an object, not %s",
                       pk_json_type_name(pk_json_type(doc, 0)));
    const char *name = repeated(doc, 0, body_names);

    if (name)
        return pk_fail(err, PK_BAD_REQUEST, "%s: given twice", name);
    return !input || check_input(doc, input, err);
}
