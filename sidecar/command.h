/* command.h - what the command line can ask pkd to do: `pkd COMMAND [VERB] WORDS... OPTIONS...`.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * commands.c has the table of commands, each file that serves one its verbs. Help, completion and the manual are
 * printed from these tables and options.def, and from nothing else.
 */
#ifndef PKD_COMMAND_H
#define PKD_COMMAND_H

#include "options.h"
#include "secret.h"
#include "store.h"

struct pkd_desk;

struct pkd_verb {
    const char *name, *words; /* what follows it: "SLUG [JSON-OPTIONS]" */
    int words_min, words_max;
    bool (*run)(struct pkd_desk *d, char **words, int count, struct pk_error *err);
    const char *help;    /* what it does: a sentence without its full stop */
    const char *example; /* a line for a shell */
};

struct pkd_command {
    const char *name, *help;
    const char *words; /* what follows it where there are no verbs; "" nothing */
    /* The exit status of the process: 0 = done, 1 = it failed, 2 = asked for wrongly. NULL: desk.h runs its verbs. */
    int (*run)(const struct pkd_options *o);
    const struct pkd_verb *verbs; /* ends with a NULL name; NULL: it has none */
    const char *example;          /* where there are no verbs */
};

/* Ends with a NULL name. */
extern const struct pkd_command pkd_commands[];
const struct pkd_command *
pkd_command_find(const char *name); /* NULL: there is none, or `name` is */
/* The first verb of that name. */
const struct pkd_verb *pkd_verb_find(const struct pkd_command *c, const char *name);
/* Which options a command takes. */
unsigned pkd_command_groups(const struct pkd_command *c);

int pkd_serve(const struct pkd_options *o);
int pkd_health(const struct pkd_options *o);
int pkd_map(const struct pkd_options *o);
int pkd_doctor(const struct pkd_options *o);
int pkd_completion(const struct pkd_options *o);
int pkd_manual(const struct pkd_options *o);

extern const struct pkd_verb pkd_key_verbs[], pkd_provider_verbs[], pkd_apikey_verbs[],
    pkd_limit_verbs[], pkd_config_verbs[], pkd_guardrail_verbs[], pkd_prompt_verbs[],
    pkd_price_verbs[], pkd_logs_verbs[], pkd_cache_verbs[], pkd_feedback_verbs[], pkd_job_verbs[],
    pkd_completion_verbs[], pkd_manual_verbs[];

/* Help for everything, a command, or its verb; NULL: not so narrow. */
void pkd_help(FILE *to, const struct pkd_command *c, const struct pkd_verb *v);

#endif
