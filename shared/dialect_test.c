/* dialect_test.c - dialects, streams and providers: what the golden pairs cannot say.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "provider.h"
#include "stream.h"

#include "test.h"

#include <string.h>

static struct pk_arena arena;

static void begin(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
}

static void end(void)
{
    pk_arena_free(&arena);
}

static pk_str canonical(pk_str text)
{
    struct pk_json doc;
    struct pk_error err;
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

    if (EXPECT(pk_json_parse(&arena, text, "test", &doc, &err)))
        pk_json_canonical(&out, &doc, 0, NULL);
    return pk_buf_str(&out);
}

/* --- providers ------------------------------------------------------------------------------- */

static void every_provider_can_be_addressed(void)
{
    for (int i = 0; pk_provider_at(i); i++) {
        const struct pk_provider *p = pk_provider_at(i);
        pk_str base = pk_str_of(p->base_url), key = pk_str_of(p->key_header);

        EXPECT(pk_provider_find(pk_str_of(p->name)) == p);
        EXPECT(!pk_str_ends(base, "/"));
        EXPECT(p->dialect->chat_path ? p->dialect->chat_path[0] == '/' : p->dialect->path != NULL);
        EXPECT(base.len == 0 || pk_str_starts(base, "https://") ||
               pk_str_starts(base, "http://127.0.0.1:"));
        EXPECT(base.len > 0 || *p->key_env == 0);
        EXPECT(pk_str_ends(key, " ") && pk_str_find(key, ':') > 0);
        EXPECT(pk_dialect_find(pk_str_of(p->dialect->name)) == p->dialect);
    }
    EXPECT(pk_provider_at(-1) == NULL);
}

static void providers_are_found_by_name(void)
{
    static const struct {
        const char *name, *url;
    } urls[] = {
        {"openai", "https://api.openai.com/v1/chat/completions"},
        {"anthropic", "https://api.anthropic.com/v1/messages"},
        {"google", "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"},
        {"vertex-ai", "https://{vertex_region}-aiplatform.googleapis.com/publishers/google/models/"
                      "m:generateContent"},
        {"groq", "https://api.groq.com/openai/v1/chat/completions"},
        {"cohere", "https://api.cohere.com/v2/chat"},
        {"perplexity-ai", "https://api.perplexity.ai/chat/completions"},
        {"deepinfra", "https://api.deepinfra.com/v1/openai/chat/completions"},
        {"@ollama", "http://127.0.0.1:11434/v1/chat/completions"},
    };

    struct pk_error err;

    begin();
    for (size_t i = 0; i < PK_COUNT(urls); i++) {
        const struct pk_provider *p = pk_provider_find(pk_str_of(urls[i].name));
        pk_str url;

        if (EXPECT(p != NULL))
            EXPECT(pk_dialect_url(&arena, p->dialect, pk_str_of(p->base_url), PK_STR("m"), false,
                                  &url, &err) &&
                   pk_str_is(url, urls[i].url));
    }
    EXPECT(!pk_provider_find(PK_STR("OpenAI")) && !pk_provider_find(PK_NONE) &&
           !pk_provider_find(PK_STR("@")));
    EXPECT(!pk_dialect_find(PK_STR("latin")));
    end();
}

static void a_model_in_the_path_is_one_segment(void)
{
    static const struct {
        const char *base, *model, *url;
        bool stream;
    } cases[] = {
        {"https://h/v1beta", "gemini-2.5-flash",
         "https://h/v1beta/models/gemini-2.5-flash:generateContent", false},
        {"https://h", "m", "https://h/v1beta/models/m:streamGenerateContent?alt=sse", true},
        {"https://h/v1", "models/m", "https://h/v1/models/m:generateContent", false},
        {"https://h/x", "tunedModels/t-1", "https://h/x/v1beta/tunedModels/t-1:generateContent",
         false},
        {"https://h/v1beta", "../../x?y#z%\n \xc3\xa4",
         "https://h/v1beta/models/..%2F..%2Fx%3Fy%23z%25%0A%20%C3%A4:generateContent", false},
        {"https://h/v1beta", "", NULL, false},
        {"https://h/v1beta", "models/", NULL, false},
    };
    struct pk_error err;
    pk_str url;

    begin();
    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        bool ok = pk_dialect_url(&arena, &pk_dialect_gemini, pk_str_of(cases[i].base),
                                 pk_str_of(cases[i].model), cases[i].stream, &url, &err);

        if (!EXPECT(ok ? cases[i].url && pk_str_is(url, cases[i].url)
                       : !cases[i].url && err.code == PK_BAD_REQUEST))
            printf("# %s\n", cases[i].model);
    }
    struct pk_buf longest = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    for (int i = 0; i < PK_URL_BYTES_MAX; i++)
        pk_buf_addc(&longest, 'm');
    EXPECT(!pk_dialect_url(&arena, &pk_dialect_gemini, PK_STR("https://h"), pk_buf_str(&longest),
                           false, &url, &err) &&
           err.code == PK_BAD_REQUEST);
    end();
}

/* --- requests -------------------------------------------------------------------------------- */

