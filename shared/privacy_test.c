/* privacy_test.c - what may be kept is what all who were asked allow.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "privacy.h"

#include "test.h"

#include <string.h>

static struct pk_arena arena;

static bool has(pk_str text, const char *part)
{
    return text.len && memmem(text.at, text.len, part, strlen(part));
}

static void words_for_payloads(void)
{
    static const struct {
        const char *word;
        int means; /* -1: none of them */
    } cases[] = {
        {"full", PK_PAYLOADS_FULL},
        {"HASH", PK_PAYLOADS_HASH},
        {"none", PK_PAYLOADS_NONE},
        {"on", PK_PAYLOADS_FULL},
        {"false", PK_PAYLOADS_NONE},
        {"0", PK_PAYLOADS_NONE},
        {"", -1},
        {"some", -1},
        {"full ", -1},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        enum pk_payloads got;
        bool ok = pk_payloads_parse(pk_str_of(cases[i].word), &got);

        EXPECT(ok == (cases[i].means >= 0));
        EXPECT(!ok || (int)got == cases[i].means);
    }
    EXPECT(strcmp(pk_payloads_name(PK_PAYLOADS_HASH), "hash") == 0);
}

static void words_for_redaction(void)
{
    static const struct {
        const char *words;
        unsigned means;
        bool valid;
    } cases[] = {
        {"on", PK_PII_ALL, true},
        {"off", 0, true},
        {"", 0, true},
        {" TRUE ", PK_PII_ALL, true},
        {"EMAIL_ADDRESS", PK_PII_EMAIL, true},
        {"email_address, CREDIT_CARD", PK_PII_EMAIL | PK_PII_CARD, true},
        {"EMAIL_ADDRESS,,CREDIT_CARD", 0, false},
        {"EMAIL_ADDRESS,", PK_PII_EMAIL, true},
        {"EMAIL", 0, false},
        {"on,off", 0, false},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        unsigned got;
        bool ok = pk_redact_parse(pk_str_of(cases[i].words), &got);

        if (!EXPECT(ok == cases[i].valid && (!ok || got == cases[i].means)))
            printf("# %s\n", cases[i].words);
    }
}

static void the_stricter_of_two_holds(void)
{
    struct pk_privacy a = {PK_PAYLOADS_HASH, PK_PII_EMAIL}, b = {PK_PAYLOADS_FULL, PK_PII_CARD};
    struct pk_privacy both = pk_privacy_join(a, b), turned = pk_privacy_join(b, a);

    EXPECT(both.payloads == PK_PAYLOADS_HASH && both.redact == (PK_PII_EMAIL | PK_PII_CARD));
    EXPECT(turned.payloads == both.payloads && turned.redact == both.redact);
}

static struct pk_record record_with(const char *words)
{
    static struct pk_span spans[3];
    static struct pk_feedback feedback[1];

    spans[0] = (struct pk_span){.message = pk_str_of(words), .quotes = true};
    spans[1] = (struct pk_span){.message = PK_STR("ours")};
    spans[2] = (struct pk_span){.message = PK_STR("ours: theirs"), .quotes = true, .own = 4};
    feedback[0] = (struct pk_feedback){.metadata = pk_copyf(&arena, "{\"f\":\"%s\"}", words)};
    return (struct pk_record){
        .request = pk_copyf(&arena, "{\"a\":\"%s\"}", words),
        .response = pk_copyf(&arena, "{\"b\":\"%s\"}", words),
        .metadata = pk_copyf(&arena, "{\"m\":\"%s\"}", words),
        .error_message = pk_copyf(&arena, "openai answered 400: %s", words),
        .user_id = pk_str_of(words),
        .prompt = pk_str_of(words),
        .span_name = pk_str_of(words),
        .span_count = 3,
        .spans = spans,
        .feedback_count = 1,
        .feedback = feedback,
    };
}

static void without_payloads_no_words_of_others_are_left(void)
{
    for (int p = PK_PAYLOADS_HASH; p <= PK_PAYLOADS_NONE; p++) {
        struct pk_record r = record_with("the prompt");

        pk_privacy_apply(&arena, (struct pk_privacy){(enum pk_payloads)p, 0}, PK_STR("failed"), &r);
        EXPECT(pk_str_is(r.error_message, "failed"));
        EXPECT(r.spans[0].message.len == 0 && pk_str_is(r.spans[1].message, "ours") &&
               pk_str_is(r.spans[2].message, "ours"));
        EXPECT((r.request.len > 0) == (p == PK_PAYLOADS_HASH));
        EXPECT(!has(r.request, "prompt"));
        EXPECT(pk_str_is(r.user_id, "the prompt")); /* labels are what they are kept for */
    }
}

static void an_empty_payload_stays_empty(void)
{
    struct pk_record r = {.request = PK_STR("{}")};

    pk_privacy_apply(&arena, (struct pk_privacy){PK_PAYLOADS_HASH, PK_PII_ALL}, PK_NONE, &r);
    EXPECT(pk_str_is(r.request,
                     "{\"sha256\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060"
                     "f61caaff8a\",\"bytes\":2}"));
    EXPECT(r.response.len == 0 && r.metadata.len == 0 && r.error_message.len == 0);
}

/* Everything that somebody else wrote; what cannot be read as JSON is left out. */
static void redaction_covers_every_text(void)
{
    struct pk_record r = record_with("anna@example.org");
    struct pk_record copy = r;

    pk_privacy_apply(&arena, (struct pk_privacy){PK_PAYLOADS_FULL, PK_PII_EMAIL}, PK_NONE, &r);
    const pk_str texts[] = {r.request,       r.response,         r.metadata,
                            r.error_message, r.user_id,          r.prompt,
                            r.span_name,     r.spans[0].message, r.feedback[0].metadata};
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        EXPECT(has(texts[i], "{{EMAIL_ADDRESS}}") && !has(texts[i], "anna"));
    EXPECT(pk_str_is(copy.request, "{\"a\":\"anna@example.org\"}")); /* the original is whole */
    r.request = PK_STR("{\"a\":");
    pk_privacy_apply(&arena, (struct pk_privacy){PK_PAYLOADS_FULL, PK_PII_EMAIL}, PK_NONE, &r);
    EXPECT(r.request.len == 0);
}

static void a_key_that_is_no_name_is_not_repeated(void)
{
    EXPECT(pk_str_is(pk_name_shown(PK_STR("prod")), "prod"));
    EXPECT(pk_str_is(pk_name_shown(PK_STR("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH")),
                     "(what looks like a key)"));
    EXPECT(
        pk_str_is(pk_name_shown(PK_STR("@sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF")),
                  "(what looks like a key)"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 16 << 20);
    RUN(words_for_payloads);
    RUN(words_for_redaction);
    RUN(the_stricter_of_two_holds);
    RUN(without_payloads_no_words_of_others_are_left);
    RUN(an_empty_payload_stays_empty);
    RUN(redaction_covers_every_text);
    RUN(a_key_that_is_no_name_is_not_repeated);
    pk_arena_free(&arena);
    return test_end();
}
