/* help.c - prints what --help asks for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "command.h"

#include <string.h>

enum { WIDTH = 24 };

static void print_end(FILE *to)
{
    (void)fprintf(
        to, "\nexit status: 0 it is done; 1 it failed, standard error says why; 2 it was asked for "
            "wrongly\n");
}

static void print_options(FILE *to, unsigned groups)
{
    (void)fprintf(to, "\noptions (default) [environment]\n");
    pkd_options_print(to, groups);
    (void)fprintf(to, "  %-*s this text, or that of a command or verb\n", WIDTH, "--help");
}

static void print_all(FILE *to)
{
    (void)fprintf(
        to, "usage: pkd COMMAND [VERB] [WORD...] [OPTION...]\n\n"
            "pkd is an AI gateway: it serves OpenAI's, Anthropic's and Portkey's APIs before any "
            "provider.\n\ncommands\n");
    for (const struct pkd_command *c = pkd_commands; c->name; c++)
        (void)fprintf(to, "  %-*s %s\n", WIDTH, c->name, c->help);
    print_options(to, PKD_COMMON);
    (void)fprintf(to, "  %-*s %s\n", WIDTH, "--version", PK_VERSION);
    print_end(to);
    (void)fprintf(to, "\npkd COMMAND --help says more, pkd COMMAND VERB --help most.\n");
}

static int usage_len(const struct pkd_verb *v)
{
    return (int)(strlen(v->name) + (*v->words ? 1 : 0) + strlen(v->words));
}

static void print_verbs(FILE *to, const struct pkd_verb *verbs)
{
    int width = 0;

    for (const struct pkd_verb *v = verbs; v->name; v++)
        if (usage_len(v) > width)
            width = usage_len(v);
    (void)fprintf(to, "\nverbs\n");
    for (const struct pkd_verb *v = verbs; v->name; v++)
        (void)fprintf(to, "  %s%s%s%*s  %s\n", v->name, *v->words ? " " : "", v->words,
                      width - usage_len(v), "", v->help);
}

static void print_command(FILE *to, const struct pkd_command *c)
{
    const char *example = c->verbs ? c->verbs->example : c->example;

    (void)fprintf(to, "usage: pkd %s%s%s [OPTION...]\n\n%s\n", c->name,
                  *c->words || c->verbs ? " " : "", c->verbs ? "VERB [WORD...]" : c->words,
                  c->help);
    if (c->verbs)
        print_verbs(to, c->verbs);
    (void)fprintf(to, "\nexample\n  %s\n", example);
    print_options(to, pkd_command_groups(c));
    print_end(to);
}

static void print_verb(FILE *to, const struct pkd_command *c, const struct pkd_verb *v)
{
    (void)fprintf(to, "usage: pkd %s %s%s%s [OPTION...]\n\n%s\n\nexample\n  %s\n", c->name, v->name,
                  *v->words ? " " : "", v->words, v->help, v->example);
    print_options(to, pkd_command_groups(c));
    print_end(to);
}

void pkd_help(FILE *to, const struct pkd_command *c, const struct pkd_verb *v)
{
    if (!c)
        print_all(to);
    else if (!v)
        print_command(to, c);
    else
        print_verb(to, c, v);
}
