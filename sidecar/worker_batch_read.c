/* worker_batch_read.c - what came of a batch: a line an item, in any order, as it comes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A line that is none, of nobody, or of an item that is over, is passed over.
 */
#include "worker_batch_inner.h"

enum { LINE_BYTES_MAX = PK_BODY_BYTES_MAX };

static bool read_sum(pk_str text, uint32_t *sum)
{
    *sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (digit < 0)
            return false;
        *sum = *sum * 16 + (uint32_t)digit;
    }
    return text.len == 8;
}

/* False: it is of another batch, or of nobody's. */
static bool read_custom_id(const struct pkd_batcher *b, pk_str id, int64_t *ord, uint32_t *sum)
{
    char hex[PKD_BATCH_HEX + 1];
    pk_str rest = pk_str_sub(id, PKD_BATCH_HEX + 4, id.len);
    int dash = pk_str_find(rest, '-');

    pkd_batch_hex(b, hex);
    return pk_str_starts(id, "pk-") && pk_str_is(pk_str_sub(id, 3, PKD_BATCH_HEX), hex) &&
           dash > 0 && pk_str_int(pk_str_sub(rest, 0, (size_t)dash), ord) &&
           read_sum(pk_str_sub(rest, (size_t)dash + 1, rest.len), sum);
}

/* --- reading ------------------------------------------------------------------------------- */

/* Lines of a file as it comes. */
struct reading {
    struct pkd_batcher *b;
    struct pk_buf line;
    bool skipping; /* a line that is too long */
    bool probing;  /* only the first line matters: whose it is */
    bool ours;
    bool failed;
    struct pk_error *err;
};

static const struct {
    const char *type;
    int status;
} anthropic_errors[] = {
    {"invalid_request_error", 400}, {"authentication_error", 401},
    {"billing_error", 402},         {"permission_error", 403},
    {"not_found_error", 404},       {"request_too_large", 413},
    {"rate_limit_error", 429},      {"api_error", 500},
    {"timeout_error", 504},         {"overloaded_error", 529},
};

static int anthropic_status(const struct pk_json *doc, int type)
{
    for (size_t i = 0; i < PK_COUNT(anthropic_errors); i++)
        if (pk_json_is(doc, type, anthropic_errors[i].type))
            return anthropic_errors[i].status;
    return 500;
}

/* {"custom_id":...,"result":{"type":"succeeded","message":{...}}} */
static void read_anthropic(struct pkd_batcher *b, const struct pk_json *doc, struct pkd_outcome *o)
{
    int result = pk_json_get(doc, 0, "result"), type = pk_json_get(doc, result, "type");

    if (pk_json_is(doc, type, "succeeded")) {
        o->status = 200;
        o->body = pk_json_raw(doc, pk_json_get(doc, result, "message"));
    } else if (pk_json_is(doc, type, "errored")) {
        int error = pk_json_get(doc, result, "error");
        o->body = pk_json_raw(doc, error);
        o->status =
            anthropic_status(doc, pk_json_get(doc, pk_json_get(doc, error, "error"), "type"));
    } else if (pk_json_is(doc, type, "expired")) {
        pkd_batch_unanswered(b, "the batch expired before this was answered", o);
    } else if (pk_json_is(doc, type, "canceled")) {
        pkd_batch_unanswered(b, "the batch was cancelled before this was answered", o);
    } else {
        pkd_batch_unanswered(b, "its answer in the batch cannot be read", o);
    }
}

/* {"custom_id":...,"response":{"status_code":200,"body":{...}},"error":null} */
static void read_openai(struct pkd_batcher *b, const struct pk_json *doc, struct pkd_outcome *o)
{
    int response = pk_json_get(doc, 0, "response"), error = pk_json_get(doc, 0, "error");
    int64_t status = 0;

    o->body = pk_json_raw(doc, pk_json_get(doc, response, "body"));
    if (pk_json_int(doc, pk_json_get(doc, response, "status_code"), &status) && status >= 200 &&
        status <= 599 && o->body.len) {
        o->status = (int)status;
        return;
    }
    pk_str words = pk_json_str(&b->arena, doc, pk_json_get(doc, error, "message"));
    words = pk_str_sub(words, 0, 160);
    pkd_batch_unanswered(b,
                         words.len ? pk_copyf(&b->arena, "%.*s", PK_FMT(words)).at
                                   : "its answer in the batch cannot be read",
                         o);
}

