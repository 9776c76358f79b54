/* resolve_test.c - configs and keys in the store, and what a reference resolves to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "resolve.h"

#include "test_store.h"

#include <unistd.h>

#define CLAUDE "claude-sonnet-4-5-20250929"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *store;
static struct pk_resolver *resolver;
static const int64_t began_us = 1763725112123456;
static int64_t now_us;
static int blocks; /* that the resolver has, more or fewer than when this was set */

static void *take(void *unused, size_t size)
{
    (void)unused;
    blocks++;
    return malloc(size);
}

static void give(void *unused, void *block)
{
    (void)unused;
    blocks--;
    free(block);
}

static void fresh(void)
{
    now_us = began_us;
    pk_resolver_free(resolver);
    pk_store_close(store);
    store = test_store(":memory:");
    resolver = pk_resolver_new((struct pk_allocator){.alloc = take, .free = give});
    (void)setenv("OPENAI_API_KEY", "sk-env", 1);
    (void)unsetenv("GROQ_API_KEY");
}

static bool put_key(const char *slug, const char *provider, const char *secret, const char *options)
{
    return pk_store_key_put(store, &arena, NULL, pk_str_of(slug), pk_str_of(provider),
                            pk_str_of(secret), pk_str_of(options), now_us, &err);
}

static bool put_config(const char *slug, const char *body)
{
    int64_t version;

    return pk_store_config_put(store, &arena, pk_str_of(slug), pk_str_of(body), now_us, &version,
                               &err);
}

/* Whether *err is `code` and says `words`. */
static bool says(enum pk_code code, const char *words)
{
    bool same = err.code == code && strstr(err.msg, words);

    if (!same)
        printf("# %s: %s\n", pk_code_name(err.code), err.msg);
    return same;
}

static const struct pk_snapshot *resolve(const char *reference)
{
    const struct pk_snapshot *s = pk_resolve(resolver, store, pk_str_of(reference), now_us, &err);

    if (!s)
        printf("# %s: %s\n", reference, err.msg);
    return s;
}

static bool unresolved(const char *reference, enum pk_code code, const char *words)
{
    const struct pk_snapshot *s = pk_resolve(resolver, store, pk_str_of(reference), now_us, &err);

    pk_snapshot_release(resolver, s);
    return !s && says(code, words);
}

/* --- configs and keys ------------------------------------------------------------------ */

static void a_config_is_versioned_and_can_go(void)
{
    pk_str body;
    int64_t version = 0;
    bool existed;

    fresh();
    EXPECT(put_config("prod", "{\"provider\":\"openai\"}"));
    EXPECT(put_config("prod", "{\"provider\":\"anthropic\"}"));
    EXPECT(pk_store_config_get(store, &arena, PK_STR("prod"), &body, &version, &err));
    EXPECT(version == 2 && pk_str_is(body, "{\"provider\":\"anthropic\"}"));
    EXPECT(test_says(store, "select slug || version || (config ->> 'provider') from pk_configs",
                     "prod2anthropic"));
    EXPECT(pk_store_config_delete(store, PK_STR("prod"), now_us, &existed, &err) && existed);
    EXPECT(pk_store_config_delete(store, PK_STR("prod"), now_us, &existed, &err) && !existed);
    EXPECT(pk_store_config_get(store, &arena, PK_STR("prod"), &body, &version, &err));
    EXPECT(body.len == 0);
    EXPECT(put_config("prod", "{\"provider\":\"openai\"}"));
    EXPECT(test_says(store, "select version from pk_configs", "3"));
}

