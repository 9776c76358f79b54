/* auth.c - see auth.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   AWS        the access key AKIDMOCK of the secret mock-secret-access-key; AssumeRole at any path with
 *              Action=AssumeRole gives ASIAMOCK, whose session holds as long as it was given by this process
 *   Google     a path that ends in /oauth/token; an assertion signed with the service key, or the refresh token
 *              mock-refresh; /short/ before it: for one second
 *   Entra      /TENANT/oauth2/v2.0/token; the client's secret is mock-entra-secret, its federated token
 *              mock-federated
 *   managed    /msi/token with x-identity-header: mock-identity
 * Tokens are mock-token-N. Only those are looked at: any other word is a key.
 */
#include "auth.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HASH_BYTES = 32, HEX_BYTES = 65, PARAMS_MAX = 16 };

static int issued, revoked; /* tokens and sessions have numbers; up to `revoked` they are nothing */
static EVP_PKEY *service_key;

void auth_reset(void)
{
    revoked = issued;
}

void auth_service_key(const struct text *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->at, (int)pem->len);

    EVP_PKEY_free(service_key);
    service_key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
}

static bool holds(const char *number)
{
    int n = atoi(number);

    return n > revoked && n <= issued;
}

/* --- AWS ---------------------------------------------------------------------------------------- */

static void hex_of(const unsigned char *hash, char *hex)
{
    for (int i = 0; i < HASH_BYTES; i++)
        (void)snprintf(hex + 2 * (size_t)i, 3, "%02x", hash[i]);
}

static void hash_hex(const char *at, size_t len, char *hex)
{
    unsigned char hash[HASH_BYTES];

    (void)EVP_Digest(at ? at : "", len, hash, NULL, EVP_sha256(), NULL);
    hex_of(hash, hex);
}

static void hmac(const void *key, int key_len, const char *text, unsigned char *out)
{
    (void)HMAC(EVP_sha256(), key, key_len, (const unsigned char *)text, strlen(text), out, NULL);
}

/* The value behind "name=" in the authorization header, up to a comma or blank. */
static void piece(const char *header, const char *name, char *out, size_t size)
{
    const char *at = strstr(header, name);

    out[0] = '\0';
    if (at)
        (void)snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), ", "), at + strlen(name));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_query(struct text *out, const char *query)
{
    char params[PARAMS_MAX][512];
    int count = 0;

    while (query && *query && count < PARAMS_MAX) {
        size_t len = strcspn(query, "&");
        bool equals = memchr(query, '=', len) != NULL;

        (void)snprintf(params[count++], sizeof(params[0]), "%.*s%s", (int)len, query,
                       equals ? "" : "=");
        query += len + (query[len] == '&');
    }
    qsort(params, (size_t)count, sizeof(params[0]), by_text);
    for (int i = 0; i < count; i++)
        text_addf(out, "%s%s", i ? "&" : "", params[i]);
}

static void add_path(struct text *out, const char *path, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (isalnum((unsigned char)path[i]) || strchr("-._~/", path[i]))
            text_add(out, path + i, 1);
        else
            text_addf(out, "%%%02X", (unsigned)(unsigned char)path[i]);
}

static void add_headers(struct text *out, const struct ask *a, const char *names)
{
    char name[64], value[8192];

    for (const char *at = names; *at;) {
        size_t len = strcspn(at, ";");

        (void)snprintf(name, sizeof(name), "%.*s", (int)len, at);
        ask_header(a, name, value, sizeof(value));
        text_addf(out, "%s:%s\n", name, value);
        at += len + (at[len] == ';');
    }
}

static void canonical(struct text *out, const struct ask *a, const char *names)
{
    const char *mark = strchr(a->path, '?');
    char body[HEX_BYTES];

    text_addf(out, "%s\n", a->method);
    add_path(out, a->path, mark ? (size_t)(mark - a->path) : strlen(a->path));
    text_adds(out, "\n");
    add_query(out, mark ? mark + 1 : NULL);
    text_adds(out, "\n");
    add_headers(out, a, names);
    hash_hex(a->body->at, a->body->len, body);
    text_addf(out, "\n%s\n%s", names, body);
}

static void signature(const char *secret, const char *date, const char *scope, const char *request,
                      char *hex)
{
    unsigned char k[HASH_BYTES];
    char text[512], step[128];

    (void)snprintf(text, sizeof(text), "AWS4%s", secret);
    const void *key = text;
    int len = (int)strlen(text);
    for (const char *at = scope; *at;) {
        size_t n = strcspn(at, "/");

        (void)snprintf(step, sizeof(step), "%.*s", (int)n, at);
        hmac(key, len, step, k);
        key = k;
        len = HASH_BYTES;
        at += n + (at[n] == '/');
    }
    (void)snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, request);
    hmac(k, HASH_BYTES, text, k);
    hex_of(k, hex);
}

