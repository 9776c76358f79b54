/* jwt_test.c - tokens that hold, and all the ways in which they must not.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The vectors of RFC 7515 (A.2, A.3, A.4) and RFC 8037 (A.4) come from elsewhere; for the rest, keys are made and
 * tokens signed here.
 */
#include "crypto.h"
#include "jwt.h"
#include "test.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

enum { NOW_S = 1700000000, RFC_S = 1300819000, FIELD_BYTES_MAX = 600 };

static struct pk_arena arena;
static EVP_PKEY *rsa, *rsa_small, *p256, *p384, *p521, *ed25519;

/* "ok", or why not. */
static const char *verified(pk_str token, const char *jwks, struct pk_jwt_rules rules)
{
    static struct pk_error err;

    err = (struct pk_error){0};
    if (pk_jwt_verify(&arena, token, pk_str_of(jwks), &rules, &err))
        return "ok";
    EXPECT(err.code == PK_NO_PERMISSION || err.code == PK_BAD_CONFIG);
    return err.msg;
}

static void expect(pk_str token, const char *jwks, struct pk_jwt_rules rules, const char *want)
{
    const char *got = verified(token, jwks, rules);

    if (!EXPECT(strcmp(got, want) == 0))
        printf("# wanted '%s', got '%s'\n", want, got);
}

/* --- making tokens ------------------------------------------------------------------------------- */

static pk_str encoded(const unsigned char *at, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct pk_buf out = pk_buf_in(&arena, 2 * len + 8);

    for (size_t i = 0; i < len; i += 3) {
        unsigned bits = (unsigned)at[i] << 16 | (i + 1 < len ? (unsigned)at[i + 1] << 8 : 0) |
                        (i + 2 < len ? at[i + 2] : 0);
        size_t left = len - i < 3 ? len - i + 1 : 4;

        for (size_t d = 0; d < left; d++)
            pk_buf_addc(&out, digits[bits >> (18 - 6 * d) & 63]);
    }
    return pk_buf_str(&out);
}

static pk_str encoded_text(const char *text)
{
    return encoded((const unsigned char *)text, strlen(text));
}

static pk_str number_field(EVP_PKEY *key, const char *name, size_t width)
{
    unsigned char bytes[FIELD_BYTES_MAX];
    BIGNUM *n = NULL;

    EXPECT(EVP_PKEY_get_bn_param(key, name, &n));
    size_t len = width ? width : (size_t)BN_num_bytes(n);
    EXPECT(BN_bn2binpad(n, bytes, (int)len) == (int)len);
    BN_free(n);
    return encoded(bytes, len);
}

static const char *set_of(pk_str key)
{
    return pk_copyf(&arena, "{\"keys\":[%.*s]}", PK_FMT(key)).at;
}

static pk_str rsa_jwk(EVP_PKEY *key, const char *more)
{
    return pk_copyf(&arena, "{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"AQAB\"%s}",
                    PK_FMT(number_field(key, OSSL_PKEY_PARAM_RSA_N, 0)), more);
}

static pk_str ec_jwk(EVP_PKEY *key, const char *crv, size_t width)
{
    return pk_copyf(&arena, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", crv,
                    PK_FMT(number_field(key, OSSL_PKEY_PARAM_EC_PUB_X, width)),
                    PK_FMT(number_field(key, OSSL_PKEY_PARAM_EC_PUB_Y, width)));
}

static pk_str ed_jwk(EVP_PKEY *key)
{
    unsigned char x[32];
    size_t len = sizeof x;

    EXPECT(EVP_PKEY_get_raw_public_key(key, x, &len) == 1);
    return pk_copyf(&arena, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%.*s\"}",
                    PK_FMT(encoded(x, len)));
}

/* r and s of a signature in DER, one behind the other. */
static size_t flattened(unsigned char *sig, size_t len, size_t width)
{
    const unsigned char *at = sig;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &at, (long)len);

    EXPECT(s && BN_bn2binpad(ECDSA_SIG_get0_r(s), sig, (int)width) > 0);
    EXPECT(s && BN_bn2binpad(ECDSA_SIG_get0_s(s), sig + width, (int)width) > 0);
    ECDSA_SIG_free(s);
    return 2 * width;
}

