/* pii_test.c - what is personal data, and what only looks like it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pii.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

/* clang-format off */
/* A text, and what it becomes. */
static const struct {
    const char *text, *want;
} found[] = {
    {"mail bob@example.com.", "mail {{EMAIL_ADDRESS}}."},
    {"<a.b+tag_1%x@sub.example.co.uk>", "<{{EMAIL_ADDRESS}}>"},
    {"mailto:o'neil@example.org?subject=x", "mailto:{{EMAIL_ADDRESS}}?subject=x"},
    {"请联系bob@example.com谢谢", "请联系{{EMAIL_ADDRESS}}谢谢"},
    {"x..bob@163.com", "x..{{EMAIL_ADDRESS}}"},
    {"bob@xn--bcher-kva.example", "{{EMAIL_ADDRESS}}"},
    {"BOB@EXAMPLE.COM,al@b.io", "{{EMAIL_ADDRESS}},{{EMAIL_ADDRESS}}"},
    {"4111111111111111@example.com", "{{EMAIL_ADDRESS}}"},

    {"call +1 (212) 555-0123 now", "call {{PHONE_NUMBER}} now"},
    {"+12125550123", "{{PHONE_NUMBER}}"},
    {"tel:+1-212-555-0123", "tel:{{PHONE_NUMBER}}"},
    {"+44 20 7946 0958", "{{PHONE_NUMBER}}"},
    {"+49 (0)30 123456-78", "{{PHONE_NUMBER}}"},
    {"+4915112345678", "{{PHONE_NUMBER}}"},
    {"+33 1 23 45 67 89", "{{PHONE_NUMBER}}"},
    {"+91-98765-43210", "{{PHONE_NUMBER}}"},
    {"+86 138 1234 5678", "{{PHONE_NUMBER}}"},
    {"0049 30 1234567", "{{PHONE_NUMBER}}"},
    {"(212) 555-0123", "{{PHONE_NUMBER}}"},
    {"(see 212-555-0123)", "(see {{PHONE_NUMBER}})"},
    {"(212-555-0123)", "({{PHONE_NUMBER}})"},
    {"212.555.0123 or 1-800-555-0199", "{{PHONE_NUMBER}} or {{PHONE_NUMBER}}"},
    {"212 555 0123", "{{PHONE_NUMBER}}"},
    {"020 7946 0958", "{{PHONE_NUMBER}}"},
    {"07700 900123", "{{PHONE_NUMBER}}"},
    {"0171/1234567", "{{PHONE_NUMBER}}"},
    {"(030) 123456", "{{PHONE_NUMBER}}"},
    {"030-12345678", "{{PHONE_NUMBER}}"},
    {"01 23 45 67 89", "{{PHONE_NUMBER}}"},
    {"06.12.34.56.78", "{{PHONE_NUMBER}}"},
    {"phone: 5550123", "phone: {{PHONE_NUMBER}}"},
    {"Tel. 612 345 678", "Tel. {{PHONE_NUMBER}}"},
    {"my mobile number is 07700900123", "my mobile number is {{PHONE_NUMBER}}"},
    {"我的电话是13812345678", "我的电话是{{PHONE_NUMBER}}"},

    {"4111111111111111", "{{CREDIT_CARD}}"},
    {"card 4111 1111 1111 1111 exp 12/26", "card {{CREDIT_CARD}} exp 12/26"},
    {"4111 1111 1111 1111 12/26 123", "{{CREDIT_CARD}} 12/26 123"},
    {"5500-0000-0000-0004", "{{CREDIT_CARD}}"},
    {"2221000000000009", "{{CREDIT_CARD}}"},
    {"3782 822463 10005", "{{CREDIT_CARD}}"},
    {"371449635398431.", "{{CREDIT_CARD}}."},
    {"30569309025904", "{{CREDIT_CARD}}"},
    {"6011111111111117", "{{CREDIT_CARD}}"},
    {"3530111333300000", "{{CREDIT_CARD}}"},
    {"6200000000000005", "{{CREDIT_CARD}}"},
    {"4222222222222", "{{CREDIT_CARD}}"},
    {"6759649826438453", "{{CREDIT_CARD}}"},

    {"SSN 123-45-6789", "SSN {{SSN}}"},
    {"123-45-6789 12/12/1980", "{{SSN}} 12/12/1980"},
    {"ssn: 123 45 6789", "ssn: {{SSN}}"},
    {"social security number 123456789", "social security number {{SSN}}"},

    {"from 192.168.1.17 to 8.8.8.8", "from {{IP_ADDRESS}} to {{IP_ADDRESS}}"},
    {"http://10.1.2.3:8080/x", "http://{{IP_ADDRESS}}:8080/x"},
    {"10.1.2.3-10.1.2.9", "{{IP_ADDRESS}}-{{IP_ADDRESS}}"},
    {"10.1.2.0/24.", "{{IP_ADDRESS}}/24."},
    {"2001:db8::8a2e:370:7334", "{{IP_ADDRESS}}"},
    {"[2001:DB8:0:0:8:800:200C:417A]:443", "[{{IP_ADDRESS}}]:443"},
    {"fe80::1%eth0", "{{IP_ADDRESS}}%eth0"},
    {"fd12:3456:789a:1::1: up", "{{IP_ADDRESS}}: up"},

    {"DE89370400440532013000", "{{IBAN}}"},
    {"IBAN: DE89 3704 0044 0532 0130 00, BIC", "IBAN: {{IBAN}}, BIC"},
    {"GB82 WEST 1234 5698 7654 32", "{{IBAN}}"},
    {"NO9386011117947", "{{IBAN}}"},
    {"MT84MALT011000012345MTLCAST001S", "{{IBAN}}"},

    {"OPENAI_API_KEY=sk-proj-Abcdefgh1234567890ijklmnop", "OPENAI_API_KEY={{API_KEY}}"},
    {"sk-ant-api03-Q1w2E3r4T5y6U7i8O9p0-Zxcvb_nm", "{{API_KEY}}"},
    {"sk-0123456789abcdef0123456789abcdef", "{{API_KEY}}"},
    {"key pk-Xk29ssLq8812mmzAAb3410.", "key {{API_KEY}}."},
    {"AKIAIOSFODNN7EXAMPLE", "{{API_KEY}}"},
    {"ghp_0123456789abcdefghijABCDEFGHIJ012345", "{{API_KEY}}"},
    {"github_pat_11AAAAAAA0123456789_abcdefghij", "{{API_KEY}}"},
    {"xoxb-123456789012-1234567890123-AbCdEfGhIj", "{{API_KEY}}"},
    {"AIzaSyA1234567890abcdefghijklmnopqrstuv", "{{API_KEY}}"},
    {"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.SflKxwRJSMeKKF2QT4fwpM", "Bearer {{API_KEY}}"},
    {"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----\nb", "a\n{{API_KEY}}\nb"},
    {"-----BEGIN PRIVATE KEY-----\nMIIE", "{{API_KEY}}"},
    {"sk_live_4eC39HqLyjWDarjtT1zdp7dc", "{{API_KEY}}"},
    {"hf_abcdefghijklmnopqrstuvwxyzABCDEF", "{{API_KEY}}"},
};

