/* log_lines.c - lines of pkd's log: quoting, limits, repeated warnings (sidecar/log.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "../sidecar/log.c"

#include "test.h"

#include <fcntl.h>

static int saved_stderr, pipe_out;

static void capture(void)
{
    int ends[2];

    if (!EXPECT(pipe(ends) == 0))
        return;
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    saved_stderr = dup(STDERR_FILENO);
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[1]);
    pipe_out = ends[0];
}

/* What was written behind the time since capture(). */
static const char *captured(void)
{
    static char bytes[64 << 10];
    ssize_t len = read(pipe_out, bytes, sizeof bytes - 1);

    (void)dup2(saved_stderr, STDERR_FILENO);
    (void)close(saved_stderr);
    (void)close(pipe_out);
    bytes[len > 0 ? len : 0] = 0;
    return bytes;
}

static bool ends(const char *line, const char *with)
{
    size_t a = strlen(line), b = strlen(with);

    if (a >= b && strcmp(line + a - b, with) == 0)
        return true;
    printf("# %s# does not end in\n# %s", line, with);
    return false;
}

static void text_is_quoted_where_it_has_to_be(void)
{
    pkd_log_set("info", false);
    capture();
    pkd_info("told a=%s b=%s c=%s d=%s e=%d at=%s:%d", "plain", "two words", "a=\"b\"", "", -5,
             "file.c", 7);
    EXPECT(ends(captured(),
                " info told a=plain b=\"two words\" c=\"a=\\\"b\\\"\" e=-5 at=file.c:7\n"));
    capture();
    pkd_info("told a=%s b=%.*s", "line\nbreak\x1b[0m", 3, "bad\xff");
    EXPECT(ends(captured(), " info told a=\"line\\u000abreak\\u001b[0m\" b=bad\n"));
    capture();
    pkd_info("told a=%s b=%s", "caf\xc3\xa9", "\xc3(\xff");
    EXPECT(ends(captured(), " info told a=caf\xc3\xa9 b=?(?\n"));
}

static void json_has_numbers_and_strings(void)
{
    pkd_log_set("info", true);
    capture();
    pkd_info("told a=%s n=%lld u=%u z=%zu mixed=%d%s c=%s", "1", -7LL, 8u, (size_t)9, 1, "x",
             "q\"\\\n");
    const char *line = captured();
    EXPECT(strncmp(line, "{\"time\":\"20", 11) == 0);
    EXPECT(ends(line, ",\"level\":\"info\",\"event\":\"told\",\"a\":\"1\",\"n\":-7,\"u\":8,\"z\":9,"
                      "\"mixed\":\"1x\","
                      "\"c\":\"q\\\"\\\\\\u000a\"}\n"));
}

static void a_value_that_is_too_long_is_cut_and_the_line_stays_whole(void)
{
    static char longest[4096];

    memset(longest, '\n', sizeof longest - 1);
    pkd_log_set("info", true);
    capture();
    pkd_info("told a=%s b=%s c=%d", longest, "kept", 3);
    const char *line = captured();
    EXPECT(strlen(line) < LINE_BYTES_MAX + 8);
    EXPECT(ends(line, "\"b\":\"kept\",\"c\":3}\n"));
}

static void levels_hold_back(void)
{
    pkd_log_set("warn", false);
    capture();
    pkd_debug("d a=%d", 1);
    pkd_info("i a=%d", 1);
    EXPECT(*captured() == 0);
    capture();
    pkd_error("e a=%d", 1);
    EXPECT(ends(captured(), " error e a=1\n"));
}

static int lines_of(const char *text)
{
    int count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void warn_often(int times)
{
    for (int i = 0; i < times; i++)
        pkd_warn("again n=%d", i);
}

static void a_warning_that_repeats_is_counted(void)
{
    pkd_log_set("info", false);
    capture();
    warn_often(100);
    EXPECT(lines_of(captured()) == BURST);
    capture();
    pkd_warn("another n=%d", 1);
    EXPECT(ends(captured(), " warn another n=1\n"));
    for (size_t i = 0; i < SITES_MAX; i++)
        sites[i].since -= WINDOW_S;
    capture();
    warn_often(1);
    EXPECT(ends(captured(), " warn again n=0 repeated=95\n"));
}

int main(void)
{
    RUN(text_is_quoted_where_it_has_to_be);
    RUN(json_has_numbers_and_strings);
    RUN(a_value_that_is_too_long_is_cut_and_the_line_stays_whole);
    RUN(levels_hold_back);
    RUN(a_warning_that_repeats_is_counted);
    return test_end();
}
