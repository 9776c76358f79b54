/* tell.c - see tell.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tell.h"

#include "xfer.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* A line is for whoever looks at a terminal: not of an application that is run from one, unless it wants it. */
static bool is_wanted(const struct pk_settings *s)
{
    bool shell = strncmp(program_invocation_short_name, "sqlite3", 7) == 0;

    return (s->progress == PK_PROGRESS_ON || (s->progress == PK_PROGRESS_AUTO && shell)) &&
           isatty(STDERR_FILENO);
}

/* A store without a writer is this connection's own: nobody else could look. */
static void put_row(const struct pk_tell *t, struct pk_conn *c)
{
    struct pk_arena arena;

    if (!c->writer)
        return;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_PROGRESS_ENTRY * 2);
    struct pk_buf entry = pk_buf_in(&arena, PK_PROGRESS_ENTRY);
    pk_journal_progress(&entry, &t->progress.row);
    if (!entry.failed)
        pk_writer_offer(c->writer, pk_buf_str(&entry));
    pk_arena_free(&arena);
}

void pk_tell_begin(struct pk_tell *t, struct pk_conn *c, const char *kind, const char *query_id,
                   int64_t total)
{
    uint64_t random = pk_random_next(&c->random);
    int64_t now_ms = pk_clock_ms();

    *t = (struct pk_tell){.line = {.began_ms = now_ms}, .at_terminal = is_wanted(&c->settings)};
    (void)gethostname(t->host, sizeof t->host - 1);
    t->progress.row = (struct pk_progress_row){.kind = pk_str_of(kind),
                                               .source = PK_STR("sqlite"),
                                               .query_id = pk_str_of(query_id),
                                               .actor = pk_str_of(c->store->actor),
                                               .host = pk_str_of(t->host),
                                               .pid = getpid()};
    pk_progress_begin(&t->progress, total, pk_clock_us(), now_ms, random);
}

void pk_tell_turn(struct pk_tell *t, struct pk_conn *c, pk_str config, const struct pk_batch *b)
{
    int64_t now_ms = pk_clock_ms();
    char line[PK_PROGRESS_LINE];

    if (now_ms < t->progress.due_ms && !t->at_terminal)
        return; /* as at nearly every turn */
    struct pk_batch_progress counts = pk_batch_progress(b);
    t->progress.row.config = config;
    if (pk_progress_next(&t->progress, &counts, pk_clock_us(), now_ms))
        put_row(t, c);
    if (!t->at_terminal)
        return;
    pk_progress_line(&t->line, &counts, now_ms, line);
    (void)fputs(line, stderr);
}

void pk_tell_row(struct pk_tell *t)
{
    if (t->at_terminal)
        (void)fputs(pk_progress_line_hide(&t->line), stderr);
}

void pk_tell_end(struct pk_tell *t, struct pk_conn *c, const struct pk_batch *b)
{
    struct pk_batch_progress counts = pk_batch_progress(b);
    char line[PK_PROGRESS_LINE];

    if (pk_progress_end(&t->progress))
        put_row(t, c);
    if (!t->line.ever)
        return;
    pk_tell_row(t);
    pk_progress_line_last(&t->line, &counts, pk_clock_ms(), line);
    (void)fputs(line, stderr);
}
