/* worker_batch_api.c - batch APIs: OpenAI's files and batches, which others have copied, and Anthropic's message
 * batches.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * platform.openai.com/docs/api-reference/batch, docs.anthropic.com/en/api/creating-message-batches. What comes of a
 * batch is a line an item in either, in any order, with the id that the request had: "pk-", the batch, the item, and a sum
 * of the request.
 */
#include "dialect_anthropic.h"
#include "iso.h"
#include "worker_batch_inner.h"

#include <stdio.h>
#include <string.h>

enum {
    PAGES_MAX = 20,
    REMOTE_ID_MAX = 200,
    SKEW_S = 600, /* clocks may be so far apart */
};

bool pkd_batch_is_anthropic(const struct pkd_batcher *b)
{
    return b->target->provider->dialect == &pk_dialect_anthropic;
}

static bool parse(struct pkd_batcher *b, pk_str text, struct pk_json *doc, struct pk_error *err)
{
    return pk_json_parse(&b->arena, text, "batch", doc, err);
}

/* An id goes into paths. */
static bool read_id(struct pkd_batcher *b, const struct pk_json *doc, int value, pk_str *id)
{
    *id = pk_copy(&b->arena, pk_json_str(&b->arena, doc, value));
    for (size_t i = 0; i < id->len; i++) {
        char c = id->at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            id->len = 0;
    }
    return id->len > 0 && id->len <= REMOTE_ID_MAX;
}

void pkd_batch_unanswered(const struct pkd_batcher *b, const char *why, struct pkd_outcome *o)
{
    (void)pk_fail(&o->error, PK_UPSTREAM, "%.*s: %s", PK_FMT(b->batch.provider), why);
    o->error.retryable = true;
}

static bool no_answer(const struct pkd_batcher *b, const char *what, struct pk_error *err)
{
    return pk_fail(err, PK_BAD_ANSWER, "%.*s: %s", PK_FMT(b->batch.provider), what);
}

/* --- ids ----------------------------------------------------------------------------------- */

void pkd_batch_hex(const struct pkd_batcher *b, char out[PKD_BATCH_HEX + 1])
{
    for (int i = 0; i < PK_UUID_BYTES; i++)
        (void)snprintf(out + (ptrdiff_t)2 * i, 3, "%02x", b->batch.id[i]);
}

void pkd_batch_custom_id(const struct pkd_batcher *b, int64_t ord, uint32_t sum,
                         char out[PKD_CUSTOM_ID_BYTES])
{
    char hex[PKD_BATCH_HEX + 1];

    pkd_batch_hex(b, hex);
    (void)snprintf(out, PKD_CUSTOM_ID_BYTES, "pk-%s-%lld-%08x", hex, (long long)ord, (unsigned)sum);
}

/* --- lines --------------------------------------------------------------------------------- */

/* JSON may have line ends between its values, and nowhere else. */
static void add_one_line(struct pk_buf *out, pk_str json)
{
    size_t from = 0;

    for (size_t i = 0; i < json.len; i++) {
        if (json.at[i] != '\n' && json.at[i] != '\r')
            continue;
        pk_buf_add(out, pk_str_sub(json, from, i - from));
        pk_buf_addc(out, ' ');
        from = i + 1;
    }
    pk_buf_add(out, pk_str_sub(json, from, json.len));
}

bool pkd_batch_add_line(struct pkd_batcher *b, const char *custom_id, pk_str body)
{
    struct pk_buf *out = &b->lines;

    b->full = b->full || b->line_count == PK_JOB_BATCH_ITEMS_MAX ||
              (b->line_count > 0 && out->len + body.len > PK_JOB_BATCH_BYTES_MAX);
    if (b->full)
        return false;
    if (pkd_batch_is_anthropic(b)) {
        pk_buf_addf(out, "%s{\"custom_id\":\"%s\",\"params\":", b->line_count ? "," : "",
                    custom_id);
        pk_buf_add(out, body);
    } else {
        pk_buf_addf(out,
                    "{\"custom_id\":\"%s\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
                    "\"body\":",
                    custom_id);
        add_one_line(out, body);
    }
    pk_buf_adds(out, pkd_batch_is_anthropic(b) ? "}" : "}\n");
    b->line_count++;
    return true;
}

