/* sticky_test.c - which requests belong together.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sticky.h"
#include "test.h"

static struct pk_arena arena;

struct asked {
    const char *metadata, *body, *user, *trace;
};

#define HI "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

/* False when the request has no value for the field. */
static bool hash_of(const char *field, struct asked a, int64_t now_s, uint64_t *hash)
{
    struct pk_sticky rule = {.count = 1, .ttl_s = 3600};
    struct pk_request req = {.metadata = pk_str_of(a.metadata),
                             .user_id = pk_str_of(a.user),
                             .trace_id = pk_str_of(a.trace)};
    struct pk_error err = {0};
    struct pk_field_source from;
    struct pk_json body;

    EXPECT(pk_field_parse(&arena, pk_str_of(field), &rule.fields[0]));
    EXPECT(pk_json_parse(&arena, pk_str_of(a.body ? a.body : HI), "body", &body, &err));
    EXPECT(pk_field_source_init(&from, &arena, &req, &body, &err));
    return pk_sticky_hash(&rule, &from, now_s, hash);
}

static bool together(const char *field, struct asked a, struct asked b)
{
    uint64_t x, y;

    return hash_of(field, a, 1000000, &x) && hash_of(field, b, 1000000, &y) && x == y;
}

static void equal_values_belong_together(void)
{
    struct asked ann = {.metadata = "{\"user\":\"ann\",\"n\":1}"},
                 bob = {.metadata = "{\"user\":\"bob\",\"n\":\"1\"}"};

    EXPECT(together("metadata.user", ann, ann) && !together("metadata.user", ann, bob));
    EXPECT(!together("metadata.n", ann, bob)); /* 1 is not "1" */
    EXPECT(!together("metadata.other", ann, ann));
    EXPECT(together("params.model", ann, bob));
    EXPECT(together("url.pathname", ann, bob));
}

static void a_user_and_a_session_are_found_where_they_are(void)
{
    struct asked given = {.user = "u"}, meta = {.metadata = "{\"_user\":\"u\"}"},
                 body = {.body = "{\"user\":\"u\",\"messages\":[]}"}, nobody = {0};
    struct asked session = {.metadata = "{\"session_id\":\"s\"}", .trace = "t"},
                 trace = {.trace = "s"};

    EXPECT(together("user_id", given, meta) && together("user_id", meta, body));
    EXPECT(!together("user_id", nobody, nobody));
    EXPECT(together("session", session, trace) && !together("trace_id", session, trace));
    EXPECT(!together("session", nobody, nobody));
}

static void a_prefix_ends_with_the_first_user_turn(void)
{
#define TURNS(system, first, more)                                                                 \
    {                                                                                              \
        .body = "{\"tools\":[1],\"messages\":[{\"role\":\"system\",\"content\":\"" system          \
                "\"},{\"role\":\"user\",\"content\":\"" first "\"}" more "]}"                      \
    }
    struct asked one = TURNS("s", "hi", ""),
                 more = TURNS("s", "hi", ",{\"role\":\"assistant\",\"content\":\"x\"}"),
                 other_system = TURNS("t", "hi", ""), other_first = TURNS("s", "ho", "");
    struct asked anthropic = {.body = "{\"system\":\"s\",\"messages\":[{\"role\":\"user\"}]}"},
                 other = {.body = "{\"system\":\"t\",\"messages\":[{\"role\":\"user\"}]}"};

    EXPECT(together("prefix", one, more));
    EXPECT(!together("prefix", one, other_system) && !together("prefix", one, other_first));
    EXPECT(together("prefix", anthropic, anthropic) && !together("prefix", anthropic, other));
}

/* Within any ttl each hash changes exactly once, and about as many change in each minute as in another. */
static void hashes_change_once_in_a_ttl_but_not_together(void)
{
    enum { USERS = 2000, TTL = 3600, PART = 360 };
    int changed[TTL / PART] = {0}, total = 0;

    for (int u = 0; u < USERS; u++) {
        char meta[64];
        struct asked a = {.metadata = meta};
        uint64_t before, after;

        (void)snprintf(meta, sizeof meta, "{\"u\":%d}", u);
        EXPECT(hash_of("metadata.u", a, 1000000, &before));
        for (int t = PART; t <= TTL; t += PART) {
            EXPECT(hash_of("metadata.u", a, 1000000 + t, &after));
            changed[t / PART - 1] += after != before;
            total += after != before;
            before = after;
        }
    }
    EXPECT(total == USERS);
    for (size_t i = 0; i < PK_COUNT(changed); i++)
        EXPECT(changed[i] > USERS * PART / TTL / 2 && changed[i] < USERS * PART / TTL * 2);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(equal_values_belong_together);
    RUN(a_user_and_a_session_are_found_where_they_are);
    RUN(a_prefix_ends_with_the_first_user_turn);
    RUN(hashes_change_once_in_a_ttl_but_not_together);
    pk_arena_free(&arena);
    return test_end();
}
