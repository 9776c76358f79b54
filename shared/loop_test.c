/* loop_test.c - whole calls, driven over a server on loopback.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "loop.h"
#include "loopback.h"
#include "test.h"

enum { TASKS_MAX = 400 };

static struct loopback server;
static struct pk_xfer *x;
static struct pk_loop *loop;
static struct pk_error err;
static const struct pk_facts no_facts;
static const char chat[] =
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
static const char stream[] = "{\"model\":\"m\",\"stream\":true,\"messages\":[]}";

/* One call with all that it needs. */
struct job {
    struct pk_task task;
    struct pk_arena arena;
    struct pk_config *config;
    struct pk_request req;
    char out[4096];
    size_t len;
    int pieces, lookups, saves;
    bool over;
};

/* A config whose targets are "provider ollama at /PATH", with `more` in the first. */
static pk_str config_of(struct job *j, const char *mode, const char *more, const char *const *paths)
{
    struct pk_buf b = pk_buf_in(&j->arena, PK_CONFIG_BYTES_MAX);

    pk_buf_addf(&b, "{\"strategy\":{\"mode\":\"%s\"},\"targets\":[", mode);
    for (int i = 0; paths[i]; i++)
        pk_buf_addf(&b, "%s{\"provider\":\"ollama\",\"custom_host\":\"http://127.0.0.1:%d%s\"%s}",
                    i ? "," : "", server.port, paths[i], i ? "" : more);
    pk_buf_adds(&b, "]}");
    return pk_buf_str(&b);
}

static void begin(struct job *j, const char *body, const char *more, const char *const *paths)
{
    *j = (struct job){.req = {.body = pk_str_of(body), .operation = &pk_operation_chat}};
    pk_arena_init(&j->arena, pk_allocator_malloc(), 16 << 20);
    j->config = pk_alloc(&j->arena, sizeof *j->config);
    if (!EXPECT(
            pk_config_parse(&j->arena, config_of(j, "fallback", more, paths), j->config, &err) &&
            pk_config_ready(j->config, &err)))
        printf("#   %s\n", err.msg);
    j->task.call = pk_call_new(&j->arena, j->config, &no_facts, &j->req, pk_clock_us(), 7, &err);
    EXPECT(j->task.call);
    pk_loop_start(loop, &j->task);
}

static void take_out(struct job *j)
{
    pk_str out = j->task.next.out;

    if (out.len == 0)
        return;
    EXPECT(!j->over);
    j->pieces++;
    if (out.len > sizeof j->out - 1 - j->len)
        out.len = sizeof j->out - 1 - j->len;
    memcpy(j->out + j->len, out.at, out.len);
    j->len += out.len;
}

/* What a host does with a task. */
static void serve(struct job *j)
{
    struct pk_event miss = {.kind = PK_EV_MISS}, saved = {.kind = PK_EV_SAVED};

    take_out(j);
    switch (j->task.next.op) {
    case PK_OP_LOOKUP:
    case PK_OP_NEAR:
        j->lookups++;
        pk_loop_answer(loop, &j->task, &miss);
        return;
    case PK_OP_QUERY: /* these calls have no guardrails, */
    case PK_OP_RESERVE: /* and no limits */ EXPECT(false); return;
    case PK_OP_SAVE:
        j->saves++;
        pk_loop_answer(loop, &j->task, &saved);
        return;
    case PK_OP_DONE:
        EXPECT(!j->over);
        j->over = true;
        return;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP: pk_loop_resume(loop, &j->task); return;
    }
}

static void wait_until(int64_t until_ms)
{
    int64_t deadline = pk_loop_deadline_ms(loop), now = pk_clock_ms();
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};

    if (deadline > until_ms)
        deadline = until_ms;
    if (deadline > now)
        (void)poll(&p, 1, (int)(deadline - now));
}

/* Drives all tasks for `ms`, or until `count` of the jobs are over; says how many are. */
static int run(struct job *jobs, int count, int ms)
{
    int64_t until = pk_clock_ms() + ms;
    int over;

    for (;;) {
        struct pk_task *t = pk_loop_next(loop);

        if (t) {
            serve((struct job *)(void *)t);
            continue;
        }
        over = 0;
        for (int i = 0; i < count; i++)
            over += jobs[i].over;
        if (over == count || pk_clock_ms() >= until)
            return over;
        wait_until(until);
    }
}

