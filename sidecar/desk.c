/* desk.c - see desk.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"

#include "sqlite.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool pkd_desk_stdin(struct pkd_desk *d, pk_str *out, struct pk_error *err)
{
    struct pk_buf b = pk_buf_in(&d->arena, PKD_STDIN_BYTES_MAX);
    ssize_t got = 1;

    while (got > 0) {
        char *room = pk_buf_room(&b, 4096);

        if (!room)
            return pk_fail(err, PK_TOO_LARGE, "stdin: more than %d bytes", PKD_STDIN_BYTES_MAX);
        got = read(STDIN_FILENO, room, 4096);
        b.len += got > 0 ? (size_t)got : 0;
    }
    *out = pk_str_trim(pk_buf_str(&b));
    return out->len || pk_fail(err, PK_BAD_REQUEST, "stdin: nothing there");
}

static bool print_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)ctx;
    for (int i = 0; i < count; i++)
        (void)printf("%s%.*s", i ? "\t" : "", PK_FMT(columns[i].s));
    (void)printf("\n");
    return true;
}

bool pkd_desk_list(struct pkd_desk *d, enum pk_stmt stmt, struct pk_error *err)
{
    return d->store->ops->exec(d->store, stmt, NULL, 0, print_row, NULL, err);
}

static bool open_desk(struct pkd_desk *d, struct pk_error *err)
{
    const struct sqlite3_api_routines *api = pkd_sqlite_api(err);

    if (!api || !pkd_store_path(d->options, d->store_path, sizeof d->store_path, err))
        return false;
    d->store = pk_store_sqlite(api, d->store_path, err);
    return d->store != NULL;
}

static const struct pkd_verb *find_verb(const struct pkd_verb *v, const struct pkd_options *o)
{
    int count = o->word_count - 1;

    for (; v->name && count >= 0; v++)
        if (strcmp(v->name, o->words[0]) == 0 && count >= v->words_min && count <= v->words_max)
            return v;
    return NULL;
}

int pkd_desk_run(const struct pkd_options *o, const char *noun, const struct pkd_verb *verbs)
{
    const struct pkd_verb *v = find_verb(verbs, o);
    struct pkd_desk d = {.options = o};
    struct pk_error err = {0};

    if (!v) {
        for (v = verbs; v->name; v++)
            (void)fprintf(stderr, "usage: pkd %s %s %s\n", noun, v->name, v->words);
        return 2;
    }
    pk_arena_init(&d.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool done = open_desk(&d, &err) && v->run(&d, o->words + 1, o->word_count - 1, &err);
    if (!done)
        (void)fprintf(stderr, "pkd %s %s: %s\n", noun, v->name, err.msg);
    pk_store_close(d.store);
    pk_arena_free(&d.arena);
    return done ? 0 : 1;
}
