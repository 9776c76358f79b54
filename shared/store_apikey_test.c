/* store_apikey_test.c - keys are made, found, rotated, revoked; the store never has one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_apikey.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static const int64_t now = 1763725112000000;

static void begin(void)
{
    pk_store_close(s);
    s = test_store(":memory:");
}

static pk_str create(const char *name, const char *options)
{
    pk_str key = PK_NONE;

    if (!EXPECT(pk_store_api_key_create(s, &arena, pk_str_of(name), pk_str_of(options), now, &key,
                                        &err)))
        printf("# %s\n", err.msg);
    return key;
}

static const struct pk_api_key *find(pk_str key, int64_t at_us)
{
    static struct pk_api_keys keys;

    EXPECT(pk_store_api_keys_load(s, &arena, &keys, &err));
    uint8_t hash[PK_API_KEY_HASH_BYTES];

    pk_api_key_hash(key, hash);
    return pk_api_keys_find(&keys, hash, at_us, &err);
}

static void a_key_is_random_and_told_once(void)
{
    begin();
    pk_str a = create("a", ""), b = create("b", "");
    const struct pk_api_key *k = find(a, now);

    EXPECT(a.len == PK_API_KEY_TEXT && pk_str_starts(a, "pk-") && !pk_str_eq(a, b));
    EXPECT(k && pk_str_is(k->name, "a") && k->scopes == PK_SCOPE_CALL);
    EXPECT(find(b, now) && pk_str_is(find(b, now)->name, "b"));
    EXPECT(!find(PK_STR("pk-something"), now) && err.code == PK_UNAUTHORIZED && err.status == 401);
    EXPECT(!find(PK_NONE, now));
    EXPECT(test_says(s, "select status || ' ' || scopes from pk_api_keys where name = 'a'",
                     "active call"));
    EXPECT(test_says(s, "select count(*) from pk_api_key where instr(hash, 'pk-') > 0", "0"));
    EXPECT(test_says(s, "select count(*) from pk_audit where verb = 'api_key_create'", "2"));
    EXPECT(!pk_store_api_key_create(s, &arena, PK_STR("a"), PK_NONE, now, &b, &err));
    EXPECT(strstr(err.msg, "rotate it"));
}

static void a_key_has_scopes_defaults_and_limits(void)
{
    int64_t version;

    begin();
    EXPECT(pk_store_config_put(s, &arena, PK_STR("prod"), PK_STR("{\"provider\":\"openai\"}"), now,
                               &version, &err));
    pk_str key = create(
        "ci", "{\"scopes\":[\"logs\",\"call\"],\"expires_at\":\"2026-01-01\",\"rate_limits\":"
              "[{\"type\":\"requests\",\"unit\":\"rpm\",\"value\":5}],\"defaults\":{\"config\":"
              "\"prod\",\"allow_config_override\":false,\"metadata\":{\"team\":\"red\"}}}");
    const struct pk_api_key *k = find(key, now);

    EXPECT(k && k->scopes == (PK_SCOPE_CALL | PK_SCOPE_LOGS) && k->config_fixed);
    EXPECT(k && pk_str_is(k->config, "prod") && pk_str_is(k->metadata, "{\"team\":\"red\"}"));
    EXPECT(test_says(s, "select slug from pk_limits where applies_to = 'api_key'",
                     "api_key:ci:requests:minute"));
    EXPECT(!find(key, 1767225600000000) && strstr(err.msg, "has expired"));
    EXPECT(find(key, 1767225599999999));
}

static void a_rotated_key_holds_as_long_as_it_was_promised(void)
{
    pk_str first, second = PK_NONE, third = PK_NONE;

    begin();
    first = create("a", "");
    EXPECT(pk_store_api_key_rotate(
        s, &arena, PK_STR("a"), PK_STR("{\"key_transition_period_ms\":1000}"), now, &second, &err));
    EXPECT(find(first, now + 999999) && find(second, now) && !find(first, now + 1000000));
    EXPECT(pk_store_api_key_rotate(s, &arena, PK_STR("a"), PK_NONE, now, &third, &err));
    EXPECT(!find(first, now) && !find(second, now) && find(third, now));
    EXPECT(!pk_store_api_key_rotate(s, &arena, PK_STR("none"), PK_NONE, now, &third, &err));
    EXPECT(err.code == PK_NOT_FOUND);
    EXPECT(
        !pk_store_api_key_rotate(s, &arena, PK_STR("a"), PK_STR("{\"x\":1}"), now, &third, &err));
}

static void a_revoked_key_is_dead_and_its_name_free(void)
{
    bool existed;

    begin();
    pk_str key = create("a", "");
    EXPECT(pk_store_api_key_revoke(s, PK_STR("a"), now, &existed, &err) && existed);
    EXPECT(!find(key, now) && strstr(err.msg, "is revoked"));
    EXPECT(pk_store_api_key_revoke(s, PK_STR("a"), now, &existed, &err) && !existed);
    pk_str again = create("a", "");
    EXPECT(!find(key, now) && find(again, now));
}

static void many_keys_are_found(void)
{
    pk_str keys[100];

    begin();
    for (int i = 0; i < 100; i++)
        keys[i] = create(pk_copyf(&arena, "k%d", i).at, "");
    for (int i = 0; i < 100; i++) {
        const struct pk_api_key *k = find(keys[i], now);

        EXPECT(k && pk_str_eq(k->name, pk_copyf(&arena, "k%d", i)));
    }
}

static const struct {
    const char *options, *why;
} bad[] = {
    {"[]", "options: must be an object"},
    {"{\"scopes\":[]}", "options.scopes"},
    {"{\"scopes\":[\"call logs\"]}", "options.scopes"},
    {"{\"scopes\":[\"call\",\"root\"]}", "options.scopes"},
    {"{\"scopes\":\"call\"}", "options.scopes"},
    {"{\"expires_at\":\"soon\"}", "options.expires_at"},
    {"{\"colour\":1}", "no option \"colour\""},
    {"{\"defaults\":{\"colour\":1}}", "options.defaults: there is no option \"colour\""},
    {"{\"defaults\":{\"metadata\":[]}}", "metadata"},
    {"{\"defaults\":{\"config\":\"none\"}}", "called \"none\""},
    {"{\"defaults\":{\"allow_config_override\":false}}", "options.defaults.config"},
    {"{\"usage_limits\":{\"credit_limit\":0}}", "usage_limits.credit_limit"},
};

static void what_is_wrong_with_options_is_named(void)
{
    begin();
    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        pk_str key;
        bool ok = pk_store_api_key_create(s, &arena, PK_STR("x"), pk_str_of(bad[i].options), now,
                                          &key, &err);

        if (!EXPECT(!ok && strstr(err.msg, bad[i].why)))
            printf("# %s: %s\n", bad[i].options, ok ? "taken" : err.msg);
    }
    EXPECT(test_says(s, "select count(*) from pk_api_key", "0"));
}

static bool adopt(const char *key, bool *adopted)
{
    const struct pk_first_key first = {PK_STR("admin"), pk_str_of(key),
                                       PK_STR("{\"scopes\":[\"admin\"]}"), now};

    return pk_store_api_key_adopt(s, &arena, &first, adopted, &err);
}

static void a_store_takes_a_first_key_once(void)
{
    const char *one = "pk-0123456789012345678901234567890123456789012";
    const char *two = "pk-9999999999999999999999999999999999999999999";
    bool adopted, existed;

    begin();
    EXPECT(!adopt("pk-short", &adopted) && err.code == PK_BAD_REQUEST && !strstr(err.msg, "short"));
    EXPECT(adopt(one, &adopted) && adopted);
    EXPECT(find(pk_str_of(one), now) && find(pk_str_of(one), now)->scopes == PK_SCOPE_ADMIN);
    EXPECT(adopt(two, &adopted) && !adopted && !find(pk_str_of(two), now));
    EXPECT(pk_store_api_key_revoke(s, PK_STR("admin"), now, &existed, &err) && existed);
    EXPECT(adopt(one, &adopted) && !adopted && !find(pk_str_of(one), now));
    EXPECT(test_says(s, "select count(*) from pk_audit where verb = 'api_key_create'", "1"));
}

static bool update(const char *options)
{
    return pk_store_api_key_update(s, &arena, PK_STR("a"), pk_str_of(options), now, &err);
}

static void a_key_is_changed_in_what_is_named(void)
{
    begin();
    pk_str key = create("a", "{\"description\":\"d\",\"scopes\":[\"call\"],\"expires_at\":"
                             "\"2030-01-01\",\"defaults\":{\"metadata\":{\"t\":\"x\"}},"
                             "\"usage_limits\":{\"credit_limit\":5}}");
    EXPECT(update("{\"scopes\":[\"logs\"]}"));
    const struct pk_api_key *k = find(key, now);
    EXPECT(k && k->scopes == PK_SCOPE_LOGS && k->expires_us &&
           pk_str_is(k->metadata, "{\"t\":\"x\"}"));
    EXPECT(test_says(s, "select description from pk_api_keys", "d"));
    EXPECT(test_says(s, "select count(*) from pk_limits", "1"));
    EXPECT(update(
        "{\"description\":null,\"expires_at\":null,\"defaults\":null,\"usage_limits\":null}"));
    k = find(key, now);
    EXPECT(k && k->scopes == PK_SCOPE_LOGS && !k->expires_us && k->metadata.len == 0);
    EXPECT(test_says(s, "select count(*) from pk_limits", "0"));
    EXPECT(!update("{\"scopes\":[]}") && !update("{\"defaults\":{\"config\":\"none\"}}"));
    EXPECT(!pk_store_api_key_update(s, &arena, PK_STR("b"), PK_STR("{}"), now, &err) &&
           err.code == PK_NOT_FOUND);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_key_is_random_and_told_once);
    RUN(a_key_has_scopes_defaults_and_limits);
    RUN(a_rotated_key_holds_as_long_as_it_was_promised);
    RUN(a_revoked_key_is_dead_and_its_name_free);
    RUN(many_keys_are_found);
    RUN(a_store_takes_a_first_key_once);
    RUN(a_key_is_changed_in_what_is_named);
    RUN(what_is_wrong_with_options_is_named);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
