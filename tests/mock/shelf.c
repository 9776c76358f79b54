/* shelf.c - OpenAI's files and fine-tuning jobs, as platform.openai.com/docs/api-reference has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * /anything?status=418&type=text/plain&bytes=9
 * answers with what it was sent, or with so many bytes.
 */
#include "shelf.h"

#include "batch.h"
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MAX = 512 };

static struct kept {
    char name[128], purpose[64];
    struct text bytes;
    bool there;
} files[KEPT_MAX];
static int file_count;

void shelf_reset(void)
{
    for (int i = 0; i < file_count; i++)
        text_free(&files[i].bytes);
    memset(files, 0, sizeof(files));
    file_count = 0;
}

int shelf_keep(const char *name, const char *purpose, const char *at, size_t len)
{
    struct kept *f = &files[file_count % KEPT_MAX];

    text_free(&f->bytes);
    *f = (struct kept){.there = true};
    (void)snprintf(f->name, sizeof(f->name), "%s", name);
    (void)snprintf(f->purpose, sizeof(f->purpose), "%s", purpose);
    text_add(&f->bytes, at, len);
    return file_count++;
}

static void print_file(int i, struct text *out)
{
    text_addf(out,
              "{\"id\":\"file-%d\",\"object\":\"file\",\"bytes\":%zu,\"created_at\":1700000000,"
              "\"filename\":\"%s\",\"purpose\":\"%s\",\"status\":\"processed\"}",
              i, files[i].bytes.len, files[i].name, files[i].purpose);
}

static void not_found(struct reply *r)
{
    openai.error(404, "No such object.", "id", r);
}

static void upload(const struct ask *a, struct reply *r)
{
    size_t len, purpose_len;
    const char *at = form_field(a, "file", &len);
    const char *purpose = form_field(a, "purpose", &purpose_len);
    char text[64];

    r->wait_ms = batch_wait("upload");
    if (!at || !purpose) {
        openai.error(400, "'file' and 'purpose' are needed.", "file", r);
        return;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)purpose_len, purpose);
    print_file(shelf_keep("upload", text, at, len), &r->body);
}

static void list_files(struct reply *r)
{
    const char *comma = "";

    text_adds(&r->body, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < file_count && i < KEPT_MAX; i++) {
        if (!files[i].there)
            continue;
        text_adds(&r->body, comma);
        print_file(i, &r->body);
        comma = ",";
    }
    text_adds(&r->body, "],\"has_more\":false}");
}

/* The number behind `prefix` at the front of `path`, of `count`; *rest is what follows. -1: none. */
int shelf_id(const char *path, const char *prefix, int count, const char **rest)
{
    size_t len = strlen(prefix);
    char *end;

    if (strncmp(path, prefix, len) != 0)
        return -1;
    long i = strtol(path + len, &end, 10);
    *rest = end;
    return end > path + len && i >= 0 && i < count ? (int)i : -1;
}

const struct text *shelf_file(const char *id)
{
    const char *rest = "";
    int i = shelf_id(id, "file-", file_count, &rest);

    return i >= 0 && i < KEPT_MAX && files[i].there && !*rest ? &files[i].bytes : NULL;
}

static void one_file(const struct ask *a, const char *path, struct reply *r)
{
    const char *rest = "";
    int i = shelf_id(path, "/file-", file_count, &rest);

    if (i < 0 || i >= KEPT_MAX || !files[i].there) {
        not_found(r);
    } else if (strcmp(rest, "/content") == 0) {
        r->type = "application/octet-stream";
        text_addf(&r->headers, "Content-Disposition: attachment; filename=\"%s\"\r\n",
                  files[i].name);
        text_add(&r->body, files[i].bytes.at, files[i].bytes.len);
        r->wait_ms = batch_wait("read");
    } else if (strcmp(a->method, "DELETE") == 0) {
        files[i].there = false;
        text_addf(&r->body, "{\"id\":\"file-%d\",\"object\":\"file\",\"deleted\":true}", i);
    } else {
        print_file(i, &r->body);
    }
}

static void fine_tune(const struct ask *a, const char *path, struct reply *r)
{
    if (strcmp(path, "/jobs") == 0 && strcmp(a->method, "GET") == 0)
        text_adds(&r->body, "{\"object\":\"list\",\"data\":[],\"has_more\":false}");
    else
        text_addf(
            &r->body,
            "{\"id\":\"ftjob-1\",\"object\":\"fine_tuning.job\",\"model\":\"gpt-4o-mini\","
            "\"created_at\":1700000000,\"status\":\"%s\",\"training_file\":\"file-0\","
            "\"organization_id\":\"o\",\"result_files\":[],\"seed\":1,\"hyperparameters\":{}}",
            strstr(path, "/cancel") ? "cancelled" : "running");
}

/* --- /anything ------------------------------------------------------------------------------- */

static bool query(const struct ask *a, const char *name, char *out, size_t size)
{
    const char *p = strchr(a->path, '?');
    size_t len = strlen(name);

    for (; p; p = strchr(p + 1, '&')) {
        if (strncmp(p + 1, name, len) != 0 || p[1 + len] != '=')
            continue;
        (void)snprintf(out, size, "%.*s", (int)strcspn(p + len + 2, "&"), p + len + 2);
        return true;
    }
    return false;
}

static void anything(const struct ask *a, struct reply *r)
{
    static char type[128];
    char value[32];

    text_adds(&r->headers,
              "Set-Cookie: a=b\r\nX-Thing: of the provider\r\nAccess-Control-Allow-Origin: *\r\n");
    if (query(a, "status", value, sizeof(value)))
        r->status = atoi(value);
    if (query(a, "type", type, sizeof(type)))
        r->type = type;
    if (query(a, "bytes", value, sizeof(value)))
        text_fill(&r->body, 'x', strtoull(value, NULL, 10));
    else if (r->status != 204)
        (void)stats_answer("/__mock/last", &r->body);
}

/* Where in the route `part` begins; NULL: nowhere. */
static const char *below(const struct ask *a, const char *part)
{
    const char *at = strstr(a->route, part);

    return at && strchr("/", at[strlen(part)]) ? at + strlen(part) : NULL;
}

bool shelf_answer(const struct ask *a, struct reply *r)
{
    const char *rest;
    bool post = strcmp(a->method, "POST") == 0;

    if ((rest = below(a, "/anything"))) {
        anything(a, r);
    } else if (!below(a, "/files") && !below(a, "/batches") && !below(a, "/fine_tuning")) {
        return false;
    } else if (!a->key[0]) {
        openai.error(401, "You didn't provide an API key.", NULL, r);
    } else if ((rest = below(a, "/files"))) {
        if (*rest)
            one_file(a, rest, r);
        else if (post)
            upload(a, r);
        else
            list_files(r);
    } else if ((rest = below(a, "/batches"))) {
        batch_answer(a, rest, r);
    } else if ((rest = below(a, "/fine_tuning"))) {
        fine_tune(a, rest, r);
    }
    return true;
}
