/* stats.c - counts by model and path, the last request, and when the latest ones came.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 1024, RECENT_MAX = 256 };

struct counter {
    char *name;
    int64_t count;
};

struct stats stats;
static struct counter models[NAMES_MAX], paths[NAMES_MAX];
static struct text last;
static struct {
    int64_t at_ms;
    char model[80], path[120];
} recent[RECENT_MAX];

/* The last place collects what did not fit. */
static void count(struct counter *list, const char *name)
{
    size_t i = 0;

    while (i < NAMES_MAX - 1 && list[i].name && strcmp(list[i].name, name) != 0)
        i++;
    if (!list[i].name)
        list[i].name = strdup(name);
    list[i].count++;
}

static void print_counters(const struct counter *list, struct text *out)
{
    text_adds(out, "{");
    for (size_t i = 0; i < NAMES_MAX && list[i].name; i++) {
        text_adds(out, i ? "," : "");
        text_quote(out, list[i].name, strlen(list[i].name));
        text_addf(out, ":%lld", (long long)list[i].count);
    }
    text_adds(out, "}");
}

/* Lines "name: value" as an object. */
static void print_headers(const struct text *headers, struct text *out)
{
    const char *line = headers->at ? headers->at : "";

    text_adds(out, "{");
    for (int i = 0; *line; i++) {
        size_t end = strcspn(line, "\n"), colon = strcspn(line, ":");
        text_adds(out, i ? "," : "");
        text_quote(out, line, colon);
        text_adds(out, ":");
        text_quote(out, line + colon + 2, end - colon - 2);
        line += end + (line[end] == '\n');
    }
    text_adds(out, "}");
}

/* Bytes of pictures and sounds are no JSON. */
static bool is_text(const struct text *t)
{
    for (size_t i = 0; i < t->len; i++)
        if (t->at[i] == 0 || (unsigned char)t->at[i] >= 0xf8)
            return false;
    return true;
}

static void keep_last(const struct ask *a)
{
    last.len = 0;
    text_adds(&last, "{\"method\":");
    text_quote(&last, a->method, strlen(a->method));
    text_adds(&last, ",\"path\":");
    text_quote(&last, a->path, strlen(a->path));
    text_adds(&last, ",\"headers\":");
    print_headers(a->headers, &last);
    text_addf(&last, ",\"bytes\":%zu,\"crc32\":\"%08x\"", a->body->len,
              crc32_of(a->body->at, a->body->len));
    text_adds(&last, ",\"body\":");
    text_quote(&last, a->body->at ? a->body->at : "", is_text(a->body) ? a->body->len : 0);
    text_adds(&last, "}");
}

void stats_note(const struct ask *a, int64_t at_ms)
{
    size_t slot = (size_t)(stats.requests % RECENT_MAX);

    stats.requests++;
    count(models, a->model);
    count(paths, a->route);
    keep_last(a);
    recent[slot].at_ms = at_ms;
    (void)snprintf(recent[slot].model, sizeof(recent[slot].model), "%s", a->model);
    (void)snprintf(recent[slot].path, sizeof(recent[slot].path), "%s", a->path);
}

static void print_stats(struct text *out)
{
    text_addf(out, "{\"requests\":%lld,\"connections_accepted\":%lld,\"open\":%lld,",
              (long long)stats.requests, (long long)stats.connections_accepted,
              (long long)stats.open);
    text_addf(out, "\"in_flight\":%lld,\"max_in_flight\":%lld,\"aborted\":%lld,\"by_model\":",
              (long long)stats.in_flight, (long long)stats.max_in_flight, (long long)stats.aborted);
    print_counters(models, out);
    text_adds(out, ",\"by_path\":");
    print_counters(paths, out);
    text_adds(out, "}");
}

static void print_recent(struct text *out)
{
    int64_t i = stats.requests > RECENT_MAX ? stats.requests - RECENT_MAX : 0;

    text_adds(out, "[");
    for (const char *comma = ""; i < stats.requests; i++, comma = ",") {
        size_t slot = (size_t)(i % RECENT_MAX);
        text_addf(out, "%s{\"at_ms\":%lld,\"model\":", comma, (long long)recent[slot].at_ms);
        text_quote(out, recent[slot].model, strlen(recent[slot].model));
        text_adds(out, ",\"path\":");
        text_quote(out, recent[slot].path, strlen(recent[slot].path));
        text_adds(out, "}");
    }
    text_adds(out, "]");
}

bool stats_answer(const char *path, struct text *out)
{
    if (strcmp(path, "/__mock/stats") == 0)
        print_stats(out);
    else if (strcmp(path, "/__mock/recent") == 0)
        print_recent(out);
    else if (strcmp(path, "/__mock/last") == 0)
        text_adds(out, last.len ? last.at : "{}");
    else
        return false;
    return true;
}

static void forget(struct counter *list)
{
    for (size_t i = 0; i < NAMES_MAX; i++) {
        free(list[i].name);
        list[i] = (struct counter){0};
    }
}

void stats_reset(void)
{
    forget(models);
    forget(paths);
    text_free(&last);
    stats.requests = 0;
    stats.connections_accepted = stats.open;
    stats.max_in_flight = stats.in_flight;
    stats.aborted = 0;
}