static const char *const innocent[] = {
    "", "a", "@", "a@b", "bob@localhost", "@angular/core@17.0.1", "lodash@4.17.21", "x@2.0.0-rc.alpha",
    "git@github.com:org/repo.git", "a@b..com", "bob at example.com", "@media (max-width: 10px)", "user@-a.com",
    "2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05.123456", "02.01.2024", "02/01/2024 12:30", "01-02-2024",
    "09-10-2023 14:00", "19.12.2023 1234", "20240102030405", "1718000000", "1718000000123", "1718000000123456",
    "12:34:56", "12:34:56:78", "order 0123-456789", "order #0123-456789", "Order no. 212-555-0123", "#212-555-0123",
    "invoice 123-45-6789", "PO-123-45-6789", "ticket 4512-889-1234", "ISBN 978-3-16-148410-0", "9783161484100",
    "tracking 1Z999AA10123456784", "EAN 4006381333931", "550e8400-e29b-41d4-a716-446655440000",
    "12345678-1234-4111-8111-111111111111", "$1,234,567.89", "1.234.567,89 EUR", "1 234 567 890", "EUR 4.000.000.000",
    "3.14159265358979", "0.123456789012", "4111111111111111.5", "1234567890", "00123456789", "007", "0800",
    "4111111111111112", "4111 1111 1111 1112", "1234567812345670", "41111111111111111111", "4111-11 11-1111 1111",
    "000-12-3456", "666-12-3456", "900-12-3456", "123-00-6789", "123-45-0000", "1123-45-6789", "123-45-67890", "123456789",
    "123 45 6789", "v1.2.3.4", "version 10.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "Chrome/120.0.0.0",
    "section 4.2.1.3", "10.2.3.4-beta", "127.0.0.1", "0.0.0.0", "255.255.255.0", "::1", "::", "std::string", "a::b",
    "dead::beef", "00:1A:2B:3C:4D:5E", "20:01:0d:b8:85:a3:00:00:00:00", "2001:db8", "abc::1", "12::34",
    "DE89370400440532013001", "DE8937040044053201300", "XX89370400440532013000", "de89370400440532013000",
    "ADE89370400440532013000", "IT DEPARTMENT 1234", "sk-learn-contrib-extensions-2024", "sk-button-primary-large-2",
    "task-0123456789abcdef0123456789abcdef", "disk-0123456789abcdef0123", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLES",
    "ghp_short", "xoxb-1", "AIzaShort", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.payload.sig", "-----BEGIN CERTIFICATE-----",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "1 2 3 4 5 6 7 8 9 10 11 12", "10 20 30 40 50 60 70 80", "100-200-300", "1-2-3", "555-1234", "05 12 18 22 33 41",
    "+1", "+5000000 users", "+10000000", "1+12345678901", "x+442079460958", "100,000,000,000", "911", "24/7", "16:9",
    "1920x1080", "IEEE 802.11ac", "RFC 2616, 7230", "GPT-4o 128000", "2^64 = 18446744073709551616", "p < 0.05",
    "range 1000-2000-3000", "SELECT 1;", "99.99%", "2023/2024", "1/2/2024", "LUHN 79927398713",
};
/* clang-format on */

