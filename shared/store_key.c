/* store_key.c - the verbs over virtual keys (store.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Every change ends in pk_store_change_end() (store_audit.h).
 */
#include "iso.h"
#include "store_audit.h"
#include "store_key_field.h"
#include "store_limit.h"
#include "store_provider.h"
#include "store_value.h"

enum { NAME_BYTES_MAX = 256 };

static const char *const kind_names[] = {
    [PK_KEY_ENV] = "env",
    [PK_KEY_FILE] = "file",
    [PK_KEY_SEALED] = "sealed",
};

/* --- virtual keys ---------------------------------------------------------------------- */

struct key_row {
    struct pk_arena *arena;
    struct pk_virtual_key *key;
    pk_str allowed, denied; /* JSON arrays, or empty */
    pk_str fields;          /* a JSON object, or empty */
    pk_str name;
    bool found;
};

static enum pk_key_kind key_kind(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(kind_names); i++)
        if (kind_names[i] && pk_str_is(name, kind_names[i]))
            return (enum pk_key_kind)i;
    return PK_KEY_NONE;
}

static bool read_key(void *ctx, const struct pk_value *columns, int count)
{
    struct key_row *row = ctx;
    struct pk_virtual_key *k = row->key;

    PK_ASSERT(count == 11);
    k->provider = pk_copy(row->arena, columns[0].s);
    k->custom_host = pk_copy(row->arena, columns[1].s);
    k->key.origin = pk_copy(row->arena, columns[2].s);
    k->key.kind = key_kind(columns[3].s);
    k->key.value = pk_copy(row->arena, columns[4].s);
    k->active = columns[5].type == PK_V_NULL;
    k->expires_us = columns[6].i;
    row->allowed = pk_copy(row->arena, columns[7].s);
    row->denied = pk_copy(row->arena, columns[8].s);
    row->fields = pk_copy(row->arena, columns[9].s);
    row->name = pk_copy(row->arena, columns[10].s);
    row->found = true;
    return false;
}

static bool parse_models(struct pk_arena *arena, pk_str text, const pk_str **list, int *count,
                         struct pk_error *err)
{
    struct pk_json doc;

    return text.len == 0 || (pk_json_parse(arena, text, "models", &doc, err) &&
                             pk_models_read(arena, &doc, 0, "models", list, count, err));
}

static bool get_key(struct pk_store *s, pk_str slug, struct key_row *row, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};

    *row->key = (struct pk_virtual_key){.slug = pk_copy(row->arena, slug)};
    row->key->key.slug = row->key->slug;
    if (!s->ops->exec(s, PK_SQL_key_get, args, PK_COUNT(args), read_key, row, err))
        return false;
    if (row->arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "virtual key: out of memory");
    struct pk_models *m = &row->key->models;
    return pk_key_fields_parse(row->arena, row->fields, &row->key->fields, err) &&
           parse_models(row->arena, row->allowed, &m->allowed, &m->allowed_count, err) &&
           parse_models(row->arena, row->denied, &m->denied, &m->denied_count, err);
}

bool pk_store_key_get(struct pk_store *s, struct pk_arena *arena, pk_str slug,
                      struct pk_virtual_key *key, bool *found, struct pk_error *err)
{
    struct key_row row = {.arena = arena, .key = key};

    *found = false;
    if (!get_key(s, slug, &row, err))
        return false;
    *found = row.found;
    return true;
}

/* What pk_key_put() takes besides the secret. */
struct key_options {
    pk_str custom_host, name;
    int64_t expires_us;     /* 0 = never */
    pk_str allowed, denied; /* JSON arrays, or empty */
    struct pk_limit_list limits;
    struct pk_target_fields fields;
    pk_str fields_text; /* the same as a JSON object; empty: none */
};

struct option_reader {
    struct pk_arena *arena;
    struct pk_json doc;
    struct pk_limit_owner owner;
    int64_t now_us;
    struct pk_error *err;
};

static bool read_text(struct option_reader *r, int value, const char *name, pk_str *out)
{
    enum pk_json_type type = pk_json_type(&r->doc, value);

    if (type != PK_JSON_STRING && type != PK_JSON_NULL)
        return pk_fail(r->err, PK_BAD_REQUEST, "options.%s: must be a string, not %s", name,
                       pk_json_type_name(type));
    *out = pk_json_str(r->arena, &r->doc, value);
    return true;
}