static struct pkd_batch_open *find_open(struct pkd_batcher *b, int64_t ord)
{
    int from = 0, to = b->open_count;

    while (from < to) {
        int middle = from + (to - from) / 2;

        if (b->open[middle].claim.ord < ord)
            from = middle + 1;
        else
            to = middle;
    }
    return from < b->open_count && b->open[from].claim.ord == ord ? &b->open[from] : NULL;
}

static bool save_some(struct reading *r)
{
    struct pkd_batcher *b = r->b;

    if (b->w.over.count < PKD_BATCH_SAVED)
        return true;
    r->failed = !pkd_batch_save_items(b, r->err);
    return !r->failed;
}

/* A line of no item that is open is none of ours, or was read before. */
static bool read_line(struct reading *r)
{
    struct pkd_batcher *b = r->b;
    struct pkd_outcome o = {0};
    struct pk_error unused;
    struct pk_json doc;
    int64_t ord = 0;

    if (!pk_json_parse(&b->w.scratch, pk_buf_str(&r->line), "line", &doc, &unused))
        return true;
    pk_str id = pk_json_str(&b->w.scratch, &doc, pk_json_get(&doc, 0, "custom_id"));
    bool ours = read_custom_id(b, id, &ord, &o.sum);
    if (r->probing) {
        r->ours = ours;
        return false;
    }
    struct pkd_batch_open *open = ours ? find_open(b, ord) : NULL;
    if (!open || open->answered)
        return true;
    if (pkd_batch_is_anthropic(b))
        read_anthropic(b, &doc, &o);
    else
        read_openai(b, &doc, &o);
    pkd_batch_end_item(b, open, &o);
    return save_some(r) && pkd_batch_keep(b);
}

static bool end_line(struct reading *r)
{
    bool go_on = r->skipping || pk_str_trim(pk_buf_str(&r->line)).len == 0 || read_line(r);

    r->skipping = false;
    pk_buf_reset(&r->line);
    pk_arena_free(&r->b->w.scratch);
    return go_on;
}

static bool feed(void *ctx, pk_str bytes)
{
    struct reading *r = ctx;

    while (bytes.len) {
        int end = pk_str_find(bytes, '\n');
        pk_str part = pk_str_sub(bytes, 0, end < 0 ? bytes.len : (size_t)end);

        r->skipping = r->skipping || r->line.len + part.len > LINE_BYTES_MAX;
        if (!r->skipping)
            pk_buf_add(&r->line, part);
        if (end < 0)
            return true;
        bytes = pk_str_sub(bytes, (size_t)end + 1, bytes.len);
        if (!end_line(r))
            return false;
    }
    return true;
}

static void read_file(struct pkd_batcher *b, pk_str file, struct reading *r,
                      struct pkd_batch_answer *a)
{
    const struct pkd_batch_question q = {
        .operation = pkd_batch_is_anthropic(b) ? &pk_operation_proxy : &pk_operation_files,
        .method = PK_GET,
        .tail = pkd_batch_is_anthropic(b)
                    ? pk_copyf(&b->arena, "/v1/messages/batches/%.*s/results", PK_FMT(file))
                    : pk_copyf(&b->arena, "/%.*s/content", PK_FMT(file)),
        .sink = feed,
        .ctx = r,
    };

    r->b = b;
    r->line = pk_buf_in(&b->arena, LINE_BYTES_MAX + 1);
    pkd_batch_ask(b, &q, a);
    if (a->error.code == PK_OK && !a->cut && r->line.len && !r->failed)
        (void)end_line(r); /* the last line has no end */
}

bool pkd_batch_read(struct pkd_batcher *b, const struct pkd_batch_state *state,
                    struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(state->files); i++) {
        struct reading r = {.err = err};
        struct pkd_batch_answer a = {0};

        if (state->files[i].len == 0)
            continue;
        read_file(b, state->files[i], &r, &a);
        if (r.failed || !pkd_batch_save_items(b, err))
            return false;
        if (a.error.code != PK_OK) {
            *err = a.error;
            return false;
        }
    }
    return true;
}

bool pkd_batch_is_whose(struct pkd_batcher *b, pk_str id, struct pkd_batch_answer *a)
{
    struct pk_error unused = {0};
    struct reading r = {.probing = true, .err = &unused};

    read_file(b, id, &r, a);
    return r.ours;
}