struct how {
    const char *digest;
    bool pss;
    size_t width; /* ECDSA: of r and s */
};

static pk_str signed_token(const char *header, const char *claims, EVP_PKEY *key, struct how how)
{
    pk_str h = encoded_text(header), c = encoded_text(claims);
    pk_str text = pk_copyf(&arena, "%.*s.%.*s", PK_FMT(h), PK_FMT(c));
    unsigned char sig[FIELD_BYTES_MAX];
    size_t len = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;

    EXPECT(EVP_DigestSignInit_ex(ctx, &options, how.digest, NULL, NULL, key, NULL) == 1);
    if (how.pss) {
        EXPECT(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1);
        EXPECT(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    EXPECT(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text.at, text.len) == 1);
    EVP_MD_CTX_free(ctx);
    if (how.width)
        len = flattened(sig, len, how.width);
    return pk_copyf(&arena, "%.*s.%.*s", PK_FMT(text), PK_FMT(encoded(sig, len)));
}

static pk_str rs256(const char *header, const char *claims)
{
    return signed_token(header, claims, rsa, (struct how){"SHA256", false, 0});
}

static const char plain[] = "{\"alg\":\"RS256\"}";

/* --- vectors ------------------------------------------------------------------------------------- */

#define CLAIMS                                                                                     \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static const struct {
    const char *token, *jwks, *want;
} vectors[] = {
    {"eyJhbGciOiJSUzI1NiJ9." CLAIMS
     ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
     "O8W2Fp5jujGbds9uJdbF9CU"
     "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
     "eSN9383LcOLn6_dO-"
     "-xi12jzDwusC-"
     "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
     "cN_I"
     "oypGlUPQGe77Rw",
     "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
     "wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS"
     "2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
     "bSf63kpaSHSXndS5z5rexM"
     "dbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_"
     "I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9"
     "_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}]}",
     "ok"},
    {"eyJhbGciOiJFUzI1NiJ9." CLAIMS
     ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
     "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
     "ok"},
    /* These two sign words, no claims: that is what is told, after the signature held. */
    {"eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA"
     ".AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_"
     "7XdtAG8GaSwFKdCAPZgoXD2YBJ"
     "ZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":"
     "\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ"
     "6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-"
     "x3S1WDhjDly79ajL4Kkd0AZM"
     "aZmh9ubmf63e3kyMj2\"}]}",
     "token: the claims are no JSON object"},
    {"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
     ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
     "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
     "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
     "token: the claims are no JSON object"},
};

static void the_vectors_of_the_rfcs_hold(void)
{
    for (size_t i = 0; i < PK_COUNT(vectors); i++) {
        struct pk_buf changed = pk_buf_in(&arena, 4096);
        pk_str token = pk_str_of(vectors[i].token);
        size_t at = token.len - 20;

        expect(token, vectors[i].jwks, (struct pk_jwt_rules){.now_s = RFC_S}, vectors[i].want);
        pk_buf_add(&changed, token);
        changed.at[at] = changed.at[at] == 'A' ? 'B' : 'A';
        expect(pk_buf_str(&changed), vectors[i].jwks, (struct pk_jwt_rules){.now_s = RFC_S},
               "token: the signature does not hold");
    }
}

