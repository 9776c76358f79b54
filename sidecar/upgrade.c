/* upgrade.c - see upgrade.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "upgrade.h"

#include "http.h"
#include "json.h"
#include "url.h"

bool pkd_upgrade_check(const struct pkd_request *req, struct pk_error *err)
{
    pk_str upgrade = pk_http_header(req->headers, "upgrade");
    pk_str key = pk_http_header(req->headers, "sec-websocket-key");
    pk_str version = pk_http_header(req->headers, "sec-websocket-version");

    if (!req->upgrade || !pk_str_is_nocase(upgrade, "websocket") || req->method != PKD_GET) {
        (void)pk_fail(err, PK_BAD_REQUEST, "upgrade: a realtime session is a WebSocket");
        err->status = 426;
        return false;
    }
    if (req->body.len)
        return pk_fail(err, PK_BAD_REQUEST, "body: a WebSocket handshake has none");
    if (key.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "sec-websocket-key: is needed");
    if (pk_str_is(version, "13"))
        return true;
    (void)pk_fail(err, PK_BAD_REQUEST, "sec-websocket-version: must be 13");
    err->status = 426;
    return false;
}

static bool add_model(struct pk_arena *arena, pk_str value, struct pk_buf *body,
                      struct pk_error *err)
{
    struct pk_buf model = pk_buf_in(arena, PK_URL_BYTES_MAX);

    if (body->len > 1)
        return pk_fail(err, PK_BAD_REQUEST, "model: is given more than once");
    if (!pk_url_unescape(value, true, &model))
        return pk_fail(err, PK_BAD_REQUEST, "model: must be UTF-8, and not that long");
    pk_buf_adds(body, "\"model\":");
    pk_json_quote(body, pk_buf_str(&model));
    return true;
}

bool pkd_upgrade_body(struct pk_arena *arena, pk_str query, pk_str *body, pk_str *tail,
                      struct pk_error *err)
{
    struct pk_buf json = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);
    struct pk_buf rest = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);

    pk_buf_addc(&json, '{');
    while (query.len) {
        int amp = pk_str_find(query, '&');
        size_t len = amp < 0 ? query.len : (size_t)amp;
        pk_str part = pk_str_sub(query, 0, len);

        query = pk_str_sub(query, len + 1, query.len);
        if (pk_str_starts(part, "model=")) {
            if (!add_model(arena, pk_str_sub(part, 6, part.len), &json, err))
                return false;
        } else if (part.len) {
            pk_buf_addc(&rest, rest.len ? '&' : '?');
            pk_buf_add(&rest, part);
        }
    }
    pk_buf_addc(&json, '}');
    *body = pk_buf_str(&json);
    *tail = pk_buf_str(&rest);
    return (!json.failed && !rest.failed) || pk_fail(err, PK_NO_MEMORY, "request: out of memory");
}
