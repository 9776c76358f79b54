/* fn_chat.c - requests and answers of pk_chat, pk_ask, pk_try_chat, pk_embed, pk_moderate, pk_prompt and pk_replay.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "verb.h"

#include "utils/uuid.h"

enum { OWN_ROW_WAIT_MS = 2000 };

/* --- the request ------------------------------------------------------------------------- */

bool pk_build_chat(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    return pk_request_chat(run->arena, pk_arg_json(fcinfo, 1, false), pk_arg_json(fcinfo, 2, false),
                           false, &run->request, err);
}

bool pk_build_ask(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    return pk_request_ask(run->arena, pk_arg_text(fcinfo, 1), pk_arg_text(fcinfo, 2),
                          pk_arg_json(fcinfo, 3, false), &run->request, err);
}

bool pk_build_embed(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    int64_t dimensions = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);

    if (!PG_ARGISNULL(2) && dimensions == 0)
        dimensions = -1; /* which no model makes */
    return pk_request_embed(run->arena, pk_arg_text(fcinfo, 1), dimensions,
                            pk_arg_json(fcinfo, 3, false), &run->request, err);
}

bool pk_build_moderate(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    return pk_request_moderate(run->arena, pk_arg_text(fcinfo, 1), pk_arg_json(fcinfo, 2, false),
                               &run->request, err);
}

bool pk_build_prompt(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    run->use = (struct pk_prompt_use){.reference = pk_arg_text(fcinfo, 0),
                                      .vars = pk_arg_json(fcinfo, 1, false),
                                      .params = pk_arg_json(fcinfo, 3, false)};
    pk_secret_random(&run->use.seed, sizeof run->use.seed);
    return pk_request_options(run->arena, run->use.params, &run->request, err);
}

/* The rest of pk_build_prompt(), from the store. */
bool pk_load_prompt(struct pk_run *run, pk_str *config, struct pk_error *err)
{
    run->use.config = *config;
    bool ok = pk_store_prompt_request(run->store, run->arena, &run->use, &run->request, err);
    pk_store_spi_check(run->store);
    *config = run->use.config;
    return ok;
}

bool pk_build_replay(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    memcpy(run->replay.id, PG_GETARG_UUID_P(0)->data, PK_UUID_BYTES);
    return true;
}

/* The rest of pk_build_replay(), from the store. */
bool pk_load_log(struct pk_run *run, pk_str *config, struct pk_error *err)
{
    run->replay.config = *config;
    if (pk_ring_open())
        (void)pk_ring_flush(OWN_ROW_WAIT_MS); /* it may be this session's last call */
    bool ok = pk_store_replay_request(run->store, run->arena, &run->replay, &run->request, err);
    pk_store_spi_check(run->store);
    *config = run->replay.config;
    return ok;
}

/* --- the answer -------------------------------------------------------------------------- */

bool pk_give_chat(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    struct pk_json doc;

    return pk_reply_read(run->arena, pk_buf_str(&run->body), &doc, err) &&
           pk_reply_chat(run->arena, pk_call_record(run->task.call), &doc, out, err);
}

bool pk_give_text(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    struct pk_json doc;

    return pk_reply_read(run->arena, pk_buf_str(&run->body), &doc, err) &&
           pk_reply_text(run->arena, &doc, out, is_null, err);
}

bool pk_give_vector(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    float *at;
    int dims;

    if (!pk_reply_vector(run->arena, run->request.body, pk_buf_str(&run->body), &at, &dims, err))
        return false;
    *out = (pk_str){(const char *)at, (size_t)dims * sizeof *at};
    return true;
}

bool pk_give_verdict(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    return pk_reply_verdict(run->arena, pk_buf_str(&run->body), out, err);
}

bool pk_give_try(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    return pk_reply_try(run->arena, pk_call_record(run->task.call), pk_call_error(run->task.call),
                        pk_buf_str(&run->body), out, err);
}
