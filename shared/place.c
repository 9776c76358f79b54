/* place.c - see place.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "place.h"

#include "dialect_parts.h"

#include <string.h>

/* What a provider has beyond its row in providers.def. */
struct place {
    const char *provider;
    enum pk_auth auth;
    const char *path;  /* between the base URL and the dialect's path */
    const char *query; /* behind it; left out when a field of it is not given */
    const char *hosts; /* of the provider too, as in pk_url_host_listed() */
};

static const struct place places[] = {
    {"azure-openai", PK_AUTH_AZURE, "/deployments/{deployment_id}", "api-version={api_version}",
     ""},
    {"azure-ai", PK_AUTH_AZURE, "", "api-version={api_version}",
     "*.services.ai.azure.com *.models.ai.azure.com *.inference.ai.azure.com "
     "*.cognitiveservices.azure.com *.openai.azure.com"},
    {"bedrock", PK_AUTH_AWS, "", "", ""},
    {"sagemaker", PK_AUTH_AWS, "", "", ""},
    {"vertex-ai", PK_AUTH_GOOGLE, "/v1/projects/{vertex_project_id}/locations/{vertex_region}", "",
     ""},
    {"predibase", PK_AUTH_KEY, "/{model}/v1", "", ""},
    {"huggingface", PK_AUTH_KEY, "", "", "*.endpoints.huggingface.cloud"},
    {"databricks", PK_AUTH_KEY, "", "",
     "*.cloud.databricks.com *.azuredatabricks.net *.gcp.databricks.com"},
};
static const struct place nothing = {"", PK_AUTH_KEY, "", "", ""};

/* What a field is taken to be when nobody says. */
static const struct {
    enum pk_target_field field;
    const char *provider, *value;
} usual[] = {
    {PK_TF_api_version, "azure-openai", "v1"},
    {PK_TF_azure_extra_params, "azure-ai", "drop"},
    {PK_TF_aws_region, "bedrock", "us-east-1"},
    {PK_TF_aws_region, "sagemaker", "us-east-1"},
};

/* Beside the fields: the model that is asked for. Deployments are usually called as their model. */
static const char model_word[] = "{model}";

static const struct place *find(const struct pk_provider *provider)
{
    const char *name = provider->name;

    for (size_t i = 0; i < PK_COUNT(places); i++)
        if (places[i].provider[0] == name[0] && strcmp(places[i].provider, name) == 0)
            return &places[i];
    return &nothing;
}

enum pk_auth pk_place_auth(const struct pk_provider *provider)
{
    return find(provider)->auth;
}

bool pk_place_own_host(const struct pk_provider *provider, const struct pk_url *url)
{
    return url->https && url->port == 443 &&
           pk_url_host_listed(pk_str_of(find(provider)->hosts), url->host, url->port);
}

pk_str pk_target_field(const struct pk_target *t, enum pk_target_field f)
{
    return t->fields ? t->fields->at[f] : PK_NONE;
}

/* --- filling ------------------------------------------------------------------------------------ */

/* Takes "before{name}" off the front of *text; false: no placeholder is left. */
static bool next_placeholder(pk_str *text, pk_str *before, pk_str *name)
{
    int from = pk_str_find(*text, '{');
    pk_str rest = from < 0 ? PK_NONE : pk_str_sub(*text, (size_t)from + 1, text->len);
    int to = pk_str_find(rest, '}');

    if (from < 0 || to < 0)
        return false;
    *before = pk_str_sub(*text, 0, (size_t)from);
    *name = pk_str_sub(rest, 0, (size_t)to);
    *text = pk_str_sub(rest, (size_t)to + 1, rest.len);
    return true;
}

static bool fail_missing(const struct pk_target *t, pk_str name, struct pk_error *err)
{
    return pk_fail(err, PK_BAD_CONFIG, "%.*s.%.*s: must be given for provider \"%s\"",
                   PK_FMT(t->path), PK_FMT(name), t->provider->name);
}

bool pk_place_fill(struct pk_arena *arena, const struct pk_target *t, pk_str text, bool open,
                   pk_str *out, struct pk_error *err)
{
    struct pk_buf made = pk_buf_in(arena, PK_URL_BYTES_MAX);
    pk_str before, name;

    while (next_placeholder(&text, &before, &name)) {
        int f = pk_target_field_find(name);
        pk_str value = f < 0 ? PK_NONE : pk_target_field(t, (enum pk_target_field)f);

        pk_buf_add(&made, before);
        /* Google's one place without a region of its own has a host without one. */
        if (f == PK_TF_vertex_region && pk_str_is(value, "global") && pk_str_starts(text, "-"))
            text = pk_str_sub(text, 1, text.len);
        else if (value.len)
            pk_dialect_segment(&made, value);
        else if (f == PK_TF_deployment_id || f < 0)
            pk_buf_adds(&made, model_word);
        else if (open)
            pk_buf_addf(&made, "{%.*s}", PK_FMT(name));
        else
            return fail_missing(t, name, err);
    }
    pk_buf_add(&made, text);
    *out = pk_buf_str(&made);
    if (made.failed)
        return pk_fail(err, arena->failed ? PK_NO_MEMORY : PK_BAD_CONFIG,
                       "%.*s: the URL is too long", PK_FMT(t->path));
    return true;
}

