/* options.c - see options.h; the rows are in options.def.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "options.h"

#include "batch.h"
#include "privacy.h"
#include "thread.h"
#include "url.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 65536, US_MAX = 1000 };

enum kind {
    KIND_TEXT,
    KIND_HOSTS,
    KIND_LINES,
    KIND_COUNT,
    KIND_CALLS,
    KIND_THREADS,
    KIND_MS,
    KIND_US,
    KIND_SWITCH
};

struct row {
    struct pkd_option option;
    enum kind kind;
    size_t at; /* offset of the field */
};

static const struct row rows[] = {
#define ROW(group, field, kind, flag, env, otherwise, arg, help)                                   \
    {{flag, env, otherwise, arg, help, group}, KIND_##kind, offsetof(struct pkd_options, field)},
#define OPTION(...) ROW(PKD_SERVING, __VA_ARGS__)
#define COMMON(...) ROW(PKD_COMMON, __VA_ARGS__)
#define FILTER(...) ROW(PKD_LOGS, __VA_ARGS__)
#define MAPPED(...) ROW(PKD_MAP, __VA_ARGS__)
#include "options.def"
#undef OPTION
#undef COMMON
#undef FILTER
#undef MAPPED
#undef ROW
};

static int64_t most(enum kind kind)
{
    if (kind == KIND_MS)
        return PK_TIMEOUT_MS_MAX;
    if (kind == KIND_THREADS)
        return PKD_THREADS_MAX;
    if (kind == KIND_US)
        return US_MAX;
    return kind == KIND_CALLS ? PK_BATCH_CONCURRENCY_MAX : COUNT_MAX;
}

/* What an error calls the option: as it was given. */
struct given {
    const char *prefix, *name; /* "--" and the flag, or "" and the variable */
};

/* "30s", "250ms", or milliseconds without a unit. */
static bool read_ms(const char *value, int64_t *ms)
{
    size_t digits = strspn(value, "0123456789");
    const char *unit = value + digits;
    int64_t factor = strcmp(unit, "s") == 0 ? 1000 : 1;

    if (!pk_str_int((pk_str){value, digits}, ms) || *ms > PK_TIMEOUT_MS_MAX ||
        (factor == 1 && *unit && strcmp(unit, "ms") != 0))
        return false;
    *ms *= factor;
    return true;
}

static bool set_number(const struct row *r, const struct given *g, int64_t *field,
                       const char *value, struct pk_error *err)
{
    const int64_t max = most(r->kind);
    const int64_t least = r->kind == KIND_US ? 0 : 1;
    bool is_ms = r->kind == KIND_MS;
    bool ok = is_ms ? read_ms(value, field) : pk_str_int(pk_str_of(value), field);

    if (!ok || *field < least || *field > max)
        return pk_fail(err, PK_BAD_REQUEST, "%s%s: must be %s from %lld to %lld%s", g->prefix,
                       g->name, is_ms ? "milliseconds" : "a number", (long long)least,
                       (long long)max, is_ms ? ", or like \"30s\"" : "");
    return true;
}

/* Whether the value is one of "text|json". */
static bool is_one_of(const char *values, const char *value)
{
    size_t len = strlen(value);

    for (const char *v = values; v; v = strchr(v, '|') ? strchr(v, '|') + 1 : NULL)
        if (strcspn(v, "|") == len && memcmp(v, value, len) == 0)
            return true;
    return false;
}

/* The variable may hold many. */
static bool check_hosts(const struct given *g, const char *value, struct pk_error *err)
{
    pk_str wrong = pk_url_host_wrong(pk_str_of(value));

    if (*g->prefix && (!*value || strpbrk(value, " \t\r\n")))
        wrong = pk_str_of(value);
    else if (wrong.len == 0)
        return true;
    return pk_fail(err, PK_BAD_REQUEST,
                   "%s%s: must be a name, an address, \"*.example.com\", or one of these with a "
                   "port, not \"%.*s\"%s",
                   g->prefix, g->name, PK_FMT(pk_name_shown(wrong)),
                   *g->prefix ? "; repeat it for more" : "");
}

static bool add(struct pk_arena *arena, const struct given *g, const char **text,
                const char *between, const char *value, struct pk_error *err)
{
    *text = *text ? pk_copyf(arena, "%s%s%s", *text, between, value).at : value;
    return *text || pk_fail(err, PK_NO_MEMORY, "%s%s: out of memory", g->prefix, g->name);
}

static bool set(struct pk_arena *arena, const struct row *r, const struct given *g,
                struct pkd_options *o, const char *value, struct pk_error *err)
{
    void *field = (char *)o + r->at;
    const char **text = field;

    if (r->option.arg && strchr(r->option.arg, '|') && !is_one_of(r->option.arg, value))
        return pk_fail(err, PK_BAD_REQUEST, "%s%s: must be one of %s", g->prefix, g->name,
                       r->option.arg);
    switch (r->kind) {
    case KIND_TEXT: *text = value; return true;
    case KIND_HOSTS: return check_hosts(g, value, err) && add(arena, g, text, ",", value, err);
    case KIND_LINES: return add(arena, g, text, "\n", value, err);
    case KIND_COUNT:
    case KIND_CALLS:
    case KIND_THREADS:
    case KIND_MS:
    case KIND_US: return set_number(r, g, field, value, err);
    case KIND_SWITCH: *(bool *)field = !value || strcmp(value, "0") != 0; return true;
    }
    return false;
}

/* The row for "--flag" or "--flag=value"; *value points behind the '='. */
static const struct row *find(const char *word, const char **value)
{
    const char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) : strlen(word);

    *value = equals ? equals + 1 : NULL;
    for (size_t i = 0; i < PK_COUNT(rows); i++)
        if (strlen(rows[i].option.flag) == len && memcmp(rows[i].option.flag, word, len) == 0)
            return &rows[i];
    return NULL;
}

