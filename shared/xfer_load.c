/* xfer_load.c - libcurl, opened when the first exchange needs it (late.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * It brings some thirty libraries along: a process that calls nobody, or only hosts that xfer_dial.c and
 * xfer_wire.c see to, is spared them.
 */
#include "late.h"
#include "xfer_inner.h"

#include <pthread.h>
#include <stdarg.h>

#define LIBRARY "libcurl.so.4"

/* curl_easy_setopt() and its like are macros that look at types; what stands below are the functions. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define FUNCTIONS(F)                                                                               \
    F(CURLcode, curl_global_init_mem,                                                              \
      (long flags, curl_malloc_callback m, curl_free_callback f, curl_realloc_callback r,          \
       curl_strdup_callback s, curl_calloc_callback c),                                            \
      (flags, m, f, r, s, c))                                                                      \
    F(curl_version_info_data *, curl_version_info, (CURLversion v), (v))                           \
    F(CURL *, curl_easy_init, (void), ())                                                          \
    F(CURLcode, curl_easy_perform, (CURL * e), (e))                                                \
    F(CURLcode, curl_easy_pause, (CURL * e, int what), (e, what))                                  \
    F(CURLcode, curl_easy_recv, (CURL * e, void *at, size_t len, size_t *n), (e, at, len, n))      \
    F(CURLcode, curl_easy_send, (CURL * e, const void *at, size_t len, size_t *n),                 \
      (e, at, len, n))                                                                             \
    F(const char *, curl_easy_strerror, (CURLcode code), (code))                                   \
    F(CURLM *, curl_multi_init, (void), ())                                                        \
    F(CURLMcode, curl_multi_cleanup, (CURLM * m), (m))                                             \
    F(CURLMcode, curl_multi_add_handle, (CURLM * m, CURL * e), (m, e))                             \
    F(CURLMcode, curl_multi_remove_handle, (CURLM * m, CURL * e), (m, e))                          \
    F(CURLMcode, curl_multi_socket_action, (CURLM * m, curl_socket_t fd, int what, int *running),  \
      (m, fd, what, running))                                                                      \
    F(CURLMsg *, curl_multi_info_read, (CURLM * m, int *left), (m, left))                          \
    F(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text),        \
      (list, text))                                                                                \
    F(CURLU *, curl_url, (void), ())                                                               \
    F(CURLUcode, curl_url_set, (CURLU * u, CURLUPart part, const char *text, unsigned int flags),  \
      (u, part, text, flags))

#define PROCEDURES(F)                                                                              \
    F(void, curl_easy_cleanup, (CURL * e), (e))                                                    \
    F(void, curl_slist_free_all, (struct curl_slist * list), (list))                               \
    F(void, curl_url_cleanup, (CURLU * u), (u))

#define VARIADIC(F)                                                                                \
    F(CURLcode, curl_easy_setopt, (CURL * e, CURLoption option, ...), )                            \
    F(CURLcode, curl_easy_getinfo, (CURL * e, CURLINFO what, ...), )                               \
    F(CURLMcode, curl_multi_setopt, (CURLM * m, CURLMoption option, ...), )

static struct {
    FUNCTIONS(PK_LATE_MEMBER) PROCEDURES(PK_LATE_MEMBER) VARIADIC(PK_LATE_MEMBER)
} library;

static const char *const names[] = {FUNCTIONS(PK_LATE_NAME) PROCEDURES(PK_LATE_NAME)
                                        VARIADIC(PK_LATE_NAME)};

FUNCTIONS(PK_LATE_FUNCTION)
PROCEDURES(PK_LATE_PROCEDURE)

/* The number of an option says what its value is. */
CURLcode curl_easy_setopt(CURL *e, CURLoption option, ...)
{
    CURLcode result;
    va_list value;

    va_start(value, option);
    if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
        result = library.curl_easy_setopt(e, option, va_arg(value, curl_off_t));
    else if (option >= CURLOPTTYPE_OBJECTPOINT)
        result = library.curl_easy_setopt(e, option, va_arg(value, void *));
    else
        result = library.curl_easy_setopt(e, option, va_arg(value, long));
    va_end(value);
    return result;
}

CURLMcode curl_multi_setopt(CURLM *m, CURLMoption option, ...)
{
    CURLMcode result;
    va_list value;

    va_start(value, option);
    if ((int)option >= CURLOPTTYPE_OBJECTPOINT)
        result = library.curl_multi_setopt(m, option, va_arg(value, void *));
    else
        result = library.curl_multi_setopt(m, option, va_arg(value, long));
    va_end(value);
    return result;
}

CURLcode curl_easy_getinfo(CURL *e, CURLINFO what, ...)
{
    va_list value;

    va_start(value, what);
    CURLcode result = library.curl_easy_getinfo(e, what, va_arg(value, void *));
    va_end(value);
    return result;
}

static struct pk_error missing; /* why there is no libcurl; PK_OK: there is */

static void open_library(void)
{
    struct pk_error why;

    if (!pk_late_open(LIBRARY, names, PK_COUNT(names), &library, &why))
        (void)pk_fail(&missing, PK_NETWORK, "transport: libcurl cannot be used: %s", why.msg);
    else if (pk_curl_init() != CURLE_OK)
        (void)pk_fail(&missing, PK_NETWORK, "transport: libcurl does not start");
    missing.retryable = false;
}

bool pk_curl_open(struct pk_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, open_library);
    if (missing.code != PK_OK)
        *err = missing;
    return missing.code == PK_OK;
}
