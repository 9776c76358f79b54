/* tls.c - see tls.h; over OpenSSL.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tls.h"

#include "tls_load.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_BYTES_MAX = 16 << 10 };

struct pkd_tls {
    pthread_mutex_t lock;
    SSL_CTX *context; /* under the lock; connections hold it, too */
    const char *cert, *key;
};

/* --- the certificate ------------------------------------------------------------------------- */

static bool fail(struct pk_error *err, const char *option, const char *file)
{
    unsigned long code = ERR_peek_error(); /* the first is the cause */
    const char *why = code == 0                ? NULL
                      : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                               : ERR_reason_error_string(code);

    ERR_clear_error();
    return pk_fail(err, PK_BAD_CONFIG, "%s: %s: %s", option, file, why ? why : "cannot be read");
}

/* A key under a passphrase is refused, rather than asked for on the terminal. */
static int no_passphrase(char *to, int size, int writes, void *unused)
{
    (void)to;
    (void)size;
    (void)writes;
    (void)unused;
    return -1;
}

/* RFC 7301, 3.2: a client that speaks something else only is told so. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *len,
                           const unsigned char *offered, unsigned size, void *unused)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;

    (void)ssl;
    (void)unused;
    if (SSL_select_next_proto(&chosen, len, ours, sizeof ours - 1, offered, size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void configure(SSL_CTX *c)
{
    (void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets remain */
    SSL_CTX_set_default_passwd_cb(c, no_passphrase);
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
}

static SSL_CTX *read_files(const struct pkd_tls *tls, struct pk_error *err)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    bool good = false;

    ERR_clear_error();
    if (!c) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for TLS");
        return NULL;
    }
    configure(c);
    if (SSL_CTX_use_certificate_chain_file(c, tls->cert) != 1)
        (void)fail(err, "--tls-cert", tls->cert);
    else if (SSL_CTX_use_PrivateKey_file(c, tls->key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(c) != 1)
        (void)fail(err, "--tls-key", tls->key);
    else
        good = true;
    if (good)
        return c;
    SSL_CTX_free(c);
    return NULL;
}

struct pkd_tls *pkd_tls_new(const char *cert, const char *key, struct pk_error *err)
{
    if (!pkd_tls_load(err))
        return NULL;
    struct pkd_tls *tls = calloc(1, sizeof *tls);
    if (!tls) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for TLS");
        return NULL;
    }
    tls->cert = cert;
    tls->key = key;
    tls->context = read_files(tls, err);
    if (!tls->context) {
        free(tls);
        return NULL;
    }
    (void)pthread_mutex_init(&tls->lock, NULL);
    return tls;
}

bool pkd_tls_reload(struct pkd_tls *tls, struct pk_error *err)
{
    SSL_CTX *fresh = read_files(tls, err), *old;

    if (!fresh)
        return false;
    (void)pthread_mutex_lock(&tls->lock);
    old = tls->context;
    tls->context = fresh;
    (void)pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    return true;
}

void pkd_tls_free(struct pkd_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    (void)pthread_mutex_destroy(&tls->lock);
    free(tls);
}

/* --- a connection ------------------------------------------------------------------------------ */

struct ssl_st *pkd_tls_accept(struct pkd_tls *tls, int fd)
{
    (void)pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context);
    (void)pthread_mutex_unlock(&tls->lock);

    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return ssl;
}

struct ssl_st *pkd_tls_connect(int fd)
{
    struct pk_error unused;

    if (!pkd_tls_load(&unused))
        return NULL;
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    SSL *ssl = c ? SSL_new(c) : NULL;

    SSL_CTX_free(c); /* the connection holds it */
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

/* What recv() or send() would have said. */
static ssize_t outcome(SSL *ssl, int result)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_SYSCALL: errno = ECONNRESET; return -1;
    default: break;
    }
    ERR_clear_error();
    errno = EPROTO;
    return -1;
}

ssize_t pkd_tls_read(struct ssl_st *ssl, void *to, size_t size)
{
    size_t got;

    ERR_clear_error();
    int result = SSL_read_ex(ssl, to, size, &got);
    return result == 1 ? (ssize_t)got : outcome(ssl, result);
}

/* As many bytes as a record takes; small parts share one. */
static size_t gather(char *to, const struct iovec *parts, int count, size_t skip)
{
    size_t len = 0;

    for (int i = 0; i < count && len < RECORD_BYTES_MAX; i++) {
        size_t have = parts[i].iov_len;

        if (skip >= have) {
            skip -= have;
            continue;
        }
        size_t take = have - skip < RECORD_BYTES_MAX - len ? have - skip : RECORD_BYTES_MAX - len;
        memcpy(to + len, (const char *)parts[i].iov_base + skip, take);
        len += take;
        skip = 0;
    }
    return len;
}

ssize_t pkd_tls_write(struct ssl_st *ssl, const struct iovec *parts, int count)
{
    char record[RECORD_BYTES_MAX];
    size_t sent = 0, len, taken;

    ERR_clear_error();
    while ((len = gather(record, parts, count, sent)) > 0) {
        int result = SSL_write_ex(ssl, record, len, &taken);

        if (result != 1) {
            ssize_t why = outcome(ssl, result);

            return sent > 0 && why < 0 && errno == EAGAIN ? (ssize_t)sent : -1;
        }
        sent += taken;
    }
    return (ssize_t)sent;
}

void pkd_tls_end(struct ssl_st *ssl)
{
    ERR_clear_error();
    if (SSL_is_init_finished(ssl))
        (void)SSL_shutdown(ssl);
    ERR_clear_error();
}

void pkd_tls_drop(struct ssl_st *ssl)
{
    if (ssl) /* without one there may be no libssl either */
        SSL_free(ssl);
}
