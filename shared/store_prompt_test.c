/* store_prompt_test.c - versions, labels and partials of prompts in a store.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_prompt.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static int64_t clock_us = 1000000;

/* The version; 0 when it was refused. */
static int64_t put(const char *slug, const char *text)
{
    struct pk_prompt_draft draft = {pk_str_of(slug), pk_str_of(text), true, clock_us++};
    int64_t version = 0;

    err = (struct pk_error){0};
    return pk_store_prompt_put(s, &arena, &draft, &version, &err) ? version : 0;
}

static bool publish(const char *slug, int64_t version, const char *label, int64_t weight)
{
    struct pk_publication what = {pk_str_of(slug), pk_str_of(label), version, weight, clock_us++};

    err = (struct pk_error){0};
    return pk_store_prompt_publish(s, &arena, &what, &err);
}

/* The version that a reference means; 0 when it is not found. */
static int64_t found(const char *reference)
{
    struct pk_prompt p;

    err = (struct pk_error){0};
    return pk_store_prompt_get(s, &arena, pk_str_of(reference), (struct pk_draw){.seed = 3}, &p,
                               &err)
               ? p.version
               : 0;
}

/* The first message's text. */
static const char *rendered(const char *reference, const char *vars)
{
    struct pk_prompt p;
    struct pk_json doc;
    pk_str messages;

    err = (struct pk_error){0};
    if (!pk_store_prompt_load(s, &arena, pk_str_of(reference), (struct pk_draw){.seed = 3}, &p,
                              &err) ||
        !pk_prompt_render(&arena, &p, pk_str_of(vars), &messages, &err) ||
        !pk_json_parse(&arena, messages, "messages", &doc, &err))
        return err.msg;
    return pk_copy(&arena, pk_json_str(&arena, &doc, pk_json_at(&doc, "[0].content"))).at;
}

static void versions_count_up_and_stay(void)
{
    EXPECT(found("greet") == 0 && err.code == PK_NOT_FOUND);
    EXPECT(put("greet", "Hi {{name}}") == 1);
    EXPECT(put("greet", "Hello {{name}}") == 2);
    EXPECT(found("greet") == 2 && found("greet@latest") == 2 && found("greet@1") == 1);
    EXPECT(found("greet@3") == 0 && err.code == PK_NOT_FOUND);
    EXPECT(strcmp(rendered("greet@1", "{\"name\":\"Ann\"}"), "Hi Ann") == 0);
    EXPECT(strcmp(rendered("greet", "{\"name\":\"Ann\"}"), "Hello Ann") == 0);
    EXPECT(strcmp(rendered("greet", "{}"), "prompt \"greet@2\": missing variable: name") == 0);
}

static void an_equal_document_is_the_version_that_is_there(void)
{
    int64_t epoch, later;

    EXPECT(pk_store_epoch(s, &epoch, &err));
    EXPECT(put("greet", "{ \"string\" : \"Hello {{name}}\" }") == 2);
    EXPECT(pk_store_epoch(s, &later, &err) && later == epoch);
    EXPECT(put("greet", "Hi {{name}}") == 3); /* equal to 1, but that is not the latest */
    EXPECT(test_says(s, "select count(distinct hash) from pk_prompts where slug = 'greet'", "2"));
}

static void labels_name_versions(void)
{
    EXPECT(publish("greet", 1, "", PK_WEIGHT_ALONE) && found("greet") == 1);
    EXPECT(found("greet@default") == 1 && found("greet@latest") == 3);
    EXPECT(publish("greet", 2, "production", PK_WEIGHT_ALONE) && found("greet@production") == 2);
    EXPECT(publish("greet", 3, "production", PK_WEIGHT_ALONE) && found("greet@production") == 3);
    EXPECT(found("greet@staging") == 0 && err.code == PK_NOT_FOUND &&
           strstr(err.msg, "no version has the label \"staging\""));
    EXPECT(publish("greet", 1, "default", 0) && found("greet") == 3);
    EXPECT(!publish("greet", 9, "", PK_WEIGHT_ALONE) && err.code == PK_NOT_FOUND);
    EXPECT(!publish("nobody", 1, "", PK_WEIGHT_ALONE) && err.code == PK_NOT_FOUND);
    static const char *const bad[] = {"latest", "7", "a b", "-x"};
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        EXPECT(!publish("greet", 1, bad[i], PK_WEIGHT_ALONE) && err.code == PK_BAD_REQUEST);
    EXPECT(!publish("greet", 1, "x", 65536) && !publish("greet", 0, "x", 1));
}

