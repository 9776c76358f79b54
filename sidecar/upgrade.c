/* upgrade.c - see upgrade.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "upgrade.h"

#include "../shared/http.h"
#include "../shared/json.h"

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

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* False when it is not what a form or a URL library would write. */
static bool unescape(pk_str s, struct pk_buf *out)
{
    size_t bad;

    for (size_t i = 0; i < s.len; i++) {
        int high, low;

        if (s.at[i] != '%') {
            pk_buf_addc(out, s.at[i] == '+' ? ' ' : s.at[i]);
            continue;
        }
        if (s.len - i < 3)
            return false;
        high = hex(s.at[i + 1]);
        low = hex(s.at[i + 2]);
        if (high < 0 || low < 0)
            return false;
        pk_buf_addc(out, (char)(high * 16 + low));
        i += 2;
    }
    return pk_utf8_valid(pk_buf_str(out), &bad);
}

static bool add_model(struct pk_arena *arena, pk_str value, struct pk_buf *body,
                      struct pk_error *err)
{
    struct pk_buf model = pk_buf_in(arena, PK_URL_BYTES_MAX);

    if (body->len > 1)
        return pk_fail(err, PK_BAD_REQUEST, "model: is given more than once");
    if (!unescape(value, &model) || model.failed)
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
