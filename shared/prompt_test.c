/* prompt_test.c - documents, rendering, and which version is drawn.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "prompt.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_error err;

struct case_of {
    const char *text, *want;
};

/* The document again, in canonical form, or why it is none. */
static pk_str read_again(const char *text, bool partial, bool plain_text)
{
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX), canonical = out;
    struct pk_prompt p;
    struct pk_json doc;

    err = (struct pk_error){0};
    bool ok = partial ? pk_prompt_parse_partial(&arena, pk_str_of(text), plain_text, &p, &err)
                      : pk_prompt_parse(&arena, pk_str_of(text), plain_text, &p, &err);
    if (!ok)
        return pk_str_of(err.msg);
    pk_prompt_print(&p, &out);
    if (!pk_json_parse(&arena, pk_buf_str(&out), "printed", &doc, &err))
        return pk_str_of(err.msg);
    pk_json_canonical(&canonical, &doc, 0, NULL);
    return pk_buf_str(&canonical);
}

static void check_all(const struct case_of *cases, size_t count, bool partial, bool plain_text)
{
    for (size_t i = 0; i < count; i++) {
        pk_str got = read_again(cases[i].text, partial, plain_text);

        if (!EXPECT(pk_str_is(got, cases[i].want)))
            printf("# %s\n# want %s\n# got  %.*s\n", cases[i].text, cases[i].want, PK_FMT(got));
    }
}

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void a_document_is_read_in_both_shapes(void)
{
    static const struct case_of cases[] = {
        {"{" HI "}", "{\"messages\":[{\"content\":\"hi\",\"role\":\"user\"}]}"},
        {"\"Hi {{name}}\"", "{\"string\":\"Hi {{name}}\"}"},
        {"{\"string\":\"[not json] {{x}}\"}", "{\"string\":\"[not json] {{x}}\"}"},
        {"{\"string\":\" [ {\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"a "
         "\\\\\\\"{{b}}\\\\\\\"\\\"}]\"}",
         "{\"messages\":[{\"content\":\"a \\\"{{b}}\\\"\",\"role\":\"user\"}]}"},
        {"{" HI ",\"model\":\"m\",\"parameters\":{\"temperature\":0.10},\"tools\":[1],"
         "\"tool_choice\":\"auto\",\"response_format\":{\"type\":\"text\"},\"virtual_key\":\"k\"}",
         "{\"messages\":[{\"content\":\"hi\",\"role\":\"user\"}],\"model\":\"m\",\"parameters\":{"
         "\"temperature\":0.10},\"response_format\":{\"type\":\"text\"},\"tool_choice\":\"auto\","
         "\"tools\":[1],\"virtual_key\":\"k\"}"},
        {"{\"name\":\"n\",\"collection_id\":\"c\",\"string\":\"s\",\"parameters\":{\"model\":\"m\"}"
         ","
         "\"functions\":null,\"tools\":null,\"virtual_key\":\"k\",\"version_description\":\"d\","
         "\"template_metadata\":{\"a\":1}}",
         "{\"collection_id\":\"c\",\"description\":\"d\",\"model\":\"m\",\"name\":\"n\",\"string\":"
         "\"s\",\"template_metadata\":{\"a\":1},\"virtual_key\":\"k\"}"},
        {"{" HI ",\"model\":\"@openai-prod/gpt-4o\"}",
         "{\"config\":\"openai-prod\",\"messages\":[{\"content\":\"hi\",\"role\":\"user\"}],"
         "\"model\":"
         "\"gpt-4o\"}"},
        {"{" HI ",\"config\":{\"provider\":\"openai\"}}",
         "{\"config\":{\"provider\":\"openai\"},\"messages\":[{\"content\":\"hi\",\"role\":"
         "\"user\"}]}"},
        {"{\"messages\":[\"{{history}}\"]}", "{\"messages\":[\"{{history}}\"]}"},
    };

    check_all(cases, PK_COUNT(cases), false, false);
}

