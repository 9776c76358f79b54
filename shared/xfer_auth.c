/* xfer_auth.c - how a request gets in: the target's key, a signature, or a token that is fetched first.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A key is one secret, or a JSON object of several (target_field.h). What it is opened into is in the vault and gone
 * before this returns; what a token is asked with stays until the token is there.
 */
#include "http.h"
#include "place.h"
#include "xfer_inner.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { OPENED_BYTES_MAX = 256 << 10 };

static const char bearer[] = "authorization: Bearer ";

/* A request whose key is open. */
struct opening {
    struct pk_transfer *t;
    const struct pk_exchange *ex;
    const struct pk_target *target;
    const char *provider;
    struct pk_arena arena; /* in the vault */
    struct pk_json doc;    /* of a key in several parts */
    bool parts;
    struct pk_seal seal;
    pk_str text;    /* the key as it is; empty: there is none */
    size_t written; /* at most, of x->opened */
    struct pk_error *err;
};

/* What fits once does so again: the same words are the same origin. */
static void note_fit(struct pk_upstream *u, pk_str origin)
{
    if (origin.len >= sizeof u->fits)
        return;
    memcpy(u->fits, origin.at, origin.len);
    u->fits[origin.len] = 0;
}

/* The rule of binding, once more at the last moment: a stored key goes to its own origin only. */
static bool key_fits(const struct pk_transfer *t, const struct pk_target *target,
                     struct pk_error *err)
{
    const struct pk_key *key = &target->key;
    pk_str belongs = target->key_url.len ? target->key_url : key->origin;
    struct pk_url origin;

    if (key->origin.len == 0 || pk_str_is(belongs, t->to->fits))
        return true;
    if (!pk_url_parse(belongs, "the key's origin", &origin, err))
        return false;
    if (pk_url_same_origin(&origin, &t->to->url)) {
        note_fit(t->to, belongs);
        return true;
    }
    /* A key of the environment that no virtual key names is known by its variable. */
    pk_str name = key->slug.len == 0 && key->kind == PK_KEY_ENV ? key->value : key->slug;
    return pk_fail(err, PK_HOST_DENIED, "%s: the key %.*s belongs to %.*s", t->to->where,
                   PK_FMT(name), PK_FMT(origin.host));
}

/* --- what was opened ------------------------------------------------------------------------------- */

/* *text: what the key says, until the next one is opened. A sealed one, as most are, is as long as it says. */
static bool open_into(struct opening *o, const struct pk_key *key, pk_str *text)
{
    size_t len = 0;
    bool ok = pk_secret_open(o->t->x->secrets, key, pk_str_of(o->provider), o->t->x->opened, &len,
                             o->err);
    size_t written = ok && key->kind == PK_KEY_SEALED ? len : PK_SECRET_BYTES_MAX;

    if (written > o->written)
        o->written = written;
    *text = (pk_str){o->t->x->opened, len};
    return ok;
}

/* The provider's variable is only what there is when nobody has said a key. */
static bool is_unset(const struct pk_key *key)
{
    pk_str name = key->kind == PK_KEY_ENV && key->slug.len == 0 ? key->value : PK_NONE;
    char variable[PK_SLUG_BYTES_MAX + 1];

    if (name.len == 0 || name.len >= sizeof variable)
        return false;
    memcpy(variable, name.at, name.len);
    variable[name.len] = 0;
    return getenv(variable) == NULL;
}

static bool open_key(struct opening *o)
{
    struct pk_error unused;

    if (o->target->key.kind == PK_KEY_NONE)
        return true;
    if (is_unset(&o->target->key) && !key_fits(o->t, o->target, &unused))
        return true; /* it goes to another host, which may need none */
    if (!key_fits(o->t, o->target, o->err))
        return false;
    pk_secret_seal_of(&o->target->key, pk_str_of(o->provider), &o->seal);
    return pk_transfer_shared_key(o->t, &o->seal, &o->text) ||
           open_into(o, &o->target->key, &o->text);
}

static bool fail(struct opening *o, const char *why)
{
    return pk_fail(o->err, PK_NO_KEY, "%s: %s", o->provider, why);
}

