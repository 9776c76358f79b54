/* url_test.c - spellings of URLs and hosts, accepted and refused.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "test.h"
#include "url.h"

#include <string.h>

static const struct {
    const char *text, *host;
    int port;
    const char *path;
} accepted[] = {
    {"https://api.openai.com/v1", "api.openai.com", 443, "/v1"},
    {"http://localhost", "localhost", 80, ""},
    {"HTTPS://API.Example.COM/", "API.Example.COM", 443, "/"},
    {"http://127.0.0.1:8080/v1/chat?x=1&y=%20", "127.0.0.1", 8080, "/v1/chat?x=1&y=%20"},
    {"http://h:1", "h", 1, ""},
    {"http://h:65535/", "h", 65535, "/"},
    {"http://h?x=1", "h", 80, "?x=1"},
    {"http://h/a@b:c", "h", 80, "/a@b:c"},
    {"http://my_service.internal-net/", "my_service.internal-net", 80, "/"},
    {"http://[::1]/", "::1", 80, "/"},
    {"https://[2001:db8::7]:8443/v1", "2001:db8::7", 8443, "/v1"},
    {"http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", 80, "/"},
    {"http://1e100.net/", "1e100.net", 80, "/"},
    {"http://8.8.8.8.example/", "8.8.8.8.example", 80, "/"},
    {"http://xn--bcher-kva.example/", "xn--bcher-kva.example", 80, "/"},
    {"http://255.255.255.255/", "255.255.255.255", 80, "/"},
};

static const char *const refused[] = {
    "",
    "api.openai.com",
    "//api.openai.com",
    "ftp://h/",
    "file:///etc/passwd",
    "gopher://h/",
    "http:/h/",
    "http:h",
    "http://",
    "http:///v1",
    "http://?x",
    " http://h",
    "http://h ",
    "http://user@h/",
    "http://user:pw@h/",
    "http://api.openai.com@evil.example/",
    "http://api.openai.com:443@evil.example/",
    "http://h:/",
    "http://h:0/",
    "http://h:65536/",
    "http://h:99999999999/",
    "http://h:+80/",
    "http://h:80 /",
    "http://h:80:80/",
    "http://h:http/",
    "http://h./",
    "http://.h/",
    "http://a..b/",
    "http://-a.example/",
    "http://a-.example/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F.1/",
    "http://017700000001/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.256/",
    "http://1.2.3.4.5/",
    "http://127.0.0.1./",
    "http://example.0x7f/",
    "http://example.1/",
    "http://127.0.0.0x1/",
    "http://%31%32%37.0.0.1/",
    "http://h%2e/",
    "http://h%00.example/",
    "http://b\xc3\xbc"
    "cher.example/",
    "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
    "http://127\xe3\x80\x82"
    "0\xe3\x80\x82"
    "0\xe3\x80\x82"
    "1/",
    "http://h\\evil.example/",
    "http://h\tx/",
    "http://h\nx/",
    "http://h;x/",
    "http://h,x/",
    "http://::1/",
    "http://[::1/",
    "http://::1]/",
    "http://[::1]x/",
    "http://[::1]:/",
    "http://[]/",
    "http://[127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[v1.x]/",
    "http://[::g]/",
    "http://[1:2:3:4:5:6:7:8:9]/",
    "http://h#frag",
    "http://h/#frag",
    "http://h/a b",
    "http://h/a\\b",
    "http://h/a\r\nx: y",
    "http://h/a\x7f",
    "http://h/\xc3\xbc",
    "http://h/%",
    "http://h/%4",
    "http://h/%zz",
    "http://h/{x}",
};

static void plain_spellings_are_accepted(void)
{
    struct pk_error err;
    struct pk_url url;

    for (size_t i = 0; i < PK_COUNT(accepted); i++) {
        bool ok = pk_url_parse(pk_str_of(accepted[i].text), "base_url", &url, &err);

        if (!EXPECT(ok && pk_str_is(url.host, accepted[i].host) && url.port == accepted[i].port &&
                    pk_str_is(url.path, accepted[i].path)))
            printf("#   %s\n", accepted[i].text);
    }
    EXPECT(pk_url_parse(PK_STR("https://h"), "u", &url, &err) && url.https);
    EXPECT(pk_url_parse(PK_STR("http://h"), "u", &url, &err) && !url.https);
}

static void ambiguous_spellings_are_refused(void)
{
    struct pk_error err;
    struct pk_url url;

    for (size_t i = 0; i < PK_COUNT(refused); i++) {
        bool ok = pk_url_parse(pk_str_of(refused[i]), "targets[1].custom_host", &url, &err);

        if (!EXPECT(!ok && err.code == PK_BAD_CONFIG &&
                    strncmp(err.msg, "targets[1].custom_host: ", 24) == 0))
            printf("#   %s\n", refused[i]);
    }
    EXPECT(!pk_url_parse(PK_STR("http://h\0.example/"), "u", &url, &err));
    EXPECT(!pk_url_parse(PK_STR("http://h/\0"), "u", &url, &err));
}

static void long_spellings_are_refused(void)
{
    static char text[PK_URL_BYTES_MAX + 2];
    struct pk_error err;
    struct pk_url url;

    memset(text, 'a', sizeof text);
    memcpy(text, "http://h/", 9);
    EXPECT(pk_url_parse((pk_str){text, PK_URL_BYTES_MAX}, "u", &url, &err));
    EXPECT(!pk_url_parse((pk_str){text, PK_URL_BYTES_MAX + 1}, "u", &url, &err));
    memset(text + 7, 'a', 300);
    text[7 + 63] = '/';
    EXPECT(pk_url_parse((pk_str){text, 7 + 63}, "u", &url, &err));
    text[7 + 63] = 'a';
    EXPECT(!pk_url_parse((pk_str){text, 7 + 64}, "u", &url, &err));
    for (int i = 60; i < 300; i += 60)
        text[7 + i] = '.';
    EXPECT(pk_url_parse((pk_str){text, 7 + 253}, "u", &url, &err));
    EXPECT(!pk_url_parse((pk_str){text, 7 + 254}, "u", &url, &err));
}

static struct pk_url parsed(const char *text)
{
    struct pk_error err;
    struct pk_url url;

    EXPECT(pk_url_parse(pk_str_of(text), "url", &url, &err));
    return url;
}

static void an_origin_is_scheme_host_and_port(void)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"https://h/v1", "https://H:443/v2", true},
        {"http://h", "http://h:80/", true},
        {"http://h", "https://h", false},
        {"http://h:443", "https://h:443", false},
        {"https://h:444", "https://h", false},
        {"https://h", "https://h.example", false},
        {"https://h.example", "https://example", false},
        {"http://[::1]", "http://[0:0:0:0:0:0:0:1]/", true},
        {"http://[::1]", "http://127.0.0.1", false},
        {"http://[::ffff:1.2.3.4]", "http://1.2.3.4", false},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_url a = parsed(cases[i].a), b = parsed(cases[i].b);

        if (!EXPECT(pk_url_same_origin(&a, &b) == cases[i].same))
            printf("#   %s %s\n", cases[i].a, cases[i].b);
    }
}

static void loopback_is_told_by_spelling(void)
{
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"http://localhost", true},
        {"http://LocalHost:1", true},
        {"http://a.b.localhost", true},
        {"http://127.0.0.1", true},
        {"http://127.255.3.4", true},
        {"http://[::1]", true},
        {"http://[0::0:1]", true},
        {"http://128.0.0.1", false},
        {"http://0.0.0.0", false},
        {"http://[::]", false},
        {"http://[::ffff:127.0.0.1]", false},
        {"http://xlocalhost", false},
        {"http://localhost.example", false},
        {"http://127.0.0.1.example", false},
        {"http://ip6-localhost", false},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_url url = parsed(cases[i].text);

        if (!EXPECT(pk_url_is_loopback(&url) == cases[i].loopback))
            printf("#   %s\n", cases[i].text);
    }
}

static void a_host_matches_the_entries_of_a_list(void)
{
    static const struct {
        const char *list, *host;
        int port;
        bool listed;
    } cases[] = {
        {"", "h", 80, false},
        {" , ,", "h", 80, false},
        {"h", "H", 80, true},
        {"a,h", "h", 80, true},
        {"a h\tb\nc", "c", 80, true},
        {"h.example", "h", 80, false},
        {"h", "h.example", 80, false},
        {"h:8080", "h", 8080, true},
        {"h:8080", "h", 80, false},
        {"*.example.com", "a.example.com", 443, true},
        {"*.example.com", "a.b.EXAMPLE.com", 443, true},
        {"*.example.com", "example.com", 443, false},
        {"*.example.com", ".example.com", 443, false},
        {"*.example.com", "aexample.com", 443, false},
        {"*.example.com:444", "a.example.com", 443, false},
        {"*.example.com:444", "a.example.com", 444, true},
        {"*", "h", 80, false},
        {"*.", "h", 80, false},
        {"10.0.0.5", "10.0.0.5", 80, true},
        {"10.0.0.5:81", "10.0.0.5", 80, false},
        {"10.0.0.5", "10.0.0.50", 80, false},
        {"::1", "0:0::1", 80, true},
        {"[fd00::1]:81", "fd00::1", 81, true},
        {"[fd00::1]:81", "fd00::1", 80, false},
        {"[fd00::1]", "fd00::1", 80, true},
        {"h:", "h", 80, false},
        {"http://h", "h", 80, false},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(pk_url_host_listed(pk_str_of(cases[i].list), pk_str_of(cases[i].host),
                                       cases[i].port) == cases[i].listed))
            printf("#   %s in %s\n", cases[i].host, cases[i].list);
}

static void what_is_no_entry_of_a_list_is_named(void)
{
    static const struct {
        const char *list, *wrong;
    } cases[] = {
        {"", ""},
        {" a, *.b.example:443 [fd00::1]:81 ::1 10.0.0.5 ", ""},
        {"a,http://b,c d/", "http://b"},
        {"a b/", "b/"},
        {"*", "*"},
        {"h:", "h:"},
        {"a,h:99999", "h:99999"},
        {"caf\xc3\xa9.example", "caf\xc3\xa9.example"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(pk_str_is(pk_url_host_wrong(pk_str_of(cases[i].list)), cases[i].wrong)))
            printf("#   %s\n", cases[i].list);
}

static void an_escape_is_a_byte_when_it_is_whole(void)
{
    static const struct {
        const char *text;
        char byte;
        size_t spelled;
    } cases[] = {
        {"a", 'a', 1},   {"%41b", 'A', 3},   {"%4a", 'J', 3},  {"%4A", 'J', 3},
        {"%00", 0, 3},   {"%fF", '\xff', 3}, {"%", '%', 1},    {"%4", '%', 1},
        {"%4g", '%', 1}, {"%g4", '%', 1},    {"%%41", '%', 1}, {"+", '+', 1},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        char byte = 'x';

        if (!EXPECT(pk_url_byte(pk_str_of(cases[i].text), 0, &byte) == cases[i].spelled &&
                    byte == cases[i].byte))
            printf("#   %s\n", cases[i].text);
    }
}

static void texts_are_told_from_what_is_no_text(void)
{
    static const struct {
        const char *text, *path, *query;
        bool good;
    } cases[] = {
        {"", "", "", true},         {"a+b", "a+b", "a b", true},     {"%2B%20", "+ ", "+ ", true},
        {"%c3%bc", "ü", "ü", true}, {"%ff", "\xff", "\xff", false},  {"a%4", "a%4", "a%4", false},
        {"%", "%", "%", false},     {"%zz+", "%zz+", "%zz ", false},
    };
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 16);
    for (size_t i = 0; i < PK_COUNT(cases); i++)
        for (int query = 0; query < 2; query++) {
            struct pk_buf out = pk_buf_in(&arena, 64);

            pk_buf_addc(&out, '\xff'); /* what was there before does not matter */
            if (!EXPECT(pk_url_unescape(pk_str_of(cases[i].text), query, &out) == cases[i].good &&
                        pk_str_is(pk_str_sub(pk_buf_str(&out), 1, out.len),
                                  query ? cases[i].query : cases[i].path)))
                printf("#   %s\n", cases[i].text);
        }
    struct pk_buf small = pk_buf_in(&arena, 3);
    EXPECT(!pk_url_unescape(PK_STR("abcd"), false, &small));
    pk_arena_free(&arena);
}

int main(void)
{
    RUN(plain_spellings_are_accepted);
    RUN(ambiguous_spellings_are_refused);
    RUN(long_spellings_are_refused);
    RUN(texts_are_told_from_what_is_no_text);
    RUN(an_origin_is_scheme_host_and_port);
    RUN(loopback_is_told_by_spelling);
    RUN(a_host_matches_the_entries_of_a_list);
    RUN(what_is_no_entry_of_a_list_is_named);
    RUN(an_escape_is_a_byte_when_it_is_whole);
    return test_end();
}
