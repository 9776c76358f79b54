/* fuzz_http.c - upstream headers and URLs from anywhere.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "fuzz.h"
#include "http.h"
#include "url.h"

static void headers(pk_str text)
{
    pk_str rest = text, name, value;
    int64_t wait_ms = pk_http_retry_after_ms(text, 1700000000000000);

    PK_ASSERT(wait_ms >= 0 && wait_ms <= PK_TIMEOUT_MS_MAX);
    while (pk_http_next_header(&rest, &name, &value)) {
        PK_ASSERT(name.len > 0);
        PK_ASSERT(name.at >= text.at && name.at + name.len <= text.at + text.len);
        PK_ASSERT(value.len == 0 || value.at + value.len <= text.at + text.len);
        (void)pk_http_relayed(name);
        (void)pk_http_is_type(value, "text/event-stream");
    }
    (void)pk_http_date_us(text);
}

static void url(pk_str text, pk_str list)
{
    struct pk_error err = {0};
    struct pk_url u = {0};

    if (!pk_url_parse(text, "url", &u, &err)) {
        PK_ASSERT(err.code == PK_BAD_CONFIG);
        return;
    }
    PK_ASSERT(u.host.len > 0 && u.port > 0 && u.port < 65536);
    PK_ASSERT(pk_str_find(u.host, '@') < 0 && pk_str_find(u.host, '/') < 0);
    PK_ASSERT(pk_url_same_origin(&u, &u));
    (void)pk_url_is_loopback(&u);
    (void)pk_url_host_listed(list, u.host, u.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pk_str rest = fuzz_text(bytes, size);

    headers(rest);
    pk_str first = fuzz_part(&rest);
    url(first, rest);
    return 0;
}
