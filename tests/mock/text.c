/* text.c - growing bytes for the mock provider.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *grown(void *old, size_t size)
{
    void *block = realloc(old, size);

    if (!block) {
        (void)fprintf(stderr, "mockd: out of memory\n");
        exit(1);
    }
    return block;
}

static void room(struct text *t, size_t len)
{
    size_t need = t->len + len + 1;

    if (need <= t->cap)
        return;
    t->cap = need < 256 ? 256 : need * 2;
    t->at = grown(t->at, t->cap);
}

void text_add(struct text *t, const char *bytes, size_t len)
{
    room(t, len);
    if (len)
        memcpy(t->at + t->len, bytes, len);
    t->len += len;
    t->at[t->len] = '\0';
}

void text_adds(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_addf(struct text *t, const char *fmt, ...)
{
    va_list args;
    char *s = NULL;

    va_start(args, fmt);
    int len = vasprintf(&s, fmt, args);
    va_end(args);
    if (len < 0)
        s = grown(NULL, 0);
    text_add(t, s, (size_t)len);
    free(s);
}

void text_fill(struct text *t, char c, size_t len)
{
    room(t, len);
    memset(t->at + t->len, c, len);
    t->len += len;
    t->at[t->len] = '\0';
}

void text_quote(struct text *t, const char *bytes, size_t len)
{
    text_adds(t, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c == '"' || c == '\\')
            text_addf(t, "\\%c", c);
        else if (c < 0x20)
            text_addf(t, "\\u%04x", c);
        else
            text_add(t, bytes + i, 1);
    }
    text_adds(t, "\"");
}

void text_drop(struct text *t, size_t len)
{
    t->len -= len;
    if (t->len)
        memmove(t->at, t->at + len, t->len);
}

void text_free(struct text *t)
{
    free(t->at);
    *t = (struct text){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int words_in(const char *s, size_t len)
{
    int words = 0;

    for (size_t i = 0; i < len; i++)
        words += !is_blank(s[i]) && (i == 0 || is_blank(s[i - 1]));
    return words;
}
