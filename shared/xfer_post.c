/* xfer_post.c - see xfer_post.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "xfer_post.h"

#include "xfer_inner.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES_MAX = 4096 };

struct pk_poster {
    CURL *easy;
    struct curl_slist *headers;
};

void pk_poster_free(struct pk_poster *p)
{
    if (!p)
        return;
    curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    free(p);
}

static bool add_header(struct pk_poster *p, pk_str line)
{
    char text[LINE_BYTES_MAX];
    struct curl_slist *longer = NULL;

    if (line.len && line.len < sizeof text) {
        memcpy(text, line.at, line.len);
        text[line.len] = 0;
        longer = curl_slist_append(p->headers, text);
    }
    if (longer)
        p->headers = longer;
    return longer != NULL;
}

static bool add_headers(struct pk_poster *p, const char *headers)
{
    pk_str rest = pk_str_of(headers);
    bool ok =
        add_header(p, PK_STR("content-type: application/json")) && add_header(p, PK_STR("expect:"));

    while (ok && rest.len) {
        int line = pk_str_find(rest, '\n');
        size_t len = line < 0 ? rest.len : (size_t)line;

        ok = add_header(p, pk_str_sub(rest, 0, len));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return ok;
}

static size_t pass_over(char *at, size_t size, size_t count, void *unused)
{
    (void)at;
    (void)unused;
    return size * count;
}

static bool configure(struct pk_poster *p, const char *url, const char *headers)
{
    p->easy = curl_easy_init();
    return p->easy && add_headers(p, headers) &&
           curl_easy_setopt(p->easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK &&
           curl_easy_setopt(p->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(p->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(p->easy, CURLOPT_WRITEFUNCTION, pass_over) == CURLE_OK;
}

struct pk_poster *pk_poster_new(const char *url, const char *headers, struct pk_error *err)
{
    if (!pk_curl_open(err))
        return NULL;
    struct pk_poster *p = calloc(1, sizeof *p);
    if (p && configure(p, url, headers))
        return p;
    pk_poster_free(p);
    (void)pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
    return NULL;
}

bool pk_poster_send(struct pk_poster *p, pk_str body, int64_t timeout_ms, int *status,
                    struct pk_error *err)
{
    long code = 0;

    (void)curl_easy_setopt(p->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    (void)curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    (void)curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, body.at);
    CURLcode result = curl_easy_perform(p->easy);
    if (result != CURLE_OK)
        return pk_fail(err, PK_NETWORK, "%s", curl_easy_strerror(result));
    (void)curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &code);
    *status = (int)code;
    return true;
}