static void every_algorithm_verifies(void)
{
    const struct {
        const char *alg;
        EVP_PKEY *key;
        pk_str jwk;
        struct how how;
    } cases[] = {
        {"RS256", rsa, rsa_jwk(rsa, ""), {"SHA256", false, 0}},
        {"RS384", rsa, rsa_jwk(rsa, ""), {"SHA384", false, 0}},
        {"RS512", rsa, rsa_jwk(rsa, ""), {"SHA512", false, 0}},
        {"PS256", rsa, rsa_jwk(rsa, ""), {"SHA256", true, 0}},
        {"PS384", rsa, rsa_jwk(rsa, ""), {"SHA384", true, 0}},
        {"PS512", rsa, rsa_jwk(rsa, ""), {"SHA512", true, 0}},
        {"ES256", p256, ec_jwk(p256, "P-256", 32), {"SHA256", false, 32}},
        {"ES384", p384, ec_jwk(p384, "P-384", 48), {"SHA384", false, 48}},
        {"ES512", p521, ec_jwk(p521, "P-521", 66), {"SHA512", false, 66}},
        {"EdDSA", ed25519, ed_jwk(ed25519), {NULL, false, 0}},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_str header = pk_copyf(&arena, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", cases[i].alg);
        pk_str token = signed_token(header.at, "{\"sub\":\"x\"}", cases[i].key, cases[i].how);
        unsigned bit = pk_jwt_algorithm(pk_str_of(cases[i].alg));
        const char *jwks = set_of(cases[i].jwk);

        EXPECT(bit != 0);
        expect(token, jwks, (struct pk_jwt_rules){.now_s = NOW_S}, "ok");
        expect(token, jwks, (struct pk_jwt_rules){.now_s = NOW_S, .algorithms = bit}, "ok");
        expect(token, jwks, (struct pk_jwt_rules){.now_s = NOW_S, .algorithms = PK_JWT_ALL & ~bit},
               "token: the algorithm is not allowed");
    }
}

static void no_other_algorithm_is_taken_for_the_keys(void)
{
    const char *jwks = set_of(rsa_jwk(rsa, ""));
    const struct pk_jwt_rules rules = {.now_s = NOW_S};
    static const char *const headers[] = {
        "{\"alg\":\"none\"}", "{\"alg\":\"None\"}",  "{\"alg\":\"HS256\"}", "{\"alg\":\"\"}", "{}",
        "{\"alg\":1}",        "{\"alg\":\"rs256\"}",
    };

    for (size_t i = 0; i < PK_COUNT(headers); i++)
        expect(rs256(headers[i], "{}"), jwks, rules, "token: the algorithm is not allowed");
    /* Signed as one thing, announced as another; and a signature that is missing. */
    expect(rs256("{\"alg\":\"PS256\"}", "{}"), jwks, rules, "token: the signature does not hold");
    expect(rs256("{\"alg\":\"RS512\"}", "{}"), jwks, rules, "token: the signature does not hold");
    expect(rs256("{\"alg\":\"ES256\"}", "{}"), jwks, rules, "token: no key of the set fits it");
    expect(rs256("{\"alg\":\"EdDSA\"}", "{}"), jwks, rules, "token: no key of the set fits it");
    expect(PK_STR("eyJhbGciOiJSUzI1NiJ9.e30."), jwks, rules, "token: not base64url in each part");
    expect(rs256("{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":false}", "{}"), jwks, rules,
           "token: the header needs extensions");
    /* A key in the header is nobody's key. */
    pk_str own = pk_copyf(&arena, "{\"alg\":\"RS256\",\"jwk\":%.*s}", PK_FMT(rsa_jwk(rsa, "")));
    expect(rs256(own.at, "{}"), set_of(ec_jwk(p256, "P-256", 32)), rules,
           "token: no key of the set fits it");
}

static void keys_are_chosen_by_what_they_say(void)
{
    const struct pk_jwt_rules rules = {.now_s = NOW_S};
    const char *none = "token: no key of the set fits it";
    pk_str token = rs256("{\"alg\":\"RS256\",\"kid\":\"k\\u0031\"}", "{}"),
           anonymous = rs256(plain, "{}");
    pk_str other = ec_jwk(p256, "P-256", 32), mine = rsa_jwk(rsa, ",\"kid\":\"k1\"");
    pk_str both = pk_copyf(&arena, "%.*s,%.*s", PK_FMT(other), PK_FMT(mine));

    expect(token, set_of(both), rules, "ok");
    expect(anonymous, set_of(both), rules, "ok");
    expect(token, set_of(rsa_jwk(rsa, ",\"kid\":\"k2\"")), rules, none);
    expect(token, set_of(rsa_jwk(rsa, ",\"kid\":\"k\"")), rules, none);
    expect(token, set_of(rsa_jwk(rsa, "")), rules, none);
    expect(anonymous, set_of(rsa_jwk(rsa, ",\"use\":\"enc\"")), rules, none);
    expect(anonymous, set_of(rsa_jwk(rsa, ",\"use\":\"sig\",\"alg\":\"RS256\"")), rules, "ok");
    expect(anonymous, set_of(rsa_jwk(rsa, ",\"alg\":\"PS256\"")), rules, none);
    expect(anonymous, set_of(rsa_jwk(rsa, ",\"key_ops\":[\"sign\"]")), rules, none);
    expect(anonymous, set_of(rsa_jwk(rsa, ",\"key_ops\":[\"sign\",\"verify\"]")), rules, "ok");
    expect(rs256("{\"alg\":\"RS256\",\"kid\":1}", "{}"), set_of(mine), rules,
           "token: the key id is no string");
    /* Less than 2048 bits, and points off the curve, are no keys. */
    expect(signed_token(plain, "{}", rsa_small, (struct how){"SHA256", false, 0}),
           set_of(rsa_jwk(rsa_small, "")), rules, none);
    expect(signed_token("{\"alg\":\"ES256\"}", "{}", p256, (struct how){"SHA256", false, 32}),
           set_of(PK_STR("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
                         "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                         "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}")),
           rules, none);
}

static const struct {
    const char *claims;
    int64_t tolerance_s, max_age_s;
    const char *want;
} times[] = {
    {"{}", 0, 0, "ok"},
    {"{\"exp\":1700000001}", 0, 0, "ok"},
    {"{\"exp\":1700000000}", 0, 0, "token: expired"},
    {"{\"exp\":1700000000}", 5, 0, "ok"},
    {"{\"exp\":1699999995}", 5, 0, "token: expired"},
    {"{\"exp\":1.7000000005e9}", 0, 0, "ok"},
    {"{\"exp\":\"1800000000\"}", 0, 0, "token: `exp` is no time"},
    {"{\"exp\":1e999}", 0, 0, "token: `exp` is no time"},
    {"{\"nbf\":1700000000}", 0, 0, "ok"},
    {"{\"nbf\":1700000003}", 0, 0, "token: not valid yet"},
    {"{\"nbf\":1700000003}", 5, 0, "ok"},
    {"{\"nbf\":null}", 0, 0, "token: `nbf` is no time"},
    {"{\"iat\":1690000000}", 0, 0, "ok"},
    {"{\"iat\":1699999900}", 0, 100, "ok"},
    {"{\"iat\":1699999899}", 0, 100, "token: too old"},
    {"{\"iat\":1699999899}", 1, 100, "ok"},
    {"{\"iat\":1700000010}", 5, 100, "token: issued in the future"},
    {"{\"iat\":[]}", 0, 0, "token: `iat` is no time"},
    {"{\"exp\":1800000000}", 0, 100, "token: does not say when it was issued"},
    {"[]", 0, 0, "token: the claims are no JSON object"},
    {"{", 0, 0, "token: the claims are no JSON object"},
};

static void times_hold_within_the_tolerance(void)
{
    const char *jwks = set_of(rsa_jwk(rsa, ""));

    for (size_t i = 0; i < PK_COUNT(times); i++) {
        struct pk_jwt_rules rules = {.now_s = NOW_S,
                                     .clock_tolerance_s = times[i].tolerance_s,
                                     .max_age_s = times[i].max_age_s};

        expect(rs256(plain, times[i].claims), jwks, rules, times[i].want);
    }
}

static void issuer_and_audience_are_asked_for(void)
{
    const char *jwks = set_of(rsa_jwk(rsa, ""));
    const struct pk_jwt_rules rules = {
        .now_s = NOW_S, .issuer = PK_STR("me"), .audience = PK_STR("pk")};

    expect(rs256(plain, "{\"iss\":\"me\",\"aud\":\"pk\"}"), jwks, rules, "ok");
    expect(rs256(plain, "{\"iss\":\"me\",\"aud\":[\"x\",\"pk\"]}"), jwks, rules, "ok");
    expect(rs256(plain, "{\"iss\":\"you\",\"aud\":\"pk\"}"), jwks, rules,
           "token: of another issuer");
    expect(rs256(plain, "{\"aud\":\"pk\"}"), jwks, rules, "token: of another issuer");
    expect(rs256(plain, "{\"iss\":\"me\",\"aud\":[\"x\"]}"), jwks, rules,
           "token: for another audience");
    expect(rs256(plain, "{\"iss\":\"me\"}"), jwks, rules, "token: for another audience");
}

static void texts_that_are_no_tokens_are_refused(void)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "a.b",
                                        "a.b.c",
                                        "a.b.c.d",
                                        "e30.e30.e30=",
                                        "e30.e30.e31",
                                        "e30.e30.!",
                                        "Bearer e30.e30.e30",
                                        "e30.e30.e30",
                                        "bnVsbA.e30.e30"};
    const char *jwks = set_of(rsa_jwk(rsa, ""));
    struct pk_buf longer = pk_buf_in(&arena, 1 << 20);

    for (size_t i = 0; i < PK_COUNT(texts); i++)
        EXPECT(strncmp(verified(pk_str_of(texts[i]), jwks, (struct pk_jwt_rules){.now_s = NOW_S}),
                       "token: ", 7) == 0);
    pk_buf_addf(&longer, "%*s", PK_JWT_BYTES_MAX + 1, ".");
    expect(pk_buf_str(&longer), jwks, (struct pk_jwt_rules){.now_s = NOW_S}, "token: too long");
}

