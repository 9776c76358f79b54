/* base_test.c - what an error says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "base.h"
#include "test.h"

#include <string.h>

static struct pk_error err;

static void a_message_is_one_line(void)
{
    EXPECT(!pk_fail(&err, PK_BAD_REQUEST, "a\nb\rc\td\x7f"));
    EXPECT(strcmp(err.msg, "a b c d ") == 0);
}

static void a_message_is_utf8_wherever_it_was_cut(void)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"gr\xc3", "gr?"},
        {"\xe2\x82\xac\xe2\x82", "\xe2\x82\xac??"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\xff\x80x\xc3y", "??x?y"},
        {"\xed\xa0\x80", "???"},
        {"\xc0\xaf\xf5\x80\x80\x80", "??????"},
        {"\xe0\x80\x80\xf0\x80\x80\x80", "???????"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        EXPECT(!pk_fail(&err, PK_BAD_REQUEST, "%s", cases[i].in));
        EXPECT(strcmp(err.msg, cases[i].out) == 0);
    }
}

static void a_long_message_ends_with_a_whole_character(void)
{
    char long_text[400] = "x";

    for (size_t i = 1; i + 2 < sizeof long_text; i += 2)
        memcpy(long_text + i, "\xc3\xbc", 2);
    EXPECT(!pk_fail(&err, PK_BAD_REQUEST, "%s", long_text));
    EXPECT(strlen(err.msg) == sizeof err.msg - 1);
    EXPECT(memcmp(err.msg + sizeof err.msg - 3, "\xc3\xbc", 2) == 0);
    EXPECT(!pk_fail(&err, PK_BAD_REQUEST, "y%s", long_text));
    EXPECT(err.msg[sizeof err.msg - 2] == '?');
}

int main(void)
{
    RUN(a_message_is_one_line);
    RUN(a_message_is_utf8_wherever_it_was_cut);
    RUN(a_long_message_ends_with_a_whole_character);
    return test_end();
}
