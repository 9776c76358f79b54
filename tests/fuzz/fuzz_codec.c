/* fuzz_codec.c - any bytes as a request for embeddings, a ranking or a moderation, and as its answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The request, a byte 0xff, the answer. What is accepted is JSON, and an answer's vectors are as many as inputs and
 * can be read.
 */
#include "fuzz.h"

#include "codec.h"
#include "provider.h"

static bool parses(struct pk_arena *arena, pk_str text, struct pk_json *doc)
{
    struct pk_error err = {0};

    return pk_json_parse(arena, text, "body", doc, &err) && pk_json_type(doc, 0) == PK_JSON_OBJECT;
}

/* In the form that the client asked for, every vector is one. */
static void check_vectors(struct pk_arena *arena, const struct pk_json *request, pk_str body)
{
    struct pk_error err = {0};
    struct pk_json doc;
    float *at;
    int dims, count = request ? pk_embed_count(request) : -1;
    bool other = request && (pk_json_get(request, 0, "output_dtype") >= 0 ||
                             pk_json_get(request, 0, "embedding_type") >= 0 ||
                             pk_json_get(request, 0, "embedding_types") >= 0);

    PK_ASSERT(parses(arena, body, &doc));
    int data = pk_json_get(&doc, 0, "data");
    PK_ASSERT(pk_json_type(&doc, data) == PK_JSON_ARRAY);
    PK_ASSERT(count < 0 || pk_json_count(&doc, data) == count);
    for (int v = pk_json_first(&doc, data); v >= 0 && !other; v = pk_json_next(&doc, data, v))
        PK_ASSERT(
            pk_embed_floats(arena, &doc, pk_json_get(&doc, v, "embedding"), &at, &dims, &err));
}

static void play(const char *who, const struct pk_operation *operation, pk_str asked, pk_str said)
{
    struct pk_arena arena = fuzz_arena();
    const struct pk_provider *p = pk_provider_find(pk_str_of(who));
    const struct pk_codec *codec = pk_codec_find(p, p->dialect, operation);
    struct pk_answer a = {.asked = PK_STR("m")};
    struct pk_error err = {0};
    struct pk_json request, doc;
    pk_str out, dropped;

    PK_ASSERT(codec);
    if (parses(&arena, asked, &request)) {
        a.request = &request;
        if (pk_codec_request(&arena, codec, asked, &out, &dropped, &err))
            PK_ASSERT(parses(&arena, out, &doc));
        else
            PK_ASSERT(err.code == PK_BAD_REQUEST || err.code == PK_TOO_LARGE);
    }
    if (pk_codec_answer(&arena, codec, said, &a, &err)) {
        PK_ASSERT(parses(&arena, a.body, &doc));
        if (operation == &pk_operation_embeddings)
            check_vectors(&arena, a.request, a.body);
    } else {
        PK_ASSERT(err.code == PK_BAD_ANSWER || err.code == PK_UPSTREAM || err.code == PK_TOO_LARGE);
    }
    pk_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const embedders[] = {"openai",  "google",        "cohere",
                                            "bedrock", "voyage",        "jina",
                                            "nomic",   "ollama-native", "mistral-ai"};
    static const char *const rankers[] = {"openai", "cohere", "voyage"};
    pk_str rest = fuzz_text(bytes, size), asked = fuzz_part(&rest);

    for (size_t i = 0; i < PK_COUNT(embedders); i++)
        play(embedders[i], &pk_operation_embeddings, asked, rest);
    for (size_t i = 0; i < PK_COUNT(rankers); i++)
        play(rankers[i], &pk_operation_rerank, asked, rest);
    play("openai", &pk_operation_moderations, asked, rest);
    return 0;
}
