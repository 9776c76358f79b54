/* store_apikey.c - see store_apikey.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_apikey.h"

#include "iso.h"
#include "store_audit.h"
#include "store_limit.h"
#include "store_value.h"

#include <string.h>

enum { DESCRIPTION_BYTES_MAX = 1024, HINT_BYTES = 4, ROWS_MIN = 16 };

static const int64_t transition_ms_max = INT64_C(90) * 86400 * 1000;

/* --- options ----------------------------------------------------------------------------- */

struct options {
    pk_str description, config, metadata;
    unsigned scopes;
    bool config_fixed;
    int64_t expires_us; /* 0 = never */
    struct pk_limit_list limits;
};

struct reader {
    struct pk_arena *arena;
    struct pk_json doc;
    struct pk_limit_owner owner;
    int64_t now_us;
    struct pk_error *err;
};

typedef bool read_fn(struct reader *r, int value, struct options *o);

struct member {
    const char *name;
    read_fn *read;
};

static bool is_null(const struct reader *r, int value)
{
    return pk_json_type(&r->doc, value) == PK_JSON_NULL;
}

/* Empty for null, which takes an option away; so in the others. */
static bool read_text(struct reader *r, int value, const char *path, size_t max, pk_str *out)
{
    *out = pk_json_str(r->arena, &r->doc, value);
    if (is_null(r, value))
        return true;
    if (pk_json_type(&r->doc, value) == PK_JSON_STRING && out->len && out->len <= max)
        return true;
    return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be a text of 1..%zu bytes", path, max);
}

static bool read_object(struct reader *r, int object, const char *path,
                        const struct member *members, struct options *o)
{
    if (pk_json_type(&r->doc, object) != PK_JSON_OBJECT)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be an object", path);
    for (int k = pk_json_first(&r->doc, object); k >= 0; k = pk_json_next(&r->doc, object, k)) {
        const struct member *m = members;

        while (m->name && !pk_json_is(&r->doc, k, m->name))
            m++;
        if (!m->name)
            return pk_fail(r->err, PK_BAD_REQUEST, "%s: there is no option \"%.*s\"", path,
                           PK_FMT(pk_str_sub(pk_json_str(r->arena, &r->doc, k), 0, 64)));
        if (!m->read(r, k + 1, o))
            return false;
    }
    return true;
}

static bool read_description(struct reader *r, int value, struct options *o)
{
    return read_text(r, value, "options.description", DESCRIPTION_BYTES_MAX, &o->description);
}

static bool read_scopes(struct reader *r, int value, struct options *o)
{
    unsigned one;

    o->scopes = 0;
    for (int v = pk_json_first(&r->doc, value);
         pk_json_type(&r->doc, value) == PK_JSON_ARRAY && v >= 0;
         v = pk_json_next(&r->doc, value, v)) {
        pk_str name = pk_json_str(r->arena, &r->doc, v);

        if (pk_str_find(name, ' ') >= 0 || !pk_scopes_read(name, &one) || !one) {
            o->scopes = 0;
            break;
        }
        o->scopes |= one;
    }
    return o->scopes || pk_fail(r->err, PK_BAD_REQUEST,
                                "options.scopes: must be a list of call, admin and logs");
}

static bool read_expiry(struct reader *r, int value, struct options *o)
{
    o->expires_us = 0;
    return is_null(r, value) ||
           pk_expiry_read(pk_json_str(r->arena, &r->doc, value), r->now_us, &o->expires_us, r->err);
}

static bool read_rates(struct reader *r, int value, struct options *o)
{
    pk_limits_drop(&o->limits, false);
    return pk_limit_read_rates(r->arena, &r->doc, value, &r->owner, &o->limits, r->err);
}

static bool read_budgets(struct reader *r, int value, struct options *o)
{
    pk_limits_drop(&o->limits, true);
    return pk_limit_read_budgets(r->arena, &r->doc, value, &r->owner, &o->limits, r->err);
}

