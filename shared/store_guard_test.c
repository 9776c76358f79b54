/* store_guard_test.c - stored guardrails: versions, what they need, what a predicate may do.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_guard.h"

#include "config.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static int64_t clock_us = 1000000;

/* The version; 0 when it was refused. */
static int64_t put(const char *slug, const char *body)
{
    struct pk_guardrail_draft draft = {
        .slug = pk_str_of(slug), .body = pk_str_of(body), .at_us = clock_us++};
    int64_t version = 0;

    err = (struct pk_error){0};
    return pk_store_guardrail_put(s, &arena, &draft, &version, &err) ? version : 0;
}

static bool refused(const char *slug, const char *body, const char *why)
{
    if (put(slug, body) == 0 && strstr(err.msg, why))
        return true;
    printf("# %s: %s\n", body, err.msg);
    return false;
}

static bool drop(const char *slug)
{
    bool existed = false;

    err = (struct pk_error){0};
    return pk_store_guardrail_delete(s, pk_str_of(slug), clock_us++, &existed, &err) && existed;
}

/* The list of the first target, bound; NULL when the config or one of its guardrails is refused. */
static const struct pk_guards *bound(const char *config, enum pk_guard_phase phase)
{
    struct pk_config *c = pk_alloc(&arena, sizeof *c);
    int64_t until_us;

    err = (struct pk_error){0};
    return c && pk_config_parse(&arena, pk_str_of(config), c, &err) &&
                   pk_store_config_bind(s, &arena, c, clock_us, &until_us, &err)
               ? c->targets[0].guards[phase]
               : NULL;
}

static void versions_count_up_and_the_latest_counts(void)
{
    static const char config[] = "{\"provider\":\"openai\",\"input_guardrails\":[\"polite\"]}";
    const struct pk_guards *list;
    int64_t before, after;
    pk_str body;

    EXPECT(!bound(config, PK_GUARD_INPUT) && err.code == PK_BAD_CONFIG &&
           strcmp(err.msg, "input_guardrails[0]: there is no guardrail called \"polite\"") == 0);
    EXPECT(put("polite", "{\"type\":\"word_count\",\"min\":3}") == 1);
    EXPECT(pk_store_epoch(s, &before, &err));
    EXPECT(put("polite", "{\"type\":\"char_count\",\"min\":3,\"action\":\"warn\"}") == 2);
    EXPECT(pk_store_epoch(s, &after, &err) && after > before);
    list = bound(config, PK_GUARD_INPUT);
    EXPECT(list && list->count == 1 && list->list[0].check_count == 1 && list->any_sync);
    EXPECT(pk_str_is(list->list[0].id, "polite") && list->list[0].action == PK_GUARD_WARN);
    EXPECT(pk_str_is(list->list[0].checks[0].id, "char_count"));
    EXPECT(pk_store_guardrail_get(s, &arena, PK_STR("polite"), &body, &err) &&
           strstr(body.at, "char_count"));
    EXPECT(test_says(s, "select group_concat(version) from pk_guardrails", "2"));
    EXPECT(test_says(s, "select count(*) from pk_guardrail where slug = 'polite'", "2"));
    EXPECT(drop("polite") && !drop("polite"));
    EXPECT(!bound(config, PK_GUARD_INPUT));
    EXPECT(pk_store_guardrail_get(s, &arena, PK_STR("polite"), &body, &err) && body.len == 0);
    EXPECT(put("polite", "{\"type\":\"word_count\",\"min\":3}") == 3);
    EXPECT(test_says(s, "select group_concat(verb) from pk_audit where object = 'polite'",
                     "guardrail_put,guardrail_put,guardrail_delete,guardrail_put"));
}

/* What the config says of all its slugs wins over what is stored. */
static void a_config_may_say_what_follows(void)
{
    const struct pk_guards *list;

    EXPECT(put("no-pii", "{\"checks\":[{\"id\":\"portkey.pii\"}],\"actions\":{\"deny\":false}}"));
    list = bound("{\"provider\":\"openai\",\"guardrails\":{\"input_guardrails\":[\"no-pii\"],"
                 "\"output_guardrails\":[\"no-pii\"],\"on_fail\":\"redact\"}}",
                 PK_GUARD_OUTPUT);
    EXPECT(list && list->list[0].action == PK_GUARD_REDACT && list->list[0].checks[0].redact);
    EXPECT(list->hold);
    list = bound("{\"provider\":\"openai\",\"output_guardrails\":[\"no-pii\"]}", PK_GUARD_OUTPUT);
    EXPECT(list && list->list[0].action == PK_GUARD_WARN && !list->list[0].checks[0].redact);
    EXPECT(put("tokens", "{\"type\":\"jwt\",\"jwks_uri\":\"https://a.example/keys\"}"));
    EXPECT(!bound("{\"provider\":\"openai\",\"output_guardrails\":[\"tokens\"]}", PK_GUARD_OUTPUT));
    EXPECT(strcmp(err.msg, "output_guardrails[0]: jwt is not a check of output") == 0);
}