static void a_bad_config_is_not_stored(void)
{
    fresh();
    EXPECT(put_key("vk", "openai", "env:K", "{\"custom_host\":\"https://own.example/v1\"}"));
    EXPECT(!put_config("", "{\"provider\":\"openai\"}") && says(PK_BAD_REQUEST, "slug:"));
    EXPECT(!put_config("-x", "{\"provider\":\"openai\"}") && says(PK_BAD_REQUEST, "slug:"));
    EXPECT(!put_config("a b", "{\"provider\":\"openai\"}") && says(PK_BAD_REQUEST, "slug:"));
    EXPECT(!put_config("c", "{") && says(PK_BAD_JSON, "config"));
    EXPECT(!put_config("c", "{\"wrong\":1}") && says(PK_BAD_CONFIG, "wrong"));
    EXPECT(!put_config("c", "{\"provider\":\"openai\",\"api_key\":\"sk-1\"}") &&
           says(PK_BAD_CONFIG, "api_key"));
    EXPECT(!put_config("c", "{\"virtual_key\":\"none\"}") &&
           says(PK_BAD_CONFIG, "config.virtual_key: there is none called \"none\""));
    EXPECT(
        !put_config("c", "{\"virtual_key\":\"vk\",\"custom_host\":\"https://evil.example/v1\"}") &&
        says(PK_HOST_DENIED, "another host"));
    EXPECT(test_says(store, "select count(*) from pk_config", "0"));
}

static void a_key_keeps_its_options_and_hides_its_secret(void)
{
    fresh();
    EXPECT(put_key("vk", "@openai", "file:/run/key",
                   "{\"custom_host\":\"http://127.0.0.1:9/v1/\",\"name\":\"Ann's\","
                   "\"expires_at\":\"2030-01-31T12:00:00Z\"}"));
    EXPECT(
        test_says(store,
                  "select slug || '|' || name || '|' || provider || '|' || custom_host || '|' || "
                  "kind || '|' || status || '|' || expires_at from pk_virtual_keys",
                  "vk|Ann's|openai|http://127.0.0.1:9/v1|file|active|2030-01-31T12:00:00.000Z"));
    EXPECT(test_says(store,
                     "select count(*) from pragma_table_info('pk_virtual_keys') where name like "
                     "'%secret%'",
                     "0"));
}

static void wrong_key_arguments_are_named(void)
{
    static const struct {
        const char *slug, *provider, *options, *error;
        enum pk_code code;
    } cases[] = {
        {"v k", "openai", "", "slug:", PK_BAD_REQUEST},
        {"vk", "nobody", "", "provider: there is none called \"nobody\"", PK_BAD_REQUEST},
        {"vk", "openai", "[]", "options:", PK_BAD_REQUEST},
        {"vk", "openai", "{\"host\":1}", "no option \"host\"", PK_BAD_REQUEST},
        {"vk", "openai", "{\"custom_host\":1}", "options.custom_host:", PK_BAD_REQUEST},
        {"vk", "openai", "{\"custom_host\":\"ftp://x\"}", "options.custom_host", PK_BAD_CONFIG},
        {"vk", "openai", "{\"expires_at\":\"soon\"}", "options.expires_at:", PK_BAD_REQUEST},
        {"vk", "openai", "{", "options", PK_BAD_JSON},
    };

    fresh();
    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        EXPECT(!put_key(cases[i].slug, cases[i].provider, "env:K", cases[i].options));
        EXPECT(says(cases[i].code, cases[i].error));
    }
    EXPECT(test_says(store, "select count(*) from pk_virtual_key", "0"));
}

static void a_secret_of_parts_is_checked_when_rotated_too(void)
{
    fresh();
    EXPECT(pk_store_key_put(store, &arena, NULL, PK_STR("vk"), PK_STR("bedrock"), PK_STR("env:A"),
                            PK_NONE, now_us, &err));
    EXPECT(!pk_store_key_rotate(store, &arena, NULL, PK_STR("vk"), PK_STR("{\"aws_key\":\"A\"}"),
                                now_us, &err) &&
           says(PK_BAD_REQUEST, "secret: provider \"bedrock\" has no part \"aws_key\""));
    EXPECT(
        !pk_store_key_rotate(store, &arena, NULL, PK_STR("vk"), PK_STR("{\"aws"), now_us, &err) &&
        says(PK_BAD_JSON, "secret: not valid JSON"));
    EXPECT(!pk_store_key_rotate(store, &arena, NULL, PK_STR("vk"),
                                PK_STR("{\"aws_access_key_id\":\"A\"}"), now_us, &err) &&
           says(PK_BAD_REQUEST, "secret: needs aws_access_key_id and aws_secret_access_key"));
    EXPECT(pk_store_key_rotate(store, &arena, NULL, PK_STR("vk"), PK_STR("env:B"), now_us, &err));
}

