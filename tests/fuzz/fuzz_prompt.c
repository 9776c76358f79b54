/* fuzz_prompt.c - any text as a prompt's document, any JSON as its variables: refused, or messages.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The document and its variables are separated by 0xff.
 */
#include "fuzz.h"
#include "prompt.h"

static void check_error(const struct pk_error *err)
{
    PK_ASSERT(err->code != PK_OK && err->msg[0] && !strchr(err->msg, '\n'));
}

/* What is printed is the same document again. */
static void check_again(struct pk_arena *arena, const struct pk_prompt *p)
{
    struct pk_buf once = pk_buf_in(arena, 8 << 20), twice = once;
    struct pk_prompt again;
    struct pk_error err = {0};

    pk_prompt_print(p, &once);
    PK_ASSERT(!once.failed);
    if (once.len > PK_PROMPT_BYTES_MAX)
        return;
    PK_ASSERT(pk_prompt_parse(arena, pk_buf_str(&once), false, &again, &err));
    pk_prompt_print(&again, &twice);
    PK_ASSERT(pk_str_eq(pk_buf_str(&once), pk_buf_str(&twice)));
}

static void render(struct pk_arena *arena, struct pk_prompt *p, pk_str vars)
{
    struct pk_error err = {0};
    struct pk_json doc;
    pk_str messages;

    if (!pk_prompt_render(arena, p, vars, &messages, &err)) {
        check_error(&err);
        return;
    }
    PK_ASSERT(pk_json_parse(arena, messages, "messages", &doc, &err));
    PK_ASSERT(pk_json_type(&doc, 0) == PK_JSON_ARRAY);
    for (int v = pk_json_first(&doc, 0); v >= 0; v = pk_json_next(&doc, 0, v))
        PK_ASSERT(pk_json_type(&doc, v) == PK_JSON_OBJECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str rest = fuzz_text(bytes, size);
    pk_str document = fuzz_part(&rest), vars = fuzz_part(&rest);
    struct pk_partial partial = {PK_STR("a"), PK_STR("{{#x}}{{>a}}{{/x}}{{y}}"), NULL};
    struct pk_names names = {.count = 0};
    struct pk_error err = {0};
    struct pk_prompt p;

    if (pk_prompt_parse(&arena, document, size % 2, &p, &err)) {
        PK_ASSERT(p.template.len && !(p.config.len && p.virtual_key.len));
        PK_ASSERT(pk_prompt_partials(&arena, p.template, &names, &err) ||
                  names.count == PK_PARTIALS_MAX);
        check_again(&arena, &p);
        p.partials = &partial;
        p.partial_count = 1;
        render(&arena, &p, vars);
    } else {
        check_error(&err);
    }
    pk_arena_free(&arena);
    return 0;
}