static struct pk_dialect_pair pair(const struct pk_dialect *front, const char *provider)
{
    const struct pk_provider *p = pk_provider_find(pk_str_of(provider));

    return (struct pk_dialect_pair){front, p->dialect, p, PK_NONE, NULL};
}

static enum pk_code request(const struct pk_dialect *front, const char *provider, pk_str body,
                            pk_str *out)
{
    struct pk_dialect_pair who = pair(front, provider);
    struct pk_error err = {0};
    pk_str dropped;

    return pk_dialect_request(&arena, &who, body, out, &dropped, &err) ? PK_OK : err.code;
}

static void what_needs_no_change_is_the_client_s_own_bytes(void)
{
    pk_str body = PK_STR(" { \"model\" : \"m\",\n\"messages\":[],\"stream\":true,\"x\":1e400}\n"),
           out;

    begin();
    EXPECT(request(&pk_dialect_openai, "perplexity-ai", body, &out) == PK_OK && out.at == body.at);
    EXPECT(request(&pk_dialect_anthropic, "anthropic", body, &out) == PK_OK && out.at == body.at);
    EXPECT(request(&pk_dialect_openai, "openai", body, &out) == PK_OK);
    EXPECT(pk_str_is(out, "{ \"model\" : \"m\",\n\"messages\":[],\"stream\":true,\"x\":1e400,"
                          "\"stream_options\":{\"include_usage\":true}}"));
    end();
}

static void an_anthropic_client_reaches_only_anthropic_so_far(void)
{
    pk_str out;

    begin();
    EXPECT(request(&pk_dialect_anthropic, "openai", PK_STR("{}"), &out) == PK_BAD_REQUEST);
    end();
}

static void hostile_requests_are_refused(void)
{
    static const struct {
        const char *body;
        enum pk_code code;
    } cases[] = {
        {"", PK_BAD_JSON},
        {"{", PK_BAD_JSON},
        {"null", PK_BAD_REQUEST},
        {"\"x\"", PK_BAD_REQUEST},
        {"{}", PK_BAD_REQUEST},
        {"{\"messages\":null}", PK_BAD_REQUEST},
        {"{\"messages\":[]}", PK_BAD_REQUEST},
        {"{\"messages\":[null,5,\"x\",[],{}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":{}}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[null]}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
         "\"data:,x\"}]}]}",
         PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\"}]}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_"
         "data\":\"data:text/html;base64,x\"}}]}]}",
         PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[7]}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"assistant\",\"function_call\":{}}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":{}}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[1]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stop\":5}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":0}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"max_tokens\":1.5}",
         PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"top_p\":[]}", PK_BAD_REQUEST},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"thinking\":7,\"tool_choice\":5,"
         "\"model\":[],\"user\":{}}",
         PK_OK},
    };
    pk_str out;

    begin();
    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(request(&pk_dialect_openai, "anthropic", pk_str_of(cases[i].body), &out) ==
                    cases[i].code))
            printf("# %s\n", cases[i].body);
    end();
}

/* --- answers --------------------------------------------------------------------------------- */

static const struct {
    const char *body;
    enum pk_code openai, anthropic, gemini, cohere;
} no_answers[] = {
    {"", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"  \n", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"<html><body>hi</body></html>", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"OK", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"null", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"[]", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"content\":[{\"type\":\"text\",\"text\":\"x\"}", PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"error\":{\"message\":\"no\"}}", PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM},
    {"{\"error\":\"no\"}", PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM},
    {"{\"type\":\"error\",\"error\":{}}", PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"error\":{\"code\":502}}", PK_UPSTREAM,
     PK_UPSTREAM, PK_UPSTREAM, PK_UPSTREAM},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"error\":null}", PK_OK, PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":{}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":[]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":[5]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":[{\"message\":\"x\"}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"choices\":[{\"message\":{\"content\":5}}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":\"x\"}}]}", PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":{}}]}", PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"choices\":[{\"message\":{\"content\":\"x\"}}],\"usage\":\"many\"}", PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"content\":\"x\"}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"content\":[5]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"content\":[{\"type\":\"text\"}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"content\":[{\"type\":\"text\",\"text\":7}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"usage\":[]}", PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"content\":[{\"type\":\"new\"},{\"type\":\"tool_use\"}],\"stop_reason\":5,\"usage\":null}",
     PK_BAD_ANSWER, PK_OK, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[7]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[{}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[{\"content\":7}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"candidates\":[{\"content\":{\"parts\":{}}}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"candidates\":[{\"content\":{\"parts\":[7]}}]}", PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{}}]}}]}", PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[{\"finishReason\":7}]}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":7}", PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"promptFeedback\":{}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"candidates\":[{\"index\":99,\"finishReason\":\"STOP\"},{\"finishReason\":\"NEW_ONE\"}],"
     "\"usageMetadata\":null}",
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_OK, PK_BAD_ANSWER},
    {"{\"promptFeedback\":{\"blockReason\":\"OTHER\"}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_OK,
     PK_BAD_ANSWER},
    {"{\"message\":{}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"message\":\"no\"}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"message\":{\"content\":\"x\"}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"message\":{\"content\":[7]}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"message\":{\"content\":[{\"text\":7}]}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"message\":{\"tool_calls\":[{}]}}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"message\":{},\"finish_reason\":7}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER},
    {"{\"message\":{},\"finish_reason\":\"COMPLETE\",\"usage\":7}", PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_BAD_ANSWER, PK_BAD_ANSWER},
    {"{\"message\":{},\"finish_reason\":\"TIMEOUT\"}", PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER,
     PK_UPSTREAM},
    {"{\"message\":{\"content\":[{\"type\":\"new\"}]},\"finish_reason\":\"NEW_ONE\",\"logprobs\":["
     "7,{}],\"usage\":{\"billed_units\":7}}",
     PK_BAD_ANSWER, PK_BAD_ANSWER, PK_BAD_ANSWER, PK_OK},
};

