/* codec_images.c - images of providers that do not speak OpenAI's API: Google, Stability, Fireworks, SiliconFlow,
 * Segmind, Replicate.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows ai.google.dev/api (predict, generateContent), platform.stability.ai/docs/api-reference,
 * docs.fireworks.ai/api-reference, docs.siliconflow.com, docs.segmind.com and replicate.com/docs/reference/http.
 * Where a provider knows shapes and no sizes, it is asked for the shape of the size. Fields of its own pass.
 */
#include "codec.h"

#include "dialect_gemini.h"
#include "dialect_read.h"
#include "tap.h"

#include <math.h>
#include <string.h>

#define BOUNDARY "pk-form-5e1c9f0a7b3d"

/* --- requests -------------------------------------------------------------------------------- */

/* "1024x768" */
static bool read_size(pk_str size, int64_t *width, int64_t *height)
{
    int x = pk_str_find(size, 'x');

    return x > 0 && pk_str_int(pk_str_sub(size, 0, (size_t)x), width) &&
           pk_str_int(pk_str_sub(size, (size_t)x + 1, size.len), height) && *width > 0 &&
           *height > 0;
}

/* The shape of "size" among those of a list, "16:9 1:1 ..."; empty: there is no size, or none is near, which is
 * reported. */
static pk_str shape_of(struct pk_maker *m, const char *shapes)
{
    pk_str size = pk_make_string(m, pk_make_get(m, 0, "size")), rest = pk_str_of(shapes);
    pk_str best = PK_NONE;
    double off, least = 0.06;
    int64_t width, height, w, h;

    if (size.len == 0 || pk_str_is(size, "auto"))
        return PK_NONE;
    if (!read_size(size, &width, &height))
        rest = PK_NONE;
    while (rest.len) {
        int blank = pk_str_find(rest, ' ');
        pk_str shape = pk_str_sub(rest, 0, blank < 0 ? rest.len : (size_t)blank);
        size_t colon = (size_t)pk_str_find(shape, ':');

        rest = pk_str_sub(rest, shape.len + 1, rest.len);
        (void)pk_str_int(pk_str_sub(shape, 0, colon), &w);
        (void)pk_str_int(pk_str_sub(shape, colon + 1, shape.len), &h);
        off = fabs(log((double)width * (double)h / ((double)height * (double)w)));
        if (off < least) {
            least = off;
            best = shape;
        }
    }
    if (best.len == 0)
        pk_make_drop(m, "size");
    return best;
}

static void add_shape(struct pk_maker *m, const char *name, const char *shapes)
{
    pk_str shape = shape_of(m, shapes);

    if (shape.len)
        pk_member_text(m->out, name, shape);
}

/* What OpenAI alone has: an answer of another form, or a setting that only its models know. */
static const char *const openai_only[] = {
    "quality",        "background", "moderation", "user", "output_compression",
    "partial_images", "stream",     NULL,
};

/* The members that neither `taken`, which NULL ends, nor OpenAI alone has: the provider's own. */
static void add_own(struct pk_maker *m, const char *const *taken)
{
    const struct pk_json *in = m->in;

    for (int k = pk_json_first(in, 0); k >= 0; k = pk_json_next(in, 0, k)) {
        if (pk_make_listed(m, k, taken))
            continue;
        pk_str name = pk_copy(m->arena, pk_json_str(m->arena, in, k));
        if (pk_make_listed(m, k, openai_only))
            pk_make_drop(m, name.at);
        else
            pk_dialect_raw(m->out, name.at, pk_json_raw(in, k + 1));
    }
}

/* An answer has one image, whatever is asked for. */
static void only_one(struct pk_maker *m)
{
    if (pk_make_has(m, 0, "n"))
        (void)pk_make_one(m, pk_make_get(m, 0, "n"), "n");
}

