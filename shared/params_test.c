/* params_test.c - what a target changes in a body.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "params.h"
#include "test.h"

static struct pk_arena arena;

struct change {
    const char *name, *defaults, *overrides, *drops, *body, *want;
};

/* clang-format off */
static const struct change changes[] = {
    {"nothing to do leaves the bytes", "", "", "", "{ \"a\" : 1.0 }", "{ \"a\" : 1.0 }"},
    {"a default is added", "{\"b\":2}", "", "", "{\"a\":1}", "{\"a\":1,\"b\":2}"},
    {"a default does not replace", "{\"a\":2}", "", "", "{ \"a\":null}", "{ \"a\":null}"},
    {"an override replaces", "", "{\"a\":2}", "", "{\"a\":1,\"b\":0}", "{\"a\":2,\"b\":0}"},
    {"an override wins over a default", "{\"a\":1}", "{\"a\":2}", "", "{}", "{\"a\":2}"},
    {"a member is dropped", "", "", "a", "{\"a\":1,\"b\":12345678901234567890}", "{\"b\":12345678901234567890}"},
    {"an override is dropped", "", "{\"a\":2}", "a", "{\"b\":1}", "{\"b\":1}"},
    {"the last member may go", "", "", "a", "{\"a\":[1,{\"a\":2}]}", "{}"},
    {"an inner member is dropped", "", "", "a.b", "{\"a\":{\"b\":1,\"c\":{\"b\":2}},\"b\":3}", "{\"a\":{\"c\":{\"b\":2}},\"b\":3}"},
    {"an item's member is dropped", "", "", "m[1].n", "{\"m\":[{\"n\":1},{\"n\":2,\"r\":3},4]}", "{\"m\":[{\"n\":1},{\"r\":3},4]}"},
    {"every item's member is dropped", "", "", "m[*].n", "{\"m\":[{\"n\":1},{\"n\":2},\"n\"]}", "{\"m\":[{},{},\"n\"]}"},
    {"a path that leads nowhere changes nothing", "", "", "m.n.o x[0].y", "{ \"m\" : { \"n\" : 1 } }", "{\"m\":{\"n\":1}}"},
    {"several paths", "", "", "a b.c", "{\"a\":1,\"b\":{\"c\":2,\"d\":[ 1 ]}}", "{\"b\":{\"d\":[ 1 ]}}"},
    {"a repeated member goes twice", "", "", "a", "{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2}"},
    {"an escaped name is the same name", "", "", "ab", "{\"a\\u0062\":1}", "{}"},
};
/* clang-format on */

static void split_drops(struct pk_params *p, const char *drops)
{
    pk_str rest = pk_str_of(drops);

    while (rest.len) {
        int blank = pk_str_find(rest, ' ');
        size_t len = blank < 0 ? rest.len : (size_t)blank;

        p->drops[p->drop_count++] = pk_str_sub(rest, 0, len);
        EXPECT(pk_params_check_drop(p->drops[p->drop_count - 1]));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
}

static void bodies_change_as_the_target_says(void)
{
    for (size_t i = 0; i < PK_COUNT(changes); i++) {
        const struct change *c = &changes[i];
        struct pk_params p = {.defaults = pk_str_of(c->defaults),
                              .overrides = pk_str_of(c->overrides)};
        struct pk_error err = {0};
        pk_str out = PK_NONE;

        split_drops(&p, c->drops);
        EXPECT(pk_params_apply(&arena, &p, pk_str_of(c->body), &out, &err));
        if (!EXPECT(pk_str_is(out, c->want)))
            printf("# %s: %.*s\n", c->name, PK_FMT(out));
        EXPECT(pk_params_change(&p) == (*c->defaults || *c->overrides || *c->drops));
    }
}

static void paths_are_checked(void)
{
    static const char *const bad[] = {"",
                                      ".a",
                                      "a.",
                                      "a..b",
                                      "[0]",
                                      "a[0]",
                                      "a[*]",
                                      "a[].b",
                                      "a[-1].b",
                                      "a[x].b",
                                      "a[0.b",
                                      "a[0]b",
                                      "a.b.c.d.e.f.g.h.i"};

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        if (!EXPECT(!pk_params_check_drop(pk_str_of(bad[i]))))
            printf("# %s\n", bad[i]);
    EXPECT(pk_params_check_drop(PK_STR("a[0][*].b.c")));
}

static void the_model_is_the_one_after_the_changes(void)
{
    struct pk_params p = {.defaults = PK_STR("{\"model\":\"d\"}")};
    struct pk_error err = {0};
    struct pk_json with, without;

    EXPECT(pk_json_parse(&arena, PK_STR("{\"model\":\"m\"}"), "body", &with, &err));
    EXPECT(pk_json_parse(&arena, PK_STR("{}"), "body", &without, &err));
    EXPECT(pk_str_is(pk_params_model(&arena, &p, &with), "m"));
    EXPECT(pk_str_is(pk_params_model(&arena, &p, &without), "d"));
    p.overrides = PK_STR("{\"model\":\"o\"}");
    EXPECT(pk_str_is(pk_params_model(&arena, &p, &with), "o"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(bodies_change_as_the_target_says);
    RUN(paths_are_checked);
    RUN(the_model_is_the_one_after_the_changes);
    pk_arena_free(&arena);
    return test_end();
}
