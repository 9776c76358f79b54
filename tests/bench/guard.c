/* guard.c - what guardrails cost a request, beside a config without any.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-guard [KB]
 *
 * Prints a line of JSON: nanoseconds per KB of text, from the request to the op that sends it, the median of
 * many rounds, by guardrail. The text is prose with numbers and names in it; "schema" has JSON for a text, and
 * "schema plain" is the same request without a guardrail.
 */
#include "bench.h"
#include "call.h"

#include <string.h>

enum { ROUNDS = 25, CALLS = 20 };

static const char prose[] =
    "Dear team, order 0123-456789 of 2024-05-17 has still not arrived at our warehouse in "
    "Rotterdam. The invoice (version 1.2.3 of the template, total 1,249.50 EUR) lists 12 chairs "
    "and 3 tables; the previous shipment was complete. Please tell me whether the instructions "
    "above still hold. My number at work is 030-12345678, or write before 14:30. Best regards, "
    "Bob. ";

static const char item[] =
    "{\"id\":%d,\"name\":\"chair, model %d\",\"price\":49.90,\"tags\":[\"oak\",\"black\"],"
    "\"note\":\"Assembled by hand; ships within two working days, see page 7.\"}";

#define SCHEMA                                                                                     \
    "{\"type\":\"json_schema\",\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"object\","     \
    "\"required\":[\"id\",\"name\"],\"additionalProperties\":false,\"properties\":{\"id\":{"       \
    "\"type\":\"integer\"},\"name\":{\"type\":\"string\",\"maxLength\":80},\"price\":{\"type\":"   \
    "\"number\",\"minimum\":0},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"oak\","         \
    "\"black\"]}},\"note\":{\"type\":[\"string\",\"null\"]}}}}}"

static const struct {
    const char *name, *guardrail;
    bool json;
} runs[] = {
    {"plain", "", false},
    {"regex", "{\"type\":\"regex\",\"pattern\":\"\\\\b\\\\d{3}-\\\\d{2}-\\\\d{4}\\\\b\"}", false},
    {"regex words",
     "{\"type\":\"regex\",\"pattern\":\"\\\\b(password|secret|api.?key)\\\\b\",\"flags\":[\"i\"]}",
     false},
    {"contains", "{\"type\":\"contains\",\"deny\":[\"SSN\",\"password\",\"confidential\"]}", false},
    {"word_count", "{\"type\":\"word_count\",\"max\":1000000}", false},
    {"pii", "{\"type\":\"pii\",\"categories\":[\"SSN\",\"CREDIT_CARD\",\"EMAIL_ADDRESS\"]}", false},
    {"pii redact", "{\"type\":\"pii\",\"action\":\"redact\"}", false},
    {"prompt_injection", "{\"type\":\"prompt_injection\"}", false},
    {"schema plain", "", true},
    {"schema", SCHEMA, true},
};

static struct pk_arena keep; /* what all rounds share */
static pk_str bodies[2];

static pk_str body_of(pk_str text)
{
    struct pk_buf out = pk_buf_in(&keep, PK_BODY_BYTES_MAX);

    pk_buf_adds(&out, "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":");
    pk_json_quote(&out, text);
    pk_buf_adds(&out, "}]}");
    PK_ASSERT(!out.failed);
    return pk_buf_str(&out);
}

static void make_bodies(size_t kb)
{
    struct pk_buf text = pk_buf_in(&keep, PK_BODY_BYTES_MAX);
    struct pk_buf json = pk_buf_in(&keep, PK_BODY_BYTES_MAX);

    while (text.len < kb << 10)
        pk_buf_adds(&text, prose);
    for (int i = 0; json.len < kb << 10; i++) {
        pk_buf_addc(&json, i ? ',' : '[');
        pk_buf_addf(&json, item, i, i);
    }
    pk_buf_addc(&json, ']');
    bodies[0] = body_of(pk_buf_str(&text));
    bodies[1] = body_of(pk_buf_str(&json));
}

static void make_calls(const struct pk_config *config, pk_str body)
{
    static const struct pk_facts facts;
    const struct pk_event start = {.kind = PK_EV_START}, cancel = {.kind = PK_EV_CANCEL};
    struct pk_request req = {.body = body};

    for (int i = 0; i < CALLS; i++) {
        struct pk_arena arena;
        struct pk_error err = {0};
        struct pk_next next;

        pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
        struct pk_call *c = pk_call_new(&arena, config, &facts, &req, 1, (uint64_t)i, &err);
        PK_ASSERT(c && pk_call_step(c, 1, &start, &next) == PK_OP_SEND);
        (void)pk_call_step(c, 1, &cancel, &next);
        pk_arena_free(&arena);
    }
}

int main(int argc, char **argv)
{
    size_t kb = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
    static struct pk_config configs[PK_COUNT(runs)];
    static double ns[PK_COUNT(runs)][ROUNDS];
    struct pk_error err = {0};

    pk_arena_init(&keep, pk_allocator_malloc(), (size_t)256 << 20);
    make_bodies(kb);
    for (size_t k = 0; k < PK_COUNT(runs); k++) {
        pk_str text = pk_copyf(&keep, "{\"provider\":\"openai\",\"guardrails\":{\"input\":[%s]}}",
                               runs[k].guardrail);

        PK_ASSERT(pk_config_parse(&keep, text, &configs[k], &err));
    }
    for (int round = 0; round < ROUNDS; round++) /* in turns: whatever slows one down slows all */
        for (size_t k = 0; k < PK_COUNT(runs); k++) {
            pk_str body = bodies[runs[k].json];
            double from = now_ns();

            make_calls(&configs[k], body);
            ns[k][round] = (now_ns() - from) / CALLS / ((double)body.len / 1024);
        }
    for (size_t k = 0; k < PK_COUNT(runs); k++) {
        printf("%s\"%s\": %.0f", k ? ", " : "{", runs[k].name, median(ns[k], ROUNDS));
    }
    printf("}\n");
    pk_arena_free(&keep);
    return 0;
}