static void key_sets_that_are_unusable_are_told(void)
{
    const struct pk_jwt_rules rules = {.now_s = NOW_S};
    pk_str token = rs256(plain, "{}");
    struct pk_buf many = pk_buf_in(&arena, 1 << 20);

    expect(token, "", rules, "key set: is not valid JSON");
    expect(token, "[]", rules, "key set: has no list `keys`");
    expect(token, "{\"keys\":{}}", rules, "key set: has no list `keys`");
    expect(token, "{\"keys\":[]}", rules, "token: no key of the set fits it");
    expect(token,
           "{\"keys\":[1,{},{\"kty\":\"RSA\"},{\"kty\":\"RSA\",\"n\":\"!\",\"e\":\"AQAB\"}]}",
           rules, "token: no key of the set fits it");
    pk_buf_adds(&many, "{\"keys\":[0");
    for (int i = 0; i < PK_JWKS_KEYS_MAX; i++)
        pk_buf_adds(&many, ",0");
    pk_buf_adds(&many, "]}");
    pk_buf_addc(&many, 0);
    expect(token, many.at, rules, "key set: more than 64 keys");
}

static void memory_that_fails_is_an_error(void)
{
    const char *jwks = set_of(rsa_jwk(rsa, ",\"kid\":\"k\\u0031\""));
    pk_str token = rs256("{\"alg\":\"RS256\",\"kid\":\"k1\"}", "{\"exp\":1800000000}");
    const struct pk_jwt_rules rules = {.now_s = NOW_S};
    int verified_count = 0;

    for (size_t limit = 0; limit < 12000; limit += 40) {
        struct pk_arena small;
        struct pk_error err;

        pk_arena_init(&small, pk_allocator_malloc(), limit);
        small.torture = true;
        if (pk_jwt_verify(&small, token, pk_str_of(jwks), &rules, &err))
            verified_count++;
        else
            EXPECT(err.code == PK_NO_MEMORY);
        pk_arena_free(&small);
    }
    EXPECT(verified_count > 0);
}

int main(void)
{
    struct pk_error err;

    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    if (!EXPECT(pk_crypto_open(&err)))
        return test_end();
    rsa = EVP_RSA_gen(2048);
    rsa_small = EVP_RSA_gen(1024);
    p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    p521 = EVP_EC_gen("P-521");
    ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    RUN(the_vectors_of_the_rfcs_hold);
    RUN(every_algorithm_verifies);
    RUN(no_other_algorithm_is_taken_for_the_keys);
    RUN(keys_are_chosen_by_what_they_say);
    RUN(times_hold_within_the_tolerance);
    RUN(issuer_and_audience_are_asked_for);
    RUN(texts_that_are_no_tokens_are_refused);
    RUN(key_sets_that_are_unusable_are_told);
    RUN(memory_that_fails_is_an_error);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa_small);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(ed25519);
    pk_arena_free(&arena);
    return test_end();
}
