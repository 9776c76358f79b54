/* store_key_test.c - a virtual key is changed in part, and copied; its secret goes where it went before.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_key_seal.h"
#include "store_limit.h"
#include "store_title.h"
#include "test_store.h"

#include <string.h>
#include <unistd.h>

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static struct pk_secrets *secrets;
static const int64_t now = 1763725112000000;

static void begin(void)
{
    pk_store_close(s);
    s = test_store(":memory:");
    EXPECT(pk_store_key_put(
        s, &arena, secrets, PK_STR("k"), PK_STR("openai"), PK_STR("sk-first"),
        PK_STR("{\"custom_host\":\"http://127.0.0.1:9/v1\",\"name\":\"N\","
               "\"allowed_models\":[\"gpt-*\"],\"expires_at\":\"2030-01-01\","
               "\"rate_limits\":[{\"type\":\"requests\",\"unit\":\"rpm\",\"value\":5}],"
               "\"usage_limits\":{\"credit_limit\":9,\"type\":\"tokens\"}}"),
        now, &err));
}

static bool update(const char *options, const char *secret)
{
    const struct pk_key_change change = {PK_STR("k"), pk_str_of(secret), pk_str_of(options),
                                         now + 1};

    return pk_store_key_update(s, &arena, secrets, &change, &err);
}

/* What would be sent for `slug`. */
static bool opens(const char *slug, const char *secret)
{
    char out[PK_SECRET_BYTES_MAX];
    struct pk_virtual_key k;
    size_t len;
    bool found;

    return pk_store_key_get(s, &arena, pk_str_of(slug), &k, &found, &err) && found &&
           pk_secret_open(secrets, &k.key, k.provider, out, &len, &err) &&
           pk_str_is((pk_str){out, len}, secret);
}

static void what_is_not_named_stays(void)
{
    begin();
    EXPECT(update("{\"name\":\"M\"}", ""));
    EXPECT(test_says(s, "select name || allowed_models || custom_host from pk_virtual_keys",
                     "M[\"gpt-*\"]http://127.0.0.1:9/v1"));
    EXPECT(test_says(s, "select count(*) from pk_limits", "2"));
    EXPECT(opens("k", "sk-first"));
    EXPECT(update("{\"rate_limits\":[{\"type\":\"requests\",\"unit\":\"rph\",\"value\":7}]}", ""));
    EXPECT(test_says(s,
                     "select group_concat(slug, ' ') from (select slug from pk_limits order by 1)",
                     "virtual_key:k:requests:hour virtual_key:k:tokens:total"));
    EXPECT(update("{}", "sk-second"));
    EXPECT(opens("k", "sk-second"));
    EXPECT(test_says(s, "select count(*) from pk_audit where verb = 'key_update'", "3"));
    EXPECT(test_says(s, "select count(*) from pk_audit where detail like '%sk-%'", "0"));
}

static void null_takes_an_option_away(void)
{
    begin();
    EXPECT(update("{\"allowed_models\":null,\"expires_at\":null,\"usage_limits\":null,"
                  "\"name\":null}",
                  ""));
    EXPECT(test_says(s,
                     "select coalesce(name, '') || coalesce(allowed_models, '') || "
                     "coalesce(expires_at, '') || '.' from pk_virtual_keys",
                     "."));
    EXPECT(test_says(s, "select slug from pk_limits", "virtual_key:k:requests:minute"));
}

static void a_secret_goes_elsewhere_only_when_it_is_given_again(void)
{
    begin();
    EXPECT(!update("{\"custom_host\":\"http://127.0.0.1:8/v1\"}", "") &&
           strstr(err.msg, "give the key again"));
    EXPECT(!update("{\"custom_host\":null}", "") && strstr(err.msg, "give the key again"));
    EXPECT(opens("k", "sk-first"));
    EXPECT(update("{\"custom_host\":\"http://127.0.0.1:8/v1\"}", "sk-other"));
    EXPECT(opens("k", "sk-other"));
}

static void what_cannot_be_changed_is_refused(void)
{
    const struct pk_key_change none = {PK_STR("none"), PK_NONE, PK_STR("{}"), now};
    bool existed;

    begin();
    EXPECT(!pk_store_key_update(s, &arena, secrets, &none, &err) && err.code == PK_NOT_FOUND);
    EXPECT(!update("{\"colour\":1}", "") && strstr(err.msg, "no option \"colour\""));
    EXPECT(!update("{\"usage_limits\":{\"credit_limit\":0}}", ""));
    EXPECT(test_says(s, "select count(*) from pk_limits", "2"));
    EXPECT(pk_store_key_revoke(s, PK_STR("k"), now, &existed, &err) && existed);
    EXPECT(!update("{}", "") && err.code == PK_NOT_FOUND);
}

