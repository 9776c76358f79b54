/* codec_gemini.c - embeddings of Gemini, in AI Studio's API and in Vertex AI's.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows ai.google.dev/api/embeddings, and the model references text-embeddings-api and
 * multimodal-embeddings-api of Vertex AI. AI Studio is asked for all vectors by batchEmbedContents, one request
 * each, since a list in one embedContent would give one vector for all. It often says nothing of tokens.
 */
#include "codec.h"
#include "dialect_gemini.h"

/* --- AI Studio -------------------------------------------------------------------------------- */

/* What every request of the batch says besides its content. */
static bool common_fields(struct pk_maker *m)
{
    static const struct pk_make_field fields[] = {
        {"title", "title", pk_make_same},
        {"dimensions", "outputDimensionality", pk_make_same},
        {"outputDimensionality", "outputDimensionality", pk_make_same},
        {"model", NULL, pk_make_nothing}, /* gemini_request() */
        {"input", NULL, pk_make_nothing},
        {"input_type", NULL, pk_make_nothing},
        {"task_type", NULL, pk_make_nothing},
        {"encoding_format", NULL, pk_make_nothing}, /* made here */
    };
    pk_str task = pk_embed_task(m, PK_TASK_GEMINI);

    if (task.len)
        pk_member_text(m->out, "taskType", task);
    if (!pk_make_fields(m, fields, PK_COUNT(fields)))
        return false;
    pk_make_report(m, fields, PK_COUNT(fields));
    return true;
}

static bool add_parts(struct pk_maker *m, const struct pk_embed_item *item)
{
    pk_str media, bytes;

    pk_buf_adds(m->out, "\"content\":{\"parts\":[");
    if (item->text >= 0)
        pk_buf_addf(m->out, "{\"text\":%.*s}%s", PK_FMT(pk_json_raw(m->in, item->text)),
                    item->image.len ? "," : "");
    if (item->image.len) {
        if (!pk_make_data_url(item->image, &media, &bytes))
            return pk_make_refuse(m, "this provider takes images as data: URLs alone");
        pk_buf_adds(m->out, "{\"inlineData\":{");
        pk_member_text(m->out, "mimeType", media);
        pk_member_text(m->out, "data", bytes);
        pk_buf_adds(m->out, "}}");
    }
    pk_buf_adds(m->out, "]}");
    return true;
}

/* What the maker of this file has of its own: the members that every request has. */
static bool gemini_item(struct pk_maker *m, const struct pk_embed_item *item)
{
    const pk_str *common = m->own;

    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{%.*s,", PK_FMT(*common));
    if (!add_parts(m, item))
        return false;
    pk_buf_addc(m->out, '}');
    return true;
}

static bool gemini_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                           struct pk_error *err)
{
    struct pk_buf members = pk_buf_in(out->arena, PK_BODY_BYTES_MAX);
    struct pk_maker m = pk_make(body, &members, dropped, err);
    pk_str model = pk_make_string(&m, pk_make_get(&m, 0, "model"));
    bool named = pk_str_starts(model, "models/") || pk_str_starts(model, "tunedModels/");

    pk_buf_adds(&members, "\"model\":");
    pk_json_quote(&members, pk_copyf(out->arena, "%s%.*s", named ? "" : "models/", PK_FMT(model)));
    if (!common_fields(&m))
        return false;
    pk_str common = pk_buf_str(&members);
    m.out = out;
    m.own = &common;
    pk_buf_adds(out, "{\"requests\":[");
    if (!pk_embed_items(&m, gemini_item))
        return false;
    pk_buf_adds(out, "]}");
    out->failed = out->failed || members.failed;
    return true;
}

static bool gemini_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    if (!pk_gemini_model_path(base, model, out, err))
        return false;
    pk_buf_adds(out, ":batchEmbedContents");
    return true;
}

static bool gemini_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                          struct pk_buf *out, struct pk_error *err)
{
    int list = pk_json_get(doc, 0, "embeddings"), usage = pk_json_get(doc, 0, "usageMetadata");
    struct pk_embed_writer w = pk_embed_begin(arena, doc, a, out, err);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: embeddings is no list");
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (!pk_embed_add(&w, pk_json_get(doc, v, "values")))
            return false;
    if (pk_dialect_has(doc, usage, "promptTokenCount"))
        a->usage = (struct pk_usage){.source = PK_USAGE_PROVIDER,
                                     .input = pk_dialect_count(doc, usage, "promptTokenCount")};
    if (!pk_embed_end(&w, a))
        return false;
    pk_buf_addc(out, '}');
    return true;
}

const struct pk_codec pk_codecs_gemini[] = {
    {&pk_operation_embeddings, NULL, gemini_path, gemini_request, gemini_answer},
    {&pk_operation_images, NULL, pk_gemini_images_path, pk_gemini_images_request,
     pk_gemini_images_answer},
    {0},
};

/* --- Vertex AI: models of texts ---------------------------------------------------------------- */

static bool is_multimodal(pk_str model)
{
    return pk_str_starts(model, "multimodalembedding");
}

