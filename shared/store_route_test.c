/* store_route_test.c - circuits that open and close, figures from the log, and how a resolver sees both.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_route.h"

#include "resolve.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *store;
static struct pk_resolver *resolver;
static const int64_t now_us = 1763725112000000, s_us = 1000000;
static uint64_t rows;

static void fresh(void)
{
    pk_resolver_free(resolver);
    pk_store_close(store);
    store = test_store(":memory:");
    resolver = pk_resolver_new(pk_allocator_malloc());
    rows = 0;
}

static int64_t epoch(void)
{
    int64_t e = 0;

    EXPECT(pk_store_epoch(store, &e, &err));
    return e;
}

/* A call whose attempts at config.targets[0] ended at `at_us`. */
static struct pk_record call_with(struct pk_breaker breaker, int attempts, int failures,
                                  int64_t at_us)
{
    static struct pk_outcome outcome;
    struct pk_record r = {.trace_id = PK_STR("t"),
                          .operation = PK_STR("chat"),
                          .source = PK_STR("sqlite"),
                          .started_us = at_us - 1000,
                          .ended_us = at_us,
                          .circuit = PK_STR("prod"),
                          .circuit_version = 1,
                          .outcome_count = 1,
                          .outcomes = &outcome};

    rows++;
    pk_uuid7(at_us, (uint64_t)rows << 8, r.id);
    r.outcomes[0] = (struct pk_outcome){.target_path = PK_STR("config.targets[0]"),
                                        .breaker = breaker,
                                        .attempts = attempts,
                                        .failures = failures,
                                        .at_us = at_us};
    return r;
}

