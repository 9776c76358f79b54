/* azure.c - see azure.h. Follows learn.microsoft.com/azure/ai-foundry/openai/reference.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "azure.h"

#include "http.h"
#include "json.h"
#include "url.h"

#include <string.h>

/* What stands behind a deployment; its name may have slashes. */
static const char *const operations[] = {
    "/chat/completions", "/completions",  "/embeddings",           "/images/generations",
    "/images/edits",     "/audio/speech", "/audio/transcriptions", "/audio/translations",
};

static bool skip(pk_str *s, const char *prefix)
{
    if (!pk_str_starts(*s, prefix))
        return false;
    *s = pk_str_sub(*s, strlen(prefix), s->len);
    return true;
}

static bool has_version(pk_str query)
{
    while (query.len && !pk_str_starts(query, "api-version=")) {
        int amp = pk_str_find(query, '&');

        query = pk_str_sub(query, amp < 0 ? query.len : (size_t)amp + 1, query.len);
    }
    return query.len > 0;
}

/* `rest` is /NAME/OPERATION, and becomes /OPERATION. */
static bool read_deployment(struct pk_arena *arena, pk_str *rest, pk_str *deployment)
{
    struct pk_buf name = pk_buf_in(arena, PK_URL_BYTES_MAX);
    size_t len = 0;

    for (size_t i = 0; i < PK_COUNT(operations) && len == 0; i++)
        if (pk_str_ends(*rest, operations[i]))
            len = rest->len - strlen(operations[i]);
    if (len < 2 || !pk_url_unescape(pk_str_sub(*rest, 1, len - 1), false, &name))
        return false;
    *deployment = pk_buf_str(&name);
    *rest = pk_str_sub(*rest, len, rest->len);
    return true;
}

/* Without the version; a session's deployment is its model. */
static pk_str read_query(struct pk_arena *arena, pk_str query, bool session)
{
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);

    while (query.len) {
        int amp = pk_str_find(query, '&');
        pk_str part = pk_str_sub(query, 0, amp < 0 ? query.len : (size_t)amp);

        query = pk_str_sub(query, part.len + 1, query.len);
        if (part.len == 0 || pk_str_starts(part, "api-version="))
            continue;
        if (out.len)
            pk_buf_addc(&out, '&');
        if (session && skip(&part, "deployment="))
            pk_buf_adds(&out, "model=");
        pk_buf_add(&out, part);
    }
    return pk_buf_str(&out);
}

bool pkd_azure_read(struct pk_arena *arena, pk_str path, pk_str query, struct pkd_azure *a)
{
    pk_str rest = path;
    bool below = skip(&rest, "/v1/openai");

    *a = (struct pkd_azure){0};
    if ((!below && !skip(&rest, "/openai")) || !pk_str_starts(rest, "/"))
        return false;
    if (skip(&rest, "/deployments")) {
        if (!pk_str_starts(rest, "/") || !read_deployment(arena, &rest, &a->deployment))
            return false;
    } else if (pk_str_starts(rest, "/v1/")) {
        (void)skip(&rest, "/v1");
    } else if (below && !has_version(query)) {
        return false; /* a provider's path may begin so */
    }
    a->path = pk_copyf(arena, "/v1%.*s", PK_FMT(rest));
    a->query = read_query(arena, query, pk_str_is(rest, "/realtime"));
    return true;
}

/* --- the body ---------------------------------------------------------------------------------- */

static bool with_model(struct pk_arena *arena, pk_str deployment, pk_str *object,
                       struct pk_error *err)
{
    struct pk_buf name = pk_buf_in(arena, PK_URL_BYTES_MAX);
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    if (!pk_json_parse(arena, *object, "body", &doc, err))
        return false;
    int model = pk_json_get(&doc, 0, "model");
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT ||
        (model >= 0 && pk_str_eq(pk_json_str(arena, &doc, model), deployment)))
        return true;
    pk_json_quote(&name, deployment);
    struct pk_json_edit edit = {PK_STR("model"), pk_buf_str(&name)};
    pk_json_splice(&out, &doc, 0, &edit, 1);
    if (out.failed || name.failed)
        return pk_fail(err, PK_BAD_REQUEST, "model: there is no room for it in the body");
    *object = pk_buf_str(&out);
    return true;
}

bool pkd_azure_body(struct pk_arena *arena, pk_str type, pk_str deployment, pk_str *body,
                    struct pk_error *err)
{
    struct pk_form form;
    pk_str fields;

    if (body->len == 0)
        return true;
    if (type.len == 0 || pk_http_is_type(type, "application/json"))
        return with_model(arena, deployment, body, err);
    if (!pk_http_is_type(type, "multipart/form-data"))
        return true;
    if (!pk_form_parse(arena, type, *body, &form, err) ||
        !pk_form_fields(arena, &form, &fields, err))
        return false;
    pk_str before = fields;
    return with_model(arena, deployment, &fields, err) &&
           (fields.at == before.at || pk_form_with(arena, &form, fields, body, err));
}
