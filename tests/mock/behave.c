/* behave.c - the table of behaviours, and what each does to an answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A plan is NAME[-ARG | :ARG][:OPTION=VALUE]..., for example "status-429:retry-after=2". What is no
 * name in the table (a real model's name, say) is "echo", so its options work there too.
 */
#include "behave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SEQUENCES_MAX = 4096, FIELD_MAX = 256 };

struct show {
    const struct ask *a;
    char arg[FIELD_MAX];
    const char *options; /* what follows the argument, from its ':' on */
    struct content c;
    struct text text; /* what c.text points to, unless it is the prompt */
    struct reply *r;
};

/* Where each sequence stands, by model and key. */
static struct {
    char *name;
    int next;
} sequences[SEQUENCES_MAX];

static bool option(const struct show *s, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);

    for (const char *p = s->options; *p == ':'; p += strcspn(p, ":")) {
        p++;
        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            (void)snprintf(out, size, "%.*s", (int)strcspn(p + len + 1, ":"), p + len + 1);
            return true;
        }
    }
    return false;
}

static int64_t number(const struct show *s, const char *name, int64_t otherwise)
{
    char value[FIELD_MAX];

    return option(s, name, value, sizeof(value)) ? strtoll(value, NULL, 10) : otherwise;
}

/* "40MB", "64KB", "600" */
static size_t bytes_of(const char *s, size_t otherwise)
{
    char *end;
    size_t n = strtoull(s, &end, 10);

    if (end == s)
        return otherwise;
    return n << (strncmp(end, "MB", 2) == 0 ? 20 : strncmp(end, "KB", 2) == 0 ? 10 : 0);
}

static const char *says(struct show *s, const char *text)
{
    s->text.len = 0;
    text_adds(&s->text, text);
    return s->text.at;
}

/* Spells the content in the request's dialect. */
static void say(struct show *s)
{
    if (s->text.at) {
        s->c.text = s->text.at;
        s->c.len = s->text.len;
    }
    if (s->a->stream)
        s->a->dialect->stream(s->a, &s->c, s->r);
    else
        s->a->dialect->answer(s->a, &s->c, s->r);
}

static void raw(struct show *s, int status, const char *type, const char *body)
{
    reply_reset(s->r, status);
    s->r->type = type;
    text_adds(&s->r->body, body);
}

/* --- behaviours ---------------------------------------------------------------------------- */

static void echo(struct show *s)
{
    say(s);
}

/* Pads the text until the whole body has the size (the counts in it grow by digits meanwhile); a
 * stream says so many bytes. */
static void fixed(struct show *s)
{
    size_t want = bytes_of(s->arg, 600);

    (void)says(s, "");
    for (size_t i = 0; i < want; i++)
        text_add(&s->text, i % 8 == 7 ? " " : "x", 1);
    say(s);
    for (int tries = 0; tries < 4 && !s->a->stream && s->r->body.len != want; tries++) {
        size_t len = s->text.len + want;
        s->text.len = len > s->r->body.len ? len - s->r->body.len : 0;
        say(s);
    }
}

static void refuse(struct show *s, int status)
{
    char message[FIELD_MAX];

    (void)snprintf(message, sizeof(message), "The mock was asked to answer %d.", status);
    s->a->dialect->error(status, message, NULL, s->r);
}

static void status(struct show *s)
{
    int code = atoi(s->arg);

    if (code >= 200 && code < 300)
        say(s);
    else
        refuse(s, code >= 300 && code <= 999 ? code : 500);
}

static void drop_head(struct show *s)
{
    s->r->silent = true;
    s->r->ending = END_CLOSE;
}

static void hang(struct show *s)
{
    s->r->silent = true;
    s->r->ending = END_STALL;
}

/* The place of the next answer in the sequence of this model and key. */
static int place(const struct show *s)
{
    char name[sizeof(s->a->plan) + ASK_KEY_MAX + 1];
    size_t i = 0;

    (void)snprintf(name, sizeof(name), "%s|%s", s->a->plan, s->a->key);
    while (i < SEQUENCES_MAX - 1 && sequences[i].name && strcmp(sequences[i].name, name) != 0)
        i++;
    if (!sequences[i].name)
        sequences[i].name = strdup(name);
    return sequences[i].next++;
}

static void seq(struct show *s)
{
    int n = place(s);
    char *step = s->arg;

    for (char *dash = strchr(step, '-'); n > 0 && dash; dash = strchr(step, '-'), n--)
        step = dash + 1;
    step[strcspn(step, "-")] = '\0';
    if (strcmp(step, "drop") == 0)
        drop_head(s);
    else if (strcmp(step, "hang") == 0)
        hang(s);
    else if (atoi(step) >= 300)
        refuse(s, atoi(step));
    else
        say(s);
}