/* A key whose text looks like an object is one, where keys have parts. */
static bool read_parts(struct opening *o)
{
    struct pk_error unused;

    if (!pk_str_starts(pk_str_trim(o->text), "{"))
        return true;
    o->parts = pk_json_parse(&o->arena, o->text, "key", &o->doc, &unused);
    return o->parts || fail(o, "the key is no JSON object of its parts");
}

static pk_str part(struct opening *o, const char *name)
{
    return o->parts ? pk_json_str(&o->arena, &o->doc, pk_json_get(&o->doc, 0, name)) : PK_NONE;
}

static pk_str field(const struct opening *o, enum pk_target_field f)
{
    return pk_target_field(o->target, f);
}

/* --- sending -------------------------------------------------------------------------------------- */

static bool send_with(struct opening *o, pk_str header, pk_str secret)
{
    const struct pk_grant g = {.header = header, .secret = secret};

    if (!pk_http_valid_value(secret))
        return fail(o, "the key holds a line break or control character");
    return pk_transfer_fill(o->t, o->ex, &g, o->err);
}

/* The key in the provider's own header; nothing where there is none. */
static bool send_key(struct opening *o, pk_str key)
{
    const char *header = o->target->key_header;

    if (!header)
        header = o->target->provider->key_header;
    return send_with(o, key.len ? pk_str_of(header) : PK_NONE, *header ? key : PK_NONE);
}

/* What decides which token it is: who asks, with what, for what. */
static void identify(const struct opening *o, uint8_t id[PK_TOKEN_ID_BYTES])
{
    crypto_generichash_state h;

    (void)crypto_generichash_init(&h, o->t->x->token_salt, PK_TOKEN_ID_BYTES, PK_TOKEN_ID_BYTES);
    (void)crypto_generichash_update(&h, (const unsigned char *)o->provider,
                                    strlen(o->provider) + 1);
    if (o->text.len)
        (void)crypto_generichash_update(&h, (const unsigned char *)o->text.at, o->text.len);
    for (int f = 0; f < PK_TARGET_FIELDS; f++) {
        pk_str s = field(o, (enum pk_target_field)f);
        const unsigned char end[2] = {0, (unsigned char)f};

        (void)crypto_generichash_update(&h, end, sizeof end);
        if (s.len)
            (void)crypto_generichash_update(&h, (const unsigned char *)s.at, s.len);
    }
    (void)crypto_generichash_final(&h, id, PK_TOKEN_ID_BYTES);
}

typedef bool ask_fn(struct opening *o, struct pk_token_ask *ask);

/* Sends it with the token that `how` asks for; or has it wait until that is there. */
static bool send_with_token(struct opening *o, ask_fn *how)
{
    uint8_t id[PK_TOKEN_ID_BYTES];
    struct pk_token_ask ask;
    struct pk_grant g = {0};
    char why[sizeof o->err->msg];

    identify(o, id);
    if (pk_token_use(o->t, o->ex, id, &g))
        return o->t->waits || pk_transfer_fill(o->t, o->ex, &g, o->err);
    if (how(o, &ask) && pk_token_start(o->t, o->ex, id, &o->arena, &ask, o->err))
        return true;
    memcpy(why, o->err->msg, sizeof why);
    if (!pk_str_starts(pk_str_of(why), o->provider))
        (void)pk_fail(o->err, o->err->code, "%s: %.200s", o->provider, why);
    return false;
}

/* --- AWS ------------------------------------------------------------------------------------------ */

static pk_str variable(const char *name)
{
    return pk_str_of(getenv(name));
}

/* An access key: its parts, or the environment's. False: it is a key of one piece. */
static bool access_key(struct opening *o, struct pk_aws_key *key)
{
    const struct pk_key *k = &o->target->key;

    *key = (struct pk_aws_key){part(o, "aws_access_key_id"), part(o, "aws_secret_access_key"),
                               part(o, "aws_session_token")};
    if (!o->parts && k->kind == PK_KEY_ENV && pk_str_is(k->value, "AWS_SECRET_ACCESS_KEY"))
        *key = (struct pk_aws_key){variable("AWS_ACCESS_KEY_ID"), o->text,
                                   variable("AWS_SESSION_TOKEN")};
    return key->id.len && key->secret.len;
}

