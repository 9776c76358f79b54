/* admin_prompt.c - `pkd prompt`: what SQL does with pk_prompt_put() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "store_prompt.h"
#include "xfer.h"

#include <stdio.h>

static bool print(const struct pk_buf *out, struct pk_error *err)
{
    if (out->failed)
        return pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
    (void)printf("%.*s\n", PK_FMT(pk_buf_str(out)));
    return true;
}

static bool put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_prompt_draft draft = {
        .slug = pk_str_of(words[0]), .plain_text = true, .at_us = pk_clock_us()};
    int64_t version;

    (void)count;
    if (!pkd_desk_stdin(d, &draft.text, err) ||
        !pk_store_prompt_put(d->store, &d->arena, &draft, &version, err))
        return false;
    pkd_desk_tell_version(d, words[0], version);
    return true;
}

static bool get(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(&d->arena, PK_BODY_BYTES_MAX);
    struct pk_draw draw = {.key = pk_str_of(words[0])};
    struct pk_prompt p;

    (void)count;
    if (!pk_store_prompt_get(d->store, &d->arena, pk_str_of(words[0]), draw, &p, err))
        return false;
    pk_prompt_print(&p, &out);
    return print(&out, err);
}

static bool list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_prompt_list, "slug version labels{}", err);
}

static bool number(const char *word, const char *name, int64_t *out, struct pk_error *err)
{
    return (pk_str_int(pk_str_of(word), out) && *out >= 0) ||
           pk_fail(err, PK_BAD_REQUEST, "%s: must be a number", name);
}

static bool publish(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_publication what = {.slug = pk_str_of(words[0]),
                                  .label = count > 2 ? pk_str_of(words[2]) : PK_NONE,
                                  .weight = PK_WEIGHT_ALONE,
                                  .at_us = pk_clock_us()};

    pkd_desk_tell(d, "slug", words[0], "published");
    return number(words[1], "version", &what.version, err) &&
           (count < 4 || number(words[3], "weight", &what.weight, err)) &&
           pk_store_prompt_publish(d->store, &d->arena, &what, err);
}

static bool render(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(&d->arena, PK_BODY_BYTES_MAX);
    struct pk_prompt p;
    pk_str vars, messages;

    (void)count;
    if (!pkd_desk_stdin(d, &vars, err) ||
        !pk_store_prompt_load(d->store, &d->arena, pk_str_of(words[0]),
                              (struct pk_draw){.key = vars}, &p, err) ||
        !pk_prompt_render(&d->arena, &p, vars, &messages, err))
        return false;
    pk_buf_add(&out, messages);
    return print(&out, err);
}

static bool delete_all(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    pkd_desk_tell(d, "slug", words[0], "deleted");
    return pk_store_prompt_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such prompt", words[0]));
}

/* clang-format off */
const struct pkd_verb pkd_prompt_verbs[] = {
    {"put",     "SLUG < JSON-OR-TEXT",           1, 1, put,        "store a prompt, as the next version of the slug", "echo 'Say hello to {{name}}.' | pkd prompt put hello"},
    {"get",     "REF",                           1, 1, get,        "print one; REF is SLUG, SLUG@VERSION or SLUG@LABEL", "pkd prompt get hello@2"},
    {"list",    "",                              0, 0, list,       "slug, newest version and labels of each", "pkd prompt list"},
    {"publish", "SLUG VERSION [LABEL [WEIGHT]]", 2, 4, publish,    "give a version a label (production), alone or beside others by weight", "pkd prompt publish hello 2 production 10"},
    {"render",  "REF < JSON",                    1, 1, render,     "print the messages that the variables make of it", "echo '{\"name\": \"Ann\"}' | pkd prompt render hello"},
    {"delete",  "SLUG",                          1, 1, delete_all, "delete it with all its versions", "pkd prompt delete hello"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