/* --- sending ------------------------------------------------------------------------------- */

static void ask_json(struct pkd_batcher *b, enum pk_method method, pk_str tail, pk_str body,
                     struct pkd_batch_answer *a)
{
    const struct pkd_batch_question q = {
        .operation = pkd_batch_is_anthropic(b) ? &pk_operation_proxy : &pk_operation_batches,
        .method = method,
        .tail = pkd_batch_is_anthropic(b)
                    ? pk_copyf(&b->arena, "/v1/messages/batches%.*s", PK_FMT(tail))
                    : tail,
        .body = body,
        .content_type = PK_STR("application/json"),
    };

    pkd_batch_ask(b, &q, a);
}

/* The id of what was made. */
static bool take_id(struct pkd_batcher *b, struct pkd_batch_answer *a, pk_str *id)
{
    struct pk_json doc;

    if (a->error.code != PK_OK)
        return false;
    if (!parse(b, a->body, &doc, &a->error))
        return false;
    return read_id(b, &doc, pk_json_get(&doc, 0, "id"), id) ||
           no_answer(b, "it has made something without an id", &a->error);
}

bool pkd_batch_upload(struct pkd_batcher *b, struct pkd_batch_answer *a)
{
    struct pk_buf body = pk_buf_in(&b->arena, PK_BODY_BYTES_MAX);
    char hex[PKD_BATCH_HEX + 1];

    if (b->lines.failed)
        return pk_fail(&a->error, PK_NO_MEMORY, "batch: out of memory");
    if (pkd_batch_is_anthropic(b) || b->batch.file_id.len)
        return true;
    pkd_batch_hex(b, hex);
    pk_buf_addf(&body,
                "--pk%s\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
                "--pk%s\r\ncontent-disposition: form-data; name=\"file\"; "
                "filename=\"pk-%s.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n",
                hex, hex, hex);
    pk_buf_add(&body, pk_buf_str(&b->lines));
    pk_buf_addf(&body, "\r\n--pk%s--\r\n", hex);
    if (body.failed)
        return pk_fail(&a->error, PK_NO_MEMORY, "batch: out of memory");
    const struct pkd_batch_question q = {
        .operation = &pk_operation_files,
        .body = pk_buf_str(&body),
        .content_type = pk_copyf(&b->arena, "multipart/form-data; boundary=pk%s", hex),
    };
    pkd_batch_ask(b, &q, a);
    return take_id(b, a, &b->batch.file_id);
}

bool pkd_batch_create(struct pkd_batcher *b, struct pkd_batch_answer *a)
{
    struct pk_buf body = pk_buf_in(&b->arena, PK_BODY_BYTES_MAX);
    char hex[PKD_BATCH_HEX + 1];

    pkd_batch_hex(b, hex);
    if (pkd_batch_is_anthropic(b)) {
        pk_buf_adds(&body, "{\"requests\":[");
        pk_buf_add(&body, pk_buf_str(&b->lines));
        pk_buf_adds(&body, "]}");
    } else {
        pk_buf_addf(&body,
                    "{\"input_file_id\":\"%.*s\",\"endpoint\":\"/v1/chat/completions\","
                    "\"completion_window\":\"24h\",\"metadata\":{\"pk_batch\":\"%s\"}}",
                    PK_FMT(b->batch.file_id), hex);
    }
    if (body.failed)
        return pk_fail(&a->error, PK_NO_MEMORY, "batch: out of memory");
    ask_json(b, PK_POST, PK_NONE, pk_buf_str(&body), a);
    return take_id(b, a, &b->batch.remote_id);
}

void pkd_batch_cancel(struct pkd_batcher *b, struct pkd_batch_answer *a)
{
    ask_json(b, PK_POST, pk_copyf(&b->arena, "/%.*s/cancel", PK_FMT(b->batch.remote_id)), PK_NONE,
             a);
}