static void drop_mid(struct show *s)
{
    say(s);
    s->r->keep = s->r->body.len / 2;
    s->r->ending = END_CLOSE;
}

static void slow_bytes(struct show *s)
{
    say(s);
    s->r->slow_ms = s->arg[0] ? atoi(s->arg) : 5;
}

/* A stream stops after so many events, another answer after so many bytes. */
static void stall_after(struct show *s)
{
    int n = atoi(s->arg);

    say(s);
    s->r->keep = s->r->stream ? reply_event_end(s->r, n - 1) : (size_t)n;
    s->r->ending = END_STALL;
}

static void no_end(struct show *s)
{
    say(s);
    s->r->keep = s->r->stream ? reply_event_end(s->r, s->r->events / 2 - 1) : s->r->body.len / 2;
    if (!s->r->stream)
        s->r->body.len = s->r->keep;
    else
        s->r->events = s->r->events / 2;
}

static void html(struct show *s)
{
    raw(s, 200, "text/html", "<!DOCTYPE html><html><body><h1>It works!</h1></body></html>");
}

static void empty(struct show *s)
{
    raw(s, 200, NULL, "");
}

/* Whole as HTTP, cut as JSON: in a stream the event in the middle. */
static void truncated_json(struct show *s)
{
    say(s);
    if (!s->a->stream) {
        s->r->body.len /= 2;
        if (s->r->events) { /* a sound, in chunks */
            s->r->events = 0;
            reply_event(s->r);
        }
        return;
    }
    s->r->body.len = reply_event_end(s->r, s->r->events / 2) - 12;
    text_adds(&s->r->body, "\n\n");
    s->r->events /= 2;
    reply_event(s->r);
}

static void wrong_types(struct show *s)
{
    static const char body[] =
        "{\"id\":5,\"object\":[],\"model\":7,\"role\":{},\"choices\":{\"0\":\"x\"},"
        "\"content\":7,\"candidates\":{\"0\":\"x\"},\"stop_reason\":[],\"usage\":\"many\"}";

    raw(s, 200, NULL, "");
    if (!s->a->stream) {
        text_adds(&s->r->body, body);
        return;
    }
    s->r->type = "text/event-stream";
    text_addf(&s->r->body, "data: %s\n\n", body);
    reply_event(s->r);
}

static void error_in_200(struct show *s)
{
    refuse(s, 500);
    s->r->status = 200;
    if (!s->a->stream)
        return;
    raw(s, 200, "text/event-stream", "");
    s->a->dialect->error_event(s->r);
}

static void error_mid_stream(struct show *s)
{
    if (!s->a->stream) {
        refuse(s, 500);
        return;
    }
    say(s);
    s->r->events /= 2;
    s->r->body.len = reply_event_end(s->r, s->r->events - 1);
    s->a->dialect->error_event(s->r);
}

static void huge(struct show *s)
{
    (void)says(s, "");
    text_fill(&s->text, 'x', bytes_of(s->arg, (size_t)40 << 20));
    s->c.one_event = true;
    say(s);
}

static void bad_utf8(struct show *s)
{
    (void)says(s, "good \xff\xfe\xc3( bad");
    say(s);
}

/* Every line of the stream ends in \r\n. */
static void crlf_sse(struct show *s)
{
    struct text lines = {0};
    int event = 0;

    say(s);
    for (size_t i = 0; i < s->r->body.len; i++) {
        text_add(&lines, s->r->body.at[i] == '\n' ? "\r\n" : s->r->body.at + i,
                 s->r->body.at[i] == '\n' ? 2 : 1);
        if (event < s->r->events && i + 1 == s->r->ends[event])
            s->r->ends[event++] = lines.len;
    }
    text_free(&s->r->body);
    s->r->body = lines;
}

static void redirect(struct show *s)
{
    raw(s, 302, "text/html", "moved");
    text_adds(&s->r->headers, "Location: /v1/redirected\r\n");
}

/* A value for a property of a tool's schema. */
static void tool_value(const cJSON *schema, struct text *out)
{
    const char *type = json_text(schema, "type");

    if (type && (strcmp(type, "number") == 0 || strcmp(type, "integer") == 0))
        text_adds(out, "1");
    else if (type && strcmp(type, "boolean") == 0)
        text_adds(out, "true");
    else if (type && strcmp(type, "array") == 0)
        text_adds(out, "[]");
    else if (type && strcmp(type, "object") == 0)
        text_adds(out, "{}");
    else
        text_adds(out, "\"mock\"");
}

static void tool_arguments(const cJSON *schema, struct text *out)
{
    const cJSON *p;
    const char *comma = "";

    text_adds(out, "{");
    cJSON_ArrayForEach(p, cJSON_GetObjectItemCaseSensitive(schema, "properties"))
    {
        text_adds(out, comma);
        text_quote(out, p->string, strlen(p->string));
        text_adds(out, ":");
        tool_value(p, out);
        comma = ",";
    }
    text_adds(out, "}");
}