static pk_str redacted(pk_str text, unsigned categories)
{
    struct pk_buf out = pk_buf_in(&arena, 1 << 20);

    (void)pk_pii_redact(&out, text, categories);
    EXPECT(!out.failed);
    return pk_buf_str(&out);
}

static void what_is_personal_is_found(void)
{
    for (size_t i = 0; i < PK_COUNT(found); i++) {
        pk_str got = redacted(pk_str_of(found[i].text), PK_PII_ALL);

        if (!EXPECT(pk_str_is(got, found[i].want)))
            printf("# %s: %.*s\n", found[i].text, PK_FMT(got));
    }
}

static void what_only_looks_like_it_stays(void)
{
    for (size_t i = 0; i < PK_COUNT(innocent); i++) {
        pk_str got = redacted(pk_str_of(innocent[i]), PK_PII_ALL);

        if (!EXPECT(pk_str_is(got, innocent[i])))
            printf("# %s: %.*s\n", innocent[i], PK_FMT(got));
    }
}

static void only_the_categories_asked_for_are_touched(void)
{
    pk_str text = PK_STR("a@b.io 4111111111111111 8.8.8.8 GB82 WEST 1234 5698 7654 32");

    EXPECT(pk_str_is(redacted(text, PK_PII_EMAIL),
                     "{{EMAIL_ADDRESS}} 4111111111111111 8.8.8.8 GB82 WEST 1234 5698 7654 32"));
    EXPECT(pk_str_is(redacted(text, PK_PII_PHONE), text.at));
    EXPECT(pk_str_is(redacted(text, 0), text.at));
    EXPECT(pk_pii_seen(text, PK_PII_ALL) == (PK_PII_EMAIL | PK_PII_CARD | PK_PII_IP | PK_PII_IBAN));
    EXPECT(pk_pii_seen(text, PK_PII_IP | PK_PII_SSN) == PK_PII_IP);
}