static bool aws_refuse(const struct ask *a, const char *why, struct reply *r)
{
    a->dialect->error(403, why, NULL, r);
    return false;
}

/* The secret of the access key; NULL: there is none, or its session does not hold. */
static const char *secret_of(const struct ask *a, const char *id)
{
    char session[256];

    ask_header(a, "x-amz-security-token", session, sizeof(session));
    if (strcmp(id, "AKIDMOCK") == 0 && !session[0])
        return "mock-secret-access-key";
    if (strcmp(id, "ASIAMOCK") == 0 && strncmp(session, "mock-session-token-", 19) == 0 &&
        holds(session + 19))
        return "mock-temporary-secret";
    return NULL;
}

static bool recent(const char *date)
{
    struct tm tm = {0};

    if (!strptime(date, "%Y%m%dT%H%M%SZ", &tm))
        return false;
    return labs((long)(timegm(&tm) - time(NULL))) < 300;
}

static bool check_aws(const struct ask *a, const char *header, struct reply *r)
{
    char credential[256], names[1024], given[128], date[32], hash[HEX_BYTES], right[HEX_BYTES];
    struct text request = {0};

    piece(header, "Credential=", credential, sizeof(credential));
    piece(header, "SignedHeaders=", names, sizeof(names));
    piece(header, "Signature=", given, sizeof(given));
    ask_header(a, "x-amz-date", date, sizeof(date));
    char *scope = strchr(credential, '/');
    if (!scope || !recent(date) || strncmp(scope + 1, date, 8) != 0)
        return aws_refuse(a, "The credential's scope or date is wrong.", r);
    *scope++ = '\0';
    const char *secret = secret_of(a, credential);
    if (!secret)
        return aws_refuse(a, "The security token included in the request is invalid.", r);
    if (!strstr(names, "host") || !strstr(names, "x-amz-date"))
        return aws_refuse(a, "'Host' and 'X-Amz-Date' must be signed.", r);
    canonical(&request, a, names);
    hash_hex(request.at, request.len, hash);
    signature(secret, date, scope, hash, right);
    text_free(&request);
    return strcmp(given, right) == 0 ||
           aws_refuse(a,
                      "The request signature we calculated does not match the signature you "
                      "provided.",
                      r);
}

static void assume_role(const struct ask *a, struct reply *r)
{
    char header[2048];

    ask_header(a, "authorization", header, sizeof(header));
    r->type = "text/xml";
    if (strncmp(header, "AWS4-HMAC-SHA256 ", 17) != 0 || !check_aws(a, header, r) ||
        strstr(a->path, "refused")) {
        reply_reset(r, 403);
        r->type = "text/xml";
        text_adds(&r->body, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                            "<Message>not authorized to perform sts:AssumeRole</Message></Error>"
                            "</ErrorResponse>");
        return;
    }
    text_addf(&r->body,
              "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
              "<AssumeRoleResult><Credentials><AccessKeyId>ASIAMOCK</AccessKeyId><SecretAccessKey>"
              "mock-temporary-secret</SecretAccessKey><SessionToken>mock-session-token-%d"
              "</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
              "</AssumeRoleResult></AssumeRoleResponse>",
              ++issued);
}

/* --- tokens --------------------------------------------------------------------------------------- */

static bool ends(const char *path, const char *end)
{
    size_t len = strlen(path), n = strlen(end);

    return len >= n && strcmp(path + len - n, end) == 0;
}

/* A parameter of a form, unescaped. */
static void param(const struct text *body, const char *name, char *out, size_t size)
{
    size_t len = strlen(name), n = 0;
    const char *at = body->at ? body->at : "";

    while (*at && (strncmp(at, name, len) != 0 || at[len] != '=')) {
        at += strcspn(at, "&");
        at += *at == '&';
    }
    for (at += *at ? len + 1 : 0; *at && *at != '&' && n + 1 < size; at++) {
        char hex[3] = {at[0] == '%' ? at[1] : '\0', at[0] == '%' && at[1] ? at[2] : '\0', '\0'};

        out[n++] = hex[0] ? (char)strtol(hex, NULL, 16) : *at;
        at += hex[0] ? 2 : 0;
    }
    out[n] = '\0';
}

static void give_token(struct reply *r, int seconds, bool as_text)
{
    text_addf(&r->body, "{\"token_type\":\"Bearer\",\"expires_in\":%s%d%s,\"access_token\":",
              as_text ? "\"" : "", seconds, as_text ? "\"" : "");
    text_addf(&r->body, "\"mock-token-%d\"}", ++issued);
}

