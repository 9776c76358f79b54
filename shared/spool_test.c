/* spool_test.c - what is put comes back, in order, whole, once it can.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "spool.h"

#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/pk-spool-XXXXXX", path[64], bad[80];
static struct pk_spool spool;

static bool put(const char *text)
{
    pk_str entry = pk_str_of(text);

    return pk_spool_put(&spool, &entry, 1);
}

/* Everything that waits, one behind the other; deletes it when `done`. */
static const char *taken(bool done)
{
    static char all[65536];
    struct pk_spool_reader *r = pk_spool_open(&spool);
    pk_str entry;
    size_t len = 0;

    if (!r)
        return "nothing";
    while (pk_spool_next(r, &entry) && len + entry.len < sizeof all) {
        memcpy(all + len, entry.at, entry.len);
        len += entry.len;
    }
    all[len] = 0;
    pk_spool_close(r, done);
    return all;
}

static bool says(const char *got, const char *expected)
{
    return strcmp(got, expected) == 0;
}

static void entries_come_back_in_order(void)
{
    const pk_str two[] = {PK_STR("b"), PK_NONE};
    struct stat st;

    EXPECT(says(taken(true), "nothing") && pk_spool_bytes(&spool) == 0);
    EXPECT(put("a") && pk_spool_put(&spool, two, 2) && put("c"));
    EXPECT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    EXPECT(pk_spool_bytes(&spool) == 4 * 12 + 3);
    EXPECT(says(taken(true), "abc") && says(taken(true), "nothing"));
    EXPECT(pk_spool_bytes(&spool) == 0);
}

static void what_was_taken_and_not_applied_comes_first(void)
{
    EXPECT(put("a"));
    EXPECT(says(taken(false), "a"));
    EXPECT(put("b"));
    EXPECT(says(taken(false), "a") && says(taken(true), "a"));
    EXPECT(says(taken(true), "b"));
}

static void one_reads_at_a_time(void)
{
    EXPECT(put("a"));
    struct pk_spool_reader *r = pk_spool_open(&spool);
    EXPECT(r && put("b") && pk_spool_open(&spool) == NULL);
    pk_spool_close(r, true);
    EXPECT(says(taken(true), "b"));
}

static void a_half_entry_at_the_end_is_skipped(void)
{
    struct stat st;

    EXPECT(put("first") && put("second") && stat(path, &st) == 0);
    EXPECT(truncate(path, st.st_size - 1) == 0);
    struct pk_spool_reader *r = pk_spool_open(&spool);
    pk_str entry;
    EXPECT(r && pk_spool_next(r, &entry) && pk_str_is(entry, "first"));
    EXPECT(!pk_spool_next(r, &entry) && pk_spool_damaged(r) == 12 + 5);
    pk_spool_close(r, true);
    EXPECT(unlink(bad) == 0); /* where one may look at it */
}

static void an_entry_that_changed_is_not_given(void)
{
    FILE *f;

    EXPECT(put("first") && put("second"));
    f = fopen(path, "r+");
    EXPECT(f && fseek(f, 12 + 5 + 12, SEEK_SET) == 0 && fputc('S', f) == 'S' && fclose(f) == 0);
    EXPECT(says(taken(true), "first") && unlink(bad) == 0);
}

static void it_is_bounded(void)
{
    struct pk_spool small = spool;
    pk_str entry = PK_STR("0123456789");

    small.bytes_max = 3 * 22;
    EXPECT(pk_spool_put(&small, &entry, 1) && says(taken(false), "0123456789"));
    EXPECT(pk_spool_put(&small, &entry, 1) && pk_spool_put(&small, &entry, 1));
    EXPECT(!pk_spool_put(&small, &entry, 1)); /* what was taken counts */
    EXPECT(says(taken(true), "0123456789") && says(taken(true), "01234567890123456789"));
    EXPECT(pk_spool_init(&small, path, 10) && !pk_spool_put(&small, &entry, 1));
    (void)unlink(path);
}

static void without_a_path_there_is_none(void)
{
    static char far[2000];
    struct pk_spool none = {.path = ""};
    pk_str entry = PK_STR("a");

    EXPECT(!pk_spool_put(&none, &entry, 1) && !pk_spool_park(&none, entry));
    EXPECT(pk_spool_open(&none) == NULL && pk_spool_bytes(&none) == 0);
    memset(far, 'x', sizeof far - 1);
    EXPECT(!pk_spool_init(&none, far, 10) && !pk_spool_put(&none, &entry, 1));
}

static void what_nobody_takes_is_parked(void)
{
    struct stat st;

    EXPECT(pk_spool_park(&spool, PK_STR("odd")) && pk_spool_bytes(&spool) == 0);
    EXPECT(stat(bad, &st) == 0 && st.st_size == 12 + 3 && unlink(bad) == 0);
}

/* Four append while one reads: everything arrives once. */
static void many_processes_share_it(void)
{
    enum { PROCESSES = 4, EACH = 300 };
    int seen[PROCESSES] = {0}, status, left = PROCESSES;

    for (int p = 0; p < PROCESSES; p++)
        if (fork() == 0) {
            char text[3] = {(char)('a' + p), 0};

            for (int i = 0; i < EACH; i++)
                while (!put(text))
                    (void)usleep(100);
            _exit(0);
        }
    while (left > 0) {
        left -= waitpid(-1, &status, WNOHANG) > 0;
        const char *got = taken(true);
        if (!says(got, "nothing"))
            for (; *got; got++)
                seen[*got - 'a']++;
    }
    for (const char *got = taken(true); !says(got, "nothing"); got = taken(true))
        for (; *got; got++)
            seen[*got - 'a']++;
    for (int p = 0; p < PROCESSES; p++)
        EXPECT(seen[p] == EACH);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(path, sizeof path, "%s/spool", folder);
    (void)snprintf(bad, sizeof bad, "%s.bad", path);
    EXPECT(pk_spool_init(&spool, path, 1 << 20));
    RUN(entries_come_back_in_order);
    RUN(what_was_taken_and_not_applied_comes_first);
    RUN(one_reads_at_a_time);
    RUN(a_half_entry_at_the_end_is_skipped);
    RUN(an_entry_that_changed_is_not_given);
    RUN(it_is_bounded);
    RUN(without_a_path_there_is_none);
    RUN(what_nobody_takes_is_parked);
    RUN(many_processes_share_it);
    EXPECT(rmdir(folder) == 0);
    return test_end();
}