static bool read_config(struct reader *r, int value, struct options *o)
{
    return read_text(r, value, "options.defaults.config", PK_SLUG_BYTES_MAX, &o->config);
}

static bool read_metadata(struct reader *r, int value, struct options *o)
{
    o->metadata = is_null(r, value) ? PK_NONE : pk_json_raw(&r->doc, value);
    return o->metadata.len == 0 || pk_request_metadata(r->arena, o->metadata, r->err);
}

static bool read_override(struct reader *r, int value, struct options *o)
{
    enum pk_json_type type = pk_json_type(&r->doc, value);

    o->config_fixed = type == PK_JSON_FALSE;
    return type == PK_JSON_TRUE || type == PK_JSON_FALSE ||
           pk_fail(r->err, PK_BAD_REQUEST,
                   "options.defaults.allow_config_override: must be true or false");
}

static bool read_defaults(struct reader *r, int value, struct options *o)
{
    static const struct member members[] = {
        {"config", read_config},
        {"config_id", read_config},
        {"metadata", read_metadata},
        {"allow_config_override", read_override},
        {0},
    };

    if (is_null(r, value)) {
        o->config = o->metadata = PK_NONE;
        o->config_fixed = false;
        return true;
    }
    return read_object(r, value, "options.defaults", members, o);
}

/* Puts what `text` says over what is in *o. */
static bool read_options(struct pk_arena *arena, const struct pk_change *change, struct options *o,
                         struct pk_error *err)
{
    static const struct member members[] = {
        {"description", read_description},
        {"scopes", read_scopes},
        {"expires_at", read_expiry},
        {"rate_limits", read_rates},
        {"usage_limits", read_budgets},
        {"defaults", read_defaults},
        {0},
    };
    struct reader r = {.arena = arena,
                       .owner = {PK_LS_API_KEY, change->object, change->at_us},
                       .now_us = change->at_us,
                       .err = err};

    if (change->detail.len == 0)
        return true;
    if (!pk_json_parse(arena, change->detail, "options", &r.doc, err) ||
        !read_object(&r, 0, "options", members, o))
        return false;
    return !o->config_fixed || o->config.len ||
           pk_fail(err, PK_BAD_REQUEST,
                   "options.defaults.config: must be given when no other is allowed");
}

/* A config that is not there would let nobody call. */
static bool check_config(struct pk_store *s, struct pk_arena *arena, pk_str config,
                         struct pk_error *err)
{
    struct pk_virtual_key key;
    int64_t version;
    bool found = true;
    pk_str body;

    if (config.len == 0)
        return true;
    if (!pk_store_config_get(s, arena, config, &body, &version, err))
        return false;
    if (body.len == 0 && !pk_store_key_get(s, arena, config, &key, &found, err))
        return false;
    return found || pk_fail(err, PK_NOT_FOUND,
                            "options.defaults.config: there is neither a config nor a virtual key "
                            "called \"%.*s\"",
                            PK_FMT(config));
}

/* --- changes ----------------------------------------------------------------------------- */

/* 1 = in force, 0 = revoked, -1 = there is none. */
static bool state_of(struct pk_store *s, pk_str name, int64_t *state, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name)};

    *state = -1;
    return s->ops->exec(s, PK_SQL_api_key_state, args, PK_COUNT(args), pk_row_int, state, err);
}

bool pk_store_api_key_known(struct pk_store *s, pk_str name, bool *known, struct pk_error *err)
{
    int64_t state;

    if (!state_of(s, name, &state, err))
        return false;
    *known = state == 1;
    return true;
}

/* A new key: its text in the arena, its hash and the letters that people may see. */
struct fresh {
    pk_str text, hint;
    uint8_t hash[PK_API_KEY_HASH_BYTES];
};

static void set_key(struct fresh *f, pk_str text)
{
    f->text = text;
    f->hint = pk_str_sub(text, text.len - HINT_BYTES, HINT_BYTES);
    pk_api_key_hash(text, f->hash);
}

