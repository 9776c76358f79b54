/* log.c - see log.h. A line is one write(2), so lines of several threads do not mix.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The format is walked pair by pair: that keeps the compiler's check of the arguments, and lets one call be
 * spelled in either way.
 */
#include "log.h"

#include "json.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_BYTES_MAX = 2048,
    VALUE_BYTES_MAX = 512,
    SITES_MAX = 64, /* warnings that are counted; more are told each time */
    BURST = 5,      /* lines of one warning in a window */
    WINDOW_S = 10,
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static enum pkd_level level_max = PKD_INFO;
static bool in_json;

void pkd_log_set(const char *level, bool json)
{
    in_json = json;
    for (size_t i = 0; i < PK_COUNT(level_names); i++)
        if (strcmp(level, level_names[i]) == 0)
            level_max = (enum pkd_level)i;
}

/* --- text of fixed length -------------------------------------------------------------------- */

struct text {
    char *at;
    size_t len, max;
};

static void put(struct text *t, const char *bytes, size_t len)
{
    size_t room = t->max - t->len;

    if (len > room)
        len = room;
    memcpy(t->at + t->len, bytes, len);
    t->len += len;
}

static void puts_to(struct text *t, const char *text)
{
    put(t, text, strlen(text));
}

/* --- values -------------------------------------------------------------------------------- */

/* The arguments, where a function can go on with them. */
struct arguments {
    va_list list;
};

/* Renders the conversion behind a '%'; the place behind it. *number: it is one. */
static const char *render(struct text *out, const char *f, struct arguments *a, bool *number)
{
    char digits[32] = "";

    *number = true;
    if (strncmp(f, ".*s", 3) == 0) {
        int len = va_arg(a->list, int);
        put(out, va_arg(a->list, const char *), len > 0 ? (size_t)len : 0);
        *number = false;
        return f + 3;
    }
    if (*f == 's') {
        puts_to(out, va_arg(a->list, const char *));
        *number = false;
        return f + 1;
    }
    if (strncmp(f, "lld", 3) == 0)
        (void)snprintf(digits, sizeof digits, "%lld", va_arg(a->list, long long));
    else if (strncmp(f, "zu", 2) == 0)
        (void)snprintf(digits, sizeof digits, "%zu", va_arg(a->list, size_t));
    else if (*f == 'u')
        (void)snprintf(digits, sizeof digits, "%u", va_arg(a->list, unsigned));
    else if (*f == 'd')
        (void)snprintf(digits, sizeof digits, "%d", va_arg(a->list, int));
    PK_ASSERT(*digits); /* log.h has the conversions */
    puts_to(out, digits);
    return f + strspn(f, "lz") + 1;
}

/* The value that begins at `f`, up to a blank or the end; the place behind it. */
static const char *value_of(struct text *out, const char *f, struct arguments *a, bool *number)
{
    const char *begin = f;
    bool is_number = false;

    for (; *f && *f != ' ';) {
        if (*f == '%') {
            f = render(out, f + 1, a, &is_number);
        } else {
            put(out, f++, 1);
            is_number = false;
        }
    }
    *number = is_number && *begin == '%' && memchr(begin + 1, '%', (size_t)(f - begin - 1)) == NULL;
    return f;
}

/* What a value is without what no line may hold: bytes that are no UTF-8. */
static void clean(struct text *value)
{
    size_t bad = 0;

    while (!pk_utf8_valid((pk_str){value->at, value->len}, &bad))
        value->at[bad] = '?';
}

