/* metrics.c - see metrics.h; what is counted is in meter.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A series with labels is printed once it is above 0. Dollars and seconds are printed from whole numbers.
 */
#include "metrics.h"

#include "writer.h"
#include "xfer.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_BYTES_MAX = 8 << 20, MICRO = 1000000 };

/* What is printed, and of whom. */
struct page {
    struct pk_buf out;
    const struct pkd_meter *first;
};

static void head(struct page *p, const char *kind, const char *name, const char *help)
{
    pk_buf_addf(&p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* --- sums ---------------------------------------------------------------------------------- */

static int64_t count_at(const void *base, size_t at)
{
    const pkd_count *c = (const void *)((const char *)base + at);

    return atomic_load_explicit(c, memory_order_relaxed);
}

/* Of the counter at an offset of struct pkd_meter. */
static int64_t sum(const struct page *p, size_t at)
{
    int64_t total = 0;

    for (const struct pkd_meter *m = p->first; m; m = m->next)
        total += count_at(m, at);
    return total;
}

/* Of the counter at an offset of struct pkd_provider_meter, of the provider in that place. */
static int64_t sum_of(const struct page *p, int provider, size_t at)
{
    int64_t total = 0;

    for (const struct pkd_meter *m = p->first; m; m = m->next) {
        const struct pkd_provider_meter *one =
            atomic_load_explicit(&m->providers[provider], memory_order_acquire);

        total += one ? count_at(one, at) : 0;
    }
    return total;
}

/* --- values -------------------------------------------------------------------------------- */

/* Seconds of microseconds: "0.0025", "60". */
static void print_seconds(struct pk_buf *out, int64_t us)
{
    char fraction[8];
    size_t len = sizeof fraction - 2;

    (void)snprintf(fraction, sizeof fraction, "%06d", (int)(us % MICRO));
    while (len > 0 && fraction[len - 1] == '0')
        len--;
    pk_buf_addf(out, len ? "%lld.%.*s" : "%lld", (long long)(us / MICRO), (int)len, fraction);
}

static void print_dollars(struct pk_buf *out, int64_t pusd)
{
    char usd[32];

    pk_usd_print(pusd, usd);
    pk_buf_adds(out, usd);
}

static void plain(struct page *p, const char *kind, const char *name, const char *help,
                  int64_t value)
{
    head(p, kind, name, help);
    pk_buf_addf(&p->out, "%s %lld\n", name, (long long)value);
}

/* --- histograms ---------------------------------------------------------------------------- */

/* A histogram of all threads: of one provider, or of none (-1); at an offset of the one's meter or of the thread's. */
struct view {
    const char *name;
    const int64_t *bounds;
    int provider;
    size_t at;
};

static int64_t view_sum(const struct page *p, const struct view *v, size_t at)
{
    return v->provider < 0 ? sum(p, v->at + at) : sum_of(p, v->provider, v->at + at);
}

static void print_buckets(struct page *p, const struct view *v, const char *labels,
                          const int64_t *counts)
{
    int64_t total = 0;
    int i = 0;

    for (; v->bounds[i] != INT64_MAX; i++) {
        total += counts[i];
        pk_buf_addf(&p->out, "%s_bucket{%s%sle=\"", v->name, labels, *labels ? "," : "");
        print_seconds(&p->out, v->bounds[i]);
        pk_buf_addf(&p->out, "\"} %lld\n", (long long)total);
    }
    total += counts[i];
    pk_buf_addf(&p->out, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", v->name, labels, *labels ? "," : "",
                (long long)total);
}

static void print_histogram(struct page *p, const struct view *v)
{
    int64_t counts[PKD_BUCKETS_MAX] = {0}, total = 0;
    char labels[64] = "";
    const char *open = v->provider < 0 ? "" : "{", *close = v->provider < 0 ? "" : "}";

    for (size_t i = 0; i < PKD_BUCKETS_MAX; i++)
        total += counts[i] = view_sum(p, v, i * sizeof(pkd_count));
    if (total == 0 && v->provider >= 0)
        return;
    if (v->provider >= 0)
        (void)snprintf(labels, sizeof labels, "provider=\"%s\"", pkd_meter_provider(v->provider));
    print_buckets(p, v, labels, counts);
    pk_buf_addf(&p->out, "%s_sum%s%s%s ", v->name, open, labels, close);
    print_seconds(&p->out, view_sum(p, v, offsetof(struct pkd_histogram, sum_us)));
    pk_buf_addf(&p->out, "\n%s_count%s%s%s %lld\n", v->name, open, labels, close, (long long)total);
}

static void add_histograms(struct page *p)
{
    struct view overhead = {"pkd_overhead_seconds", pkd_overhead_bounds, -1,
                            offsetof(struct pkd_meter, overhead)};
    struct view latency = {"pkd_call_seconds", pkd_call_bounds, 0,
                           offsetof(struct pkd_provider_meter, latency)};
    struct view first = {"pkd_first_token_seconds", pkd_call_bounds, 0,
                         offsetof(struct pkd_provider_meter, first_token)};
    int count = pkd_meter_providers();

    head(p, "histogram", overhead.name, "Time of a call that was not spent waiting for providers.");
    print_histogram(p, &overhead);
    head(p, "histogram", latency.name, "Time from a call's request to the end of its answer.");
    for (latency.provider = 0; latency.provider < count; latency.provider++)
        print_histogram(p, &latency);
    head(p, "histogram", first.name, "Time from a call's request to the first token of a stream.");
    for (first.provider = 0; first.provider < count; first.provider++)
        print_histogram(p, &first);
}

/* --- counters with labels -------------------------------------------------------------------- */

static const char *const code_names[PKD_CODES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void add_calls(struct page *p)
{
    static const char *const operations[] = {
#define OPERATION(symbol, name, ...) name,
#include "operations.def"
#undef OPERATION
    };
    const size_t row = PKD_CODES * sizeof(pkd_count);

    head(p, "counter", "pkd_calls_total",
         "Calls by operation, provider that answered, and class of HTTP status.");
    for (int i = 0; i < pkd_meter_providers(); i++) {
        for (size_t k = 0; k < PKD_OPERATIONS * PKD_CODES; k++) {
            size_t o = k / PKD_CODES, c = k % PKD_CODES;
            int64_t n = sum_of(p, i, o * row + c * sizeof(pkd_count));

            if (n)
                pk_buf_addf(&p->out,
                            "pkd_calls_total{operation=\"%s\",provider=\"%s\",code=\"%s\"} %lld\n",
                            operations[o], pkd_meter_provider(i), code_names[c], (long long)n);
        }
    }
}

/* A list of counters of each provider, with a label for their place in the list. */
static void add_by_provider(struct page *p, const char *name, const char *label,
                            const char *const *values, size_t count, size_t at)
{
    for (int i = 0; i < pkd_meter_providers(); i++) {
        for (size_t k = 0; k < count; k++) {
            int64_t n = sum_of(p, i, at + k * sizeof(pkd_count));

            if (n)
                pk_buf_addf(&p->out, "%s{provider=\"%s\",%s=\"%s\"} %lld\n", name,
                            pkd_meter_provider(i), label, values[k], (long long)n);
        }
    }
}

static void add_providers(struct page *p)
{
    static const char *const kinds[PKD_TOKENS] = {"input", "cache_read", "cache_write", "output",
                                                  "reasoning"};

    add_calls(p);
    head(p, "counter", "pkd_attempts_total",
         "Requests sent to providers, by class of their answer; none: no answer came.");
    add_by_provider(p, "pkd_attempts_total", "code", code_names, PKD_CODES,
                    offsetof(struct pkd_provider_meter, attempts));
    head(p, "counter", "pkd_tokens_total", "Tokens used, each counted under one kind.");
    add_by_provider(p, "pkd_tokens_total", "kind", kinds, PKD_TOKENS,
                    offsetof(struct pkd_provider_meter, tokens));
    head(p, "counter", "pkd_cost_usd_total", "Dollars spent by calls whose cost is known.");
    for (int i = 0; i < pkd_meter_providers(); i++) {
        int64_t pusd = sum_of(p, i, offsetof(struct pkd_provider_meter, cost_pusd));

        if (pusd == 0)
            continue;
        pk_buf_addf(&p->out, "pkd_cost_usd_total{provider=\"%s\"} ", pkd_meter_provider(i));
        print_dollars(&p->out, pusd);
        pk_buf_addc(&p->out, '\n');
    }
}

/* The word as a label's value: "SEMANTIC HIT" is semantic_hit. */
static void print_word(struct pk_buf *out, const char *word)
{
    for (; *word; word++)
        pk_buf_addc(out, *word == ' '                   ? '_'
                         : *word >= 'A' && *word <= 'Z' ? (char)(*word + ('a' - 'A'))
                                                        : *word);
}

static void add_series(struct page *p, const char *name, const char *label, const char *word,
                       int64_t value)
{
    pk_buf_addf(&p->out, "%s{%s=\"", name, label);
    print_word(&p->out, word);
    pk_buf_addf(&p->out, "\"} %lld\n", (long long)value);
}

static void add_outcomes(struct page *p)
{
    static const char *const by[PKD_REFUSALS] = {"auth", "request", "limit", "guardrail"};

    head(p, "counter", "pkd_outcomes_total", "Calls by how they ended, as in pk_logs.status.");
    for (int i = 0; i < PKD_STATUSES; i++)
        add_series(p, "pkd_outcomes_total", "status", pk_status_name((enum pk_status)i),
                   sum(p, offsetof(struct pkd_meter, statuses) + (size_t)i * sizeof(pkd_count)));
    head(p, "counter", "pkd_cache_total", "Calls by what the cache said.");
    for (int i = 0; i < PKD_CACHE_STATUSES; i++)
        add_series(p, "pkd_cache_total", "status", pk_cache_status_name((enum pk_cache_status)i),
                   sum(p, offsetof(struct pkd_meter, cached) + (size_t)i * sizeof(pkd_count)));
    head(p, "counter", "pkd_cache_saved_usd_total", "Dollars that answers from the cache saved.");
    pk_buf_adds(&p->out, "pkd_cache_saved_usd_total ");
    print_dollars(&p->out, sum(p, offsetof(struct pkd_meter, saved_pusd)));
    pk_buf_addc(&p->out, '\n');
    head(p, "counter", "pkd_refused_total", "Requests refused, by what refused them.");
    for (int i = 0; i < PKD_REFUSALS; i++)
        add_series(p, "pkd_refused_total", "by", by[i],
                   sum(p, offsetof(struct pkd_meter, refused) + (size_t)i * sizeof(pkd_count)));
}

/* --- the writer and the process -------------------------------------------------------------- */

static void add_writer(struct page *p, struct pk_writer *w)
{
    struct pk_writer_stats s = pk_writer_stats(w);

    plain(p, "gauge", "pkd_log_pending", "Entries that wait to be written to the store.",
          s.pending);
    plain(p, "gauge", "pkd_log_pending_bytes", "Their size.", s.pending_bytes);
    plain(p, "counter", "pkd_log_written_total", "Entries written to the store.", s.written);
    plain(p, "counter", "pkd_log_spooled_total",
          "Entries put into the spool, since the store did not take them.", s.spooled);
    plain(p, "counter", "pkd_log_parked_total",
          "Entries put beside the spool: the store never will take them.", s.parked);
    plain(p, "gauge", "pkd_log_spool_bytes", "What waits there.", s.spool_bytes);
    plain(p, "counter", "pkd_log_dropped_total", "Entries lost: there was no room for them.",
          s.dropped);
}

static void add_otlp(struct page *p, struct pkd_otlp *otlp)
{
    struct pkd_otlp_stats s = pkd_otlp_stats(otlp);

    if (!otlp)
        return;
    plain(p, "counter", "pkd_otlp_sent_total", "Calls that the OpenTelemetry collector took.",
          s.sent);
    plain(p, "counter", "pkd_otlp_dropped_total", "Calls that it did not take, or not in time.",
          s.dropped);
}

static int64_t resident_bytes(void)
{
    long long total = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%lld %lld", &total, &resident) != 2)
        resident = 0;
    if (f)
        (void)fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

/* Since Linux 6.2 the directory's size tells; before, its entries. */
static int64_t open_descriptors(void)
{
    struct stat s;
    int64_t count = -3; /* ".", ".." and the directory itself */

    if (stat("/proc/self/fd", &s) == 0 && s.st_size > 0)
        return s.st_size;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        count++;
    if (d)
        (void)closedir(d);
    return count < 0 ? 0 : count;
}

static int64_t micros(struct timeval t)
{
    return (int64_t)t.tv_sec * MICRO + t.tv_usec;
}

static void add_process(struct page *p, int64_t started_us)
{
    struct rusage used = {0};
    struct rlimit files = {0};

    (void)getrusage(RUSAGE_SELF, &used);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    head(p, "gauge", "pkd_build_info", "The version that runs.");
    pk_buf_adds(&p->out, "pkd_build_info{version=\"" PK_VERSION "\"} 1\n");
    head(p, "counter", "process_cpu_seconds_total", "Processor time used, in user and system.");
    pk_buf_adds(&p->out, "process_cpu_seconds_total ");
    print_seconds(&p->out, micros(used.ru_utime) + micros(used.ru_stime));
    pk_buf_addc(&p->out, '\n');
    head(p, "gauge", "process_start_time_seconds", "When it started, since 1970.");
    pk_buf_adds(&p->out, "process_start_time_seconds ");
    print_seconds(&p->out, started_us);
    pk_buf_addc(&p->out, '\n');
    plain(p, "gauge", "process_resident_memory_bytes", "Memory in use.", resident_bytes());
    plain(p, "gauge", "process_open_fds", "Open file descriptors.", open_descriptors());
    plain(p, "gauge", "process_max_fds", "How many there may be.", (int64_t)files.rlim_cur);
}

/* --- the page ------------------------------------------------------------------------------ */

static void add_plain(struct page *p)
{
#define PLAIN(kind, field, name, help)                                                             \
    plain(p, kind, name, help, sum(p, offsetof(struct pkd_meter, field)));
#include "metrics.def"
#undef PLAIN
}

void pkd_metrics_note(struct pkd_thread *t)
{
    struct pkd_server_stats s = pkd_server_stats(t->server);

    pkd_set(&t->meter->connections, s.open);
    pkd_set(&t->meter->accepted, s.accepted);
    pkd_set(&t->meter->malformed, s.malformed);
    pkd_set(&t->meter->in_flight, t->call_count);
}

void pkd_metrics_serve(struct pkd_thread *t, struct pkd_conn *c)
{
    struct page p = {pk_buf_in(&t->scratch, PAGE_BYTES_MAX), t->app->meters};
    struct pkd_head head = {.status = 200,
                            .content_type = "text/plain; version=0.0.4; charset=utf-8"};

    pkd_metrics_note(t);
    add_plain(&p);
    add_outcomes(&p);
    add_providers(&p);
    add_histograms(&p);
    add_writer(&p, t->app->writer);
    add_otlp(&p, t->app->otlp);
    add_process(&p, t->app->started_us);
    if (p.out.failed)
        head.status = 500;
    pkd_conn_reply(c, &head, p.out.failed ? PK_NONE : pk_buf_str(&p.out));
}