static void end(struct job *j)
{
    EXPECT(j->over);
    pk_loop_drop(loop, &j->task);
    pk_arena_free(&j->arena);
}

static const struct pk_record *record(const struct job *j)
{
    return pk_call_record(j->task.call);
}

static void a_call_is_sent_and_answered(void)
{
    static const char *const paths[] = {"/chat", NULL};
    struct job j;

    begin(&j, chat, "", paths);
    EXPECT(run(&j, 1, 30000) == 1);
    EXPECT(pk_call_error(j.task.call)->code == PK_OK && pk_call_reply(j.task.call).status == 200);
    EXPECT(strstr(j.out, "\"content\":\"hello\"") && record(&j)->attempts == 1);
    EXPECT(record(&j)->usage.input == 3 && record(&j)->usage.output == 1);
    EXPECT(pk_xfer_active(x) == 0 && pk_loop_deadline_ms(loop) > pk_clock_ms());
    end(&j);
}

static void a_stream_reaches_the_host_in_pieces(void)
{
    static const char *const paths[] = {"/stream", NULL};
    struct job j;

    begin(&j, stream, "", paths);
    EXPECT(run(&j, 1, 30000) == 1);
    EXPECT(j.pieces >= 2 && strstr(j.out, "\"hel\"") && strstr(j.out, "data: [DONE]\n\n"));
    EXPECT(record(&j)->status == PK_ST_SUCCESS);
    end(&j);
}

/* While the host keeps a task, its stream waits and no deadline of it fires. */
static void a_held_task_stays_where_it_is(void)
{
    static const char *const paths[] = {"/stream", NULL};
    struct job j;
    struct pk_task *t = NULL;

    begin(&j, stream, ",\"idle_timeout\":\"40ms\"", paths);
    for (int64_t until = pk_clock_ms() + 30000; !t && pk_clock_ms() < until;) {
        t = pk_loop_next(loop);
        if (!t)
            wait_until(until);
    }
    EXPECT(t == &j.task && t->held && t->next.out.len > 0);
    for (int64_t until = pk_clock_ms() + 100; pk_clock_ms() < until; wait_until(until))
        EXPECT(!pk_loop_next(loop));
    serve(&j);
    EXPECT(run(&j, 1, 30000) == 1 && record(&j)->status == PK_ST_SUCCESS);
    EXPECT(strstr(j.out, "data: [DONE]\n\n"));
    end(&j);
}

static void the_cache_is_the_hosts(void)
{
    static const char *const paths[] = {"/chat", NULL};
    struct job j;

    begin(&j, chat, ",\"cache\":{\"mode\":\"simple\"}", paths);
    EXPECT(run(&j, 1, 30000) == 1);
    EXPECT(j.lookups == 1 && j.saves == 1 && strstr(j.out, "hello"));
    end(&j);
}

static void a_refusal_is_retried_after_a_wait_and_then_falls_back(void)
{
    static const char *const paths[] = {"/limited", "/chat", NULL};
    long before = server.seen->requests, accepted = server.seen->accepted;
    int64_t began = pk_clock_ms();
    struct job j;

    begin(&j, chat, ",\"retry\":{\"attempts\":2}", paths);
    EXPECT(run(&j, 1, 30000) == 1);
    EXPECT(record(&j)->attempts == 4 && pk_call_error(j.task.call)->code == PK_OK);
    EXPECT(server.seen->requests == before + 4);
    EXPECT(server.seen->accepted <= accepted + 1); /* drained answers leave their connection open */
    EXPECT(pk_clock_ms() - began >= 60 && pk_clock_ms() - began < 20000);
    end(&j);
}

static void a_silent_provider_is_given_up_in_time(void)
{
    static const char *const paths[] = {"/wait", "/chat", NULL};
    int64_t began = pk_clock_ms();
    struct job j;

    begin(&j, chat, ",\"request_timeout\":\"150ms\"", paths);
    EXPECT(run(&j, 1, 30000) == 1);
    int64_t took = pk_clock_ms() - began;
    EXPECT(took >= 150 && took < 20000);
    EXPECT(record(&j)->attempts == 2 && strstr(j.out, "hello"));
    EXPECT(record(&j)->spans[0].code == PK_TIMEOUT);
    EXPECT(pk_xfer_active(x) == 0);
    end(&j);
}

