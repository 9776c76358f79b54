/* prompts.c - see prompts.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "prompts.h"

#include "answer.h"
#include "path.h"
#include "store_prompt.h"

pk_str pkd_prompt_ref(struct pk_arena *arena, const struct pkd_request *req)
{
    return pkd_path_segment(arena, req->path, 2);
}

/* --- the body ------------------------------------------------------------------------------- */

static bool check_members(const struct pk_json *doc, int object, const char *path,
                          struct pk_error *err)
{
    static const char *const refused[] = {"messages", "prompt", "pk"};

    for (size_t i = 0; i < PK_COUNT(refused); i++)
        if (pk_json_get(doc, object, refused[i]) >= 0)
            return pk_fail(err, PK_BAD_REQUEST, "%s%s: the prompt has it, not the request", path,
                           refused[i]);
    return true;
}

/* Portkey's reference has the parameters in an object of their own, its SDKs beside the variables: those win. */
static bool add_hyperparameters(struct pk_arena *arena, const struct pk_json *doc, pk_str *params,
                                struct pk_error *err)
{
    int given = pk_json_get(doc, 0, "hyperparameters");

    if (given < 0 || pk_json_type(doc, given) == PK_JSON_NULL)
        return true;
    if (pk_json_type(doc, given) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "hyperparameters: must be an object, not %s",
                       pk_json_type_name(pk_json_type(doc, given)));
    return check_members(doc, given, "hyperparameters.", err) &&
           pk_json_merge(arena, pk_json_raw(doc, given), *params, "body", params, err);
}

/* What is not for the provider, or comes from the prompt. The Node SDK says promptID here too. */
static bool read_body(struct pk_arena *arena, pk_str body, struct pk_prompt_use *use,
                      struct pk_error *err)
{
    static const struct pk_json_edit ours[] = {{{"variables", 9}, {NULL, 0}},
                                               {{"hyperparameters", 15}, {NULL, 0}},
                                               {{"promptID", 8}, {NULL, 0}},
                                               {{"prompt_id", 9}, {NULL, 0}}};
    struct pk_buf params = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    if (!pk_json_parse(arena, body, "body", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "body: must be an object, not %s",
                       pk_json_type_name(pk_json_type(&doc, 0)));
    if (!check_members(&doc, 0, "", err))
        return false;
    int vars = pk_json_get(&doc, 0, "variables");
    use->vars = vars < 0 ? PK_STR("{}") : pk_json_raw(&doc, vars);
    pk_json_splice(&params, &doc, 0, ours, PK_COUNT(ours));
    use->params = pk_buf_str(&params);
    return params.failed ? pk_fail(err, PK_TOO_LARGE, "body: too large")
                         : add_hyperparameters(arena, &doc, &use->params, err);
}

static bool begin(struct pk_arena *arena, pk_str ref, pk_str body, struct pk_prompt_use *use,
                  struct pk_error *err)
{
    *use = (struct pk_prompt_use){.reference = ref};
    pk_secret_random(&use->seed, sizeof use->seed);
    if (ref.len == 0 || ref.len > PK_REFERENCE_BYTES_MAX)
        return pk_fail(err, PK_NOT_FOUND, "prompt: the path names none");
    return read_body(arena, body, use, err);
}

/* Whether the request itself names whom to ask: by a model "@SLUG/MODEL". */
static bool model_names_slug(struct pk_arena *arena, pk_str params)
{
    struct pk_error unused;
    struct pk_json doc;

    return pk_json_parse(arena, params, "params", &doc, &unused) &&
           pk_str_starts(pk_json_str(arena, &doc, pk_json_get(&doc, 0, "model")), "@");
}

bool pkd_prompt_request(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                        struct pk_request *req, pk_str *reference, struct pk_error *err)
{
    struct pkd_ask asked = *ask;
    struct pk_prompt_use use;

    req->pathname = PK_NONE; /* it is a chat completion, however it was made */
    if (!begin(arena, *reference, req->body, &use, err))
        return false;
    bool named = ask->config.len || ask->virtual_key.len || ask->provider.len ||
                 model_names_slug(arena, use.params);
    use.no_config = named;
    if (!pk_store_prompt_request(store, arena, &use, req, err))
        return false;
    *reference = use.config;
    if (!named)
        return true;
    if (ask->config.len && ask->virtual_key.len == 0 && ask->provider.len == 0)
        asked.virtual_key = use.virtual_key;
    return pkd_ask_reference(arena, store, &asked, req, reference, err);
}

/* --- render --------------------------------------------------------------------------------- */

static bool render(struct pkd_thread *t, const struct pkd_request *http, struct pk_request *req,
                   struct pk_error *err)
{
    struct pk_arena *arena = &t->scratch;
    struct pk_prompt_use use;
    struct pkd_ask ask;

    pkd_ask_read(arena, &t->asks, http, &ask);
    if (!pkd_auth_apply(t->caller, arena, true, &ask, err) ||
        !pkd_ask_request(arena, &ask, req, err) ||
        !begin(arena, pkd_prompt_ref(arena, http), http->body, &use, err))
        return false;
    use.preview = true;
    return pk_store_prompt_request(t->store, arena, &use, req, err);
}

void pkd_prompt_render(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *http)
{
    struct pk_buf out = pk_buf_in(&t->scratch, PK_BODY_BYTES_MAX);
    struct pk_request req = {.source = PK_SOURCE_HTTP};
    struct pk_error err = {0};

    if (!render(t, http, &req, &err)) {
        pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
        return;
    }
    pk_buf_adds(&out, "{\"success\":true,\"data\":");
    pk_buf_add(&out, req.body);
    pk_buf_addc(&out, '}');
    if (out.failed) {
        (void)pk_fail(&err, PK_NO_MEMORY, "prompt: out of memory");
        pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
        return;
    }
    pkd_answer_json(c, 200, pk_buf_str(&out));
}
