/* scenario.c - plays tests/scenario/NAME.txt against the machine.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *     config {...}       the config, as the client would send it
 *     request {...}      the body (a short chat request when not given)
 *     operation NAME [METHOD [TAIL]]  what is asked for, when it is no chat, and what follows its path
 *     options {...}      params.pk, as in SQL
 *     form NAME=TEXT...  a form in the place of the body, behind operation; NAME=@TEXT is a file
 *     type TYPE          of the body
 *     typed KIND ABOUT   a typed question about "hi" in the place of the body: KIND is extract, classify, filter or
 *                        score, ABOUT what it is about
 *     stored SLUG {...}  a stored guardrail that the config names
 *     open PATH          the circuit of a target is open
 *     latency PATH MS    what the log says of a target
 *     clock 250          a quarter of a second passes
 *     batched            it goes through a batch API
 *     limit SLUG {...}   a limit is in force
 *     key SLUG NAME [..] the virtual key SLUG is of provider NAME, for these models
 *     api_key NAME       the call comes with this API key
 *     > event            what the host reports; another start begins another call, with another seed
 *     = spans ...        what the log says of the attempts so far: STATUS, what went wrong, wait, cost
 *     = sent BODY        what is sent, at a send
 *     = url URL          and where to
 *     = feedback VALUE.. what guardrails thought of the call
 *     = outcomes ...     what counts for circuits: PATH FAILURES/ATTEMPTS
 *     = holds ...        what it holds of limits: SLUG/SUBJECT USED/SET ASIDE
 *     < op               what the machine must ask for next, behind "last" when the client has all that it
 *                        will get; '*' stands for anything
 *     = FIELD TEXT       what the log keeps in a field at the end, NULL: nothing; "span N": its message
 *
 * Events: start, hit JSON, miss, head STATUS [header: value]..., body BYTES, answer TEXT (a whole
 * chat completion), chunk TEXT and finish (pieces of a stream), frame TEXT and goodbye (of a session), end, fail network | timeout, granted,
 * refused SLUG RETRY_MS ("-": limits cannot be asked), row 1 | 0 | -1 (what a predicate says), wake, saved,
 * cancel, stop WHY. In BYTES \n is a line feed. No network, no clock, no threads: a scenario is the whole world
 * that the machine sees, so that every retry, fallback and timeout can be written down.
 */
#include "call.h"
#include "test.h"
#include "typed.h"

#include <string.h>

struct play {
    struct pk_arena arena;
    struct pk_config config;
    struct pk_request request;
    struct pk_call *call;
    struct pk_next next;
    struct pk_cache_entry entry;
    struct pk_facts facts;
    struct pk_limit limits[8];
    struct pk_reserve reserve;
    int64_t mono_us;
    uint64_t seed;
    struct pk_figures figures;
};

static const char *const event_names[] = {
    [PK_EV_START] = "start",     [PK_EV_HIT] = "hit",   [PK_EV_MISS] = "miss",
    [PK_EV_HEAD] = "head",       [PK_EV_BODY] = "body", [PK_EV_END] = "end",
    [PK_EV_FAIL] = "fail",       [PK_EV_WAKE] = "wake", [PK_EV_SAVED] = "saved",
    [PK_EV_CANCEL] = "cancel",   [PK_EV_STOP] = "stop", [PK_EV_GRANTED] = "granted",
    [PK_EV_REFUSED] = "refused", [PK_EV_ROW] = "row",
};

static const struct pk_price price_rows[] = {
    {.provider = {"anthropic", 9}, .model = {"m", 1}, .input = 3000000, .output = 4000000},
    {.provider = {"openai", 6},
     .model = {"m", 1},
     .input = 1000000,
     .output = 2000000,
     .input_batch = -1,
     .output_batch = 700000},
    {.provider = {"openai", 6}, .model = {"terse", 5}, .input = 1, .output = 1, .max_output = 100},
    {.provider = {"openai", 6}, .model = {"text-embedding-3-small", 22}, .input = 20000},
};

/* "\n" becomes a line feed. */
static pk_str unescaped(struct play *p, const char *text)
{
    struct pk_buf out = pk_buf_in(&p->arena, PK_BODY_BYTES_MAX);

    for (; *text; text++) {
        bool feed = text[0] == '\\' && text[1] == 'n';

        pk_buf_addc(&out, feed ? '\n' : *text);
        text += feed;
    }
    return pk_buf_str(&out);
}

