/* map.c - pkd map FILE.csv: asks for each row of a CSV file, many at a time, and writes it again with the answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Every answer goes into the cache of the store, whether the config has one or not: whatever ends it, run again it pays
 * for what has no answer yet. What it writes takes its name when it is complete.
 */
#include "command.h"

#include "map_inner.h"
#include "mustache.h"
#include "result.h"
#include "store_audit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TURN_MS = 50, CONNECTIONS_MAX = PK_BATCH_CONCURRENCY_MAX };

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    asked_to_stop = 1;
}

/* --- rows come in -------------------------------------------------------------------------- */

/* What a row keeps until it is written. */
struct fields {
    int count;
    pk_str at[];
};

static pk_str vars_of(struct pkd_map *m, struct pk_arena *arena, const pk_str *fields)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    for (int i = 0; i < m->name_count; i++) {
        pk_buf_addc(&out, i ? ',' : '{');
        pk_json_quote(&out, m->names[i]);
        pk_buf_addc(&out, ':');
        pk_json_quote(&out, fields[i]);
    }
    pk_buf_addc(&out, '}');
    return out.failed ? PK_NONE : pk_buf_str(&out);
}

static bool build(struct pkd_map *m, struct pk_arena *arena, const pk_str *fields,
                  struct pk_request *req, struct pk_error *err)
{
    struct pk_buf prompt = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_mustache mustache = {.arena = arena};
    struct pk_json vars;
    size_t bad;

    for (int i = 0; i < m->name_count; i++)
        if (!pk_utf8_valid(fields[i], &bad))
            return pk_fail(err, PK_BAD_REQUEST, "%.*s: is not UTF-8", PK_FMT(m->names[i]));
    mustache.vars = &vars;
    if (!pk_json_parse(arena, vars_of(m, arena, fields), "row", &vars, err) ||
        !pk_mustache_json(&mustache, pk_str_of(m->options->map_prompt), "--prompt", &prompt, err) ||
        !pk_mustache_whole(&mustache, "--prompt", err))
        return false;
    if (prompt.failed)
        return pk_fail(err, PK_TOO_LARGE, "--prompt: larger than %d MiB", PK_BODY_BYTES_MAX >> 20);
    if (!pk_request_chat(arena, pk_buf_str(&prompt), PK_NONE, false, req, err))
        return false;
    req->source = m->home.pq ? PK_SOURCE_POSTGRES : PK_SOURCE_SQLITE;
    req->role = pk_store_actor_name(m->store);
    req->query_id = pk_str_of(m->query_id);
    req->output_assumed = m->options->output;
    req->cache_on = true;
    return true;
}

static bool fill(struct pkd_map *m, struct pk_item *item, const pk_str *fields, int count,
                 struct pk_error *err)
{
    struct fields *kept = pk_alloc(&item->arena, sizeof *kept + (size_t)count * sizeof *kept->at);

    if (!kept)
        return pk_fail(err, PK_NO_MEMORY, "no memory for another row");
    kept->count = count;
    for (int i = 0; i < count; i++)
        kept->at[i] = pk_copy(&item->arena, fields[i]);
    item->host = kept;
    if (count != m->name_count)
        return pk_fail(err, PK_BAD_REQUEST, "the row has %d fields, and the first one %d", count,
                       m->name_count);
    return build(m, &item->arena, kept->at, &item->req, err);
}

static bool read_row(struct pkd_map *m, struct pk_error *err)
{
    struct pk_error row_error = {0};
    const pk_str *fields;
    int count;

    if (!pkd_sheet_next(m->sheet, &fields, &count, err))
        return false;
    if (count == 0) {
        pk_batch_eof(m->batch);
        return true;
    }
    struct pk_item *item = pk_batch_add(m->batch);
    if (!item)
        return pk_fail(err, PK_NO_MEMORY, "no memory for another row");
    bool asks = fill(m, item, fields, count, &row_error);
    if (!asks)
        pk_result_of_error(&item->arena, &row_error, &item->result);
    return pk_batch_ready(m->batch, item, !asks, err);
}