static enum pk_code answer(const struct pk_dialect *back, pk_str body)
{
    struct pk_answer a = {0};
    struct pk_error err = {0};

    return pk_dialect_answer(&arena, &pk_dialect_openai, back, body, &a, &err) ? PK_OK : err.code;
}

static void what_is_no_answer_is_never_a_success(void)
{
    begin();
    for (size_t i = 0; i < PK_COUNT(no_answers); i++) {
        pk_str body = pk_str_of(no_answers[i].body);

        if (!EXPECT(answer(&pk_dialect_openai, body) == no_answers[i].openai) ||
            !EXPECT(answer(&pk_dialect_anthropic, body) == no_answers[i].anthropic) ||
            !EXPECT(answer(&pk_dialect_gemini, body) == no_answers[i].gemini) ||
            !EXPECT(answer(&pk_dialect_cohere, body) == no_answers[i].cohere))
            printf("# %s\n", no_answers[i].body);
    }
    end();
}

static bool sane(const struct pk_usage *u)
{
    return u->input >= 0 && u->cache_read >= 0 && u->cache_write >= 0 && u->cache_write_1h >= 0 &&
           u->output >= 0 && u->reasoning >= 0;
}

static void odd_counts_are_never_negative(void)
{
    static const char *const counts[] = {
        "{}",
        "{\"prompt_tokens\":-5,\"completion_tokens\":\"7\",\"total_tokens\":null}",
        "{\"prompt_tokens\":5,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":"
        "50,\"cache_write_tokens\":9}}",
        "{\"prompt_tokens\":5,\"completion_tokens\":3,\"completion_tokens_details\":{\"reasoning_"
        "tokens\":50}}",
        "{\"prompt_tokens\":9223372036854775807,\"completion_tokens\":9223372036854775807,\"total_"
        "tokens\":1}",
        "{\"prompt_tokens\":1e300,\"completion_tokens\":99999999999999999999999}",
        "{\"prompt_tokens_details\":[],\"completion_tokens_details\":7,\"cached_tokens\":{}}",
        "{\"promptTokenCount\":5,\"cachedContentTokenCount\":50,\"candidatesTokenCount\":-2,"
        "\"thoughtsTokenCount\":1e300,\"toolUsePromptTokenCount\":\"x\"}",
        "{\"input_tokens\":-1,\"output_tokens\":2,\"output_tokens_details\":{\"thinking_tokens\":"
        "90}}",
        "{\"input_tokens\":1,\"cache_creation\":{\"ephemeral_1h_input_tokens\":9223372036854775807,"
        "\"ephemeral_5m_input_tokens\":9223372036854775807},\"cache_creation_input_tokens\":3}",
    };
    struct pk_error err;

    begin();
    for (size_t i = 0; i < PK_COUNT(counts); i++) {
        struct pk_answer a = {0};

        EXPECT(pk_dialect_answer(
            &arena, &pk_dialect_openai, &pk_dialect_openai,
            pk_copyf(&arena, "{\"choices\":[{\"message\":{\"content\":\"\"}}],\"usage\":%s}",
                     counts[i]),
            &a, &err));
        if (!EXPECT(sane(&a.usage)))
            printf("# %s\n", counts[i]);
        EXPECT(pk_dialect_answer(&arena, &pk_dialect_openai, &pk_dialect_anthropic,
                                 pk_copyf(&arena, "{\"content\":[],\"usage\":%s}", counts[i]), &a,
                                 &err));
        if (!EXPECT(sane(&a.usage)))
            printf("# %s\n", counts[i]);
        EXPECT(pk_dialect_answer(
            &arena, &pk_dialect_openai, &pk_dialect_gemini,
            pk_copyf(&arena, "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":%s}",
                     counts[i]),
            &a, &err));
        if (!EXPECT(sane(&a.usage)))
            printf("# %s\n", counts[i]);
    }
    end();
}