static bool ask_sts(struct opening *o, struct pk_token_ask *ask)
{
    struct pk_aws_key key;

    return access_key(o, &key) &&
           pk_token_ask_sts(&o->arena, &key, field(o, PK_TF_aws_region),
                            field(o, PK_TF_aws_role_arn), field(o, PK_TF_aws_external_id),
                            variable("AWS_ENDPOINT_URL_STS"), ask, o->err);
}

static bool send_aws(struct opening *o)
{
    pk_str type = field(o, PK_TF_aws_auth_type), role = field(o, PK_TF_aws_role_arn);
    pk_str single = o->parts ? part(o, "api_key") : o->text;
    struct pk_grant g = {.region = field(o, PK_TF_aws_region), .service = pk_str_of(o->provider)};
    bool access = access_key(o, &g.aws);

    if (pk_str_is(type, "apiKey") || (!access && type.len == 0 && single.len))
        return single.len ? send_with(o, pk_str_of(bearer), single)
                          : fail(o, "aws_auth_type is apiKey, and there is no api_key");
    if (!access)
        return fail(o, "the key needs aws_access_key_id and aws_secret_access_key");
    if (!pk_http_valid_value(g.aws.id) || !pk_http_valid_value(g.aws.session))
        return fail(o, "the key holds a line break or control character");
    if (role.len && !pk_str_is(type, "accessKey"))
        return send_with_token(o, ask_sts);
    if (pk_str_is(type, "assumedRole"))
        return fail(o, "aws_auth_type is assumedRole, and there is no aws_role_arn");
    return pk_transfer_fill(o->t, o->ex, &g, o->err);
}

/* --- Google --------------------------------------------------------------------------------------- */

/* GOOGLE_APPLICATION_CREDENTIALS is where the account's file is. */
static bool open_account_file(struct opening *o)
{
    const struct pk_key file = {.kind = PK_KEY_FILE, .value = pk_copy(&o->arena, o->text)};

    return open_into(o, &file, &o->text) && read_parts(o);
}

static bool ask_google(struct opening *o, struct pk_token_ask *ask)
{
    int inner = pk_json_get(&o->doc, 0, "vertex_service_account_json");
    pk_str text = pk_json_type(&o->doc, inner) == PK_JSON_STRING
                      ? pk_json_str(&o->arena, &o->doc, inner)
                      : pk_json_raw(&o->doc, inner < 0 ? 0 : inner);
    struct pk_json account;

    return pk_json_parse(&o->arena, text, "service account", &account, o->err) &&
           pk_token_ask_google(&o->arena, &account, pk_clock_us(), ask, o->err);
}

static bool send_google(struct opening *o)
{
    bool account = pk_json_get(&o->doc, 0, "type") >= 0 ||
                   pk_json_get(&o->doc, 0, "vertex_service_account_json") >= 0;
    pk_str single = o->parts ? part(o, "api_key") : o->text;

    if (o->parts && account)
        return send_with_token(o, ask_google);
    return single.len ? send_with(o, pk_str_of(bearer), single)
                      : fail(o, "needs vertex_service_account_json, or an access token as api_key");
}

/* --- Azure ---------------------------------------------------------------------------------------- */

/* What the machine is known by goes to the provider's own hosts, and those that an administrator lists. */
static bool may_have_identity(struct opening *o)
{
    pk_str own = o->target->own_url;
    struct pk_error unused;
    struct pk_url url;

    return o->t->to->listed || pk_place_own_host(o->target->provider, &o->t->to->url) ||
           (own.len && pk_url_parse(own, "", &url, &unused) &&
            pk_url_same_origin(&url, &o->t->to->url)) ||
           pk_fail(o->err, PK_HOST_DENIED, "%s: the machine's identity is for hosts of %s",
                   o->t->to->where, o->provider);
}

static bool ask_entra(struct opening *o, struct pk_token_ask *ask)
{
    const struct pk_token_azure a = {
        .tenant = field(o, PK_TF_azure_entra_tenant_id),
        .client = field(o, PK_TF_azure_entra_client_id),
        .secret = part(o, "azure_entra_client_secret"),
        .scope = field(o, PK_TF_azure_entra_scope),
        .authority = variable("AZURE_AUTHORITY_HOST"),
    };

    return pk_token_ask_entra(&o->arena, &a, ask, o->err);
}

