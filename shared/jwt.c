/* jwt.c - see jwt.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The signature is verified first, the claims are read after. A token that names a key is tried with the
 * keys of that name only, any other with every key that fits its algorithm. What libcrypto allocates is
 * freed before each function returns, and its error queue is left as it was found.
 */
#include "jwt.h"

#include "crypto.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

enum {
    RSA_BITS_MIN = 2048, /* RFC 7518, section 3.3 */
    RSA_BITS_MAX = 8192,
    EXPONENT_BYTES_MAX = 8,
    POINT_BYTES_MAX = 66, /* a coordinate of P-521 */
    ED25519_BYTES = 32,
};

enum scheme { RSA_PKCS1, RSA_PSS, ECDSA, EDDSA };

/* clang-format off */
static const struct algorithm {
    unsigned bit;
    const char *name;
    enum scheme scheme;
    const char *digest;
    const char *kty, *crv; /* of the keys that it fits */
    const char *group;     /* the curve's name in libcrypto */
    size_t bytes;          /* of a coordinate, and of half a signature */
} algorithms[] = {
    {PK_JWT_RS256, "RS256", RSA_PKCS1, "SHA256", "RSA", NULL,      NULL,         0},
    {PK_JWT_RS384, "RS384", RSA_PKCS1, "SHA384", "RSA", NULL,      NULL,         0},
    {PK_JWT_RS512, "RS512", RSA_PKCS1, "SHA512", "RSA", NULL,      NULL,         0},
    {PK_JWT_PS256, "PS256", RSA_PSS,   "SHA256", "RSA", NULL,      NULL,         0},
    {PK_JWT_PS384, "PS384", RSA_PSS,   "SHA384", "RSA", NULL,      NULL,         0},
    {PK_JWT_PS512, "PS512", RSA_PSS,   "SHA512", "RSA", NULL,      NULL,         0},
    {PK_JWT_ES256, "ES256", ECDSA,     "SHA256", "EC",  "P-256",   "prime256v1", 32},
    {PK_JWT_ES384, "ES384", ECDSA,     "SHA384", "EC",  "P-384",   "secp384r1",  48},
    {PK_JWT_ES512, "ES512", ECDSA,     "SHA512", "EC",  "P-521",   "secp521r1",  66},
    {PK_JWT_EDDSA, "EdDSA", EDDSA,     NULL,     "OKP", "Ed25519", NULL,         32},
};
/* clang-format on */

/* A token taken apart. */
struct token {
    pk_str signed_part; /* header.claims */
    pk_str signature;
    pk_str header, claims; /* JSON texts */
    const struct algorithm *algorithm;
    pk_str kid; /* at NULL: none */
};

static bool refuse(struct pk_error *err, const char *why)
{
    return pk_fail(err, PK_NO_PERMISSION, "token: %s", why);
}

static bool no_memory(struct pk_error *err)
{
    return pk_fail(err, PK_NO_MEMORY, "token: out of memory");
}