static void google_says_in_an_error_when_to_try_again(void)
{
    static const struct {
        const char *delay;
        int64_t ms;
    } cases[] = {
        {"\"34s\"", 34000},
        {"\"34.07s\"", 34070},
        {"\"0.0004s\"", 1},
        {"\"1.9999s\"", 2000},
        {"\"0s\"", 0},
        {"\"34\"", 0},
        {"\"-1s\"", 0},
        {"\"1.2.3s\"", 0},
        {"\"s\"", 0},
        {"34", 0},
        {"null", 0},
        {"{}", 0},
        {"\"99999999999999999999s\"", 0},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_fault f;

        begin();
        pk_dialect_fault(
            &arena, &pk_dialect_gemini, 429,
            pk_copyf(&arena,
                     "[{\"error\":{\"message\":\"m\",\"details\":[7,{\"@type\":"
                     "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":%s}]}}]",
                     cases[i].delay),
            &f);
        if (!EXPECT(f.retry_ms == cases[i].ms && pk_str_is(f.message, "m")))
            printf("# %s: %lld\n", cases[i].delay, (long long)f.retry_ms);
        end();
    }
}

/* --- streams --------------------------------------------------------------------------------- */

static struct pk_stream *stream(const struct pk_dialect *front, const struct pk_dialect *back,
                                pk_str bytes, struct pk_buf *out, struct pk_error *err)
{
    struct pk_stream *s = pk_stream_new(&arena, front, back, true, 0);

    *out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    *err = (struct pk_error){0};
    if (!pk_stream_feed(s, bytes, out, err) || !pk_stream_end(s, out, err))
        EXPECT(err->code != PK_OK);
    return s;
}

#define CHUNK(delta)                                                                               \
    "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":" delta "}]}\n\n"
#define BLOCK                                                                                      \
    "data: "                                                                                       \
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}\n\n"

#define PART(part, more) "data: {\"candidates\":[{\"content\":{\"parts\":[" part "]}" more "}]}\n\n"
#define STOP             ",\"finishReason\":\"STOP\""

static const struct {
    const struct pk_dialect *back;
    const char *text;
    enum pk_code code;
    bool complete, lossy;
} hostile[] = {
    {&pk_dialect_openai, "", PK_OK, false, false},
    {&pk_dialect_openai, "<html>", PK_OK, false, false},
    {&pk_dialect_openai, "data: [DONE]\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: <html>\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: {\"choices\":\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: []\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: {\"choices\":{}}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: {\"choices\":[7]}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: {\"choices\":[{\"delta\":[]}]}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, CHUNK("{\"content\":7}"), PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, CHUNK("{\"tool_calls\":7}"), PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, CHUNK("{\"tool_calls\":[7]}"), PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: {\"choices\":[],\"usage\":5}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_openai, "data: {\"error\":{\"message\":\"x\"}}\n\n", PK_UPSTREAM, false, false},
    {&pk_dialect_openai, "event: error\ndata: {\"message\":\"x\"}\n\n", PK_UPSTREAM, false, false},
    {&pk_dialect_openai, "data: {\"ping\":1}\n\n", PK_OK, false, true},
    {&pk_dialect_openai, CHUNK("{\"content\":\"x\"}"), PK_OK, false, false},
    {&pk_dialect_openai, "data: \n\ndata\n\n", PK_OK, false, false},
    {&pk_dialect_openai, CHUNK("{\"content\":\"x\"}") "data: [DONE]\n\n", PK_OK, true, false},
    {&pk_dialect_openai, CHUNK("{\"content\":\"x\"}") "data: [DONE]", PK_OK, false, false},
    {&pk_dialect_openai, CHUNK("{\"content\":\"x\",\"audio\":{}}") "data: [DONE]\n\n", PK_OK, true,
     true},
    {&pk_dialect_openai, CHUNK("{\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}"), PK_OK, false,
     false},
    {&pk_dialect_openai, CHUNK("{\"content\":[{\"type\":\"thinking\"}]}"), PK_OK, false, true},
    {&pk_dialect_openai, CHUNK("{\"tool_calls\":[{\"index\":99999999999,\"function\":[]}]}"), PK_OK,
     false, true},
    {&pk_dialect_openai, "data: {\"choices\":[{\"index\":99,\"delta\":{\"content\":\"x\"}}]}\n\n",
     PK_OK, false, true},
    {&pk_dialect_anthropic, "data: {\"type\":\"message_stop\"}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_anthropic, "data: {\"type\":\"message_start\"}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_anthropic, "data: {\"type\":\"content_block_start\"}\n\n", PK_BAD_ANSWER, false,
     false},
    {&pk_dialect_anthropic, "data: {\"type\":\"content_block_delta\",\"index\":0}\n\n",
     PK_BAD_ANSWER, false, false},
    {&pk_dialect_anthropic, BLOCK "data: {\"type\":\"content_block_delta\",\"index\":1}\n\n",
     PK_BAD_ANSWER, false, false},
    {&pk_dialect_anthropic, BLOCK "data: {\"type\":\"content_block_delta\",\"index\":0}\n\n", PK_OK,
     false, true},
    {&pk_dialect_anthropic,
     BLOCK "data: {\"type\":\"message_delta\",\"delta\":[1,2],\"usage\":{}}\n\n", PK_OK, false,
     false},
    {&pk_dialect_anthropic, "data: {\"type\":\"message_delta\",\"usage\":7}\n\n", PK_BAD_ANSWER,
     false, false},
    {&pk_dialect_anthropic, "data: {\"type\":\"error\"}\n\n", PK_UPSTREAM, false, false},
    {&pk_dialect_anthropic, "data: {\"type\":\"new_kind\"}\n\ndata: {}\n\n", PK_OK, false, true},
    {&pk_dialect_cohere, "", PK_OK, false, false},
    {&pk_dialect_cohere, "data: [DONE]\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere, "data: {\"type\":\"message-end\"}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere, "data: {\"type\":\"message-end\",\"delta\":{\"usage\":7}}\n\n",
     PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere, "data: {\"type\":\"message-end\",\"delta\":{\"error\":\"no\"}}\n\n",
     PK_UPSTREAM, false, false},
    {&pk_dialect_cohere,
     "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n", PK_OK, true,
     false},
    {&pk_dialect_cohere, "data: {\"message\":\"no\"}\n\n", PK_UPSTREAM, false, false},
    {&pk_dialect_cohere, "data: {\"type\":\"content-delta\"}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere,
     "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":7}}}}\n\n",
     PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere,
     "data: "
     "{\"type\":\"tool-call-start\",\"index\":-1,\"delta\":{\"message\":{\"tool_calls\":{}}}}\n\n",
     PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere,
     "data: "
     "{\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":[]}}}\n\n",
     PK_BAD_ANSWER, false, false},
    {&pk_dialect_cohere, "data: {\"type\":\"new\"}\n\ndata: {}\n\n", PK_OK, false, true},
    {&pk_dialect_gemini, "", PK_OK, false, false},
    {&pk_dialect_gemini, "data: {}\n\n", PK_OK, false, false},
    {&pk_dialect_gemini, "data: [DONE]\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_gemini, "data: [{}]\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_gemini, "data: {\"candidates\":{}}\n\n", PK_BAD_ANSWER, false, false},
    {&pk_dialect_gemini, "data: {\"error\":{\"code\":503}}\n\n", PK_UPSTREAM, false, false},
    {&pk_dialect_gemini, PART("{\"text\":\"x\"}", ""), PK_OK, false, false},
    {&pk_dialect_gemini, PART("{\"text\":\"x\"}", STOP), PK_OK, true, false},
    {&pk_dialect_gemini, PART("{\"text\":\"x\"}", STOP) "data: {\"candidates\":[{", PK_OK, true,
     false},
    {&pk_dialect_gemini, PART("{\"text\":\"x\"}", STOP) PART("{\"text\":\"y\"}", ",\"index\":1"),
     PK_OK, false, false},
    {&pk_dialect_gemini, PART("{\"text\":\"x\"}", ",\"index\":16"), PK_OK, false, true},
    {&pk_dialect_gemini, PART("{\"executableCode\":{}}", STOP), PK_OK, true, true},
    {&pk_dialect_gemini, PART("{\"inlineData\":{\"mimeType\":\"audio/L16\",\"data\":\"x\"}}", STOP),
     PK_OK, true, true},
    {&pk_dialect_gemini, PART("{\"functionCall\":{\"name\":\"f\",\"willContinue\":true}}", STOP),
     PK_OK, true, true},
    {&pk_dialect_gemini, PART("{\"functionCall\":{\"name\":\"f\",\"args\":[]}}", STOP),
     PK_BAD_ANSWER, false, false},
};

