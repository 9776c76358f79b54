/* feedback.c - see feedback.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "feedback.h"

#include "answer.h"
#include "path.h"
#include "store_value.h"

enum { ITEMS_MAX = 1000, WRITE_WAIT_MS = 100, SETTLE_WAIT_MS = 1000 };

/* A label ("thumbs_up") is metadata that has a name of its own; the metadata's own label wins. */
static bool add_label(struct pk_arena *arena, pk_str label, struct pk_feedback *f,
                      struct pk_error *err)
{
    struct pk_buf b = pk_buf_in(arena, PK_METADATA_BYTES_MAX);

    pk_buf_adds(&b, "{\"label\":");
    pk_json_quote(&b, label);
    pk_buf_addc(&b, '}');
    if (b.failed)
        return pk_fail(err, PK_TOO_LARGE, "label: too long");
    pk_str own = f->metadata;
    f->metadata = pk_buf_str(&b);
    return own.len == 0 || pk_json_merge(arena, f->metadata, own, "metadata", &f->metadata, err);
}

/* Reads the value of one member; false when there is no such member in feedback. */
static bool read_member(struct pk_arena *arena, const struct pk_json *doc, int key,
                        struct pk_feedback *f, struct pk_error *err)
{
    int value = key + 1;

    if (pk_json_is(doc, key, "label"))
        return pk_json_type(doc, value) == PK_JSON_STRING ||
               pk_fail(err, PK_BAD_REQUEST, "label: must be a string");
    if (pk_json_is(doc, key, "trace_id")) {
        f->trace_id = pk_json_str(arena, doc, value);
        return f->trace_id.len || pk_fail(err, PK_BAD_REQUEST, "trace_id: must be a string");
    }
    if (pk_json_is(doc, key, "value"))
        return pk_json_int(doc, value, &f->value) ||
               pk_fail(err, PK_BAD_REQUEST, "value: must be an integer from -10 to 10");
    if (pk_json_is(doc, key, "weight"))
        return pk_json_number(doc, value, &f->weight) ||
               pk_fail(err, PK_BAD_REQUEST, "weight: must be a number from 0 to 1");
    if (pk_json_is(doc, key, "metadata")) {
        f->metadata = pk_json_type(doc, value) == PK_JSON_NULL ? PK_NONE : pk_json_raw(doc, value);
        return true;
    }
    return pk_fail(err, PK_BAD_REQUEST, "unknown member %.*s",
                   PK_FMT(pk_str_sub(pk_json_raw(doc, key), 0, 64)));
}

static bool read_one(struct pkd_thread *t, const struct pk_json *doc, int item,
                     struct pk_feedback *f, struct pk_error *err)
{
    uint64_t random = pk_random_next(&t->random);

    *f = (struct pk_feedback){.at_us = pk_clock_us(), .weight = 1};
    pk_uuid7(f->at_us, random, f->id);
    if (pk_json_type(doc, item) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "feedback: must be an object or an array of objects");
    if (pk_json_get(doc, item, "trace_id") < 0 || pk_json_get(doc, item, "value") < 0)
        return pk_fail(err, PK_BAD_REQUEST, "feedback: trace_id and value are needed");
    for (int k = pk_json_first(doc, item); k >= 0; k = pk_json_next(doc, item, k))
        if (!read_member(&t->scratch, doc, k, f, err))
            return false;
    int label = pk_json_get(doc, item, "label");
    if (label >= 0 && !add_label(&t->scratch, pk_json_str(&t->scratch, doc, label), f, err))
        return false;
    return pk_feedback_check(&t->scratch, f, err);
}

/* Reads all before the first is written. *count says how many. */
static struct pk_feedback *read_all(struct pkd_thread *t, pk_str body, int *count,
                                    struct pk_error *err)
{
    struct pk_json doc;
    struct pk_feedback *list = NULL;

    if (!pk_json_parse(&t->scratch, body, "body", &doc, err))
        return NULL;
    bool array = pk_json_type(&doc, 0) == PK_JSON_ARRAY;
    *count = array ? pk_json_count(&doc, 0) : 1;
    if (*count < 1 || *count > ITEMS_MAX) {
        (void)pk_fail(err, PK_BAD_REQUEST, "feedback: must be 1 to %d items", ITEMS_MAX);
        return NULL;
    }
    list = pk_alloc(&t->scratch, sizeof *list * (size_t)*count);
    if (!list)
        (void)pk_fail(err, PK_NO_MEMORY, "feedback: out of memory");
    int item = array ? pk_json_first(&doc, 0) : 0;
    for (int i = 0; list && i < *count; i++) {
        if (!read_one(t, &doc, item, &list[i], err))
            return NULL;
        item = array ? pk_json_next(&doc, 0, item) : item;
    }
    return list;
}

