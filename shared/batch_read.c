/* batch_read.c - what call options say of a batch: see batch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "batch.h"

#include "json.h"

#include <string.h>

struct option {
    const char *name, *must;
    bool (*read)(struct pk_arena *arena, const struct pk_json *doc, int value,
                 struct pk_batch_options *o);
};

static bool read_concurrency(struct pk_arena *arena, const struct pk_json *doc, int value,
                             struct pk_batch_options *o)
{
    int64_t n;

    (void)arena;
    if (!pk_json_int(doc, value, &n) || n < 1 || n > PK_BATCH_CONCURRENCY_MAX)
        return false;
    o->concurrency = (int)n;
    return true;
}

static bool read_dedup(struct pk_arena *arena, const struct pk_json *doc, int value,
                       struct pk_batch_options *o)
{
    (void)arena;
    o->dedup = pk_json_true(doc, value);
    return o->dedup || pk_json_type(doc, value) == PK_JSON_FALSE;
}

static bool read_order(struct pk_arena *arena, const struct pk_json *doc, int value,
                       struct pk_batch_options *o)
{
    (void)arena;
    o->by_completion = pk_json_is(doc, value, "completion");
    return o->by_completion || pk_json_is(doc, value, "input");
}

static bool read_max_error_ratio(struct pk_arena *arena, const struct pk_json *doc, int value,
                                 struct pk_batch_options *o)
{
    (void)arena;
    return pk_json_number(doc, value, &o->max_error_ratio) && o->max_error_ratio >= 0 &&
           o->max_error_ratio <= 1;
}

static bool read_max_calls(struct pk_arena *arena, const struct pk_json *doc, int value,
                           struct pk_batch_options *o)
{
    (void)arena;
    return pk_json_int(doc, value, &o->max_calls) && o->max_calls > 0;
}

static bool read_max_cost_usd(struct pk_arena *arena, const struct pk_json *doc, int value,
                              struct pk_batch_options *o)
{
    (void)arena;
    return pk_json_type(doc, value) == PK_JSON_NUMBER &&
           pk_usd_parse(pk_json_raw(doc, value), &o->max_cost_pusd) && o->max_cost_pusd > 0;
}

static bool read_prompt(struct pk_arena *arena, const struct pk_json *doc, int value,
                        struct pk_batch_options *o)
{
    o->prompt = pk_json_str(arena, doc, value);
    return o->prompt.len > 0 && o->prompt.len <= PK_REFERENCE_BYTES_MAX;
}

/* Those of a job: store_job.c. */
static bool read_executor(struct pk_arena *arena, const struct pk_json *doc, int value,
                          struct pk_batch_options *o)
{
    (void)arena;
    o->batched = pk_json_is(doc, value, "batch");
    return o->estimates ? o->batched || pk_json_is(doc, value, "call")
                        : pk_json_is(doc, value, "call");
}

static bool read_max_attempts(struct pk_arena *arena, const struct pk_json *doc, int value,
                              struct pk_batch_options *o)
{
    int64_t n;

    (void)arena;
    return o->estimates && pk_json_int(doc, value, &n);
}

static const struct option options[] = {
    {"concurrency", "an integer from 1 to 1024", read_concurrency},
    {"dedup", "true or false", read_dedup},
    {"order", "\"input\" or \"completion\"", read_order},
    {"max_error_ratio", "a number from 0 to 1", read_max_error_ratio},
    {"max_calls", "an integer, 1 or more", read_max_calls},
    {"max_cost_usd", "dollars, more than 0", read_max_cost_usd},
    {"prompt", "a prompt's slug, slug@version or slug@label", read_prompt},
    {"executor", "\"call\", or for a job, which pk_enqueue_query() makes, \"batch\"",
     read_executor},
    {"max_attempts", "left to jobs, which pk_enqueue_query() makes", read_max_attempts},
};

/* Reads what there is, and notes its removal in `edits`; how many, or -1. */
static int take(struct pk_arena *arena, const struct pk_json *doc, int pk,
                struct pk_batch_options *o, struct pk_json_edit *edits, struct pk_error *err)
{
    int count = 0;

    for (size_t i = 0; i < PK_COUNT(options); i++) {
        int value = pk_json_get(doc, pk, options[i].name);

        if (value < 0)
            continue;
        if (!options[i].read(arena, doc, value, o)) {
            (void)pk_fail(err, PK_BAD_REQUEST, "params.pk.%s: must be %s", options[i].name,
                          options[i].must);
            return -1;
        }
        edits[count++] = (struct pk_json_edit){pk_str_of(options[i].name), PK_NONE};
    }
    return count;
}

bool pk_batch_options_read(struct pk_arena *arena, pk_str params, struct pk_batch_options *o,
                           pk_str *rest, struct pk_error *err)
{
    struct pk_buf pk_left = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_buf left = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json_edit edits[PK_COUNT(options)];
    struct pk_json doc;

    *rest = params;
    if (params.len == 0)
        return true;
    if (!pk_json_parse(arena, params, "params", &doc, err))
        return false;
    int pk = pk_json_get(&doc, 0, "pk");
    if (pk_json_type(&doc, pk) != PK_JSON_OBJECT)
        return true; /* pk_request_options() says what is wrong, if anything */
    int count = take(arena, &doc, pk, o, edits, err);
    if (count < 0)
        return false;
    pk_json_splice(&pk_left, &doc, pk, edits, count);
    edits[0] = (struct pk_json_edit){PK_STR("pk"), pk_buf_str(&pk_left)};
    pk_json_splice(&left, &doc, 0, edits, 1);
    *rest = pk_buf_str(&left);
    return !(pk_left.failed || left.failed) || pk_fail(err, PK_NO_MEMORY, "params: out of memory");
}
