/* fuzz_journal.c - bytes that claim to be a write on their way to the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Refused, or applied: then applying it again changes nothing, and the views can be read. A call that differs in its id
 * alone has a row that does, but for where its texts are: of those that are remembered, others may have taken the place.
 */
#include "journal.h"
#include "store_group.h"
#include "test_store.h"

enum { ID_AT = 3, KIND_AT = 1 }; /* of an entry, which has two versions and a kind before the id */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static long long rows(struct pk_store *s)
{
    return atoll(test_ask(s,
                          "select (select count(*) from pk_log) + (select count(*) from pk_span) +"
                          " (select count(*) from pk_cache_entry) +"
                          " (select count(*) from pk_feedback_item)"));
}

static void read_views(struct pk_store *s)
{
    (void)test_ask(s, "select sum(length(l.error_message)), max(l.cost_usd) from pk_logs l");
    (void)test_ask(s, "select count(started_at), max(latency_ms) from pk_spans");
    (void)test_ask(s, "select count(created_at), max(cost_usd) from pk_cache");
    (void)test_ask(s, "select count(hour), max(cost_usd) from pk_usage_hourly");
}

/* Whether the numbers before the id take a byte each, as those that are written do. */
static bool is_short(const uint8_t *bytes)
{
    for (int i = 0; i < ID_AT; i++)
        if (bytes[i] & 0x80)
            return false;
    return true;
}

static void write_two_together(pk_str entry)
{
    static struct pk_store *s;
    struct pk_error err = {.code = PK_OK};
    char *other = malloc(entry.len);

    if (!s) {
        s = test_store(":memory:");
        pk_store_group_init(s);
        s->unseen = true;
    }
    PK_ASSERT(other);
    memcpy(other, entry.at, entry.len);
    other[ID_AT] ^= 1;
    PK_ASSERT(pk_store_group_begin(s, false, &err));
    PK_ASSERT(pk_journal_apply(s, entry, &err));
    PK_ASSERT(pk_journal_apply(s, (pk_str){other, entry.len}, &err));
    PK_ASSERT(pk_store_group_settle(s, &err));
    PK_ASSERT(test_says(s, "select count(*) from pk_log", "2"));
    PK_ASSERT(test_says(
        s,
        "select count(*) from (select distinct started_us, duration_us, trace_id, span_id, "
        "operation,"
        " source, provider, model, request_model, status, http_status, error_type, input_tokens,"
        " output_tokens, cost_pusd, cost_saved_pusd, cache_status, api_key, user_id, prompt, "
        "metadata,"
        " request_id is null, response_id is null from pk_log)",
        "1"));
    PK_ASSERT(!pk_store_group_end(s, false, &err));
    free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct pk_store *s;
    pk_str entry = {(const char *)bytes, size};
    struct pk_error err = {.code = PK_OK};

    if (!s)
        s = test_store(":memory:");
    PK_ASSERT(s->ops->begin(s, &err));
    if (pk_journal_apply(s, entry, &err)) {
        long long before = rows(s);
        PK_ASSERT(pk_journal_apply(s, entry, &err) && rows(s) == before);
        read_views(s);
        if (bytes[KIND_AT] == 0 && is_short(bytes))
            write_two_together(entry);
    } else {
        PK_ASSERT(err.code != PK_OK && err.msg[0]);
    }
    PK_ASSERT(s->ops->end(s, false, &err));
    return 0;
}
