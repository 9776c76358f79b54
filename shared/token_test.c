/* token_test.c - what issuers of tokens are asked, and what their answers mean.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "crypto.h"
#include "jwt.h"
#include "test.h"
#include "token.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

static const int64_t now_us = 1700000000LL * 1000000;

static struct pk_arena arena;
static struct pk_error err;

static bool has(pk_str text, const char *part)
{
    return memmem(text.at, text.len, part, strlen(part)) != NULL;
}

/* --- Google --------------------------------------------------------------------------------------- */

static pk_str base64url(const unsigned char *at, size_t len)
{
    char *text = pk_alloc(&arena, 4 * len / 3 + 8);
    int n = EVP_EncodeBlock((unsigned char *)text, at, (int)len);

    for (int i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    while (n > 0 && text[n - 1] == '=')
        n--;
    return (pk_str){text, (size_t)n};
}

/* The public half as a JWK set, and the private one in PEM. */
static void make_key(pk_str *jwks, pk_str *pem)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    BIGNUM *n = NULL;
    unsigned char bytes[256];
    char *text;

    (void)PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    long len = BIO_get_mem_data(bio, &text);
    *pem = pk_copy(&arena, (pk_str){text, (size_t)len});
    (void)EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n);
    (void)BN_bn2binpad(n, bytes, sizeof bytes);
    *jwks = pk_copyf(&arena,
                     "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"k1\",\"n\":\"%.*s\",\"e\":\"AQAB\"}]}",
                     PK_FMT(base64url(bytes, sizeof bytes)));
    BN_free(n);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static bool ask_google(pk_str account, struct pk_token_ask *ask)
{
    struct pk_json doc;

    return pk_json_parse(&arena, account, "account", &doc, &err) &&
           pk_token_ask_google(&arena, &doc, now_us, ask, &err);
}

static pk_str account_of(pk_str pem, const char *more)
{
    struct pk_buf text = pk_buf_in(&arena, 64 << 10);

    pk_buf_adds(&text, "{\"type\":\"service_account\",\"client_email\":\"a@b.iam\","
                       "\"private_key_id\":\"k1\",\"private_key\":");
    pk_json_quote(&text, pem);
    pk_buf_addf(&text, "%s}", more);
    return pk_buf_str(&text);
}