/* The first row has the names; a variable that is none of them is found before the first call. */
static bool read_names(struct pkd_map *m, struct pk_error *err)
{
    struct pk_request unused = {0};
    const pk_str *fields;
    int count;

    if (!pkd_sheet_next(m->sheet, &fields, &count, err))
        return false;
    if (count == 0)
        return pk_fail(err, PK_BAD_REQUEST, "%.200s: has no first row with names",
                       m->options->words[0]);
    pk_str *names = pk_alloc(&m->arena, (size_t)count * sizeof *names);
    if (!names)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the columns");
    for (int i = 0; i < count; i++) {
        names[i] = pk_copy(&m->arena, fields[i]);
        if (pk_str_is(names[i], "answer") || pk_str_is(names[i], "error"))
            return pk_fail(err, PK_BAD_REQUEST, "%.200s: has a column \"%.*s\" already",
                           m->options->words[0], PK_FMT(names[i]));
    }
    m->names = names;
    m->name_count = count;
    return build(m, &m->arena, names, &unused, err);
}

/* --- rows go out --------------------------------------------------------------------------- */

static bool open_out(struct pkd_map *m, struct pk_error *err)
{
    const char *path = m->options->map_out;
    struct stat there;

    m->out = stdout;
    if (!path)
        return true;
    pk_str part = pk_copyf(&m->arena, "%s.part", path);
    if (part.len == 0)
        return pk_fail(err, PK_NO_MEMORY, "no memory for a name");
    if (pkd_sheet_is(m->sheet, path) || pkd_sheet_is(m->sheet, part.at))
        return pk_fail(err, PK_BAD_REQUEST, "--out: %.200s: is the file that is read", path);
    bool whole =
        stat(path, &there) != 0 || S_ISREG(there.st_mode); /* nothing takes a device's place */
    m->out = fopen(whole ? part.at : path, "we");
    if (!m->out)
        return pk_fail(err, PK_BAD_REQUEST, "--out: %.200s: %s", path, strerror(errno));
    m->part = whole ? part.at : NULL;
    return true;
}

static bool fail_out(const struct pkd_map *m, struct pk_error *err)
{
    const char *path = m->options->map_out;

    return pk_fail(err, PK_STORE, "%s%.200s: %s", path ? "--out: " : "",
                   path ? path : "standard output", strerror(errno));
}

static bool close_out(struct pkd_map *m, struct pk_error *err)
{
    bool ok = fflush(m->out) == 0 && !ferror(m->out);

    if (m->out != stdout)
        ok = fclose(m->out) == 0 && ok;
    m->out = NULL;
    if (!ok || (m->part && rename(m->part, m->options->map_out) != 0))
        return fail_out(m, err);
    m->part = NULL;
    return true;
}

static void write_names(struct pkd_map *m)
{
    for (int i = 0; i < m->name_count; i++)
        pkd_sheet_put(m->out, m->names[i], false);
    pkd_sheet_put(m->out, PK_STR("answer"), false);
    pkd_sheet_put(m->out, PK_STR("error"), true);
}

static void write_row(struct pkd_map *m, const struct pk_item *item)
{
    const struct fields *f = item->host;
    const struct pk_result *r = &item->result;

    if (!m->part)
        (void)fputs(pk_progress_line_hide(&m->line), stderr);
    for (int i = 0; i < m->name_count; i++)
        pkd_sheet_put(m->out, i < f->count ? f->at[i] : PK_NONE, false);
    pkd_sheet_put(m->out, r->has_content ? r->content : PK_NONE, false);
    pkd_sheet_put(m->out, r->ok ? PK_NONE : r->error_message, true);
}

