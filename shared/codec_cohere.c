/* codec_cohere.c - Cohere's embeddings and rerankers, and its embeddings on Bedrock.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Cohere's reference of POST /v2/embed and POST /v2/rerank. An answer names no model. Rerankers are
 * billed in search units, which have no price in tokens.
 */
#include "codec.h"

/* --- embeddings: the request ------------------------------------------------------------------ */

static bool text_item(struct pk_maker *m, const struct pk_embed_item *item)
{
    pk_member_comma(m->out);
    pk_buf_add(m->out, pk_json_raw(m->in, item->text));
    return true;
}

static bool mixed_item(struct pk_maker *m, const struct pk_embed_item *item)
{
    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"content\":[");
    if (item->text >= 0)
        pk_buf_addf(m->out, "{\"type\":\"text\",\"text\":%.*s}%s",
                    PK_FMT(pk_json_raw(m->in, item->text)), item->image.len ? "," : "");
    if (item->image.len) {
        pk_buf_adds(m->out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
        pk_json_quote(m->out, item->image);
        pk_buf_adds(m->out, "}}");
    }
    pk_buf_adds(m->out, "]}");
    return true;
}

static bool inputs(struct pk_maker *m, int value, const char *to)
{
    bool mixed = pk_embed_has_images(m->in);

    (void)value;
    (void)to;
    pk_member_key(m->out, mixed ? "inputs" : "texts");
    pk_buf_addc(m->out, '[');
    if (!pk_embed_items(m, mixed ? mixed_item : text_item))
        return false;
    pk_buf_addc(m->out, ']');
    return true;
}

static const struct pk_make_field embed_fields[] = {
    {"model", "model", pk_make_same},
    {"input", NULL, inputs},
    {"dimensions", "output_dimension", pk_make_same},
    {"output_dimension", "output_dimension", pk_make_same},
    {"truncate", "truncate", pk_make_same},
    {"max_tokens", "max_tokens", pk_make_same},
    {"priority", "priority", pk_make_same},
    {"embedding_types", "embedding_types", pk_make_same},
    {"encoding_format", NULL, pk_make_nothing}, /* made here */
    {"input_type", NULL, pk_make_nothing},      /* pk_cohere_embed() */
    {"task_type", NULL, pk_make_nothing},
};

/* What each text is for must be said; most texts are kept to be found later. */
bool pk_cohere_embed(struct pk_maker *m, bool with_model)
{
    const struct pk_make_field *fields = embed_fields + !with_model;
    pk_str task = pk_embed_task(m, PK_TASK_COHERE);

    pk_buf_addc(m->out, '{');
    if (!pk_make_fields(m, fields, PK_COUNT(embed_fields) - !with_model))
        return false;
    pk_member_text(m->out, "input_type", task.len ? task : PK_STR("search_document"));
    if (!pk_make_has(m, 0, "embedding_types"))
        pk_dialect_raw(m->out, "embedding_types", PK_STR("[\"float\"]"));
    pk_make_end(m, embed_fields, PK_COUNT(embed_fields));
    return true;
}

static bool embed_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                          struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);

    return pk_cohere_embed(&m, true);
}

/* --- embeddings: the answer ------------------------------------------------------------------- */

/* True when there were images among what is billed. */
static bool read_usage(const struct pk_json *doc, struct pk_usage *u)
{
    int billed = pk_json_get(doc, pk_json_get(doc, 0, "meta"), "billed_units");

    if (!pk_dialect_has(doc, billed, "input_tokens"))
        return false;
    u->source = PK_USAGE_PROVIDER;
    u->input = pk_dialect_count(doc, billed, "input_tokens") +
               pk_dialect_count(doc, billed, "image_tokens");
    return pk_dialect_count(doc, billed, "images") || pk_dialect_count(doc, billed, "image_tokens");
}

/* Of vectors by type, those that stand as the embedding: the floats, or else the first. */
static int leading(const struct pk_json *doc, int by_type)
{
    int floats = pk_json_get(doc, by_type, "float");

    return floats >= 0 ? floats : pk_json_first(doc, by_type) + 1;
}