static void hostile_streams_are_told_from_good_ones(void)
{
    struct pk_buf out;
    struct pk_error err;

    for (size_t i = 0; i < PK_COUNT(hostile); i++) {
        begin();
        struct pk_stream *s =
            stream(&pk_dialect_openai, hostile[i].back, pk_str_of(hostile[i].text), &out, &err);
        if (!EXPECT(err.code == hostile[i].code && s->complete == hostile[i].complete &&
                    s->lossy == hostile[i].lossy))
            printf("# %s: %s\n", hostile[i].text, err.msg);
        EXPECT(err.code != PK_UPSTREAM || (s->failed && s->fault.message.len > 0));
        end();
    }
}

static void what_came_before_an_error_is_given(void)
{
    struct pk_buf out;
    struct pk_error err;

    begin();
    (void)stream(
        &pk_dialect_openai, &pk_dialect_openai,
        PK_STR(
            CHUNK("{\"content\":\"x\"}") "data: {\"error\":{\"message\":\"m\",\"code\":503}}\n\n"),
        &out, &err);
    EXPECT(err.code == PK_UPSTREAM && pk_str_is(pk_buf_str(&out), CHUNK("{\"content\":\"x\"}")));
    end();
}

static void nothing_is_given_after_the_end(void)
{
    struct pk_buf out;
    struct pk_error err;

    begin();
    struct pk_stream *s =
        stream(&pk_dialect_openai, &pk_dialect_openai,
               PK_STR(CHUNK("{\"content\":\"x\"}") "data: [DONE]\n\n" CHUNK("{\"content\":\"y\"}")),
               &out, &err);
    EXPECT(s->complete && pk_str_ends(pk_buf_str(&out), "data: [DONE]\n\n"));
    EXPECT(pk_stream_feed(s, PK_STR("data: <html>\n\n"), &out, &err));
    EXPECT(pk_str_ends(pk_buf_str(&out), "data: [DONE]\n\n"));
    end();
}