static void an_unreachable_target_falls_back(void)
{
    static const char *const paths[] = {"/nothing", "/chat", NULL};
    struct job j;

    begin(&j, chat, "", paths);
    EXPECT(run(&j, 1, 30000) == 1);
    EXPECT(record(&j)->attempts == 2 && strstr(j.out, "hello"));
    end(&j);
}

static void a_cancelled_call_closes_its_connection_at_once(void)
{
    static const char *const paths[] = {"/wait", NULL};
    struct job j;

    begin(&j, chat, "", paths);
    EXPECT(run(&j, 1, 60) == 0);
    server.seen->closed_us = 0;
    long long at = loopback_us();
    pk_loop_cancel(loop, &j.task);
    EXPECT(pk_xfer_active(x) == 0);
    EXPECT(run(&j, 1, 30000) == 1 && record(&j)->status == PK_ST_CANCELLED && j.len == 0);
    while (server.seen->closed_us == 0 && loopback_us() < at + 1000000)
        loopback_pause(1);
    EXPECT(server.seen->closed_us && server.seen->closed_us - at < 200000);
    pk_loop_cancel(loop, &j.task); /* over: nothing happens */
    EXPECT(!pk_loop_next(loop));
    end(&j);
}

static void a_sleeping_call_can_be_cancelled(void)
{
    static const char *const paths[] = {"/nothing", NULL};
    struct job j;

    begin(&j, chat, ",\"retry\":{\"attempts\":5}", paths);
    for (int64_t until = pk_clock_ms() + 30000;
         j.task.next.op != PK_OP_SLEEP && pk_clock_ms() < until; wait_until(until))
        EXPECT(!pk_loop_next(loop));
    EXPECT(j.task.next.op == PK_OP_SLEEP && pk_xfer_active(x) == 0);
    EXPECT(pk_loop_deadline_ms(loop) < pk_clock_ms() + 5000);
    pk_loop_cancel(loop, &j.task);
    EXPECT(run(&j, 1, 30000) == 1 && record(&j)->status == PK_ST_CANCELLED);
    end(&j);
}

static void a_call_that_the_host_holds_can_be_cancelled(void)
{
    static const char *const paths[] = {"/chat", NULL};
    struct job j;

    begin(&j, chat, ",\"cache\":{\"mode\":\"simple\"}", paths);
    EXPECT(pk_loop_next(loop) == &j.task && j.task.next.op == PK_OP_LOOKUP);
    pk_loop_cancel(loop, &j.task);
    EXPECT(run(&j, 1, 30000) == 1 && record(&j)->status == PK_ST_CANCELLED);
    end(&j);
}

/* Deadlines of all lengths, set, moved and cleared in any order, fire in theirs. */
static void many_deadlines_fire_in_order(void)
{
    enum { COUNT = 200 };
    static const char *const paths[] = {"/wait", NULL};
    static struct job jobs[COUNT];
    int64_t began = pk_clock_ms(), late = 0;
    char more[64];

    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(more, sizeof more, ",\"request_timeout\":\"%dms\"", 200 + i * 37 % COUNT);
        begin(&jobs[i], chat, more, paths);
    }
    for (int i = 0; i < COUNT; i += 3)
        pk_loop_cancel(loop, &jobs[i].task);
    EXPECT(run(jobs, COUNT, 30000) == COUNT);
    for (int i = 0; i < COUNT; i++) {
        const struct pk_record *r = record(&jobs[i]);
        int64_t took = r->spans[0].ended_us - r->spans[0].started_us;

        EXPECT((r->status == PK_ST_CANCELLED) == (i % 3 == 0));
        if (i % 3) {
            EXPECT(took >= (200 + i * 37 % COUNT - 2) * 1000);
            late = took - (200 + i * 37 % COUNT) * 1000 > late
                       ? took - (200 + i * 37 % COUNT) * 1000
                       : late;
        }
        end(&jobs[i]);
    }
    EXPECT(late < 10000000 && pk_clock_ms() - began < 20000);
    EXPECT(pk_loop_deadline_ms(loop) > pk_clock_ms() + 1000);
}