static bool make_key(struct pk_arena *arena, struct fresh *f, struct pk_error *err)
{
    char text[PK_API_KEY_TEXT + 1];

    pk_api_key_make(text);
    pk_str kept = pk_copy(arena, pk_str_of(text));
    pk_secret_wipe(text, sizeof text);
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "API key: out of memory");
    set_key(f, kept);
    return true;
}

static bool put(struct pk_store *s, pk_str name, const struct options *o, const struct fresh *f,
                int64_t now_us, struct pk_error *err)
{
    char scopes[32];

    pk_scopes_print(o->scopes, scopes);
    const struct pk_value args[] = {
        pk_v_required(name),
        pk_v_text(o->description),
        pk_v_blob(f->hash, sizeof f->hash),
        pk_v_required(f->hint),
        pk_v_required(pk_str_of(scopes)),
        pk_v_text(o->config),
        pk_v_int(o->config_fixed),
        pk_v_text(o->metadata),
        pk_v_int(now_us),
        pk_v_int_unless(o->expires_us == 0, o->expires_us),
    };
    return s->ops->exec(s, PK_SQL_api_key_put, args, PK_COUNT(args), NULL, NULL, err);
}

static bool create(struct pk_store *s, struct pk_arena *arena, pk_str name, const struct options *o,
                   const struct fresh *f, int64_t now_us, struct pk_error *err)
{
    const struct pk_limit_owner owner = {PK_LS_API_KEY, name, 0};
    int64_t state;

    if (!state_of(s, name, &state, err))
        return false;
    if (state == 1)
        return pk_fail(err, PK_BAD_REQUEST, "API key \"%.*s\": is there already; rotate it",
                       PK_FMT(name));
    return put(s, name, o, f, now_us, err) &&
           pk_store_limits_own(s, arena, &owner, &o->limits, now_us, err);
}

bool pk_store_api_key_create(struct pk_store *s, struct pk_arena *arena, pk_str name,
                             pk_str options, int64_t now_us, pk_str *key, struct pk_error *err)
{
    const struct pk_change change = {now_us, "api_key_create", name, options};
    struct options o = {.scopes = PK_SCOPE_CALL};
    struct fresh f;

    if (!pk_slug_check(name, err) || !read_options(arena, &change, &o, err) ||
        !check_config(s, arena, o.config, err) || !make_key(arena, &f, err) ||
        !s->ops->begin(s, err))
        return false;
    *key = f.text;
    bool ok = create(s, arena, name, &o, &f, now_us, err);
    return pk_store_change_end(s, ok, &change, err);
}

bool pk_store_api_key_adopt(struct pk_store *s, struct pk_arena *arena,
                            const struct pk_first_key *first, bool *adopted, struct pk_error *err)
{
    const struct pk_change change = {first->at_us, "api_key_create", first->name, first->options};
    const struct pk_value args[] = {pk_v_required(first->name)};
    struct options o = {.scopes = PK_SCOPE_CALL};
    struct fresh f;

    *adopted = false;
    if (!pk_api_key_check(first->key, err) || !pk_slug_check(first->name, err) ||
        !read_options(arena, &change, &o, err) || !s->ops->begin(s, err))
        return false;
    set_key(&f, first->key);
    bool ok =
        s->ops->exec(s, PK_SQL_api_key_first, args, PK_COUNT(args), pk_row_mark, adopted, err) &&
        (!*adopted || create(s, arena, first->name, &o, &f, first->at_us, err));
    return pk_store_change_end(s, ok, *adopted ? &change : NULL, err);
}

static bool not_there(pk_str name, struct pk_error *err)
{
    return pk_fail(err, PK_NOT_FOUND, "API key: none in force is called \"%.*s\"",
                   PK_FMT(pk_str_sub(name, 0, PK_SLUG_BYTES_MAX)));
}

/* --- changes of what a key may do ---------------------------------------------------------- */

struct stored {
    struct pk_arena *arena;
    struct options *options;
    bool found, newer;
};

