/* sign_test.c - signatures that AWS publishes, and those that its own client makes for requests like ours.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sign.h"
#include "test.h"

#include <string.h>

/* 2015-08-30 12:36:00 UTC, the moment of AWS's test suite. */
static const int64_t suite_us = 1440938160LL * 1000000;

static struct pk_error err;

struct signing {
    const char *name, *method, *url, *headers, *body, *region, *service, *session;
    const char *names, *signature;
};

static const struct signing cases[] = {
    /* aws-sig-v4-test-suite */
    {"get-vanilla", "GET", "https://example.amazonaws.com/", "", "", "us-east-1", "service", "",
     "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla", "POST", "https://example.amazonaws.com/", "", "", "us-east-1", "service", "",
     "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-query-order-key-case", "GET",
     "https://example.amazonaws.com/?Param2=value2&Param1=value1", "", "", "us-east-1", "service",
     "", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    /* botocore 1.44.8 */
    {"an escaped model id and a session", "POST",
     "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-x-v1%3A0/converse",
     "content-type: application/json\n", "{\"a\":1}", "us-east-1", "bedrock",
     "SESSION/TOKEN==", "content-type;host;x-amz-date;x-amz-security-token",
     "e5edc3f9258fbd5a3440367093bf3457ec93e2b2b13fa68d94553c54d20655c9"},
    {"a port, repeated and empty parameters", "GET",
     "https://127.0.0.1:8443/a%20b/c?Action=List&Version=2011-06-15&x=a%2Fb&Action=Add&empty", "",
     "", "eu-west-1", "sts", "", "host;x-amz-date",
     "4b2e3af02c800b3c7d8680ee8da0587ff50b5516b4dc6523da7119e5aef6dd0b"},
    {"blanks in headers, and no path", "POST", "https://127.0.0.1:8443",
     "X-Amzn-Y:   two   words \nContent-Type: text/plain  ;   a=b\n", "x", "eu-west-1", "bedrock",
     "", "content-type;host;x-amz-date;x-amzn-y",
     "3e3a0a3dd8bda4ea73161a559b8cb68fc4e1be0362bdb1f4e10eea8a26cac874"},
};

static bool sign(const struct signing *s, struct pk_aws_signature *out)
{
    const struct pk_aws_key key = {PK_STR("AKIDEXAMPLE"),
                                   PK_STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                                   pk_str_of(s->session)};
    struct pk_url url;
    const struct pk_aws_request r = {s->method,
                                     &url,
                                     pk_str_of(s->headers),
                                     pk_str_of(s->body),
                                     pk_str_of(s->region),
                                     pk_str_of(s->service)};

    return pk_url_parse(pk_str_of(s->url), "url", &url, &err) &&
           pk_sign_aws(&r, &key, suite_us, out, &err);
}

static void signatures_are_those_of_aws(void)
{
    struct pk_aws_signature out;
    char expected[512];

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        const struct signing *s = &cases[i];

        (void)snprintf(expected, sizeof expected,
                       "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/%s/%s/aws4_request, "
                       "SignedHeaders=%s, Signature=%s",
                       s->region, s->service, s->names, s->signature);
        if (!EXPECT(sign(s, &out) && strcmp(out.authorization, expected) == 0))
            printf("# %s\n# %s\n# %s\n", s->name, out.authorization, expected);
        EXPECT(strcmp(out.date, "20150830T123600Z") == 0);
    }
}

static void every_part_counts(void)
{
    struct signing other[6];
    struct pk_aws_signature a, b;

    for (size_t i = 0; i < PK_COUNT(other); i++)
        other[i] = cases[3];
    other[0].method = "PUT";
    other[1].url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
                   "us.anthropic.claude-x-v1:0/converse";
    other[2].headers = "content-type: application/jsonl\n";
    other[3].body = "{\"a\":2}";
    other[4].region = "us-east-2";
    other[5].session = "OTHER";
    EXPECT(sign(&cases[3], &a));
    for (size_t i = 0; i < PK_COUNT(other); i++)
        EXPECT(sign(&other[i], &b) && strcmp(a.authorization, b.authorization) != 0);
}

static void what_does_not_fit_is_an_error(void)
{
    static char text[64 << 10];
    struct signing s = cases[0];
    struct pk_aws_signature out;
    size_t len = 0;

    for (int i = 0; i < PK_SIGN_HEADERS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "x-%d: y\n", i);
    s.headers = text;
    EXPECT(!sign(&s, &out) && err.code == PK_TOO_LARGE);
    memset(text, 'x', 2000);
    (void)snprintf(text + 2000, 16, ": y\n");
    EXPECT(!sign(&s, &out) && err.code == PK_TOO_LARGE);
}

int main(void)
{
    RUN(signatures_are_those_of_aws);
    RUN(every_part_counts);
    RUN(what_does_not_fit_is_an_error);
    return test_end();
}
