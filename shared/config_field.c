/* config_field.c - provider-specific fields of a config (target_fields.def), and what becomes of them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * They go with the provider or virtual key beside them: a node that names one of its own drops what it inherited.
 * Secret ones leave the fields when a target is made, and are its key: {"api_key":..., "FIELD":...}.
 */
#include "config_inner.h"

#include <string.h>

enum { VALUE_BYTES_MAX = 8 << 10, KEY_BYTES_MAX = 16 << 10 };

/* --- members ------------------------------------------------------------------------------------ */

static bool read_value(struct pk_config_reader *p, enum pk_target_field f, int value, pk_str *text)
{
    const struct pk_target_field_row *row = pk_target_field_row(f);

    if (row->shape == PK_SHAPE_SECRET_JSON && pk_json_type(&p->doc, value) == PK_JSON_OBJECT) {
        *text = pk_copy(p->arena, pk_json_raw(&p->doc, value));
        return true;
    }
    return pk_config_read_text(p, row->name, value, VALUE_BYTES_MAX, text);
}

static bool read_field(struct pk_config_reader *p, enum pk_target_field f, int value, void *into)
{
    struct pk_target_fields *fields = &((struct pk_draft *)into)->fields;
    const struct pk_target_field_row *row = pk_target_field_row(f);
    pk_str text = PK_NONE;

    if (fields->at[f].len)
        return pk_config_fail(p, row->name, "given twice");
    if (!read_value(p, f, value, &text))
        return false;
    const char *wrong = pk_target_field_wrong(f, text);
    if (wrong)
        return pk_config_fail(p, row->name, "%s", wrong);
    while (row->shape == PK_SHAPE_URL && pk_str_ends(text, "/"))
        text.len--;
    fields->at[f] = text;
    return true;
}

#define TARGET_FIELD(name, other, shape, environment, header, providers)                           \
    static bool read_##name(struct pk_config_reader *p, int value, void *into)                     \
    {                                                                                              \
        return read_field(p, PK_TF_##name, value, into);                                           \
    }
#include "target_fields.def"
#undef TARGET_FIELD

/* Under the name, and under the other one where there is one. */
const struct pk_config_member pk_config_fields[] = {
#define TARGET_FIELD(name, other, shape, environment, header, providers) {#name, read_##name},
#include "target_fields.def"
#undef TARGET_FIELD
    {0},
};

const struct pk_config_member pk_config_other_fields[] = {
#define TARGET_FIELD(name, other, shape, environment, header, providers) {other, read_##name},
#include "target_fields.def"
#undef TARGET_FIELD
    {0},
};

/* --- what a node makes of them ----------------------------------------------------------------- */

void pk_draft_settle_fields(struct pk_draft *d)
{
    if (d->provider.len || d->virtual_key.len)
        d->set.fields = (struct pk_target_fields){0};
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        if (d->fields.at[f].len)
            d->set.fields.at[f] = d->fields.at[f];
}

bool pk_draft_has_secret(const struct pk_draft *d)
{
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        if (d->fields.at[f].len && pk_target_field_secret((enum pk_target_field)f))
            return true;
    return false;
}

bool pk_config_check_fields(struct pk_config_reader *p, const struct pk_draft *d)
{
    const struct pk_provider *provider =
        d->set.virtual_key.len ? NULL : pk_provider_find(d->set.provider);

    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        const struct pk_target_field_row *row = pk_target_field_row((enum pk_target_field)f);

        if (d->set.fields.at[f].len == 0)
            continue;
        if (d->set.provider.len == 0 && d->set.virtual_key.len == 0)
            return pk_config_fail(p, row->name, "needs a provider or virtual_key beside it");
        if (provider && !pk_target_field_taken((enum pk_target_field)f, provider->name))
            return pk_config_fail(p, row->name, "is not for provider \"%s\" (but for %s)",
                                  provider->name, row->providers);
        if (d->set.virtual_key.len && pk_target_field_secret((enum pk_target_field)f))
            return pk_config_fail(p, row->name, "is the virtual key's to say");
    }
    return true;
}

/* The key of a target whose secrets are several, or of a kind of their own. */
static pk_str print_key(struct pk_config_reader *p, const struct pk_settings *s)
{
    struct pk_buf out = pk_buf_in(p->arena, KEY_BYTES_MAX);

    pk_buf_addc(&out, '{');
    if (s->api_key.len) {
        pk_buf_adds(&out, "\"api_key\":");
        pk_json_quote(&out, s->api_key);
    }
    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        if (s->fields.at[f].len == 0 || !pk_target_field_secret((enum pk_target_field)f))
            continue;
        pk_buf_addf(&out, "%s\"%s\":", out.len > 1 ? "," : "",
                    pk_target_field_row((enum pk_target_field)f)->name);
        pk_json_quote(&out, s->fields.at[f]);
    }
    pk_buf_addc(&out, '}');
    return pk_buf_str(&out);
}

/* A service account says which project it is of. */
static bool take_project(struct pk_config_reader *p, const struct pk_draft *d,
                         struct pk_target_fields *open)
{
    pk_str account = d->set.fields.at[PK_TF_vertex_service_account_json];
    struct pk_json doc;
    struct pk_error unused;

    if (account.len == 0 || open->at[PK_TF_vertex_project_id].len)
        return true;
    if (!pk_json_parse(p->arena, account, "account", &doc, &unused))
        return pk_config_fail(p, "vertex_service_account_json", "is no JSON");
    pk_str project = pk_json_str(p->arena, &doc, pk_json_get(&doc, 0, "project_id"));
    if (!pk_target_field_wrong(PK_TF_vertex_project_id, project))
        open->at[PK_TF_vertex_project_id] = pk_copy(p->arena, project);
    return true;
}

bool pk_config_place_fields(struct pk_config_reader *p, const struct pk_draft *d,
                            struct pk_target *t)
{
    struct pk_target_fields *open = pk_alloc(p->arena, sizeof *open);
    bool secret = false, any = false;

    if (!open)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        bool given = d->set.fields.at[f].len > 0;

        if (given && pk_target_field_secret((enum pk_target_field)f))
            secret = true;
        else if (given)
            open->at[f] = d->set.fields.at[f];
    }
    if (!take_project(p, d, open))
        return false;
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        any = any || open->at[f].len;
    if (any)
        t->fields = open;
    if (secret)
        t->key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = print_key(p, &d->set)};
    return true;
}
