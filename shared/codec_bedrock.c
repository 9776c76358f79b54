/* codec_bedrock.c - embeddings on Amazon Bedrock: Titan's and Cohere's.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the Bedrock user guide's inference parameters of Amazon Titan Text Embeddings, Titan Multimodal
 * Embeddings and Cohere Embed. One InvokeModel of Titan makes one vector, so a list of several inputs is refused.
 * Cohere's token counts are in a header of the answer, which is not read: its cost is not known.
 */
#include "codec.h"

#include <string.h>

/* Cross-region profiles have a region in front: us.cohere.embed-v4:0. */
static bool is_model(pk_str model, const char *name)
{
    return model.len && memmem(model.at, model.len, name, strlen(name)) != NULL;
}

static bool path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (model.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: is missing");
    pk_buf_adds(out, "/model/");
    pk_dialect_segment(out, model);
    pk_buf_adds(out, "/invoke");
    return true;
}

static bool titan_item(struct pk_maker *m, const struct pk_embed_item *item)
{
    pk_str media, bytes;

    if (item->text >= 0)
        pk_dialect_raw(m->out, "inputText", pk_json_raw(m->in, item->text));
    if (item->image.len == 0)
        return true;
    if (!pk_make_data_url(item->image, &media, &bytes))
        return pk_make_refuse(m, "this provider takes images as data: URLs alone");
    pk_member_text(m->out, "inputImage", bytes);
    return true;
}

static bool titan_input(struct pk_maker *m, int value, const char *to)
{
    (void)to;
    if (pk_make_type(m, value) == PK_JSON_ARRAY && pk_json_count(m->in, value) > 1 &&
        pk_make_type(m, pk_json_first(m->in, value)) != PK_JSON_NUMBER)
        return pk_fail(m->err, PK_BAD_REQUEST, "input: this model makes one vector a request");
    return pk_embed_items(m, titan_item);
}

static bool output_length(struct pk_maker *m, int value, const char *to)
{
    pk_member_key(m->out, to);
    pk_buf_addf(m->out, "{\"outputEmbeddingLength\":%.*s}", PK_FMT(pk_json_raw(m->in, value)));
    return true;
}

static bool titan(struct pk_maker *m, pk_str model)
{
    static const struct pk_make_field fields[] = {
        {"input", NULL, titan_input},
        {"normalize", "normalize", pk_make_same},
        {"embeddingTypes", "embeddingTypes", pk_make_same},
        {"model", NULL, pk_make_nothing},           /* in the path */
        {"encoding_format", NULL, pk_make_nothing}, /* made here */
        {"dimensions", "dimensions", pk_make_same},
    };
    static const struct pk_make_field length = {"dimensions", "embeddingConfig", output_length};
    bool image = is_model(model, "titan-embed-image"), v1 = is_model(model, "titan-embed-text-v1");
    size_t count = PK_COUNT(fields) - (image || v1); /* without the last: it has no such field */

    pk_buf_addc(m->out, '{');
    if (!pk_make_fields(m, fields, count) || (image && !pk_make_fields(m, &length, 1)))
        return false;
    pk_make_end(m, fields, v1 ? count : PK_COUNT(fields));
    return true;
}

static bool request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                    struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    pk_str model = pk_make_string(&m, pk_make_get(&m, 0, "model"));

    if (is_model(model, "cohere."))
        return pk_cohere_embed(&m, false);
    if (is_model(model, "titan-embed"))
        return titan(&m, model);
    return pk_fail(err, PK_BAD_REQUEST,
                   "model: of Bedrock's embeddings those of Titan and Cohere are known here");
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    struct pk_embed_writer w;

    if (pk_dialect_has(doc, 0, "embeddings"))
        return pk_cohere_embedded(arena, doc, a, out, err);
    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    w = pk_embed_begin(arena, doc, a, out, err);
    if (!pk_embed_add(&w, pk_json_get(doc, 0, "embedding")))
        return false;
    if (pk_dialect_has(doc, 0, "inputTextTokenCount"))
        a->usage = (struct pk_usage){.source = PK_USAGE_PROVIDER,
                                     .input = pk_dialect_count(doc, 0, "inputTextTokenCount")};
    if (!pk_embed_end(&w, a))
        return false;
    pk_dialect_raw(out, "embeddingsByType",
                   pk_json_raw(doc, pk_json_get(doc, 0, "embeddingsByType")));
    pk_buf_addc(out, '}');
    return true;
}

const struct pk_codec pk_codecs_bedrock[] = {
    {&pk_operation_embeddings, NULL, path, request, answer},
    {0},
};