static void hundreds_of_calls_go_side_by_side(void)
{
    static const char *const paths[] = {"/limited", "/chat", NULL};
    static struct job jobs[TASKS_MAX];

    for (int i = 0; i < TASKS_MAX; i++)
        begin(&jobs[i], i % 4 == 0 ? stream : chat, ",\"retry\":{\"attempts\":1}", paths);
    EXPECT(run(jobs, TASKS_MAX, 30000) == TASKS_MAX);
    for (int i = 0; i < TASKS_MAX; i++) {
        EXPECT(record(&jobs[i])->attempts == 3 && strstr(jobs[i].out, "hello"));
        end(&jobs[i]);
    }
    EXPECT(pk_xfer_active(x) == 0);
}

static void dropped_tasks_leave_nothing_behind(void)
{
    static const char *const paths[] = {"/wait", NULL}, *const sleepy[] = {"/nothing", NULL};
    static struct job jobs[60];

    for (size_t i = 0; i < PK_COUNT(jobs); i++)
        begin(&jobs[i], chat,
              i % 3 == 0 ? ",\"cache\":{\"mode\":\"simple\"}" : ",\"retry\":{\"attempts\":5}",
              i % 3 == 1 ? sleepy : paths);
    struct pk_task *held = pk_loop_next(loop);
    for (int64_t until = pk_clock_ms() + 50; pk_clock_ms() < until; wait_until(until))
        pk_xfer_pump(x);
    EXPECT(held && held->next.op == PK_OP_LOOKUP);
    for (size_t i = 0; i < PK_COUNT(jobs); i++) {
        pk_loop_drop(loop, &jobs[PK_COUNT(jobs) - 1 - i].task);
        pk_arena_free(&jobs[PK_COUNT(jobs) - 1 - i].arena);
    }
    EXPECT(pk_xfer_active(x) == 0 && !pk_loop_next(loop));
    EXPECT(pk_loop_deadline_ms(loop) > pk_clock_ms() + 1000);
}

static void a_denied_host_is_the_calls_error(void)
{
    struct job j = {.req = {.body = PK_STR(chat), .operation = &pk_operation_chat}};
    pk_str text = PK_STR(
        "{\"provider\":\"openai\",\"api_key\":\"sk-1\",\"custom_host\":\"http://10.0.0.1/v1\"}");

    pk_arena_init(&j.arena, pk_allocator_malloc(), 16 << 20);
    j.config = pk_alloc(&j.arena, sizeof *j.config);
    EXPECT(pk_config_parse(&j.arena, text, j.config, &err));
    j.task.call = pk_call_new(&j.arena, j.config, &no_facts, &j.req, pk_clock_us(), 7, &err);
    EXPECT(j.task.call);
    pk_loop_start(loop, &j.task);
    EXPECT(run(&j, 1, 30000) == 1);
    EXPECT(pk_call_error(j.task.call)->code == PK_HOST_DENIED);
    EXPECT(strstr(pk_call_error(j.task.call)->msg, "10.0.0.1"));
    end(&j);
}

int main(void)
{
    struct pk_xfer_options options = {.connections_max = 256};

    server = loopback_start();
    x = pk_xfer_new(&options, &err);
    loop = x ? pk_loop_new(x) : NULL;
    if (!loop)
        return 1;
    RUN(a_call_is_sent_and_answered);
    RUN(a_stream_reaches_the_host_in_pieces);
    RUN(a_held_task_stays_where_it_is);
    RUN(the_cache_is_the_hosts);
    RUN(a_refusal_is_retried_after_a_wait_and_then_falls_back);
    RUN(a_silent_provider_is_given_up_in_time);
    RUN(an_unreachable_target_falls_back);
    RUN(a_cancelled_call_closes_its_connection_at_once);
    RUN(a_sleeping_call_can_be_cancelled);
    RUN(a_call_that_the_host_holds_can_be_cancelled);
    RUN(many_deadlines_fire_in_order);
    RUN(hundreds_of_calls_go_side_by_side);
    RUN(dropped_tasks_leave_nothing_behind);
    RUN(a_denied_host_is_the_calls_error);
    pk_loop_free(loop);
    pk_xfer_free(x);
    loopback_stop(&server);
    return test_end();
}