static bool read_host(struct option_reader *r, int value, struct key_options *o)
{
    return read_text(r, value, "custom_host", &o->custom_host);
}

static bool read_name(struct option_reader *r, int value, struct key_options *o)
{
    if (!read_text(r, value, "name", &o->name))
        return false;
    return o->name.len <= NAME_BYTES_MAX ||
           pk_fail(r->err, PK_BAD_REQUEST, "options.name: must be 1..%d bytes", NAME_BYTES_MAX);
}

static bool read_expiry(struct option_reader *r, int value, struct key_options *o)
{
    pk_str text = PK_NONE;

    o->expires_us = 0;
    return pk_json_type(&r->doc, value) == PK_JSON_NULL ||
           (read_text(r, value, "expires_at", &text) &&
            pk_expiry_read(text, r->now_us, &o->expires_us, r->err));
}

static bool read_models(struct option_reader *r, int value, const char *name, pk_str *out)
{
    const pk_str *list;
    int count;

    *out = PK_NONE;
    if (pk_json_type(&r->doc, value) == PK_JSON_NULL)
        return true;
    *out = pk_json_raw(&r->doc, value);
    return pk_models_read(r->arena, &r->doc, value, name, &list, &count, r->err);
}

static bool read_allowed(struct option_reader *r, int value, struct key_options *o)
{
    return read_models(r, value, "options.allowed_models", &o->allowed);
}

static bool read_denied(struct option_reader *r, int value, struct key_options *o)
{
    return read_models(r, value, "options.denied_models", &o->denied);
}

static bool read_rates(struct option_reader *r, int value, struct key_options *o)
{
    pk_limits_drop(&o->limits, false);
    return pk_limit_read_rates(r->arena, &r->doc, value, &r->owner, &o->limits, r->err);
}

static bool read_budgets(struct option_reader *r, int value, struct key_options *o)
{
    pk_limits_drop(&o->limits, true);
    return pk_limit_read_budgets(r->arena, &r->doc, value, &r->owner, &o->limits, r->err);
}

/* Options go into the audit log, so that secrets have no place in them. */
static bool read_field(struct option_reader *r, int value, enum pk_target_field f,
                       struct key_options *o)
{
    const char *name = pk_target_field_row(f)->name;

    if (pk_target_field_secret(f))
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "options.%s: is a secret: give it in the secret, as {\"%s\":...}", name,
                       name);
    if (!read_text(r, value, name, &o->fields.at[f]))
        return false;
    if (pk_json_type(&r->doc, value) == PK_JSON_NULL)
        return true; /* it is taken away */
    const char *wrong = pk_target_field_wrong(f, o->fields.at[f]);
    return !wrong || pk_fail(r->err, PK_BAD_REQUEST, "options.%s: %s", name, wrong);
}

static const struct {
    const char *name;
    bool (*read)(struct option_reader *r, int value, struct key_options *o);
} known_options[] = {
    {"custom_host", read_host},     {"name", read_name},
    {"expires_at", read_expiry},    {"allowed_models", read_allowed},
    {"denied_models", read_denied}, {"rate_limits", read_rates},
    {"usage_limits", read_budgets},
};

static bool read_option(struct option_reader *r, int name, struct key_options *o)
{
    for (size_t i = 0; i < PK_COUNT(known_options); i++)
        if (pk_json_is(&r->doc, name, known_options[i].name))
            return known_options[i].read(r, name + 1, o);
    int field = pk_target_field_find(pk_json_str(r->arena, &r->doc, name));
    if (field >= 0)
        return read_field(r, name + 1, (enum pk_target_field)field, o);
    return pk_fail(r->err, PK_BAD_REQUEST, "options: there is no option \"%.*s\"",
                   PK_FMT(pk_str_sub(pk_json_str(r->arena, &r->doc, name), 0, 64)));
}

/* Puts what `text` says over what is in *o; null takes an option away. */
static bool read_options(struct pk_arena *arena, const struct pk_key_change *what,
                         struct key_options *o, struct pk_error *err)
{
    struct option_reader r = {.arena = arena,
                              .owner = {PK_LS_VIRTUAL_KEY, what->slug, what->at_us},
                              .now_us = what->at_us,
                              .err = err};