static bool needs_quotes(const struct text *value)
{
    for (size_t i = 0; i < value->len; i++) {
        unsigned char c = (unsigned char)value->at[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
            return true;
    }
    return false;
}

/* As JSON has it, which logfmt reads too. */
static void put_quoted(struct text *line, const struct text *value)
{
    char escape[8];

    puts_to(line, "\"");
    for (size_t i = 0; i < value->len; i++) {
        unsigned char c = (unsigned char)value->at[i];

        if (c == '"' || c == '\\')
            puts_to(line, "\\");
        if (c >= ' ' && c != 0x7f) {
            put(line, value->at + i, 1);
            continue;
        }
        (void)snprintf(escape, sizeof escape, "\\u%04x", c);
        puts_to(line, escape);
    }
    puts_to(line, "\"");
}

/* --- the line ------------------------------------------------------------------------------ */

static void put_pair(struct text *line, const char *key, size_t key_len, struct text *value,
                     bool number)
{
    const size_t worst = key_len + 6 * value->len + 16; /* every byte of it escaped */

    clean(value);
    if (value->len == 0 || line->max - line->len < worst)
        return;
    puts_to(line, in_json ? ",\"" : " ");
    put(line, key, key_len);
    puts_to(line, in_json ? "\":" : "=");
    if (in_json ? number : !needs_quotes(value))
        put(line, value->at, value->len);
    else
        put_quoted(line, value);
}

static void put_head(struct text *line, enum pkd_level level)
{
    struct timespec now;
    struct tm utc;
    char seconds[32], time[48];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(time, sizeof time, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
    puts_to(line, in_json ? "{\"time\":\"" : "");
    puts_to(line, time);
    puts_to(line, in_json ? "\",\"level\":\"" : " ");
    puts_to(line, level_names[level]);
    puts_to(line, in_json ? "\",\"event\":\"" : " ");
}

static void print(enum pkd_level level, int repeated, const char *fmt, struct arguments *a)
{
    char bytes[LINE_BYTES_MAX + 8], value_bytes[VALUE_BYTES_MAX];
    struct text line = {bytes, 0, LINE_BYTES_MAX};
    const char *f = fmt + strcspn(fmt, " ");

    put_head(&line, level);
    put(&line, fmt, (size_t)(f - fmt));
    puts_to(&line, in_json ? "\"" : "");
    while (*f) {
        struct text value = {value_bytes, 0, sizeof value_bytes};
        const char *key = f + 1, *equals = strchr(key, '=');
        bool number;

        PK_ASSERT(equals); /* log.h has the form */
        f = value_of(&value, equals + 1, a, &number);
        put_pair(&line, key, (size_t)(equals - key), &value, number);
    }
    if (repeated) {
        struct text value = {value_bytes, 0, sizeof value_bytes};
        int len = snprintf(value_bytes, sizeof value_bytes, "%d", repeated);

        value.len = len > 0 ? (size_t)len : 0;
        put_pair(&line, "repeated", strlen("repeated"), &value, true);
    }
    line.max = sizeof bytes;
    puts_to(&line, in_json ? "}\n" : "\n");
    ssize_t written = write(STDERR_FILENO, bytes, line.len); /* nowhere to report a failure */
    (void)written;
}

/* --- repeated warnings ------------------------------------------------------------------------ */

static struct site {
    const char *fmt; /* which warning: there is one in the program */
    time_t since;
    int told, repeated;
} sites[SITES_MAX];
static pthread_mutex_t sites_lock = PTHREAD_MUTEX_INITIALIZER;

/* Whether to tell it; *repeated is how often it was not since it was told last. */
static bool may_tell(const char *fmt, int *repeated)
{
    struct timespec now;
    struct site *s = sites;
    bool tell = true;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)pthread_mutex_lock(&sites_lock);
    while (s < sites + SITES_MAX && s->fmt && s->fmt != fmt)
        s++;
    if (s < sites + SITES_MAX) {
        if (!s->fmt || now.tv_sec - s->since >= WINDOW_S)
            *s = (struct site){fmt, now.tv_sec, 0, s->repeated};
        tell = s->told < BURST;
        *repeated = tell ? s->repeated : 0;
        s->repeated = tell ? 0 : s->repeated + 1;
        s->told += tell;
    }
    (void)pthread_mutex_unlock(&sites_lock);
    return tell;
}

/* --- by level ------------------------------------------------------------------------------ */

#define TELL(level, repeated)                                                                      \
    do {                                                                                           \
        struct arguments a;                                                                        \
                                                                                                   \
        va_start(a.list, fmt);                                                                     \
        print(level, repeated, fmt, &a);                                                           \
        va_end(a.list);                                                                            \
    } while (0)

void pkd_debug(const char *fmt, ...)
{
    if (level_max >= PKD_DEBUG)
        TELL(PKD_DEBUG, 0);
}

void pkd_info(const char *fmt, ...)
{
    if (level_max >= PKD_INFO)
        TELL(PKD_INFO, 0);
}

void pkd_warn(const char *fmt, ...)
{
    int repeated = 0;

    if (level_max >= PKD_WARN && may_tell(fmt, &repeated))
        TELL(PKD_WARN, repeated);
}

void pkd_error(const char *fmt, ...)
{
    TELL(PKD_ERROR, 0);
}