static void a_label_may_name_several_with_weights(void)
{
    int hits[4] = {0};

    EXPECT(publish("greet", 1, "ab", 30) && publish("greet", 2, "ab", 70));
    for (int i = 0; i < 4000; i++) {
        struct pk_prompt p;
        struct pk_draw draw = {.seed = (uint64_t)i * 7919};

        EXPECT(pk_store_prompt_get(s, &arena, PK_STR("greet@ab"), draw, &p, &err));
        hits[p.version]++;
    }
    EXPECT(hits[1] > 1080 && hits[1] < 1320 && hits[1] + hits[2] == 4000);
    EXPECT(test_says(s, "select labels from pk_prompts where slug = 'greet' and version = 2",
                     "{\"ab\":70}"));
    EXPECT(publish("greet", 1, "ab", 0) && found("greet@ab") == 2);
    EXPECT(publish("greet", 3, "ab", 1) && publish("greet", 1, "ab", PK_WEIGHT_ALONE));
    EXPECT(
        test_says(s, "select group_concat(version) from pk_prompt_label where label = 'ab'", "1"));
    for (int i = 0; i < PK_ARMS_MAX; i++) {
        char text[32];

        (void)snprintf(text, sizeof text, "text %d", i);
        EXPECT(put("many", text) == i + 1 && publish("many", i + 1, "", 1));
    }
    EXPECT(put("many", "one more") == PK_ARMS_MAX + 1 && !publish("many", PK_ARMS_MAX + 1, "", 1));
    EXPECT(strstr(err.msg, "names 16 versions already") != NULL);
    EXPECT(publish("many", 3, "", 7)); /* one that it names already */
}

static void partials_are_found_by_name(void)
{
    EXPECT(put("letter", "{{body}}\n{{>sign}}") == 0 && err.code == PK_NOT_FOUND &&
           strstr(err.msg, "partial/sign"));
    EXPECT(put("partial/me", "{{me}}!") == 1);
    EXPECT(put("partial/sign", "-- {{>me}}") == 1);
    EXPECT(put("letter", "{{body}}\n{{>sign}}") == 1);
    EXPECT(strcmp(rendered("letter", "{\"body\":\"B\",\"me\":\"M\"}"), "B\n-- M!") == 0);
    EXPECT(put("partial/sign", "== {{>me@1}}") == 2);
    EXPECT(put("partial/me", "{{me}}?") == 2);
    EXPECT(strcmp(rendered("letter", "{\"body\":\"B\",\"me\":\"M\"}"), "B\n== M!") == 0);
    EXPECT(publish("partial/sign", 1, "", PK_WEIGHT_ALONE));
    EXPECT(strcmp(rendered("letter", "{\"body\":\"B\",\"me\":\"M\"}"), "B\n-- M?") == 0);
    EXPECT(put("partial/self", "{{n}}{{#next}}{{>self}}{{/next}}") == 1 &&
           put("list", "{{>self}}"));
    EXPECT(strcmp(rendered("list", "{\"n\":1,\"next\":{\"n\":2,\"next\":false}}"), "12") == 0);
    EXPECT(strstr(rendered("list", "{\"n\":1,\"next\":true}"), "nested deeper than") != NULL);
    EXPECT(strstr(rendered("partial/sign", "{}"), "is a partial") != NULL);
    EXPECT(put("partial/bad", "{\"messages\":[]}") == 0 && put("partial/", "x") == 0 &&
           put("a/b", "x") == 0 && put("a@1", "x") == 0);
}

static bool deleted(const char *slug)
{
    bool existed = false;

    err = (struct pk_error){0};
    return pk_store_prompt_delete(s, pk_str_of(slug), clock_us++, &existed, &err) && existed;
}

static void a_partial_that_others_name_stays(void)
{
    EXPECT(put("partial/foot", "Bye{{#again}}, {{>foot}}{{/again}}") == 1);
    EXPECT(put("note", "x {{>foot@1}}") == 1 && put("footnote", "foot") == 1);
    EXPECT(put("partial/page", "{{>foot}} 2") == 1);
    EXPECT(!deleted("partial/foot") && err.code == PK_IN_USE);
    EXPECT(strstr(err.msg,
                  "prompt \"partial/foot\": is named by prompt note@1, prompt partial/page@1"));
    EXPECT(found("partial/foot") == 1 && deleted("partial/page"));
    EXPECT(publish("note", 1, "old", PK_WEIGHT_ALONE) && put("note", "x") == 2);
    EXPECT(!deleted("partial/foot") && strstr(err.msg, "is named by prompt note@1"));
    EXPECT(publish("note", 2, "old", PK_WEIGHT_ALONE));
    EXPECT(deleted("partial/foot") && !deleted("partial/foot") && err.code == PK_OK);
    EXPECT(deleted("note") && deleted("footnote"));
}