static void too_many_tools_are_passed_but_not_kept(void)
{
    struct pk_buf out, in;
    struct pk_error err;

    begin();
    in = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    for (int i = 0; i < PK_STREAM_TOOLS_MAX + 5; i++)
        pk_buf_addf(&in,
                    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d,\"id\":\"t%d\","
                    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
                    i, i);
    struct pk_stream *s =
        stream(&pk_dialect_openai, &pk_dialect_openai, pk_buf_str(&in), &out, &err);
    EXPECT(err.code == PK_OK && s->lossy && s->tool_count == PK_STREAM_TOOLS_MAX);
    EXPECT(pk_str_eq(pk_buf_str(&out), pk_buf_str(&in)));
    end();
}

static void a_long_stream_stays_small(void)
{
    const struct pk_dialect *backs[] = {&pk_dialect_openai, &pk_dialect_anthropic,
                                        &pk_dialect_gemini};
    pk_str start[] = {PK_STR(""), PK_STR(BLOCK), PK_STR("")};
    pk_str event[] = {
        PK_STR(CHUNK("{\"content\":\"x\"}")),
        PK_STR("data: {\"type\":\"content_block_delta\",\"index\":0,"
               "\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"),
        PK_STR(PART("{\"text\":\"x\"}", STOP ",\"safetyRatings\":[{\"category\":\"HARM_CATEGORY_"
                                             "HARASSMENT\",\"probability\":\"NEGLIGIBLE\"}]"))};
    struct pk_error err;

    for (size_t b = 0; b < PK_COUNT(backs); b++) {
        begin();
        struct pk_stream *s = pk_stream_new(&arena, &pk_dialect_openai, backs[b], true, 0);
        struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
        EXPECT(pk_stream_feed(s, start[b], &out, &err));
        for (int i = 0; i < 20000; i++) {
            EXPECT(pk_stream_feed(s, event[b], &out, &err));
            pk_buf_reset(&out);
        }
        EXPECT(s->choices[0].text.len == 20000);
        EXPECT(arena.used + s->scratch.used < 512 << 10);
        end();
    }
}

static void an_abort_is_an_error_event_of_the_front(void)
{
    struct pk_fault f = {.message = PK_STR("a\nb"), .type = PK_STR("timeout_error")};
    struct pk_buf out;

    begin();
    out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    pk_stream_abort(&pk_dialect_openai, &f, PK_STR("groq"), &out);
    EXPECT(pk_str_is(
        pk_buf_str(&out),
        "data: {\"error\":{\"message\":\"a\\nb\",\"type\":\"timeout_error\",\"param\":null,"
        "\"code\":null},\"provider\":\"groq\"}\n\n"));
    pk_buf_reset(&out);
    f.type = PK_STR("limit_exceeded");
    pk_stream_abort(&pk_dialect_anthropic, &f, PK_STR("x"), &out);
    EXPECT(pk_str_is(
        pk_buf_str(&out),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
        "\"message\":\"a\\nb\"}}\n\n"));
    end();
}

/* --- replay ---------------------------------------------------------------------------------- */

static const char *const openai_answers[] = {
    "{\"id\":\"a\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\",\"choices\":[{"
    "\"index\":0,\"message\":"
    "{\"role\":\"assistant\",\"content\":\"h\\u00e9\\n\",\"reasoning_content\":\"r\"},\"finish_"
    "reason\":\"stop\"},"
    "{\"index\":1,\"message\":{\"role\":\"assistant\",\"content\":\"two\"},\"finish_reason\":"
    "\"length\"}],"
    "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3,\"prompt_tokens_"
    "details\":{\"cached_tokens\":0}}}",
    "{\"id\":\"a\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\",\"choices\":[{"
    "\"index\":0,\"message\":"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\","
    "\"function\":{\"name\":\"f\","
    "\"arguments\":\"{}\"}},{\"id\":\"y\",\"type\":\"function\",\"function\":{\"name\":\"g\","
    "\"arguments\":\"\"}}]},"
    "\"finish_reason\":\"tool_calls\"}]}",
};

static const char *const anthropic_answers[] = {
    "{\"id\":\"m1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{"
    "\"type\":\"thinking\",\"thinking\":"
    "\"t\",\"signature\":\"s\"},{\"type\":\"redacted_thinking\",\"data\":\"d\"},{\"type\":\"text\","
    "\"text\":\"a\\n\",\"citations\":"
    "[{\"type\":\"char_location\"}]},{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"w\","
    "\"content\":[]},"
    "{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"f\",\"input\":{\"n\":1.50}}],\"stop_reason\":"
    "\"stop_sequence\","
    "\"stop_sequence\":\"END\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4,\"cache_read_"
    "input_tokens\":5}}",
};