    if (what->options.len == 0)
        return true;
    if (!pk_json_parse(arena, what->options, "options", &r.doc, err))
        return false;
    if (pk_json_type(&r.doc, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "options: must be an object");
    for (int v = pk_json_first(&r.doc, 0); v >= 0; v = pk_json_next(&r.doc, 0, v))
        if (!read_option(&r, v, o))
            return false;
    return true;
}

/* The provider's own base URL for these fields. What may stay open is a region, for the configs to say; whose
 * account it is the key says, once and for all. */
static bool own_origin(struct pk_arena *arena, const struct pk_provider *p,
                       const struct key_options *o, pk_str *origin, struct pk_error *err)
{
    const struct pk_target t = {.path = PK_STR("options"), .provider = p, .fields = &o->fields};

    if (!pk_place_fill(arena, &t, pk_str_of(p->base_url), true, origin, err))
        return false;
    int missing = pk_place_lacks_account(*origin);
    return missing < 0 ||
           pk_fail(err, PK_BAD_REQUEST,
                   "options.%s: must be given for provider \"%s\", or custom_host",
                   pk_target_field_row((enum pk_target_field)missing)->name, p->name);
}

/* The base URL that the key may be sent to. */
static bool origin_of(struct pk_arena *arena, const struct pk_provider *p, struct key_options *o,
                      pk_str *origin, struct pk_error *err)
{
    struct pk_url url;

    for (int f = 0; o->custom_host.len == 0 && f < PK_TARGET_FIELDS; f++)
        if (pk_target_field_row((enum pk_target_field)f)->shape == PK_SHAPE_URL)
            o->custom_host = o->fields.at[f];
    *origin = o->custom_host;
    if (origin->len == 0 && !own_origin(arena, p, o, origin, err))
        return false;
    if (origin->len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "options.custom_host: provider \"%s\" needs one",
                       p->name);
    if (o->custom_host.len == 0)
        return true;
    while (pk_str_ends(*origin, "/"))
        origin->len--;
    return pk_url_parse(*origin, "options.custom_host", &url, err);
}

static bool put_key(struct pk_store *s, const struct pk_virtual_key *k, const struct key_options *o,
                    int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_text(k->slug),
        pk_v_text(o->name),
        pk_v_text(k->provider),
        pk_v_text(k->custom_host),
        pk_v_text(k->key.origin),
        pk_v_text(pk_str_of(kind_names[k->key.kind])),
        pk_v_blob(k->key.value.at, k->key.value.len),
        pk_v_int(now_us),
        pk_v_int_unless(k->expires_us == 0, k->expires_us),
        pk_v_text(o->allowed),
        pk_v_text(o->denied),
        pk_v_text(o->fields_text),
    };

