/* web.c - see web.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "web.h"

#include "answer.h"

#include "web.inc"

/* Only what came from here may run, and nobody may put it into a frame. */
#define POLICY                                                                                     \
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "              \
    "frame-ancestors 'none'\r\n"                                                                   \
    "x-content-type-options: nosniff\r\n"                                                          \
    "referrer-policy: no-referrer\r\n"                                                             \
    "cross-origin-opener-policy: same-origin\r\n"                                                  \
    "cache-control: no-cache\r\n"

static const struct file {
    const char *path, *type;
    const unsigned char *bytes;
    size_t len;
} files[] = {
#define FILE_OF(path, type, name)                                                                  \
    {                                                                                              \
        path, type "; charset=utf-8", web_##name, sizeof web_##name                                \
    }
    FILE_OF("/", "text/html", index_html),
    FILE_OF("/dashboard/app.css", "text/css", app_css),
    FILE_OF("/dashboard/app.js", "text/javascript", app_js),
    FILE_OF("/dashboard/api.js", "text/javascript", api_js),
    FILE_OF("/dashboard/draw.js", "text/javascript", draw_js),
#undef FILE_OF
};

void pkd_web_serve(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    struct pk_error err = {0};

    for (size_t i = 0; i < PK_COUNT(files); i++) {
        if (!pk_str_is(req->path, files[i].path))
            continue;
        pkd_conn_reply(c,
                       &(struct pkd_head){
                           .status = 200, .content_type = files[i].type, .headers = PK_STR(POLICY)},
                       (pk_str){(const char *)files[i].bytes, files[i].len});
        return;
    }
    (void)pk_fail(&err, PK_NOT_FOUND, "%.*s: no such file", PK_FMT(pk_str_sub(req->path, 0, 128)));
    pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
}
