/* main.c - the command line of pkd.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

_Noreturn void pk_bug(const char *file, int line, const char *what)
{
    pkd_error("bug at=%s:%d what=%s", file, line, what);
    abort();
}

static bool has_flag(int argc, char **argv, const char *flag)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

/* Prompts and keys of everybody pass through here: no core dump is written, and another process of the same
 * user cannot look in. */
static void keep_memory_private(const struct pkd_options *o)
{
    if (!o->core_dumps)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* What was printed may have found no room, which is known only now. */
static int ended(int status)
{
    bool flushed = fflush(stdout) == 0;

    if (status || (flushed && !ferror(stdout)))
        return status;
    (void)fprintf(stderr, "pkd: standard output: %s\n",
                  flushed ? "not all of it could be written" : strerror(errno));
    return 1;
}

static int run(int argc, char **argv, const struct pkd_command *command)
{
    struct pk_arena arena;
    struct pk_error err = {0};
    struct pkd_options options = {.groups = pkd_command_groups(command)};
    int status = 2;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    if (pkd_options_read(&arena, argc - 2, argv + 2, &options, &err)) {
        keep_memory_private(&options);
        status = command->run ? command->run(&options) : pkd_desk_run(&options, command);
    } else {
        (void)fprintf(stderr, "pkd %s: %s\n", command->name, err.msg);
    }
    pk_arena_free(&arena);
    return status;
}

int main(int argc, char **argv)
{
    const struct pkd_command *command = pkd_command_find(argc > 1 ? argv[1] : NULL);

    if (has_flag(argc, argv, "--version")) {
        (void)printf("pkd %s\n", PK_VERSION);
        return ended(0);
    }
    if (has_flag(argc, argv, "--help")) {
        pkd_help(stdout, command, command && argc > 2 ? pkd_verb_find(command, argv[2]) : NULL);
        return ended(0);
    }
    if (command)
        return ended(run(argc, argv, command));
    if (argc > 1)
        (void)fprintf(stderr, "pkd: %s: no such command\n\n", argv[1]);
    pkd_help(stderr, NULL, NULL);
    return 2;
}
