/* walk.c - random legal lives of a call. Any order of legal answers must end, within bounds, and
 * keep the promises of call.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "call.h"
#include "test.h"

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
    "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"provider\":\"groq\"},{\"provider\":"
    "\"openai\",\"cache\":{\"mode\":\"semantic\",\"embedder\":{\"provider\":\"openai\",\"model\":"
    "\"e\"}"
    "}}]}",
};

static const char *const bodies[] = {
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
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
    "<html>",
    "",
    "data: ",
    "\n\n",
    "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}",
    "\xff\xfe",
};

static const char *const heads[] = {"content-type: text/event-stream\n",
                                    "content-type: application/json\n", "retry-after: 1\n",
                                    "retry-after-ms: 90000\n", ""};

struct walk {
    struct pk_arena arena;
    struct pk_config config;
    struct pk_request request;
    struct pk_call *call;
    struct pk_cache_entry entry;
    uint8_t key[PK_CACHE_KEY_BYTES];
    uint64_t random;
    int64_t mono_us;
    bool out_seen;
};

static unsigned roll(struct walk *w, size_t n)
{
    return (unsigned)(pk_random_next(&w->random) % n);
}

static struct pk_event answer(struct walk *w, const struct pk_next *next)
{
    static const int statuses[] = {200, 200, 200, 201, 400, 401, 429, 500, 503};
    struct pk_event ev = {0};

    if (roll(w, 40) == 0)
        return (struct pk_event){.kind = PK_EV_CANCEL};
    switch (next->op) {
    case PK_OP_LOOKUP:
    case PK_OP_NEAR: ev.kind = roll(w, 4) ? PK_EV_MISS : PK_EV_HIT; break;
    case PK_OP_SEND: ev.kind = roll(w, 6) ? PK_EV_HEAD : PK_EV_FAIL; break;
    case PK_OP_READ:
        ev.kind = roll(w, 8) == 0 ? PK_EV_FAIL : roll(w, 5) == 0 ? PK_EV_END : PK_EV_BODY;
        break;
    case PK_OP_SLEEP: ev.kind = PK_EV_WAKE; break;
    case PK_OP_SAVE: ev.kind = PK_EV_SAVED; break;
    case PK_OP_DONE: ev.kind = PK_EV_START; break;
    }
    ev.status = statuses[roll(w, PK_COUNT(statuses))];
    ev.headers = pk_str_of(heads[roll(w, PK_COUNT(heads))]);
    ev.bytes = pk_str_of(payloads[roll(w, PK_COUNT(payloads))]);
    ev.entry = &w->entry;
    ev.key = w->key;
    ev.similarity = 0.96;
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

static void keep_promises(struct walk *w, const struct pk_next *next)
{
    EXPECT(!(w->out_seen && (next->op == PK_OP_SEND || next->op == PK_OP_SLEEP ||
                             next->op == PK_OP_LOOKUP || next->op == PK_OP_NEAR)));
    w->out_seen = w->out_seen || next->out.len > 0;
    if (next->op != PK_OP_DONE)
        return;
    const struct pk_record *r = pk_call_record(w->call);
    EXPECT(r->attempts <= PK_ATTEMPTS_MAX && r->span_count >= r->attempts);
    EXPECT(r->http_status >= 200);
    EXPECT((r->status == PK_ST_SUCCESS) == (pk_call_error(w->call)->code == PK_OK));
    EXPECT(r->status != PK_ST_SUCCESS || w->out_seen);
    EXPECT(r->ended_us >= r->started_us && r->upstream_us <= r->ended_us - r->started_us);
    EXPECT(r->trace_id.len > 0 && r->span_id.len > 0);
    for (int i = 0; i < r->span_count; i++)
        EXPECT(r->spans[i].ended_us >= r->spans[i].started_us);
    const struct pk_record *kept = pk_call_logged(w->call);
    bool full = w->config.targets[0].privacy.payloads == PK_PAYLOADS_FULL;
    EXPECT(kept->request.len == (full ? r->request.len : 0));
    EXPECT(kept->response.len == (full ? r->response.len : 0));
}

/* Returns the number of steps. */
static int live(struct walk *w, uint64_t seed)
{
    struct pk_facts facts = {0};
    struct pk_error err = {0};
    int steps = 0;

    *w = (struct walk){.random = seed, .mono_us = 1000000};
    pk_arena_init(&w->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    w->entry = (struct pk_cache_entry){.body = pk_str_of(payloads[roll(w, PK_COUNT(payloads))])};
    w->request.body = pk_str_of(bodies[roll(w, PK_COUNT(bodies))]);
    if (EXPECT(pk_config_parse(&w->arena, pk_str_of(configs[seed % PK_COUNT(configs)]), &w->config,
                               &err)))
        w->call = pk_call_new(&w->arena, &w->config, &facts, &w->request, 0, seed, &err);
    struct pk_next next = {.op = PK_OP_DONE};
    struct pk_event ev = {.kind = PK_EV_START};
    while (EXPECT(w->call) && EXPECT(steps < 10000)) {
        next = pk_call_step(w->call, w->mono_us, &ev);
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

int main(int argc, char **argv)
{
    long walks = argc > 1 ? strtol(argv[1], NULL, 10) : 100000, steps = 0;
    static struct walk w;

    for (long i = 0; i < walks && !test_failed; i++) {
        steps += live(&w, (uint64_t)i * 2654435761u + 1);
        if (test_failed)
            printf("# walk %ld\n", i);
    }
    printf("# %ld walks, %ld steps\n", walks, steps);
    printf("%s random legal walks end and keep every promise\n", test_failed ? "not ok" : "ok");
    return test_failed;
}