static pk_str completion(struct play *p, const char *text)
{
    return pk_copyf(
        &p->arena,
        "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,"
        "\"completion_tokens\":5,\"total_tokens\":8}}",
        text);
}

static pk_str chunk(struct play *p, const char *text)
{
    return pk_copyf(&p->arena,
                    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,"
                    "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},"
                    "\"finish_reason\":null}]}\n\n",
                    text);
}

/* A whole text message from a WebSocket's server. */
static pk_str frame(struct play *p, const char *text)
{
    size_t len = strlen(text);

    if (len < 126)
        return pk_copyf(&p->arena, "\x81%c%s", (int)len, text);
    struct pk_buf out = pk_buf_in(&p->arena, 65536);
    pk_buf_adds(&out, "\x81\x7e");
    pk_buf_addc(&out, (char)(len >> 8));
    pk_buf_addc(&out, (char)len);
    pk_buf_adds(&out, text);
    return pk_buf_str(&out);
}

static const char finish[] =
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
    "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
    "\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n"
    "data: [DONE]\n\n";

/* Events that stand for a body. */
static bool shorthand(struct play *p, const char *name, const char *rest, struct pk_event *ev)
{
    ev->kind = PK_EV_BODY;
    if (strcmp(name, "answer") == 0)
        ev->bytes = completion(p, rest);
    else if (strcmp(name, "chunk") == 0)
        ev->bytes = chunk(p, rest);
    else if (strcmp(name, "finish") == 0)
        ev->bytes = PK_STR(finish);
    else if (strcmp(name, "frame") == 0)
        ev->bytes = frame(p, rest);
    else if (strcmp(name, "goodbye") == 0)
        ev->bytes = PK_STR("\x88\x02\x03\xe8");
    else
        return false;
    return true;
}

static void grant(struct play *p, struct pk_event *ev)
{
    struct pk_reserve *r = &p->reserve;

    *r = *pk_call_reserve(p->call);
    r->granted = true;
    for (int i = 0; i < r->holds.count; i++) {
        if (r->holds.rows[i].want == r->holds.rows[i].amount)
            continue;
        r->holds.rows[i].amount = r->holds.rows[i].want;
        r->holds.rows[i].slot = (struct pk_slot){1, 2};
    }
    ev->reserve = r;
}

/* "SLUG RETRY_MS", or "-" when the store does not answer. */
static void refuse(struct play *p, const char *rest, struct pk_event *ev)
{
    struct pk_reserve *r = &p->reserve;
    size_t len = strcspn(rest, " ");

    *r = *pk_call_reserve(p->call);
    ev->reserve = r;
    (void)pk_fail(&r->error, PK_STORE, "limits cannot be asked");
    for (int i = 0; i < r->holds.count; i++) {
        if (!pk_str_eq(r->holds.rows[i].limit, (pk_str){rest, len}))
            continue;
        r->refused = i;
        r->retry_after_ms = strtol(rest + len, NULL, 10);
        (void)pk_fail(&r->error, r->holds.rows[i].budget ? PK_BUDGET : PK_RATE, "%.*s is used up",
                      (int)len, rest);
    }
}

static void fill_event(struct play *p, const char *rest, struct pk_event *ev)
{
    char *headers = NULL;

    switch (ev->kind) {
    case PK_EV_HIT:
        p->entry = (struct pk_cache_entry){.similarity = p->next.op == PK_OP_NEAR ? 0.97 : 0,
                                           .body = completion(p, rest),
                                           .provider = PK_STR("openai"),
                                           .model = PK_STR("m"),
                                           .cost_known = true,
                                           .cost_pusd = 13};
        ev->entry = &p->entry;
        break;
    case PK_EV_HEAD:
        ev->status = (int)strtol(rest, &headers, 10);
        ev->headers = unescaped(p, headers + (*headers == ' '));
        break;
    case PK_EV_BODY: ev->bytes = unescaped(p, rest); break;
    case PK_EV_FAIL:
        (void)pk_fail(&ev->error, strcmp(rest, "timeout") == 0 ? PK_TIMEOUT : PK_NETWORK,
                      "openai: %s", rest);
        break;
    case PK_EV_STOP: (void)pk_fail(&ev->error, PK_SHUTDOWN, "%s", rest); break;
    case PK_EV_GRANTED: grant(p, ev); break;
    case PK_EV_REFUSED: refuse(p, rest, ev); break;
    case PK_EV_ROW: ev->truth = (int)strtol(rest, NULL, 10); break;
    case PK_EV_START:
    case PK_EV_MISS:
    case PK_EV_END:
    case PK_EV_WAKE:
    case PK_EV_SAVED:
    case PK_EV_CANCEL: break;
    }
}