/* Images come as "url" or as "b64_json", whichever is asked for. */
static void only_as(struct pk_maker *m, const char *form)
{
    int asked = pk_make_get(m, 0, "response_format");

    if (pk_make_has(m, 0, "response_format") && !pk_json_is(m->in, asked, form))
        pk_make_drop(m, "response_format");
}

/* --- answers --------------------------------------------------------------------------------- */

struct pictures {
    struct pk_buf *out;
    int count;
};

static struct pictures begin(const struct pk_answer *a, struct pk_buf *out)
{
    pk_buf_addf(out, "{\"created\":%lld,\"data\":[", (long long)a->created_s);
    return (struct pictures){out, 0};
}

/* One image: an address, or base64 that may stand in a data: URL. */
static void add(struct pictures *p, pk_str image)
{
    pk_str media, bytes;

    if (image.len == 0)
        return;
    pk_member_comma(p->out);
    pk_buf_addc(p->out, '{');
    if (pk_make_is_web(image))
        pk_member_text(p->out, "url", image);
    else
        pk_member_text(p->out, "b64_json", pk_make_data_url(image, &media, &bytes) ? bytes : image);
    pk_buf_addc(p->out, '}');
    p->count++;
}

/* A string, or a list of them. */
static void add_strings(struct pk_arena *arena, struct pictures *p, const struct pk_json *doc,
                        int value)
{
    add(p, pk_json_str(arena, doc, value));
    if (pk_json_type(doc, value) != PK_JSON_ARRAY)
        return;
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        add(p, pk_json_str(arena, doc, v));
}

/* The member `name` of each item of a list. */
static void add_members(struct pk_arena *arena, struct pictures *p, const struct pk_json *doc,
                        int list, const char *name)
{
    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return;
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        add(p, pk_json_str(arena, doc, pk_json_get(doc, v, name)));
}

/* `why` is the provider's word for why there is none; may be empty. */
static bool end(struct pictures *p, pk_str why, struct pk_error *err)
{
    pk_buf_adds(p->out, "]}");
    if (p->count)
        return true;
    return pk_fail(err, PK_BAD_ANSWER, "answer: no image%s%.*s", why.len ? ": " : "",
                   PK_FMT(pk_str_sub(why, 0, 64)));
}

pk_str pk_images_outline(struct pk_arena *arena, pk_str body)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_error unused = {0};
    struct pk_json doc;
    size_t from = 0;

    if (body.len == 0 || !pk_json_parse(arena, body, "answer", &doc, &unused))
        return body;
    int list = pk_json_get(&doc, 0, "data");
    if (pk_json_type(&doc, list) != PK_JSON_ARRAY)
        return body;
    for (int v = pk_json_first(&doc, list); v >= 0; v = pk_json_next(&doc, list, v)) {
        int image = pk_json_get(&doc, v, "b64_json");

        if (pk_json_type(&doc, image) != PK_JSON_STRING)
            continue;
        size_t start = doc.nodes[image].start, to = doc.nodes[image].end;
        pk_buf_add(&out, pk_str_sub(body, from, start - from));
        pk_buf_addf(&out, "\"%zu bytes\"", (to - start - 2) / 4 * 3);
        from = to;
    }
    pk_buf_add(&out, pk_str_sub(body, from, body.len));
    return out.failed ? PK_NONE : pk_buf_str(&out);
}

/* --- Google ---------------------------------------------------------------------------------- */

static bool is_imagen(pk_str model)
{
    return pk_str_starts(model, "imagen") || pk_str_starts(model, "models/imagen");
}

static void imagen(struct pk_maker *m, pk_str prompt)
{
    static const char *const taken[] = {"model", "prompt", "n", "size", "response_format", NULL};
    int n = pk_make_get(m, 0, "n");

    pk_buf_adds(m->out, "{\"instances\":[{");
    pk_member_text(m->out, "prompt", prompt);
    pk_buf_adds(m->out, "}],\"parameters\":{");
    pk_dialect_raw(m->out, "sampleCount", n < 0 ? PK_STR("1") : pk_json_raw(m->in, n));
    add_shape(m, "aspectRatio", "1:1 3:4 4:3 9:16 16:9");
    add_own(m, taken);
    pk_buf_adds(m->out, "}}");
}

