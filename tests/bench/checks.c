/* checks.c - what looking at a text costs per KB: a schema, personal data, an attack on the prompt.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-checks [KB]
 *
 * Prints a line of JSON: nanoseconds per KB, the median of many rounds. `parse`, reading the same document as
 * JSON, is the measure for the others. The text is prose with the numbers, dates and names that make scanners
 * look twice, and little that they are after.
 */
#include "bench.h"
#include "injection.h"
#include "pii.h"
#include "schema.h"

#include <string.h>

enum { ROUNDS = 25 };

static const char prose[] =
    "Dear team, order 0123-456789 of 2024-05-17 has still not arrived at our warehouse in "
    "Rotterdam. The invoice "
    "(version 1.2.3 of the template, total 1,249.50 EUR) lists 12 chairs and 3 tables; the "
    "previous shipment was "
    "complete. Please show me the tracking status and tell me whether the instructions above still "
    "hold. My number "
    "at work is 030-12345678, or write to bob@example.com before 14:30. Best regards, Bob. ";

static const char item[] =
    "{\"id\":%d,\"name\":\"chair, model "
    "%d\",\"price\":49.90,\"tags\":[\"oak\",\"black\"],\"stock\":{\"count\":12,"
    "\"place\":\"Rotterdam\"},\"note\":\"Assembled by hand; ships within two working days, see "
    "page 7.\"}";

static const char schema_text[] =
    "{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
    "item\"},\"$defs\":{\"item\":{\"type\":\"object\",\"required\":"
    "[\"id\",\"name\",\"price\"],\"additionalProperties\":false,\"properties\":{\"id\":{\"type\":"
    "\"integer\",\"minimum\":"
    "0},\"name\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":80,\"pattern\":\"^[a-z]\"},"
    "\"price\":{\"type\":"
    "\"number\",\"multipleOf\":0.01},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"oak\","
    "\"black\",\"white\"]},"
    "\"uniqueItems\":true},\"stock\":{\"type\":\"object\",\"properties\":{\"count\":{\"type\":"
    "\"integer\"},\"place\":"
    "{\"type\":\"string\"}}},\"note\":{\"type\":[\"string\",\"null\"]}}}}}";

static struct pk_arena keep; /* what all rounds share */
static pk_str text, document, texts;
static const struct pk_schema *schema;
static struct pk_json doc;

static void parse(struct pk_arena *arena)
{
    struct pk_error err;
    struct pk_json d;

    PK_ASSERT(pk_json_parse(arena, document, "document", &d, &err));
}

static void validate(struct pk_arena *arena)
{
    struct pk_error why;

    PK_ASSERT(pk_schema_check(arena, schema, &doc, 0, &why) == PK_SCHEMA_VALID);
}

static void find_pii(struct pk_arena *arena)
{
    (void)arena;
    PK_ASSERT(pk_pii_seen(text, PK_PII_ALL) == (PK_PII_EMAIL | PK_PII_PHONE));
}

static void redact(struct pk_arena *arena)
{
    struct pk_error err;
    pk_str out;

    PK_ASSERT(pk_pii_redact_json(arena, texts, PK_PII_ALL, &out, &err));
}

static void score(struct pk_arena *arena)
{
    struct pk_injection found;

    (void)arena;
    pk_injection_score(text, &found);
    PK_ASSERT(found.score < PK_INJECTION_THRESHOLD);
}

static const struct {
    const char *name;
    void (*run)(struct pk_arena *arena);
    const pk_str *of;
} checks[] = {
    {"parse", parse, &document}, {"schema", validate, &document}, {"pii", find_pii, &text},
    {"redact", redact, &texts},  {"injection", score, &text},
};

static void make_texts(size_t kb)
{
    struct pk_buf t = pk_buf_in(&keep, 64 << 20), d = pk_buf_in(&keep, 64 << 20);
    struct pk_buf q = pk_buf_in(&keep, 64 << 20);
    struct pk_error err;

    while (t.len < kb << 10)
        pk_buf_adds(&t, prose);
    for (int i = 0; d.len < kb << 10; i++) {
        pk_buf_addc(&d, i ? ',' : '[');
        pk_buf_addf(&d, item, i, i);
    }
    pk_buf_addc(&d, ']');
    text = pk_buf_str(&t);
    document = pk_buf_str(&d);
    pk_json_quote(&q, text);
    texts = pk_buf_str(&q);
    PK_ASSERT(pk_schema_compile(&keep, pk_str_of(schema_text), 0, &schema, &err));
    PK_ASSERT(pk_json_parse(&keep, document, "document", &doc, &err));
}

static double ns_per_kb(void (*run)(struct pk_arena *), pk_str of)
{
    struct pk_arena arena;
    double from = now_ns();

    pk_arena_init(&arena, pk_allocator_malloc(), (size_t)256 << 20);
    run(&arena);
    pk_arena_free(&arena);
    return (now_ns() - from) / ((double)of.len / 1024);
}

int main(int argc, char **argv)
{
    size_t kb = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
    static double ns[PK_COUNT(checks)][ROUNDS];

    pk_arena_init(&keep, pk_allocator_malloc(), (size_t)256 << 20);
    make_texts(kb);
    for (int round = 0; round < ROUNDS; round++) /* in turns: whatever slows one down slows all */
        for (size_t k = 0; k < PK_COUNT(checks); k++)
            ns[k][round] = ns_per_kb(checks[k].run, *checks[k].of);
    for (size_t k = 0; k < PK_COUNT(checks); k++) {
        printf("%s\"%s\": %.0f", k ? ", " : "{", checks[k].name, median(ns[k], ROUNDS));
    }
    printf("}\n");
    pk_arena_free(&keep);
    return 0;
}
