/* admin_erase.c - `pkd logs erase`: one person's calls go, as pk_logs_erase() does it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "json.h"
#include "member.h"
#include "spool.h"
#include "store_erase.h"
#include "xfer.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAUSE_MS = 2, /* between two steps: others write too */
    SPOOL_WAIT_MS = 5000,
    SPOOL_LOOK_MS = 50,
    PROGRESS_MS = 1000,
};

/* --- whose calls ------------------------------------------------------------------------------- */

/* What narrows a list of calls down says nothing of a person. */
static bool only_whose(const struct pkd_options *o, struct pk_error *err)
{
    const struct {
        const char *name;
        bool given;
    } others[] = {{"since", o->since},    {"status", o->of_status}, {"provider", o->of_provider},
                  {"model", o->of_model}, {"limit", o->rows},       {"payloads", o->payloads},
                  {"format", o->form}};

    for (size_t i = 0; i < PK_COUNT(others); i++)
        if (others[i].given)
            return pk_fail(err, PK_BAD_REQUEST,
                           "--%s: all calls of a person are erased, whatever they were",
                           others[i].name);
    return true;
}

static bool add_word(struct pk_buf *b, struct pk_arena *arena, pk_str word, struct pk_error *err)
{
    int equals = pk_str_find(word, '=');

    if (equals < 1)
        return pk_fail(err, PK_BAD_REQUEST, "%.*s: must be user=NAME, api_key=NAME or trace_id=ID",
                       PK_FMT(word));
    pk_str name = pk_copyf(arena, "%.*s%c", equals, word.at, 0);
    if (name.len)
        pk_member_text(b, name.at, pk_str_sub(word, (size_t)equals + 1, word.len));
    return true;
}

static bool read_filter(struct pkd_desk *d, char **words, int count, struct pk_erase_filter *f,
                        struct pk_error *err)
{
    const struct pkd_options *o = d->options;
    struct pk_buf b = pk_buf_in(&d->arena, PK_ERASE_FILTER_BYTES);

    if (!only_whose(o, err))
        return false;
    pk_buf_addc(&b, '{');
    if (o->of_trace)
        pk_member_text(&b, "trace_id", pk_str_of(o->of_trace));
    for (int i = 0; i < count; i++)
        if (!add_word(&b, &d->arena, pk_str_of(words[i]), err))
            return false;
    if (o->of_metadata && !pkd_logs_metadata(&b, pk_str_of(o->of_metadata), err))
        return false;
    pk_buf_addc(&b, '}');
    if (b.len == 2)
        return pk_fail(err, PK_BAD_REQUEST,
                       "whose calls? say --metadata KEY=VALUE, --trace ID, user=NAME or "
                       "api_key=NAME");
    return b.failed ? pk_fail(err, PK_TOO_LARGE, "filter: too long")
                    : pk_erase_filter_read(&d->arena, pk_buf_str(&b), f, err);
}

/* --- what waits beside the store --------------------------------------------------------------- */

/* Rows in the spool would come back; a pkd that runs, or the next that starts, writes them. */
static bool spool_is_empty(struct pkd_desk *d, struct pk_error *err)
{
    struct pk_spool spool = {0};
    char path[PK_SPOOL_PATH_BYTES], bad[PK_SPOOL_PATH_BYTES + 8];
    int64_t until_ms = pk_clock_ms() + SPOOL_WAIT_MS;
    struct stat st;

    if (!pkd_home_spool_path(&d->home, d->options, path, sizeof path, err))
        return false;
    (void)snprintf(bad, sizeof bad, "%s.bad", path);
    if (stat(bad, &st) == 0 && st.st_size > 0)
        (void)fprintf(
            stderr, "pkd: %s has rows that the store never took; they stay: look whose they are\n",
            bad);
    if (!pk_spool_init(&spool, path, INT64_MAX))
        return true;
    while (pk_spool_bytes(&spool) > 0 && pk_clock_ms() < until_ms)
        (void)poll(NULL, 0, SPOOL_LOOK_MS);
    return pk_spool_bytes(&spool) == 0 ||
           pk_fail(
               err, PK_STORE,
               "%.300s: rows wait there, and would come back; start pkd serve, which writes them",
               path);
}

/* --- erasing ----------------------------------------------------------------------------------- */

static void print_progress(const struct pk_erasure *e, int64_t began_ms, bool last)
{
    static int64_t shown_ms;
    int64_t now_ms = pk_clock_ms();

    if (now_ms - began_ms < PROGRESS_MS || !isatty(STDERR_FILENO) ||
        (now_ms - shown_ms < PROGRESS_MS / 4 && !last))
        return;
    shown_ms = now_ms;
    (void)fprintf(stderr, "\r%lld calls of some %lld%s", (long long)pk_erasure_counts(e)->logs,
                  (long long)pk_erasure_counts(e)->looked_at, last ? "\n" : "");
}

static bool run(struct pkd_desk *d, struct pk_erasure *e, struct pk_error *err)
{
    int64_t began_ms = pk_clock_ms();
    bool over = false;

    while (!over) {
        int64_t from_us = pk_clock_mono_us();

        if (!pk_store_erase(d->store, e, &over, err))
            return false;
        pk_erasure_took(e, pk_clock_mono_us() - from_us);
        print_progress(e, began_ms, over);
        (void)poll(NULL, 0, PAUSE_MS);
    }
    return true;
}

static void tell(struct pkd_desk *d, const struct pk_erasure *e)
{
    struct pk_buf b = pk_buf_in(&d->arena, PK_ERASE_FILTER_BYTES);
    struct pk_error unused;
    struct pk_json doc;

    pk_erased_print(e, &b);
    if (d->options->json)
        pk_buf_add(&d->told, pk_str_sub(pk_buf_str(&b), 1, b.len - 2));
    else if (pk_json_parse(&d->arena, pk_buf_str(&b), "counts", &doc, &unused))
        for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k))
            (void)printf("%.*s\t%.*s\n", PK_FMT(pk_json_str(&d->arena, &doc, k)),
                         PK_FMT(pk_json_raw(&doc, k + 1)));
}

bool pkd_logs_erase(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_erase_filter filter;

    if (!read_filter(d, words, count, &filter, err) || !spool_is_empty(d, err))
        return false;
    struct pk_erasure *e = pk_erasure_new(&filter, d->options->dry_run, pk_clock_us(), err);
    bool ok = e && run(d, e, err);
    if (ok)
        tell(d, e);
    pk_erasure_free(e);
    return ok;
}
