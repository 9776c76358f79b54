/* fn_prompt.c - prompts: put, published, read and rendered. pk_prompt() itself is in fn_chat.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "store_prompt.h"

static bool slug_arg(struct pk_args args, pk_str *slug, struct pk_error *err)
{
    return pk_arg_text(args, 0, "slug", PK_REFERENCE_BYTES_MAX, slug, err);
}

/* pk_prompt_put(slug, prompt): the version. Text that is no JSON is the template. */
static bool prompt_put(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_prompt_draft draft = {.plain_text = true, .at_us = pk_clock_us()};
    int64_t version;

    if (!slug_arg(args, &draft.slug, err) ||
        !pk_arg_text(args, 1, "prompt", PK_PROMPT_BYTES_MAX, &draft.text, err) ||
        !pk_store_prompt_put(c->store, arena, &draft, &version, err))
        return false;
    sqlite3_result_int64(ctx, version);
    return true;
}

/* pk_prompt_publish(slug, version [, label [, weight]]): the version. */
static bool prompt_publish(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                           sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_publication what = {.at_us = pk_clock_us()};
    bool given;

    if (!slug_arg(args, &what.slug, err) ||
        !pk_arg_int(args, 1, "version", &what.version, &given, err) ||
        !pk_arg_text(args, 2, "label", PK_SLUG_BYTES_MAX, &what.label, err) ||
        !pk_arg_int(args, 3, "weight", &what.weight, &given, err))
        return false;
    if (!given)
        what.weight = PK_WEIGHT_ALONE;
    else if (what.weight < 0)
        return pk_fail(err, PK_BAD_REQUEST, "weight: must be 0..%d", PK_ARM_WEIGHT_MAX);
    if (!pk_store_prompt_publish(c->store, arena, &what, err))
        return false;
    sqlite3_result_int64(ctx, what.version);
    return true;
}

/* pk_prompt_get(ref): the document, as pk_prompt_put() takes it; NULL when there is none. */
static bool prompt_get(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_prompt p;
    pk_str reference;

    if (!pk_arg_text(args, 0, "prompt", PK_REFERENCE_BYTES_MAX, &reference, err))
        return false;
    if (!pk_store_prompt_get(c->store, arena, reference, (struct pk_draw){.key = reference}, &p,
                             err))
        return err->code == PK_NOT_FOUND;
    pk_prompt_print(&p, &out);
    if (out.failed)
        return pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
    pk_result_json(ctx, pk_buf_str(&out));
    return true;
}

/* pk_prompt_delete(slug): whether there was one. */
static bool prompt_delete(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                          sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug;
    bool existed;

    (void)arena;
    if (!slug_arg(args, &slug, err) ||
        !pk_store_prompt_delete(c->store, slug, pk_clock_us(), &existed, err))
        return false;
    sqlite3_result_int(ctx, existed);
    return true;
}

/* pk_render(ref, vars): the messages. Among versions with one label, equal variables draw the same. */
static bool render(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                   sqlite3_context *ctx, struct pk_error *err)
{
    pk_str reference, vars, messages;
    struct pk_prompt p;

    if (!pk_arg_text(args, 0, "prompt", PK_REFERENCE_BYTES_MAX, &reference, err) ||
        !pk_arg_text(args, 1, "variables", PK_BODY_BYTES_MAX, &vars, err) ||
        !pk_store_prompt_load(c->store, arena, reference, (struct pk_draw){.key = vars}, &p, err) ||
        !pk_prompt_render(arena, &p, vars, &messages, err))
        return false;
    pk_result_json(ctx, messages);
    return true;
}

PK_WITH_CONN(prompt_put, 2)
PK_WITH_CONN(prompt_publish, 2)
PK_WITH_CONN(prompt_get, 1)
PK_WITH_CONN(prompt_delete, 1)
PK_WITH_CONN(render, 2)
