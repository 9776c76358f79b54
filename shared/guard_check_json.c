/* guard_check_json.c - checks of the JSON in a text: true when any of what there is (jsontext.h) will do.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guard_inner.h"

#include "jsontext.h"

bool pk_check_any_json(struct pk_check_run *r, pk_str text,
                       bool (*good)(struct pk_check_run *, const struct pk_json *))
{
    struct pk_jsontext found = pk_jsontext_of(r->arena, text);
    struct pk_json doc;

    while (pk_jsontext_next(&found, &doc))
        if (good(r, &doc))
            return true;
    if (!found.some)
        pk_check_say(r, "There is no JSON in the text.");
    return false;
}

/* --- json_keys -------------------------------------------------------------------------------- */

struct keys_params {
    struct pk_strings keys;
    enum pk_wanted op;
};

static bool keys_keys(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "keys", value, &((struct keys_params *)into)->keys);
}

static bool keys_operator(struct pk_config_reader *p, int value, void *into)
{
    return pk_wanted_read(p, value, &((struct keys_params *)into)->op);
}

static const struct pk_config_member keys_members[] = {
    {"keys", keys_keys}, {"operator", keys_operator}, {0}};

static bool keys_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct keys_params *x = check->params;

    return x->keys.count > 0 || pk_config_fail(p, "keys", "must be given");
}

static bool has_keys(struct pk_check_run *r, const struct pk_json *doc)
{
    const struct keys_params *x = r->check->params;
    int found = 0;

    for (int i = 0; i < x->keys.count; i++)
        found += pk_json_get(doc, 0, x->keys.at[i].at) >= 0;
    pk_check_say(r, "%d of %d keys were found; wanted: %s.", found, x->keys.count,
                 pk_wanted_name(x->op));
    return pk_wanted_holds(x->op, found, x->keys.count);
}

static void keys_run(struct pk_check_run *r)
{
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++)
        r->verdict = pk_check_any_json(r, texts[i], has_keys);
}

const struct pk_check_body pk_check_json_keys = {sizeof(struct keys_params), keys_members,
                                                 keys_ready, keys_run, NULL};
