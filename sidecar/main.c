/* main.c - the command line of pkd.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "command.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct command {
    const char *name, *words, *help;
    int (*run)(const struct pkd_options *o);
};

static const struct command commands[] = {
    {"serve", "", "answer HTTP requests until SIGTERM", pkd_serve},
    {"doctor", "", "say what is wrong with this installation", pkd_doctor},
    {"key", "put SLUG PROVIDER [JSON-OPTIONS] < SECRET | rotate SLUG < SECRET | list | revoke SLUG",
     "virtual keys: provider keys under a name", pkd_key},
    {"provider", "put NAME < JSON | get NAME | list | delete NAME",
     "providers beside those that pk comes with", pkd_provider},
    {"apikey", "create NAME [JSON-OPTIONS] | list | rotate NAME [JSON-OPTIONS] | revoke NAME",
     "keys for this gateway; with the first of them every request needs one", pkd_apikey},
    {"limit", "put SLUG < JSON | list | delete SLUG", "budgets and rate limits", pkd_limit},
    {"config", "put SLUG < JSON | get SLUG | list | delete SLUG", "stored configs", pkd_config},
    {"guardrail", "put SLUG < JSON | get SLUG | list | delete SLUG",
     "stored guardrails, which configs name", pkd_guardrail},
    {"price", "import FORMAT FILE [JSON-OPTIONS] | list",
     "price lists; FORMAT is litellm, portkey, genai-prices or pk, FILE may be - for stdin",
     pkd_price},
    {"prompt",
     "put SLUG < JSON-OR-TEXT | get REF | list | publish SLUG VERSION [LABEL [WEIGHT]] | render "
     "REF < JSON | "
     "delete SLUG",
     "stored prompts, their versions and labels; REF is SLUG, SLUG@VERSION or SLUG@LABEL",
     pkd_prompt},
};

_Noreturn void pk_bug(const char *file, int line, const char *what)
{
    pkd_error("bug at=%s:%d what=\"%s\"", file, line, what);
    abort();
}

static void print_help(FILE *to, const struct command *only)
{
    (void)fprintf(to, "usage: pkd COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < PK_COUNT(commands); i++)
        if (!only || only == &commands[i])
            (void)fprintf(to, "  pkd %s %s\n      %s\n", commands[i].name, commands[i].words,
                          commands[i].help);
    (void)fprintf(to, "\noptions (default) [environment]\n");
    pkd_options_print(to);
    (void)fprintf(to, "  %-24s this text\n  %-24s %s\n", "--help", "--version", PK_VERSION);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; name && i < PK_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static bool has_flag(int argc, char **argv, const char *flag)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

bool pkd_store_path(const struct pkd_options *o, char *out, size_t size, struct pk_error *err)
{
    if (!o->store)
        return pk_store_default_path(out, size, err);
    int len = snprintf(out, size, "%s", o->store);
    return (len > 0 && (size_t)len < size) ||
           pk_fail(err, PK_BAD_CONFIG, "--store: the path is too long");
}

bool pkd_master_key_path(const struct pkd_options *o, const char *store_path, char *out,
                         size_t size, struct pk_error *err)
{
    if (!o->master_key)
        return pk_secrets_path(store_path, out, size, err);
    int len = snprintf(out, size, "%s", o->master_key);
    return (len > 0 && (size_t)len < size) ||
           pk_fail(err, PK_BAD_CONFIG, "--master-key-file: the path is too long");
}

/* Prompts and keys of everybody pass through here: no core dump is written, and another process of the same
 * user cannot look in. */
static void keep_memory_private(const struct pkd_options *o)
{
    if (!o->core_dumps)
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int run(int argc, char **argv, const struct command *command)
{
    struct pk_arena arena;
    struct pk_error err = {0};
    struct pkd_options options;
    int status = 2;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    if (pkd_options_read(&arena, argc - 2, argv + 2, &options, &err)) {
        keep_memory_private(&options);
        status = command->run(&options);
    } else {
        (void)fprintf(stderr, "pkd: %s\n", err.msg);
    }
    pk_arena_free(&arena);
    return status;
}

int main(int argc, char **argv)
{
    const struct command *command = find_command(argv[1]);

    if (has_flag(argc, argv, "--version")) {
        (void)printf("pkd %s\n", PK_VERSION);
        return 0;
    }
    if (has_flag(argc, argv, "--help")) {
        print_help(stdout, command);
        return 0;
    }
    if (command)
        return run(argc, argv, command);
    if (argc > 1)
        (void)fprintf(stderr, "pkd: %s: no such command\n\n", argv[1]);
    print_help(stderr, NULL);
    return 2;
}