/* --- looking ------------------------------------------------------------------------------- */

static bool is_one_of(const struct pk_json *doc, int value, const char *const *words)
{
    for (; *words; words++)
        if (pk_json_is(doc, value, *words))
            return true;
    return false;
}

/* All of it was refused: each item is answered so. */
static void read_refusal(struct pkd_batcher *b, const struct pk_json *doc, struct pkd_outcome *o)
{
    static const char *const busy[] = {"token_limit_exceeded", "rate_limit_exceeded", NULL};
    int errors = pk_json_get(doc, pk_json_get(doc, 0, "errors"), "data");
    int first = pk_json_item(doc, errors, 0), code = pk_json_get(doc, first, "code");

    o->status = is_one_of(doc, code, busy) ? 429 : 400;
    o->body = first < 0 ? PK_STR("{\"error\":{\"message\":\"the batch failed\"}}")
                        : pk_copyf(&b->arena, "{\"error\":%.*s}", PK_FMT(pk_json_raw(doc, first)));
}

static void read_openai_state(struct pkd_batcher *b, const struct pk_json *doc,
                              struct pkd_batch_state *state)
{
    static const char *const over[] = {"completed", "failed", "expired", "cancelled", NULL};
    int status = pk_json_get(doc, 0, "status");

    state->over = is_one_of(doc, status, over);
    (void)read_id(b, doc, pk_json_get(doc, 0, "output_file_id"), &state->files[0]);
    (void)read_id(b, doc, pk_json_get(doc, 0, "error_file_id"), &state->files[1]);
    if (pk_json_is(doc, status, "failed"))
        read_refusal(b, doc, &state->outcome);
    else if (pk_json_is(doc, status, "expired"))
        pkd_batch_unanswered(b, "the batch expired before this was answered", &state->outcome);
    else if (pk_json_is(doc, status, "cancelled"))
        pkd_batch_unanswered(b, "the batch was cancelled before this was answered",
                             &state->outcome);
}

bool pkd_batch_look(struct pkd_batcher *b, struct pkd_batch_state *state, struct pk_error *err)
{
    struct pkd_batch_answer a = {0};
    struct pk_json doc;

    *state = (struct pkd_batch_state){0};
    pkd_batch_unanswered(b, "the batch has no answer to this", &state->outcome);
    ask_json(b, PK_GET, pk_copyf(&b->arena, "/%.*s", PK_FMT(b->batch.remote_id)), PK_NONE, &a);
    if (a.error.code != PK_OK) {
        *err = a.error;
        return false;
    }
    if (!parse(b, a.body, &doc, err))
        return false;
    if (pkd_batch_is_anthropic(b)) {
        state->over = pk_json_is(&doc, pk_json_get(&doc, 0, "processing_status"), "ended");
        state->files[0] = b->batch.remote_id;
    } else {
        read_openai_state(b, &doc, state);
    }
    return true;
}

/* --- looking for it ------------------------------------------------------------------------ */

/* What a page of the list says. */
struct seeking {
    bool found, wait, past; /* past: what follows is older than the batch */
    pk_str last;
};

static bool is_older(const struct pkd_batcher *b, const struct pk_json *doc, int one)
{
    int value = pk_json_get(doc, one, "created_at");
    int64_t at_s = 0, at_us = 0;
    pk_str text = pk_json_type(doc, value) == PK_JSON_STRING
                      ? pk_str_sub(pk_json_raw(doc, value), 1, pk_json_raw(doc, value).len - 2)
                      : PK_NONE;

    if (text.len && pk_iso_us(text, &at_us))
        at_s = at_us / 1000000;
    else if (!pk_json_int(doc, value, &at_s))
        return false;
    return at_s < b->batch.created_us / 1000000 - SKEW_S;
}