static void gemini(struct pk_maker *m, pk_str prompt)
{
    static const char *const taken[] = {"model", "prompt", "n", "size", "response_format", NULL};
    pk_str shape = shape_of(m, "1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9");

    only_one(m);
    pk_buf_adds(m->out, "{\"contents\":[{\"role\":\"user\",\"parts\":[{");
    pk_member_text(m->out, "text", prompt);
    pk_buf_adds(m->out, "}]}],\"generationConfig\":{\"responseModalities\":[\"IMAGE\"]");
    if (shape.len)
        pk_buf_addf(m->out, ",\"imageConfig\":{\"aspectRatio\":\"%.*s\"}", PK_FMT(shape));
    pk_buf_addc(m->out, '}');
    add_own(m, taken);
    pk_buf_addc(m->out, '}');
}

bool pk_gemini_images_request(const struct pk_json *body, struct pk_buf *out,
                              struct pk_buf *dropped, struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    pk_str prompt = pk_make_string(&m, pk_make_get(&m, 0, "prompt"));

    only_as(&m, "b64_json");
    (is_imagen(pk_make_string(&m, pk_make_get(&m, 0, "model"))) ? imagen : gemini)(&m, prompt);
    return true;
}

const char *pk_gemini_images_verb(pk_str model)
{
    return is_imagen(model) ? ":predict" : ":generateContent";
}

bool pk_gemini_images_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    if (!pk_gemini_model_path(base, model, out, err))
        return false;
    pk_buf_adds(out, pk_gemini_images_verb(model));
    return true;
}

static void add_parts(struct pk_arena *arena, struct pictures *p, const struct pk_json *doc,
                      int candidate)
{
    int parts = pk_json_get(doc, pk_json_get(doc, candidate, "content"), "parts");

    if (pk_json_type(doc, parts) != PK_JSON_ARRAY)
        return;
    for (int v = pk_json_first(doc, parts); v >= 0; v = pk_json_next(doc, parts, v))
        add(p,
            pk_json_str(arena, doc, pk_json_get(doc, pk_json_get(doc, v, "inlineData"), "data")));
}

bool pk_gemini_images_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                             struct pk_buf *out, struct pk_error *err)
{
    int list = pk_json_get(doc, 0, "candidates");
    struct pictures p = begin(a, out);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    add_members(arena, &p, doc, pk_json_get(doc, 0, "predictions"), "bytesBase64Encoded");
    if (pk_json_type(doc, list) == PK_JSON_ARRAY)
        for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
            add_parts(arena, &p, doc, v);
    (void)pk_tap_usage(doc, &a->usage);
    pk_str why = pk_json_str(arena, doc, pk_json_at(doc, "promptFeedback.blockReason"));
    if (why.len == 0)
        why = pk_json_str(arena, doc, pk_json_at(doc, "candidates[0].finishReason"));
    return end(&p, why, err);
}

/* --- Stability: the older engines in JSON, the newer services in forms --------------------------- */

static bool is_engine(pk_str model)
{
    return pk_str_starts(model, "stable-diffusion-v1") ||
           pk_str_starts(model, "stable-diffusion-xl") ||
           pk_str_starts(model, "stable-diffusion-512");
}

static bool stability_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (model.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: is missing");
    if (is_engine(model))
        pk_buf_addf(out, "/v1/generation/%.*s/text-to-image", PK_FMT(model));
    else
        pk_buf_addf(out, "/v2beta/stable-image/generate/%s",
                    pk_str_ends(model, "core")    ? "core"
                    : pk_str_ends(model, "ultra") ? "ultra"
                                                  : "sd3");
    return true;
}

