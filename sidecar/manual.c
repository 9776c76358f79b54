/* manual.c - `pkd manual`: the page pkd(1), and the same in Markdown, printed from the tables of commands and options.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "command.h"

#include <string.h>

/* --- man(7) -------------------------------------------------------------------------------- */

/* Text of a page: no character of it is markup, and a hyphen is one that can be copied. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            (void)fputs("\\e", stdout);
        else if (*text == '-')
            (void)fputs("\\-", stdout);
        else
            (void)putchar(*text);
    }
}

static void roff_option(const struct pkd_option *o)
{
    (void)printf(".TP\n.B \\-\\-");
    roff(o->flag);
    if (o->arg) {
        (void)printf(" \\fI");
        roff(o->arg);
        (void)printf("\\fR");
    }
    (void)printf("\n");
    roff(o->help);
    if (o->otherwise) {
        (void)printf(".\nDefault: ");
        roff(o->otherwise);
    }
    (void)printf(".\n");
    if (o->env)
        (void)printf("Environment: \\fB%s\\fR.\n", o->env);
}

static void roff_options(const char *title, unsigned group)
{
    const struct pkd_option *o;

    (void)printf(".SS \"%s\"\n", title);
    for (int i = 0; (o = pkd_option_at(i)); i++)
        if (o->group & group)
            roff_option(o);
}

static void roff_example(const char *example)
{
    (void)printf(".PP\n.RS 4\n.nf\n");
    roff(example);
    (void)printf("\n.fi\n.RE\n");
}

static void roff_verb(const struct pkd_command *c, const struct pkd_verb *v)
{
    (void)printf(".TP\n.B pkd %s %s", c->name, v->name);
    if (*v->words) {
        (void)printf(" \\fI");
        roff(v->words);
        (void)printf("\\fR");
    }
    (void)printf("\n");
    roff(v->help);
    (void)printf(".\n");
}

static void roff_command(const struct pkd_command *c)
{
    (void)printf(".SS pkd %s\n", c->name);
    roff(c->help);
    (void)printf(".\n");
    for (const struct pkd_verb *v = c->verbs; v && v->name; v++)
        roff_verb(c, v);
    if (c->example)
        roff_example(c->example);
    for (const struct pkd_verb *v = c->verbs; v && v->name; v++)
        roff_example(v->example);
}

static void print_man(void)
{
    (void)printf(
        ".TH PKD 1 2026-11-28 \"pkd %s\" \"User Commands\"\n"
        ".SH NAME\npkd \\- AI gateway: OpenAI's, Anthropic's and Portkey's APIs before any "
        "provider\n"
        ".SH SYNOPSIS\n.B pkd\n.I COMMAND\n[\\fIVERB\\fR] [\\fIWORD\\fR...] [\\fIOPTION\\fR...]\n"
        ".SH DESCRIPTION\n"
        "pkd routes, retries, caches, checks, limits and logs calls to AI providers. Configs, "
        "keys, prompts\n"
        "and logs are in a store that it shares with the SQLite and Postgres extensions of pk.\n"
        ".SH COMMANDS\n",
        PK_VERSION);
    for (const struct pkd_command *c = pkd_commands; c->name; c++)
        roff_command(c);
    (void)printf(".SH OPTIONS\nThe command line wins over the environment.\n");
    roff_options("Of every command", PKD_COMMON);
    roff_options("Of logs", PKD_LOGS);
    roff_options("Of map", PKD_MAP);
    roff_options("Of serve, doctor and health", PKD_SERVING);
    (void)printf(".SH SIGNALS\n"
                 ".TP\n.BR SIGTERM \", \" SIGINT\n"
                 "Take nothing new, let running calls end within \\fB\\-\\-grace\\fR, write the "
                 "log, and exit.\n"
                 "The second one ends at once.\n"
                 ".TP\n.B SIGHUP\nRead again what can change while it serves.\n"
                 ".SH EXIT STATUS\n"
                 ".TP\n.B 0\nIt is done.\n"
                 ".TP\n.B 1\nIt failed, or doctor found something that must be mended; standard "
                 "error says why.\n"
                 ".TP\n.B 2\nIt was asked for wrongly.\n"
                 ".SH FILES\n"
                 ".TP\n.I $XDG_DATA_HOME/pk/default.pkdb\nThe store, unless an option or the "
                 "environment names one.\n"
                 ".TP\n.I master.key\nBeside the store: the key that seals provider keys.\n"
                 ".SH SEE ALSO\n.BR sqlite3 (1),\n.BR psql (1)\n");
}

/* --- Markdown ------------------------------------------------------------------------------ */

