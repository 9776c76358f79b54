/* options.h - the settings of pkd, from the command line and the environment.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_OPTIONS_H
#define PKD_OPTIONS_H

#include "arena.h"

#include <stdio.h>

/* Which commands take an option. */
enum pkd_group {
    PKD_COMMON = 1,  /* all that open the store */
    PKD_SERVING = 2, /* serve, and doctor, which looks at what serve would do */
    PKD_LOGS = 4,    /* logs; an error elsewhere, where they would ask for nothing */
    PKD_MAP = 8,     /* map; likewise */
};

struct pkd_options {
#define OPTION(field, kind, flag, env, otherwise, arg, help) OPTION_##kind(field)
#define COMMON(field, kind, flag, env, otherwise, arg, help) OPTION_##kind(field)
#define FILTER(field, kind, flag, env, otherwise, arg, help) OPTION_##kind(field)
#define MAPPED(field, kind, flag, env, otherwise, arg, help) OPTION_##kind(field)
#define OPTION_LINES(field)                                  const char *field;
#define OPTION_TEXT(field)                                   const char *field;
#define OPTION_HOSTS(field)                                  const char *field;
#define OPTION_COUNT(field)                                  int64_t field;
#define OPTION_THREADS(field)                                int64_t field;
#define OPTION_CALLS(field)                                  int64_t field;
#define OPTION_MS(field)                                     int64_t field;
#define OPTION_US(field)                                     int64_t field;
#define OPTION_SWITCH(field)                                 bool field;
#include "options.def"
#undef OPTION
#undef COMMON
#undef FILTER
#undef MAPPED
#undef OPTION_LINES
#undef OPTION_TEXT
#undef OPTION_HOSTS
#undef OPTION_COUNT
#undef OPTION_THREADS
#undef OPTION_CALLS
#undef OPTION_MS
#undef OPTION_US
#undef OPTION_SWITCH
    unsigned groups; /* that the command takes; set before they are read */
    char **words;    /* what is left of the command line */
    int word_count;
};

/* For the groups of *o: defaults, then the environment, then argv. Text that had to be built is in `arena`; the rest
 * points into argv and the environment. `argv` is reordered: words come to *o->words. The error names the
 * option. */
bool pkd_options_read(struct pk_arena *arena, int argc, char **argv, struct pkd_options *o,
                      struct pk_error *err) PK_MUST_CHECK;

struct pkd_option {
    const char *flag, *env, *otherwise; /* without the dashes; NULL: none */
    const char *arg; /* "MS", "PATH", or the values: "text|json"; NULL: a switch */
    const char *help;
    unsigned group;
};
const struct pkd_option *
pkd_option_at(int i); /* in the order of options.def; NULL behind the last */

/* Those of the groups, as the help text lists them. */
void pkd_options_print(FILE *to, unsigned groups);

#endif
