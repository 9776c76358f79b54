/* tls_load.c - see tls_load.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tls_load.h"

#include "crypto.h"
#include "late.h"

#include <openssl/ssl.h>

#define LIBRARY PK_LATE_FILE("libssl", OPENSSL_SHLIB_VERSION)

#define FUNCTIONS(F)                                                                               \
    F(const SSL_METHOD *, TLS_server_method, (void), ())                                           \
    F(const SSL_METHOD *, TLS_client_method, (void), ())                                           \
    F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *method), (method))                                \
    F(long, SSL_CTX_ctrl, (SSL_CTX * c, int what, long number, void *at), (c, what, number, at))   \
    F(uint64_t, SSL_CTX_set_options, (SSL_CTX * c, uint64_t options), (c, options))                \
    F(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX * c, const char *file), (c, file))         \
    F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX * c, const char *file, int type),                 \
      (c, file, type))                                                                             \
    F(int, SSL_CTX_check_private_key, (const SSL_CTX *c), (c))                                     \
    F(int, SSL_select_next_proto,                                                                  \
      (unsigned char **out, unsigned char *len, const unsigned char *ours, unsigned our_len,       \
       const unsigned char *theirs, unsigned their_len),                                           \
      (out, len, ours, our_len, theirs, their_len))                                                \
    F(SSL *, SSL_new, (SSL_CTX * c), (c))                                                          \
    F(int, SSL_set_fd, (SSL * s, int fd), (s, fd))                                                 \
    F(int, SSL_get_error, (const SSL *s, int result), (s, result))                                 \
    F(int, SSL_is_init_finished, (const SSL *s), (s))                                              \
    F(int, SSL_read_ex, (SSL * s, void *to, size_t size, size_t *got), (s, to, size, got))         \
    F(int, SSL_write_ex, (SSL * s, const void *at, size_t len, size_t *taken),                     \
      (s, at, len, taken))                                                                         \
    F(int, SSL_shutdown, (SSL * s), (s))

#define PROCEDURES(F)                                                                              \
    F(void, SSL_CTX_free, (SSL_CTX * c), (c))                                                      \
    F(void, SSL_CTX_set_default_passwd_cb, (SSL_CTX * c, pem_password_cb * password),              \
      (c, password))                                                                               \
    F(void, SSL_CTX_set_alpn_select_cb,                                                            \
      (SSL_CTX * c, SSL_CTX_alpn_select_cb_func choose, void *ctx), (c, choose, ctx))              \
    F(void, SSL_set_accept_state, (SSL * s), (s))                                                  \
    F(void, SSL_set_connect_state, (SSL * s), (s))                                                 \
    F(void, SSL_free, (SSL * s), (s))

PK_LATE_LIBRARY(FUNCTIONS, PROCEDURES)

bool pkd_tls_load(struct pk_error *err)
{
    struct pk_error why;

    if (!pk_crypto_open(&why))
        return pk_fail(err, PK_BAD_CONFIG, "TLS: %s", why.msg);
    return library.SSL_free || pk_late_open(LIBRARY, names, PK_COUNT(names), &library, &why) ||
           pk_fail(err, PK_BAD_CONFIG, "TLS: libssl cannot be used: %s", why.msg);
}
