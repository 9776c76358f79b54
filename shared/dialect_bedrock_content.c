/* dialect_bedrock_content.c - texts, parts and points of the cache as Converse's content blocks.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_bedrock.h"

#include <string.h>

/* Blocks of Converse's own, as its clients write them: objects of one member. */
static const char *const own_blocks[] = {"text",
                                         "image",
                                         "document",
                                         "video",
                                         "audio",
                                         "cachePoint",
                                         "guardContent",
                                         "searchResult",
                                         "citationsContent",
                                         "reasoningContent",
                                         "json",
                                         NULL};

/* Opens the message of `role`, or goes on with the list that is open. */
static void open_block(struct pk_maker *m, const char *role)
{
    if (role)
        pk_make_open(m, role, role, "content");
    else
        pk_member_comma(m->out);
}

void pk_bedrock_cache_point(struct pk_maker *m, int owner)
{
    int control = pk_make_get(m, owner, "cache_control");

    if (pk_make_type(m, control) != PK_JSON_OBJECT)
        return;
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"cachePoint\":{\"type\":\"default\"");
    pk_make_copy(m, control, "ttl", "ttl");
    pk_buf_adds(m->out, "}}");
}

/* The result of a tool has no room for the point: it stands behind it. */
static void mark(struct pk_maker *m, int owner)
{
    if (!pk_bedrock_plan_of(m)->in_result)
        pk_bedrock_cache_point(m, owner);
    else if (pk_make_has(m, owner, "cache_control"))
        pk_bedrock_plan_of(m)->marked = owner;
}

/* None for empty text, which is refused. */
void pk_bedrock_text(struct pk_maker *m, const char *role, int text, int owner)
{
    if (pk_make_type(m, text) != PK_JSON_STRING || pk_json_raw(m->in, text).len <= 2)
        return;
    open_block(m, role);
    pk_buf_addc(m->out, '{');
    pk_dialect_raw(m->out, "text", pk_json_raw(m->in, text));
    pk_buf_addc(m->out, '}');
    mark(m, owner);
}

static bool is_own(const struct pk_maker *m, int part)
{
    if (pk_make_type(m, part) != PK_JSON_OBJECT || pk_json_count(m->in, part) != 1)
        return false;
    return pk_make_listed(m, pk_json_first(m->in, part), own_blocks);
}

/* Content that a tool answered with as JSON: only there. */
static bool write_json(struct pk_maker *m, int part)
{
    if (!pk_bedrock_plan_of(m)->in_result ||
        pk_make_type(m, pk_make_get(m, part, "json")) != PK_JSON_OBJECT)
        return pk_make_refuse(m, "json is an object in the result of a tool");
    pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_make_copy(m, part, "json", "json");
    pk_buf_addc(m->out, '}');
    mark(m, part);
    return true;
}

bool pk_bedrock_part(struct pk_maker *m, const char *role, int part)
{
    int type = pk_make_get(m, part, "type");

    if (pk_json_is(m->in, type, "text") || pk_json_is(m->in, type, "refusal")) {
        const char *name = pk_json_is(m->in, type, "text") ? "text" : "refusal";

        pk_bedrock_text(m, role, pk_make_get(m, part, name), part);
        return true;
    }
    if (pk_json_is(m->in, type, "json"))
        return write_json(m, part);
    if (is_own(m, part)) {
        open_block(m, role);
        pk_dialect_line(m->out, pk_json_raw(m->in, part));
        return true;
    }
    if (!pk_bedrock_is_media(m, part) || pk_bedrock_plan_of(m)->in_system)
        return pk_make_refuse(m, "a part of this type cannot be sent to this provider");
    if (!pk_bedrock_media_part(m, role, part))
        return false;
    mark(m, part);
    return true;
}
