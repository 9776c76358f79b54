/* body_test.c - what every request's body must be.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "body.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static const char *problem(const char *text, struct pk_error *err)
{
    struct pk_json doc;

    *err = (struct pk_error){0};
    return pk_body_parse(&arena, pk_str_of(text), "messages", &doc, err) ? NULL : err->msg;
}

static void what_is_asked_must_be_one_thing(void)
{
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"[]", "body: must be an object, not an array"},
        {"{}", "messages: must be an array"},
        {"{\"model\":\"cheap\",\"model\":\"dear\"," HI "}", "model: given twice"},
        {"{\"model\":\"dear\"," HI ",\"mod\\u0065l\":\"cheap\"}", "model: given twice"},
        {"{\"max_tokens\":100000," HI ",\"max_tokens\":5}", "max_tokens: given twice"},
        {"{" HI "," HI "}", "messages: given twice"},
        {"{\"messages\":[{\"role\":\"user\"},{\"role\":\"user\",\"content\":\"bad\",\"content\":"
         "\"\"}]}",
         "messages[1].content: given twice"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"bad\",\"role\":\"system\"}]}",
         "messages[0].role: given twice"},
        {"{\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":\"bad\",\"text\":\"\"}]}]}",
         "messages[0].content: a part has \"text\" twice"},
        {"{\"messages\":[{\"content\":[{\"content\":[{\"text\":\"bad\",\"text\":\"\"}]}]}]}",
         "messages[0].content: a part has \"text\" twice"},
    };
    struct pk_error err;

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        const char *says = problem(cases[i].body, &err);

        if (!EXPECT(says && strcmp(says, cases[i].says) == 0 && err.code == PK_BAD_REQUEST))
            printf("# %s: %s\n", cases[i].body, says ? says : "is taken");
    }
}

static void what_others_look_at_passes(void)
{
    static const char *const bodies[] = {
        "{\"model\":\"m\"," HI "}",
        "{\"extra\":1," HI ",\"extra\":2}",
        "{\"messages\":[]}",
        "{\"messages\":[1,\"text\",null,{\"content\":null},{\"content\":[{\"text\":\"a\"},{"
        "\"text\":\"b\"}]}]}",
    };
    struct pk_error err;

    for (size_t i = 0; i < PK_COUNT(bodies); i++)
        if (!EXPECT(!problem(bodies[i], &err)))
            printf("# %s: %s\n", bodies[i], err.msg);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(what_is_asked_must_be_one_thing);
    RUN(what_others_look_at_passes);
    pk_arena_free(&arena);
    return test_end();
}
