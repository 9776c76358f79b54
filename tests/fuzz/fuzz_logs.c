/* fuzz_logs.c - any bytes as calls that go into the log, and as the query and the filter that look for them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The calls, 0xff, the query, 0xff, the filter. What is taken can be written.
 * Links sidecar/logs_insert.c sidecar/logs_filter.c sidecar/path.c
 */
#include "journal.h"
#include "test_store.h"

#include "fuzz.h"

#include "../../sidecar/logs_filter.h"
#include "../../sidecar/logs_insert.h"

static struct pk_store *store;
static int added;

bool pk_writer_add(struct pk_writer *w, pk_str entry, uint64_t tag, int64_t wait_ms)
{
    struct pk_error err = {0};

    (void)w;
    (void)tag;
    (void)wait_ms;
    PK_ASSERT(pk_journal_apply(store, entry, &err));
    added++;
    return true;
}

static void insert(struct pk_arena *arena, const struct pkd_app *app, pk_str body)
{
    struct pkd_errand e = {.arena = arena, .store = store, .app = app, .body = body};
    struct pk_error err = {0};
    struct pk_json doc;

    e.out = pk_buf_in(arena, PKD_ERRAND_BYTES_MAX);
    added = 0;
    PK_ASSERT(store->ops->begin(store, &err));
    if (pkd_logs_insert(&e, &err)) {
        PK_ASSERT(pk_json_parse(arena, pk_buf_str(&e.out), "answer", &doc, &err));
        PK_ASSERT(pk_json_count(&doc, pk_json_get(&doc, 0, "ids")) == added && added > 0);
        PK_ASSERT(atoi(test_ask(store, "select count(cost_usd) + count(*) from pk_logs")) >= added);
    } else {
        PK_ASSERT(err.code != PK_OK && !strchr(err.msg, '\n') && added == 0);
    }
    PK_ASSERT(store->ops->end(store, false, &err));
}

static void check(bool read, const struct pk_error *err)
{
    PK_ASSERT(read || err->code == PK_BAD_REQUEST || err->code == PK_BAD_JSON);
    PK_ASSERT(read || !strchr(err->msg, '\n'));
}

static void filter(struct pk_arena *arena, const struct pkd_app *app, pk_str query, pk_str json)
{
    struct pkd_errand e = {.arena = arena, .store = store, .app = app, .query = query};
    struct pkd_filter *f = pk_alloc(arena, sizeof *f);
    struct pk_error err = {0};
    struct pk_json doc;

    PK_ASSERT(f);
    check(pkd_filter_query(&e, f, &err), &err);
    PK_ASSERT(f->page_size <= PKD_PAGE_ROWS_MAX);
    if (err.code == PK_OK)
        PK_ASSERT(pkd_filter_bucket_us(f) > 0);
    err.code = PK_OK;
    if (pk_json_parse(arena, json, "filter", &doc, &err))
        check(pkd_filter_json(&e, &doc, 0, f, &err), &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct pkd_app *app;
    struct pk_arena arena = fuzz_arena();
    pk_str rest = fuzz_text(bytes, size), body = fuzz_part(&rest), query = fuzz_part(&rest);

    if (!app) {
        app = calloc(1, sizeof *app);
        store = test_store(":memory:");
    }
    PK_ASSERT(app);
    insert(&arena, app, body);
    filter(&arena, app, query, rest);
    pk_arena_free(&arena);
    return 0;
}