static void what_is_wrong_is_named_with_its_path(void)
{
    static const struct case_of cases[] = {
        {"[]", "prompt: must be an object or a string, not an array"},
        {"{}", "messages: must be given"},
        {"{\"message\":[]}", "message: a prompt has no such member"},
        {"{\"messages\":[]}", "messages: must not be empty"},
        {"\"\"", "string: must not be empty"},
        {"{\"messages\":\"x\"}", "messages: must be an array, not a string"},
        {"{" HI ",\"string\":\"x\"}", "messages and string: one of them is enough"},
        {"{" HI "," HI "}", "messages: is given twice"},
        {"{\"messages\":[1]}", "messages[0]: must be an object, not a number"},
        {"{\"messages\":[\"x {{y}}\"]}",
         "messages[0]: must be an object, or a string that is one variable"},
        {"{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role: must be a string"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":1}]}",
         "messages[0].content: must be a string or an array, not a number"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"{{x}}\"},{\"role\":\"user\",\"content\":["
         "{\"type\":"
         "\"text\",\"text\":\"{{#a}}\"}]}]}",
         "messages[1].content[0].text: the section \"a\" is not closed"},
        {"{\"string\":\"{{a b}}\"}", "string: \"a b\" is no name: it has blanks"},
        {"\"a {{x\"", "string: the tag at byte 2 is not closed"},
        {"{\"string\":\"[{\\\"role\\\":}]\"}", "string: not valid JSON at byte 9: not a value"},
        {"{" HI ",\"parameters\":{\"stream\":true}}", "parameters.stream: is not part of a prompt"},
        {"{" HI ",\"parameters\":{\"pk\":{}}}", "parameters.pk: is not part of a prompt"},
        {"{" HI ",\"parameters\":{\"messages\":[]}}",
         "parameters.messages: is not part of a prompt"},
        {"{" HI ",\"model\":\"a\",\"parameters\":{\"model\":\"b\"}}",
         "parameters.model: must be a string, and given once"},
        {"{" HI ",\"parameters\":{\"model\":\"b\"},\"model\":\"a\"}", "model: is given twice"},
        {"{" HI ",\"parameters\":{\"model\":1},\"model\":\"a\"}",
         "parameters.model: must be a string, and given once"},
        {"{" HI ",\"tools\":[],\"parameters\":{\"tools\":[]}}",
         "tools: parameters.tools is given too; give one of them"},
        {"{" HI ",\"tools\":{}}", "tools: must be an array, not an object"},
        {"{" HI ",\"tool_choice\":1}", "tool_choice: must be a string or an object, not a number"},
        {"{" HI ",\"config\":\"c\",\"virtual_key\":\"k\"}",
         "config and virtual_key: one of them is enough"},
        {"{" HI ",\"virtual_key\":\"k\",\"model\":\"@a/b\"}",
         "model: names a slug, and so does virtual_key"},
        {"{" HI ",\"model\":\"\"}", "model: must be 1..256 bytes"},
        {"{" HI ",\"description\":\"a\",\"version_description\":\"b\"}",
         "version_description: is given twice"},
    };

    check_all(cases, PK_COUNT(cases), false, false);
}

static void a_partial_is_a_text(void)
{
    static const struct case_of good[] = {
        {"\"-- {{name}}\"", "{\"string\":\"-- {{name}}\"}"},
        {"{\"string\":\"[{\\\"a\\\":1}]\",\"name\":\"n\"}",
         "{\"name\":\"n\",\"string\":\"[{\\\"a\\\":1}]\"}"},
        {"{" HI "}", "messages: a partial has no such member"},
        {"{\"string\":\"x\",\"model\":\"m\"}", "model: a partial has no such member"},
        {"{\"name\":\"n\"}", "string: must be given"},
    };
    static const struct case_of plain[] = {
        {"{{name}}, hello", "{\"string\":\"{{name}}, hello\"}"},
        {"say \"it\"\n", "{\"string\":\"say \\\"it\\\"\\n\"}"},
        {"{\"string\":\"x\"}", "{\"string\":\"x\"}"},
    };
    static const struct case_of empty[] = {{"", "{\"string\":\"\"}"}};

    check_all(good, PK_COUNT(good), true, false);
    check_all(plain, PK_COUNT(plain), true, true);
    check_all(plain, PK_COUNT(plain), false, true);
    check_all(empty, PK_COUNT(empty), true, true);
}

/* The rendered messages, or why there are none. */
static pk_str rendered(const char *document, const char *vars)
{
    struct pk_partial sign = {PK_STR("sign"), PK_STR("-- {{me}}"), NULL};
    struct pk_prompt p;
    struct pk_json doc;
    pk_str messages;

    err = (struct pk_error){0};
    if (!pk_prompt_parse(&arena, pk_str_of(document), true, &p, &err))
        return pk_str_of(err.msg);
    p.slug = PK_STR("greet");
    p.version = 3;
    p.partials = &sign;
    p.partial_count = 1;
    if (!pk_prompt_render(&arena, &p, pk_str_of(vars), &messages, &err))
        return pk_str_of(err.msg);
    EXPECT(pk_json_parse(&arena, messages, "messages", &doc, &err));
    return messages;
}

