/* token.c - see token.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "token.h"

#include "dialect_parts.h"
#include "iso.h"
#include "jwt.h"

#include <string.h>

enum { LIVES_S_USUAL = 3600, WORDS_BYTES_MAX = 160 };

static const char google_scope[] = "https://www.googleapis.com/auth/cloud-platform";
static const char azure_scope[] = "https://cognitiveservices.azure.com/.default";
static const char form_type[] = "content-type: application/x-www-form-urlencoded\n";

/* --- asking --------------------------------------------------------------------------------------- */

static bool no_memory(struct pk_error *err)
{
    return pk_fail(err, PK_NO_MEMORY, "token: out of memory");
}

/* Appends a parameter of a form or a query; an empty one is left out. */
static void add_param(struct pk_buf *out, const char *name, pk_str value)
{
    if (value.len == 0)
        return;
    if (out->len && out->at[out->len - 1] != '?')
        pk_buf_addc(out, '&');
    pk_buf_addf(out, "%s=", name);
    pk_dialect_segment(out, value);
}

static pk_str member(struct pk_arena *arena, const struct pk_json *doc, const char *name)
{
    return pk_json_str(arena, doc, pk_json_get(doc, 0, name));
}

/* Where Google's accounts say that tokens come from; the transport decides whether it may be called. */
static pk_str google_url(struct pk_arena *arena, const struct pk_json *account)
{
    pk_str url = member(arena, account, "token_uri");

    return url.len ? url : PK_STR("https://oauth2.googleapis.com/token");
}

static void google_user(struct pk_arena *arena, const struct pk_json *account, struct pk_buf *body)
{
    add_param(body, "grant_type", PK_STR("refresh_token"));
    add_param(body, "client_id", member(arena, account, "client_id"));
    add_param(body, "client_secret", member(arena, account, "client_secret"));
    add_param(body, "refresh_token", member(arena, account, "refresh_token"));
}

static bool google_service(struct pk_arena *arena, const struct pk_json *account, int64_t now_us,
                           struct pk_buf *body, struct pk_error *err)
{
    struct pk_buf claims = pk_buf_in(arena, PK_TOKEN_ASK_BYTES_MAX);
    pk_str pem = member(arena, account, "private_key"), jwt = PK_NONE;
    pk_str email = member(arena, account, "client_email");
    long long now_s = (long long)(now_us / 1000000);

