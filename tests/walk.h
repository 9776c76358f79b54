/* walk.h - random legal lives of a call. Any order of legal answers must end, within bounds, and
 * keep the promises of call.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What comes next is drawn from a seed, or as long as there are some, from bytes that were chosen.
 */
#ifndef PK_WALK_H
#define PK_WALK_H

#include "call.h"
#include "test.h"
#include "typed.h"

#include <string.h>

static const char *const configs[] = {
    "{\"provider\":\"openai\",\"retry\":{\"attempts\":5},\"cache\":{\"mode\":\"simple\"}}",
    "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"provider\":\"openai\",\"retry\":{"
    "\"attempts\":2},"
    "\"request_timeout\":\"5s\"},{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{"
    "\"provider\":\"groq\"},"
    "{\"provider\":\"anthropic\",\"idle_timeout\":\"1s\"}]},{\"provider\":\"openai\",\"retry\":{"
    "\"attempts\":5}}]}",
    "{\"provider\":\"anthropic\",\"ttft_timeout\":\"2s\",\"retry\":{\"attempts\":1},"
    "\"log_payloads\":\"none\",\"log_redact\":true}",
    "{\"strategy\":{\"mode\":\"fallback\",\"on_status_codes\":[200,408,429,500,502,503]},"
    "\"cb_config\":{\"failure_threshold\":1},\"targets\":[{\"strategy\":{\"mode\":"
    "\"conditional\",\"conditions\":[{\"query\":{\"metadata.n\":{\"$gt\":4}},\"then\":\"a\"},{"
    "\"query\":{\"metadata.n\":{\"$regex\":\"[01]\"}},\"then\":\"b\"}]},\"targets\":[{\"name\":"
    "\"a\",\"provider\":\"openai\",\"retry\":{\"attempts\":1}},{\"name\":\"b\",\"strategy\":{"
    "\"mode\":\"loadbalance\",\"by\":\"cost\",\"sticky\":{\"hash_fields\":[\"metadata.n\"]}},"
    "\"targets\":[{\"provider\":\"groq\"},{\"provider\":\"anthropic\"}]}]},{\"provider\":"
    "\"openai\"},{\"provider\":\"anthropic\"}]}",
    "{\"provider\":\"google\",\"retry\":{\"attempts\":1},\"cache\":{\"mode\":\"simple\"}}",
    "{\"provider\":\"cohere\",\"retry\":{\"attempts\":1}}",
    "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"provider\":\"groq\"},{\"provider\":"
    "\"openai\",\"cache\":{\"mode\":\"semantic\",\"embedder\":{\"provider\":\"openai\",\"model\":"
    "\"e\"}"
    "}}]}",
    "{\"strategy\":{\"mode\":\"fallback\"},\"retry\":{\"attempts\":2,\"on_status_codes\":[246,446,"
    "503]},"
    "\"guardrails\":{\"input\":[{\"type\":\"webhook\",\"url\":\"http://h.example/"
    "\",\"action\":\"warn\"},"
    "\"stored\",{\"type\":\"regex\",\"pattern\":\"h\",\"action\":\"redact\"}],\"output\":[{"
    "\"type\":"
    "\"contains\",\"deny\":[\"xx\"],\"action\":\"retry\"},{\"type\":\"log\",\"url\":"
    "\"http://h.example/\",\"async\":true,\"action\":\"block\"}]},\"cache\":{\"mode\":\"simple\"},"
    "\"targets\":[{\"provider\":\"openai\",\"strict_open_ai_compliance\":false},{\"provider\":"
    "\"anthropic\",\"output_guardrails\":[{\"type\":\"contains\",\"deny\":[\"x\"],\"stream\":"
    "\"end\"}]},"
    "{\"provider\":\"openai\",\"output_guardrails\":[{\"type\":\"webhook\",\"url\":\"http://"
    "h.example/\","
    "\"action\":\"replace\",\"message\":\"no\"},{\"type\":\"word_count\",\"min\":2,\"action\":"
    "\"warn\"}],"
    "\"input_guardrails\":[{\"type\":\"log\",\"url\":\"http://h.example/\",\"async\":true}]}]}",
};