static bool read_flag(struct pk_arena *arena, char **argv, int *i, struct pkd_options *o,
                      struct pk_error *err)
{
    const char *value;
    const struct row *r = find(argv[*i] + 2, &value);

    if (!r)
        return pk_fail(err, PK_BAD_REQUEST, "%s: unknown option", argv[*i]);
    if ((r->option.group & (PKD_LOGS | PKD_MAP)) && !(o->groups & r->option.group))
        return pk_fail(err, PK_BAD_REQUEST, "--%s: only pkd %s takes it", r->option.flag,
                       r->option.group == PKD_LOGS ? "logs" : "map");
    if (r->kind == KIND_SWITCH && value)
        return pk_fail(err, PK_BAD_REQUEST, "--%s: takes no value", r->option.flag);
    if (r->kind != KIND_SWITCH && !value) {
        *i += 1;
        value = argv[*i];
    }
    if (r->kind != KIND_SWITCH && !value)
        return pk_fail(err, PK_BAD_REQUEST, "--%s: needs a value", r->option.flag);
    return set(arena, r, &(struct given){"--", r->option.flag}, o, value, err);
}

static bool read_defaults(struct pk_arena *arena, struct pkd_options *o, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(rows); i++) {
        const struct given g = {"", rows[i].option.env};
        const char *value = g.name ? getenv(g.name) : NULL;

        if (!value || !*value)
            value = rows[i].option.otherwise;
        if (value && !set(arena, &rows[i], &g, o, value, err))
            return false;
    }
    return true;
}

bool pkd_options_read(struct pk_arena *arena, int argc, char **argv, struct pkd_options *o,
                      struct pk_error *err)
{
    bool words_only = false;

    *o = (struct pkd_options){.words = argv, .groups = o->groups};
    if (!read_defaults(arena, o, err))
        return false;
    for (int i = 0; i < argc; i++) {
        if (!words_only && strcmp(argv[i], "--") == 0) {
            words_only = true;
        } else if (!words_only && strncmp(argv[i], "--", 2) == 0) {
            if (!read_flag(arena, argv, &i, o, err))
                return false;
        } else {
            argv[o->word_count++] = argv[i];
        }
    }
    return true;
}

const struct pkd_option *pkd_option_at(int i)
{
    return i >= 0 && i < (int)PK_COUNT(rows) ? &rows[i].option : NULL;
}

void pkd_options_print(FILE *to, unsigned groups)
{
    const struct pkd_option *o;

    for (int i = 0; (o = pkd_option_at(i)); i++) {
        char flag[64];

        if (!(o->group & groups))
            continue;
        (void)snprintf(flag, sizeof flag, "--%s%s%s", o->flag, o->arg ? " " : "",
                       o->arg ? o->arg : "");
        (void)fprintf(to, "  %-24s %s", flag, o->help);
        if (o->otherwise)
            (void)fprintf(to, " (%s)", o->otherwise);
        if (o->env)
            (void)fprintf(to, " [%s]", o->env);
        (void)fputc('\n', to);
    }
}