static void engine(struct pk_maker *m)
{
    static const char *const taken[] = {"model", "prompt",          "n", "size",
                                        "style", "response_format", NULL};
    pk_str size = pk_make_string(m, pk_make_get(m, 0, "size"));
    int64_t width, height;

    pk_buf_addf(m->out, "{\"text_prompts\":[{\"text\":%.*s,\"weight\":1}]",
                PK_FMT(pk_json_raw(m->in, pk_make_get(m, 0, "prompt"))));
    if (read_size(size, &width, &height))
        pk_buf_addf(m->out, ",\"width\":%lld,\"height\":%lld", (long long)width, (long long)height);
    pk_make_copy(m, 0, "n", "samples");
    pk_make_copy(m, 0, "style", "style_preset");
    add_own(m, taken);
    pk_buf_addc(m->out, '}');
}

static bool add_field(struct pk_maker *m, const char *name, pk_str value)
{
    if (value.len == 0)
        return true;
    if (memmem(value.at, value.len, BOUNDARY, sizeof BOUNDARY - 1))
        return pk_fail(m->err, PK_BAD_REQUEST, "%s: cannot be said in a form", name);
    pk_buf_addf(m->out, "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n",
                name);
    pk_buf_add(m->out, value);
    pk_buf_adds(m->out, "\r\n");
    return true;
}

/* A string without its quotes, or a number. */
static pk_str plain(const struct pk_maker *m, const char *name)
{
    int value = pk_make_get(m, 0, name);

    return pk_make_type(m, value) == PK_JSON_STRING   ? pk_make_string(m, value)
           : pk_make_type(m, value) == PK_JSON_NUMBER ? pk_json_raw(m->in, value)
                                                      : PK_NONE;
}

static bool service(struct pk_maker *m, pk_str model)
{
    static const struct {
        const char *from, *to;
    } fields[] = {{"prompt", "prompt"},
                  {"negative_prompt", "negative_prompt"},
                  {"seed", "seed"},
                  {"style", "style_preset"},
                  {"style_preset", "style_preset"},
                  {"output_format", "output_format"},
                  {"cfg_scale", "cfg_scale"},
                  {"aspect_ratio", "aspect_ratio"}};
    static const struct pk_make_field known[] = {{"prompt", NULL, NULL},
                                                 {"negative_prompt", NULL, NULL},
                                                 {"seed", NULL, NULL},
                                                 {"style", NULL, NULL},
                                                 {"style_preset", NULL, NULL},
                                                 {"output_format", NULL, NULL},
                                                 {"cfg_scale", NULL, NULL},
                                                 {"aspect_ratio", NULL, NULL},
                                                 {"model", NULL, NULL},
                                                 {"size", NULL, NULL},
                                                 {"n", NULL, NULL},
                                                 {"response_format", NULL, NULL}};
    bool named = !pk_str_ends(model, "core") && !pk_str_ends(model, "ultra");

    only_one(m);
    for (size_t i = 0; i < PK_COUNT(fields); i++)
        if (!add_field(m, fields[i].to, plain(m, fields[i].from)))
            return false;
    if (!add_field(m, "aspect_ratio", shape_of(m, "16:9 1:1 21:9 2:3 3:2 4:5 5:4 9:16 9:21")) ||
        (named && !add_field(m, "model", model)))
        return false;
    pk_buf_adds(m->out, "--" BOUNDARY "--\r\n");
    pk_make_report(m, known, PK_COUNT(known));
    return true;
}

static bool stability_request(const struct pk_json *body, struct pk_buf *out,
                              struct pk_buf *dropped, struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    pk_str model = pk_make_string(&m, pk_make_get(&m, 0, "model"));

    only_as(&m, "b64_json");
    if (!is_engine(model))
        return service(&m, model);
    engine(&m);
    return true;
}