static bool ask_managed(struct opening *o, struct pk_token_ask *ask)
{
    const struct pk_token_azure a = {
        .client = field(o, PK_TF_azure_managed_client_id),
        .scope = field(o, PK_TF_azure_entra_scope),
    };

    return pk_token_ask_managed(&o->arena, &a, variable("IDENTITY_ENDPOINT"),
                                variable("IDENTITY_HEADER"), ask, o->err);
}

static pk_str first_of(pk_str a, pk_str b)
{
    return a.len ? a : b;
}

static bool ask_workload(struct opening *o, struct pk_token_ask *ask)
{
    const struct pk_key file = {.kind = PK_KEY_FILE,
                                .value = variable("AZURE_FEDERATED_TOKEN_FILE")};
    pk_str token;

    if (file.value.len == 0)
        return fail(o, "azure_auth_mode workload needs AZURE_FEDERATED_TOKEN_FILE");
    if (!open_into(o, &file, &token))
        return false;
    const struct pk_token_azure a = {
        .tenant = first_of(field(o, PK_TF_azure_entra_tenant_id), variable("AZURE_TENANT_ID")),
        .client = first_of(field(o, PK_TF_azure_workload_client_id), variable("AZURE_CLIENT_ID")),
        .scope = field(o, PK_TF_azure_entra_scope),
        .federated = pk_copy(&o->arena, token),
        .authority = variable("AZURE_AUTHORITY_HOST"),
    };
    return pk_token_ask_entra(&o->arena, &a, ask, o->err);
}

static bool send_azure(struct opening *o)
{
    pk_str mode = field(o, PK_TF_azure_auth_mode), token = part(o, "azure_ad_token");

    if (pk_str_is(mode, "managed"))
        return may_have_identity(o) && send_with_token(o, ask_managed);
    if (pk_str_is(mode, "workload"))
        return may_have_identity(o) && send_with_token(o, ask_workload);
    if (pk_str_is(mode, "entra") || part(o, "azure_entra_client_secret").len)
        return send_with_token(o, ask_entra);
    if (token.len)
        return send_with(o, pk_str_of(bearer), token);
    return send_key(o, o->parts ? part(o, "api_key") : o->text);
}

/* --- the whole ------------------------------------------------------------------------------------ */

/* The key as it is, which others to the same place may need too. */
static bool send_whole(struct opening *o)
{
    if (!send_key(o, o->text))
        return false;
    if (o->seal.len && o->t->key_len == o->text.len)
        pk_transfer_share_key(o->t, &o->seal);
    return true;
}

static bool authorize(struct opening *o)
{
    enum pk_auth auth = pk_place_auth(o->target->provider);

    if (auth == PK_AUTH_KEY && !o->target->key_header && !*o->target->provider->key_header)
        return send_key(o, PK_NONE);
    if (!open_key(o))
        return false;
    if (auth == PK_AUTH_GOOGLE && o->target->key.kind == PK_KEY_ENV &&
        pk_str_starts(o->text, "/") && !open_account_file(o))
        return false;
    if (auth != PK_AUTH_KEY && !o->parts && !read_parts(o))
        return false;
    switch (auth) {
    case PK_AUTH_KEY: return send_whole(o);
    case PK_AUTH_AWS: return send_aws(o);
    case PK_AUTH_GOOGLE: return send_google(o);
    case PK_AUTH_AZURE: return send_azure(o);
    }
    return false;
}

bool pk_transfer_authorize(struct pk_transfer *t, const struct pk_exchange *ex,
                           struct pk_error *err)
{
    struct opening o; /* but for the room in .seal */

    o.t = t;
    o.ex = ex;
    o.target = ex->target;
    o.provider = ex->target->provider->name;
    o.parts = false;
    o.seal.len = 0;
    o.text = PK_NONE;
    o.written = 0;
    o.err = err;
    pk_arena_init(&o.arena, pk_vault_allocator(&t->x->vault), OPENED_BYTES_MAX);
    bool ok = authorize(&o);
    pk_secret_wipe(t->x->opened, o.written);
    pk_arena_free(&o.arena);
    return ok;
}
