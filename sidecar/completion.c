/* completion.c - `pkd completion SHELL`: a script for the shell, printed from the tables of commands and options.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "command.h"

#include <string.h>

/* Text inside of single quotes, with `special` characters behind a backslash. */
static void print_quoted(const char *text, const char *special)
{
    for (; *text; text++) {
        if (strchr(special, *text))
            (void)putchar('\\');
        (void)printf(*text == '\'' ? "'\\%c'" : "%c", *text);
    }
}

/* The values of an option that has a list of them: "text|json". */
static bool is_choice(const struct pkd_option *o)
{
    return o->arg && strchr(o->arg, '|');
}

static bool is_path(const struct pkd_option *o)
{
    return o->arg && strcmp(o->arg, "PATH") == 0;
}

static void print_choice(const struct pkd_option *o)
{
    for (const char *c = o->arg; *c; c++)
        (void)putchar(*c == '|' ? ' ' : *c);
}

static void print_commands(void)
{
    for (const struct pkd_command *c = pkd_commands; c->name; c++)
        (void)printf("%s%s", c == pkd_commands ? "" : " ", c->name);
}

static void print_verbs(const struct pkd_command *c)
{
    for (const struct pkd_verb *v = c->verbs; v && v->name; v++)
        (void)printf("%s%s", v == c->verbs ? "" : " ", v->name);
}

/* --- bash ---------------------------------------------------------------------------------- */

/* A pattern of the options that take a path, or any other value that is not one of a list. */
static void bash_pattern(bool path)
{
    const struct pkd_option *o;
    const char *before = "    ";

    for (int i = 0; (o = pkd_option_at(i)); i++) {
        if (o->arg && !is_choice(o) && is_path(o) == path) {
            (void)printf("%s--%s", before, o->flag);
            before = "|";
        }
    }
}

/* What follows an option that takes a value. */
static void bash_values(void)
{
    const struct pkd_option *o;

    bash_pattern(true);
    (void)printf(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
    bash_pattern(false);
    (void)printf(") return ;;\n");
    for (int i = 0; (o = pkd_option_at(i)); i++) {
        if (!is_choice(o))
            continue;
        (void)printf("    --%s) words='", o->flag);
        print_choice(o);
        (void)printf("' ;;\n");
    }
}

static void bash_options(void)
{
    const struct pkd_option *o;

    for (const struct pkd_command *c = pkd_commands; c->name; c++) {
        (void)printf("        %s) words='--help", c->name);
        for (int i = 0; (o = pkd_option_at(i)); i++)
            if (o->group & pkd_command_groups(c))
                (void)printf(" --%s", o->flag);
        (void)printf("' ;;\n");
    }
}

static void print_bash(void)
{
    (void)printf(
        "# bash completion of pkd; pkd completion bash prints it.\n"
        "_pkd() {\n"
        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words=\n"
        "    COMPREPLY=()\n"
        "    case $prev in\n");
    bash_values();
    (void)printf("    *)\n"
                 "        if [[ $cur == -* ]]; then\n"
                 "        case ${COMP_WORDS[1]} in\n");
    bash_options();
    (void)printf("        *) words='--help --version' ;;\n"
                 "        esac\n"
                 "        elif ((COMP_CWORD == 1)); then\n"
                 "        words='");
    print_commands();
    (void)printf("'\n"
                 "        elif ((COMP_CWORD == 2)); then\n"
                 "        case ${COMP_WORDS[1]} in\n");
    for (const struct pkd_command *c = pkd_commands; c->name; c++) {
        if (!c->verbs)
            continue;
        (void)printf("        %s) words='", c->name);
        print_verbs(c);
        (void)printf("' ;;\n");
    }
    (void)printf("        esac\n"
                 "        fi ;;\n"
                 "    esac\n"
                 "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                 "}\n"
                 "complete -o default -F _pkd pkd\n");
}

/* --- zsh ----------------------------------------------------------------------------------- */

static void zsh_option(const struct pkd_option *o)
{
    (void)printf("        '--%s%s[", o->flag, o->arg ? "=" : "");
    print_quoted(o->help, "[]\\");
    (void)putchar(']');
    if (o->arg) {
        (void)putchar(':');
        print_quoted(is_choice(o) ? o->flag : o->arg, ":");
        (void)putchar(':');
    }
    if (is_choice(o)) {
        (void)putchar('(');
        print_choice(o);
        (void)putchar(')');
    } else if (o->arg && is_path(o)) {
        (void)printf("_files");
    }
    (void)printf("'\n");
}