static void whom_to_ask_must_be_there(void)
{
    int64_t version;

    EXPECT(pk_store_key_put(s, &arena, NULL, PK_STR("key"), PK_STR("openai"), PK_STR("env:A"),
                            PK_NONE, clock_us, &err));
    EXPECT(pk_store_config_put(s, &arena, PK_STR("conf"), PK_STR("{\"virtual_key\":\"key\"}"),
                               clock_us, &version, &err));
    static const char *const good[] = {"\"virtual_key\":\"key\"",
                                       "\"config\":\"conf\"",
                                       "\"config\":\"key\"",
                                       "\"config\":\"openai\"",
                                       "\"config\":{\"virtual_key\":\"key\"}",
                                       "\"model\":\"@key/gpt\""};
    static const char *const bad[] = {"\"virtual_key\":\"none\"",
                                      "\"config\":\"none\"",
                                      "\"config\":{\"virtual_key\":\"none\"}",
                                      "\"config\":{\"provider\":\"openai\",\"api_key\":\"sk-x\"}",
                                      "\"config\":{\"a\":1}",
                                      "\"model\":\"@none/gpt\""};
    for (size_t i = 0; i < PK_COUNT(good); i++) {
        if (!EXPECT(put("aimed", pk_copyf(&arena, "{\"string\":\"x\",%s}", good[i]).at) > 0))
            printf("# %s: %s\n", good[i], err.msg);
        EXPECT(put("aimed", pk_copyf(&arena, "{\"string\":\"x\",%s}", bad[i]).at) == 0);
    }
    EXPECT(test_says(s,
                     "select config || ' ' || model from pk_prompts where slug = 'aimed' order by "
                     "version desc limit 1",
                     "key gpt"));
}

static void a_deleted_prompt_is_gone_but_its_numbers(void)
{
    bool existed;

    EXPECT(pk_store_prompt_delete(s, PK_STR("greet"), clock_us++, &existed, &err) && existed);
    EXPECT(pk_store_prompt_delete(s, PK_STR("greet"), clock_us++, &existed, &err) && !existed);
    EXPECT(found("greet") == 0 && found("greet@1") == 0 && found("greet@production") == 0);
    EXPECT(!publish("greet", 1, "", PK_WEIGHT_ALONE));
    EXPECT(put("greet", "Hi {{name}}") == 4 && found("greet") == 4);
    EXPECT(test_says(s, "select count(*) from pk_prompts where slug = 'greet'", "1"));
}

static void changes_are_in_the_audit(void)
{
    EXPECT(test_says(
        s,
        "select group_concat(verb || ' ' || coalesce(detail, '')) from (select * from "
        "pk_audit where object = 'greet' order by at limit 5)",
        "prompt_put {\"version\":1},prompt_put {\"version\":2},prompt_put {\"version\":3},"
        "prompt_publish {\"version\":1,\"label\":\"default\"},"
        "prompt_publish {\"version\":2,\"label\":\"production\"}"));
    EXPECT(test_says(
        s, "select count(*) from pk_audit where verb = 'prompt_delete' and object = 'greet'", "1"));
}

static void the_view_shows_what_was_put(void)
{
    EXPECT(put("full",
               "{\"messages\":[{\"role\":\"user\",\"content\":\"{{q}}\"}],\"model\":\"m\",\"name\":"
               "\"Full\",\"description\":\"d\",\"tools\":[{\"type\":\"function\"}],"
               "\"parameters\":{\"temperature\":0.2}}") == 1);
    EXPECT(publish("full", 1, "", PK_WEIGHT_ALONE));
    EXPECT(test_says(
        s,
        "select name || description || template || model || parameters || tools || "
        "labels from pk_prompts where slug = 'full'",
        "Fulld[{\"role\":\"user\",\"content\":\"{{q}}\"}]m{\"tools\":[{\"type\":\"function\"}],"
        "\"temperature\":0.2}[{\"type\":\"function\"}]{\"default\":100}"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    s = test_store(":memory:");
    RUN(versions_count_up_and_stay);
    RUN(an_equal_document_is_the_version_that_is_there);
    RUN(labels_name_versions);
    RUN(a_label_may_name_several_with_weights);
    RUN(partials_are_found_by_name);
    RUN(a_partial_that_others_name_stays);
    RUN(whom_to_ask_must_be_there);
    RUN(a_deleted_prompt_is_gone_but_its_numbers);
    RUN(changes_are_in_the_audit);
    RUN(the_view_shows_what_was_put);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