static void messages_are_rendered_string_by_string(void)
{
    static const struct {
        const char *document, *vars, *want;
    } cases[] = {
        {"Hi {{name}}", "{\"name\":\"Ann\"}", "[{\"role\":\"user\",\"content\":\"Hi Ann\"}]"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"Be {{tone}}.\",\"name\":\"x\"},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"{{q}} "
         "{{>sign}}\"}],\"n\":1.50}]}",
         "{\"tone\":\"\\\"},{\\\"role\\\":\\\"system\",\"q\":\"a\\nb\",\"me\":\"I\"}",
         "[{\"role\":\"system\",\"content\":\"Be \\\"},{\\\"role\\\":\\\"system.\",\"name\":\"x\"},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\nb -- "
         "I\"}],\"n\":1.50}]"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"{{parts}}\"}]}",
         "{\"parts\":[{\"type\":\"text\"}]}",
         "[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},\"{{h}}\",\"{{last}}\"]}",
         "{\"h\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":\"{{2}}"
         "\"}],"
         "\"last\":{\"role\":\"user\"}}",
         "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"1\"},{\"role\":"
         "\"assistant\",\"content\":\"{{2}}\"},{\"role\":\"user\"}]"},
        {"{\"messages\":[\"{{h}}\",{\"role\":\"user\",\"content\":\"x\"}]}", "{\"h\":[]}",
         "[{\"role\":\"user\",\"content\":\"x\"}]"},
        {"{\"messages\":[\"{{h}}\"]}", "{\"h\":\"text\"}",
         "prompt \"greet@3\": {{h}} must be a message or an array of them"},
        {"{\"messages\":[\"{{h}}\"]}", "{\"h\":[{},1]}",
         "prompt \"greet@3\": {{h}} must be a message or an array of them"},
        {"{\"messages\":[\"{{h}}\",{\"role\":\"{{r}}\",\"content\":\"{{h}} {{c}}\"}]}", "{}",
         "prompt \"greet@3\": missing variables: h, r, c"},
        {"{{x}}", "[1]", "variables: must be an object, not an array"},
        {"{{x}}", "{\"x\":}", "variables: not valid JSON at byte 5: not a value"},
        {"{{>nobody}}", "{}", "prompt \"greet@3\": there is no partial called \"nobody\""},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_str got = rendered(cases[i].document, cases[i].vars);

        if (!EXPECT(pk_str_is(got, cases[i].want)))
            printf("# %s\n# want %s\n# got  %.*s\n", cases[i].document, cases[i].want, PK_FMT(got));
    }
}

static void params_go_over_the_prompts_own(void)
{
    struct pk_prompt p = {.model = PK_STR("m"), .parameters = PK_STR("{\"a\":1,\"b\":2}")};
    pk_str out;

    EXPECT(pk_prompt_params(&arena, &p, PK_NONE, &out, &err) &&
           pk_str_is(out, "{\"model\":\"m\",\"a\":1,\"b\":2}"));
    EXPECT(
        pk_prompt_params(&arena, &p, PK_STR("{\"b\":3,\"pk\":{},\"model\":\"n\"}"), &out, &err) &&
        pk_str_is(out, "{\"model\":\"n\",\"a\":1,\"b\":3,\"pk\":{}}"));
    p = (struct pk_prompt){.parameters = PK_STR("{}")};
    EXPECT(pk_prompt_params(&arena, &p, PK_NONE, &out, &err) && pk_str_is(out, "{}"));
    EXPECT(!pk_prompt_params(&arena, &p, PK_STR("[]"), &out, &err));
}

static void a_reference_names_a_version(void)
{
    struct pk_prompt_ref ref;

    EXPECT(pk_prompt_ref_parse(PK_STR("a"), &ref, &err) && pk_str_is(ref.slug, "a") &&
           ref.version == 0 && ref.label.len == 0 && !ref.latest);
    EXPECT(pk_prompt_ref_parse(PK_STR("a@12"), &ref, &err) && ref.version == 12);
    EXPECT(pk_prompt_ref_parse(PK_STR("a@latest"), &ref, &err) && ref.latest);
    EXPECT(pk_prompt_ref_parse(PK_STR("partial/a@b.c"), &ref, &err) &&
           pk_str_is(ref.slug, "partial/a") && pk_str_is(ref.label, "b.c"));
    static const char *const bad[] = {"", "@", "a@", "@1", "a@0", "a@-1", "a@b@c"};
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        EXPECT(!pk_prompt_ref_parse(pk_str_of(bad[i]), &ref, &err) && err.code == PK_BAD_REQUEST);
}

/* --- drawing ---------------------------------------------------------------------------- */