/* Calls the first tool that the request offers. */
static void tool_call(struct show *s)
{
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(s->a->json, "toolConfig");
    const cJSON *tools = cJSON_GetObjectItemCaseSensitive(s->a->json, "tools");
    const cJSON *tool =
        cJSON_GetArrayItem(tools ? tools : cJSON_GetObjectItemCaseSensitive(config, "tools"), 0);
    const cJSON *spec = cJSON_GetObjectItemCaseSensitive(tool, "toolSpec");
    const cJSON *function = spec ? spec : cJSON_GetObjectItemCaseSensitive(tool, "function");
    const cJSON *declared = cJSON_GetObjectItemCaseSensitive(tool, "functionDeclarations");

    if (declared)
        function = cJSON_GetArrayItem(declared, 0);
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(function, "parameters");
    const char *name = json_text(function ? function : tool, "name");

    if (spec)
        schema = cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(spec, "inputSchema"), "json");
    else if (!schema)
        schema = cJSON_GetObjectItemCaseSensitive(
            declared ? function : tool, declared ? "parametersJsonSchema" : "input_schema");
    if (schema)
        tool_arguments(schema, &s->text);
    else
        text_adds(&s->text, "{\"city\":\"Paris\"}");
    s->c.tool = name ? name : "get_weather";
    s->c.arguments = s->text.at;
    s->c.finish = "tool_calls";
    say(s);
}

/* The part number `n`, or the last one, of those between << and >>. */
static void quoted(const char *text, int n, struct text *out)
{
    const char *from = strstr(text, "<<"), *to = from ? strstr(from, ">>") : NULL;

    for (; to && n > 0; n--) {
        const char *next = strstr(to, "<<");

        if (!next || !strstr(next, ">>"))
            break;
        from = next;
        to = strstr(from, ">>");
    }
    if (to)
        text_add(out, from + 2, (size_t)(to - from - 2));
}

/* The first user turn brings its answers along: one each time that it is asked again. */
static void said(struct show *s)
{
    const cJSON *turns = cJSON_GetObjectItemCaseSensitive(s->a->json, "messages"), *turn;
    struct text first = {0};
    int again = 0;

    if (strcmp(s->arg, "plain") == 0 &&
        cJSON_GetObjectItemCaseSensitive(s->a->json, "response_format")) {
        s->a->dialect->error(400, "This model has no response_format.", "response_format", s->r);
        return;
    }
    cJSON_ArrayForEach(turn, turns)
    {
        const char *role = json_text(turn, "role");

        again += role && strcmp(role, "assistant") == 0;
        if (!first.len && role && strcmp(role, "user") == 0)
            content_text(cJSON_GetObjectItemCaseSensitive(turn, "content"), &first);
    }
    if (first.at)
        quoted(first.at, again, &s->text);
    text_free(&first);
    say(s);
}

static void headers_echo(struct show *s)
{
    text_add(&s->text, s->a->headers->at, s->a->headers->len);
    say(s);
}

static void body_echo(struct show *s)
{
    text_add(&s->text, s->a->body->at, s->a->body->len);
    say(s);
}

/* --- the table ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct behaviour {
    const char *name;
    void (*act)(struct show *s);
    const char *help;
} behaviours[] = {
    {"echo",             echo,             "the text of the last user turn; the default"},
    {"fixed",            fixed,            "fixed-600: a body of exactly 600 bytes"},
    {"status",           status,           "status-503: an error with this status"},
    {"seq",              seq,              "seq-503-drop-200: one a request, the last for ever; counted by model and key"},
    {"hang",             hang,             "never answers"},
    {"drop-head",        drop_head,        "closes before answering"},
    {"drop-mid",         drop_mid,         "closes in the middle of the body or stream"},
    {"no-end",           no_end,           "half of the answer, as if it were whole"},
    {"slow-bytes",       slow_bytes,       "slow-bytes:5ms: one byte each 5 ms"},
    {"stall-after",      stall_after,      "stall-after:3: silent for ever after 3 events (3 bytes of JSON)"},
    {"html-200",         html,             "a web page with status 200"},
    {"empty-200",        empty,            "an empty body with status 200"},
    {"truncated-json",   truncated_json,   "JSON that stops half-way"},
    {"wrong-types",      wrong_types,      "JSON with every field of a wrong type"},
    {"error-in-200",     error_in_200,     "an error body with status 200"},
    {"error-mid-stream", error_mid_stream, "an error event after half of the stream"},
    {"huge",             huge,             "huge:40MB: a text of this size"},
    {"big-event",        huge,             "big-event:10MB: the same; a stream sends it in one event"},
    {"bad-utf8",         bad_utf8,         "text that is not UTF-8"},
    {"crlf-sse",         crlf_sse,         "a stream whose lines end in CR LF"},
    {"redirect",         redirect,         "302 to /v1/redirected"},
    {"tool-call",        tool_call,        "calls the first tool of the request"},
    {"said",             said,             "what stands between << and >> in the first user turn; asked again, the next; said-plain knows no response_format"},
    {"headers-echo",     headers_echo,     "answers with the request's headers, 'name: value' lines"},
    {"body-echo",        body_echo,        "answers with the request's body"},
};

static const char options_help[] =
    "  d=MS j=MS           latency before the answer, and up to so much more at random\n"
    "  tick=MS             between the events of a stream\n"
    "  words=N             an answer of N words\n"
    "  cached=N            so many prompt tokens came from the provider's cache\n"
    "  reasoning=N         so many completion tokens were thought\n"
    "  finish=length       the reason why the answer ended, in OpenAI's words\n"
    "  usage=off           no token counts\n"
    "  vectors=WHAT        embeddings with a \"text\" or a number too \"large\" in them, \"fewer\", or \"empty\"\n"
    "  retry-after=S retry-after-ms=MS x-ms-retry-after-ms=MS retry-date=S\n"
    "                      on an error: when to try again (retry-date: as an HTTP date)\n";
/* clang-format on */

