/* client.c - see client.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The machine decides (call.h), the loop talks to providers (loop.h), the server to clients (server.h); this file
 * stands between them. What is asked of the store is in client_store.c.
 *
 *   begin ─▶ in the loop ⇄ held: waits for the client to read, or for another's answer
 *                │
 *              DONE ─▶ answered, logged, recycled
 *
 * A call ends in one place: when its task comes back at DONE. A client that leaves cancels the
 * task; a pkd that ends stops it, which the client is told.
 */
#include "client_inner.h"

#include "http.h"

#include "answer.h"
#include "ask.h"
#include "azure.h"
#include "log.h"
#include "prompts.h"
#include "upgrade.h"

#include <stdlib.h>
#include <string.h>

enum { SPARES_MAX = 64 }; /* calls kept for reuse, each with nothing but its struct */

/* --- birth and death ----------------------------------------------------------------------- */

static struct pkd_call *new_call(struct pkd_thread *t)
{
    struct pkd_call *c = t->spares;

    if (c) {
        t->spares = c->next;
        t->spare_count--;
        __builtin_prefetch(t->spares); /* the next call's */
        memset(c, 0, sizeof *c);
    } else {
        c = calloc(1, sizeof *c);
    }
    if (!c)
        return NULL;
    /* Clerks, where there are any, take from it in threads of their own: the blocks are this one's. */
    pk_arena_init(&c->arena, t->app->runners ? pk_allocator_malloc() : t->memory,
                  PK_CALL_BYTES_MAX);
    c->thread = t;
    c->next = t->calls;
    if (t->calls)
        t->calls->prev = c;
    t->calls = c;
    t->call_count++;
    return c;
}