static void circuits_open_when_they_have_had_enough(void)
{
    static const struct {
        const char *what;
        struct pk_breaker breaker;
        struct {
            int attempts, failures;
            double at_s;
        } calls[5];
        const char *then; /* state, requests, failures after the last */
    } cases[] = {
        {"three failures", {3, 0, 10, 60000}, {{1, 1, 0}, {1, 1, 1}, {1, 1, 2}}, "open 3 3"},
        {"two failures of three", {3, 0, 10, 60000}, {{1, 1, 0}, {1, 1, 1}}, "closed 2 2"},
        {"answers in between", {2, 0, 10, 60000}, {{1, 1, 0}, {5, 0, 1}, {1, 1, 2}}, "open 7 2"},
        {"retries in one call", {3, 0, 10, 60000}, {{4, 4, 0}}, "open 4 4"},
        {"half of ten", {0, 50, 10, 60000}, {{5, 5, 0}, {4, 0, 1}, {1, 0, 2}}, "open 10 5"},
        {"too few to judge", {0, 50, 10, 60000}, {{9, 9, 0}}, "closed 9 9"},
        {"not quite half", {0, 50, 10, 60000}, {{20, 9, 0}}, "closed 20 9"},
        {"either limit", {3, 90, 10, 60000}, {{100, 3, 0}}, "open 100 3"},
        {"a window that is over", {2, 0, 10, 2000}, {{1, 1, 0}, {1, 1, 2.5}}, "closed 1 1"},
        {"a little out of order", {2, 0, 10, 2000}, {{1, 1, 1}, {1, 1, 0.5}}, "open 2 2"},
        {"far out of order", {2, 0, 10, 2000}, {{1, 1, 5}, {1, 1, 0.5}}, "closed 1 1"},
        {"while it is open", {1, 0, 10, 60000}, {{1, 1, 0}, {1, 1, 1}, {1, 0, 2}}, "open 1 1"},
        {"after the cooldown", {1, 0, 10, 2000}, {{1, 1, 0}, {1, 0, 2}}, "closed 1 0"},
        {"again after it", {1, 0, 10, 2000}, {{1, 1, 0}, {1, 1, 3}}, "open 1 1"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        double last_s = 0;
        char sql[200];

        fresh();
        for (size_t k = 0; k < PK_COUNT(cases[i].calls) && cases[i].calls[k].attempts; k++) {
            struct pk_record r =
                call_with(cases[i].breaker, cases[i].calls[k].attempts, cases[i].calls[k].failures,
                          now_us + (int64_t)(cases[i].calls[k].at_s * 1e6));

            last_s = cases[i].calls[k].at_s;
            EXPECT(pk_store_record_add(store, &r, &err));
        }
        (void)snprintf(sql, sizeof sql,
                       "select case when until_us > %lld then 'open' else 'closed' end || ' ' || "
                       "attempts || ' ' || failures from pk_circuit",
                       (long long)now_us + (long long)(last_s * 1e6));
        if (!EXPECT(test_says(store, sql, cases[i].then)))
            printf("# %s\n", cases[i].what);
    }
}

static void a_record_counts_once(void)
{
    struct pk_record r;

    fresh();
    r = call_with((struct pk_breaker){9, 0, 10, 60000}, 1, 1, now_us);
    for (int i = 0; i < 3; i++)
        EXPECT(pk_store_record_add(store, &r, &err));
    EXPECT(test_says(store, "select attempts from pk_circuit", "1"));
}

static void opening_moves_the_epoch(void)
{
    struct pk_record r;

    fresh();
    r = call_with((struct pk_breaker){2, 0, 10, 60000}, 1, 1, now_us);
    int64_t before = epoch();
    EXPECT(pk_store_record_add(store, &r, &err) && epoch() == before);
    r = call_with((struct pk_breaker){2, 0, 10, 60000}, 1, 1, now_us + s_us);
    EXPECT(pk_store_record_add(store, &r, &err) && epoch() > before);
    EXPECT(
        test_says(store,
                  "select state || ' ' || requests || ' ' || failures || ' ' || opened_at || ' ' "
                  "|| until from pk_circuits",
                  "closed 2 2 2025-11-21T11:38:33.000Z 2025-11-21T11:39:33.000Z"));
}

static void old_rows_go(void)
{
    struct pk_record r;

    fresh();
    r = call_with((struct pk_breaker){9, 0, 10, 60000}, 1, 1, now_us - 3 * 86400 * s_us);
    EXPECT(pk_store_record_add(store, &r, &err));
    r = call_with((struct pk_breaker){9, 0, 10, 60000}, 1, 1, now_us);
    r.circuit = PK_STR("other");
    EXPECT(pk_store_record_add(store, &r, &err));
    EXPECT(test_says(store, "select group_concat(config) from pk_circuit", "other"));
}

/* --- the resolver ---------------------------------------------------------------------- */

static const struct pk_snapshot *resolve(const char *reference, int64_t at_us)
{
    const struct pk_snapshot *s = pk_resolve(resolver, store, pk_str_of(reference), at_us, &err);

    if (!EXPECT(s))
        printf("# %s\n", err.msg);
    return s;
}

static uint64_t open_at(const char *reference, int64_t at_us)
{
    const struct pk_snapshot *s = resolve(reference, at_us);
    uint64_t open = s ? s->config.open : UINT64_MAX;

    pk_snapshot_release(resolver, s);
    return open;
}

#define TARGETS                                                                                    \
    "\"targets\":[{\"provider\":\"ollama\",\"custom_host\":\"http://localhost:1\"},"               \
    "{\"provider\":\"ollama\",\"custom_host\":\"http://localhost:2\"}]}"
#define BREAKER                                                                                    \
    "{\"strategy\":{\"mode\":\"fallback\",\"cb_config\":{\"failure_threshold\":1,"                 \
    "\"cooldown_interval\":60000}}," TARGETS

static void an_open_circuit_is_seen_until_it_closes(void)
{
    int64_t version;
    struct pk_record r;

    fresh();
    EXPECT(pk_store_config_put(store, &arena, PK_STR("prod"), PK_STR(BREAKER), now_us, &version,
                               &err));
    EXPECT(open_at("prod", now_us) == 0);
    r = call_with((struct pk_breaker){1, 0, 10, 60000}, 1, 1, now_us + s_us);
    EXPECT(pk_store_record_add(store, &r, &err));
    EXPECT(open_at("prod", now_us + 2 * s_us) == 1 << 1); /* node 1 is targets[0] */
    EXPECT(open_at("prod", now_us + 60 * s_us) == 1 << 1);
    EXPECT(open_at("prod", now_us + 61 * s_us) == 0);
    /* Another version has other targets, so its circuits are others. */
    EXPECT(pk_store_config_put(store, &arena, PK_STR("prod"), PK_STR(BREAKER), now_us, &version,
                               &err));
    EXPECT(open_at("prod", now_us + 2 * s_us) == 0);
}

static void an_inline_config_is_known_by_its_hash(void)
{
    const struct pk_snapshot *s;
    struct pk_record r;

    fresh();
    s = resolve(BREAKER, now_us);
    EXPECT(pk_str_starts(s->config.circuit, "#") && s->config.circuit.len == 33);
    r = call_with((struct pk_breaker){1, 0, 10, 60000}, 1, 1, now_us);
    r.circuit = s->config.circuit;
    r.circuit_version = 0;
    EXPECT(pk_store_record_add(store, &r, &err));
    pk_snapshot_release(resolver, s);
    EXPECT(open_at(BREAKER, now_us + s_us) == 1 << 1);
    s = resolve("{\"provider\":\"ollama\"}", now_us);
    EXPECT(s && s->config.circuit.len == 0);
    pk_snapshot_release(resolver, s);
}

/* --- figures --------------------------------------------------------------------------- */

struct
try {
    const char *path;
    int64_t ms;
    int status;
    enum pk_code code;
    int64_t tokens, cost_pusd;
};

static void log_try(const char *slug, const struct try *t, int64_t at_us)
{
    struct pk_record r = call_with((struct pk_breaker){0}, 0, 0, at_us);
    struct pk_span span;

    r.outcome_count = 0;
    r.config = pk_str_of(slug);
    r.span_count = 1;
    r.spans = &span;
    r.spans[0] = (struct pk_span){.target_path = pk_str_of(t->path),
                                  .provider = PK_STR("ollama"),
                                  .model = PK_STR("m"),
                                  .started_us = at_us,
                                  .ended_us = at_us + t->ms * 1000,
                                  .status = t->status,
                                  .code = t->code,
                                  .used = t->tokens > 0,
                                  .input_tokens = t->tokens,
                                  .cost_known = t->cost_pusd > 0,
                                  .cost_pusd = t->cost_pusd};
    if (t->code == PK_OK) { /* then the call's row says it all */
        r.target_path = r.spans[0].target_path;
        r.provider = r.spans[0].provider;
        r.request_model = r.spans[0].model;
        r.http_status = t->status;
        r.usage = (struct pk_usage){.source = t->tokens ? PK_USAGE_PROVIDER : PK_USAGE_NONE,
                                    .input = t->tokens};
        r.cost_known = t->cost_pusd > 0;
        r.cost_pusd = t->cost_pusd;
    }
    EXPECT(pk_store_record_add(store, &r, &err));
}

static struct pk_figure figure(const struct pk_figures *f, const char *path)
{
    return pk_figure_find(f, pk_figure_id(pk_str_of(path), PK_STR("ollama"), PK_STR("m")));
}

static void figures_come_from_the_log(void)
{
    static const struct try tries[] = {
        {"a", 100, 200, PK_OK, 1000, 5000}, {"a", 200, 200, PK_OK, 1000, 7000},
        {"a", 300, 200, PK_OK, 0, 0},       {"b", 100, 200, PK_OK, 0, 0},
        {"b", 100, 200, PK_OK, 0, 0},       {"b", 100, 200, PK_OK, 0, 0},
        {"b", 1, 503, PK_UPSTREAM, 0, 0},   {"b", 1, 429, PK_UPSTREAM, 0, 0},
        {"b", 1, 0, PK_NETWORK, 0, 0},      {"b", 1, 400, PK_UPSTREAM, 0, 0}, /* the client's */
        {"b", 9000, 0, PK_CANCELLED, 0, 0}, {"c", 100, 200, PK_OK, 0, 0},
        {"c", 100, 200, PK_OK, 0, 0},       {"d", 1, 500, PK_UPSTREAM, 0, 0},
        {"d", 1, 500, PK_UPSTREAM, 0, 0},   {"d", 1, 500, PK_UPSTREAM, 0, 0},
    };
    struct pk_figures f;

    fresh();
    for (size_t i = 0; i < PK_COUNT(tries); i++)
        log_try("prod", &tries[i], now_us);
    for (int i = 0; i < 3; i++) {
        log_try(NULL, &(struct try){"a", 7, 200, PK_OK, 0, 0}, now_us);
        log_try("prod", &(struct try){"e", 7, 200, PK_OK, 0, 0}, now_us - 3601 * s_us);
    }
    EXPECT(pk_store_figures_load(store, PK_STR("prod"), now_us + s_us, &f, &err));
    EXPECT(figure(&f, "a").latency_us == 200000 && figure(&f, "a").cost_pusd == 6000000);
    EXPECT(figure(&f, "b").latency_us == 200000 && figure(&f, "b").cost_pusd == -1);
    EXPECT(figure(&f, "c").latency_us == -1); /* two answers are too few */
    EXPECT(figure(&f, "d").latency_us == -1); /* failing fast is not fast */
    EXPECT(figure(&f, "e").latency_us == -1); /* too long ago */
    EXPECT(pk_store_figures_load(store, PK_NONE, now_us + s_us, &f, &err));
    EXPECT(figure(&f, "a").latency_us == 7000);
}

static void figures_are_read_anew_after_half_a_minute(void)
{
    static const char config[] =
        "{\"strategy\":{\"mode\":\"loadbalance\",\"by\":\"latency\"}," TARGETS;
    const struct pk_snapshot *s;

    fresh();
    for (int pass = 0; pass < 4; pass++) { /* before; at once; still; after half a minute */
        static const int64_t at_s[] = {0, 1, 29, 31};

        s = resolve(config, now_us + at_s[pass] * s_us);
        EXPECT(s->config.figures && (s->config.figures->count > 0) == (pass == 3));
        pk_snapshot_release(resolver, s);
        for (int i = 0; pass == 0 && i < 3; i++)
            log_try(NULL, &(struct try){"config.targets[0]", 7, 200, PK_OK, 0, 0}, now_us);
    }
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(circuits_open_when_they_have_had_enough);
    RUN(a_record_counts_once);
    RUN(opening_moves_the_epoch);
    RUN(old_rows_go);
    RUN(an_open_circuit_is_seen_until_it_closes);
    RUN(an_inline_config_is_known_by_its_hash);
    RUN(figures_come_from_the_log);
    RUN(figures_are_read_anew_after_half_a_minute);
    pk_resolver_free(resolver);
    pk_store_close(store);
    pk_arena_free(&arena);
    return test_end();
}