static void a_copy_has_the_secret_and_limits_of_its_own(void)
{
    const struct pk_key_change copy = {PK_STR("c"), PK_NONE,
                                       PK_STR("{\"usage_limits\":{\"credit_limit\":3}}"), now};
    bool existed;

    begin();
    EXPECT(pk_store_key_copy(s, &arena, secrets, PK_STR("k"), &copy, &err));
    EXPECT(opens("c", "sk-first") && opens("k", "sk-first"));
    EXPECT(test_says(s,
                     "select allowed_models || custom_host from pk_virtual_keys where slug = 'c'",
                     "[\"gpt-*\"]http://127.0.0.1:9/v1"));
    EXPECT(test_says(s, "select group_concat(slug) from pk_limits where value = 'c'",
                     "virtual_key:c:cost:total"));
    EXPECT(pk_store_key_revoke(s, PK_STR("k"), now, &existed, &err));
    EXPECT(opens("c", "sk-first"));
    EXPECT(!pk_store_key_copy(s, &arena, secrets, PK_STR("k"), &copy, &err) &&
           err.code == PK_NOT_FOUND);
}

static void titles_are_kept_beside_what_they_name(void)
{
    struct pk_title t = {.kind = "config",
                         .slug = PK_STR("x"),
                         .name = PK_STR("X!"),
                         .note = PK_STR("n"),
                         .updated_us = now};
    bool existed;

    begin();
    EXPECT(pk_store_title_put(s, &t, &err));
    t.name = PK_STR("Y");
    t.updated_us = now + 1;
    EXPECT(pk_store_title_put(s, &t, &err));
    EXPECT(pk_store_title_get(s, &arena, "config", PK_STR("x"), &t, &err));
    EXPECT(pk_str_is(t.name, "Y") && pk_str_is(t.note, "n"));
    EXPECT(t.created_us == now && t.updated_us == now + 1);
    EXPECT(pk_store_title_get(s, &arena, "label", PK_STR("x"), &t, &err) && t.name.len == 0);
    EXPECT(pk_store_title_delete(s, "config", PK_STR("x"), &existed, &err) && existed);
    EXPECT(pk_store_title_delete(s, "config", PK_STR("x"), &existed, &err) && !existed);
}

static void another_master_key_seals_all_or_none(void)
{
    char path[] = "/tmp/pk-store-other-XXXXXX";
    int fd = mkstemp(path);
    struct pk_secrets *mine = secrets;

    EXPECT(fd >= 0 && close(fd) == 0 && unlink(path) == 0);
    struct pk_secrets *other = pk_secrets_open(path, true, &err);
    if (!EXPECT(other))
        return;
    begin();
    EXPECT(pk_store_key_put(s, &arena, mine, PK_STR("gone"), PK_STR("openai"), PK_STR("sk-gone"),
                            PK_NONE, now, &err));
    bool existed;
    EXPECT(pk_store_key_revoke(s, PK_STR("gone"), now, &existed, &err) && existed);
    EXPECT(pk_store_key_put(s, &arena, mine, PK_STR("env"), PK_STR("openai"), PK_STR("env:SOME"),
                            PK_NONE, now, &err));
    for (int i = 0; i < 100; i++)
        EXPECT(pk_store_key_put(s, &arena, mine, pk_copyf(&arena, "k%d", i), PK_STR("openai"),
                                PK_STR("sk-many"), PK_NONE, now, &err));
    struct pk_resealing r = {.from = mine, .to = other, .at_us = now + 1};
    EXPECT(pk_store_key_reseal(s, &arena, &r, &err) && r.count == 101);
    EXPECT(!opens("k", "sk-first"));
    secrets = other;
    EXPECT(opens("k", "sk-first") && opens("k99", "sk-many"));
    EXPECT(test_says(s, "select detail from pk_audit where verb = 'key_reseal'", "{\"keys\":101}"));
    /* One that does not open leaves all as they are. */
    EXPECT(pk_store_key_put(s, &arena, mine, PK_STR("stray"), PK_STR("openai"), PK_STR("sk-stray"),
                            PK_NONE, now, &err));
    r = (struct pk_resealing){.from = other, .to = mine, .at_us = now + 2};
    EXPECT(!pk_store_key_reseal(s, &arena, &r, &err) && strstr(err.msg, "stray"));
    EXPECT(opens("k", "sk-first") && opens("k99", "sk-many"));
    secrets = mine;
    pk_secrets_free(other);
    (void)unlink(path);
}

int main(void)
{
    char path[] = "/tmp/pk-store-key-XXXXXX";
    int fd = mkstemp(path);

    EXPECT(fd >= 0 && close(fd) == 0 && unlink(path) == 0);
    secrets = pk_secrets_open(path, true, &err);
    EXPECT(secrets);
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(what_is_not_named_stays);
    RUN(null_takes_an_option_away);
    RUN(a_secret_goes_elsewhere_only_when_it_is_given_again);
    RUN(what_cannot_be_changed_is_refused);
    RUN(a_copy_has_the_secret_and_limits_of_its_own);
    RUN(another_master_key_seals_all_or_none);
    RUN(titles_are_kept_beside_what_they_name);
    pk_store_close(s);
    pk_secrets_free(secrets);
    pk_arena_free(&arena);
    (void)unlink(path);
    return test_end();
}
