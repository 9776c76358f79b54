/* codec.c - what the answer to an embedding request costs: checked as it passes, and translated.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-codec
 *
 * Prints a line of JSON: nanoseconds per KB of the provider's answer, the median of many rounds: 32 vectors of 1536
 * numbers. "parsed" is what reading its JSON costs alone.
 */
#include "codec.h"
#include "bench.h"
#include "provider.h"

enum { ROUNDS = 50, VECTORS = 32, NUMBERS = 1536 };

static struct pk_arena texts; /* what is read again and again */

static struct subject {
    const char *name, *provider, *format, *start, *open, *close, *end;
    pk_str in;
    double ns[ROUNDS];
} subjects[] = {
    {"parsed", NULL, "float", "{\"data\":[", "{\"embedding\":", "}", "]}", {0}, {0}},
    {"openai, passed", "openai", "float", "{\"data\":[", "{\"embedding\":", "}", "]}", {0}, {0}},
    {"openai, base64 made",
     "openai",
     "base64",
     "{\"data\":[",
     "{\"embedding\":",
     "}",
     "]}",
     {0},
     {0}},
    {"google", "google", "float", "{\"embeddings\":[", "{\"values\":", "}", "]}", {0}, {0}},
    {"google, base64 made",
     "google",
     "base64",
     "{\"embeddings\":[",
     "{\"values\":",
     "}",
     "]}",
     {0},
     {0}},
    {"cohere", "cohere", "float", "{\"embeddings\":{\"float\":[", "", "", "]}}", {0}, {0}},
};

static pk_str vectors(const struct subject *s)
{
    struct pk_buf b = pk_buf_in(&texts, PK_BODY_BYTES_MAX);

    pk_buf_adds(&b, s->start);
    for (int i = 0; i < VECTORS; i++) {
        pk_buf_addf(&b, "%s%s[", i ? "," : "", s->open);
        for (int k = 0; k < NUMBERS; k++)
            pk_buf_addf(&b, "%s-0.0%07d", k ? "," : "", (i * NUMBERS + k) * 193 % 10000000);
        pk_buf_addf(&b, "]%s", s->close);
    }
    pk_buf_adds(&b, s->end);
    return pk_buf_str(&b);
}

static pk_str request_of(const struct subject *s)
{
    struct pk_buf b = pk_buf_in(&texts, PK_BODY_BYTES_MAX);

    pk_buf_addf(&b, "{\"model\":\"m\",\"encoding_format\":\"%s\",\"input\":[\"a\"", s->format);
    for (int i = 1; i < VECTORS; i++)
        pk_buf_adds(&b, ",\"a\"");
    pk_buf_adds(&b, "]}");
    return pk_buf_str(&b);
}

static void read_answer(struct pk_arena *arena, const struct subject *s,
                        const struct pk_json *request)
{
    struct pk_answer a = {.asked = PK_STR("m"), .request = request};
    struct pk_error err = {0};
    struct pk_json doc;

    if (!s->provider) {
        PK_ASSERT(pk_json_parse(arena, s->in, "answer", &doc, &err));
        return;
    }
    const struct pk_provider *p = pk_provider_find(pk_str_of(s->provider));
    const struct pk_codec *codec = pk_codec_find(p, p->dialect, &pk_operation_embeddings);
    PK_ASSERT(pk_codec_answer(arena, codec, s->in, &a, &err));
}

static void measure(struct subject *s, int round)
{
    struct pk_arena arena;
    struct pk_error err = {0};
    struct pk_json request;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    PK_ASSERT(pk_json_parse(&arena, request_of(s), "request", &request, &err));
    double from = now_ns();
    read_answer(&arena, s, &request);
    s->ns[round] = (now_ns() - from) / ((double)s->in.len / 1024);
    pk_arena_free(&arena);
}

int main(void)
{
    pk_arena_init(&texts, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    for (size_t i = 0; i < PK_COUNT(subjects); i++)
        subjects[i].in = vectors(&subjects[i]);
    for (int round = 0; round < ROUNDS; round++) /* in turns: whatever slows one down slows all */
        for (size_t i = 0; i < PK_COUNT(subjects); i++)
            measure(&subjects[i], round);
    for (size_t i = 0; i < PK_COUNT(subjects); i++) {
        printf("%s\"%s\": %.0f", i ? ", " : "{", subjects[i].name, median(subjects[i].ns, ROUNDS));
    }
    printf("}\n");
    pk_arena_free(&texts);
    return 0;
}