static bool read_event(struct play *p, const char *line, struct pk_event *ev)
{
    char name[16];
    int skip = 0;

    *ev = (struct pk_event){0};
    if (sscanf(line, "%15s%n", name, &skip) != 1)
        return false;
    const char *rest = line + skip + (line[skip] == ' ');
    if (shorthand(p, name, rest, ev))
        return true;
    for (size_t i = 0; i < PK_COUNT(event_names); i++)
        if (strcmp(name, event_names[i]) == 0) {
            ev->kind = (enum pk_event_kind)i;
            fill_event(p, rest, ev);
            return true;
        }
    return false;
}

static void show_done(const struct play *p, char *text, size_t size)
{
    const struct pk_record *r = pk_call_record(p->call);
    char usd[32] = "?";

    if (r->cost_known)
        pk_usd_print(r->cost_pusd, usd);
    (void)snprintf(text, size, "done %d %s attempts=%d by=%.*s cache=%s cost=%s%s%.*s%s%.*s",
                   r->http_status, pk_status_name(r->status), r->attempts, PK_FMT(r->target_path),
                   pk_cache_status_name(r->cache_status), usd,
                   r->guardrail_verdict.len ? " verdict=" : "", PK_FMT(r->guardrail_verdict),
                   r->error_message.len ? " " : "", PK_FMT(r->error_message));
}

/* The target's path, or who else is asked, and for what it is asked that. */
static void show_send(const struct pk_exchange *ex, char *text, size_t size)
{
    if (ex->target->path.len && !pk_str_ends(ex->url, "/moderations"))
        (void)snprintf(text, size, "send %.*s", PK_FMT(ex->target->path));
    else
        (void)snprintf(text, size, "send %.*s %.*s", PK_FMT(ex->url),
                       PK_FMT(pk_str_sub(ex->body, 0, 200)));
}

static void show_reserve(const struct play *p, char *text, size_t size)
{
    const struct pk_reserve *r = pk_call_reserve(p->call);
    int len = snprintf(text, size, "reserve");

    for (int i = 0; i < r->holds.count; i++) {
        const struct pk_hold *h = &r->holds.rows[i];

        if (h->want != h->amount)
            len += snprintf(text + len, size - (size_t)len, " %.*s/%.*s=%lld", PK_FMT(h->limit),
                            PK_FMT(h->subject), (long long)h->want);
    }
}

static void show_holds(const struct play *p, char *text, size_t size)
{
    const struct pk_record *r = pk_call_logged(p->call);
    int len = snprintf(text, size, "holds");

    for (int i = 0; i < r->holds.count; i++) {
        const struct pk_hold *h = &r->holds.rows[i];

        len += snprintf(text + len, size - (size_t)len, " %.*s/%.*s %lld/%lld", PK_FMT(h->limit),
                        PK_FMT(h->subject), (long long)h->used, (long long)h->amount);
    }
}

