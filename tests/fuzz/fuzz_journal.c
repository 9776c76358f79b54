/* fuzz_journal.c - bytes that claim to be a write on their way to the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Refused, or applied: then applying it again changes nothing, and the views can be read.
 */
#include "journal.h"
#include "test_store.h"

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
    } else {
        PK_ASSERT(err.code != PK_OK && err.msg[0]);
    }
    PK_ASSERT(s->ops->end(s, false, &err));
    return 0;
}