static const struct algorithm *algorithm_of(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(algorithms); i++)
        if (pk_str_is(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

unsigned pk_jwt_algorithm(pk_str name)
{
    const struct algorithm *a = algorithm_of(name);

    return a ? a->bit : 0;
}

/* --- base64url (RFC 4648, section 5, without padding) ------------------------------------------- */

static int sextet(char c)
{
    return c == '+' || c == '/' ? -1 : pk_base64_sextet(c);
}

/* The bytes, in the arena; at NULL when `s` is no base64url, which includes bits that do not count and
 * are not 0: a token has one spelling. */
static pk_str decoded(struct pk_arena *arena, pk_str s)
{
    struct pk_buf out = pk_buf_in(arena, s.len + 1);
    unsigned bits = 0, held = 0;

    if (s.len % 4 == 1)
        return PK_NONE;
    (void)pk_buf_room(&out, s.len);
    for (size_t i = 0; i < s.len; i++) {
        int six = sextet(s.at[i]);

        if (six < 0)
            return PK_NONE;
        bits = (bits << 6 | (unsigned)six) & 0xfff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            pk_buf_addc(&out, (char)(bits >> held & 0xff));
        }
    }
    return out.failed || (bits & ((1u << held) - 1)) ? PK_NONE : pk_buf_str(&out);
}

static pk_str member(struct pk_arena *arena, const struct pk_json *doc, int object,
                     const char *name)
{
    return pk_json_str(arena, doc, pk_json_get(doc, object, name));
}

/* --- the token ----------------------------------------------------------------------------------- */

/* What stands before the first dot, and *rest behind it; at NULL when there is none. */
static pk_str part(pk_str text, pk_str *rest)
{
    int dot = pk_str_find(text, '.');

    if (dot < 0)
        return PK_NONE;
    *rest = pk_str_sub(text, (size_t)dot + 1, text.len);
    return pk_str_sub(text, 0, (size_t)dot);
}

static bool split(struct pk_arena *arena, pk_str text, struct token *t, struct pk_error *err)
{
    pk_str rest = PK_NONE, signature = PK_NONE;

    if (text.len > PK_JWT_BYTES_MAX)
        return refuse(err, "too long");
    pk_str header = part(text, &rest);
    pk_str claims = part(rest, &signature);
    if (!header.at || !claims.at)
        return refuse(err, "not three parts with dots between them");
    t->signed_part = pk_str_sub(text, 0, header.len + 1 + claims.len);
    t->header = decoded(arena, header);
    t->claims = decoded(arena, claims);
    t->signature = decoded(arena, signature);
    if (arena->failed)
        return no_memory(err);
    if (!t->header.at || !t->claims.at || !t->signature.at || t->signature.len == 0)
        return refuse(err, "not base64url in each part");
    return true;
}

static bool read_header(struct pk_arena *arena, struct token *t, const struct pk_jwt_rules *rules,
                        struct pk_error *err)
{
    unsigned allowed = rules->algorithms ? rules->algorithms : PK_JWT_ALL;
    struct pk_json doc;
    int kid;

    if (!pk_json_parse(arena, t->header, "header", &doc, err) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return arena->failed ? no_memory(err) : refuse(err, "the header is no JSON object");
    t->algorithm = algorithm_of(member(arena, &doc, 0, "alg"));
    if (!t->algorithm || !(t->algorithm->bit & allowed))
        return refuse(err, "the algorithm is not allowed");
    if (pk_json_get(&doc, 0, "crit") >= 0) /* RFC 7515, section 4.1.11: none is understood */
        return refuse(err, "the header needs extensions");
    kid = pk_json_get(&doc, 0, "kid");
    if (kid >= 0 && pk_json_type(&doc, kid) != PK_JSON_STRING)
        return refuse(err, "the key id is no string");
    if (kid >= 0) /* copied: with a NUL behind it */
        t->kid = pk_copy(arena, pk_json_str(arena, &doc, kid));
    if (kid >= 0 && !t->kid.at)
        return no_memory(err);
    return true;
}

/* --- keys ---------------------------------------------------------------------------------------- */

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *fields)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(fields);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(pk_str n, pk_str e)
{
    EVP_PKEY *key = NULL;

    if (n.len == 0 || n.len > RSA_BITS_MAX / 8 || e.len == 0 || e.len > EXPONENT_BYTES_MAX)
        return NULL;
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.at, (int)n.len, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.at, (int)e.len, NULL);
    OSSL_PARAM_BLD *fields = OSSL_PARAM_BLD_new();
    if (modulus && exponent && fields && BN_num_bits(modulus) >= RSA_BITS_MIN &&
        OSSL_PARAM_BLD_push_BN(fields, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(fields, OSSL_PKEY_PARAM_RSA_E, exponent))
        key = key_from("RSA", fields);
    OSSL_PARAM_BLD_free(fields);
    BN_free(exponent);
    BN_free(modulus);
    return key;
}

/* libcrypto refuses a point that is not on the curve. */
static EVP_PKEY *ec_key(const struct algorithm *a, pk_str x, pk_str y)
{
    unsigned char point[1 + 2 * POINT_BYTES_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    OSSL_PARAM_BLD *fields;
    EVP_PKEY *key = NULL;

    if (!x.at || !y.at || x.len != a->bytes || y.len != a->bytes)
        return NULL;
    memcpy(point + 1, x.at, x.len);
    memcpy(point + 1 + x.len, y.at, y.len);
    fields = OSSL_PARAM_BLD_new();
    if (fields &&
        OSSL_PARAM_BLD_push_utf8_string(fields, OSSL_PKEY_PARAM_GROUP_NAME, a->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(fields, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * a->bytes))
        key = key_from("EC", fields);
    OSSL_PARAM_BLD_free(fields);
    return key;
}

static EVP_PKEY *ed25519_key(pk_str x)
{
    if (x.len != ED25519_BYTES)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.at, x.len);
}

static bool lists_verify(const struct pk_json *doc, int ops)
{
    for (int v = pk_json_first(doc, ops); v >= 0; v = pk_json_next(doc, ops, v))
        if (pk_json_is(doc, v, "verify"))
            return true;
    return false;
}

/* Whether the key may verify this token, by what it says of itself (RFC 7517, section 4). */
static bool fits(const struct pk_json *doc, int key, const struct token *t)
{
    const struct algorithm *a = t->algorithm;
    int alg = pk_json_get(doc, key, "alg"), use = pk_json_get(doc, key, "use");
    int ops = pk_json_get(doc, key, "key_ops"), kid = pk_json_get(doc, key, "kid");

    if (t->kid.at && (kid < 0 || !pk_json_is(doc, kid, t->kid.at)))
        return false;
    return pk_json_is(doc, pk_json_get(doc, key, "kty"), a->kty) &&
           (!a->crv || pk_json_is(doc, pk_json_get(doc, key, "crv"), a->crv)) &&
           (alg < 0 || pk_json_is(doc, alg, a->name)) && (use < 0 || pk_json_is(doc, use, "sig")) &&
           (ops < 0 || lists_verify(doc, ops));
}

static EVP_PKEY *key_of(struct pk_arena *arena, const struct pk_json *doc, int key,
                        const struct algorithm *a)
{
    pk_str x = decoded(arena, member(arena, doc, key, "x"));

    switch (a->scheme) {
    case RSA_PKCS1:
    case RSA_PSS:
        return rsa_key(decoded(arena, member(arena, doc, key, "n")),
                       decoded(arena, member(arena, doc, key, "e")));
    case ECDSA: return ec_key(a, x, decoded(arena, member(arena, doc, key, "y")));
    case EDDSA: return ed25519_key(x);
    }
    return NULL;
}

/* --- signatures ---------------------------------------------------------------------------------- */

/* A signature as JOSE has it, r and s one behind the other, in DER. NULL when it has another length. */
static unsigned char *in_der(const struct algorithm *a, pk_str signature, size_t *len)
{
    const unsigned char *at = (const unsigned char *)signature.at;
    unsigned char *der = NULL;
    ECDSA_SIG *sig;
    BIGNUM *r, *s;
    int n = 0;

    if (signature.len != 2 * a->bytes)
        return NULL;
    sig = ECDSA_SIG_new();
    r = BN_bin2bn(at, (int)a->bytes, NULL);
    s = BN_bin2bn(at + a->bytes, (int)a->bytes, NULL);
    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        n = i2d_ECDSA_SIG(sig, &der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 ? der : NULL;
}

static bool digest_verify(const struct algorithm *a, EVP_PKEY *key, const struct token *t,
                          const unsigned char *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how = NULL;
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, &how, a->digest, NULL, NULL, key, NULL) == 1;

    if (ok && a->scheme == RSA_PSS)
        ok = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestVerify(ctx, signature, len, (const unsigned char *)t->signed_part.at,
                                t->signed_part.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool signed_by(EVP_PKEY *key, const struct token *t)
{
    const unsigned char *signature = (const unsigned char *)t->signature.at;
    unsigned char *der;
    size_t len = t->signature.len;
    bool ok;

    if (t->algorithm->scheme != ECDSA)
        return digest_verify(t->algorithm, key, t, signature, len);
    der = in_der(t->algorithm, t->signature, &len);
    ok = der && digest_verify(t->algorithm, key, t, der, len);
    OPENSSL_free(der);
    return ok;
}

static bool read_keys(struct pk_arena *arena, pk_str jwks, struct pk_json *doc, int *keys,
                      struct pk_error *err)
{
    if (jwks.len > PK_JWKS_BYTES_MAX)
        return pk_fail(err, PK_BAD_CONFIG, "key set: larger than %d KiB", PK_JWKS_BYTES_MAX >> 10);
    if (!pk_json_parse(arena, jwks, "key set", doc, err))
        return arena->failed ? no_memory(err)
                             : pk_fail(err, PK_BAD_CONFIG, "key set: is not valid JSON");
    *keys = pk_json_get(doc, 0, "keys");
    if (pk_json_type(doc, *keys) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_CONFIG, "key set: has no list `keys`");
    if (pk_json_count(doc, *keys) > PK_JWKS_KEYS_MAX)
        return pk_fail(err, PK_BAD_CONFIG, "key set: more than %d keys", PK_JWKS_KEYS_MAX);
    return true;
}

static bool verify_signature(struct pk_arena *arena, pk_str jwks, const struct token *t,
                             struct pk_error *err)
{
    struct pk_json doc;
    int keys = -1, fitting = 0;

    PK_ASSERT(t->algorithm != NULL);
    if (!read_keys(arena, jwks, &doc, &keys, err))
        return false;
    for (int k = pk_json_first(&doc, keys); k >= 0; k = pk_json_next(&doc, keys, k)) {
        if (!fits(&doc, k, t))
            continue;
        EVP_PKEY *key = key_of(arena, &doc, k, t->algorithm);
        bool ok = key && signed_by(key, t);

        EVP_PKEY_free(key);
        if (ok)
            return true;
        fitting += key != NULL;
    }
    if (arena->failed)
        return no_memory(err);
    return refuse(err, fitting ? "the signature does not hold" : "no key of the set fits it");
}

/* --- claims -------------------------------------------------------------------------------------- */

/* A NumericDate (RFC 7519, section 2): seconds, maybe with a fraction. */
static bool read_time(const struct pk_json *doc, const char *name, bool *there, double *out,
                      struct pk_error *err)
{
    int v = pk_json_get(doc, 0, name);

    *there = v >= 0;
    return v < 0 || pk_json_number(doc, v, out) ||
           pk_fail(err, PK_NO_PERMISSION, "token: `%s` is no time", name);
}

static bool times_hold(const struct pk_json *doc, const struct pk_jwt_rules *rules,
                       struct pk_error *err)
{
    double now = (double)rules->now_s, tolerance = (double)rules->clock_tolerance_s;
    double exp = 0, nbf = 0, iat = 0;
    bool has_exp, has_nbf, has_iat;

    if (!read_time(doc, "exp", &has_exp, &exp, err) ||
        !read_time(doc, "nbf", &has_nbf, &nbf, err) || !read_time(doc, "iat", &has_iat, &iat, err))
        return false;
    if (has_exp && exp <= now - tolerance)
        return refuse(err, "expired");
    if (has_nbf && nbf > now + tolerance)
        return refuse(err, "not valid yet");
    if (rules->max_age_s == 0)
        return true;
    if (!has_iat)
        return refuse(err, "does not say when it was issued");
    if (iat > now + tolerance)
        return refuse(err, "issued in the future");
    return now - iat <= (double)rules->max_age_s + tolerance || refuse(err, "too old");
}

static bool names(const struct pk_json *doc, int value, pk_str want, struct pk_arena *arena)
{
    for (int v = pk_json_type(doc, value) == PK_JSON_ARRAY ? pk_json_first(doc, value) : -1; v >= 0;
         v = pk_json_next(doc, value, v))
        if (pk_str_eq(pk_json_str(arena, doc, v), want))
            return true;
    return pk_json_type(doc, value) == PK_JSON_STRING &&
           pk_str_eq(pk_json_str(arena, doc, value), want);
}

static bool claims_hold(struct pk_arena *arena, const struct token *t,
                        const struct pk_jwt_rules *rules, struct pk_error *err)
{
    struct pk_json doc;

    if (!pk_json_parse(arena, t->claims, "claims", &doc, err) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return arena->failed ? no_memory(err) : refuse(err, "the claims are no JSON object");
    if (!times_hold(&doc, rules, err))
        return false;
    if (rules->issuer.len > 0 && !pk_str_eq(member(arena, &doc, 0, "iss"), rules->issuer))
        return refuse(err, "of another issuer");
    if (rules->audience.len > 0 &&
        !names(&doc, pk_json_get(&doc, 0, "aud"), rules->audience, arena))
        return refuse(err, "for another audience");
    return !arena->failed || no_memory(err);
}

bool pk_jwt_verify(struct pk_arena *arena, pk_str token, pk_str jwks,
                   const struct pk_jwt_rules *rules, struct pk_error *err)
{
    struct token t = {0};
    bool ok;

    if (!split(arena, token, &t, err) || !read_header(arena, &t, rules, err))
        return false;
    if (!pk_crypto_open(err))
        return false;
    (void)ERR_set_mark();
    ok = verify_signature(arena, jwks, &t, err);
    (void)ERR_pop_to_mark();
    return ok && claims_hold(arena, &t, rules, err);
}