/* The text with the model in it. */
static bool fill_model(struct pk_arena *arena, pk_str text, pk_str model, pk_str *out,
                       struct pk_error *err)
{
    struct pk_buf made = pk_buf_in(arena, PK_URL_BYTES_MAX);
    pk_str before, name;

    *out = text;
    if (pk_str_find(text, '{') < 0)
        return true;
    while (next_placeholder(&text, &before, &name)) {
        if (model.len == 0 || pk_str_is(model, ".") || pk_str_is(model, ".."))
            return pk_fail(err, PK_BAD_REQUEST, "model: must be given, it is part of the URL");
        pk_buf_add(&made, before);
        pk_dialect_segment(&made, model);
    }
    pk_buf_add(&made, text);
    *out = pk_buf_str(&made);
    if (made.failed)
        return pk_fail(err, arena->failed ? PK_NO_MEMORY : PK_BAD_REQUEST,
                       "model: the URL would be too long");
    return true;
}

/* --- settling ------------------------------------------------------------------------------------ */

static bool check_taken(const struct pk_target *t, struct pk_error *err)
{
    for (int f = 0; t->fields && f < PK_TARGET_FIELDS; f++) {
        const struct pk_target_field_row *row = pk_target_field_row((enum pk_target_field)f);

        if (t->fields->at[f].len &&
            !pk_target_field_taken((enum pk_target_field)f, t->provider->name))
            return pk_fail(err, PK_BAD_CONFIG, "%.*s.%s: is not for provider \"%s\" (but for %s)",
                           PK_FMT(t->path), row->name, t->provider->name, row->providers);
    }
    return true;
}

static bool add_usual(struct pk_arena *arena, struct pk_target *t, struct pk_error *err)
{
    struct pk_target_fields *all = NULL;

    for (size_t i = 0; i < PK_COUNT(usual); i++) {
        if (strcmp(usual[i].provider, t->provider->name) != 0 ||
            pk_target_field(t, usual[i].field).len)
            continue;
        if (!all) {
            all = pk_alloc(arena, sizeof *all);
            if (!all)
                return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
            if (t->fields)
                *all = *t->fields;
        }
        all->at[usual[i].field] = pk_str_of(usual[i].value);
    }
    if (all)
        t->fields = all;
    return true;
}

/* A base URL that some field is. */
static pk_str url_of_fields(const struct pk_target *t)
{
    for (int f = 0; t->fields && f < PK_TARGET_FIELDS; f++)
        if (t->fields->at[f].len &&
            pk_target_field_row((enum pk_target_field)f)->shape == PK_SHAPE_URL)
            return t->fields->at[f];
    return PK_NONE;
}

/* Whether the config says any field that this text has a placeholder for. */
static bool says_some_of(const struct pk_target *t, const char *text)
{
    pk_str rest = pk_str_of(text), before, name;

    while (next_placeholder(&rest, &before, &name)) {
        int f = pk_target_field_find(name);

        if (f >= 0 && pk_target_field(t, (enum pk_target_field)f).len)
            return true;
    }
    return false;
}

/* Azure's newer API has the deployment in the body's model, and no version in the query. */
static bool settle_azure(struct pk_target *t, struct pk_error *err)
{
    if (!pk_str_is(pk_target_field(t, PK_TF_api_version), "v1"))
        return true;
    t->url_path = PK_STR("/v1");
    t->url_query = PK_NONE;
    return pk_target_field(t, PK_TF_deployment_id).len == 0 ||
           pk_fail(err, PK_BAD_CONFIG,
                   "%.*s.deployment_id: with api_version \"v1\" the model is the deployment",
                   PK_FMT(t->path));
}

bool pk_place_is_claude(const struct pk_target *t)
{
    static const char part[] = "/anthropic";

    return strcmp(t->provider->name, "azure-ai") == 0 && t->base_url.len &&
           memmem(t->base_url.at, t->base_url.len, part, sizeof part - 1);
}

static bool settle_around(struct pk_arena *arena, struct pk_target *t, const struct place *p,
                          struct pk_error *err)
{
    bool ask = says_some_of(t, p->query) || pk_str_is(pk_str_of(p->query), "");

