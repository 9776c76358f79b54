/* codec_provider.c - what providers of OpenAI's family spell otherwise: Voyage, Jina, Mistral, Nomic.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows docs.voyageai.com/reference, api.jina.ai/redoc, docs.mistral.ai/api and docs.nomic.ai. Fields that
 * they have and OpenAI has not pass as they are.
 */
#include "codec.h"

#include "dialect_read.h"

#include <string.h>

enum { RESPELLINGS_MAX = 8 };

/* A field that is known there by another name, or not at all. */
struct respelling {
    const char *from, *to; /* to NULL: dropped and reported */
    /* The value as JSON text; empty: it is left out. NULL: as it is. */
    pk_str (*value)(struct pk_maker *m, int value);
};

static bool has_edit(const struct pk_json_edit *edits, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (pk_str_is(edits[i].name, name) && edits[i].value.at)
            return true;
    return false;
}

/* The body with these changes, and every other byte as it was. Of two names for one field the provider's own
 * counts. */
static void respell(const struct pk_json *body, const struct respelling *rows, size_t count,
                    struct pk_buf *out, struct pk_buf *dropped)
{
    struct pk_maker m = pk_make(body, out, dropped, NULL);
    struct pk_json_edit edits[RESPELLINGS_MAX * 2];
    int n = 0;

    PK_ASSERT(count <= RESPELLINGS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct respelling *r = &rows[i];
        int value = pk_json_get(body, 0, r->from);
        bool same = r->to && strcmp(r->from, r->to) == 0;

        if (pk_json_type(body, value) <= PK_JSON_NULL)
            continue;
        pk_str text = r->value ? r->value(&m, value) : pk_json_raw(body, value);
        if (!r->to)
            pk_make_drop(&m, r->from);
        if (!same || text.len == 0)
            edits[n++] = (struct pk_json_edit){pk_str_of(r->from), PK_NONE};
        if (r->to && text.len && (same || pk_json_get(body, 0, r->to) < 0) &&
            !has_edit(edits, n, r->to))
            edits[n++] = (struct pk_json_edit){pk_str_of(r->to), text};
    }
    pk_json_splice(out, body, 0, edits, n);
}

/* The task in a provider's words, as a JSON string. */
static pk_str task_in(struct pk_maker *m, enum pk_task_names names)
{
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    pk_str word = pk_embed_task(m, names);

    if (word.len)
        pk_json_quote(&out, word);
    return pk_buf_str(&out);
}

/* --- Voyage ---------------------------------------------------------------------------------- */

static pk_str voyage_task(struct pk_maker *m, int value)
{
    (void)value;
    return task_in(m, PK_TASK_VOYAGE);
}

/* Floats are what there is without it. */
static pk_str voyage_format(struct pk_maker *m, int value)
{
    return pk_json_is(m->in, value, "float") ? PK_NONE : pk_json_raw(m->in, value);
}

static bool is_voyage_multimodal(pk_str model)
{
    return pk_str_starts(model, "voyage-multimodal");
}

static bool voyage_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    (void)err;
    pk_buf_adds(out, is_voyage_multimodal(model) ? "/multimodalembeddings" : "/embeddings");
    return true;
}

static bool voyage_part(struct pk_maker *m, const struct pk_embed_item *item)
{
    bool web = pk_make_is_web(item->image);

    pk_member_comma(m->out);
    pk_buf_adds(m->out, "{\"content\":[");
    if (item->text >= 0)
        pk_buf_addf(m->out, "{\"type\":\"text\",\"text\":%.*s}%s",
                    PK_FMT(pk_json_raw(m->in, item->text)), item->image.len ? "," : "");
    if (item->image.len) {
        pk_buf_addf(m->out, "{\"type\":\"%s\",\"%s\":", web ? "image_url" : "image_base64",
                    web ? "image_url" : "image_base64");
        pk_json_quote(m->out, item->image);
        pk_buf_addc(m->out, '}');
    }
    pk_buf_adds(m->out, "]}");
    return true;
}

static bool voyage_task_field(struct pk_maker *m, int value, const char *to)
{
    pk_str word = pk_embed_task(m, PK_TASK_VOYAGE);

    (void)value;
    if (word.len) {
        pk_member_key(m->out, to);
        pk_json_quote(m->out, word);
    }
    return true;
}

static bool voyage_format_field(struct pk_maker *m, int value, const char *to)
{
    if (pk_json_is(m->in, value, "base64"))
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, value));
    return true;
}

static bool voyage_inputs(struct pk_maker *m, int value, const char *to)
{
    (void)value;
    pk_member_key(m->out, to);
    pk_buf_addc(m->out, '[');
    if (!pk_embed_items(m, voyage_part))
        return false;
    pk_buf_addc(m->out, ']');
    return true;
}

static bool voyage_multimodal(const struct pk_json *body, struct pk_buf *out,
                              struct pk_buf *dropped, struct pk_error *err)
{
    static const struct pk_make_field fields[] = {
        {"model", "model", pk_make_same},
        {"input", "inputs", voyage_inputs},
        {"input_type", "input_type", voyage_task_field},
        {"truncation", "truncation", pk_make_same},
        {"encoding_format", "output_encoding", voyage_format_field},
        {"dimensions", "output_dimension", pk_make_same},
    };
    struct pk_maker m = pk_make(body, out, dropped, err);

    return pk_make_object(&m, fields, PK_COUNT(fields));
}