static void spans_say_where(void)
{
    pk_str text = PK_STR("x a@b.io y 8.8.8.8");
    struct pk_pii_span s;

    EXPECT(pk_pii_next(text, PK_PII_ALL, 0, &s));
    EXPECT(s.start == 2 && s.len == 6 && s.category == PK_PII_EMAIL);
    EXPECT(pk_pii_next(text, PK_PII_ALL, s.start + s.len, &s));
    EXPECT(s.start == 11 && s.len == 7 && s.category == PK_PII_IP);
    EXPECT(!pk_pii_next(text, PK_PII_ALL, s.start + s.len, &s));
}

static void categories_have_names(void)
{
    for (unsigned c = 1; c < PK_PII_ALL; c <<= 1)
        EXPECT(pk_pii_category(pk_str_of(pk_pii_name(c))) == c);
    EXPECT(pk_pii_category(PK_STR("email_address")) == PK_PII_EMAIL);
    EXPECT(pk_pii_category(PK_STR("NAME")) == 0 && pk_pii_category(PK_NONE) == 0);
}

static const struct {
    const char *json, *want;
} documents[] = {
    {"\"a@b.io\"", "\"{{EMAIL_ADDRESS}}\""},
    {" { \"a@b.io\" : \"x\\n\" , \"n\": 4111111111111111 } ",
     " { \"a@b.io\" : \"x\\n\" , \"n\": 4111111111111111 } "},
    {"{\"m\":[{\"t\":\"mail a\\u0040b.io \\\"now\\\"\"}, \"\\u00e9\" ],\"t\":1.50}",
     "{\"m\":[{\"t\":\"mail {{EMAIL_ADDRESS}} \\\"now\\\"\"}, \"\\u00e9\" ],\"t\":1.50}"},
    {"[\"a@b.io\",\"c@d.io\",[\"8.8.8.8\"]]",
     "[\"{{EMAIL_ADDRESS}}\",\"{{EMAIL_ADDRESS}}\",[\"{{IP_ADDRESS}}\"]]"},
    {"{}", "{}"},
    {"null", "null"},
};

static void documents_keep_every_other_byte(void)
{
    struct pk_error err = {0};
    pk_str out = PK_NONE;

    for (size_t i = 0; i < PK_COUNT(documents); i++) {
        pk_str json = pk_str_of(documents[i].json);

        EXPECT(pk_pii_redact_json(&arena, json, PK_PII_ALL, &out, &err));
        if (!EXPECT(pk_str_is(out, documents[i].want)))
            printf("# %s: %.*s\n", documents[i].json, PK_FMT(out));
        if (strcmp(documents[i].json, documents[i].want) == 0)
            EXPECT(out.at == json.at);
    }
    EXPECT(!pk_pii_redact_json(&arena, PK_STR("{"), PK_PII_ALL, &out, &err));
    EXPECT(err.code == PK_BAD_JSON);
}

static void memory_that_fails_is_an_error(void)
{
    pk_str json = PK_STR("[\"mail a\\u0040b.io\",\"4111111111111111\"]");
    struct pk_error err;
    pk_str out;

    for (size_t limit = 0; limit < 6000; limit += 50) {
        struct pk_arena small;

        pk_arena_init(&small, pk_allocator_malloc(), limit);
        small.torture = true;
        if (pk_pii_redact_json(&small, json, PK_PII_ALL, &out, &err))
            EXPECT(pk_str_is(out, "[\"mail {{EMAIL_ADDRESS}}\",\"{{CREDIT_CARD}}\"]"));
        else
            EXPECT(err.code == PK_NO_MEMORY);
        pk_arena_free(&small);
    }
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(what_is_personal_is_found);
    RUN(what_only_looks_like_it_stays);
    RUN(only_the_categories_asked_for_are_touched);
    RUN(spans_say_where);
    RUN(categories_have_names);
    RUN(documents_keep_every_other_byte);
    RUN(memory_that_fails_is_an_error);
    pk_arena_free(&arena);
    return test_end();
}