static void free_call(struct pkd_call *c)
{
    struct pkd_thread *t = c->thread;

    pkd_recall_release(t->resolver, c->meaning);
    pk_arena_free(&c->arena);
    if (c->input)
        pk_secret_wipe(c->input, c->input_size);
    free(c->input);
    *(c->prev ? &c->prev->next : &t->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    t->call_count--;
    if (t->spare_count == SPARES_MAX) {
        free(c);
        return;
    }
    c->next = t->spares;
    t->spares = c;
    t->spare_count++;
}

void pkd_call_free_spares(struct pkd_thread *t)
{
    PK_ASSERT(t->call_count == 0);
    for (struct pkd_call *c = t->spares, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    t->spares = NULL;
    t->spare_count = 0;
}

/* --- what goes to the client --------------------------------------------------------------- */

static struct pkd_head head_of(struct pkd_call *c, const struct pk_reply *reply, bool done)
{
    const struct pk_record *r = pk_call_record(c->task.call);

    return (struct pkd_head){
        .status = reply->status,
        .content_type = reply->status == 204      ? NULL
                        : reply->content_type.len ? pk_copy(&c->arena, reply->content_type).at
                        : reply->stream           ? "text/event-stream"
                                                  : "application/json",
        .headers = pkd_answer_headers(&c->arena, r, reply, pk_clock_us() - c->began_us, done),
        .traced = true,
    };
}

/* Before DONE it has: nobody is told early of an answer that fails. */
static bool ended_well(const struct pkd_call *c)
{
    return c->task.next.op != PK_OP_DONE || pk_call_error(c->task.call)->code == PK_OK;
}

static void give_stream(struct pkd_call *c, const struct pk_reply *reply, bool done)
{
    const struct pk_next *next = &c->task.next;

    if (!c->begun && (next->out.len || done)) {
        struct pkd_head head = head_of(c, reply, done);

        pkd_conn_begin(c->conn, &head);
        c->begun = true;
    }
    if (c->held.len)
        (void)pkd_conn_send(c->conn, c->held);
    if (next->out.len)
        c->paused = !pkd_conn_send(c->conn, next->out);
    if (!done)
        return;
    pkd_conn_end(c->conn, ended_well(c));
    c->conn = NULL;
    c->paused = false;
}

static void give_json(struct pkd_call *c, const struct pk_reply *reply, bool done)
{
    pk_str out = c->task.next.out;

    if (!done) {
        if (out.len)
            c->body = pk_copy(&c->arena, out); /* it is not valid behind the next step */
        return;
    }
    struct pkd_head head = head_of(c, reply, true);
    pkd_conn_reply(c->conn, &head, out.len ? out : c->held.len ? c->held : c->body);
    c->conn = NULL;
}

/* The client is to be answered before the call is over: what the request is in must stay. */
static bool keep_input(struct pkd_call *c)
{
    c->input = pkd_conn_detach_input(c->conn, &c->input_size);
    return c->input != NULL;
}

/* --- sessions ------------------------------------------------------------------------------ */

/* The client's handshake is complete. False: no memory. */
static bool open_tunnel(struct pkd_call *c)
{
    struct pk_reply reply = pk_call_reply(c->task.call);

    if (!c->conn)
        return true;
    if (!keep_input(c))
        return false;
    pkd_conn_upgrade(c->conn, head_of(c, &reply, false).headers);
    c->begun = c->tunnel = true;
    return true;
}

static size_t on_received(void *owner, struct pkd_conn *conn, pk_str bytes)
{
    struct pkd_call *c = owner;

    (void)conn;
    size_t taken = pk_loop_send(c->thread->loop, &c->task, bytes);
    if (taken < bytes.len && !c->uploads) {
        c->uploads = true;
        c->upload_next = c->thread->uploads;
        c->thread->uploads = c;
    }
    return taken;
}

void pkd_call_read_on(struct pkd_thread *t)
{
    for (struct pkd_call **link = &t->uploads, *c; (c = *link);) {
        if (!pk_loop_can_send(&c->task)) {
            link = &c->upload_next;
            continue;
        }
        *link = c->upload_next;
        c->uploads = false;
        if (c->conn)
            pkd_conn_read_on(c->conn);
    }
}

static void upload_no_more(struct pkd_call *c)
{
    struct pkd_call **link = &c->thread->uploads;

    if (!c->uploads)
        return;
    while (*link != c)
        link = &(*link)->upload_next;
    *link = c->upload_next;
    c->uploads = false;
}

static void give(struct pkd_call *c)
{
    struct pk_reply reply = pk_call_reply(c->task.call);
    const struct pk_next *next = &c->task.next;

    if (!c->conn)
        return;
    bool durable = c->thread->app->options->durable; /* then not before its row is on disk */
    bool done = next->op == PK_OP_DONE || (next->last && !durable && keep_input(c));
    if (!done && next->out.len == 0)
        return;
    if (!done && next->last && durable) {
        c->held = pk_copy(&c->arena, next->out);
        return;
    }
    if (c->begun || reply.stream)
        give_stream(c, &reply, done);
    else
        give_json(c, &reply, done);
}

/* Instead of an answer that would not be in the log. */
static void give_loss(struct pkd_call *c)
{
    struct pk_error err = {0};

    if (c->begun) {
        pkd_conn_end(c->conn, false);
    } else {
        (void)pk_fail(&err, PK_STORE, "the call could not be logged, which durable mode asks for");
        err.status = 503;
        pkd_answer_error(c->conn, &c->arena, pk_request_front(&c->req), &err);
    }
    c->conn = NULL;
}

static void await_row(struct pkd_call *c)
{
    struct pkd_thread *t = c->thread;

    *(t->logged ? &t->logged_last->logged_next : &t->logged) = c;
    t->logged_last = c;
}

/* The log first: the record borrows from the request, which is over once it is answered. */
static void finish(struct pkd_call *c)
{
    bool durable = c->thread->app->options->durable;

    struct pk_record *logged = pk_call_logged(c->task.call);

    c->row =
        pkd_call_log(c->thread, &c->arena, c->req.operation, logged, pk_call_record(c->task.call));
    pkd_call_note_hot(c, logged);
    upload_no_more(c);
    pkd_flight_leave(c->thread->app->flights, &c->waiter);
    if (durable && c->conn && c->row > 0) {
        await_row(c);
        return;
    }
    if (durable && c->conn && c->row < 0)
        give_loss(c);
    give(c);
    free_call(c);
}

void pkd_call_logged(struct pkd_thread *t)
{
    for (struct pkd_call *c; (c = t->logged);) {
        enum pk_fate fate = pk_writer_fate(t->app->writer, c->row);

        if (fate == PK_UNSETTLED)
            return; /* those behind it are later ones */
        t->logged = c->logged_next;
        if (c->conn && fate == PK_LOST)
            give_loss(c);
        give(c);
        free_call(c);
    }
}

void pkd_call_leave(struct pkd_call *c, enum pk_code why)
{
    struct pk_error err = {0};

    if (c->cancelled || c->task.next.op == PK_OP_DONE)
        return; /* it comes back in any case */
    c->leaves = why;
    if (c->asks)
        return; /* until the clerk is done with it */
    c->cancelled = true;
    c->paused = false;
    pkd_call_wait_no_more(c);
    pkd_call_reserve_no_more(c);
    pkd_flight_leave(c->thread->app->flights, &c->waiter);
    if (why == PK_CANCELLED) {
        pk_loop_cancel(c->thread->loop, &c->task);
        return;
    }
    (void)pk_fail(&err, why, "%s",
                  why == PK_SHUTDOWN ? "the gateway is shutting down" : "no memory for the call");
    pk_loop_stop(c->thread->loop, &c->task, &err);
}

void pkd_call_step(struct pk_task *task)
{
    struct pkd_call *c = (struct pkd_call *)(void *)task;

    if (task->next.open && !open_tunnel(c)) {
        pkd_call_leave(c, PK_NO_MEMORY);
        return;
    }
    if (task->next.op != PK_OP_DONE)
        give(c);
    switch (task->next.op) {
    case PK_OP_LOOKUP: pkd_call_look_up(c); break;
    case PK_OP_NEAR: pkd_call_look_near(c); break;
    case PK_OP_RESERVE:
        c->paused = false; /* of a session, which goes on when limits say so */
        pkd_call_wait_for_limits(c);
        break;
    case PK_OP_QUERY: pkd_call_query(c); break;
    case PK_OP_SAVE: pkd_call_save(c); break;
    case PK_OP_DONE: finish(c); break;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP:
        if (!c->paused)
            pk_loop_resume(c->thread->loop, task);
        break;
    }
}

static void on_drained(void *owner, struct pkd_conn *conn)
{
    struct pkd_call *c = owner;

    (void)conn;
    if (!c->paused)
        return;
    c->paused = false;
    pk_loop_resume(c->thread->loop, &c->task);
}

static void on_closed(void *owner, struct pkd_conn *conn)
{
    struct pkd_call *c = owner;

    c->conn = NULL;
    if (!c->input)
        c->input = pkd_conn_take_input(conn, &c->input_size);
    pkd_call_leave(c, PK_CANCELLED);
}

static const struct pkd_owner call_owner = {on_drained, on_closed, on_received};

void pkd_call_end_tunnels(struct pkd_thread *t)
{
    for (struct pkd_call *c = t->calls; c; c = c->next)
        if (c->tunnel)
            pkd_call_leave(c, PK_SHUTDOWN);
}

void pkd_call_stop_all(struct pkd_thread *t)
{
    for (struct pkd_call *c = t->calls; c; c = c->next)
        pkd_call_leave(c, PK_SHUTDOWN);
}

/* --- the beginning ------------------------------------------------------------------------- */

static const enum pk_method methods[] = {
    [PKD_GET] = PK_GET, [PKD_HEAD] = PK_GET,    [PKD_POST] = PK_POST,
    [PKD_PUT] = PK_PUT, [PKD_PATCH] = PK_PATCH, [PKD_DELETE] = PK_DELETE,
};

static bool check_type(const struct pkd_ask *ask, const struct pk_operation *operation,
                       struct pk_error *err)
{
    size_t len = ask->content_type.len;
    int semicolon = pk_str_find(ask->content_type, ';');
    pk_str type =
        pk_str_trim(pk_str_sub(ask->content_type, 0, semicolon < 0 ? len : (size_t)semicolon));

    if (ask->content_encoding.len && operation != &pk_operation_proxy &&
        !pk_str_is_nocase(ask->content_encoding, "identity"))
        return pk_fail(err, PK_BAD_REQUEST,
                       "content-encoding: a body must come as it is, not compressed");
    if (len == 0 || pk_operation_is_raw(operation) || pk_str_is_nocase(type, "application/json"))
        return true;
    return pk_fail(err, PK_BAD_REQUEST, "content-type: must be application/json");
}

static bool prepare(struct pkd_call *c, const struct pkd_request *req, pk_str prompt,
                    struct pk_error *err)
{
    struct pkd_thread *t = c->thread;
    const struct pk_snapshot *snapshot;
    struct pkd_ask ask;
    pk_str reference = prompt;

    pkd_ask_read(&c->arena, &t->asks, req, &ask);
    c->req.content_type = ask.content_type;
    c->arena.wipe = true; /* keys from headers and configs are copied into it */
    if (t->caller)
        c->req.api_key = pk_copy(&c->arena, t->caller->name);
    if (!check_type(&ask, c->req.operation, err) ||
        !pkd_auth_apply(t->caller, &c->arena, prompt.len > 0, &ask, err) ||
        !pkd_ask_request(&c->arena, &ask, &c->req, err) ||
        !pkd_ask_guards(&c->arena, t->store, &ask, &c->req, err) ||
        !(prompt.len ? pkd_prompt_request : pkd_ask_reference)(&c->arena, t->store, &ask, &c->req,
                                                               &reference, err))
        return false;
    c->req.privacy = pk_privacy_join(c->req.privacy, t->app->privacy);
    c->meaning = pkd_recall_resolve(&t->recall, t->resolver, t->store, reference, err);
    if (!c->meaning)
        return false;
    snapshot = c->meaning->snapshot;
    c->task.call = pk_call_new(&c->arena, &snapshot->config, snapshot->facts, &c->req, c->began_us,
                               pk_random_next(&t->random), err);
    return c->task.call != NULL;
}

/* What follows the operation's path, and the query: for operations that have more places than one. */
static pk_str tail_of(struct pk_arena *arena, const struct pkd_request *req,
                      const struct pk_operation *operation)
{
    static const char *const before[] = {"/v1", "/proxy"};
    pk_str path = req->path;

    if (!pk_operation_is_raw(operation))
        return PK_NONE;
    for (size_t i = 0; i < PK_COUNT(before); i++)
        if (pk_str_starts(path, before[i]))
            path = pk_str_sub(path, strlen(before[i]), path.len);
    if (pk_str_starts(path, operation->path))
        path = pk_str_sub(path, strlen(operation->path), path.len);
    if (req->query.len == 0)
        return path;
    return pk_copyf(arena, "%.*s?%.*s", PK_FMT(path), PK_FMT(req->query));
}

/* A session says in its query what a call says in its body. */
static bool read_query(struct pkd_call *c, const struct pkd_request *req, struct pk_error *err)
{
    return !pk_operation_is_tunnel(c->req.operation) ||
           (pkd_upgrade_check(req, err) &&
            pkd_upgrade_body(&c->arena, req->query, &c->req.body, &c->req.tail, err));
}

/* A request that came in Azure's words, in those of OpenAI. */
static bool as_openai(struct pkd_call *c, struct pkd_request *req, struct pk_error *err)
{
    struct pkd_azure azure;

    if (!pkd_azure_read(&c->arena, req->path, req->query, &azure))
        return true;
    req->path = azure.path;
    req->query = azure.query;
    return azure.deployment.len == 0 ||
           pkd_azure_body(&c->arena, pk_http_header(req->headers, "content-type"), azure.deployment,
                          &req->body, err);
}

static void begin(struct pkd_thread *t, struct pkd_conn *conn, const struct pkd_request *came,
                  const struct pk_operation *operation, pk_str prompt)
{
    const struct pk_dialect *front = pk_operation_front(operation);
    const struct pkd_asked asked = {operation,   t->keyring.epoch, came->path,
                                    came->query, came->headers,    came->body};
    struct pkd_request spelled = *came, *req = &spelled;
    struct pk_error err = {0};

    if (prompt.len == 0 && req->method == PKD_POST && pkd_call_repeat(t, conn, &asked))
        return;
    struct pkd_call *c = new_call(t);
    if (!c) {
        (void)pk_fail(&err, PK_NO_MEMORY, "no memory for another call");
        pkd_answer_error(conn, &t->scratch, front, &err);
        return;
    }
    c->conn = conn;
    c->asked = asked;
    c->began_us = pk_clock_us();
    bool readable = as_openai(c, req, &err);
    c->req = (struct pk_request){
        .operation = operation,
        .body = req->body,
        .method = methods[req->method],
        .tail = tail_of(&c->arena, req, operation),
        .headers = req->headers,
        .pathname = req->path,
        .output_assumed = t->app->options->output,
        .idle_ms = t->app->options->session_idle_ms,
        .source = PK_SOURCE_HTTP,
    };
    if (!readable || !read_query(c, req, &err) || !prepare(c, req, prompt, &err)) {
        pkd_meter_refused(t->meter, &err);
        pkd_answer_error(conn, &c->arena, front, &err);
        free_call(c);
        return;
    }
    pkd_conn_set_owner(conn, &call_owner, c);
    pk_loop_start(t->loop, &c->task);
}

void pkd_call_begin(struct pkd_thread *t, struct pkd_conn *conn, const struct pkd_request *req,
                    const struct pk_operation *operation)
{
    begin(t, conn, req, operation, PK_NONE);
}

void pkd_call_begin_prompt(struct pkd_thread *t, struct pkd_conn *conn,
                           const struct pkd_request *req, pk_str ref)
{
    struct pk_error err = {0};

    if (ref.len) {
        begin(t, conn, req, &pk_operation_chat, ref);
        return;
    }
    (void)pk_fail(&err, PK_NOT_FOUND, "prompt: the path names none");
    pkd_answer_error(conn, &t->scratch, &pk_dialect_openai, &err);
}
