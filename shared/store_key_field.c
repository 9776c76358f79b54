/* store_key_field.c - see store_key_field.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_key_field.h"

#include "store.h"

/* What a later version may have stored and this one does not know is left alone. */
bool pk_key_fields_parse(struct pk_arena *arena, pk_str text,
                         const struct pk_target_fields **fields, struct pk_error *err)
{
    struct pk_target_fields *read = NULL;
    struct pk_json doc;

    if (text.len == 0)
        return true;
    read = pk_alloc(arena, sizeof *read);
    if (!read)
        return pk_fail(err, PK_NO_MEMORY, "virtual key: out of memory");
    if (!pk_json_parse(arena, text, "fields", &doc, err))
        return false;
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k)) {
        int f = pk_target_field_find(pk_json_str(arena, &doc, k));

        if (f >= 0)
            read->at[f] = pk_json_str(arena, &doc, k + 1);
    }
    *fields = read;
    return true;
}

bool pk_key_fields_print(struct pk_arena *arena, const struct pk_provider *p,
                         const struct pk_target_fields *fields, pk_str *text, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);

    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        const struct pk_target_field_row *row = pk_target_field_row((enum pk_target_field)f);

        if (fields->at[f].len == 0)
            continue;
        if (!pk_target_field_taken((enum pk_target_field)f, p->name))
            return pk_fail(err, PK_BAD_REQUEST,
                           "options.%s: is not for provider \"%s\" (but for %s)", row->name,
                           p->name, row->providers);
        pk_buf_addf(&out, "%s\"%s\":", out.len ? "," : "{", row->name);
        pk_json_quote(&out, fields->at[f]);
    }
    if (out.len)
        pk_buf_addc(&out, '}');
    *text = pk_buf_str(&out);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "options: out of memory");
}

/* A secret of several parts, for a provider that has such: their names, and the project of a service account. */
bool pk_key_secret_check(struct pk_arena *arena, const struct pk_provider *p, pk_str secret,
                         struct pk_target_fields *fields, struct pk_error *err)
{
    pk_str *project = &fields->at[PK_TF_vertex_project_id];
    struct pk_json doc;

    if (pk_place_auth(p) == PK_AUTH_KEY || !pk_str_starts(pk_str_trim(secret), "{"))
        return true;
    if (!pk_json_parse(arena, secret, "secret", &doc, err))
        return false;
    int account = pk_json_get(&doc, 0, "vertex_service_account_json");
    bool bare = pk_place_auth(p) == PK_AUTH_GOOGLE && pk_json_get(&doc, 0, "type") >= 0;
    int project_id = pk_json_get(&doc, bare ? 0 : account, "project_id");
    if (project->len == 0 && project_id >= 0)
        *project = pk_json_str(arena, &doc, project_id);
    if (bare)
        return true;
    bool id = false, key = false;
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k)) {
        pk_str name = pk_json_str(arena, &doc, k);
        int f = pk_target_field_find(name);

        if (!pk_str_is(name, "api_key") &&
            (f < 0 || !pk_target_field_secret((enum pk_target_field)f) ||
             !pk_target_field_taken((enum pk_target_field)f, p->name)))
            return pk_fail(err, PK_BAD_REQUEST, "secret: provider \"%s\" has no part \"%.*s\"",
                           p->name, PK_FMT(pk_name_shown(name)));
        id = id || f == PK_TF_aws_access_key_id;
        key = key || f == PK_TF_aws_secret_access_key;
    }
    return id == key ||
           pk_fail(err, PK_BAD_REQUEST,
                   "secret: needs aws_access_key_id and aws_secret_access_key, both or neither");
}

/* The config's word counts over the key's; that the host is not another is seen later (place.h). */
const struct pk_target_fields *pk_key_fields_join(struct pk_arena *arena,
                                                  const struct pk_target_fields *of_key,
                                                  const struct pk_target_fields *of_config)
{
    struct pk_target_fields *both = of_key && of_config ? pk_alloc(arena, sizeof *both) : NULL;

    if (!both)
        return of_key ? of_key : of_config;
    *both = *of_key;
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        if (of_config->at[f].len)
            both->at[f] = of_config->at[f];
    return both;
}
