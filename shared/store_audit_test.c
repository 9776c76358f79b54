/* store_audit_test.c - every administrative change leaves one row, and no secret in it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_audit.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;

static const char rows[] = "select group_concat(verb || ' ' || object, ', ') from pk_audit";

static void changes_are_told_with_who_and_when(void)
{
    int64_t version;
    bool existed;

    pk_store_act_as(s, "key", PK_STR("ci"));
    EXPECT(pk_store_config_put(s, &arena, PK_STR("c"), PK_STR("{\"provider\":\"openai\"}"), 1000000,
                               &version, &err));
    EXPECT(pk_store_key_put(s, &arena, NULL, PK_STR("k"), PK_STR("openai"),
                            PK_STR("env:SECRET_NAME"), PK_STR("{\"name\":\"n\"}"), 2000000, &err));
    EXPECT(pk_store_key_rotate(s, &arena, NULL, PK_STR("k"), PK_STR("file:/secret/path"), 3, &err));
    EXPECT(pk_store_key_revoke(s, PK_STR("k"), 4, &existed, &err));
    EXPECT(pk_store_config_delete(s, PK_STR("c"), 5, &existed, &err));
    EXPECT(
        test_says(s, rows, "config_put c, key_put k, key_rotate k, key_revoke k, config_delete c"));
    EXPECT(test_says(s, "select group_concat(distinct actor) from pk_audit", "key:ci"));
    EXPECT(
        test_says(s, "select at from pk_audit where verb = 'key_put'", "1970-01-01T00:00:02.000Z"));
    EXPECT(test_says(s, "select detail from pk_audit where verb = 'key_put'",
                     "{\"provider\":\"openai\",\"kind\":\"env\",\"options\":{\"name\":\"n\"}}"));
    EXPECT(test_says(s,
                     "select count(*) from pk_audit where detail like '%SECRET%' or detail like "
                     "'%secret%'",
                     "0"));
}

static void what_changed_nothing_leaves_no_row(void)
{
    int64_t version;
    bool existed;

    EXPECT(!pk_store_config_put(s, &arena, PK_STR("c"), PK_STR("{}"), 6, &version, &err));
    EXPECT(pk_store_config_delete(s, PK_STR("none"), 7, &existed, &err) && !existed);
    EXPECT(pk_store_key_revoke(s, PK_STR("k"), 8, &existed, &err) && !existed);
    EXPECT(!pk_store_key_rotate(s, &arena, NULL, PK_STR("k"), PK_STR("env:A"), 9, &err));
    EXPECT(test_says(s, "select count(*) from pk_audit", "5"));
}

static void an_actor_is_cut_between_characters(void)
{
    char name[400];

    for (size_t i = 0; i + 1 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xa9", 2);
    pk_store_act_as(s, "role", (pk_str){name, sizeof name});
    size_t bad;
    EXPECT(strlen(s->actor) == PK_ACTOR_BYTES - 1 || strlen(s->actor) == PK_ACTOR_BYTES - 2);
    EXPECT(pk_utf8_valid(pk_str_of(s->actor), &bad));
}

static void a_store_begins_with_the_user_of_the_process(void)
{
    struct pk_store *fresh = test_store(":memory:");

    EXPECT(pk_str_starts(pk_str_of(fresh->actor), "os:") && fresh->actor[3]);
    pk_store_close(fresh);
}

int main(void)
{
    s = test_store(":memory:");
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(changes_are_told_with_who_and_when);
    RUN(what_changed_nothing_leaves_no_row);
    RUN(an_actor_is_cut_between_characters);
    RUN(a_store_begins_with_the_user_of_the_process);
    pk_arena_free(&arena);
    pk_store_close(s);
    return test_end();
}