/* The vectors of every type that there is, when there are several. */
static bool others(struct pk_embed_writer *w, int by_type, int i)
{
    struct pk_buf *out = w->out;

    if (pk_json_count(w->doc, by_type) < 2 || out->failed)
        return true;
    out->len--; /* the item goes on */
    pk_member_key(out, "embeddings");
    pk_buf_addc(out, '{');
    for (int k = pk_json_first(w->doc, by_type); k >= 0; k = pk_json_next(w->doc, by_type, k)) {
        int vector = pk_json_item(w->doc, k + 1, i);

        if (vector < 0)
            return pk_fail(w->err, PK_BAD_ANSWER, "answer: an embedding is missing");
        pk_member_comma(out);
        pk_buf_addf(out, "%.*s:", PK_FMT(pk_json_raw(w->doc, k)));
        pk_dialect_line(out, pk_json_raw(w->doc, vector));
    }
    pk_buf_adds(out, "}}");
    return true;
}

bool pk_cohere_embedded(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                        struct pk_buf *out, struct pk_error *err)
{
    int by_type = pk_json_get(doc, 0, "embeddings"), i = 0;
    int list = pk_json_type(doc, by_type) == PK_JSON_OBJECT && pk_json_count(doc, by_type)
                   ? leading(doc, by_type)
                   : by_type;
    struct pk_embed_writer w = pk_embed_begin(arena, doc, a, out, err);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: embeddings is no list");
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v), i++)
        if (!pk_embed_add(&w, v) || (list != by_type && !others(&w, by_type, i)))
            return false;
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    if (read_usage(doc, &a->usage)) {
        a->usage.source = PK_USAGE_NONE; /* tokens of images have another price */
        a->billed = "tokens and images";
    }
    if (!pk_embed_end(&w, a))
        return false;
    pk_dialect_raw(out, "id", pk_json_raw(doc, pk_json_get(doc, 0, "id")));
    pk_dialect_raw(out, "meta", pk_json_raw(doc, pk_json_get(doc, 0, "meta")));
    pk_buf_addc(out, '}');
    return true;
}

/* --- rerank ---------------------------------------------------------------------------------- */

static bool documents(struct pk_maker *m, int value, const char *to)
{
    (void)value;
    pk_member_key(m->out, to);
    return pk_rerank_documents(m);
}

static bool rerank_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                           struct pk_error *err)
{
    static const struct pk_make_field fields[] = {
        {"model", "model", pk_make_same},
        {"query", "query", pk_make_same},
        {"documents", "documents", documents},
        {"top_n", "top_n", pk_make_same},
        {"max_tokens_per_doc", "max_tokens_per_doc", pk_make_same},
        {"priority", "priority", pk_make_same},
        {"return_documents", NULL, pk_make_nothing}, /* the answer gets them here */
    };
    struct pk_maker m = pk_make(body, out, dropped, err);

    return pk_make_object(&m, fields, PK_COUNT(fields));
}

static bool rerank_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                          struct pk_buf *out, struct pk_error *err)
{
    if (!pk_dialect_no_error(arena, doc, &a->fault, err) ||
        !pk_rerank_settle(arena, doc, a->request, out, err))
        return false;
    if (out->len == 0)
        pk_buf_add(out, pk_json_raw(doc, 0)); /* it has the common shape */
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    a->billed = "search units";
    return true;
}

/* --- paths ----------------------------------------------------------------------------------- */

static bool embed_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)model;
    (void)err;
    pk_buf_adds(out, pk_str_ends(base, "/v2") ? "/embed" : "/v2/embed");
    return true;
}

static bool rerank_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)model;
    (void)err;
    pk_buf_adds(out, pk_str_ends(base, "/v2") ? "/rerank" : "/v2/rerank");
    return true;
}

const struct pk_codec pk_codecs_cohere[] = {
    {&pk_operation_embeddings, NULL, embed_path, embed_request, pk_cohere_embedded},
    {&pk_operation_rerank, NULL, rerank_path, rerank_request, rerank_answer},
    {0},
};