static void a_key_is_sealed_rotated_and_revoked(void)
{
    char folder[] = "/tmp/pk-resolve-XXXXXX", path[64], plain[PK_SECRET_BYTES_MAX];
    struct pk_virtual_key k;
    size_t len;
    bool found, existed;

    fresh();
    if (!EXPECT(mkdtemp(folder)))
        return;
    (void)snprintf(path, sizeof path, "%s/key", folder);
    struct pk_secrets *secrets = pk_secrets_open(path, true, &err);
    EXPECT(secrets);
    EXPECT(pk_store_key_put(store, &arena, secrets, PK_STR("vk"), PK_STR("openai"),
                            PK_STR("sk-first"), PK_NONE, now_us, &err));
    EXPECT(test_says(store, "select instr(secret, cast('sk-first' as blob)) from pk_virtual_key",
                     "0"));
    EXPECT(pk_store_key_rotate(store, &arena, secrets, PK_STR("vk"), PK_STR("sk-second"), now_us,
                               &err));
    EXPECT(pk_store_key_get(store, &arena, PK_STR("vk"), &k, &found, &err) && found);
    EXPECT(pk_secret_open(secrets, &k.key, k.provider, plain, &len, &err));
    EXPECT(len == 9 && memcmp(plain, "sk-second", 9) == 0);
    EXPECT(pk_store_key_revoke(store, PK_STR("vk"), now_us, &existed, &err) && existed);
    EXPECT(pk_store_key_revoke(store, PK_STR("vk"), now_us, &existed, &err) && !existed);
    EXPECT(test_says(store, "select length(secret) || status from pk_virtual_key, pk_virtual_keys",
                     "0revoked"));
    EXPECT(!pk_store_key_rotate(store, &arena, secrets, PK_STR("vk"), PK_STR("x"), now_us, &err) &&
           says(PK_BAD_REQUEST, "revoked"));
    EXPECT(!pk_store_key_rotate(store, &arena, secrets, PK_STR("no"), PK_STR("x"), now_us, &err) &&
           says(PK_NOT_FOUND, "\"no\""));
    pk_secrets_free(secrets);
    (void)unlink(path);
    (void)rmdir(folder);
}

static bool has_price(const struct pk_snapshot *s, const char *provider, const char *model)
{
    return pk_price_find(&s->facts->prices, pk_str_of(provider), pk_str_of(model), 10, now_us);
}

/* --- references ------------------------------------------------------------------------ */

static void a_name_is_a_config_before_a_key_before_a_provider(void)
{
    fresh();
    const struct pk_snapshot *s = resolve("openai");
    if (!EXPECT(s))
        return;
    EXPECT(s->config.targets[0].key.kind == PK_KEY_ENV);
    EXPECT(pk_str_is(s->config.targets[0].key.value, "OPENAI_API_KEY"));
    EXPECT(pk_str_is(s->config.targets[0].key.origin, s->config.targets[0].provider->base_url));
    EXPECT(has_price(s, "openai", "gpt-4o"));
    pk_snapshot_release(resolver, s);

    EXPECT(put_key("openai", "anthropic", "env:K", ""));
    s = resolve("openai");
    if (!EXPECT(s))
        return;
    EXPECT(pk_str_is(s->config.targets[0].virtual_key, "openai"));
    EXPECT(pk_str_is(pk_str_of(s->config.targets[0].provider->name), "anthropic"));
    EXPECT(pk_str_is(s->config.targets[0].key.value, "K"));
    EXPECT(s->config.slug.len == 0);
    pk_snapshot_release(resolver, s);

    EXPECT(put_config("openai", "{\"provider\":\"groq\"}"));
    s = resolve("openai");
    if (!EXPECT(s))
        return;
    EXPECT(pk_str_is(pk_str_of(s->config.targets[0].provider->name), "groq"));
    EXPECT(pk_str_is(s->config.slug, "openai") && s->config.version == 1);
    pk_snapshot_release(resolver, s);
}