static bool text_instance(struct pk_maker *m, const struct pk_embed_item *item)
{
    pk_str task = pk_embed_task(m, PK_TASK_GEMINI);

    if (item->text < 0 || item->image.len)
        return pk_make_refuse(m, "this model takes texts, no images");
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"content\":%.*s", PK_FMT(pk_json_raw(m->in, item->text)));
    if (task.len)
        pk_member_text(m->out, "task_type", task);
    pk_make_copy(m, 0, "title", "title");
    pk_buf_addc(m->out, '}');
    return true;
}

static bool mixed_instance(struct pk_maker *m, const struct pk_embed_item *item)
{
    pk_str media, bytes;

    pk_member_comma(m->out);
    if (item->text >= 0 && item->image.len)
        return pk_make_refuse(m, "this model makes two vectors of a text with an image");
    if (item->text >= 0) {
        pk_buf_addf(m->out, "{\"text\":%.*s}", PK_FMT(pk_json_raw(m->in, item->text)));
        return true;
    }
    if (!pk_make_data_url(item->image, &media, &bytes))
        return pk_make_refuse(m, "this provider takes images as data: URLs alone");
    pk_buf_adds(m->out, "{\"image\":{");
    pk_member_text(m->out, "bytesBase64Encoded", bytes);
    pk_member_text(m->out, "mimeType", media);
    pk_buf_adds(m->out, "}}");
    return true;
}

static bool vertex_parameters(struct pk_maker *m, const char *dimension)
{
    static const struct pk_make_field fields[] = {
        {"auto_truncate", "autoTruncate", pk_make_same},
        {"autoTruncate", "autoTruncate", pk_make_same},
        {"dimensions", NULL, pk_make_nothing}, /* below */
        {"model", NULL, pk_make_nothing},      /* in the path */
        {"input", NULL, pk_make_nothing},      /* the instances, with these two */
        {"title", NULL, pk_make_nothing},
        {"input_type", NULL, pk_make_nothing},
        {"task_type", NULL, pk_make_nothing},
        {"encoding_format", NULL, pk_make_nothing}, /* made here */
    };
    size_t empty;

    pk_buf_adds(m->out, ",\"parameters\":{");
    empty = m->out->len;
    pk_make_copy(m, 0, "dimensions", dimension);
    if (!pk_make_fields(m, fields, PK_COUNT(fields)))
        return false;
    if (m->out->len == empty && !m->out->failed)
        m->out->len -= sizeof ",\"parameters\":{" - 1;
    else
        pk_buf_addc(m->out, '}');
    pk_make_report(m, fields, PK_COUNT(fields));
    return true;
}

static bool vertex_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                           struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    bool mixed = is_multimodal(pk_make_string(&m, pk_make_get(&m, 0, "model")));

    pk_buf_adds(out, "{\"instances\":[");
    if (!pk_embed_items(&m, mixed ? mixed_instance : text_instance))
        return false;
    pk_buf_addc(out, ']');
    if (!vertex_parameters(&m, mixed ? "dimension" : "outputDimensionality"))
        return false;
    pk_buf_addc(out, '}');
    return true;
}

/* Of one prediction: {"embeddings": {"values", "statistics"}}, or a vector under the name of what it is of. */
static int vector_of(const struct pk_json *doc, int prediction, struct pk_usage *u)
{
    int embeddings = pk_json_get(doc, prediction, "embeddings");
    int statistics = pk_json_get(doc, embeddings, "statistics");
    int text = pk_json_get(doc, prediction, "textEmbedding");

    if (pk_dialect_has(doc, statistics, "token_count")) {
        u->source = PK_USAGE_PROVIDER;
        u->input += pk_dialect_count(doc, statistics, "token_count");
    }
    if (embeddings >= 0)
        return pk_json_get(doc, embeddings, "values");
    return text >= 0 ? text : pk_json_get(doc, prediction, "imageEmbedding");
}

static bool vertex_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                          struct pk_buf *out, struct pk_error *err)
{
    int list = pk_json_get(doc, 0, "predictions");
    struct pk_embed_writer w = pk_embed_begin(arena, doc, a, out, err);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: predictions is no list");
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (!pk_embed_add(&w, vector_of(doc, v, &a->usage)))
            return false;
    if (!pk_embed_end(&w, a))
        return false;
    pk_buf_addc(out, '}');
    return true;
}

static bool vertex_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (!pk_vertex_model_path(model, out, err))
        return false;
    pk_buf_adds(out, ":predict");
    return true;
}

static bool vertex_images_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (!pk_vertex_model_path(model, out, err))
        return false;
    pk_buf_adds(out, pk_gemini_images_verb(model));
    return true;
}

const struct pk_codec pk_codecs_vertex[] = {
    {&pk_operation_embeddings, NULL, vertex_path, vertex_request, vertex_answer},
    {&pk_operation_images, NULL, vertex_images_path, pk_gemini_images_request,
     pk_gemini_images_answer},
    {0},
};
