/* iso_test.c - times as people write them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "iso.h"

#include "test.h"

#include <string.h>

static void times_are_read_to_the_microsecond(void)
{
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00:01Z", 1000000},
        {"2000-02-29T00:00Z", 951782400000000},
        {"2025-11-21T11:38:32.123456Z", 1763725112123456},
        {"2025-11-21 11:38:32.1234567", 1763725112123456},
        {"2025-11-21t13:38:32.5+02:00", 1763725112500000},
        {"2025-11-21T06:08:32-05:30", 1763725112000000},
        {"9999-12-31T23:59:60Z", 253402300800000000},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        int64_t us = -1;

        if (!EXPECT(pk_iso_us(pk_str_of(cases[i].text), &us) && us == cases[i].us))
            printf("# %s: %lld\n", cases[i].text, (long long)us);
    }
}

static void what_is_no_time_is_refused(void)
{
    static const char *const cases[] = {
        "",
        "now",
        "2025",
        "2025-13-01",
        "2025-02-29",
        "2025-1-1",
        "1969-12-31",
        "2025-01-01T",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00+2",
        "2025-01-01T00:00:00Zulu",
        "2025-01-01 00:00:00 UTC",
    };
    int64_t us;

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(!pk_iso_us(pk_str_of(cases[i]), &us)))
            printf("# %s\n", cases[i]);
}

static void times_are_printed_to_the_millisecond(void)
{
    static const char *const cases[] = {"1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z",
                                        "2025-11-21T11:38:32.123Z", "9999-12-31T23:59:59.001Z"};

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        char text[PK_ISO_BYTES] = "";
        int64_t us = 0;

        EXPECT(pk_iso_us(pk_str_of(cases[i]), &us));
        pk_iso_print(us, text);
        if (!EXPECT(strcmp(text, cases[i]) == 0))
            printf("# %s\n", text);
    }
}

int main(void)
{
    RUN(times_are_read_to_the_microsecond);
    RUN(what_is_no_time_is_refused);
    RUN(times_are_printed_to_the_millisecond);
    return test_end();
}
