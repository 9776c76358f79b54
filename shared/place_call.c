/* place_call.c - what a call's model decides about where it goes: Vertex AI's publishers, and Claude in Azure's
 * Foundry.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Vertex AI has the models of several makers, each asked in its maker's own dialect under a path of its own:
 *   google      .../publishers/google/models/M:generateContent                        Gemini's (dialect_gemini.c)
 *   anthropic   .../publishers/anthropic/models/M:rawPredict    Messages, with a version in place of the model
 *   others      .../endpoints/openapi/chat/completions                                 OpenAI's, model "maker/M"
 *   endpoints.N .../endpoints/N/chat/completions                              OpenAI's, a deployment of one's own
 * The maker stands before the model's name, with a dot as in Portkey or a slash as in Vertex AI's own OpenAI
 * endpoint. Without one it is Google, but for names that only Anthropic gives.
 */
#include "dialect_parts.h"
#include "place.h"

#include <string.h>

static const char vertex_version[] = "\"vertex-2023-10-16\"";

struct made_by {
    const struct pk_dialect *back;
    pk_str maker; /* empty: an endpoint of one's own */
    pk_str name;
};

/* Splits "maker.name" and "maker/name"; a dot in a name that no maker is known for is just a dot. */
static bool split(pk_str model, const char *maker, pk_str *name)
{
    size_t len = strlen(maker);

    if (!pk_str_starts(model, maker) || model.len <= len + 1 ||
        (model.at[len] != '.' && model.at[len] != '/'))
        return false;
    *name = pk_str_sub(model, len + 1, model.len);
    return true;
}

static struct made_by maker_of(pk_str model)
{
    static const char *const makers[] = {"meta",   "mistralai", "deepseek-ai", "qwen",
                                         "openai", "ai21",      "moonshotai",  "zai-org"};
    pk_str name = model;
    int slash = pk_str_find(model, '/');

    if (split(model, "anthropic", &name) || pk_str_starts(model, "claude"))
        return (struct made_by){&pk_dialect_anthropic, PK_STR("anthropic"), name};
    if (split(model, "endpoints", &name))
        return (struct made_by){&pk_dialect_openai, PK_NONE, name};
    for (size_t i = 0; i < PK_COUNT(makers); i++)
        if (split(model, makers[i], &name))
            return (struct made_by){&pk_dialect_openai, pk_str_of(makers[i]), name};
    if (split(model, "google", &name) || slash < 1 || pk_str_starts(model, "models/"))
        return (struct made_by){&pk_dialect_vertex, PK_STR("google"), name};
    return (struct made_by){&pk_dialect_openai, pk_str_sub(model, 0, (size_t)slash),
                            pk_str_sub(model, (size_t)slash + 1, model.len)};
}

static bool is_vertex(const struct pk_target *t)
{
    return pk_place_auth(t->provider) == PK_AUTH_GOOGLE;
}

const struct pk_dialect *pk_place_back(const struct pk_target *t, const struct pk_dialect *front,
                                       pk_str model)
{
    if (is_vertex(t))
        return maker_of(model).back;
    if (pk_place_is_claude(t))
        return &pk_dialect_anthropic;
    const struct pk_dialect *back = pk_provider_back(t->provider, front, model);
    /* Azure has the Responses API beside its deployments, not below one. */
    if (back == &pk_dialect_responses && pk_str_starts(t->url_path, "/deployments/"))
        return t->provider->dialect;
    return back;
}

/* --- the body ------------------------------------------------------------------------------------- */

static bool edit(struct pk_arena *arena, pk_str *body, const struct pk_json_edit *edits, int count,
                 struct pk_error *err)
{
    struct pk_buf made = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    if (!pk_json_parse(arena, *body, "body", &doc, err))
        return false;
    pk_json_splice(&made, &doc, 0, edits, count);
    *body = pk_buf_str(&made);
    return pk_dialect_built(&made, "body", err);
}

/* The model by the name that its dialect knows, in the body too. */
static bool rename_model(struct pk_arena *arena, struct pk_place_call *call, struct pk_error *err)
{
    struct made_by m = maker_of(call->model);
    pk_str name = m.name;
    struct pk_buf quoted = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    if (m.back == &pk_dialect_openai && m.maker.len)
        name = pk_copyf(arena, "%.*s/%.*s", PK_FMT(m.maker), PK_FMT(m.name));
    pk_json_quote(&quoted, name);
    const struct pk_json_edit model = {PK_STR("model"), pk_buf_str(&quoted)};
    return call->opaque || call->model.len == 0 || pk_str_eq(name, call->model) ||
           edit(arena, &call->body, &model, 1, err);
}

bool pk_place_begin(struct pk_arena *arena, struct pk_place_call *call, struct pk_error *err)
{
    return pk_place_base(arena, call->target, call->host, call->model, &call->base, err) &&
           (!is_vertex(call->target) || rename_model(arena, call, err));
}

bool pk_place_body(struct pk_arena *arena, const struct pk_place_call *call, pk_str *body,
                   struct pk_error *err)
{
    struct pk_json doc;
    const struct pk_json_edit edits[] = {
        {PK_STR("model"), PK_NONE},
        {PK_STR("anthropic_version"), pk_str_of(vertex_version)},
    };

    if (!is_vertex(call->target) || call->back != &pk_dialect_anthropic)
        return true;
    if (!pk_json_parse(arena, *body, "body", &doc, err))
        return false;
    bool said = pk_json_get(&doc, 0, "anthropic_version") >= 0;
    return edit(arena, body, edits, said ? 1 : 2, err);
}

/* --- the URL -------------------------------------------------------------------------------------- */

static bool finish(const struct pk_buf *out, pk_str *url, struct pk_error *err)
{
    *url = pk_buf_str(out);
    if (!out->failed)
        return true;
    return pk_fail(err, out->arena->failed ? PK_NO_MEMORY : PK_BAD_REQUEST,
                   "model: the URL would be longer than %d bytes", PK_URL_BYTES_MAX);
}

static bool vertex_url(struct pk_arena *arena, const struct pk_place_call *call, pk_str *url,
                       struct pk_error *err)
{
    struct made_by m = maker_of(call->model);
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);

    if (m.name.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: is missing");
    pk_buf_add(&out, call->base);
    if (m.back == &pk_dialect_anthropic) {
        pk_buf_adds(&out, "/publishers/anthropic/models/");
        pk_dialect_segment(&out, m.name);
        pk_buf_adds(&out, call->stream ? ":streamRawPredict" : ":rawPredict");
    } else {
        pk_buf_adds(&out, "/endpoints/");
        pk_dialect_segment(&out, m.maker.len ? PK_STR("openapi") : m.name);
        pk_buf_adds(&out, m.back->chat_path);
    }
    return finish(&out, url, err);
}

bool pk_place_url(struct pk_arena *arena, const struct pk_place_call *call, pk_str *url,
                  struct pk_error *err)
{
    pk_str base = call->base;

    if (is_vertex(call->target) && call->back != &pk_dialect_vertex)
        return vertex_url(arena, call, url, err);
    if (pk_place_is_claude(call->target) && !pk_str_ends(base, "/v1"))
        base = pk_copyf(arena, "%.*s/v1", PK_FMT(base));
    return pk_dialect_url(arena, call->back, base, call->model, call->stream, url, err);
}