static int64_t requests_of(const struct pk_json *doc, int one)
{
    static const char *const names[] = {"processing", "succeeded", "errored", "canceled",
                                        "expired"};
    int counts = pk_json_get(doc, one, "request_counts");
    int64_t sum = 0;

    for (size_t i = 0; i < PK_COUNT(names); i++) {
        int64_t n = 0;

        if (pk_json_int(doc, pk_json_get(doc, counts, names[i]), &n) && n <= INT32_MAX && n >= 0)
            sum += n;
    }
    return sum;
}

/* Anthropic says of a batch how many requests it has, and when it is over, whose. */
static bool probe(struct pkd_batcher *b, const struct pk_json *doc, int one, struct seeking *s,
                  struct pk_error *err)
{
    struct pkd_batch_answer a = {0};
    bool known = false;
    pk_str id;

    if (requests_of(doc, one) != b->batch.items ||
        !read_id(b, doc, pk_json_get(doc, one, "id"), &id))
        return true;
    if (!pk_store_job_batch_known(b->w.store, id, &known, err))
        return false;
    if (known)
        return true;
    if (!pk_json_is(doc, pk_json_get(doc, one, "processing_status"), "ended")) {
        s->wait = true;
        return true;
    }
    s->found = pkd_batch_is_whose(b, id, &a);
    if (s->found)
        b->batch.remote_id = id;
    else if (a.error.code == PK_NETWORK || a.error.code == PK_TIMEOUT || a.error.status >= 500)
        s->wait = true;
    return true;
}

static bool seek_page(struct pkd_batcher *b, const struct pk_json *doc, struct seeking *s,
                      struct pk_error *err)
{
    int list = pk_json_get(doc, 0, "data");
    char hex[PKD_BATCH_HEX + 1];

    pkd_batch_hex(b, hex);
    for (int i = pk_json_first(doc, list); i >= 0 && !s->found; i = pk_json_next(doc, list, i)) {
        int name = pk_json_get(doc, pk_json_get(doc, i, "metadata"), "pk_batch");

        s->past = is_older(b, doc, i);
        if (!read_id(b, doc, pk_json_get(doc, i, "id"), &s->last) || s->past)
            continue;
        if (pkd_batch_is_anthropic(b) && !probe(b, doc, i, s, err))
            return false;
        if (!pkd_batch_is_anthropic(b) && pk_json_is(doc, name, hex)) {
            s->found = true;
            b->batch.remote_id = s->last;
        }
    }
    return true;
}

bool pkd_batch_find(struct pkd_batcher *b, bool *found, bool *wait, struct pk_error *err)
{
    struct seeking s = {0};
    bool more = true;

    for (int page = 0; page < PAGES_MAX && more && !s.found && !s.past; page++) {
        const char *after = pkd_batch_is_anthropic(b) ? "after_id" : "after";
        struct pkd_batch_answer a = {0};
        struct pk_json doc;
        pk_str tail = s.last.len ? pk_copyf(&b->arena, "?limit=100&%s=%.*s", after, PK_FMT(s.last))
                                 : PK_STR("?limit=100");

        ask_json(b, PK_GET, tail, PK_NONE, &a);
        if (a.error.code != PK_OK) {
            *err = a.error;
            return false;
        }
        if (!parse(b, a.body, &doc, err) || !seek_page(b, &doc, &s, err))
            return false;
        more = pk_json_true(&doc, pk_json_get(&doc, 0, "has_more"));
    }
    *found = s.found;
    *wait = !s.found && (s.wait || (more && !s.past)); /* too many came after it */
    return true;
}

void pkd_batch_clean(struct pkd_batcher *b, const struct pkd_batch_state *state)
{
    const pk_str files[] = {b->batch.file_id, state->files[0], state->files[1]};

    for (size_t i = 0; i < PK_COUNT(files) && !pkd_batch_is_anthropic(b); i++) {
        struct pkd_batch_answer a = {0};
        const struct pkd_batch_question q = {
            .operation = &pk_operation_files,
            .method = PK_DELETE,
            .tail = pk_copyf(&b->arena, "/%.*s", PK_FMT(files[i])),
        };

        if (files[i].len && !pkd_batch_stopping(b))
            pkd_batch_ask(b, &q, &a);
    }
}