static void show_next(const struct play *p, char *text, size_t size)
{
    static const char *const names[] = {
        [PK_OP_LOOKUP] = "lookup", [PK_OP_NEAR] = "near",       [PK_OP_SEND] = "send",
        [PK_OP_READ] = "read",     [PK_OP_SLEEP] = "sleep",     [PK_OP_SAVE] = "save",
        [PK_OP_DONE] = "done",     [PK_OP_RESERVE] = "reserve", [PK_OP_QUERY] = "query"};
    const struct pk_next *n = &p->next;
    char op[400];

    (void)snprintf(op, sizeof op, "%s", names[n->op]);
    if (n->op == PK_OP_SEND)
        show_send(pk_call_exchange(p->call), op, sizeof op);
    else if (n->op == PK_OP_QUERY)
        (void)snprintf(op, sizeof op, "query %.*s", PK_FMT(pk_call_query(p->call)->text));
    else if (n->op == PK_OP_NEAR)
        (void)snprintf(op, sizeof op, "near %d numbers, %.2f", pk_call_vector(p->call)->dims,
                       pk_call_threshold(p->call));
    else if (n->op == PK_OP_SAVE && pk_call_vector(p->call))
        (void)snprintf(op, sizeof op, "save with vector");
    else if (n->op == PK_OP_SLEEP)
        (void)snprintf(op, sizeof op, "sleep %lld", (long long)(n->until_ms - p->mono_us / 1000));
    else if (n->op == PK_OP_RESERVE)
        show_reserve(p, op, sizeof op);
    else if (n->op == PK_OP_DONE)
        show_done(p, op, sizeof op);
    (void)snprintf(text, size, "%s%s%s%s%.*s", n->open ? "open " : "", n->last ? "last " : "", op,
                   n->out.len ? " out=" : "", PK_FMT(n->out));
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = '|';
}

static void show_spans(const struct play *p, char *text, size_t size)
{
    const struct pk_record *r = pk_call_record(p->call);
    int len = snprintf(text, size, "spans");

    for (int i = 0; i < r->span_count; i++) {
        const struct pk_span *s = &r->spans[i];
        char usd[32] = "?";

        if (s->cost_known)
            pk_usd_print(s->cost_pusd, usd);
        len += snprintf(text + len, size - (size_t)len, "%s %d %s wait=%lld cost=%s", i ? "," : "",
                        s->status, pk_code_name(s->code), (long long)s->wait_ms, usd);
    }
}

static void show_outcomes(const struct play *p, char *text, size_t size)
{
    const struct pk_record *r = pk_call_record(p->call);
    int len = snprintf(text, size, "outcomes");

    for (int i = 0; i < r->outcome_count; i++)
        len += snprintf(text + len, size - (size_t)len, " %.*s %d/%d",
                        PK_FMT(r->outcomes[i].target_path), r->outcomes[i].failures,
                        r->outcomes[i].attempts);
}

/* '*' stands for anything. */
static bool matches(const char *want, const char *got)
{
    size_t n = strcspn(want, "*");

    if (strncmp(want, got, n) != 0)
        return false;
    for (want += n, got += n; *want == '*'; want += n, got += n) {
        want++;
        n = strcspn(want, "*");
        if (want[n] == 0 && n)
            got += strlen(got) > n ? strlen(got) - n : 0;
        got = n ? memmem(got, strlen(got), want, n) : got + (want[0] ? 0 : strlen(got));
        if (!got)
            return false;
    }
    return *got == 0;
}

/* Compares one field of what the log keeps, "FIELD TEXT". */
static bool kept(const struct play *p, const char *line)
{
    const struct pk_record *r = pk_call_logged(p->call);
    const struct {
        const char *name;
        const pk_str *text;
    } fields[] = {
        {"request ", &r->request},         {"response ", &r->response},
        {"metadata ", &r->metadata},       {"error_message ", &r->error_message},
        {"user_id ", &r->user_id},         {"prompt ", &r->prompt},
        {"cost_reason ", &r->cost_reason}, {"span 0 ", &r->spans[0].message},
        {"span 1 ", &r->spans[1].message},
    };
    char got[4000] = "no such field";

    for (size_t i = 0; i < PK_COUNT(fields); i++) {
        size_t len = strlen(fields[i].name);
        pk_str text = fields[i].text->len ? *fields[i].text : PK_STR("NULL");

        if (strncmp(line, fields[i].name, len) != 0)
            continue;
        (void)snprintf(got, sizeof got, "%.*s", PK_FMT(text));
        line += len;
        break;
    }
    if (matches(line, got))
        return true;
    printf("# expected: %s\n# kept:     %s\n", line, got);
    return false;
}

