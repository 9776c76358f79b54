/* request_test.c - what the SQL doors make of their arguments.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "request.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_request req;
static struct pk_error err;

static bool chat(const char *messages, const char *params, bool plain)
{
    req = (struct pk_request){0};
    err = (struct pk_error){0};
    return pk_request_chat(&arena, pk_str_of(messages), pk_str_of(params), plain, &req, &err);
}

static void an_array_becomes_the_messages(void)
{
    EXPECT(chat("[{\"role\":\"user\",\"content\":\"hi\"}]",
                "{\"model\":\"m\",\"seed\":9007199254740993}", false));
    EXPECT(pk_str_is(req.body, "{\"model\":\"m\",\"seed\":9007199254740993,\"messages\":[{\"role\":"
                               "\"user\",\"content\":\"hi\"}]}"));
    EXPECT(req.operation == &pk_operation_chat);
}

static void a_string_is_one_user_turn(void)
{
    static const char want[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"say \\\"hi\\\"\"}]}";

    EXPECT(chat("\"say \\\"hi\\\"\"", "", false) && pk_str_is(req.body, want));
    EXPECT(chat("say \"hi\"", "", true) && pk_str_is(req.body, want));
    EXPECT(!chat("say \"hi\"", "", false) && err.code == PK_BAD_JSON);
}

static void options_are_taken_out_of_the_body(void)
{
    EXPECT(chat(
        "\"x\"",
        "{\"pk\":{\"metadata\":{\"team\":\"a\"},\"trace_id\":\"t1\",\"cache\":{\"namespace\":\"n\","
        "\"force_refresh\":true},\"timeout\":\"5s\",\"request_timeout\":250,\"log\":false},\"top_"
        "p\":1}",
        false));
    EXPECT(
        pk_str_is(req.body, "{\"top_p\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"));
    EXPECT(pk_str_is(req.metadata, "{\"team\":\"a\"}") && pk_str_is(req.trace_id, "t1"));
    EXPECT(pk_str_is(req.cache_ns, "n") && req.cache_refresh && !req.cache_off);
    EXPECT(req.timeout_ms == 5000 && req.request_ms == 250000 &&
           req.privacy.payloads == PK_PAYLOADS_NONE);
    EXPECT(chat("\"x\"", "{\"pk\":{\"cache\":false}}", false) && req.cache_off);
}

static void what_is_wrong_is_named(void)
{
    static const struct {
        const char *messages, *params, *message;
    } cases[] = {
        {"{}", "", "messages: must be an array or a string, not an object"},
        {"7", "", "messages: must be an array or a string, not a number"},
        {"[", "", "messages: not valid JSON at byte 1: unexpected end"},
        {"[]", "[]", "params: must be an object, not an array"},
        {"[]", "{\"pk\":1}", "params.pk: must be an object, not a number"},
        {"[]", "{\"pk\":{\"tiemout\":1}}", "params.pk: unknown option \"tiemout\""},
        {"[]", "{\"pk\":{\"executor\":\"batch\"}}",
         "params.pk: no option here: \"executor\"; only jobs take it, that is pk_enqueue and "
         "pk_enqueue_query"},
        {"[]", "{\"pk\":{\"strict_params\":1}}", "params.pk.strict_params: must be true or false"},
        {"[]", "{\"pk\":{\"timeout\":\"x\"}}", "params.pk.timeout: must be milliseconds"},
        {"[]", "{\"pk\":{\"trace_id\":\"\"}}",
         "params.pk.trace_id: must be a string of 1 to 128 bytes"},
        {"[]", "{\"pk\":{\"cache\":3}}",
         "params.pk.cache: must be true, false, \"refresh\" or an object"},
        {"[]", "{\"pk\":{\"cache\":{\"x\":1}}}", "params.pk.cache: unknown key \"x\""},
        {"[]", "{\"pk\":{\"cache\":{\"force_refresh\":1}}}",
         "params.pk.cache.force_refresh: must be true or false"},
        {"[]", "{\"pk\":{\"metadata\":[]}}", "metadata: must be an object, not an array"},
        {"[]", "{\"stream\":true}", "params.stream: SQL returns one value; leave it out"},
        {"[]", "{\"messages\":[]}", "params.messages: messages are an argument of their own"},
        {"[\"\xff\"]", "", "messages: not valid JSON at byte 2: invalid UTF-8"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        bool ok = !chat(cases[i].messages, cases[i].params, false) &&
                  strncmp(err.msg, cases[i].message, strlen(cases[i].message)) == 0;

        if (!EXPECT(ok))
            printf("# case %zu got: %s\n", i, err.msg);
    }
}

static void a_prompt_may_be_any_valid_text(void)
{
    req = (struct pk_request){0};
    EXPECT(pk_request_ask(&arena, PK_STR("{not json"), PK_STR("be brief"), PK_NONE, &req, &err));
    EXPECT(pk_str_is(req.body, "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
                               "{\"role\":\"user\",\"content\":\"{not json\"}]}"));
    EXPECT(pk_request_ask(&arena, PK_NONE, PK_NONE, PK_NONE, &req, &err));
    EXPECT(!pk_request_ask(&arena, (pk_str){"a\0b", 3}, PK_NONE, PK_NONE, &req, &err));
    EXPECT(strcmp(err.msg, "prompt: invalid UTF-8 or a NUL at byte 1") == 0);
}

static void metadata_is_what_any_store_takes(void)
{
    EXPECT(pk_request_metadata(&arena, PK_STR("{\"a\":{\"b\":[1.5e300,-2]}}"), &err));
    EXPECT(!pk_request_metadata(&arena, PK_STR("{\"a\":{\"b\":[1e200000]}}"), &err));
    EXPECT(!pk_request_metadata(&arena, PK_STR("{\"a\":1e-20000}"), &err));
    EXPECT(!pk_request_metadata(&arena, PK_STR("{\"a\":\"\\u0000\"}"), &err));
    EXPECT(!pk_request_metadata(&arena, PK_STR("{\"a\":\"\\ud800\"}"), &err));
    EXPECT(!pk_request_metadata(&arena, PK_STR("[1]"), &err));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(an_array_becomes_the_messages);
    RUN(a_string_is_one_user_turn);
    RUN(options_are_taken_out_of_the_body);
    RUN(what_is_wrong_is_named);
    RUN(a_prompt_may_be_any_valid_text);
    RUN(metadata_is_what_any_store_takes);
    pk_arena_free(&arena);
    return test_end();
}
