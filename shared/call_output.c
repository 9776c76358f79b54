/* call_output.c - GET /batches/ID/output: the batch is looked at, then the file that it has written is fetched.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * It is Portkey's; providers have no such path. Both requests are attempts of one call at one target: the second
 * is no retry of the first, and a fallback begins with the batch again.
 */
#include "call_inner.h"

#include "dialect_parts.h"

static pk_str path_of(const struct pk_call *c)
{
    int query = pk_str_find(c->req->tail, '?');

    return pk_str_sub(c->req->tail, 0, query < 0 ? c->req->tail.len : (size_t)query);
}

static bool wants_output(const struct pk_call *c)
{
    pk_str path = path_of(c);

    return c->operation == &pk_operation_batches && c->req->method == PK_GET &&
           path.len > sizeof "/output" && pk_str_ends(path, "/output");
}

static bool has_file(const struct pk_call *c)
{
    return c->output.file.len && c->output.node == c->node;
}

bool pk_call_seeks_output(const struct pk_call *c)
{
    return wants_output(c) && !has_file(c);
}

const struct pk_operation *pk_call_spelled(const struct pk_call *c)
{
    return wants_output(c) && has_file(c) ? &pk_operation_files : c->operation;
}

pk_str pk_call_tail(const struct pk_call *c)
{
    pk_str path = path_of(c);

    if (!wants_output(c))
        return c->req->tail;
    return has_file(c) ? pk_copyf(c->arena, "/%.*s/content", PK_FMT(c->output.file))
                       : pk_str_sub(path, 0, path.len - (sizeof "/output" - 1));
}

/* An id, or a word like in_progress: it may stand in a path, and in a message. */
static bool is_plain(pk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char a = s.at[i];
        bool letter = (a >= 'a' && a <= 'z') || (a >= 'A' && a <= 'Z');

        if (!letter && !(a >= '0' && a <= '9') && a != '-' && a != '_')
            return false;
    }
    return s.len > 0 && s.len <= PK_SLUG_BYTES_MAX;
}

/* What the requests have given; where all of them failed, their errors. */
static pk_str file_of(struct pk_call *c, const struct pk_json *batch)
{
    static const char *const members[] = {"output_file_id", "error_file_id"};

    for (size_t i = 0; i < PK_COUNT(members); i++) {
        pk_str id = pk_json_str(c->arena, batch, pk_json_get(batch, 0, members[i]));

        if (is_plain(id))
            return id;
    }
    return PK_NONE;
}

int pk_call_find_output(struct pk_call *c)
{
    const char *provider = pk_call_target(c)->provider->name;
    struct pk_json batch;

    if (!pk_dialect_parse(c->arena, c->answer.body, &batch, &c->error))
        return pk_call_go(c, ST_judge);
    pk_str status = pk_json_str(c->arena, &batch, pk_json_get(&batch, 0, "status"));
    c->output.node = c->node;
    c->output.file = pk_copy(c->arena, file_of(c, &batch));
    if (c->output.file.len == 0 || c->record.attempts == PK_ATTEMPTS_MAX) {
        (void)pk_fail(&c->error, PK_NOT_FOUND, "%s: the batch has no output; its status is %.*s",
                      provider, PK_FMT(is_plain(status) ? status : PK_STR("not known")));
        return pk_call_go(c, ST_judge);
    }
    pk_call_span_end(c);
    c->tries = 0;
    return pk_call_go(c, ST_send);
}
