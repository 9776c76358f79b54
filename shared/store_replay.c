/* store_replay.c - see store_replay.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_replay.h"

#include "store_value.h"

/* A log row, as far as a replay needs it. */
struct logged {
    struct pk_store *store;
    struct pk_arena *arena;
    struct pk_error *err;
    bool found, ok;
    pk_str body; /* empty: not kept */
    pk_str config, operation, trace_id, span_id, user_id, prompt, metadata;
};

static bool unpack(struct logged *l, const struct pk_value *columns)
{
    struct pk_buf out = pk_buf_in(l->arena, PK_BODY_BYTES_MAX);
    pk_str text;

    if (columns[1].type == PK_V_NULL)
        return true;
    const struct pk_stored stored = {columns[0].i, columns[2].i, columns[1].s};
    if (!pk_payload_unpack(&l->store->packer, &stored, &out, &text, l->err))
        return false;
    l->body = pk_copy(l->arena, text);
    return true;
}

static bool read_row(void *ctx, const struct pk_value *columns, int count)
{
    struct logged *l = ctx;
    pk_str *const texts[] = {&l->config,  &l->operation, &l->trace_id, &l->span_id,
                             &l->user_id, &l->prompt,    &l->metadata};

    PK_ASSERT(count == 3 + (int)PK_COUNT(texts));
    l->found = true;
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        *texts[i] = pk_copy(l->arena, columns[3 + i].s);
    l->ok = unpack(l, columns);
    return false;
}

static bool load(struct logged *l, const uint8_t *id)
{
    const struct pk_value args[] = {pk_v_uuid(id)};
    char text[PK_UUID_TEXT + 1];

    if (!l->store->ops->exec(l->store, PK_SQL_log_request, args, PK_COUNT(args), read_row, l,
                             l->err))
        return false;
    pk_uuid_print(id, text);
    if (!l->found)
        return pk_fail(l->err, PK_NOT_FOUND, "log_id: there is no call %s in the log", text);
    return l->ok && (!l->arena->failed || pk_fail(l->err, PK_NO_MEMORY, "replay: out of memory"));
}

/* The request without what made it a stream: SQL returns one value. */
static bool set_body(struct logged *l, struct pk_request *req)
{
    const struct pk_json_edit edits[] = {{PK_STR("stream"), PK_NONE},
                                         {PK_STR("stream_options"), PK_NONE}};
    struct pk_buf body = pk_buf_in(l->arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    if (l->body.len == 0)
        return pk_fail(l->err, PK_BAD_REQUEST, "log_id: the request of this call was not kept");
    if (!pk_json_parse(l->arena, l->body, "request", &doc, l->err))
        return false;
    if (pk_json_get(&doc, 0, req->operation->input) < 0)
        return pk_fail(l->err, PK_BAD_REQUEST,
                       "log_id: only a hash of this call's request was kept");
    pk_json_splice(&body, &doc, 0, edits, PK_COUNT(edits));
    req->body = pk_buf_str(&body);
    return !body.failed || pk_fail(l->err, PK_NO_MEMORY, "replay: out of memory");
}

bool pk_store_replay_request(struct pk_store *s, struct pk_arena *arena, struct pk_replay *replay,
                             struct pk_request *req, struct pk_error *err)
{
    struct logged l = {.store = s, .arena = arena, .err = err};

    if (!load(&l, replay->id))
        return false;
    req->operation = pk_operation_find(l.operation);
    if (!req->operation || pk_operation_is_raw(req->operation))
        return pk_fail(err, PK_BAD_REQUEST, "log_id: a call of the kind \"%.*s\" is not replayed",
                       PK_FMT(l.operation));
    if (!set_body(&l, req))
        return false;
    if (replay->config.len == 0)
        replay->config = l.config;
    if (replay->config.len == 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "config: must be given, because the logged call had none with a name");
    req->trace_id = l.trace_id;
    req->parent_span_id = l.span_id;
    req->span_name = PK_STR("replay");
    req->user_id = l.user_id;
    req->prompt = l.prompt;
    req->metadata = l.metadata;
    return true;
}
