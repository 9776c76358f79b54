/* ask.h - one request as the mock provider understands it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_ASK_H
#define MOCK_ASK_H

#include "text.h"

#include <cjson/cJSON.h>

struct dialect;

enum { ASK_KEY_MAX = 256, ASK_PATH_MAX = 2048 };

struct ask {
    const char *method;
    const char *path;           /* as it was sent */
    const struct text *headers; /* "name: value\n", names in lower case */
    const struct text *body;
    const struct dialect *dialect;
    char route[ASK_PATH_MAX];   /* the path without prefixes and query */
    char plan[512];             /* what to do: from /m/PLAN/, else the model's name */
    int64_t wait_ms, jitter_ms; /* from /d/MS/ and /j/MS/ */
    cJSON *json;
    const char *model;     /* never NULL */
    char name[512];        /* the model's, where it stands in the path */
    char key[ASK_KEY_MAX]; /* the provider key; empty when none came */
    bool stream, usage;    /* usage: the stream shall end with it */
    int n;                 /* choices wanted */
    struct text user;      /* text of the last user turn */
    int prompt_tokens;
};

/* Splits prefixes from the path: /d/MS, /j/MS, /m/PLAN. */
void ask_route(struct ask *a);
/* The value of a header into `out`, or an empty string. */
void ask_header(const struct ask *a, const char *name, char *out, size_t size);
/* Reads a body with "model", "messages" and "stream" in it: counts the words of all messages and notes
 * the last user turn. */
void ask_read(struct ask *a);
/* Words of a text, or of all texts of a list of parts. */
int ask_words(const cJSON *v);
void ask_free(struct ask *a);

/* Text of a message's content: a string, or the "text" parts of an array. */
void content_text(const cJSON *content, struct text *out);

/* The content of a field of a form; NULL: it has none of that name. */
const char *form_field(const struct ask *a, const char *name, size_t *len);
/* As zlib and PNG have it. */
uint32_t crc32_of(const char *at, size_t len);

/* Readers that accept NULL and the wrong type. */
const char *json_text(const cJSON *object, const char *name); /* NULL when it is no string */
bool json_true(const cJSON *object, const char *name);

#endif
