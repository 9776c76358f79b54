/* codec_ollama.c - embeddings of Ollama's own API.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows docs/api.md of Ollama: POST /api/embed.
 */
#include "codec.h"

static bool path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)model;
    (void)err;
    pk_buf_adds(out, pk_str_ends(base, "/api") ? "/embed" : "/api/embed");
    return true;
}

static bool request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                    struct pk_error *err)
{
    static const struct pk_make_field fields[] = {
        {"model", "model", pk_make_same},           {"input", "input", pk_embed_texts},
        {"dimensions", "dimensions", pk_make_same}, {"truncate", "truncate", pk_make_same},
        {"options", "options", pk_make_same},       {"keep_alive", "keep_alive", pk_make_same},
        {"encoding_format", NULL, pk_make_nothing}, /* made here */
    };
    struct pk_maker m = pk_make(body, out, dropped, err);

    return pk_make_object(&m, fields, PK_COUNT(fields));
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    struct pk_embed_writer w = pk_embed_begin(arena, doc, a, out, err);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err) ||
        !pk_embed_add_all(&w, pk_json_get(doc, 0, "embeddings")))
        return false;
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    if (pk_dialect_has(doc, 0, "prompt_eval_count"))
        a->usage = (struct pk_usage){.source = PK_USAGE_PROVIDER,
                                     .input = pk_dialect_count(doc, 0, "prompt_eval_count")};
    if (!pk_embed_end(&w, a))
        return false;
    pk_dialect_raw(out, "total_duration", pk_json_raw(doc, pk_json_get(doc, 0, "total_duration")));
    pk_dialect_raw(out, "load_duration", pk_json_raw(doc, pk_json_get(doc, 0, "load_duration")));
    pk_buf_addc(out, '}');
    return true;
}

const struct pk_codec pk_codecs_ollama[] = {
    {&pk_operation_embeddings, NULL, path, request, answer},
    {0},
};