    return s->ops->exec(s, PK_SQL_key_put, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_key_put(struct pk_store *s, struct pk_arena *arena, const struct pk_secrets *secrets,
                      pk_str slug, pk_str provider, pk_str secret, pk_str options, int64_t now_us,
                      struct pk_error *err)
{
    const struct pk_key_change what = {slug, secret, options, now_us};
    struct key_options o = {0};
    struct pk_virtual_key k = {.slug = slug};
    const struct pk_provider *p;
    const struct pk_limit_owner owner = {PK_LS_VIRTUAL_KEY, slug, 0};

    if (!pk_slug_check(slug, err) || !pk_store_provider_find(s, arena, provider, &p, err))
        return false;
    if (!p)
        return pk_fail(err, PK_BAD_REQUEST, "provider: there is none called \"%.*s\"",
                       PK_FMT(pk_name_shown(provider)));
    if (!read_options(arena, &what, &o, err) ||
        !pk_key_secret_check(arena, p, secret, &o.fields, err) ||
        !pk_key_fields_print(arena, p, &o.fields, &o.fields_text, err) ||
        !origin_of(arena, p, &o, &k.key.origin, err))
        return false;
    k.provider = pk_str_of(p->name);
    k.custom_host = o.custom_host.len ? k.key.origin : PK_NONE;
    k.expires_us = o.expires_us;
    if (!pk_secret_seal(secrets, arena, slug, k.provider, k.key.origin, secret, &k.key, err) ||
        !s->ops->begin(s, err))
        return false;
    bool ok = put_key(s, &k, &o, now_us, err) &&
              pk_store_limits_own(s, arena, &owner, &o.limits, now_us, err);
    const struct pk_change change = {
        now_us, "key_put", slug,
        pk_copyf(arena, "{\"provider\":\"%s\",\"kind\":\"%s\",\"options\":%.*s}", p->name,
                 kind_names[k.key.kind], PK_FMT(options.len ? options : PK_STR("{}")))};
    return pk_store_change_end(s, ok, &change, err);
}

static bool not_there(pk_str slug, struct pk_error *err)
{
    return pk_fail(err, PK_NOT_FOUND, "virtual key: there is none called \"%.*s\"",
                   PK_FMT(pk_name_shown(slug)));
}

/* What the row says, as options. A base URL among the fields is said by its field. */
static bool load_options(struct pk_store *s, const struct key_row *row, struct key_options *o,
                         struct pk_error *err)
{
    const struct pk_virtual_key *k = row->key;
    const struct pk_limit_owner owner = {PK_LS_VIRTUAL_KEY, k->slug, 0};

    *o = (struct key_options){.custom_host = k->custom_host,
                              .name = row->name,
                              .expires_us = k->expires_us,
                              .allowed = row->allowed,
                              .denied = row->denied};
    if (k->fields)
        o->fields = *k->fields;
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        if (pk_target_field_row((enum pk_target_field)f)->shape == PK_SHAPE_URL &&
            o->fields.at[f].len)
            o->custom_host = PK_NONE;
    return pk_store_limits_owned(s, row->arena, &owner, &o->limits, err);
}

/* The key is bound to where it goes: when that changes, only who has the key may say so. */
static bool bind_secret(const struct pk_secrets *secrets, struct pk_arena *arena, pk_str secret,
                        pk_str origin, struct pk_virtual_key *k, struct pk_error *err)
{
    if (secret.len)
        return pk_secret_seal(secrets, arena, k->slug, k->provider, origin, secret, &k->key, err);
    return pk_str_eq(origin, k->key.origin) ||
           pk_fail(err, PK_BAD_REQUEST,
                   "custom_host: the key was stored for %.*s; give the key again to send it "
                   "elsewhere",
                   PK_FMT(pk_str_sub(k->key.origin, 0, 128)));
}

static bool update_key(struct pk_store *s, struct pk_arena *arena, const struct pk_virtual_key *k,
                       const struct key_options *o, int64_t now_us, struct pk_error *err)
{
    const struct pk_limit_owner owner = {PK_LS_VIRTUAL_KEY, k->slug, 0};

    return put_key(s, k, o, now_us, err) &&
           pk_store_limits_own(s, arena, &owner, &o->limits, now_us, err);
}

bool pk_store_key_update(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_secrets *secrets, const struct pk_key_change *what,
                         struct pk_error *err)
{
    struct pk_virtual_key k = {0};
    struct key_row row = {.arena = arena, .key = &k};
    struct key_options o;
    const struct pk_provider *p;
    pk_str origin;

    if (!pk_slug_check(what->slug, err) || !get_key(s, what->slug, &row, err))
        return false;
    if (!row.found || !k.active)
        return not_there(what->slug, err);
    if (!pk_store_provider_find(s, arena, k.provider, &p, err))
        return false;
    if (!p)
        return pk_fail(err, PK_BAD_REQUEST, "virtual key \"%.*s\": its provider is not known",
                       PK_FMT(k.slug));
    if (!load_options(s, &row, &o, err) || !read_options(arena, what, &o, err) ||
        (what->secret.len && !pk_key_secret_check(arena, p, what->secret, &o.fields, err)) ||
        !pk_key_fields_print(arena, p, &o.fields, &o.fields_text, err) ||
        !origin_of(arena, p, &o, &origin, err) ||
        !bind_secret(secrets, arena, what->secret, origin, &k, err) || !s->ops->begin(s, err))
        return false;
    k.custom_host = o.custom_host.len ? origin : PK_NONE;
    k.expires_us = o.expires_us;
    const struct pk_change change = {what->at_us, "key_update", k.slug, what->options};
    return pk_store_change_end(s, update_key(s, arena, &k, &o, what->at_us, err), &change, err);
}

/* The secret of `k` under another slug: what is sealed is bound to its own. */
static bool reseal(const struct pk_secrets *secrets, struct pk_arena *arena, pk_str slug,
                   const struct pk_virtual_key *k, struct pk_key *key, struct pk_error *err)
{
    char secret[PK_SECRET_BYTES_MAX];
    size_t len;

    *key = k->key;
    key->slug = slug;
    if (k->key.kind != PK_KEY_SEALED)
        return true;
    bool ok = pk_secret_open(secrets, &k->key, k->provider, secret, &len, err) &&
              pk_secret_seal(secrets, arena, slug, k->provider, k->key.origin,
                             (pk_str){secret, len}, key, err);
    pk_secret_wipe(secret, sizeof secret);
    return ok;
}

bool pk_store_key_copy(struct pk_store *s, struct pk_arena *arena, const struct pk_secrets *secrets,
                       pk_str from, const struct pk_key_change *what, struct pk_error *err)
{
    struct pk_virtual_key k = {0};
    struct key_row row = {.arena = arena, .key = &k};
    struct key_options o;

    if (!pk_slug_check(what->slug, err) || !pk_slug_check(from, err) ||
        !get_key(s, from, &row, err))
        return false;
    if (!row.found || !k.active)
        return not_there(from, err);
    if (!load_options(s, &row, &o, err))
        return false;
    o.name = PK_NONE;
    o.limits.count = 0;
    o.fields_text = row.fields;
    if (!read_options(arena, what, &o, err))
        return false;
    struct pk_virtual_key copy = k;
    copy.slug = what->slug;
    copy.expires_us = o.expires_us;
    if (!reseal(secrets, arena, copy.slug, &k, &copy.key, err) || !s->ops->begin(s, err))
        return false;
    const struct pk_change change = {
        what->at_us, "key_put", copy.slug,
        pk_copyf(arena, "{\"from\":\"%.*s\",\"options\":%.*s}", PK_FMT(from),
                 PK_FMT(what->options.len ? what->options : PK_STR("{}")))};
    return pk_store_change_end(s, update_key(s, arena, &copy, &o, what->at_us, err), &change, err);
}

bool pk_store_key_rotate(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_secrets *secrets, pk_str slug, pk_str secret,
                         int64_t now_us, struct pk_error *err)
{
    struct pk_target_fields of_secret = {0}; /* the key's own stay as they are */
    struct pk_virtual_key k;
    const struct pk_provider *p;
    bool found;

    if (!pk_slug_check(slug, err) || !pk_store_key_get(s, arena, slug, &k, &found, err))
        return false;
    if (!found)
        return not_there(slug, err);
    if (!k.active)
        return pk_fail(err, PK_BAD_REQUEST, "virtual key \"%.*s\": is revoked; put it anew",
                       PK_FMT(slug));
    if (!pk_store_provider_find(s, arena, k.provider, &p, err) ||
        (p && !pk_key_secret_check(arena, p, secret, &of_secret, err)) ||
        !pk_secret_seal(secrets, arena, slug, k.provider, k.key.origin, secret, &k.key, err) ||
        !s->ops->begin(s, err))
        return false;
    const struct pk_value args[] = {
        pk_v_text(slug),
        pk_v_text(pk_str_of(kind_names[k.key.kind])),
        pk_v_blob(k.key.value.at, k.key.value.len),
        pk_v_int(now_us),
    };
    found = false;
    bool ok = s->ops->exec(s, PK_SQL_key_rotate, args, PK_COUNT(args), pk_row_mark, &found, err);
    const struct pk_change change = {now_us, "key_rotate", slug,
                                     pk_copyf(arena, "{\"kind\":\"%s\"}", kind_names[k.key.kind])};
    return pk_store_change_end(s, ok && (found || not_there(slug, err)), &change, err);
}

bool pk_store_key_revoke(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                         struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug), pk_v_int(now_us)};

    *existed = false;
    if (!pk_slug_check(slug, err) || !s->ops->begin(s, err))
        return false;
    const struct pk_limit_owner owner = {PK_LS_VIRTUAL_KEY, slug, 0};
    bool ok = s->ops->exec(s, PK_SQL_key_revoke, args, PK_COUNT(args), pk_row_mark, existed, err) &&
              pk_store_limits_disown(s, &owner, err);
    const struct pk_change change = {now_us, "key_revoke", slug, PK_NONE};
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}
