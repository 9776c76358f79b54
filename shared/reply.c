/* reply.c - see reply.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reply.h"

#include "codec.h"
#include "member.h"

/* Milliseconds as pk_logs has them: with the microseconds. */
static void add_ms(struct pk_buf *out, const char *name, int64_t us)
{
    pk_member_key(out, name);
    pk_buf_addf(out, "%lld.%03lld", (long long)(us / 1000), (long long)(us % 1000));
}

static void add_cost(struct pk_buf *out, const struct pk_record *r)
{
    char usd[32] = "null";

    if (r->cost_known)
        pk_usd_print(r->cost_pusd, usd);
    pk_member_key(out, "cost_usd");
    pk_buf_adds(out, usd);
}

static void add_pk(struct pk_buf *out, const struct pk_record *r)
{
    pk_buf_addc(out, '{');
    pk_member_text(out, "trace_id", r->trace_id);
    pk_member_text(out, "provider", r->provider);
    pk_member_text(out, "model", r->model);
    add_cost(out, r);
    pk_member_text(out, "cache_status", pk_str_of(pk_cache_status_name(r->cache_status)));
    pk_member_int(out, "attempts", r->attempts);
    add_ms(out, "latency_ms", r->ended_us - r->started_us);
    if (r->dropped.len)
        pk_member_text(out, "dropped", r->dropped);
    pk_buf_addc(out, '}');
}

bool pk_reply_read(struct pk_arena *arena, pk_str body, struct pk_json *doc, struct pk_error *err)
{
    return pk_json_parse(arena, body, "answer", doc, err) &&
           (pk_json_type(doc, 0) == PK_JSON_OBJECT ||
            pk_fail(err, PK_BAD_ANSWER, "answer: not an object"));
}

bool pk_reply_chat(struct pk_arena *arena, const struct pk_record *r, const struct pk_json *doc,
                   pk_str *out, struct pk_error *err)
{
    struct pk_buf pk = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);
    struct pk_buf text = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    add_pk(&pk, r);
    struct pk_json_edit edit = {PK_STR("pk"), pk_buf_str(&pk)};
    pk_json_splice(&text, doc, 0, &edit, 1);
    *out = pk_buf_str(&text);
    return !(pk.failed || text.failed) || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

bool pk_reply_text(struct pk_arena *arena, const struct pk_json *doc, pk_str *out, bool *is_null,
                   struct pk_error *err)
{
    int content = pk_json_at(doc, "choices[0].message.content");

    *is_null = pk_json_type(doc, content) != PK_JSON_STRING;
    *out = pk_json_str(arena, doc, content);
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

bool pk_reply_vector(struct pk_arena *arena, pk_str request, pk_str body, float **at, int *dims,
                     struct pk_error *err)
{
    struct pk_json doc, asked;
    int64_t wanted;

    if (!pk_json_parse(arena, request, "input", &asked, err) ||
        !pk_reply_read(arena, body, &doc, err) ||
        !pk_embed_floats(arena, &doc, pk_json_at(&doc, "data[0].embedding"), at, dims, err))
        return false;
    return !pk_json_int(&asked, pk_json_get(&asked, 0, "dimensions"), &wanted) || wanted == *dims ||
           pk_fail(err, PK_BAD_ANSWER, "answer: an embedding of %d dimensions instead of %lld",
                   *dims, (long long)wanted);
}

static void add_raw(struct pk_buf *out, const char *name, pk_str json)
{
    pk_member_key(out, name);
    pk_buf_add(out, json.len ? json : PK_STR("null"));
}

bool pk_reply_verdict(struct pk_arena *arena, pk_str body, pk_str *out, struct pk_error *err)
{
    struct pk_buf text = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_json doc;

    if (!pk_reply_read(arena, body, &doc, err))
        return false;
    int result = pk_json_at(&doc, "results[0]");
    if (pk_json_type(&doc, result) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no results in it");
    pk_buf_addc(&text, '{');
    add_raw(&text, "flagged", pk_json_raw(&doc, pk_json_get(&doc, result, "flagged")));
    add_raw(&text, "categories", pk_json_raw(&doc, pk_json_get(&doc, result, "categories")));
    add_raw(&text, "scores", pk_json_raw(&doc, pk_json_get(&doc, result, "category_scores")));
    pk_buf_addc(&text, '}');
    *out = pk_buf_str(&text);
    return !text.failed || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

static void add_error(struct pk_buf *out, const struct pk_record *r, const struct pk_error *e)
{
    pk_str code = pk_str_of(pk_code_name(e->code));

    pk_buf_adds(out, ",\"error\":{");
    pk_member_text(out, "code", code);
    pk_member_text(out, "type", code);
    pk_member_text(out, "message", r->error_message.len ? r->error_message : pk_str_of(e->msg));
    pk_member_int(out, "http_status", e->status);
    pk_buf_addf(out, ",\"retryable\":%s}", e->retryable ? "true" : "false");
}

/* What guardrails said of a call that failed: the error's document has it too. */
static void add_hooks(struct pk_arena *arena, struct pk_buf *out, pk_str error)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    if (error.len == 0 || !pk_json_parse(arena, error, "error", &doc, &unused))
        return;
    int hooks = pk_json_get(&doc, 0, "hook_results");
    if (hooks < 0)
        return;
    pk_member_key(out, "hook_results");
    pk_buf_add(out, pk_json_raw(&doc, hooks));
}

bool pk_reply_try(struct pk_arena *arena, const struct pk_record *r, const struct pk_error *e,
                  pk_str body, pk_str *out, struct pk_error *err)
{
    struct pk_buf text = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    pk_str answer = PK_STR("null"), usage = PK_STR("null");
    struct pk_json doc;

    if (e->code == PK_OK) {
        if (!pk_reply_read(arena, body, &doc, err) || !pk_reply_chat(arena, r, &doc, &answer, err))
            return false;
        int v = pk_json_get(&doc, 0, "usage");
        usage = v < 0 ? usage : pk_json_raw(&doc, v);
    }
    pk_buf_addf(&text, "{\"ok\":%s,\"response\":", e->code == PK_OK ? "true" : "false");
    pk_buf_add(&text, answer);
    if (e->code == PK_OK)
        pk_buf_adds(&text, ",\"error\":null");
    else
        add_error(&text, r, e);
    pk_buf_adds(&text, ",\"usage\":");
    pk_buf_add(&text, usage);
    pk_member_text(&text, "trace_id", r->trace_id);
    if (e->code != PK_OK)
        add_hooks(arena, &text, body);
    pk_buf_addc(&text, '}');
    *out = pk_buf_str(&text);
    return !text.failed || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}