static bool read_stored(void *ctx, const struct pk_value *v, int count)
{
    struct stored *row = ctx;
    struct options *o = row->options;

    PK_ASSERT(count == 12);
    row->found = true;
    row->newer = !pk_scopes_read(v[3].s, &o->scopes);
    o->description = pk_copy(row->arena, v[2].s);
    o->config = pk_copy(row->arena, v[4].s);
    o->config_fixed = v[5].i;
    o->metadata = pk_copy(row->arena, v[6].s);
    o->expires_us = v[10].i;
    return false;
}

static bool put_changed(struct pk_store *s, struct pk_arena *arena, pk_str name,
                        const struct options *o, int64_t now_us, struct pk_error *err)
{
    const struct pk_limit_owner owner = {PK_LS_API_KEY, name, 0};
    char scopes[32];

    pk_scopes_print(o->scopes, scopes);
    const struct pk_value args[] = {
        pk_v_required(name),
        pk_v_text(o->description),
        pk_v_required(pk_str_of(scopes)),
        pk_v_text(o->config),
        pk_v_int(o->config_fixed),
        pk_v_text(o->metadata),
        pk_v_int(now_us),
        pk_v_int_unless(o->expires_us == 0, o->expires_us),
    };
    return s->ops->exec(s, PK_SQL_api_key_update, args, PK_COUNT(args), NULL, NULL, err) &&
           pk_store_limits_own(s, arena, &owner, &o->limits, now_us, err);
}

bool pk_store_api_key_update(struct pk_store *s, struct pk_arena *arena, pk_str name,
                             pk_str options, int64_t now_us, struct pk_error *err)
{
    const struct pk_change change = {now_us, "api_key_update", name, options};
    const struct pk_limit_owner owner = {PK_LS_API_KEY, name, 0};
    const struct pk_value args[] = {pk_v_required(name)};
    struct options o = {0};
    struct stored row = {.arena = arena, .options = &o};

    if (!pk_slug_check(name, err) ||
        !s->ops->exec(s, PK_SQL_api_key_page, args, PK_COUNT(args), read_stored, &row, err))
        return false;
    if (!row.found)
        return not_there(name, err);
    if (row.newer)
        return pk_fail(err, PK_STORE, "API key \"%.*s\": is of a newer version", PK_FMT(name));
    if (!pk_store_limits_owned(s, arena, &owner, &o.limits, err) ||
        !read_options(arena, &change, &o, err) || !check_config(s, arena, o.config, err) ||
        !s->ops->begin(s, err))
        return false;
    return pk_store_change_end(s, put_changed(s, arena, name, &o, now_us, err), &change, err);
}

static bool read_transition(struct pk_arena *arena, pk_str text, int64_t *ms, struct pk_error *err)
{
    struct pk_json doc;
    int value;

    *ms = 0;
    if (text.len == 0)
        return true;
    if (!pk_json_parse(arena, text, "options", &doc, err))
        return false;
    value = pk_json_get(&doc, 0, "key_transition_period_ms");
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT || pk_json_count(&doc, 0) > (value >= 0))
        return pk_fail(err, PK_BAD_REQUEST,
                       "options: must be an object with key_transition_period_ms, or nothing");
    return value < 0 || (pk_json_int(&doc, value, ms) && *ms >= 0 && *ms <= transition_ms_max) ||
           pk_fail(err, PK_BAD_REQUEST,
                   "options.key_transition_period_ms: must be 0 to 90 days in milliseconds");
}

bool pk_store_api_key_rotate(struct pk_store *s, struct pk_arena *arena, pk_str name,
                             pk_str options, int64_t now_us, pk_str *key, struct pk_error *err)
{
    const struct pk_change change = {now_us, "api_key_rotate", name, options};
    struct fresh f;
    int64_t old_ms;
    bool found = false;

    if (!pk_slug_check(name, err) || !read_transition(arena, options, &old_ms, err) ||
        !make_key(arena, &f, err) || !s->ops->begin(s, err))
        return false;
    const struct pk_value args[] = {
        pk_v_required(name),   pk_v_blob(f.hash, sizeof f.hash),
        pk_v_required(f.hint), pk_v_int(now_us + old_ms * 1000),
        pk_v_int(now_us),
    };
    *key = f.text;
    bool ok =
        s->ops->exec(s, PK_SQL_api_key_rotate, args, PK_COUNT(args), pk_row_mark, &found, err);
    return pk_store_change_end(s, ok && (found || not_there(name, err)), &change, err);
}

