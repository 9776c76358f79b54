/* route.c - what the choice of a target costs a call, beside a config with one target.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-route [CALLS]
 *
 * Prints a line of JSON: nanoseconds from a request to the op that sends it, the median of many rounds, by
 * config. Everything that a call does before its first byte goes out is in it: ids, reading the body and the
 * metadata, the choice, and the upstream request.
 */
#include "bench.h"
#include "call.h"

#include <string.h>

enum { ROUNDS = 25 };

#define LEAF(name) "{\"name\":\"" name "\",\"provider\":\"openai\"}"
#define FIVE       LEAF("a") "," LEAF("b") "," LEAF("c") "," LEAF("d") "," LEAF("e")

static const struct {
    const char *name, *config;
} configs[] = {
    {"plain", "{\"provider\":\"openai\"}"},
    {"loadbalance", "{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[" FIVE "]}"},
    {"sticky",
     "{\"strategy\":{\"mode\":\"loadbalance\",\"sticky\":{\"hash_fields\":[\"metadata.user\"]}},"
     "\"targets\":[" FIVE "]}"},
    {"prefix", "{\"strategy\":{\"mode\":\"loadbalance\",\"sticky\":{\"hash_fields\":[\"prefix\"]}},"
               "\"targets\":[" FIVE "]}"},
    {"conditional",
     "{\"strategy\":{\"mode\":\"conditional\",\"conditions\":["
     "{\"query\":{\"metadata.tier\":\"gold\"},\"then\":\"a\"},"
     "{\"query\":{\"metadata.tier\":{\"$in\":[\"silver\",\"bronze\"]}},\"then\":\"b\"},"
     "{\"query\":{\"params.max_tokens\":{\"$gt\":4000}},\"then\":\"c\"},"
     "{\"query\":{\"$or\":[{\"params.model\":{\"$regex\":\"^o[0-9]\"}},{\"metadata.env\":\"dev\"}]}"
     ","
     "\"then\":\"d\"}],\"default\":\"e\"},\"targets\":[" FIVE "]}"},
};

static const char body[] =
    "{\"model\":\"gpt-4o-mini\",\"max_tokens\":256,\"messages\":[{\"role\":\"system\",\"content\":"
    "\"You answer questions about invoices in one short paragraph, in the language of the "
    "question, and say so when you do not know.\"},{\"role\":\"user\",\"content\":\"Which of the "
    "invoices of last month are still open, and who has to be asked about them?\"}]}";

static void make_calls(const struct pk_config *config, long calls)
{
    static const struct pk_facts facts;
    const struct pk_event start = {.kind = PK_EV_START}, cancel = {.kind = PK_EV_CANCEL};
    struct pk_request req = {
        .body = {body, sizeof body - 1},
        .metadata = PK_STR("{\"user\":\"u-1234\",\"tier\":\"free\",\"env\":\"prod\"}")};

    for (long i = 0; i < calls; i++) {
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
    long calls = argc > 1 ? strtol(argv[1], NULL, 10) : 4000;
    static struct pk_config parsed[PK_COUNT(configs)];
    static double ns[PK_COUNT(configs)][ROUNDS];
    struct pk_arena arena;
    struct pk_error err = {0};

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    for (size_t k = 0; k < PK_COUNT(configs); k++)
        PK_ASSERT(pk_config_parse(&arena, pk_str_of(configs[k].config), &parsed[k], &err));
    for (int round = 0; round < ROUNDS; round++) /* in turns: whatever slows one down slows all */
        for (size_t k = 0; k < PK_COUNT(configs); k++) {
            double from = now_ns();

            make_calls(&parsed[k], calls);
            ns[k][round] = (now_ns() - from) / (double)calls;
        }
    for (size_t k = 0; k < PK_COUNT(configs); k++) {
        printf("%s\"%s\": %.0f", k ? ", " : "{", configs[k].name, median(ns[k], ROUNDS));
    }
    printf("}\n");
    pk_arena_free(&arena);
    return 0;
}
