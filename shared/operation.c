/* operation.c - see operation.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "codec.h"

#include "provider.h"
#include "tap.h"

enum { DROPPED_BYTES_MAX = 4096 };

#define OPERATION(symbol, ...) const struct pk_operation pk_operation_##symbol = {__VA_ARGS__};
#include "operations.def"
#undef OPERATION

static const struct pk_operation *const operations[] = {
#define OPERATION(symbol, ...) &pk_operation_##symbol,
#include "operations.def"
#undef OPERATION
};

const struct pk_operation *pk_operation_find(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(operations); i++)
        if (pk_str_is(name, operations[i]->name))
            return operations[i];
    return NULL;
}

const struct pk_operation *pk_operation_at(int i)
{
    return i < (int)PK_COUNT(operations) ? operations[i] : NULL;
}

/* --- codecs ---------------------------------------------------------------------------------- */

/* Of providers that spell an operation as its client does. */
static const struct pk_codec as_it_is[] = {
#define OPERATION(symbol, name, type, front, path, input, cached, output)                          \
    {&pk_operation_##symbol, path, NULL, NULL, NULL},
#include "operations.def"
#undef OPERATION
};

static const struct pk_codec *find_in(const struct pk_codec *codecs,
                                      const struct pk_operation *operation)
{
    for (const struct pk_codec *c = codecs; c && c->operation; c++)
        if (c->operation == operation)
            return c;
    return NULL;
}

const struct pk_codec *pk_codec_find(const struct pk_provider *provider,
                                     const struct pk_dialect *back,
                                     const struct pk_operation *operation)
{
    const struct pk_codec *c =
        back->plain ? find_in(pk_codecs_of_provider(pk_str_of(provider->name)), operation) : NULL;

    if (!c && back->plain)
        c = find_in(pk_codecs_of_images(pk_str_of(provider->name)), operation);

    if (!c)
        c = find_in(back->codecs, operation);
    if (c || (!back->plain && operation != &pk_operation_proxy))
        return c;
    for (size_t i = 0; i < PK_COUNT(as_it_is); i++)
        if (as_it_is[i].operation == operation)
            return &as_it_is[i];
    return NULL;
}

bool pk_codec_request(struct pk_arena *arena, const struct pk_codec *codec, pk_str body,
                      pk_str *out, pk_str *dropped, struct pk_error *err)
{
    struct pk_buf names = pk_buf_in(arena, DROPPED_BYTES_MAX);
    struct pk_buf made = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    *out = body;
    *dropped = PK_NONE;
    if (!codec->request)
        return true;
    if (!pk_json_parse(arena, body, "body", &doc, err) || !codec->request(&doc, &made, &names, err))
        return false;
    *out = pk_buf_str(&made);
    *dropped = pk_buf_str(&names); /* a list that is too long is cut, never an error */
    return pk_dialect_built(&made, "body", err);
}

bool pk_codec_url(struct pk_arena *arena, const struct pk_codec *codec, pk_str base, pk_str model,
                  pk_str tail, pk_str *url, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);

    pk_buf_add(&out,
               codec->operation == &pk_operation_proxy ? pk_operation_base(base, tail) : base);
    if (codec->path)
        pk_buf_adds(&out, codec->path);
    else if (!codec->path_of(base, model, &out, err))
        return false;
    pk_buf_add(&out, tail);
    *url = pk_buf_str(&out);
    if (out.failed && !arena->failed)
        return pk_fail(err, PK_BAD_REQUEST, "url: would be longer than %d bytes", PK_URL_BYTES_MAX);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "url: out of memory");
}

/* --- answers in the common shape -------------------------------------------------------------- */

static int64_t either(const struct pk_json *doc, int object, const char *a, const char *b)
{
    int64_t n = pk_dialect_count(doc, object, a);

    return n ? n : pk_dialect_count(doc, object, b);
}

/* OpenAI's older operations count prompt_tokens and completion_tokens, its newer ones input_tokens and
 * output_tokens; embeddings and rerankers elsewhere often total_tokens alone. */
static void read_usage(const struct pk_json *doc, struct pk_usage *u)
{
    int usage = pk_json_get(doc, 0, "usage");
    int64_t in = either(doc, usage, "prompt_tokens", "input_tokens");
    int64_t out = either(doc, usage, "completion_tokens", "output_tokens");

    *u = (struct pk_usage){0};
    if (in + out == 0)
        in = pk_dialect_count(doc, usage, "total_tokens");
    if (in + out == 0)
        return;
    *u = (struct pk_usage){.source = PK_USAGE_PROVIDER, .input = in, .output = out};
}

static bool settle(struct pk_arena *arena, const struct pk_operation *operation,
                   const struct pk_json *doc, const struct pk_answer *a, struct pk_buf *out,
                   struct pk_error *err)
{
    static const struct {
        const struct pk_operation *operation;
        pk_settle_fn *settle;
    } all[] = {
        {&pk_operation_embeddings, pk_embed_settle},
        {&pk_operation_rerank, pk_rerank_settle},
        {&pk_operation_moderations, pk_moderate_settle},
    };

    for (size_t i = 0; i < PK_COUNT(all); i++)
        if (all[i].operation == operation)
            return all[i].settle(arena, doc, a->request, out, err);
    return true;
}

/* An answer that has the common shape, or nearly. */
static bool read_common(struct pk_arena *arena, const struct pk_operation *operation,
                        const struct pk_json *doc, struct pk_answer *a, struct pk_error *err)
{
    struct pk_buf made = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    read_usage(doc, &a->usage); /* it is billed, whatever becomes of the rest */
    if (!pk_dialect_no_error(arena, doc, &a->fault, err) ||
        !settle(arena, operation, doc, a, &made, err))
        return false;
    if (operation == &pk_operation_images &&
        pk_json_type(doc, pk_json_get(doc, 0, "data")) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: data: must be an array");
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    if (made.len)
        a->body = pk_buf_str(&made);
    return pk_dialect_built(&made, "answer", err);
}

bool pk_codec_answer(struct pk_arena *arena, const struct pk_codec *codec, pk_str body,
                     struct pk_answer *a, struct pk_error *err)
{
    struct pk_buf made = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_error unused = {0};
    struct pk_json doc;

    *a = (struct pk_answer){
        .created_s = a->created_s, .asked = a->asked, .request = a->request, .body = body};
    if (pk_operation_is_raw(codec->operation) && !codec->answer) {
        a->opaque = !body.len || !pk_json_parse(arena, body, "answer", &doc, &unused);
        if (!a->opaque && pk_tap_usage(&doc, &a->usage))
            a->model = pk_json_str(arena, &doc, pk_json_get(&doc, 0, "model"));
        return !arena->failed || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    }
    a->opaque = !pk_dialect_parse(arena, body, &doc, err);
    if (a->opaque)
        return false;
    if (!codec->answer)
        return read_common(arena, codec->operation, &doc, a, err);
    if (!codec->answer(arena, &doc, a, &made, err))
        return false;
    a->body = pk_buf_str(&made);
    return pk_dialect_built(&made, "answer", err);
}
