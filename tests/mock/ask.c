/* ask.c - reads a request: prefixes of the path, headers, the words of the prompt.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Consumes "/LETTER/VALUE" at the front of *path. */
static bool prefix(const char **path, char letter, char *value, size_t size)
{
    const char *p = *path;

    if (p[0] != '/' || p[1] != letter || p[2] != '/')
        return false;
    size_t len = strcspn(p + 3, "/");
    (void)snprintf(value, size, "%.*s", (int)len, p + 3);
    *path = p + 3 + len;
    return true;
}

void ask_route(struct ask *a)
{
    const char *p = a->path;
    char number[32];
    bool more = true;

    while (more) {
        if (prefix(&p, 'd', number, sizeof(number)))
            a->wait_ms = strtoll(number, NULL, 10);
        else if (prefix(&p, 'j', number, sizeof(number)))
            a->jitter_ms = strtoll(number, NULL, 10);
        else
            more = prefix(&p, 'm', a->plan, sizeof(a->plan));
    }
    (void)snprintf(a->route, sizeof(a->route), "%.*s", (int)strcspn(p, "?"), p);
}

void ask_header(const struct ask *a, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    const char *line = a->headers->at;

    out[0] = '\0';
    while (line && *line) {
        size_t end = strcspn(line, "\n");
        if (strncasecmp(line, name, len) == 0 && strncmp(line + len, ": ", 2) == 0)
            (void)snprintf(out, size, "%.*s", (int)(end - len - 2), line + len + 2);
        line += end + (line[end] == '\n');
    }
}

const char *json_text(const cJSON *object, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(v) ? v->valuestring : NULL;
}

const char *form_field(const struct ask *a, const char *name, size_t *len)
{
    char pattern[128];
    const char *body = a->body->at ? a->body->at : "", *end = body + a->body->len;

    (void)snprintf(pattern, sizeof(pattern), "; name=\"%s\"", name);
    const char *at = memmem(body, a->body->len, pattern, strlen(pattern));
    at = at ? memmem(at, (size_t)(end - at), "\r\n\r\n", 4) : NULL;
    const char *boundary_end = memmem(body, a->body->len, "\r\n", 2);
    if (!at || !boundary_end)
        return NULL;
    char line[128];
    (void)snprintf(line, sizeof(line), "\r\n%.*s", (int)(boundary_end - body), body);
    at += 4;
    const char *to = memmem(at - 2, (size_t)(end - at) + 2, line, strlen(line));
    if (!to)
        return NULL;
    *len = to > at ? (size_t)(to - at) : 0;
    return at;
}

uint32_t crc32_of(const char *at, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320U : 0);
    }
    return ~crc;
}

bool json_true(const cJSON *object, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

void content_text(const cJSON *content, struct text *out)
{
    const cJSON *part;

    if (cJSON_IsString(content))
        text_adds(out, content->valuestring);
    if (!cJSON_IsArray(content))
        return;
    cJSON_ArrayForEach(part, content)
    {
        const char *text = json_text(part, "text");
        if (text)
            text_adds(out, text);
    }
}

/* So that a test can count them by hand. cJSON limits the nesting. */
int ask_words(const cJSON *v) // NOLINT(misc-no-recursion)
{
    static const char *const members[] = {"text", "content"};
    int words = cJSON_IsString(v) ? words_in(v->valuestring, strlen(v->valuestring)) : 0;
    const cJSON *item;

    if (cJSON_IsObject(v))
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
            words += ask_words(cJSON_GetObjectItemCaseSensitive(v, members[i]));
    if (cJSON_IsArray(v)) {
        cJSON_ArrayForEach(item, v) words += ask_words(item);
    }
    return words;
}

void ask_read(struct ask *a)
{
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(a->json, "messages");
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(a->json, "n");
    const char *model = json_text(a->json, "model");
    const cJSON *message;

    a->model = model ? model : "";
    cJSON_ArrayForEach(message, messages)
    {
        const char *role = json_text(message, "role");
        a->prompt_tokens += ask_words(message);
        if (!role || strcmp(role, "user") != 0)
            continue;
        text_free(&a->user);
        content_text(cJSON_GetObjectItemCaseSensitive(message, "content"), &a->user);
    }
    a->prompt_tokens += ask_words(cJSON_GetObjectItemCaseSensitive(a->json, "system"));
    a->stream = json_true(a->json, "stream");
    a->n = cJSON_IsNumber(n) && n->valueint > 0 && n->valueint <= 128 ? n->valueint : 1;
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(a->json, "stream_options");
    a->usage = json_true(options, "include_usage");
}

void ask_free(struct ask *a)
{
    cJSON_Delete(a->json);
    text_free(&a->user);
}