bool pk_store_api_key_revoke(struct pk_store *s, pk_str name, int64_t now_us, bool *existed,
                             struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name), pk_v_int(now_us)};
    const struct pk_change change = {now_us, "api_key_revoke", name, PK_NONE};
    const struct pk_limit_owner owner = {PK_LS_API_KEY, name, 0};

    *existed = false;
    if (!pk_slug_check(name, err) || !s->ops->begin(s, err))
        return false;
    bool ok =
        s->ops->exec(s, PK_SQL_api_key_revoke, args, PK_COUNT(args), pk_row_mark, existed, err) &&
        pk_store_limits_disown(s, &owner, err);
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}

/* --- all of them ------------------------------------------------------------------------- */

struct load {
    struct pk_arena *arena;
    struct pk_api_keys *keys;
    int cap;
    bool newer, full;
};

static bool grow(struct load *l)
{
    struct pk_api_keys *k = l->keys;
    int cap = l->cap ? l->cap * 2 : ROWS_MIN;
    size_t had = (size_t)l->cap, wanted = (size_t)cap;
    struct pk_api_key *keys =
        pk_alloc_grow(l->arena, k->keys, had * sizeof *keys, wanted * sizeof *keys);
    struct pk_api_hash *hashes =
        pk_alloc_grow(l->arena, k->hashes, 2 * had * sizeof *hashes, 2 * wanted * sizeof *hashes);

    if (!keys || !hashes)
        return false;
    k->keys = keys;
    k->hashes = hashes;
    l->cap = cap;
    return true;
}

static void add_hash(struct pk_api_keys *k, pk_str hash, int64_t until_us)
{
    if (hash.len != PK_API_KEY_HASH_BYTES)
        return;
    struct pk_api_hash *h = &k->hashes[k->hash_count++];
    *h = (struct pk_api_hash){.key = k->count, .until_us = until_us};
    memcpy(h->hash, hash.at, PK_API_KEY_HASH_BYTES);
}

static bool read_row(void *ctx, const struct pk_value *v, int count)
{
    struct load *l = ctx;
    struct pk_api_keys *k = l->keys;

    PK_ASSERT(count == 10);
    l->full = k->count == PK_API_KEYS_MAX;
    if (l->full || (k->count == l->cap && !grow(l)))
        return false;
    add_hash(k, v[1].s, INT64_MAX);
    add_hash(k, v[2].s, v[3].i);
    struct pk_api_key *key = &k->keys[k->count];
    *key = (struct pk_api_key){
        .name = pk_copy(l->arena, v[0].s),
        .config = pk_copy(l->arena, v[5].s),
        .config_fixed = v[6].i,
        .metadata = pk_copy(l->arena, v[7].s),
        .expires_us = v[8].i,
        .revoked = v[9].type != PK_V_NULL,
    };
    l->newer = l->newer || !pk_scopes_read(v[4].s, &key->scopes);
    k->count++;
    return true;
}

bool pk_store_api_keys_load(struct pk_store *s, struct pk_arena *arena, struct pk_api_keys *keys,
                            struct pk_error *err)
{
    struct load l = {.arena = arena, .keys = keys};

    *keys = (struct pk_api_keys){0};
    if (!s->ops->exec(s, PK_SQL_api_keys, NULL, 0, read_row, &l, err))
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "API keys: out of memory");
    if (l.full)
        return pk_fail(err, PK_STORE, "API keys: there are more than %d", PK_API_KEYS_MAX);
    if (l.newer)
        return pk_fail(err, PK_STORE, "API keys: one is of a newer version");
    pk_api_keys_sort(keys);
    return true;
}
