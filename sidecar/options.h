/* options.h - the settings of pkd, from the command line and the environment.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_OPTIONS_H
#define PKD_OPTIONS_H

#include "arena.h"

#include <stdio.h>

struct pkd_options {
#define OPTION(field, kind, flag, env, otherwise, arg, help) OPTION_##kind(field)
#define OPTION_TEXT(field)                                   const char *field;
#define OPTION_LIST(field)                                   const char *field;
#define OPTION_COUNT(field)                                  int64_t field;
#define OPTION_MS(field)                                     int64_t field;
#define OPTION_SWITCH(field)                                 bool field;
#include "options.def"
#undef OPTION
#undef OPTION_TEXT
#undef OPTION_LIST
#undef OPTION_COUNT
#undef OPTION_MS
#undef OPTION_SWITCH
    char **words; /* what is left of the command line */
    int word_count;
};

/* Defaults, then the environment, then argv. Text that had to be built is in `arena`; the rest
 * points into argv and the environment. `argv` is reordered: words come to *o->words. The error names the
 * option. */
bool pkd_options_read(struct pk_arena *arena, int argc, char **argv, struct pkd_options *o,
                      struct pk_error *err) PK_MUST_CHECK;

/* The options as the help text lists them. */
void pkd_options_print(FILE *to);

#endif