/* A cell of a table. */
static void cell(const char *text)
{
    for (; *text; text++)
        (void)printf(*text == '|' ? "\\%c" : "%c", *text);
}

static void markdown_command(const struct pkd_command *c)
{
    (void)printf("\n## pkd %s\n\n%c%s.\n", c->name, c->help[0] & ~0x20, c->help + 1);
    if (c->verbs)
        (void)printf("\n| | |\n|---|---|\n");
    for (const struct pkd_verb *v = c->verbs; v && v->name; v++) {
        (void)printf("| `pkd %s %s%s%s` | ", c->name, v->name, *v->words ? " " : "", v->words);
        cell(v->help);
        (void)printf(" |\n");
    }
    (void)printf("\n```sh\n");
    if (c->example)
        (void)printf("%s\n", c->example);
    for (const struct pkd_verb *v = c->verbs; v && v->name; v++)
        (void)printf("%s\n", v->example);
    (void)printf("```\n");
}

static void markdown_options(const char *title, unsigned group)
{
    const struct pkd_option *o;

    (void)printf("\n## %s\n\n| option | variable | default | |\n|---|---|---|---|\n", title);
    for (int i = 0; (o = pkd_option_at(i)); i++) {
        if (!(o->group & group))
            continue;
        (void)printf("| `--%s%s", o->flag, o->arg ? " " : "");
        cell(o->arg ? o->arg : "");
        (void)printf("` | %s%s%s | ", o->env ? "`" : "", o->env ? o->env : "", o->env ? "`" : "");
        (void)printf("%s%s%s | ", o->otherwise ? "`" : "", o->otherwise ? o->otherwise : "",
                     o->otherwise ? "`" : "");
        cell(o->help);
        (void)printf(" |\n");
    }
}

static void print_markdown(void)
{
    (void)printf("# The command line of pkd\n\n"
                 "`pkd manual markdown` prints this page, `pkd manual man` the page pkd(1), `pkd "
                 "COMMAND VERB --help` the part that you need. "
                 "`--json` prints lists and results as JSON.\n"
                 "The exit status is 0 when it is done, 1 when it failed (standard error says why) "
                 "and 2 when it was asked for wrongly. "
                 "A secret is read from standard input, never from an argument, which other users "
                 "could see.\n");
    for (const struct pkd_command *c = pkd_commands; c->name; c++)
        markdown_command(c);
    markdown_options("Options of every command", PKD_COMMON);
    markdown_options("Options of pkd logs", PKD_LOGS);
    markdown_options("Options of pkd map", PKD_MAP);
    markdown_options("Options of pkd serve, doctor and health", PKD_SERVING);
}

/* clang-format off */
const struct pkd_verb pkd_manual_verbs[] = {
    {"man",      "", 0, 0, NULL, "as a manual page", "pkd manual man | man -l -"},
    {"markdown", "", 0, 0, NULL, "as Markdown",      "pkd manual markdown > docs/cli.md"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */

int pkd_manual(const struct pkd_options *o)
{
    const char *form = o->word_count == 1 ? o->words[0] : "";

    if (strcmp(form, "man") == 0)
        print_man();
    else if (strcmp(form, "markdown") == 0)
        print_markdown();
    else
        (void)fprintf(stderr, "usage: pkd manual man|markdown\n");
    return strcmp(form, "man") == 0 || strcmp(form, "markdown") == 0 ? 0 : 2;
}
