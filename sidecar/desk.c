/* desk.c - see desk.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"

#include "json.h"
#include "member.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool read_all(struct pkd_desk *d, int fd, size_t max, pk_str *out, const char *path,
                     struct pk_error *err)
{
    struct pk_buf b = pk_buf_in(&d->arena, max);
    ssize_t got = 1;

    while (got > 0) {
        char *room = pk_buf_room(&b, 4096);

        if (!room)
            return pk_fail(err, PK_TOO_LARGE, "%.100s: more than %zu bytes", path, max);
        got = read(fd, room, 4096);
        b.len += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        return pk_fail(err, PK_BAD_REQUEST, "%.100s: %s", path, strerror(errno));
    *out = pk_str_trim(pk_buf_str(&b));
    return out->len || pk_fail(err, PK_BAD_REQUEST, "%.100s: nothing there", path);
}

bool pkd_desk_stdin(struct pkd_desk *d, pk_str *out, struct pk_error *err)
{
    return read_all(d, STDIN_FILENO, PKD_STDIN_BYTES_MAX, out, "stdin", err);
}

bool pkd_desk_file(struct pkd_desk *d, const char *path, size_t max, pk_str *out,
                   struct pk_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return pk_fail(err, PK_BAD_REQUEST, "%.100s: %s", path, strerror(errno));
    bool ok = read_all(d, fd, max, out, is_stdin ? "stdin" : path, err);
    if (!is_stdin)
        (void)close(fd);
    return ok;
}

struct listing {
    struct pk_buf out;
    pk_str names;
    bool json, begun;
};

static void print_value(struct listing *l, const struct pk_value *v, bool is_json)
{
    if (v->type == PK_V_INT)
        pk_buf_addf(&l->out, "%lld", (long long)v->i);
    else if (l->json && v->type == PK_V_NULL)
        pk_buf_adds(&l->out, "null");
    else if (l->json && !is_json)
        pk_json_quote(&l->out, v->s);
    else
        pk_buf_add(&l->out, v->s);
}

/* The next of the names; *is_json when it ends in "{}". */
static pk_str next_name(pk_str *names, bool *is_json)
{
    int blank = pk_str_find(*names, ' ');
    pk_str name = pk_str_sub(*names, 0, blank < 0 ? names->len : (size_t)blank);

    *names = pk_str_sub(*names, name.len + 1, names->len);
    *is_json = pk_str_ends(name, "{}");
    return *is_json ? pk_str_sub(name, 0, name.len - 2) : name;
}

static bool print_row(void *ctx, const struct pk_value *columns, int count)
{
    struct listing *l = ctx;
    pk_str names = l->names;

    if (l->json)
        pk_buf_adds(&l->out, l->begun ? ",\n {" : "[{");
    l->begun = true;
    for (int i = 0; i < count; i++) {
        bool is_json;
        pk_str name = next_name(&names, &is_json);

        if (l->json)
            pk_buf_addf(&l->out, "%s\"%.*s\":", i ? "," : "", PK_FMT(name));
        else if (i)
            pk_buf_addc(&l->out, '\t');
        print_value(l, &columns[i], is_json);
    }
    pk_buf_adds(&l->out, l->json ? "}" : "\n");
    return !l->out.failed;
}

bool pkd_desk_list(struct pkd_desk *d, enum pk_stmt stmt, const char *names, struct pk_error *err)
{
    struct listing l = {.out = pk_buf_in(&d->arena, PK_BODY_BYTES_MAX),
                        .names = pk_str_of(names),
                        .json = d->options->json};

    if (!d->store->ops->exec(d->store, stmt, NULL, 0, print_row, &l, err))
        return false;
    if (l.json)
        pk_buf_adds(&l.out, l.begun ? "]\n" : "[]\n");
    (void)printf("%.*s", PK_FMT(pk_buf_str(&l.out)));
    return !l.out.failed || pk_fail(err, PK_TOO_LARGE, "more than can be listed");
}

static bool open_desk(struct pkd_desk *d, struct pk_error *err)
{
    if (!pkd_home_find(&d->home, d->options, PKD_COMMAND_MS, err))
        return false;
    d->store = pkd_home_open(&d->home, PKD_PATIENT_MS, err);
    return d->store != NULL;
}

void pkd_desk_tell_version(struct pkd_desk *d, const char *slug, int64_t version)
{
    pk_member_text(&d->told, "slug", pk_str_of(slug));
    pk_member_int(&d->told, "version", version);
    if (!d->options->json)
        (void)printf("%s@%lld\n", slug, (long long)version);
}

void pkd_desk_tell(struct pkd_desk *d, const char *member, const char *name, const char *did)
{
    pk_member_text(&d->told, member, pk_str_of(name));
    if (did)
        pk_member_bool(&d->told, did, true);
}

static void print_usage(const struct pkd_command *c, const struct pkd_verb *v)
{
    (void)fprintf(stderr, "usage: pkd %s %s%s%s\n", c->name, v->name, *v->words ? " " : "",
                  v->words);
}

/* The verb that takes as many words; NULL after saying why not. */
static const struct pkd_verb *find_verb(const struct pkd_command *c, const struct pkd_options *o)
{
    const struct pkd_verb *v = pkd_verb_find(c, o->word_count ? o->words[0] : NULL);
    int count = o->word_count - 1;

    if (v && count >= v->words_min && count <= v->words_max)
        return v;
    if (v) {
        (void)fprintf(stderr, "pkd %s %s: takes %s, not %d word%s\n", c->name, v->name,
                      *v->words ? v->words : "nothing more", count, count == 1 ? "" : "s");
        print_usage(c, v);
        return NULL;
    }
    if (o->word_count)
        (void)fprintf(stderr, "pkd %s: %s: no such verb\n", c->name, o->words[0]);
    for (v = c->verbs; v->name; v++)
        print_usage(c, v);
    return NULL;
}

int pkd_desk_run(const struct pkd_options *o, const struct pkd_command *c)
{
    const struct pkd_verb *v = find_verb(c, o);
    struct pkd_desk d = {.options = o};
    struct pk_error err = {0};

    if (!v)
        return 2;
    pk_arena_init(&d.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    d.told = pk_buf_in(&d.arena, PK_CONFIG_BYTES_MAX);
    pk_buf_addc(&d.told, '{');
    bool done = open_desk(&d, &err) && v->run(&d, o->words + 1, o->word_count - 1, &err);
    if (!done)
        (void)fprintf(stderr, "pkd %s %s: %s\n", c->name, v->name, err.msg);
    else if (o->json && d.told.len > 1)
        (void)printf("%.*s}\n", PK_FMT(pk_buf_str(&d.told)));
    pk_store_close(d.store);
    pkd_home_free(&d.home);
    pk_arena_free(&d.arena);
    return done ? 0 : 1;
}