static bool make_call(struct play *p)
{
    struct pk_error err = {0};

    if (p->request.body.len == 0 &&
        (!p->request.operation || p->request.operation == &pk_operation_chat))
        p->request.body =
            PK_STR("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    p->call = pk_call_new(&p->arena, &p->config, &p->facts, &p->request, 1000000, p->seed++, &err);
    if (!p->call)
        printf("# %s\n", err.msg);
    return p->call != NULL;
}

static const struct pk_target *target_at(const struct play *p, const char *path)
{
    for (int i = 0; i < p->config.target_count; i++)
        if (strncmp(path, p->config.targets[i].path.at, strcspn(path, " ")) == 0)
            return &p->config.targets[i];
    return NULL;
}

static bool open_circuit(struct play *p, const char *path)
{
    const struct pk_target *t = target_at(p, path);

    if (t)
        p->config.open |= (uint64_t)1 << t->node;
    return t != NULL;
}

static bool measure(struct play *p, const char *line)
{
    const struct pk_target *t = target_at(p, line);

    if (!t)
        return false;
    p->figures.list[p->figures.count++] = (struct pk_measure){
        pk_figure_id(t->path, pk_str_of(t->provider->name), PK_STR("m")),
        {.latency_us = strtol(line + t->path.len, NULL, 10) * 1000, .cost_pusd = -1}};
    p->config.figures = &p->figures;
    return true;
}

/* As a host resolves it, with openai as the embedder that the environment names. */
static bool read_config(struct play *p, pk_str text, struct pk_error *err)
{
    bool ok = pk_config_parse(&p->arena, text, &p->config, err) &&
              pk_config_embed(&p->arena, PK_STR("openai"), &p->config, err);

    for (int i = 0; ok && i < p->config.embedder_count; i++)
        ok = pk_embedder_ready(&p->config.embedders[i], err);
    return ok;
}

/* "SLUG {...}" */
static bool add_limit(struct play *p, const char *rest, struct pk_error *err)
{
    size_t len = strcspn(rest, " ");
    int n = p->facts.limits.count;

    if (n == (int)PK_COUNT(p->limits) ||
        !pk_limit_read(&p->arena, pk_copy(&p->arena, (pk_str){rest, len}),
                       pk_copy(&p->arena, pk_str_of(rest + len)), &p->limits[n], err))
        return false;
    pk_limits_sort(p->limits, n + 1);
    p->facts.limits = (struct pk_limits){p->limits, n + 1};
    return true;
}

/* "SLUG PROVIDER [MODELS]": what the store says of a virtual key. */
static bool bind_key(struct play *p, const char *rest, struct pk_error *err)
{
    char slug[32], name[32];
    int skip = 0;
    struct pk_json doc;

    if (sscanf(rest, "%31s %31s%n", slug, name, &skip) != 2)
        return false;
    pk_str models = pk_copy(&p->arena, pk_str_trim(pk_str_of(rest + skip)));
    for (int i = 0; i < p->config.target_count; i++) {
        struct pk_target *t = &p->config.targets[i];

        if (!pk_str_is(t->virtual_key, slug))
            continue;
        if (!pk_config_bind(t, pk_provider_find(pk_str_of(name)), t->key, PK_NONE, err))
            return false;
        if (models.len && (!pk_json_parse(&p->arena, models, "models", &doc, err) ||
                           !pk_models_read(&p->arena, &doc, 0, "models", &t->models.allowed,
                                           &t->models.allowed_count, err)))
            return false;
    }
    return true;
}

/* "SLUG BODY", for every list that names the slug. */
static bool store_guardrail(struct play *p, const char *line, struct pk_error *err)
{
    size_t len = strcspn(line, " ");
    int found = 0;

    for (struct pk_guards *list = p->config.guards; list; list = list->next) {
        for (int i = 0; i < list->count; i++) {
            struct pk_guardrail *g = &list->list[i];

            if (!pk_str_eq(g->slug, (pk_str){line, len}))
                continue;
            found++;
            if (!pk_guardrail_parse(&p->arena, pk_str_of(line + len + 1), g, err))
                return false;
        }
        pk_guards_settle(list);
    }
    return found > 0;
}

/* "NAME [METHOD [TAIL]]" */
static bool choose_operation(struct play *p, const char *line)
{
    static const char *const methods[] = {[PK_POST] = "POST",
                                          [PK_GET] = "GET",
                                          [PK_PUT] = "PUT",
                                          [PK_PATCH] = "PATCH",
                                          [PK_DELETE] = "DELETE"};
    char name[32], method[16] = "POST", tail[200] = "";

    if (sscanf(line, "%31s %15s %199s", name, method, tail) < 1)
        return false;
    p->request.operation = pk_operation_find(pk_str_of(name));
    p->request.tail = pk_copy(&p->arena, pk_str_of(tail));
    for (size_t i = 0; i < PK_COUNT(methods); i++)
        if (strcmp(methods[i], method) == 0)
            p->request.method = (enum pk_method)i;
    if (p->request.method == PK_GET || p->request.method == PK_DELETE)
        p->request.body = PK_NONE;
    return p->request.operation != NULL;
}

static void build_form(struct play *p, const char *line)
{
    struct pk_buf out = pk_buf_in(&p->arena, PK_BODY_BYTES_MAX);

    for (size_t len; *line; line += len + (line[len] == ' ')) {
        size_t name = strcspn(line, "=");
        bool file = line[name + 1] == '@';

        len = strcspn(line, " ");
        pk_buf_addf(&out, "--B\r\nContent-Disposition: form-data; name=\"%.*s\"%s\r\n\r\n%.*s\r\n",
                    (int)name, line, file ? "; filename=\"f\"" : "", (int)(len - name - 1 - file),
                    line + name + 1 + file);
    }
    pk_buf_adds(&out, "--B--\r\n");
    p->request.body = pk_buf_str(&out);
    p->request.content_type = PK_STR("multipart/form-data; boundary=B");
}

static bool ask_typed(struct play *p, const char *line)
{
    static const struct {
        const char *name;
        bool (*build)(struct pk_arena *, const struct pk_typed_args *, struct pk_request *,
                      struct pk_error *);
    } kinds[] = {{"extract ", pk_typed_extract},
                 {"classify ", pk_typed_classify},
                 {"filter ", pk_typed_filter},
                 {"score ", pk_typed_score}};
    struct pk_typed_args args = {.text = PK_STR("hi"), .params = PK_STR("{\"model\":\"m\"}")};
    struct pk_error err = {0};

    for (size_t i = 0; i < PK_COUNT(kinds); i++) {
        if (strncmp(line, kinds[i].name, strlen(kinds[i].name)) != 0)
            continue;
        args.about = pk_copy(&p->arena, pk_str_of(line + strlen(kinds[i].name)));
        return kinds[i].build(&p->arena, &args, &p->request, &err);
    }
    return false;
}

/* What makes a call of another kind than a chat. */
static bool kind_setting(struct play *p, const char *line, bool *ok)
{
    if (strncmp(line, "operation ", 10) == 0)
        *ok = choose_operation(p, line + 10);
    else if (strncmp(line, "typed ", 6) == 0)
        *ok = ask_typed(p, line + 6);
    else if (strncmp(line, "form ", 5) == 0)
        build_form(p, line + 5);
    else if (strncmp(line, "type ", 5) == 0)
        p->request.content_type = pk_copy(&p->arena, pk_str_of(line + 5));
    else
        return false;
    return true;
}

static bool setting(struct play *p, const char *line, bool *done)
{
    struct pk_error err = {0};
    struct pk_request from = {0};
    bool ok = true;

    *done = true;
    if (strncmp(line, "config ", 7) == 0) {
        ok = read_config(p, pk_str_of(line + 7), &err);
        p->config.circuit = PK_STR("test");
        p->figures.count = 0;
    } else if (strncmp(line, "open ", 5) == 0) {
        ok = open_circuit(p, line + 5);
    } else if (strncmp(line, "stored ", 7) == 0) {
        ok = store_guardrail(p, line + 7, &err);
    } else if (strncmp(line, "latency ", 8) == 0) {
        ok = measure(p, line + 8);
    } else if (strncmp(line, "request ", 8) == 0) {
        p->request.body = pk_copy(&p->arena, pk_str_of(line + 8));
    } else if (strncmp(line, "options ", 8) == 0) {
        pk_str body = p->request.body;
        const struct pk_operation *operation = p->request.operation;
        pk_str params = pk_copyf(&p->arena, "{\"pk\":%s}", line + 8);

        ok = pk_request_chat(&p->arena, PK_STR("[]"), params, false, &from, &err);
        p->request = from;
        p->request.body = body;
        p->request.operation = operation;
    } else if (strcmp(line, "batched") == 0) {
        p->request.batched = true;
    } else if (strncmp(line, "limit ", 6) == 0) {
        ok = add_limit(p, line + 6, &err);
    } else if (strncmp(line, "key ", 4) == 0) {
        ok = bind_key(p, line + 4, &err);
    } else if (strncmp(line, "api_key ", 8) == 0) {
        p->request.api_key = pk_copy(&p->arena, pk_str_of(line + 8));
    } else if (strncmp(line, "clock ", 6) == 0) {
        p->mono_us += strtol(line + 6, NULL, 10) * 1000;
    } else if (!kind_setting(p, line, &ok)) {
        *done = false;
    }
    if (!ok)
        printf("# %s\n", err.msg);
    return ok;
}

static void show_sent(const struct play *p, char *text, size_t size)
{
    (void)snprintf(text, size, "sent %.*s", PK_FMT(pk_call_exchange(p->call)->body));
}

static void show_url(const struct play *p, char *text, size_t size)
{
    const struct pk_exchange *ex = pk_call_exchange(p->call);

    (void)snprintf(text, size, "url %.*s", PK_FMT(ex->url));
}

static void show_feedback(const struct play *p, char *text, size_t size)
{
    const struct pk_record *r = pk_call_record(p->call);
    int len = snprintf(text, size, "feedback");

    for (int i = 0; i < r->feedback_count; i++)
        len += snprintf(text + len, size - (size_t)len, " %lld", (long long)r->feedback[i].value);
}

/* What is shown at any time; false for a field of the log. */
static bool show_list(const struct play *p, const char *line, char *text, size_t size)
{
    static const struct {
        const char *name;
        void (*show)(const struct play *, char *, size_t);
    } lists[] = {
        {"= spans", show_spans}, {"= outcomes", show_outcomes}, {"= holds", show_holds},
        {"= sent", show_sent},   {"= feedback", show_feedback}, {"= url", show_url},
    };

    for (size_t i = 0; i < PK_COUNT(lists); i++)
        if (strncmp(line, lists[i].name, strlen(lists[i].name)) == 0) {
            lists[i].show(p, text, size);
            return true;
        }
    return false;
}

/* When a wait for the provider ends. */
static int64_t give_up_ms(const struct play *p)
{
    int64_t idle_ms = p->next.idle_ms ? p->mono_us / 1000 + p->next.idle_ms : INT64_MAX;

    return idle_ms < p->next.until_ms ? idle_ms : p->next.until_ms;
}

static bool play_line(struct play *p, const char *line)
{
    struct pk_event ev;
    char got[4000];
    bool done;

    if (!setting(p, line, &done) || done)
        return done;
    if (line[0] == '>' && read_event(p, line + 2, &ev)) {
        if ((ev.kind == PK_EV_START || !p->call) && !make_call(p))
            return false;
        if (ev.kind == PK_EV_WAKE || (ev.kind == PK_EV_FAIL && ev.error.code == PK_TIMEOUT))
            p->mono_us = give_up_ms(p) * 1000;
        (void)pk_call_step(p->call, p->mono_us, &ev, &p->next);
        return true;
    }
    if (line[0] == '=' && p->call && !show_list(p, line, got, sizeof got))
        return kept(p, line + 2);
    if (line[0] != '=')
        show_next(p, got, sizeof got);
    if ((line[0] == '<' || line[0] == '=') && matches(line + 2, got))
        return true;
    printf("# expected: %s\n# got:      %s\n", line, got);
    return false;
}

static bool play_file(const char *path, bool torture)
{
    FILE *f = fopen(path, "r");
    char line[8000];
    struct play p = {.mono_us = 5000000,
                     .seed = 7,
                     .facts = {.prices = {.rows = price_rows, .count = PK_COUNT(price_rows)}}};
    int number = 0;
    bool ok = f != NULL;

    pk_arena_init(&p.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    p.arena.torture = torture;
    while (ok && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        number++;
        if (line[0] && line[0] != '#')
            ok = play_line(&p, line);
    }
    if (!ok)
        printf("# %s:%d\n", path, number);
    ok = ok && p.call && p.next.op == PK_OP_DONE;
    pk_arena_free(&p.arena);
    if (f)
        (void)fclose(f);
    return ok;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = strrchr(argv[i], '/');
        bool ok = play_file(argv[i], false) && play_file(argv[i], true);

        printf("%s scenario %s\n", ok ? "ok" : "not ok", name ? name + 1 : argv[i]);
        test_failures += !ok;
    }
    return test_end();
}