/* A line for whoever waits, and a row for others. */
static void show(struct pkd_map *m)
{
    struct pk_batch_progress p = pk_batch_progress(m->batch);
    int64_t now_ms = pk_clock_ms();
    char line[PK_PROGRESS_LINE];

    if (pk_progress_next(&m->progress, &p, pk_clock_us(), now_ms))
        pkd_map_tell(m);
    if (!isatty(STDERR_FILENO))
        return;
    pk_progress_line(&m->line, &p, now_ms, line);
    (void)fputs(line, stderr);
}

static void show_last(struct pkd_map *m)
{
    struct pk_batch_progress p = pk_batch_progress(m->batch);
    char line[PK_PROGRESS_LINE];

    (void)fputs(pk_progress_line_hide(&m->line), stderr);
    pk_progress_line_last(&m->line, &p, pk_clock_ms(), line);
    (void)fputs(line, stderr);
}

/* --- the work ------------------------------------------------------------------------------ */

static void wait_a_little(struct pkd_map *m, bool rows)
{
    struct pollfd fd = {.fd = pk_xfer_fd(m->xfer), .events = POLLIN};
    int64_t until_ms = pk_loop_deadline_ms(m->loop), wake_ms = pk_batch_wake_ms(m->batch);
    int64_t left_ms = (wake_ms < until_ms ? wake_ms : until_ms) - pk_clock_ms();

    if (left_ms > TURN_MS)
        left_ms = TURN_MS;
    (void)poll(&fd, 1, rows || left_ms < 0 ? 0 : (int)left_ms);
}

static bool work(struct pkd_map *m, struct pk_error *err)
{
    while (!pk_batch_over(m->batch) && !asked_to_stop) {
        bool rows = pk_batch_wants(m->batch);

        if (rows && !read_row(m, err))
            return false;
        pkd_map_turn(m);
        for (struct pk_item *item; (item = pk_batch_take(m->batch));) {
            write_row(m, item);
            pk_batch_drop(m->batch, item);
        }
        if (ferror(m->out))
            return fail_out(m, err);
        show(m);
        wait_a_little(m, rows || !m->calls);
    }
    show_last(m);
    return !asked_to_stop ||
           pk_fail(err, PK_CANCELLED, "stopped; run again, what was answered costs nothing");
}

/* --- before and after ---------------------------------------------------------------------- */

static bool open_store(struct pkd_map *m, struct pk_error *err)
{
    char key_path[PKD_HOME_BYTES_MAX];

    if (!pkd_home_find(&m->home, m->options, PKD_COMMAND_MS, err))
        return false;
    m->store = pkd_home_open(&m->home, PKD_PATIENT_MS, err);
    if (!m->store || !pkd_home_key_path(&m->home, m->options, key_path, sizeof key_path, err))
        return false;
    if (!m->home.pq || m->options->master_key || access(key_path, F_OK) == 0) {
        m->secrets = pk_secrets_open(key_path, !m->home.pq, err);
        if (!m->secrets)
            return false;
    }
    struct pk_store *writes = pkd_home_open(&m->home, PKD_PATIENT_MS, err);
    if (!writes)
        return false;
    m->writer = pk_writer_new(writes, err);
    return m->writer != NULL;
}

static bool open_transport(struct pkd_map *m, struct pk_error *err)
{
    const struct pk_xfer_options options = {
        .allowed_hosts = m->options->allow_host,
        .connections_max = CONNECTIONS_MAX,
        .secrets = m->secrets,
        .http2 = m->options->upstream_http2,
        .ca_file = m->options->upstream_ca,
    };

    m->xfer = pk_xfer_new(&options, err);
    if (!m->xfer)
        return false;
    m->loop = pk_loop_new(m->xfer);
    m->resolver = pk_resolver_new(pk_allocator_malloc());
    if (!m->loop || !m->resolver)
        return pk_fail(err, PK_NO_MEMORY, "no memory for calls");
    m->snapshot =
        pk_resolve(m->resolver, m->store, pk_str_of(m->options->map_config), pk_clock_us(), err);
    return m->snapshot != NULL;
}