static void refuse_token(struct reply *r, const char *code, const char *why)
{
    reply_reset(r, 400);
    text_addf(&r->body, "{\"error\":\"%s\",\"error_description\":\"%s\"}", code, why);
}

static size_t unbase64url(const char *at, size_t len, unsigned char *out, size_t size)
{
    size_t n = 0;
    unsigned bits = 0;
    int held = 0;

    for (size_t i = 0; i < len && n < size; i++) {
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const char *found = strchr(letters, at[i]);

        if (!found)
            return 0;
        bits = bits << 6 | (unsigned)(found - letters);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held);
        }
    }
    return n;
}

/* Whether the service key signed it, and its claims are what Google's endpoint wants. */
static bool assertion_holds(const char *jwt)
{
    const char *first = strchr(jwt, '.'), *second = first ? strchr(first + 1, '.') : NULL;
    unsigned char signed_with[1024], claims[2048] = {0};

    if (!second || !service_key)
        return false;
    size_t len = unbase64url(second + 1, strlen(second + 1), signed_with, sizeof(signed_with));
    (void)unbase64url(first + 1, (size_t)(second - first - 1), claims, sizeof(claims) - 1);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, service_key) == 1 &&
              EVP_DigestVerify(ctx, signed_with, len, (const unsigned char *)jwt,
                               (size_t)(second - jwt)) == 1;
    EVP_MD_CTX_free(ctx);
    cJSON *c = cJSON_Parse((const char *)claims);
    const char *scope = json_text(c, "scope"), *aud = json_text(c, "aud");
    const cJSON *until = cJSON_GetObjectItemCaseSensitive(c, "exp");
    ok = ok && scope && strstr(scope, "cloud-platform") && aud && ends(aud, "/oauth/token") &&
         json_text(c, "iss") && cJSON_IsNumber(until) && until->valuedouble > (double)time(NULL);
    cJSON_Delete(c);
    return ok;
}

static void google(const struct ask *a, struct reply *r)
{
    char type[128], assertion[4096], refresh[128];

    param(a->body, "grant_type", type, sizeof(type));
    param(a->body, "assertion", assertion, sizeof(assertion));
    param(a->body, "refresh_token", refresh, sizeof(refresh));
    bool ok = strcmp(type, "refresh_token") == 0
                  ? strcmp(refresh, "mock-refresh") == 0
                  : strcmp(type, "urn:ietf:params:oauth:grant-type:jwt-bearer") == 0 &&
                        assertion_holds(assertion);
    if (ok)
        give_token(r, strstr(a->path, "/short/") ? 1 : 3599, false);
    else
        refuse_token(r, "invalid_grant", "Invalid JWT Signature.");
}

static void entra(const struct ask *a, struct reply *r)
{
    char secret[256], assertion[256], scope[256];

    param(a->body, "client_secret", secret, sizeof(secret));
    param(a->body, "client_assertion", assertion, sizeof(assertion));
    param(a->body, "scope", scope, sizeof(scope));
    if ((strcmp(secret, "mock-entra-secret") == 0 || strcmp(assertion, "mock-federated") == 0) &&
        ends(scope, "/.default")) {
        give_token(r, 3599, false);
        return;
    }
    reply_reset(r, 401); /* it repeats what it was sent, as the worst of the real ones might */
    text_addf(&r->body,
              "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client "
              "secret provided: %s\"}",
              secret);
}

static void managed(const struct ask *a, struct reply *r)
{
    char header[128];

    ask_header(a, "x-identity-header", header, sizeof(header));
    if (strcmp(header, "mock-identity") == 0 && strstr(a->path, "resource="))
        give_token(r, 86399, true);
    else
        refuse_token(r, "invalid_request", "no such identity");
}

bool auth_issues(const struct ask *a, struct reply *r)
{
    if (strstr(a->path, "?Action=AssumeRole&"))
        assume_role(a, r);
    else if (ends(a->route, "/oauth/token"))
        google(a, r);
    else if (ends(a->route, "/oauth2/v2.0/token"))
        entra(a, r);
    else if (ends(a->route, "/msi/token"))
        managed(a, r);
    else
        return false;
    return true;
}

bool auth_check(const struct ask *a, struct reply *r)
{
    char header[2048];

    ask_header(a, "authorization", header, sizeof(header));
    if (strncmp(header, "AWS4-HMAC-SHA256 ", 17) == 0)
        return check_aws(a, header, r);
    if (strncmp(header, "Bearer mock-token-", 18) == 0 && !holds(header + 18)) {
        a->dialect->error(401, "The access token is invalid or expired.", NULL, r);
        return false;
    }
    return true;
}