static void what_names_nothing_says_what_was_looked_for(void)
{
    fresh();
    EXPECT(unresolved("nothing", PK_NOT_FOUND, "no stored config, virtual key or provider"));
    EXPECT(unresolved("groq", PK_NO_KEY, "GROQ_API_KEY"));
    EXPECT(unresolved("", PK_BAD_REQUEST, "empty"));
    EXPECT(unresolved("  ", PK_BAD_REQUEST, "empty"));
    EXPECT(unresolved("{\"virtual_key\":\"no\"}", PK_BAD_CONFIG, "there is none called \"no\""));
    EXPECT(unresolved("{\"targets\":1}", PK_BAD_CONFIG, "targets"));
    EXPECT(unresolved("{]", PK_BAD_JSON, ""));
    EXPECT(unresolved("sl\"ug\x01", PK_NOT_FOUND, ""));
}

static void the_environment_key_goes_to_its_provider_only(void)
{
    fresh();
    const struct pk_snapshot *s =
        resolve("{\"provider\":\"openai\",\"custom_host\":\"http://127.0.0.1:9/v1\"}");
    EXPECT(s && s->config.targets[0].key.kind == PK_KEY_NONE);
    pk_snapshot_release(resolver, s);
    s = resolve("{\"provider\":\"openai\",\"custom_host\":\"https://api.openai.com/v2\"}");
    EXPECT(s && s->config.targets[0].key.kind == PK_KEY_ENV);
    pk_snapshot_release(resolver, s);
    s = resolve("{\"provider\":\"openai\",\"api_key\":\"sk-own\"}");
    EXPECT(s && s->config.targets[0].key.kind == PK_KEY_LITERAL);
    pk_snapshot_release(resolver, s);
}