    if (pem.len == 0 || email.len == 0)
        return pk_fail(err, PK_NO_KEY,
                       "service account: needs client_email and private_key, as Google issues it");
    pk_buf_adds(&claims, "{\"iss\":");
    pk_json_quote(&claims, email);
    pk_buf_addf(&claims, ",\"scope\":\"%s\",\"aud\":", google_scope);
    pk_json_quote(&claims, google_url(arena, account));
    pk_buf_addf(&claims, ",\"iat\":%lld,\"exp\":%lld}", now_s, now_s + LIVES_S_USUAL);
    if (!pk_jwt_sign(arena, member(arena, account, "private_key_id"), pem, pk_buf_str(&claims),
                     &jwt, err))
        return false;
    add_param(body, "grant_type", PK_STR("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    add_param(body, "assertion", jwt);
    return true;
}

static bool finish(struct pk_buf *body, struct pk_token_ask *ask, struct pk_error *err)
{
    ask->body = pk_buf_str(body);
    ask->headers = ask->body.len ? pk_str_of(form_type) : ask->headers;
    return (!body->failed && !body->arena->failed) || no_memory(err);
}

bool pk_token_ask_google(struct pk_arena *arena, const struct pk_json *account, int64_t now_us,
                         struct pk_token_ask *ask, struct pk_error *err)
{
    struct pk_buf body = pk_buf_in(arena, PK_TOKEN_ASK_BYTES_MAX);
    pk_str type = member(arena, account, "type");

    *ask = (struct pk_token_ask){.url = google_url(arena, account),
                                 .host = PK_STR("https://oauth2.googleapis.com")};
    if (pk_str_is(type, "authorized_user")) {
        google_user(arena, account, &body);
        ask->hide = member(arena, account, "refresh_token");
        return finish(&body, ask, err);
    }
    if (!pk_str_is(type, "service_account"))
        return pk_fail(err, PK_NO_KEY, "service account: its type is \"%.*s\", not service_account",
                       PK_FMT(pk_str_sub(type, 0, 40)));
    return google_service(arena, account, now_us, &body, err) && finish(&body, ask, err);
}

bool pk_token_ask_entra(struct pk_arena *arena, const struct pk_token_azure *a,
                        struct pk_token_ask *ask, struct pk_error *err)
{
    struct pk_buf body = pk_buf_in(arena, PK_TOKEN_ASK_BYTES_MAX);
    struct pk_buf url = pk_buf_in(arena, PK_URL_BYTES_MAX);
    pk_str host = a->authority.len ? a->authority : PK_STR("https://login.microsoftonline.com");

    while (pk_str_ends(host, "/"))
        host.len--;
    if (a->tenant.len == 0 || a->client.len == 0 || (a->secret.len == 0 && a->federated.len == 0))
        return pk_fail(err, PK_NO_KEY,
                       "azure: needs azure_entra_tenant_id, azure_entra_client_id and "
                       "azure_entra_client_secret");
    pk_buf_add(&url, host);
    pk_buf_addc(&url, '/');
    pk_dialect_segment(&url, a->tenant);
    pk_buf_adds(&url, "/oauth2/v2.0/token");
    add_param(&body, "grant_type", PK_STR("client_credentials"));
    add_param(&body, "client_id", a->client);
    add_param(&body, "client_secret", a->federated.len ? PK_NONE : a->secret);
    add_param(&body, "client_assertion_type",
              a->federated.len ? PK_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                               : PK_NONE);
    add_param(&body, "client_assertion", a->federated);
    add_param(&body, "scope", a->scope.len ? a->scope : pk_str_of(azure_scope));
    *ask = (struct pk_token_ask){
        .url = pk_buf_str(&url), .host = host, .hide = a->federated.len ? a->federated : a->secret};
    return finish(&body, ask, err);
}

bool pk_token_ask_managed(struct pk_arena *arena, const struct pk_token_azure *a, pk_str endpoint,
                          pk_str header, struct pk_token_ask *ask, struct pk_error *err)
{
    struct pk_buf url = pk_buf_in(arena, PK_URL_BYTES_MAX);
    pk_str resource = a->scope.len ? a->scope : pk_str_of(azure_scope);

    if (pk_str_ends(resource, "/.default"))
        resource.len -= strlen("/.default");
    *ask = (struct pk_token_ask){.get = true, .host = endpoint};
    if (endpoint.len == 0) {
        ask->host = PK_STR("http://169.254.169.254");
        pk_buf_adds(&url, "http://169.254.169.254/metadata/identity/oauth2/token?");
        add_param(&url, "api-version", PK_STR("2018-02-01"));
        ask->headers = PK_STR("metadata: true\n");
    } else {
        pk_buf_addf(&url, "%.*s?", PK_FMT(endpoint));
        add_param(&url, "api-version", PK_STR("2019-08-01"));
        ask->headers = pk_copyf(arena, "x-identity-header: %.*s\n", PK_FMT(header));
    }
    add_param(&url, "resource", resource);
    add_param(&url, "client_id", a->client);
    ask->url = pk_buf_str(&url);
    return (!url.failed && !arena->failed) || no_memory(err);
}

bool pk_token_ask_sts(struct pk_arena *arena, const struct pk_aws_key *key, pk_str region,
                      pk_str role, pk_str external, pk_str endpoint, struct pk_token_ask *ask,
                      struct pk_error *err)
{
    struct pk_buf url = pk_buf_in(arena, PK_URL_BYTES_MAX);
    pk_str host = endpoint;

    if (host.len == 0)
        host = pk_copyf(arena, "https://sts.%.*s.amazonaws.com", PK_FMT(region));
    while (pk_str_ends(host, "/"))
        host.len--;
    pk_buf_addf(&url, "%.*s/?", PK_FMT(host));
    add_param(&url, "Action", PK_STR("AssumeRole"));
    add_param(&url, "Version", PK_STR("2011-06-15"));
    add_param(&url, "RoleArn", role);
    add_param(&url, "RoleSessionName", PK_STR("pk"));
    add_param(&url, "ExternalId", external);
    *ask = (struct pk_token_ask){.get = true,
                                 .aws = true,
                                 .url = pk_buf_str(&url),
                                 .host = host,
                                 .key = *key,
                                 .region = region};
    return (!url.failed && !arena->failed) || no_memory(err);
}

/* --- reading ------------------------------------------------------------------------------------- */

/* What stands between <name> and </name>, the first time; STS's answers need no more of XML. */
static pk_str element(struct pk_arena *arena, pk_str body, const char *name)
{
    pk_str open = pk_copyf(arena, "<%s>", name), close = pk_copyf(arena, "</%s>", name);
    const char *from = open.len ? memmem(body.at, body.len, open.at, open.len) : NULL;

    if (!from)
        return PK_NONE;
    from += open.len;
    const char *to = memmem(from, body.len - (size_t)(from - body.at), close.at, close.len);
    return to ? pk_str_trim((pk_str){from, (size_t)(to - from)}) : PK_NONE;
}

/* The issuer's words, fit for a message. */
static pk_str words_of(struct pk_arena *arena, bool aws, pk_str body)
{
    struct pk_error unused;
    struct pk_json doc;
    pk_str code, text;
    size_t bad;

    if (aws) {
        code = element(arena, body, "Code");
        text = element(arena, body, "Message");
    } else if (pk_json_parse(arena, body, "token", &doc, &unused)) {
        code = member(arena, &doc, "error");
        text = member(arena, &doc, "error_description");
    } else {
        return PK_NONE;
    }
    text = pk_str_sub(text, 0, WORDS_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || (unsigned char)text.at[i] > '~')
            text.len = i;
    text = pk_copyf(arena, "%.*s%s%.*s", PK_FMT(pk_str_sub(code, 0, 60)), text.len ? ": " : "",
                    PK_FMT(text));
    return pk_utf8_valid(text, &bad) ? text : PK_NONE;
}

static bool refused(struct pk_arena *arena, bool aws, int status, pk_str body, struct pk_error *err)
{
    bool ours = status >= 400 && status < 500 && status != 408 && status != 429;
    pk_str words = words_of(arena, aws, body);

    return pk_fail(err, ours ? PK_NO_KEY : PK_UPSTREAM, "no token: its issuer answered %d%s%.*s",
                   status, words.len ? ", " : "", PK_FMT(words));
}

static bool read_aws(struct pk_arena *arena, pk_str body, int64_t now_us, struct pk_token_answer *a)
{
    int64_t until_us;

    a->key = (struct pk_aws_key){element(arena, body, "AccessKeyId"),
                                 element(arena, body, "SecretAccessKey"),
                                 element(arena, body, "SessionToken")};
    if (pk_iso_us(element(arena, body, "Expiration"), &until_us))
        a->lives_s = (until_us - now_us) / 1000000;
    return a->key.id.len && a->key.secret.len && a->key.session.len;
}

/* Azure's metadata service writes its numbers as strings. */
static bool number(struct pk_arena *arena, const struct pk_json *doc, const char *name,
                   int64_t *value)
{
    int node = pk_json_get(doc, 0, name);

    return pk_json_int(doc, node, value) || pk_str_int(pk_json_str(arena, doc, node), value);
}

static bool read_oauth(struct pk_arena *arena, pk_str body, struct pk_token_answer *a)
{
    struct pk_error unused;
    struct pk_json doc;

    if (!pk_json_parse(arena, body, "token", &doc, &unused))
        return false;
    a->token = member(arena, &doc, "access_token");
    if (!number(arena, &doc, "expires_in", &a->lives_s) || a->lives_s <= 0)
        a->lives_s = LIVES_S_USUAL;
    return a->token.len > 0;
}

bool pk_token_read(struct pk_arena *arena, bool aws, int status, pk_str body, int64_t now_us,
                   struct pk_token_answer *a, struct pk_error *err)
{
    *a = (struct pk_token_answer){.lives_s = LIVES_S_USUAL};
    if (status < 200 || status > 299)
        return refused(arena, aws, status, body, err);
    bool ok = aws ? read_aws(arena, body, now_us, a) : read_oauth(arena, body, a);
    if (arena->failed)
        return no_memory(err);
    return ok || pk_fail(err, PK_BAD_ANSWER, "no token: its issuer's answer has none");
}
