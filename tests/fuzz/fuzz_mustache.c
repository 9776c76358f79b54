/* fuzz_mustache.c - any text as a template, any JSON as its variables: refused, or one JSON value.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The template, its variables and two partials ("a" and "b") are separated by 0xff.
 */
#include "fuzz.h"
#include "mustache.h"

static void check_error(const struct pk_error *err)
{
    PK_ASSERT(err->code != PK_OK && err->msg[0] && !strchr(err->msg, '\n'));
}

/* What a template becomes is one JSON value; a string unless a variable stands alone. */
static void check_value(struct pk_arena *arena, struct pk_mustache *m, pk_str template, pk_str json)
{
    struct pk_error err = {0};
    struct pk_json doc;
    int value = -1;

    PK_ASSERT(pk_json_parse(arena, json, "rendered", &doc, &err));
    PK_ASSERT(pk_json_type(&doc, 0) == PK_JSON_STRING || pk_mustache_alone(m, template, &value));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str rest = fuzz_text(bytes, size);
    pk_str template = fuzz_part(&rest), vars = fuzz_part(&rest);
    struct pk_partial partials[] = {{PK_STR("a"), fuzz_part(&rest), NULL},
                                    {PK_STR("b"), fuzz_part(&rest), NULL}};
    struct pk_buf out = pk_buf_in(&arena, 1 << 20);
    struct pk_names names = {.count = 0};
    struct pk_error err = {0};
    struct pk_json doc;
    struct pk_mustache m = {
        .arena = &arena, .vars = &doc, .partials = partials, .partial_count = 2};

    if (size && memchr(bytes, 0, size))
        return 0; /* templates and values come out of JSON, which has no NUL */
    bool good = pk_mustache_check(&arena, template, "it", &names, &err);
    if (!good)
        check_error(&err);
    if (pk_json_parse(&arena, vars, "vars", &doc, &err)) {
        if (pk_mustache_json(&m, template, "it", &out, &err)) {
            PK_ASSERT(good && m.steps <= PK_TEMPLATE_STEPS_MAX);
            check_value(&arena, &m, template, pk_buf_str(&out));
        } else {
            check_error(&err);
        }
        if (!pk_mustache_whole(&m, "it", &err))
            check_error(&err);
    }
    pk_arena_free(&arena);
    return 0;
}
