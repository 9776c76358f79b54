/* crypto.c - see crypto.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "crypto.h"

#include "late.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>

#define LIBRARY PK_LATE_FILE("libcrypto", OPENSSL_SHLIB_VERSION)

#define FUNCTIONS(F)                                                                               \
    F(BIO *, BIO_new_mem_buf, (const void *at, int len), (at, len))                                \
    F(int, BIO_free, (BIO * b), (b))                                                               \
    F(BIGNUM *, BN_bin2bn, (const unsigned char *at, int len, BIGNUM *to), (at, len, to))          \
    F(int, BN_num_bits, (const BIGNUM *n), (n))                                                    \
    F(ECDSA_SIG *, ECDSA_SIG_new, (void), ())                                                      \
    F(int, ECDSA_SIG_set0, (ECDSA_SIG * sig, BIGNUM * r, BIGNUM * s), (sig, r, s))                 \
    F(int, i2d_ECDSA_SIG, (const ECDSA_SIG *sig, unsigned char **der), (sig, der))                 \
    F(unsigned long, ERR_peek_error, (void), ())                                                   \
    F(const char *, ERR_reason_error_string, (unsigned long code), (code))                         \
    F(int, ERR_set_mark, (void), ())                                                               \
    F(int, ERR_pop_to_mark, (void), ())                                                            \
    F(EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())                                                    \
    F(int, EVP_DigestSignInit_ex,                                                                  \
      (EVP_MD_CTX * c, EVP_PKEY_CTX * *how, const char *digest, OSSL_LIB_CTX *in,                  \
       const char *properties, EVP_PKEY *key, const OSSL_PARAM params[]),                          \
      (c, how, digest, in, properties, key, params))                                               \
    F(int, EVP_DigestSign,                                                                         \
      (EVP_MD_CTX * c, unsigned char *to, size_t *len, const unsigned char *at, size_t count),     \
      (c, to, len, at, count))                                                                     \
    F(int, EVP_DigestVerifyInit_ex,                                                                \
      (EVP_MD_CTX * c, EVP_PKEY_CTX * *how, const char *digest, OSSL_LIB_CTX *in,                  \
       const char *properties, EVP_PKEY *key, const OSSL_PARAM params[]),                          \
      (c, how, digest, in, properties, key, params))                                               \
    F(int, EVP_DigestVerify,                                                                       \
      (EVP_MD_CTX * c, const unsigned char *signature, size_t len, const unsigned char *at,        \
       size_t count),                                                                              \
      (c, signature, len, at, count))                                                              \
    F(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_name,                                                  \
      (OSSL_LIB_CTX * in, const char *name, const char *properties), (in, name, properties))       \
    F(int, EVP_PKEY_CTX_set_rsa_padding, (EVP_PKEY_CTX * c, int padding), (c, padding))            \
    F(int, EVP_PKEY_CTX_set_rsa_pss_saltlen, (EVP_PKEY_CTX * c, int len), (c, len))                \
    F(int, EVP_PKEY_fromdata_init, (EVP_PKEY_CTX * c), (c))                                        \
    F(int, EVP_PKEY_fromdata, (EVP_PKEY_CTX * c, EVP_PKEY * *key, int what, OSSL_PARAM params[]),  \
      (c, key, what, params))                                                                      \
    F(int, EVP_PKEY_is_a, (const EVP_PKEY *key, const char *name), (key, name))                    \
    F(EVP_PKEY *, EVP_PKEY_new_raw_public_key,                                                     \
      (int type, ENGINE *engine, const unsigned char *at, size_t len), (type, engine, at, len))    \
    F(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_new, (void), ())                                            \
    F(OSSL_PARAM *, OSSL_PARAM_BLD_to_param, (OSSL_PARAM_BLD * b), (b))                            \
    F(int, OSSL_PARAM_BLD_push_BN, (OSSL_PARAM_BLD * b, const char *name, const BIGNUM *n),        \
      (b, name, n))                                                                                \
    F(int, OSSL_PARAM_BLD_push_utf8_string,                                                        \
      (OSSL_PARAM_BLD * b, const char *name, const char *text, size_t len), (b, name, text, len))  \
    F(int, OSSL_PARAM_BLD_push_octet_string,                                                       \
      (OSSL_PARAM_BLD * b, const char *name, const void *at, size_t len), (b, name, at, len))      \
    F(EVP_PKEY *, PEM_read_bio_PrivateKey,                                                         \
      (BIO * from, EVP_PKEY * *key, pem_password_cb * password, void *ctx),                        \
      (from, key, password, ctx))

#define PROCEDURES(F)                                                                              \
    F(void, BN_free, (BIGNUM * n), (n))                                                            \
    F(void, CRYPTO_free, (void *at, const char *file, int line), (at, file, line))                 \
    F(void, ECDSA_SIG_free, (ECDSA_SIG * sig), (sig))                                              \
    F(void, ERR_clear_error, (void), ())                                                           \
    F(void, EVP_MD_CTX_free, (EVP_MD_CTX * c), (c))                                                \
    F(void, EVP_PKEY_CTX_free, (EVP_PKEY_CTX * c), (c))                                            \
    F(void, EVP_PKEY_free, (EVP_PKEY * key), (key))                                                \
    F(void, OSSL_PARAM_BLD_free, (OSSL_PARAM_BLD * b), (b))                                        \
    F(void, OSSL_PARAM_free, (OSSL_PARAM * params), (params))

PK_LATE_LIBRARY(FUNCTIONS, PROCEDURES)

static struct pk_error missing; /* why it is not there; PK_OK: it is */

static void open_library(void)
{
    struct pk_error why;

    if (!pk_late_open(LIBRARY, names, PK_COUNT(names), &library, &why))
        (void)pk_fail(&missing, PK_BAD_CONFIG, "libcrypto cannot be used: %s", why.msg);
}

bool pk_crypto_open(struct pk_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, open_library);
    if (missing.code != PK_OK)
        *err = missing;
    return missing.code == PK_OK;
}
