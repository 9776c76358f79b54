/* jwt_sign.c - a JSON Web Token under a private RSA key (RFC 7515), as Google's service accounts make them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "jwt.h"

#include "crypto.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

enum { TOKEN_BYTES_MAX = 8 << 10, SIGNATURE_BYTES_MAX = 1024 };

static void add_base64url(struct pk_buf *out, const unsigned char *at, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (size_t i = 0; i < len; i += 3) {
        unsigned n = (unsigned)at[i] << 16;
        size_t left = len - i < 3 ? len - i : 3;

        n |= left > 1 ? (unsigned)at[i + 1] << 8 : 0;
        n |= left > 2 ? (unsigned)at[i + 2] : 0;
        for (size_t k = 0; k <= left; k++)
            pk_buf_addc(out, letters[n >> (18 - 6 * k) & 63]);
    }
}

static EVP_PKEY *read_key(pk_str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "") : NULL;

    BIO_free(bio);
    if (key && EVP_PKEY_is_a(key, "RSA"))
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool sign(EVP_PKEY *key, pk_str text, unsigned char *out, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
              EVP_DigestSign(ctx, out, len, (const unsigned char *)text.at, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static void print_signed(struct pk_arena *arena, pk_str key_id, pk_str claims, struct pk_buf *out)
{
    struct pk_buf header = pk_buf_in(arena, TOKEN_BYTES_MAX);

    pk_buf_adds(&header, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
    if (key_id.len) {
        pk_buf_adds(&header, ",\"kid\":");
        pk_json_quote(&header, key_id);
    }
    pk_buf_addc(&header, '}');
    add_base64url(out, (const unsigned char *)header.at, header.len);
    pk_buf_addc(out, '.');
    add_base64url(out, (const unsigned char *)claims.at, claims.len);
    out->failed |= header.failed;
}

bool pk_jwt_sign(struct pk_arena *arena, pk_str key_id, pk_str pem, pk_str claims, pk_str *token,
                 struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, TOKEN_BYTES_MAX);
    unsigned char signature[SIGNATURE_BYTES_MAX];
    size_t len = sizeof signature;

    if (!pk_crypto_open(err))
        return false;
    EVP_PKEY *key = read_key(pem);
    print_signed(arena, key_id, claims, &out);
    bool ok = key && !out.failed && sign(key, pk_buf_str(&out), signature, &len);
    EVP_PKEY_free(key);
    ERR_clear_error(); /* the queue is the thread's, and curl reads it too */
    if (!ok && out.failed)
        return pk_fail(err, PK_NO_MEMORY, "private key: out of memory");
    if (!ok)
        return pk_fail(err, PK_NO_KEY, "private key: is no RSA key in PEM");
    pk_buf_addc(&out, '.');
    add_base64url(&out, signature, len);
    *token = pk_buf_str(&out);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "private key: out of memory");
}
