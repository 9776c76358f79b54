/* dialect.c - what the dialects of the mock provider share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

size_t word_len(const char *s, size_t len)
{
    size_t i = 0;

    while (i < len && strchr(" \t\r\n", s[i]))
        i++;
    while (i < len && !strchr(" \t\r\n", s[i]))
        i++;
    return i;
}

void path_name(struct ask *a, const char *from, const char *to)
{
    size_t n = 0;

    while (from < to && n + 1 < sizeof(a->name)) {
        char hex[3] = {0};

        if (*from == '%' && from + 2 < to) {
            (void)memcpy(hex, from + 1, 2);
            a->name[n++] = (char)strtol(hex, NULL, 16);
            from += 3;
        } else {
            a->name[n++] = *from++;
        }
    }
    a->model = a->name;
}

bool listed(const char *list, const char *word)
{
    char bars[128];

    (void)snprintf(bars, sizeof(bars), "|%.100s|", word);
    return strstr(list, bars) != NULL;
}

int64_t answer_number(void)
{
    static int64_t number;

    return ++number;
}

int content_tokens(const struct content *c)
{
    if (c->tool)
        return c->reasoning + 1 + words_in(c->arguments, strlen(c->arguments));
    return c->reasoning + words_in(c->text, c->len);
}

bool check_json(const struct dialect *d, const struct ask *a, struct reply *r)
{
    char type[128];

    ask_header(a, "content-type", type, sizeof(type));
    if (strncasecmp(type, "application/json", 16) != 0) {
        d->error(400, "The Content-Type must be application/json.", NULL, r);
        return false;
    }
    if (!cJSON_IsObject(a->json)) {
        d->error(400, "We could not parse the JSON body of your request.", NULL, r);
        return false;
    }
    return true;
}