void behave_help(void)
{
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++)
        printf("  %-19s %s\n", behaviours[i].name, behaviours[i].help);
    printf("\nOptions, behind any of them or any other model name (echo:words=50:tick=10):\n%s",
           options_help);
}

static const struct behaviour *find(const char *plan, size_t *len)
{
    const struct behaviour *best = &behaviours[0];

    *len = 0;
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
        size_t n = strlen(behaviours[i].name);
        if (n > *len && strncmp(plan, behaviours[i].name, n) == 0 && strchr(":-", plan[n])) {
            best = &behaviours[i];
            *len = n;
        }
    }
    return best;
}

/* Splits the plan behind the name into argument and options. */
static void split(struct show *s, const char *rest)
{
    size_t len = strcspn(rest + (*rest != '\0'), ":") + (*rest != '\0');
    const char *equals = memchr(rest, '=', len);

    s->options = rest;
    if (*rest == '\0' || equals)
        return;
    (void)snprintf(s->arg, sizeof(s->arg), "%.*s", (int)(len - 1), rest + 1);
    s->options = rest + len;
}

static void read_options(struct show *s)
{
    static char finish[FIELD_MAX], vectors[FIELD_MAX];
    int64_t words = number(s, "words", 0);
    char off[FIELD_MAX];

    for (int64_t i = 0; i < words; i++)
        text_addf(&s->text, "%sword%lld", i ? " " : "", (long long)i);
    s->c.cached = (int)number(s, "cached", 0);
    s->c.reasoning = (int)number(s, "reasoning", 0);
    s->c.no_usage = option(s, "usage", off, sizeof(off)) && strcmp(off, "off") == 0;
    if (option(s, "finish", finish, sizeof(finish)))
        s->c.finish = finish;
    if (option(s, "vectors", vectors, sizeof(vectors)))
        s->c.vectors = vectors;
    s->r->tick_ms = number(s, "tick", 0);
}

static void retry_headers(struct show *s)
{
    static const char *const names[] = {"retry-after", "retry-after-ms", "x-ms-retry-after-ms"};
    char value[FIELD_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (option(s, names[i], value, sizeof(value)))
            text_addf(&s->r->headers, "%s: %s\r\n", names[i], value);
    if (!option(s, "retry-date", value, sizeof(value)))
        return;
    time_t at = time(NULL) + atoi(value);
    struct tm tm;
    if (gmtime_r(&at, &tm) && strftime(value, sizeof(value), "%a, %d %b %Y %H:%M:%S GMT", &tm))
        text_addf(&s->r->headers, "retry-after: %s\r\n", value);
}

void behave(const struct ask *a, struct reply *r)
{
    struct show s = {.a = a, .r = r};
    size_t len;
    const struct behaviour *b = find(a->plan, &len);

    s.c = (struct content){.text = a->user.at ? a->user.at : "", .len = a->user.len};
    s.c.finish = "stop";
    if (len == 0)
        s.options = a->plan + strcspn(a->plan, ":");
    else
        split(&s, a->plan + len);
    read_options(&s);
    b->act(&s);
    if (r->status >= 300)
        retry_headers(&s);
    int64_t jitter = number(&s, "j", a->jitter_ms);
    r->wait_ms = number(&s, "d", a->wait_ms) + (jitter > 0 ? random() % (jitter + 1) : 0);
    text_free(&s.text);
}

void behave_reset(void)
{
    for (size_t i = 0; i < SEQUENCES_MAX; i++) {
        free(sequences[i].name);
        sequences[i].name = NULL;
        sequences[i].next = 0;
    }
}
