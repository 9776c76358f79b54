/* http_test.c - headers, dates and waits, as tables.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "http.h"
#include "test.h"

static void header_lines_are_split_and_trimmed(void)
{
    pk_str rest = PK_STR("HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\n folded: x\r\n"
                         "no colon\n: no name\nB : 2\nEmpty:\nLast:x");
    pk_str name, value;

    EXPECT(pk_http_next_header(&rest, &name, &value));
    EXPECT(pk_str_is(name, "Content-Type") && pk_str_is(value, "text/plain"));
    EXPECT(pk_http_next_header(&rest, &name, &value));
    EXPECT(pk_str_is(name, "B") && pk_str_is(value, "2"));
    EXPECT(pk_http_next_header(&rest, &name, &value));
    EXPECT(pk_str_is(name, "Empty") && value.len == 0);
    EXPECT(pk_http_next_header(&rest, &name, &value));
    EXPECT(pk_str_is(name, "Last") && pk_str_is(value, "x"));
    EXPECT(!pk_http_next_header(&rest, &name, &value));
}

static void the_first_header_of_a_name_is_found_without_case(void)
{
    pk_str headers = PK_STR("x-a: 1\r\nRetry-After: 2\r\nretry-after: 3\r\n");

    EXPECT(pk_str_is(pk_http_header(headers, "retry-after"), "2"));
    EXPECT(pk_http_header(headers, "retry").len == 0);
    EXPECT(pk_http_header(PK_NONE, "retry-after").len == 0);
}

static void http_dates_are_read_strictly(void)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777000000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 23:59:60 GMT", 1709251200000000},
        {"Tue, 31 Dec 2097 12:00:00 GMT", 4039329600000000},
        {"Thu, 29 Feb 2023 00:00:00 GMT", -1},
        {"Sun, 31 Apr 2023 00:00:00 GMT", -1},
        {"Sun, 00 Apr 2023 00:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMTx", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 nov 1994 08:49:37 GMT", -1},
        {"Xun, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 199x 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 -8:49:37 GMT", -1},
        {"", -1},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(pk_http_date_us(pk_str_of(cases[i].text)) == cases[i].us))
            printf("#   %s\n", cases[i].text);
}

static void retry_after_is_read_in_every_form(void)
{
    static const struct {
        const char *headers;
        int64_t ms;
    } cases[] = {
        {"", 0},
        {"Retry-After: 2\n", 2000},
        {"Retry-After: 1.5\n", 1500},
        {"Retry-After: .25\n", 250},
        {"Retry-After: 0.00049\n", 0},
        {"Retry-After: 0\n", 0},
        {"Retry-After: -1\n", 0},
        {"Retry-After: soon\n", 0},
        {"Retry-After: .\n", 0},
        {"Retry-After:\n", 0},
        {"Retry-After: 1e3\n", 0},
        {"Retry-After: 99999999999999999999999\n", PK_TIMEOUT_MS_MAX},
        {"retry-after-ms: 300\nRetry-After: 9\n", 300},
        {"retry-after-ms: 99999999999999999999999\n", PK_TIMEOUT_MS_MAX},
        {"retry-after-ms: x\nRetry-After: 9\n", 9000},
        {"Retry-After: 9\nx-ms-retry-after-ms: 450\n", 450},
        {"Retry-After: Sun, 06 Nov 1994 08:49:40 GMT\n", 2500},
        {"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\n", 0},
        {"Retry-After: Sun, 06 Nov 2094 08:49:37 GMT\n", PK_TIMEOUT_MS_MAX},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        int64_t ms = pk_http_retry_after_ms(pk_str_of(cases[i].headers), 784111777500000);

        if (!EXPECT(ms == cases[i].ms))
            printf("#   %s gave %lld\n", cases[i].headers, (long long)ms);
    }
}

static void a_content_type_matches_without_its_parameters(void)
{
    EXPECT(pk_http_is_type(PK_STR("text/event-stream"), "text/event-stream"));
    EXPECT(pk_http_is_type(PK_STR("Text/Event-Stream ; charset=utf-8"), "text/event-stream"));
    EXPECT(!pk_http_is_type(PK_STR("text/event-streams"), "text/event-stream"));
    EXPECT(!pk_http_is_type(PK_NONE, "text/event-stream"));
}

static void what_could_split_a_header_is_invalid(void)
{
    EXPECT(pk_http_valid_name(PK_STR("x-Api_Key.1")));
    EXPECT(!pk_http_valid_name(PK_STR("x api")));
    EXPECT(!pk_http_valid_name(PK_STR("x:api")));
    EXPECT(!pk_http_valid_name(PK_STR("x\0api")));
    EXPECT(!pk_http_valid_name(PK_STR("x\r\napi")));
    EXPECT(!pk_http_valid_name(PK_STR("caf\xc3\xa9")));
    EXPECT(!pk_http_valid_name(PK_NONE));
    EXPECT(pk_http_valid_value(PK_STR("Bearer sk-1\t~ caf\xc3\xa9")));
    EXPECT(pk_http_valid_value(PK_NONE));
    EXPECT(!pk_http_valid_value(PK_STR("a\rb")));
    EXPECT(!pk_http_valid_value(PK_STR("a\nb")));
    EXPECT(!pk_http_valid_value(PK_STR("a\0b")));
    EXPECT(!pk_http_valid_value(PK_STR("a\x7f")));
}

static void only_harmless_headers_are_relayed(void)
{
    EXPECT(pk_http_relayed(PK_STR("Retry-After")));
    EXPECT(pk_http_relayed(PK_STR("x-ratelimit-remaining-tokens")));
    EXPECT(pk_http_relayed(PK_STR("Anthropic-RateLimit-Requests-Reset")));
    EXPECT(pk_http_relayed(PK_STR("openai-processing-ms")));
    EXPECT(pk_http_relayed(PK_STR("x-request-id")));
    EXPECT(!pk_http_relayed(PK_STR("x-ratelimit-")));
    EXPECT(!pk_http_relayed(PK_STR("set-cookie")));
    EXPECT(!pk_http_relayed(PK_STR("content-length")));
    EXPECT(!pk_http_relayed(PK_STR("content-encoding")));
    EXPECT(!pk_http_relayed(PK_STR("transfer-encoding")));
    EXPECT(!pk_http_relayed(PK_STR("connection")));
    EXPECT(!pk_http_relayed(PK_STR("openai-organization")));
    EXPECT(!pk_http_relayed(PK_NONE));
}

int main(void)
{
    RUN(header_lines_are_split_and_trimmed);
    RUN(the_first_header_of_a_name_is_found_without_case);
    RUN(http_dates_are_read_strictly);
    RUN(retry_after_is_read_in_every_form);
    RUN(a_content_type_matches_without_its_parameters);
    RUN(what_could_split_a_header_is_invalid);
    RUN(only_harmless_headers_are_relayed);
    return test_end();
}