static void what_cannot_work_is_not_stored(void)
{
    EXPECT(refused("x", "{\"type\":\"nope\"}", "unknown check \"nope\""));
    EXPECT(refused("x", "{\"checks\":[{\"id\":\"default.nope\"}]}", "checks[0]"));
    EXPECT(refused("x", "{\"checks\":[]}", "must be given"));
    EXPECT(refused("x", "[]", "must be an object"));
    EXPECT(refused("no spaces", "{\"type\":\"not_null\"}", "slug"));
    EXPECT(refused("x", "{\"type\":\"moderation\",\"api_key\":\"sk-1\"}", "virtual key"));
    EXPECT(refused("x", "{\"type\":\"moderation\",\"virtual_key\":\"nope\"}", "nope"));
    EXPECT(test_says(s, "select count(*) from pk_guardrails where slug = 'x'", "0"));
}

/* --- predicates ------------------------------------------------------------------------------ */

/* A predicate as it is stored. */
static const char *of(const char *sql)
{
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

    pk_buf_adds(&out, "{\"type\":\"sql\",\"predicate\":");
    pk_json_quote(&out, pk_str_of(sql));
    pk_buf_addc(&out, '}');
    return pk_copy(&arena, pk_buf_str(&out)).at;
}

/* 1, 0, -1 for NULL or no row, -2 for an error, which is in err. */
static int asked(const char *sql, int64_t timeout_ms)
{
    const struct pk_guard_query q = {
        .sql = pk_str_of(sql),
        .text = PK_STR("what it's about"),
        .metadata = PK_STR("{\"tier\":\"paid\"}"),
        .document = PK_STR("{\"messages\":[]}"),
        .timeout_ms = timeout_ms,
    };
    struct pk_event ev = pk_store_row(s, &q);

    err = ev.error;
    return ev.kind == PK_EV_FAIL ? -2 : ev.truth;
}

static void a_predicate_is_a_boolean(void)
{
    static const struct {
        const char *sql;
        int truth;
    } rows[] = {
        {"select 1", 1},
        {"select 0", 0},
        {"select 0.5", 1},
        {"select null", -1},
        {"select 1 where 0", -1},
        {"select $1 = 'what it''s about'", 1},
        {"select $2 ->> 'tier' = 'paid'", 1},
        {"select $3 ->> '$.messages' = '[]' and length($1) < 5", 0},
        {"with recursive n(i) as (select 1 union all select i + 1 from n where i < 9) "
         "select max(i) = 9 from n",
         1},
        {"select count(*) = 0 from pk_logs where status = 'blocked' and request is not null", 1},
        {"select count(*) >= 0 from pk_virtual_keys", 1},
        {"select count(*) = 1 from pk_virtual_key where slug = 'kept'; -- ", -2},
        {"select count(*) = 1 from pk_virtual_key where slug = 'kept'", 1},
    };

    for (size_t i = 0; i < PK_COUNT(rows); i++)
        if (!EXPECT(asked(rows[i].sql, 1000) == rows[i].truth))
            printf("# %s: %s\n", rows[i].sql, err.msg);
}

static void a_predicate_only_reads_and_no_secrets(void)
{
    static const char *const bad[] = {
        "select secret is null from pk_virtual_key",
        "with pk_virtual_keys as (select secret from pk_virtual_key) "
        "select secret is null from pk_virtual_keys",
        "select x.secret is null from (select * from pk_virtual_key) x",
        "select exists (select 1 from pk_virtual_key where secret > 'a')",
        "select hash is null from pk_api_key",
        "select old_hash is null from pk_api_key",
        "delete from pk_log",
        "delete from pk_log returning 1",
        "insert into pk_meta values ('x', 1) returning 1",
        "select 1; select 1",
        "select 1, 2",
        "pragma user_version",
        "select count(*) from pragma_table_info('pk_log')",
        "attach '/tmp/x' as x",
        "begin",
        "select load_extension('x')",
        "select $4",
        "select ?",
        "select :text",
        "",
    };

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        if (!EXPECT(asked(bad[i], 1000) == -2) || !EXPECT(put("bad", of(bad[i])) == 0))
            printf("# %s\n", bad[i]);
    EXPECT(test_says(s, "select count(*) from pk_guardrails where slug = 'bad'", "0"));
    EXPECT(put("good", of("select length($1) < 9")) == 1);
}

/* A row of the log whose payload the host can read and a predicate cannot. */
static void a_predicate_does_not_read_payloads(void)
{
    EXPECT(asked("select count(pk_payload_text(0, 'secret')) = 0", 1000) == 1);
    EXPECT(test_says(s, "select pk_payload_text(0, 'secret')", "secret"));
}

static void a_predicate_ends_in_time_and_leaves_nothing_behind(void)
{
    EXPECT(asked("with recursive n(i) as (select 1 union all select i + 1 from n) "
                 "select count(*) from n",
                 20) == -2);
    EXPECT(err.code == PK_TIMEOUT && strstr(err.msg, "20 ms"));
    EXPECT(test_says(s, "select count(*) from pragma_table_info('pk_guardrail')", "6"));
    EXPECT(put("after", of("select 1")) == 1);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    s = test_store(":memory:");
    EXPECT(pk_store_key_put(s, &arena, NULL, PK_STR("kept"), PK_STR("openai"), PK_STR("env:A"),
                            PK_NONE, clock_us, &err));
    RUN(versions_count_up_and_the_latest_counts);
    RUN(a_config_may_say_what_follows);
    RUN(what_cannot_work_is_not_stored);
    RUN(a_predicate_is_a_boolean);
    RUN(a_predicate_only_reads_and_no_secrets);
    RUN(a_predicate_does_not_read_payloads);
    RUN(a_predicate_ends_in_time_and_leaves_nothing_behind);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
