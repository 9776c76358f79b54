/* media.c - OpenAI's images, audio and text completions, as platform.openai.com/docs/api-reference has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The "text" of a behaviour is what is said: the bytes of a sound, the picture of an image. A form is read
 * just so far as is needed here.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static void error(int status, const char *message, const char *param, struct reply *r)
{
    openai.error(status, message, param, r);
}

static void error_event(struct reply *r)
{
    openai.error_event(r);
}

static void models(struct reply *r)
{
    openai.models(r);
}

static bool refuse(const char *message, const char *param, struct reply *r)
{
    error(400, message, param, r);
    return false;
}

static bool ends(const struct ask *a, const char *end)
{
    size_t len = strlen(a->route), n = strlen(end);

    return len >= n && strcmp(a->route + len - n, end) == 0;
}

/* --- requests -------------------------------------------------------------------------------- */

static void read_json(struct ask *a, const char *input)
{
    const char *text = json_text(a->json, input);

    ask_read(a);
    if (text) {
        text_free(&a->user);
        text_adds(&a->user, text);
        a->prompt_tokens = words_in(text, strlen(text));
    }
}

static void read_prompt(struct ask *a)
{
    read_json(a, "prompt");
}

static void read_input(struct ask *a)
{
    read_json(a, "input");
}

/* What a form says of its files goes as what the user said. */
static void read_form(struct ask *a)
{
    static char model[256];
    size_t len;
    const char *at = form_field(a, "model", &len);

    model[0] = '\0';
    if (at)
        (void)snprintf(model, sizeof(model), "%.*s", (int)len, at);
    a->model = model;
    a->n = 1;
    at = form_field(a, "file", &len);
    if (!at)
        at = form_field(a, "image", &len);
    text_free(&a->user);
    text_addf(&a->user, "%zu bytes, crc32 %08x", at ? len : 0, at ? crc32_of(at, len) : 0);
    at = form_field(a, "stream", &len);
    a->stream = at && len == 4 && memcmp(at, "true", 4) == 0;
    a->prompt_tokens = 14;
}

static bool check_key(const struct ask *a, struct reply *r)
{
    if (a->key[0])
        return true;
    error(401, "You didn't provide an API key.", NULL, r);
    return false;
}

static bool check_body(const struct ask *a, struct reply *r)
{
    if (!check_key(a, r) || !check_json(&openai, a, r))
        return false;
    if (!a->model[0])
        return refuse("you must provide a model parameter", NULL, r);
    return a->user.len > 0 || refuse("Missing required parameter.", "input", r);
}

static bool check_form(const struct ask *a, struct reply *r)
{
    char type[64];
    size_t len;

    ask_header(a, "content-type", type, sizeof(type));
    if (!check_key(a, r))
        return false;
    if (strncmp(type, "multipart/form-data", 19) != 0)
        return refuse("Invalid Content-Type: multipart/form-data is needed.", NULL, r);
    if (!form_field(a, "file", &len) && !form_field(a, "image", &len))
        return refuse("Missing required parameter: 'file'.", "file", r);
    return a->model[0] || ends(a, "/variations") ||
           refuse("you must provide a model parameter", NULL, r);
}

/* --- answers --------------------------------------------------------------------------------- */

static void usage(const struct ask *a, int output, struct text *out)
{
    text_addf(out,
              "\"usage\":{\"type\":\"tokens\",\"input_tokens\":%d,\"output_tokens\":%d,"
              "\"total_tokens\":%d}",
              a->prompt_tokens, output, a->prompt_tokens + output);
}

static void hear(const struct ask *a, const struct content *c, struct reply *r)
{
    size_t len;
    const char *format = form_field(a, "response_format", &len);

    reply_reset(r, 200);
    if (format && len == 4 && memcmp(format, "text", 4) == 0) {
        r->type = "text/plain; charset=utf-8";
        text_add(&r->body, c->text, c->len);
        return;
    }
    text_adds(&r->body, "{\"text\":");
    text_quote(&r->body, c->text, c->len);
    text_adds(&r->body, ",");
    if (strncmp(a->model, "whisper", 7) == 0)
        text_adds(&r->body, "\"usage\":{\"type\":\"duration\",\"seconds\":27}");
    else
        usage(a, content_tokens(c), &r->body);
    text_adds(&r->body, "}");
}

static void hear_stream(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    r->type = "text/event-stream";
    for (size_t at = 0, len; at < c->len; at += len) {
        len = word_len(c->text + at, c->len - at);
        text_adds(&r->body, "data: {\"type\":\"transcript.text.delta\",\"delta\":");
        text_quote(&r->body, c->text + at, len);
        text_adds(&r->body, "}\n\n");
        reply_event(r);
    }
    text_adds(&r->body, "data: {\"type\":\"transcript.text.done\",\"text\":");
    text_quote(&r->body, c->text, c->len);
    text_adds(&r->body, ",");
    usage(a, content_tokens(c), &r->body);
    text_adds(&r->body, "}\n\n");
    reply_event(r);
}