static bool write_all(struct pkd_thread *t, const struct pk_feedback *list, int count,
                      struct pk_error *err)
{
    for (int i = 0; i < count; i++) {
        struct pk_buf entry = pk_buf_in(&t->scratch, PK_BODY_BYTES_MAX);

        pk_journal_feedback(&entry, &list[i]);
        if (entry.failed || !pk_writer_add(t->app->writer, pk_buf_str(&entry), 0, WRITE_WAIT_MS))
            return pk_fail(err, PK_STORE, "feedback: the log writer is full");
    }
    return true;
}

void pkd_feedback_take(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    struct pk_buf out = pk_buf_in(&t->scratch, PK_BODY_BYTES_MAX);
    struct pk_error err = {0};
    int count = 0;
    const struct pk_feedback *list = read_all(t, req->body, &count, &err);

    if (!list || !write_all(t, list, count, &err)) {
        pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
        return;
    }
    pk_buf_adds(&out, "{\"status\":\"success\",\"message\":\"Feedback successfully saved\","
                      "\"feedback_ids\":[");
    for (int i = 0; i < count; i++) {
        char id[PK_UUID_TEXT + 1];

        pk_uuid_print(list[i].id, id);
        pk_buf_addf(&out, "%s\"%s\"", i ? "," : "", id);
    }
    pk_buf_adds(&out, "]}");
    pkd_answer_json(c, 200, pk_buf_str(&out));
}

/* --- PUT ------------------------------------------------------------------------------------ */

static bool take_changed(void *ctx, const struct pk_value *v, int count)
{
    (void)v;
    (void)count;
    *(bool *)ctx = true;
    return true;
}

/* Reads what is to change; *weighed tells whether the weight is among it. */
static bool read_change(struct pkd_errand *e, struct pk_feedback *f, bool *weighed,
                        struct pk_error *err)
{
    struct pk_json doc;

    if (!pk_json_parse(e->arena, e->body, "body", &doc, err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT || pk_json_get(&doc, 0, "value") < 0)
        return pk_fail(err, PK_BAD_REQUEST, "feedback: must be an object with a value");
    if (pk_json_get(&doc, 0, "trace_id") >= 0)
        return pk_fail(err, PK_BAD_REQUEST, "trace_id: cannot be changed");
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k))
        if (!read_member(e->arena, &doc, k, f, err))
            return false;
    *weighed = pk_json_get(&doc, 0, "weight") >= 0;
    int label = pk_json_get(&doc, 0, "label");
    return label < 0 || add_label(e->arena, pk_json_str(e->arena, &doc, label), f, err);
}

bool pkd_feedback_change(struct pkd_errand *e, struct pk_error *err)
{
    struct pk_feedback f = {.at_us = pk_clock_us(), .weight = 1, .trace_id = PK_STR("-")};
    pk_str text = pkd_path_segment(e->arena, e->path, 2);
    bool weighed = false, found = false;

    if (!read_change(e, &f, &weighed, err) || !pk_feedback_check(e->arena, &f, err))
        return false;
    bool written = pk_writer_flush(e->app->writer, SETTLE_WAIT_MS);
    if (pk_uuid_parse(text, f.id)) {
        const struct pk_value args[] = {pk_v_blob(f.id, sizeof f.id), pk_v_int(f.value),
                                        weighed ? pk_v_real(f.weight) : pk_v_null(),
                                        pk_v_text(f.metadata)};

        if (!e->store->ops->exec(e->store, PK_SQL_feedback_change, args, PK_COUNT(args),
                                 take_changed, &found, err))
            return false;
    }
    pk_buf_addf(&e->out,
                "{\"status\":\"success\",\"message\":\"Feedback successfully updated\","
                "\"feedback_ids\":[\"%.*s\"]}",
                PK_FMT(text));
    if (!found && !written)
        return pk_fail(err, PK_STORE_DOWN, "feedback: what came before is not written yet");
    return found || pk_fail(err, PK_NOT_FOUND, "feedback: there is none called \"%.*s\"",
                            PK_FMT(pk_str_sub(text, 0, PK_SLUG_BYTES_MAX)));
}