/* A whole answer, replayed as a stream and put together again, is the same answer. */
static void expect_round_trip(const struct pk_dialect *d, pk_str text)
{
    struct pk_json doc;
    struct pk_error err;
    struct pk_answer a;
    struct pk_buf events = pk_buf_in(&arena, PK_BODY_BYTES_MAX),
                  out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    struct pk_stream *s = pk_stream_new(&arena, d, d, true, 5);

    EXPECT(pk_json_parse(&arena, text, "answer", &doc, &err) && d->replay(&doc, true, &events));
    EXPECT(pk_stream_feed(s, pk_buf_str(&events), &out, &err) && s->complete && !s->lossy);
    EXPECT(pk_stream_answer(s, &a, &err));
    EXPECT(pk_str_eq(canonical(a.body), canonical(text)));
}

static void a_replayed_answer_is_the_same_answer(void)
{
    begin();
    for (size_t i = 0; i < PK_COUNT(openai_answers); i++)
        expect_round_trip(&pk_dialect_openai, pk_str_of(openai_answers[i]));
    for (size_t i = 0; i < PK_COUNT(anthropic_answers); i++)
        expect_round_trip(&pk_dialect_anthropic, pk_str_of(anthropic_answers[i]));
    end();
}

static void what_is_no_answer_is_not_replayed(void)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "5",
                                        "{\"choices\":[5]}",
                                        "{\"choices\":[{\"message\":[]}]}",
                                        "{\"content\":\"x\"}",
                                        "{\"content\":[5]}"};
    struct pk_json doc;
    struct pk_error err;

    begin();
    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

        EXPECT(pk_json_parse(&arena, pk_str_of(texts[i]), "x", &doc, &err));
        EXPECT(!pk_dialect_openai.replay(&doc, true, &out));
        EXPECT(!pk_dialect_anthropic.replay(&doc, true, &out));
    }
    end();
}

/* --- faults ---------------------------------------------------------------------------------- */

static void a_fault_always_has_words(void)
{
    static const char *const bodies[] = {"",
                                         "{}",
                                         "[]",
                                         "null",
                                         "{\"error\":null}",
                                         "{\"error\":{}}",
                                         "{\"error\":[]}",
                                         "\xff\xfe",
                                         "<html></html>",
                                         "<title>",
                                         "{\"message\":{\"a\":1}}",
                                         "[[[]]]",
                                         "{\"error\":{\"message\":\"\"}}",
                                         "<title>\xff</title>"};
    struct pk_fault f;

    begin();
    for (size_t i = 0; i < PK_COUNT(bodies); i++) {
        size_t bad;

        pk_dialect_fault(&arena, &pk_dialect_openai, 418, pk_str_of(bodies[i]), &f);
        EXPECT(f.message.len > 0 && pk_utf8_valid(f.message, &bad));
    }
    end();
}

static void a_long_fault_is_cut_between_characters(void)
{
    struct pk_fault f;
    struct pk_buf text;
    size_t bad;

    begin();
    for (int lead = 0; lead < 3; lead++) {
        text = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
        pk_buf_add(&text, pk_str_sub(PK_STR("aaa"), 0, (size_t)lead));
        for (int i = 0; i < 5000; i++)
            pk_buf_adds(&text, "\xe2\x82\xac");
        pk_dialect_fault(&arena, &pk_dialect_openai, 500, pk_buf_str(&text), &f);
        EXPECT(f.message.len > 200 && f.message.len <= 300 && pk_utf8_valid(f.message, &bad));
    }
    end();
}

/* --- running out of memory ------------------------------------------------------------------- */