static bool open_batch(struct pkd_map *m, struct pk_error *err)
{
    struct pk_batch_options o = {
        .concurrency = (int)m->options->map_concurrency, .dedup = true, .max_error_ratio = 0.5};

    if (m->options->map_max_cost &&
        (!pk_usd_parse(pk_str_of(m->options->map_max_cost), &o.max_cost_pusd) ||
         o.max_cost_pusd == 0))
        return pk_fail(err, PK_BAD_REQUEST, "--max-cost: must be dollars, like 2.50");
    m->batch = pk_batch_new(pk_allocator_malloc(), &o);
    return m->batch || pk_fail(err, PK_NO_MEMORY, "no memory for a batch");
}

static bool check(const struct pkd_options *o, struct pk_error *err)
{
    if (o->word_count != 1)
        return pk_fail(err, PK_BAD_REQUEST, "takes one FILE.csv, \"-\" for stdin");
    if (!o->map_config || !o->map_prompt)
        return pk_fail(err, PK_BAD_REQUEST, "needs --config and --prompt");
    return true;
}

/* Its calls have the row's id in their log. */
static void begin_progress(struct pkd_map *m)
{
    uint64_t random;

    pk_secret_random(&random, sizeof random);
    m->line.began_ms = pk_clock_ms();
    (void)gethostname(m->host, sizeof m->host - 1);
    pk_progress_begin(&m->progress, -1, pk_clock_us(), m->line.began_ms, random);
    pk_uuid_print(m->progress.row.id, m->query_id);
    m->progress.row.query_id = pk_str_of(m->query_id);
    m->progress.row.kind = PK_STR("pkd map");
    m->progress.row.host = pk_str_of(m->host);
    m->progress.row.pid = getpid();
}

static bool run(struct pkd_map *m, struct pk_error *err)
{
    pk_secret_random(&m->random, sizeof m->random);
    begin_progress(m);
    m->sheet = pkd_sheet_open(m->options->words[0], err);
    if (!m->sheet || !open_batch(m, err) || !open_store(m, err) || !read_names(m, err) ||
        !open_transport(m, err) || !open_out(m, err))
        return false;
    m->progress.row.source = m->home.pq ? PK_STR("postgres") : PK_STR("sqlite");
    m->progress.row.actor = pk_str_of(m->store->actor);
    m->progress.row.config = m->snapshot->config.slug;
    write_names(m);
    return work(m, err) && close_out(m, err);
}

static void close_all(struct pkd_map *m)
{
    if (m->loop) {
        pk_batch_stop(m->batch, "cancelled", "stopped");
        pkd_map_cancel(m);
        if (pk_progress_end(&m->progress))
            pkd_map_tell(m);
    }
    if (m->out && m->out != stdout)
        (void)fclose(m->out);
    if (m->part)
        (void)unlink(m->part);
    if (m->snapshot)
        pk_snapshot_release(m->resolver, m->snapshot);
    pk_resolver_free(m->resolver);
    pk_batch_free(m->batch);
    if (m->loop)
        pk_loop_free(m->loop);
    pk_xfer_free(m->xfer);
    pk_writer_free(m->writer);
    pk_secrets_free(m->secrets);
    pk_store_close(m->store);
    pkd_home_free(&m->home);
    pkd_sheet_close(m->sheet);
    pk_arena_free(&m->arena);
}

int pkd_map(const struct pkd_options *o)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct pkd_map m = {.options = o};
    struct pk_error err = {0};

    if (!check(o, &err)) {
        (void)fprintf(stderr, "pkd map: %s\n", err.msg);
        return 2;
    }
    pk_arena_init(&m.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    bool ok = run(&m, &err);
    bool all = ok && pk_batch_progress(m.batch).failed == 0;
    close_all(&m);
    if (!ok)
        (void)fprintf(stderr, "pkd map: %s\n", err.msg);
    return all ? 0 : 1;
}