    t->url_path = t->url_query = PK_NONE;
    if (!pk_place_fill(arena, t, pk_str_of(p->path), false, &t->url_path, err) ||
        (ask && !pk_place_fill(arena, t, pk_str_of(p->query), false, &t->url_query, err)))
        return false;
    return strcmp(p->provider, "azure-openai") != 0 || settle_azure(t, err);
}

/* A stored key, or the environment's, goes only to the host that it is for. */
static bool check_key(struct pk_arena *arena, struct pk_target *t, struct pk_error *err)
{
    struct pk_url owner, called;

    t->key_url = t->key.origin;
    if (t->key.origin.len == 0 || t->dead.len)
        return true;
    if (!pk_place_fill(arena, t, t->key.origin, false, &t->key_url, err) ||
        !pk_url_parse(t->key_url, "custom_host of the key", &owner, err) ||
        !pk_url_parse(t->base_url, "custom_host", &called, err))
        return false;
    return pk_url_same_origin(&owner, &called) ||
           pk_fail(err, PK_HOST_DENIED, "%.*s: virtual key \"%.*s\" belongs to another host",
                   PK_FMT(t->path), PK_FMT(t->key.slug));
}

bool pk_place_settle(struct pk_arena *arena, struct pk_target *t, struct pk_error *err)
{
    const struct place *p = find(t->provider);
    pk_str host = t->custom_host.len ? t->custom_host : url_of_fields(t);
    /* Who gives a host and nothing that a path is made of means the whole base URL. */
    bool whole = host.len && !says_some_of(t, p->path) && !says_some_of(t, p->query);

    if (!check_taken(t, err) || !add_usual(arena, t, err) ||
        !pk_place_fill(arena, t, pk_str_of(t->provider->base_url), host.len > 0, &t->own_url, err))
        return false;
    if (host.len && pk_str_find(t->own_url, '{') >= 0)
        t->own_url = PK_NONE;
    t->base_url = host.len ? host : t->own_url;
    if (pk_place_is_claude(t))
        t->key_header = "x-api-key: ";
    if (!whole && !settle_around(arena, t, p, err))
        return false;
    return check_key(arena, t, err);
}

int pk_place_lacks_account(pk_str base_url)
{
    pk_str before, name;

    while (next_placeholder(&base_url, &before, &name)) {
        int f = pk_target_field_find(name);

        if (f >= 0 && pk_target_field_row((enum pk_target_field)f)->shape == PK_SHAPE_ACCOUNT)
            return f;
    }
    return -1;
}

/* --- calls --------------------------------------------------------------------------------------- */

bool pk_place_base(struct pk_arena *arena, const struct pk_target *t, pk_str host, pk_str model,
                   pk_str *base, struct pk_error *err)
{
    pk_str from = host.len ? host : t->base_url;

    while (pk_str_ends(from, "/"))
        from.len--;
    *base = from;
    if (t->url_path.len == 0 && pk_str_find(from, '{') < 0)
        return true;
    return fill_model(arena, pk_copyf(arena, "%.*s%.*s", PK_FMT(from), PK_FMT(t->url_path)), model,
                      base, err);
}

bool pk_place_end(struct pk_arena *arena, const struct pk_target *t, pk_str model, pk_str *url,
                  struct pk_error *err)
{
    pk_str query = PK_NONE;

    if (t->url_query.len == 0)
        return true;
    if (!fill_model(arena, t->url_query, model, &query, err))
        return false;
    *url = pk_copyf(arena, "%.*s%c%.*s", PK_FMT(*url), pk_str_find(*url, '?') < 0 ? '?' : '&',
                    PK_FMT(query));
    return url->len <= PK_URL_BYTES_MAX ||
           pk_fail(err, PK_BAD_REQUEST, "model: the URL would be longer than %d bytes",
                   PK_URL_BYTES_MAX);
}

void pk_place_headers(const struct pk_target *t, struct pk_buf *out)
{
    for (int f = 0; t->fields && f < PK_TARGET_FIELDS; f++) {
        const char *header = pk_target_field_row((enum pk_target_field)f)->header;

        if (*header && t->fields->at[f].len)
            pk_buf_addf(out, "%s: %.*s\n", header, PK_FMT(t->fields->at[f]));
    }
}

bool pk_place_has_header(const struct pk_target *t, pk_str name)
{
    for (int f = 0; t->fields && f < PK_TARGET_FIELDS; f++)
        if (t->fields->at[f].len &&
            pk_str_is_nocase(name, pk_target_field_row((enum pk_target_field)f)->header))
            return true;
    return false;
}