static int allocations_left;

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void give(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static bool try_request(struct pk_error *err)
{
    static const char body[] =
        "{\"model\":\"claude-sonnet-4-5\",\"reasoning_effort\":\"low\",\"seed\":1,\"messages\":[{"
        "\"role\":\"system\",\"content\":\"s\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:"
        "image\\/png;base64,AAAA\"}}]},"
        "{\"role\":\"assistant\",\"thinking_blocks\":[{\"type\":\"thinking\"}],\"tool_calls\":[{"
        "\"id\":\"a\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":"
        "\"x\"}],"
        "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}},\"parallel_"
        "tool_calls\":false,"
        "\"tools\":[{\"function\":{\"name\":\"f\"}}],\"temperature\":0.5}";
    struct pk_dialect_pair who = pair(&pk_dialect_openai, "anthropic");
    pk_str out, dropped;

    return pk_dialect_request(&arena, &who, pk_str_of(body), &out, &dropped, err) &&
           EXPECT(out.len > 500 && pk_str_is(dropped, "temperature seed"));
}

static bool try_adapt(struct pk_error *err)
{
    struct pk_dialect_pair who = pair(&pk_dialect_openai, "mistral-ai");
    pk_str out, dropped;

    return pk_dialect_request(&arena, &who, PK_STR("{\"user\":\"u\",\"seed\":7,\"logprobs\":true}"),
                              &out, &dropped, err) &&
           EXPECT(pk_str_is(out, "{\"random_seed\":7}") && pk_str_is(dropped, "logprobs user"));
}

static bool try_answer(struct pk_error *err)
{
    struct pk_answer a = {0};

    return pk_dialect_answer(&arena, &pk_dialect_openai, &pk_dialect_anthropic,
                             pk_str_of(anthropic_answers[0]), &a, err) &&
           EXPECT(pk_str_starts(a.body, "{\"id\":\"m1\"") && pk_str_ends(a.body, "}") &&
                  a.usage.output == 4);
}

static bool try_stream(const struct pk_dialect *front, struct pk_error *err)
{
    struct pk_json doc;
    struct pk_answer a;
    struct pk_buf events = pk_buf_in(&arena, PK_BODY_BYTES_MAX),
                  out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    struct pk_stream *s = pk_stream_new(&arena, front, &pk_dialect_anthropic, true, 5);

    if (!s || !pk_json_parse(&arena, pk_str_of(anthropic_answers[0]), "answer", &doc, err) ||
        !pk_dialect_anthropic.replay(&doc, true, &events))
        return pk_fail(err, PK_NO_MEMORY, "test");
    for (size_t i = 0; i < events.len; i += 100)
        if (!pk_stream_feed(s, pk_str_sub(pk_buf_str(&events), i, 100), &out, err))
            return false;
    EXPECT(s->complete);
    return pk_stream_answer(s, &a, err) && EXPECT(a.body.len > 300);
}

static bool try_stream_across(struct pk_error *err)
{
    return try_stream(&pk_dialect_openai, err);
}

static bool try_stream_through(struct pk_error *err)
{
    return try_stream(&pk_dialect_anthropic, err);
}

static bool try_openai_stream(struct pk_error *err)
{
    struct pk_json doc;
    struct pk_answer a;
    struct pk_buf events = pk_buf_in(&arena, PK_BODY_BYTES_MAX),
                  out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    struct pk_stream *s = pk_stream_new(&arena, &pk_dialect_openai, &pk_dialect_openai, true, 5);

    if (!s || !pk_json_parse(&arena, pk_str_of(openai_answers[1]), "answer", &doc, err) ||
        !pk_dialect_openai.replay(&doc, true, &events))
        return pk_fail(err, PK_NO_MEMORY, "test");
    return pk_stream_feed(s, pk_buf_str(&events), &out, err) && pk_stream_answer(s, &a, err) &&
           EXPECT(s->complete && s->tool_count == 2);
}

static bool try_fault(struct pk_error *err)
{
    struct pk_fault f;
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

    pk_dialect_fault(&arena, &pk_dialect_openai, 500, PK_STR("{\"error\":{\"message\":\"a\\nb\"}}"),
                     &f);
    EXPECT(f.message.len > 0);
    pk_stream_abort(&pk_dialect_openai, &f, PK_NONE, &out);
    return arena.failed ? pk_fail(err, PK_NO_MEMORY, "test") : true;
}

static void each_allocation_may_fail(void)
{
    static bool (*const tries[])(struct pk_error *) = {
        try_request,        try_adapt,         try_answer, try_stream_across,
        try_stream_through, try_openai_stream, try_fault,
    };
    struct pk_allocator failing = {NULL, take, give};

    for (size_t i = 0; i < PK_COUNT(tries); i++) {
        bool ok = false;

        for (int allowed = 0; !ok && allowed < 5000; allowed++) {
            struct pk_error err = {0};

            allocations_left = allowed;
            pk_arena_init(&arena, failing, PK_CALL_BYTES_MAX);
            arena.torture = true;
            ok = tries[i](&err);
            if (!ok && !EXPECT(err.code == PK_NO_MEMORY))
                printf("# %zu, %d allowed: %s\n", i, allowed, err.msg);
            end();
        }
        EXPECT(ok);
    }
}

static void token_counts_stay_where_their_sums_are_safe(void)
{
    static const char body[] =
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x\"},"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":999999999999999999,"
        "\"completion_tokens\":-5}}";
    struct pk_arena own;
    struct pk_answer a = {0};
    struct pk_error why = {0};

    pk_arena_init(&own, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    EXPECT(
        pk_dialect_answer(&own, &pk_dialect_openai, &pk_dialect_openai, pk_str_of(body), &a, &why));
    EXPECT(a.usage.input == 100000000 && a.usage.output == 0);
    pk_arena_free(&own);
}

int main(void)
{
    RUN(every_provider_can_be_addressed);
    RUN(providers_are_found_by_name);
    RUN(a_model_in_the_path_is_one_segment);
    RUN(what_needs_no_change_is_the_client_s_own_bytes);
    RUN(an_anthropic_client_reaches_only_anthropic_so_far);
    RUN(hostile_requests_are_refused);
    RUN(what_is_no_answer_is_never_a_success);
    RUN(odd_counts_are_never_negative);
    RUN(google_says_in_an_error_when_to_try_again);
    RUN(hostile_streams_are_told_from_good_ones);
    RUN(what_came_before_an_error_is_given);
    RUN(nothing_is_given_after_the_end);
    RUN(too_many_tools_are_passed_but_not_kept);
    RUN(a_long_stream_stays_small);
    RUN(an_abort_is_an_error_event_of_the_front);
    RUN(a_replayed_answer_is_the_same_answer);
    RUN(what_is_no_answer_is_not_replayed);
    RUN(a_fault_always_has_words);
    RUN(a_long_fault_is_cut_between_characters);
    RUN(each_allocation_may_fail);
    RUN(token_counts_stay_where_their_sums_are_safe);
    return test_end();
}