static bool voyage_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                           struct pk_error *err)
{
    static const struct respelling rows[] = {
        {"dimensions", "output_dimension", NULL},
        {"input_type", "input_type", voyage_task},
        {"task_type", "input_type", voyage_task},
        {"encoding_format", "encoding_format", voyage_format},
        {"user", NULL, NULL},
    };
    pk_str model = pk_json_str(out->arena, body, pk_json_get(body, 0, "model"));

    if (is_voyage_multimodal(model))
        return voyage_multimodal(body, out, dropped, err);
    respell(body, rows, PK_COUNT(rows), out, dropped);
    return true;
}

/* Documents are texts, and how many are wanted has another name. */
static bool voyage_rerank(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                          struct pk_error *err)
{
    struct pk_buf texts = pk_buf_in(out->arena, PK_BODY_BYTES_MAX);
    struct pk_maker m = pk_make(body, &texts, dropped, err);
    int top = pk_json_get(body, 0, "top_n");
    bool renamed = pk_json_type(body, top) > PK_JSON_NULL && pk_json_get(body, 0, "top_k") < 0;

    if (!pk_rerank_documents(&m))
        return false;
    const struct pk_json_edit edits[] = {{PK_STR("documents"), pk_buf_str(&texts)},
                                         {PK_STR("top_n"), PK_NONE},
                                         {PK_STR("top_k"), pk_json_raw(body, top)}};
    pk_json_splice(out, body, 0, edits, renamed ? 3 : 2);
    out->failed = out->failed || texts.failed;
    return true;
}

/* --- Jina ------------------------------------------------------------------------------------ */

static pk_str jina_task(struct pk_maker *m, int value)
{
    (void)value;
    return task_in(m, PK_TASK_JINA);
}

static bool jina_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                         struct pk_error *err)
{
    static const struct respelling rows[] = {
        {"encoding_format", "embedding_type", NULL},
        {"input_type", "task", jina_task},
        {"task_type", "task", jina_task},
        {"user", NULL, NULL},
    };

    (void)err;
    respell(body, rows, PK_COUNT(rows), out, dropped);
    return true;
}

/* --- Mistral --------------------------------------------------------------------------------- */

static bool mistral_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                            struct pk_error *err)
{
    static const struct respelling rows[] = {{"dimensions", "output_dimension", NULL},
                                             {"user", NULL, NULL}};

    (void)err;
    respell(body, rows, PK_COUNT(rows), out, dropped);
    return true;
}

/* --- Nomic ----------------------------------------------------------------------------------- */

static const struct pk_make_field nomic_fields[] = {
    {"model", "model", pk_make_same},
    {"input", "texts", pk_embed_texts},
    {"dimensions", "dimensionality", pk_make_same},
    {"dimensionality", "dimensionality", pk_make_same},
    {"long_text_mode", "long_text_mode", pk_make_same},
    {"max_tokens_per_text", "max_tokens_per_text", pk_make_same},
    {"encoding_format", NULL, pk_make_nothing}, /* made here */
    {"input_type", NULL, pk_make_nothing},      /* below */
    {"task_type", NULL, pk_make_nothing},
};

static bool nomic_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                          struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);

    pk_buf_addc(out, '{');
    if (!pk_make_fields(&m, nomic_fields, PK_COUNT(nomic_fields)))
        return false;
    pk_str task = pk_embed_task(&m, PK_TASK_NOMIC);
    if (task.len)
        pk_member_text(out, "task_type", task);
    pk_make_end(&m, nomic_fields, PK_COUNT(nomic_fields));
    return true;
}

static bool nomic_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                         struct pk_buf *out, struct pk_error *err)
{
    int usage = pk_json_get(doc, 0, "usage");
    struct pk_embed_writer w = pk_embed_begin(arena, doc, a, out, err);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err) ||
        !pk_embed_add_all(&w, pk_json_get(doc, 0, "embeddings")))
        return false;
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    if (pk_dialect_has(doc, usage, "prompt_tokens"))
        a->usage = (struct pk_usage){.source = PK_USAGE_PROVIDER,
                                     .input = pk_dialect_count(doc, usage, "prompt_tokens")};
    if (!pk_embed_end(&w, a))
        return false;
    pk_buf_addc(out, '}');
    return true;
}

/* --- by name --------------------------------------------------------------------------------- */

/* clang-format off */
static const struct pk_codec voyage[] = {
    {&pk_operation_embeddings, NULL,              voyage_path, voyage_request, NULL},
    {&pk_operation_rerank,     "/rerank",         NULL,        voyage_rerank,  NULL},
    {0},
};
static const struct pk_codec jina[] = {
    {&pk_operation_embeddings, "/embeddings",     NULL,        jina_request,   NULL},
    {0},
};
static const struct pk_codec mistral[] = {
    {&pk_operation_embeddings, "/embeddings",     NULL,        mistral_request, NULL},
    {0},
};
static const struct pk_codec nomic[] = {
    {&pk_operation_embeddings, "/embedding/text", NULL,        nomic_request,  nomic_answer},
    {0},
};
/* clang-format on */

const struct pk_codec *pk_codecs_of_provider(pk_str name)
{
    static const struct {
        const char *provider;
        const struct pk_codec *codecs;
    } all[] = {{"voyage", voyage}, {"jina", jina}, {"mistral-ai", mistral}, {"nomic", nomic}};

    for (size_t i = 0; i < PK_COUNT(all); i++)
        if (pk_str_is(name, all[i].provider))
            return all[i].codecs;
    return NULL;
}