static const char *const metadata[] = {"", "{\"n\":0}", "{\"n\":3,\"team\":\"red\"}",
                                       "{\"n\":7,\"team\":1,\"_user\":\"ann\"}"};

static const struct pk_price price_rows[] = {
    {.provider = {"anthropic", 9}, .model = {"m", 1}, .input = 3, .output = 4},
    {.provider = {"openai", 6}, .model = {"m", 1}, .input = 1, .output = 2},
};

static const char *const bodies[] = {
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
};

/* What "x" is not. */
static const struct pk_typed truth = {.kind = PK_TYPED_TRUTH, .formatted = true};

/* Calls that are no chats. */
static const struct {
    const struct pk_operation *operation;
    enum pk_method method;
    const char *tail, *type, *body;
} kinds[] = {
    {&pk_operation_messages, PK_POST, "", "",
     "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"messages\":[{\"role\":\"user\","
     "\"content\":\"hi\"}]}"},
    {&pk_operation_messages, PK_POST, "", "",
     "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"},
    {&pk_operation_responses, PK_POST, "", "",
     "{\"model\":\"m\",\"input\":\"hi\",\"stream\":true}"},
    {&pk_operation_responses, PK_POST, "", "", "{\"model\":\"m\",\"input\":\"hi\"}"},
    {&pk_operation_count_tokens, PK_POST, "", "",
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"},
    {&pk_operation_speech, PK_POST, "", "", "{\"model\":\"m\",\"input\":\"hi\"}"},
    {&pk_operation_transcriptions, PK_POST, "", "multipart/form-data; boundary=B",
     "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--B--\r\n"},
    {&pk_operation_proxy, PK_POST, "/v1/x", "", "{\"model\":\"m\",\"stream\":true}"},
    {&pk_operation_proxy, PK_PUT, "/x", "image/png", "\x89PNG"},
    {&pk_operation_files, PK_GET, "/f-1/content", "", ""},
    {&pk_operation_images, PK_POST, "", "", "{\"model\":\"m\",\"prompt\":\"hi\",\"stream\":true}"},
};

/* What providers may send, whole and broken, right and wrong for whoever asked. */
static const char *const payloads[] = {
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":"
    "\"assistant\",\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,"
    "\"completion_tokens\":1}}",
    "data: "
    "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
    "data: "
    "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
    "\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
    "data: {\"error\":{\"message\":\"no\"}}\n\n",
    "{\"type\":\"message\",\"id\":\"m1\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{"
    "\"type\":\"text\",\"text\":"
    "\"x\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}",
    "event: message_start\ndata: "
    "{\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"model\":\"m\",\"usage\":{"
    "\"input_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: "
    "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
    "\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: "
    "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
    "\"text_delta\",\"text\":\"x\"}}\n\n",
    "event: message_delta\ndata: "
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{"
    "\"output_tokens\":2}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "{\"data\":[{\"embedding\":[1,2]}],\"usage\":{\"prompt_tokens\":1}}",
    "{\"data\":[{\"embedding\":[0,1e999]}]}",
    "data: "
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"responseId\":\"r\"}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},"
    "\"finishReason\":\"STOP\"}]}\n\n",
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":\"STOP\"}]}",
    "{\"choices\":[{\"message\":{\"content\":\"yes\"},\"finish_reason\":\"stop\"}]}",
    "{\"error\":{\"message\":\"no response_format\"}}",
    "{\"verdict\":false}",
    "{\"verdict\":true}",
    "{\"verdict\":true,\"transformedData\":{\"request\":{\"json\":{\"messages\":[]}}}}",
    "data: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"x\"}}}}\n\n",
    "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n",
    "{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"x\"}]},\"finish_reason\":"
    "\"COMPLETE\"}",
    "\x81\x52{\"type\":\"response.done\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_"
    "tokens\":2"
    "}}}",
    "\x01\x02{}",
    "\x88\x02\x03\xe8",
    "<html>",
    "",
    "data: ",
    "\n\n",
    "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}",
    "\xff\xfe",
};

static const char *const heads[] = {
    "content-type: text/event-stream\n", "content-type: application/json\n",
    "content-type: audio/mpeg\n",        "retry-after: 1\n",
    "retry-after-ms: 90000\n",           "",
    "sec-websocket-accept: x\n"};

struct walk {
    struct pk_arena arena;
    struct pk_config config;
    struct pk_request request;
    struct pk_call *call;
    struct pk_cache_entry entry;
    struct pk_facts facts;
    struct pk_reserve reserve;
    uint64_t random;
    pk_str choices;     /* instead of it, a byte each */
    const pk_str *said; /* instead of the payloads, said_count of them */
    size_t said_count;
    int64_t mono_us;
    bool out_seen, last_seen, granted, open_seen;
};

/* None, the first, the first two, all; the cost at groq is not known. */
static const struct pk_limit limit_rows[] = {
    {.slug = {"all", 3}, .scope = PK_LS_ALL, .window = PK_LW_MINUTE, .rolling = true},
    {.slug = {"each", 4}, .scope = PK_LS_METADATA, .key = {"team", 4}, .counts = PK_LC_TOKENS},
    {.slug = {"user", 4},
     .scope = PK_LS_USER,
     .value = {"ann", 3},
     .counts = PK_LC_COST,
     .window = PK_LW_TOTAL,
     .budget = true},
};

static unsigned roll(struct walk *w, size_t n)
{
    if (w->choices.len == 0)
        return (unsigned)(pk_random_next(&w->random) % n);
    unsigned byte = (unsigned char)w->choices.at[0];
    w->choices = pk_str_sub(w->choices, 1, w->choices.len);
    return byte % (unsigned)n;
}

static pk_str payload(struct walk *w)
{
    return w->said_count ? w->said[roll(w, w->said_count)]
                         : pk_str_of(payloads[roll(w, PK_COUNT(payloads))]);
}

/* All of it, without asking, or one of them is in the way, or nobody knows. */
static void reserve(struct walk *w, struct pk_event *ev)
{
    struct pk_reserve *r = &w->reserve;

    *r = *pk_call_reserve(w->call);
    ev->reserve = r;
    ev->kind = PK_EV_GRANTED;
    w->granted = true;
    for (int i = 0; i < r->holds.count; i++) {
        EXPECT(r->holds.rows[i].want >= 0 && r->holds.rows[i].amount >= 0);
        if (r->holds.rows[i].want == r->holds.rows[i].amount)
            continue;
        r->holds.rows[i].amount = r->holds.rows[i].want;
        r->holds.rows[i].slot = (struct pk_slot){1, 2};
    }
    if (roll(w, 6) == 0)
        ev->reserve = NULL;
    if (roll(w, 6) != 0)
        return;
    *r = *pk_call_reserve(w->call);
    *ev = (struct pk_event){.kind = PK_EV_REFUSED, .reserve = r};
    r->refused = (int)roll(w, (size_t)r->holds.count + 1) - 1;
    r->retry_after_ms = roll(w, 2000);
    (void)pk_fail(&r->error, r->refused < 0 ? PK_STORE : PK_RATE, "no");
}

static struct pk_event stop(struct walk *w)
{
    struct pk_event ev = {.kind = roll(w, 2) ? PK_EV_CANCEL : PK_EV_STOP};

    if (ev.kind == PK_EV_STOP)
        (void)pk_fail(&ev.error, PK_SHUTDOWN, "the host stops");
    return ev;
}

static struct pk_event answer(struct walk *w, const struct pk_next *next)
{
    static const int statuses[] = {200, 200, 200, 201, 400, 401, 429, 500, 503, 101, 101};
    struct pk_event ev = {0};

    if (roll(w, 40) == 0)
        return stop(w);
    switch (next->op) {
    case PK_OP_LOOKUP:
    case PK_OP_NEAR: ev.kind = roll(w, 4) ? PK_EV_MISS : PK_EV_HIT; break;
    case PK_OP_RESERVE: reserve(w, &ev); break;
    case PK_OP_SEND: ev.kind = roll(w, 6) ? PK_EV_HEAD : PK_EV_FAIL; break;
    case PK_OP_READ:
        ev.kind = roll(w, 8) == 0 ? PK_EV_FAIL : roll(w, 5) == 0 ? PK_EV_END : PK_EV_BODY;
        break;
    case PK_OP_SLEEP: ev.kind = PK_EV_WAKE; break;
    case PK_OP_QUERY: ev.kind = roll(w, 4) ? PK_EV_ROW : PK_EV_FAIL; break;
    case PK_OP_SAVE: ev.kind = PK_EV_SAVED; break;
    case PK_OP_DONE: ev.kind = PK_EV_START; break;
    }
    ev.status = statuses[roll(w, PK_COUNT(statuses))];
    ev.headers = pk_str_of(heads[roll(w, PK_COUNT(heads))]);
    ev.bytes = payload(w);
    ev.entry = &w->entry;
    w->entry.similarity = next->op == PK_OP_NEAR ? 0.96 : 0;
    ev.truth = (int)roll(w, 3) - 1;
    if (ev.kind == PK_EV_FAIL)
        (void)pk_fail(&ev.error, roll(w, 2) ? PK_NETWORK : PK_TIMEOUT, "broken");
    return ev;
}

/* Time passes: to the end of a sleep, to a deadline that is reported, or a little. */
static void tick(struct walk *w, const struct pk_next *next, const struct pk_event *ev)
{
    bool waited =
        ev->kind == PK_EV_WAKE || (ev->kind == PK_EV_FAIL && ev->error.code == PK_TIMEOUT);
    int64_t until_us = next->until_ms * 1000;

    w->mono_us += (int64_t)roll(w, 5000);
    if (waited && until_us > w->mono_us)
        w->mono_us = until_us;
}

/* A call costs what its attempts cost; its circuits have seen no more attempts than there were. */
static void keep_accounts(const struct pk_record *r)
{
    int64_t cost_pusd = 0;
    int outcomes = 0;

    for (int i = 0; i < r->span_count; i++) {
        EXPECT(r->spans[i].used || !r->spans[i].cost_known);
        EXPECT(!r->cost_known || !r->spans[i].used || r->spans[i].cost_known);
        cost_pusd += r->spans[i].cost_pusd;
    }
    EXPECT(!r->cost_known || r->cost_pusd == cost_pusd);
    EXPECT(r->cost_known == (r->cost_reason.len == 0));
    for (int i = 0; i < r->outcome_count; i++) {
        EXPECT(r->outcomes[i].failures <= r->outcomes[i].attempts);
        EXPECT(r->outcomes[i].breaker.cooldown_ms > 0 && r->circuit.len > 0);
        outcomes += r->outcomes[i].attempts;
    }
    EXPECT(outcomes <= r->attempts);
}

/* Whether what is sent is a question to another service, which limits do not ask about. */
static bool is_ask(const struct walk *w)
{
    const struct pk_target *t = pk_call_exchange(w->call)->target;

    return t < w->config.targets || t >= w->config.targets + w->config.target_count;
}

static void keep_promises(struct walk *w, const struct pk_next *next)
{
    EXPECT(!w->last_seen || next->out.len == 0);
    EXPECT(!(w->out_seen && !w->last_seen && !next->last &&
             (next->op == PK_OP_SEND || next->op == PK_OP_SLEEP || next->op == PK_OP_LOOKUP ||
              next->op == PK_OP_NEAR)));
    EXPECT(next->op != PK_OP_SEND || is_ask(w) || w->facts.limits.count == 0 || w->granted);
    EXPECT(!next->open || (!w->open_seen && !w->out_seen && next->op == PK_OP_READ));
    w->open_seen = w->open_seen || next->open;
    w->out_seen = w->out_seen || next->out.len > 0;
    w->last_seen = w->last_seen || next->last;
    if (next->op != PK_OP_DONE)
        return;
    const struct pk_record *r = pk_call_record(w->call);
    EXPECT(r->attempts <= PK_ATTEMPTS_MAX && r->span_count >= r->attempts);
    EXPECT(r->http_status >= 200 || (r->http_status == 101 && w->open_seen));
    EXPECT((r->status == PK_ST_SUCCESS) == (pk_call_error(w->call)->code == PK_OK));
    EXPECT(r->status != PK_ST_SUCCESS || w->out_seen ||
           pk_operation_is_raw(pk_request_operation(&w->request)));
    EXPECT(r->ended_us >= r->started_us && r->upstream_us <= r->ended_us - r->started_us);
    EXPECT(r->trace_id.len > 0 && r->span_id.len > 0);
    for (int i = 0; i < r->holds.count; i++)
        EXPECT(r->holds.rows[i].used >= 0 && r->holds.rows[i].slot.until_us > 0);
    for (int i = 0; i < r->span_count; i++)
        EXPECT(r->spans[i].ended_us >= r->spans[i].started_us);
    keep_accounts(r);
    struct pk_typed_value value;
    struct pk_error why = {0};
    EXPECT(r->status != PK_ST_SUCCESS || !w->request.typed ||
           pk_str_is(r->guardrail_verdict, "replaced") ||
           pk_typed_read(&w->arena, w->request.typed,
                         r->cache_status == PK_CS_HIT || r->cache_status == PK_CS_SEMANTIC_HIT
                             ? w->entry.body
                             : r->response,
                         &value, &why));
    const struct pk_record *kept = pk_call_logged(w->call);
    bool full = w->config.targets[0].privacy.payloads == PK_PAYLOADS_FULL;
    EXPECT(kept->request.len == (full ? r->request.len : 0));
    EXPECT(kept->response.len == (full ? r->response.len : 0));
}

/* What a store would say. */
static void fill_stored(struct walk *w)
{
    struct pk_error err = {0};

    for (struct pk_guards *list = w->config.guards; list; list = list->next) {
        for (int i = 0; i < list->count; i++)
            EXPECT(list->list[i].bound ||
                   pk_guardrail_parse(&w->arena,
                                      PK_STR("{\"type\":\"sql\",\"predicate\":\"select true\"}"),
                                      &list->list[i], &err));
        pk_guards_settle(list);
    }
}

static void choose_kind(struct walk *w)
{
    unsigned k = roll(w, PK_COUNT(kinds));

    w->request.operation = kinds[k].operation;
    w->request.method = kinds[k].method;
    w->request.tail = pk_str_of(kinds[k].tail);
    w->request.content_type = pk_str_of(kinds[k].type);
    w->request.body = pk_str_of(kinds[k].body);
}

/* Of a walk that is empty but for what is chosen for it. Returns the number of steps. */
static int live(struct walk *w, uint64_t seed)
{
    struct pk_error err = {0};
    int steps = 0;

    w->random = seed;
    w->mono_us = 1000000;
    pk_arena_init(&w->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    w->entry = (struct pk_cache_entry){.body = pk_str_of(payloads[roll(w, PK_COUNT(payloads))])};
    w->request.metadata = pk_str_of(metadata[roll(w, PK_COUNT(metadata))]);
    w->facts = (struct pk_facts){.prices = {price_rows, PK_COUNT(price_rows)},
                                 .limits = {limit_rows, (int)roll(w, PK_COUNT(limit_rows) + 1)}};
    w->request.body = pk_str_of(bodies[roll(w, PK_COUNT(bodies))]);
    w->request.operation = roll(w, 6) ? &pk_operation_chat : &pk_operation_realtime;
    if (roll(w, 3) == 0)
        choose_kind(w);
    if (w->request.operation == &pk_operation_chat && w->request.body.at == bodies[0] && roll(w, 2))
        w->request.typed = &truth;
    if (EXPECT(pk_config_parse(&w->arena, pk_str_of(configs[seed % PK_COUNT(configs)]), &w->config,
                               &err))) {
        w->config.circuit = PK_STR("c");
        w->config.open = roll(w, 2) ? 0 : pk_random_next(&w->random);
        w->call = pk_call_new(&w->arena, &w->config, &w->facts, &w->request, 1, seed, &err);
    }
    fill_stored(w);
    struct pk_next next = {.op = PK_OP_DONE};
    struct pk_event ev = {.kind = PK_EV_START};
    while (EXPECT(w->call) && EXPECT(steps < 10000)) {
        (void)pk_call_step(w->call, w->mono_us, &ev, &next);
        steps++;
        keep_promises(w, &next);
        if (next.op == PK_OP_DONE)
            break;
        ev = answer(w, &next);
        tick(w, &next, &ev);
    }
    pk_arena_free(&w->arena);
    return steps;
}

#endif