static void a_service_account_signs_for_its_own_endpoint(void)
{
    static const char before[] = "&assertion=";
    struct pk_token_ask ask;
    struct pk_jwt_rules rules = {.algorithms = PK_JWT_RS256,
                                 .now_s = now_us / 1000000,
                                 .issuer = PK_STR("a@b.iam"),
                                 .audience = PK_STR("https://oauth2.googleapis.com/token")};
    pk_str jwks, pem;

    make_key(&jwks, &pem);
    if (!EXPECT(ask_google(account_of(pem, ""), &ask)))
        return;
    EXPECT(!ask.get && pk_str_is(ask.url, "https://oauth2.googleapis.com/token"));
    EXPECT(has(ask.body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"));
    const char *at = memmem(ask.body.at, ask.body.len, before, sizeof before - 1);
    if (!EXPECT(at))
        return;
    pk_str jwt = pk_str_sub(ask.body, (size_t)(at - ask.body.at) + sizeof before - 1, ask.body.len);
    EXPECT(pk_jwt_verify(&arena, jwt, jwks, &rules, &err) || (printf("# %s\n", err.msg), false));
    rules.now_s += 3601;
    EXPECT(!pk_jwt_verify(&arena, jwt, jwks, &rules, &err));
    EXPECT(ask_google(account_of(pem, ",\"token_uri\":\"http://127.0.0.1:1/t\""), &ask) &&
           pk_str_is(ask.url, "http://127.0.0.1:1/t"));
}

static void what_is_no_account_is_said(void)
{
    struct pk_token_ask ask;

    EXPECT(!ask_google(PK_STR("{\"type\":\"external_account\"}"), &ask) &&
           strstr(err.msg, "external_account"));
    EXPECT(!ask_google(PK_STR("{\"type\":\"service_account\"}"), &ask) && err.code == PK_NO_KEY);
    EXPECT(!ask_google(account_of(PK_STR("-----BEGIN PRIVATE KEY-----\nAAAA\n"), ""), &ask) &&
           err.code == PK_NO_KEY && !strstr(err.msg, "AAAA"));
}

static void a_user_s_login_trades_its_refresh_token(void)
{
    struct pk_token_ask ask;

    EXPECT(ask_google(PK_STR("{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":"
                             "\"s&=\",\"refresh_token\":\"r/1\"}"),
                      &ask));
    EXPECT(pk_str_is(ask.body, "grant_type=refresh_token&client_id=c&client_secret=s%26%3D&"
                               "refresh_token=r%2F1"));
    EXPECT(pk_str_is(ask.hide, "r/1"));
}

/* --- Azure and AWS -------------------------------------------------------------------------------- */

static void entra_is_asked_at_the_tenant(void)
{
    struct pk_token_azure a = {
        .tenant = PK_STR("a/../b"), .client = PK_STR("c"), .secret = PK_STR("s+ e")};
    struct pk_token_ask ask;

    EXPECT(pk_token_ask_entra(&arena, &a, &ask, &err));
    EXPECT(pk_str_is(ask.url, "https://login.microsoftonline.com/a%2F..%2Fb/oauth2/v2.0/token"));
    EXPECT(has(ask.body, "client_secret=s%2B%20e&scope=https%3A%2F%2Fcognitiveservices.azure.com"
                         "%2F.default"));
    a.secret = PK_NONE;
    EXPECT(!pk_token_ask_entra(&arena, &a, &ask, &err) && err.code == PK_NO_KEY);
    a.federated = PK_STR("f");
    EXPECT(pk_token_ask_entra(&arena, &a, &ask, &err) && has(ask.body, "client_assertion=f&") &&
           !has(ask.body, "client_secret"));
}

static void a_machine_asks_its_own_service(void)
{
    struct pk_token_azure a = {.client = PK_STR("c d")};
    struct pk_token_ask ask;

    EXPECT(pk_token_ask_managed(&arena, &a, PK_NONE, PK_NONE, &ask, &err));
    EXPECT(pk_str_is(ask.url, "http://169.254.169.254/metadata/identity/oauth2/token?"
                              "api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices."
                              "azure.com&client_id=c%20d"));
    EXPECT(pk_str_is(ask.headers, "metadata: true\n"));
    EXPECT(pk_token_ask_managed(&arena, &a, PK_STR("http://localhost:1/msi"), PK_STR("h"), &ask,
                                &err) &&
           pk_str_is(ask.headers, "x-identity-header: h\n"));
}

static void sts_is_asked_in_the_region(void)
{
    const struct pk_aws_key key = {PK_STR("i"), PK_STR("s"), PK_NONE};
    struct pk_token_ask ask;

    EXPECT(pk_token_ask_sts(&arena, &key, PK_STR("eu-west-1"), PK_STR("arn:aws:iam::1:role/r"),
                            PK_STR("x y"), PK_NONE, &ask, &err));
    EXPECT(ask.aws && ask.get &&
           pk_str_is(ask.url, "https://sts.eu-west-1.amazonaws.com/?Action=AssumeRole&Version="
                              "2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
                              "RoleSessionName=pk&ExternalId=x%20y"));
}

/* --- answers -------------------------------------------------------------------------------------- */

static void answers_are_read(void)
{
    struct pk_token_answer a;

    EXPECT(pk_token_read(&arena, false, 200,
                         PK_STR("{\"access_token\":\"t\",\"expires_in\":\"86399\"}"), now_us, &a,
                         &err) &&
           pk_str_is(a.token, "t") && a.lives_s == 86399);
    EXPECT(pk_token_read(&arena, true, 200,
                         PK_STR("<R><AccessKeyId>i</AccessKeyId><SecretAccessKey> s </SecretAccess"
                                "Key><SessionToken>t</SessionToken><Expiration>2023-11-14T23:13:20Z"
                                "</Expiration></R>"),
                         now_us, &a, &err) &&
           pk_str_is(a.key.id, "i") && pk_str_is(a.key.secret, "s") &&
           pk_str_is(a.key.session, "t") && a.lives_s == 3600);
}

static void failures_have_the_issuer_s_words(void)
{
    struct pk_token_answer a;

    EXPECT(!pk_token_read(
               &arena, false, 400,
               PK_STR("{\"error\":\"invalid_grant\",\"error_description\":\"Bad\\r\\n x\"}"),
               now_us, &a, &err) &&
           err.code == PK_NO_KEY && strstr(err.msg, "answered 400, invalid_grant: Bad"));
    EXPECT(!pk_token_read(&arena, true, 403,
                          PK_STR("<E><Code>AccessDenied</Code><Message>no</Message></E>"), now_us,
                          &a, &err) &&
           strstr(err.msg, "AccessDenied: no"));
    EXPECT(!pk_token_read(&arena, false, 503, PK_STR("<html>"), now_us, &a, &err) &&
           err.code == PK_UPSTREAM && err.retryable);
    EXPECT(!pk_token_read(&arena, false, 200, PK_STR("{\"access_token\":7}"), now_us, &a, &err) &&
           err.code == PK_BAD_ANSWER);
    EXPECT(!pk_token_read(&arena, true, 200, PK_STR("<AccessKeyId>i"), now_us, &a, &err) &&
           err.code == PK_BAD_ANSWER);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 16 << 20);
    if (!EXPECT(pk_crypto_open(&err)))
        return test_end();
    RUN(a_service_account_signs_for_its_own_endpoint);
    RUN(what_is_no_account_is_said);
    RUN(a_user_s_login_trades_its_refresh_token);
    RUN(entra_is_asked_at_the_tenant);
    RUN(a_machine_asks_its_own_service);
    RUN(sts_is_asked_in_the_region);
    RUN(answers_are_read);
    RUN(failures_have_the_issuer_s_words);
    pk_arena_free(&arena);
    return test_end();
}
