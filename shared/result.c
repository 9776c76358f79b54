/* result.c - see result.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "result.h"

#include "reply.h"

#include <string.h>

static void take_answer(struct pk_arena *arena, const struct pk_record *r, pk_str body,
                        struct pk_result *out)
{
    struct pk_error err = {0};
    struct pk_json doc;
    bool is_null = true;

    if (!pk_reply_read(arena, body, &doc, &err) ||
        !pk_reply_chat(arena, r, &doc, &out->response, &err) ||
        !pk_reply_text(arena, &doc, &out->content, &is_null, &err)) {
        pk_result_of_error(arena, &err, out);
        return;
    }
    out->ok = true;
    out->has_content = !is_null;
    out->content = pk_copy(arena, out->content);
}

void pk_result_of_error(struct pk_arena *arena, const struct pk_error *err, struct pk_result *out)
{
    out->ok = false;
    out->error_code = pk_code_name(err->code);
    out->error_message = pk_copy(arena, pk_str_of(err->msg));
    out->retryable = err->retryable;
    out->http_status = err->status;
    out->cost_known = true; /* nothing was paid, or it is said below */
}

void pk_result_of_call(struct pk_arena *arena, const struct pk_call *call, pk_str body,
                       struct pk_result *out)
{
    const struct pk_record *r = pk_call_record(call);
    const struct pk_error *e = pk_call_error(call);
    const struct pk_usage *u = &r->usage;

    *out = (struct pk_result){0};
    if (e->code == PK_OK)
        take_answer(arena, r, body, out);
    else
        pk_result_of_error(arena, e, out);
    if (e->code != PK_OK && r->error_message.len)
        out->error_message = pk_copy(arena, r->error_message);
    out->http_status = out->ok ? r->http_status : out->http_status;
    out->provider = pk_copy(arena, r->provider);
    out->model = pk_copy(arena, r->model);
    out->trace_id = pk_copy(arena, r->trace_id);
    out->cache_status = pk_str_of(pk_cache_status_name(r->cache_status));
    out->has_usage = r->usage.source != PK_USAGE_NONE;
    out->input_tokens = u->input + u->cache_read + u->cache_write + u->cache_write_1h;
    out->output_tokens = u->output + u->reasoning;
    out->cost_known = r->cost_known;
    out->cost_pusd = r->cost_pusd;
    out->latency_us = r->ended_us - r->started_us;
    out->attempts = r->attempts;
}

void pk_result_why(const struct pk_result *r, struct pk_error *err)
{
    static const enum pk_code codes[] = {
#define FAILURE(code, name, status, sqlstate, retryable) code,
#include "errors.def"
#undef FAILURE
    };

    (void)pk_fail(err, PK_BAD_ANSWER, "the answer has no text");
    for (size_t i = 0; r->error_code && i < PK_COUNT(codes); i++)
        if (strcmp(pk_code_name(codes[i]), r->error_code) == 0)
            (void)pk_fail(err, codes[i], "%.*s", PK_FMT(r->error_message));
}