static void zsh_named(const char *indent, const char *name, const char *help)
{
    (void)printf("%s'%s:", indent, name);
    print_quoted(help, "\\");
    (void)printf("'\n");
}

static void print_zsh(void)
{
    const struct pkd_option *o;

    (void)printf("#compdef pkd\n# zsh completion of pkd; pkd completion zsh prints it.\n"
                 "_pkd() {\n"
                 "    local -a commands verbs options\n"
                 "    commands=(\n");
    for (const struct pkd_command *c = pkd_commands; c->name; c++)
        zsh_named("        ", c->name, c->help);
    (void)printf("    )\n    case $words[2] in\n");
    for (const struct pkd_command *c = pkd_commands; c->name; c++) {
        if (!c->verbs)
            continue;
        (void)printf("    %s) verbs=(\n", c->name);
        for (const struct pkd_verb *v = c->verbs; v->name; v++)
            zsh_named("        ", v->name, v->help);
        (void)printf("        ) ;;\n");
    }
    (void)printf(
        "    esac\n"
        "    options=(\n        '--help[how it is used]'\n        '--version[the version]'\n");
    for (int i = 0; (o = pkd_option_at(i)); i++)
        zsh_option(o);
    (void)printf("    )\n"
                 "    _arguments -S $options '1:command:{_describe command commands}' \\\n"
                 "        '2:verb:{_describe verb verbs}' '*:file:_files'\n"
                 "}\n"
                 "if [ \"$funcstack[1]\" = _pkd ]; then _pkd \"$@\"; else compdef _pkd pkd; fi\n");
}

/* --- fish ---------------------------------------------------------------------------------- */

static void fish_option(const struct pkd_option *o)
{
    (void)printf("complete -c pkd -l %s%s", o->flag, !o->arg ? "" : is_path(o) ? " -rF" : " -x");
    if (is_choice(o)) {
        (void)printf(" -a '");
        print_choice(o);
        (void)putchar('\'');
    }
    (void)printf(" -d '");
    print_quoted(o->help, "\\");
    (void)printf("'\n");
}

static void print_fish(void)
{
    const struct pkd_option *o;

    (void)printf("# fish completion of pkd; pkd completion fish prints it.\n"
                 "complete -c pkd -n __fish_use_subcommand -f\n"
                 "complete -c pkd -l help -d 'how it is used'\n"
                 "complete -c pkd -l version -d 'the version'\n");
    for (const struct pkd_command *c = pkd_commands; c->name; c++) {
        (void)printf("complete -c pkd -n __fish_use_subcommand -f -a %s -d '", c->name);
        print_quoted(c->help, "\\");
        (void)printf("'\n");
        for (const struct pkd_verb *v = c->verbs; v && v->name; v++) {
            (void)printf("complete -c pkd -n '__fish_seen_subcommand_from %s; and test (count "
                         "(commandline -opc)) -eq 2'"
                         " -f -a %s -d '",
                         c->name, v->name);
            print_quoted(v->help, "\\");
            (void)printf("'\n");
        }
    }
    for (int i = 0; (o = pkd_option_at(i)); i++)
        fish_option(o);
}

/* clang-format off */
const struct pkd_verb pkd_completion_verbs[] = {
    {"bash", "", 0, 0, NULL, "for bash", "pkd completion bash > /etc/bash_completion.d/pkd"},
    {"zsh",  "", 0, 0, NULL, "for zsh",  "pkd completion zsh > \"${fpath[1]}/_pkd\""},
    {"fish", "", 0, 0, NULL, "for fish", "pkd completion fish > ~/.config/fish/completions/pkd.fish"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */

int pkd_completion(const struct pkd_options *o)
{
    static void (*const prints[])(void) = {print_bash, print_zsh, print_fish};
    const char *shell = o->word_count == 1 ? o->words[0] : "";

    for (size_t i = 0; i < PK_COUNT(prints); i++) {
        if (strcmp(shell, pkd_completion_verbs[i].name) == 0) {
            prints[i]();
            return 0;
        }
    }
    (void)fprintf(stderr, "usage: pkd completion bash|zsh|fish\n");
    return 2;
}