static bool stability_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                             struct pk_buf *out, struct pk_error *err)
{
    pk_str reason = pk_json_str(arena, doc, pk_json_get(doc, 0, "finish_reason"));
    struct pictures p = begin(a, out);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    if (!pk_str_is(reason, "CONTENT_FILTERED"))
        add(&p, pk_json_str(arena, doc, pk_json_get(doc, 0, "image")));
    add_members(arena, &p, doc, pk_json_get(doc, 0, "artifacts"), "base64");
    return end(&p, reason, err);
}

/* --- Fireworks --------------------------------------------------------------------------------- */

static bool fireworks_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (model.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: is missing");
    pk_buf_addf(out, "/workflows/%s%.*s/text_to_image",
                pk_str_find(model, '/') < 0 ? "accounts/fireworks/models/" : "", PK_FMT(model));
    return true;
}

static bool fireworks_request(const struct pk_json *body, struct pk_buf *out,
                              struct pk_buf *dropped, struct pk_error *err)
{
    static const char *const taken[] = {"model", "n", "size", "response_format", NULL};
    struct pk_maker m = pk_make(body, out, dropped, err);

    only_one(&m);
    only_as(&m, "b64_json");
    pk_buf_addc(out, '{');
    add_shape(&m, "aspect_ratio", "1:1 21:9 16:9 3:2 5:4 4:5 2:3 9:16 9:21 4:3 3:4");
    add_own(&m, taken);
    pk_buf_addc(out, '}');
    return true;
}

static bool fireworks_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                             struct pk_buf *out, struct pk_error *err)
{
    struct pictures p = begin(a, out);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    add_strings(arena, &p, doc, pk_json_get(doc, 0, "base64"));
    return end(&p, pk_json_str(arena, doc, pk_json_get(doc, 0, "finishReason")), err);
}

/* --- SiliconFlow ------------------------------------------------------------------------------- */

static bool siliconflow_request(const struct pk_json *body, struct pk_buf *out,
                                struct pk_buf *dropped, struct pk_error *err)
{
    static const char *const taken[] = {"n", "size", "response_format", NULL};
    struct pk_maker m = pk_make(body, out, dropped, err);

    only_as(&m, "url");
    pk_buf_addc(out, '{');
    pk_make_copy(&m, 0, "size", "image_size");
    pk_make_copy(&m, 0, "n", "batch_size");
    add_own(&m, taken);
    pk_buf_addc(out, '}');
    return true;
}

static bool siliconflow_answer(struct pk_arena *arena, const struct pk_json *doc,
                               struct pk_answer *a, struct pk_buf *out, struct pk_error *err)
{
    int list = pk_json_get(doc, 0, "images");
    struct pictures p = begin(a, out);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    add_members(arena, &p, doc, list < 0 ? pk_json_get(doc, 0, "data") : list, "url");
    return end(&p, PK_NONE, err);
}

/* --- Segmind ----------------------------------------------------------------------------------- */

static bool segmind_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    pk_buf_addf(out, "/%.*s", PK_FMT(model));
    return model.len || pk_fail(err, PK_BAD_REQUEST, "model: is missing");
}

static bool segmind_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                            struct pk_error *err)
{
    static const char *const taken[] = {"model", "n", "size", "response_format", "base64", NULL};
    struct pk_maker m = pk_make(body, out, dropped, err);
    pk_str size = pk_make_string(&m, pk_make_get(&m, 0, "size"));
    int64_t width, height;

    only_as(&m, "b64_json");
    pk_buf_adds(out, "{\"base64\":true");
    if (read_size(size, &width, &height))
        pk_buf_addf(out, ",\"img_width\":%lld,\"img_height\":%lld", (long long)width,
                    (long long)height);
    pk_make_copy(&m, 0, "n", "samples");
    add_own(&m, taken);
    pk_buf_addc(out, '}');
    return true;
}

