/* codec_rerank.c - rerankers and moderations in their common shapes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Cohere's reference of POST /v2/rerank, with what its first version and Jina have besides:
 * return_documents, and documents that are objects with a text. Moderations follow OpenAI's reference of
 * POST /moderations; Mistral's answers say no "flagged".
 */
#include "codec.h"

#include <stdio.h>

/* --- rerank: requests ------------------------------------------------------------------------- */

/* The text of a document, which is one or has one; -1: neither. */
static int text_of(const struct pk_json *doc, int document)
{
    int text = pk_json_type(doc, document) == PK_JSON_OBJECT ? pk_json_get(doc, document, "text")
                                                             : document;

    return pk_json_type(doc, text) == PK_JSON_STRING ? text : -1;
}

bool pk_rerank_documents(struct pk_maker *m)
{
    int list = pk_make_get(m, 0, "documents"), i = 0;

    (void)snprintf(m->path, sizeof m->path, "documents");
    if (pk_make_type(m, list) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "must be a list");
    pk_buf_addc(m->out, '[');
    for (int v = pk_json_first(m->in, list); v >= 0; v = pk_json_next(m->in, list, v), i++) {
        int text = text_of(m->in, v);

        (void)snprintf(m->path, sizeof m->path, "documents[%d]", i);
        if (text < 0)
            return pk_make_refuse(m, "must be a text, or an object with a text");
        pk_member_comma(m->out);
        pk_buf_add(m->out, pk_json_raw(m->in, text));
    }
    pk_buf_addc(m->out, ']');
    return true;
}

/* --- rerank: answers -------------------------------------------------------------------------- */

static bool check_result(const struct pk_json *doc, int result, int documents, struct pk_error *err)
{
    int64_t index;
    double score;

    if (!pk_json_int(doc, pk_json_get(doc, result, "index"), &index) || index < 0 ||
        (documents >= 0 && index >= documents))
        return pk_fail(err, PK_BAD_ANSWER, "answer: a result names no document");
    return pk_json_number(doc, pk_json_get(doc, result, "relevance_score"), &score) ||
           pk_fail(err, PK_BAD_ANSWER, "answer: a result has no relevance_score");
}

/* The document that a result is to have: its own, as an object, or the one that was sent. Empty: none, or it has
 * that already. */
static pk_str document_of(const struct pk_json *doc, int result, const struct pk_json *request,
                          struct pk_arena *arena)
{
    int own = pk_json_get(doc, result, "document");
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    pk_str raw = pk_json_raw(doc, own);
    int64_t index = 0;

    if (own >= 0 && pk_json_type(doc, own) != PK_JSON_STRING)
        return PK_NONE;
    if (own < 0) {
        if (!request || !pk_json_true(request, pk_json_get(request, 0, "return_documents")))
            return PK_NONE;
        (void)pk_json_int(doc, pk_json_get(doc, result, "index"), &index);
        raw = pk_json_raw(request,
                          pk_json_item(request, pk_json_get(request, 0, "documents"), (int)index));
    }
    pk_buf_addf(&out, raw.len && raw.at[0] == '"' ? "{\"text\":%.*s}" : "%.*s", PK_FMT(raw));
    return pk_buf_str(&out);
}

/* The results with their documents, and whether that changes any. */
static bool add_results(const struct pk_json *doc, int list, const struct pk_json *request,
                        struct pk_buf *out)
{
    bool changed = false;

    pk_buf_addc(out, '[');
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v)) {
        struct pk_json_edit edit = {PK_STR("document"), document_of(doc, v, request, out->arena)};

        changed = changed || edit.value.len;
        pk_member_comma(out);
        pk_json_splice(out, doc, v, &edit, edit.value.len ? 1 : 0);
    }
    pk_buf_addc(out, ']');
    return changed;
}

bool pk_rerank_settle(struct pk_arena *arena, const struct pk_json *doc,
                      const struct pk_json *request, struct pk_buf *out, struct pk_error *err)
{
    int results = pk_json_get(doc, 0, "results"), data = pk_json_get(doc, 0, "data");
    int documents = request ? pk_json_count(request, pk_json_get(request, 0, "documents")) : -1;
    int list = results >= 0 ? results : data;
    struct pk_buf made = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: results is no list");
    if (documents >= 0 && pk_json_count(doc, list) > documents)
        return pk_fail(err, PK_BAD_ANSWER, "answer: more results than documents");
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (!check_result(doc, v, documents, err))
            return false;
    if (!add_results(doc, list, request, &made) && list == results)
        return true;
    const struct pk_json_edit edits[] = {{PK_STR("results"), pk_buf_str(&made)},
                                         {PK_STR("data"), PK_NONE}};
    pk_json_splice(out, doc, 0, edits, list == data ? 2 : 1);
    out->failed = out->failed || made.failed;
    return true;
}

/* --- moderations ------------------------------------------------------------------------------ */

static bool any_true(const struct pk_json *doc, int categories)
{
    for (int k = pk_json_first(doc, categories); k >= 0; k = pk_json_next(doc, categories, k))
        if (pk_json_true(doc, k + 1))
            return true;
    return false;
}

static bool check_verdict(const struct pk_json *doc, int result, struct pk_error *err)
{
    int categories = pk_json_get(doc, result, "categories");
    int flagged = pk_json_get(doc, result, "flagged");

    if (pk_json_type(doc, categories) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: a result has no categories");
    return flagged < 0 || pk_json_type(doc, flagged) == PK_JSON_TRUE ||
           pk_json_type(doc, flagged) == PK_JSON_FALSE ||
           pk_fail(err, PK_BAD_ANSWER, "answer: flagged is neither true nor false");
}

/* A list of texts has a verdict each; anything else has one. */
static int verdicts_wanted(const struct pk_json *request)
{
    int input = pk_json_get(request, 0, "input");
    bool texts = pk_json_type(request, input) == PK_JSON_ARRAY &&
                 pk_json_type(request, pk_json_first(request, input)) == PK_JSON_STRING;

    return texts ? pk_json_count(request, input) : 1;
}

bool pk_moderate_settle(struct pk_arena *arena, const struct pk_json *doc,
                        const struct pk_json *request, struct pk_buf *out, struct pk_error *err)
{
    int list = pk_json_get(doc, 0, "results");
    struct pk_buf made = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    bool changed = false;

    if (pk_json_type(doc, list) != PK_JSON_ARRAY || pk_json_count(doc, list) == 0)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no results in it");
    if (request && pk_json_count(doc, list) != verdicts_wanted(request))
        return pk_fail(err, PK_BAD_ANSWER, "answer: %d results for %d inputs",
                       pk_json_count(doc, list), verdicts_wanted(request));
    pk_buf_addc(&made, '[');
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v)) {
        bool flagged = any_true(doc, pk_json_get(doc, v, "categories"));
        struct pk_json_edit edit = {PK_STR("flagged"), flagged ? PK_STR("true") : PK_STR("false")};

        if (!check_verdict(doc, v, err))
            return false;
        bool missing = pk_json_get(doc, v, "flagged") < 0;
        changed = changed || missing;
        pk_member_comma(&made);
        pk_json_splice(&made, doc, v, &edit, missing);
    }
    pk_buf_addc(&made, ']');
    if (!changed)
        return true;
    struct pk_json_edit edit = {PK_STR("results"), pk_buf_str(&made)};
    pk_json_splice(out, doc, 0, &edit, 1);
    out->failed = out->failed || made.failed;
    return true;
}
