/* log.c - see log.h. A line is one write(2), so lines of several threads do not mix.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 1024 };

static size_t print_time(char *out, size_t size)
{
    struct timespec now;
    struct tm utc;
    char seconds[32];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    int len = snprintf(out, size, "%s.%03ldZ ", seconds, now.tv_nsec / 1000000);
    return len > 0 ? (size_t)len : 0;
}

static PK_PRINTF(2, 0) void print(const char *level, const char *fmt, va_list args)
{
    char line[LINE_BYTES_MAX];
    size_t len = print_time(line, sizeof line);
    int more = snprintf(line + len, sizeof line - len, "%s ", level);

    len += more > 0 ? (size_t)more : 0;
    more = vsnprintf(line + len, sizeof line - len, fmt, args);
    len += more > 0 ? (size_t)more : 0;
    if (len > sizeof line - 1)
        len = sizeof line - 1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len); /* nowhere to report a failure */
    (void)written;
}

void pkd_info(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print("info", fmt, args);
    va_end(args);
}

void pkd_warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print("warn", fmt, args);
    va_end(args);
}

void pkd_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print("error", fmt, args);
    va_end(args);
}