static void a_revoked_or_expired_key_is_refused(void)
{
    bool existed;

    fresh();
    EXPECT(!put_key("old", "openai", "env:K", "{\"expires_at\":\"2025-11-21T11:38:32Z\"}") &&
           says(PK_BAD_REQUEST, "options.expires_at: is in the past"));
    EXPECT(put_key("old", "openai", "env:K", "{\"expires_at\":\"2025-11-21T11:38:33Z\"}"));
    now_us += 1000000;
    EXPECT(put_key("gone", "openai", "env:K", ""));
    EXPECT(pk_store_key_revoke(store, PK_STR("gone"), now_us, &existed, &err));
    EXPECT(unresolved("old", PK_NO_KEY, "\"old\": has expired"));
    EXPECT(unresolved("gone", PK_NO_KEY, "\"gone\": is revoked"));
    EXPECT(unresolved("{\"virtual_key\":\"gone\"}", PK_NO_KEY, "is revoked"));
    EXPECT(unresolved("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":["
                      "{\"virtual_key\":\"gone\"},{\"virtual_key\":\"old\"}]}",
                      PK_NO_KEY, "is revoked"));
    EXPECT(put_key("good", "openai", "env:K", ""));
    const struct pk_snapshot *s = resolve("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":["
                                          "{\"virtual_key\":\"old\"},{\"virtual_key\":\"good\"}]}");
    EXPECT(s && s->config.targets[0].dead.len && s->config.targets[1].dead.len == 0);
    pk_snapshot_release(resolver, s);
}

static void a_kept_key_expires_all_the_same(void)
{
    fresh();
    EXPECT(put_key("soon", "openai", "env:K", "{\"expires_at\":\"2025-11-21T11:38:33Z\"}"));
    pk_snapshot_release(resolver, resolve("soon"));
    EXPECT(!pk_resolve(resolver, store, PK_STR("soon"), now_us + 1000000, &err) &&
           says(PK_NO_KEY, "has expired"));
}

/* --- keeping --------------------------------------------------------------------------- */

static int statements;

static int count_statement(unsigned kind, void *ctx, void *p, void *x)
{
    (void)kind;
    (void)ctx;
    (void)p;
    (void)x;
    statements++;
    return 0;
}

static void a_kept_reference_costs_one_statement(void)
{
    fresh();
    EXPECT(put_key("vk", "openai", "env:K", ""));
    const struct pk_snapshot *first = resolve("vk");
    (void)sqlite3_trace_v2(pk_store_sqlite_db(store), SQLITE_TRACE_STMT, count_statement, NULL);
    statements = 0;
    const struct pk_snapshot *again = resolve("vk");
    EXPECT(statements == 1);
    EXPECT(first == again);
    pk_snapshot_release(resolver, first);
    pk_snapshot_release(resolver, again);
}

static void a_change_is_seen_at_once_and_calls_in_progress_keep_theirs(void)
{
    fresh();
    EXPECT(put_config("c", "{\"provider\":\"openai\"}"));
    const struct pk_snapshot *before = resolve("c");
    EXPECT(put_config("c", "{\"provider\":\"anthropic\"}"));
    const struct pk_snapshot *after = resolve("c");
    EXPECT(before && after && before != after);
    EXPECT(pk_str_is(pk_str_of(before->config.targets[0].provider->name), "openai"));
    EXPECT(pk_str_is(pk_str_of(after->config.targets[0].provider->name), "anthropic"));
    EXPECT(has_price(before, "openai", "gpt-4o") && has_price(after, "anthropic", CLAUDE));
    pk_snapshot_release(resolver, before);
    pk_snapshot_release(resolver, after);
}

/* A change that was rolled back must not be taken for a later one with the same number. */
static void a_rolled_back_change_is_forgotten(void)
{
    int64_t version;

    fresh();
    EXPECT(put_config("c", "{\"provider\":\"openai\"}"));
    EXPECT(store->ops->begin(store, &err));
    EXPECT(pk_store_config_put(store, &arena, PK_STR("c"), PK_STR("{\"provider\":\"groq\"}"),
                               now_us + 5, &version, &err));
    pk_snapshot_release(resolver, resolve("c"));
    EXPECT(store->ops->end(store, false, &err));
    EXPECT(pk_store_config_put(store, &arena, PK_STR("c"), PK_STR("{\"provider\":\"anthropic\"}"),
                               now_us + 10, &version, &err));
    const struct pk_snapshot *s = resolve("c");
    EXPECT(s && pk_str_is(pk_str_of(s->config.targets[0].provider->name), "anthropic"));
    pk_snapshot_release(resolver, s);
}

static void literal_keys_are_not_kept(void)
{
    const char *reference = "{\"provider\":\"openai\",\"api_key\":\"sk-own\"}";
    pk_str where;

    fresh();
    const struct pk_snapshot *a = resolve(reference);
    EXPECT(a && pk_config_has_literal_key(&a->config, &where));
    blocks = 0;
    pk_snapshot_release(resolver, a);
    EXPECT(blocks < 0); /* it went at once */
}

static void a_literal_key_is_there_as_long_as_somebody_has_it(void)
{
    const char *reference = "{\"provider\":\"openai\",\"api_key\":\"sk-own\"}";
    const struct pk_snapshot *held = NULL;

    fresh();
    const struct pk_snapshot *a = resolve(reference);
    pk_snapshot_hold(resolver, &held, a);
    pk_snapshot_hold(resolver, &held, a);
    pk_snapshot_release(resolver, a);
    const struct pk_snapshot *b = resolve(reference);
    EXPECT(held == a && b == a);
    pk_snapshot_release(resolver, b);
    blocks = 0;
    pk_snapshot_hold(resolver, &held, NULL);
    EXPECT(!held && blocks < 0);
}

static void a_held_literal_key_follows_changes(void)
{
    const char *reference = "{\"provider\":\"openai\",\"api_key\":\"sk-own\"}";

    fresh();
    const struct pk_snapshot *a = resolve(reference);
    EXPECT(put_config("c", "{\"provider\":\"openai\"}"));
    const struct pk_snapshot *b = resolve(reference);
    EXPECT(a && b && a != b && a->facts != b->facts);
    pk_snapshot_release(resolver, a);
    pk_snapshot_release(resolver, b);
}

static void only_so_many_are_kept(void)
{
    char reference[64];
    const struct pk_snapshot *held;

    fresh();
    held = resolve("{\"provider\":\"openai\"}");
    for (int i = 0; i < 500; i++) {
        (void)snprintf(reference, sizeof reference,
                       "{\"provider\":\"openai\",\"request_timeout\":%d}", 1000 + i);
        pk_snapshot_release(resolver, resolve(reference));
    }
    EXPECT(held && held->config.target_count == 1); /* still alive, though no longer kept */
    pk_snapshot_release(resolver, held);
}

static void prices_are_there_without_a_config(void)
{
    fresh();
    const struct pk_prices *prices = pk_resolver_prices(resolver, store, &err);
    EXPECT(prices && pk_price_find(prices, PK_STR("anthropic"), PK_STR(CLAUDE), 10, now_us));
}

static void prices_are_those_of_whom_the_config_may_pay(void)
{
    fresh();
    EXPECT(put_config(
        "c", "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"provider\":\"openai\"},"
             "{\"provider\":\"google\"}],\"cache\":{\"mode\":\"semantic\","
             "\"embedder\":{\"provider\":\"voyage\",\"model\":\"voyage-3\"}}}"));
    const struct pk_snapshot *first = resolve("{\"provider\":\"anthropic\"}");
    const struct pk_snapshot *s = resolve("c");
    if (!EXPECT(first && s && first->facts == s->facts))
        return;
    EXPECT(has_price(s, "openai", "gpt-4o") && has_price(s, "google", "gemini-2.5-flash") &&
           has_price(s, "voyage", "voyage-3") && has_price(first, "anthropic", CLAUDE));
    EXPECT(!has_price(s, "mistral-ai", "mistral-large-latest"));
    const struct pk_prices *all = pk_resolver_prices(resolver, store, &err);
    EXPECT(all == &s->facts->prices && has_price(s, "mistral-ai", "mistral-large-latest"));
    pk_snapshot_release(resolver, first);
    pk_snapshot_release(resolver, s);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 256 << 20);
    RUN(a_config_is_versioned_and_can_go);
    RUN(a_bad_config_is_not_stored);
    RUN(a_key_keeps_its_options_and_hides_its_secret);
    RUN(wrong_key_arguments_are_named);
    RUN(a_secret_of_parts_is_checked_when_rotated_too);
    RUN(a_key_is_sealed_rotated_and_revoked);
    RUN(a_name_is_a_config_before_a_key_before_a_provider);
    RUN(what_names_nothing_says_what_was_looked_for);
    RUN(the_environment_key_goes_to_its_provider_only);
    RUN(a_revoked_or_expired_key_is_refused);
    RUN(a_kept_key_expires_all_the_same);
    RUN(a_kept_reference_costs_one_statement);
    RUN(a_change_is_seen_at_once_and_calls_in_progress_keep_theirs);
    RUN(a_rolled_back_change_is_forgotten);
    RUN(literal_keys_are_not_kept);
    RUN(a_literal_key_is_there_as_long_as_somebody_has_it);
    RUN(a_held_literal_key_follows_changes);
    RUN(only_so_many_are_kept);
    RUN(prices_are_there_without_a_config);
    RUN(prices_are_those_of_whom_the_config_may_pay);
    pk_resolver_free(resolver);
    pk_store_close(store);
    pk_arena_free(&arena);
    return test_end();
}