/* In chunks, as sounds come: one a word. */
static void speak(const struct ask *a, const struct content *c, struct reply *r)
{
    (void)a;
    reply_reset(r, 200);
    r->type = "audio/mpeg";
    for (size_t at = 0, len; at < c->len; at += len) {
        len = c->one_event ? c->len : word_len(c->text + at, c->len - at);
        text_add(&r->body, c->text + at, len);
        reply_event(r);
    }
}

static void picture(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    text_adds(&r->body, "{\"created\":1700000000,\"data\":[");
    for (int i = 0; i < a->n; i++) {
        text_adds(&r->body, i ? ",{\"b64_json\":" : "{\"b64_json\":");
        text_quote(&r->body, c->text, c->len);
        text_adds(&r->body, "}");
    }
    text_adds(&r->body, "]");
    if (!c->no_usage && strncmp(a->model, "dall-e", 6) != 0) {
        text_adds(&r->body, ",");
        usage(a, 272, &r->body);
    }
    text_adds(&r->body, "}");
}

static void picture_stream(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    r->type = "text/event-stream";
    for (int i = 0; i < 2; i++) {
        const char *type = i ? "completed" : "partial_image";

        text_addf(&r->body, "event: image_generation.%s\ndata: {\"type\":\"image_generation.%s\",",
                  type, type);
        text_adds(&r->body, "\"b64_json\":");
        text_quote(&r->body, c->text, c->len);
        if (i) {
            text_adds(&r->body, ",");
            usage(a, 272, &r->body);
        }
        text_adds(&r->body, "}\n\n");
        reply_event(r);
    }
}

static void complete_head(const struct ask *a, const char *text, size_t len, struct reply *r)
{
    text_adds(&r->body,
              "{\"id\":\"cmpl-mock\",\"object\":\"text_completion\",\"created\":1700000000,"
              "\"model\":");
    text_quote(&r->body, a->model, strlen(a->model));
    text_adds(&r->body, ",\"choices\":[{\"text\":");
    text_quote(&r->body, text, len);
}

static void complete_usage(const struct ask *a, const struct content *c, struct reply *r)
{
    int out = content_tokens(c);

    text_addf(&r->body,
              ",\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}",
              a->prompt_tokens, out, a->prompt_tokens + out);
}

static void complete(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    complete_head(a, c->text, c->len, r);
    text_addf(&r->body, ",\"index\":0,\"logprobs\":null,\"finish_reason\":\"%s\"}]", c->finish);
    complete_usage(a, c, r);
    text_adds(&r->body, "}");
}

static void complete_stream(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    r->type = "text/event-stream";
    for (size_t at = 0, len; at <= c->len; at += len ? len : 1) {
        len = at < c->len ? word_len(c->text + at, c->len - at) : 0;
        text_adds(&r->body, "data: ");
        complete_head(a, c->text + at, len, r);
        text_addf(&r->body, ",\"index\":0,\"logprobs\":null,\"finish_reason\":%s}]}\n\n",
                  at < c->len ? "null" : "\"stop\"");
        reply_event(r);
    }
    if (a->usage) {
        text_adds(&r->body,
                  "data: {\"id\":\"cmpl-mock\",\"object\":\"text_completion\",\"choices\":[]");
        complete_usage(a, c, r);
        text_adds(&r->body, "}\n\n");
        reply_event(r);
    }
    text_adds(&r->body, "data: [DONE]\n\n");
    reply_event(r);
}

static const struct {
    const char *end;
    struct dialect dialect;
} places[] = {
    {"/images/generations",
     {"images", read_prompt, check_body, picture, picture_stream, error, error_event, models}},
    {"/images/edits",
     {"edits", read_form, check_form, picture, picture_stream, error, error_event, models}},
    {"/images/variations",
     {"variations", read_form, check_form, picture, picture, error, error_event, models}},
    {"/audio/speech", {"speech", read_input, check_body, speak, speak, error, error_event, models}},
    {"/audio/transcriptions",
     {"transcriptions", read_form, check_form, hear, hear_stream, error, error_event, models}},
    {"/audio/translations",
     {"translations", read_form, check_form, hear, hear_stream, error, error_event, models}},
    {"/completions",
     {"completions", read_prompt, check_body, complete, complete_stream, error, error_event,
      models}},
};

const struct dialect *media_find(const struct ask *a)
{
    if (ends(a, "/chat/completions"))
        return NULL;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (ends(a, places[i].end))
            return &places[i].dialect;
    return NULL;
}
