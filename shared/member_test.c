/* member_test.c - members of JSON objects, with commas where they belong.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "member.h"
#include "test.h"

static struct pk_arena arena;

static void commas_stand_between_members_and_items(void)
{
    struct pk_buf out = pk_buf_in(&arena, 1000);

    pk_buf_addc(&out, '{');
    pk_member_int(&out, "n", -5);
    pk_member_bool(&out, "on", true);
    pk_member_key(&out, "list");
    pk_buf_addc(&out, '[');
    for (int i = 0; i < 2; i++) {
        pk_member_item(&out);
        pk_member_int(&out, "i", i);
        pk_buf_addc(&out, '}');
    }
    pk_buf_addc(&out, ']');
    pk_member_text(&out, "last", PK_STR("a\"b"));
    pk_buf_addc(&out, '}');
    EXPECT(pk_str_is(pk_buf_str(&out), "{\"n\":-5,\"on\":true,\"list\":[{\"i\":0},{\"i\":1}],"
                                       "\"last\":\"a\\\"b\"}"));
}

static void what_is_empty_is_null_or_left_out(void)
{
    struct pk_buf out = pk_buf_in(&arena, 1000);

    pk_member_text(&out, "text", PK_NONE);
    pk_member_raw(&out, "raw", PK_NONE);
    pk_member_time(&out, "never", 0);
    pk_member_time(&out, "at", INT64_C(1577836800000000));
    pk_member_raw(&out, "given", PK_STR("{}"));
    EXPECT(pk_str_is(pk_buf_str(&out), "\"text\":null,\"never\":null,"
                                       "\"at\":\"2020-01-01T00:00:00.000Z\",\"given\":{}"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 20);
    RUN(commas_stand_between_members_and_items);
    RUN(what_is_empty_is_null_or_left_out);
    pk_arena_free(&arena);
    return test_end();
}