static bool segmind_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                           struct pk_buf *out, struct pk_error *err)
{
    struct pictures p = begin(a, out);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    add_strings(arena, &p, doc, pk_json_get(doc, 0, "image"));
    return end(&p, PK_NONE, err);
}

/* --- Replicate ----------------------------------------------------------------------------------- */

/* "owner/name", or "owner/name:version". */
static bool replicate_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (pk_str_find(model, '/') < 1)
        return pk_fail(err, PK_BAD_REQUEST, "model: must be \"owner/name\"");
    if (pk_str_find(model, ':') < 0)
        pk_buf_addf(out, "/models/%.*s", PK_FMT(model));
    pk_buf_adds(out, "/predictions");
    return true;
}

static bool replicate_request(const struct pk_json *body, struct pk_buf *out,
                              struct pk_buf *dropped, struct pk_error *err)
{
    static const char *const taken[] = {"model", "n", "size", "response_format", NULL};
    struct pk_maker m = pk_make(body, out, dropped, err);
    pk_str model = pk_make_string(&m, pk_make_get(&m, 0, "model"));
    int colon = pk_str_find(model, ':');

    only_as(&m, "url");
    pk_buf_addc(out, '{');
    if (colon >= 0)
        pk_member_text(out, "version", pk_str_sub(model, (size_t)colon + 1, model.len));
    pk_member_key(out, "input");
    pk_buf_addc(out, '{');
    add_shape(&m, "aspect_ratio", "1:1 16:9 21:9 3:2 2:3 4:5 5:4 3:4 4:3 9:16 9:21");
    pk_make_copy(&m, 0, "n", "num_outputs");
    add_own(&m, taken);
    pk_buf_adds(out, "}}");
    return true;
}

/* A prediction that takes longer than Replicate waits goes on there, and is paid for. */
static bool replicate_answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                             struct pk_buf *out, struct pk_error *err)
{
    pk_str status = pk_json_str(arena, doc, pk_json_get(doc, 0, "status"));
    struct pictures p = begin(a, out);

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    add_strings(arena, &p, doc, pk_json_get(doc, 0, "output"));
    return end(&p, status, err);
}

/* --- by name ----------------------------------------------------------------------------------- */

/* clang-format off */
static const struct pk_codec stability[] = {
    {&pk_operation_images, NULL, stability_path, stability_request, stability_answer}, {0},
};
static const struct pk_codec fireworks[] = {
    {&pk_operation_images, NULL, fireworks_path, fireworks_request, fireworks_answer}, {0},
};
static const struct pk_codec siliconflow[] = {
    {&pk_operation_images, "/images/generations", NULL, siliconflow_request, siliconflow_answer}, {0},
};
static const struct pk_codec segmind[] = {
    {&pk_operation_images, NULL, segmind_path, segmind_request, segmind_answer}, {0},
};
static const struct pk_codec replicate[] = {
    {&pk_operation_images, NULL, replicate_path, replicate_request, replicate_answer}, {0},
};
/* clang-format on */

const struct pk_codec *pk_codecs_of_images(pk_str provider)
{
    static const struct {
        const char *provider;
        const struct pk_codec *codecs;
    } all[] = {{"stability-ai", stability},  {"fireworks-ai", fireworks},
               {"siliconflow", siliconflow}, {"siliconflow-intl", siliconflow},
               {"segmind", segmind},         {"replicate", replicate}};

    for (size_t i = 0; i < PK_COUNT(all); i++)
        if (pk_str_is(provider, all[i].provider))
            return all[i].codecs;
    return NULL;
}

const char *pk_codec_headers(const struct pk_codec *codec, pk_str body)
{
    if (codec == replicate)
        return "content-type: application/json\nprefer: wait\n";
    if (codec == stability && pk_str_starts(body, "--"))
        return "content-type: multipart/form-data; boundary=" BOUNDARY "\n";
    return "content-type: application/json\n";
}