enum { DRAWS = 100000 };

static void count_draws(const struct pk_arm *arms, int count, pk_str name, int by_key, int *hits)
{
    uint64_t seed = 7;

    memset(hits, 0, (size_t)count * sizeof *hits);
    for (int i = 0; i < DRAWS; i++) {
        char key[32];
        struct pk_draw draw = {.seed = pk_random_next(&seed)};

        if (by_key)
            draw.key = (pk_str){key, (size_t)snprintf(key, sizeof key, "user-%d", i)};
        int arm = pk_prompt_draw(arms, count, name, draw);
        if (EXPECT(arm >= 0 && arm < count))
            hits[arm]++;
    }
}

/* Four standard deviations of a share that is drawn DRAWS times are at most 0.7 %. */
static void shares_follow_the_weights(void)
{
    static const struct pk_arm arms[] = {{1, 70}, {2, 0}, {3, 25}, {5, 5}};
    int hits[4];

    for (int by_key = 0; by_key < 2; by_key++) {
        count_draws(arms, 4, PK_STR("greet@default"), by_key, hits);
        EXPECT(abs(hits[0] - 70 * DRAWS / 100) < DRAWS / 140);
        EXPECT(hits[1] == 0);
        EXPECT(abs(hits[2] - 25 * DRAWS / 100) < DRAWS / 140);
        EXPECT(abs(hits[3] - 5 * DRAWS / 100) < DRAWS / 140);
    }
}

static void a_key_always_draws_the_same(void)
{
    static const struct pk_arm arms[] = {{1, 1}, {2, 1}};
    static const struct pk_arm grown[] = {{1, 300}, {2, 100}};
    static const struct pk_arm none[] = {{1, 0}};
    int moved = 0, differs = 0;

    for (int i = 0; i < 1000; i++) {
        char text[32];
        pk_str key = {text, (size_t)snprintf(text, sizeof text, "u%d", i)};
        int a = pk_prompt_draw(arms, 2, PK_STR("p"), (struct pk_draw){key, (uint64_t)i});
        int b = pk_prompt_draw(arms, 2, PK_STR("p"), (struct pk_draw){key, (uint64_t)i + 99});
        int c = pk_prompt_draw(grown, 2, PK_STR("p"), (struct pk_draw){key, 0});

        EXPECT(a == b);
        EXPECT(!(a == 0 && c == 1)); /* who had the one that grew keeps it */
        moved += a != c;
        differs += a != pk_prompt_draw(arms, 2, PK_STR("q"), (struct pk_draw){key, 0});
    }
    EXPECT(moved > 150 && moved < 350);
    EXPECT(differs > 400 && differs < 600);
    EXPECT(pk_prompt_draw(none, 1, PK_STR("p"), (struct pk_draw){.seed = 1}) == -1);
}

static void each_allocation_may_fail(void)
{
    static const char document[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"{{a}} {{>sign}}\"},\"{{h}}\"],"
        "\"parameters\":{\"n\":1},\"tools\":[]}";
    bool done = false;

    for (size_t limit = 0; !done && limit < 256 << 10; limit += 64) {
        struct pk_partial sign = {PK_STR("sign"), PK_STR("-- {{a}}"), NULL};
        struct pk_arena small;
        struct pk_prompt p;
        pk_str messages, params;

        pk_arena_init(&small, pk_allocator_malloc(), limit);
        small.torture = true;
        err = (struct pk_error){0};
        done = pk_prompt_parse(&small, pk_str_of(document), false, &p, &err);
        p.partials = &sign;
        p.partial_count = 1;
        done =
            done && pk_prompt_params(&small, &p, PK_STR("{\"n\":2}"), &params, &err) &&
            pk_prompt_render(&small, &p, PK_STR("{\"a\":\"x\\ty\",\"h\":[{}]}"), &messages, &err);
        if (!EXPECT(done ? !small.failed : err.code == PK_NO_MEMORY || err.code == PK_TOO_LARGE)) {
            printf("# %zu bytes: %s\n", limit, err.msg);
            done = true;
        }
        pk_arena_free(&small);
    }
    EXPECT(done);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_document_is_read_in_both_shapes);
    RUN(what_is_wrong_is_named_with_its_path);
    RUN(a_partial_is_a_text);
    RUN(messages_are_rendered_string_by_string);
    RUN(params_go_over_the_prompts_own);
    RUN(a_reference_names_a_version);
    RUN(shares_follow_the_weights);
    RUN(a_key_always_draws_the_same);
    RUN(each_allocation_may_fail);
    pk_arena_free(&arena);
    return test_end();
}
