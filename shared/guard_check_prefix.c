/* guard_check_prefix.c - puts a text before what somebody says.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * It goes to the first message of the role, so that a conversation that is sent again begins with the same
 * bytes, which providers' prompt caches go by. A system message that is not there is made.
 */
#include "guard_inner.h"

enum { PREFIX_BYTES_MAX = 16 << 10 };

struct prefix_params {
    pk_str prefix, role;
    bool only_if_empty;
    bool own_message; /* before the first of the role, instead of in it */
};

static bool prefix_prefix(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "prefix", value, PREFIX_BYTES_MAX,
                               &((struct prefix_params *)into)->prefix);
}

static bool prefix_role(struct pk_config_reader *p, int value, void *into)
{
    static const char *const roles[] = {"user", "system", "assistant"};

    for (size_t i = 0; i < PK_COUNT(roles); i++) {
        if (!pk_json_is(&p->doc, value, roles[i]))
            continue;
        ((struct prefix_params *)into)->role = pk_str_of(roles[i]);
        return true;
    }
    return pk_config_fail(p, "apply_to_role", "must be \"user\", \"system\" or \"assistant\"");
}

static bool prefix_existing(struct pk_config_reader *p, int value, void *into)
{
    bool existing = true;

    if (!pk_config_read_bool(p, "add_to_existing", value, &existing))
        return false;
    ((struct prefix_params *)into)->own_message = !existing;
    return true;
}

static bool prefix_empty(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "only_if_empty", value,
                               &((struct prefix_params *)into)->only_if_empty);
}

static const struct pk_config_member prefix_members[] = {
    {"prefix", prefix_prefix},
    {"apply_to_role", prefix_role},
    {"add_to_existing", prefix_existing},
    {"only_if_empty", prefix_empty},
    {0},
};

static bool prefix_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct prefix_params *x = check->params;

    if (x->role.len == 0)
        x->role = PK_STR("user");
    return x->prefix.len > 0 || pk_config_fail(p, "prefix", "must be given");
}

/* The first text of a message of the role; NULL: there is none. */
static struct pk_guard_piece *first_of(struct pk_check_run *r, pk_str role)
{
    const struct pk_json *j = &r->doc->json;
    int messages = pk_json_get(j, 0, pk_guard_list(r->doc->front));

    if (messages < 0) /* what is embedded, say, is the user's */
        return pk_str_is(role, "user") && r->doc->count ? &r->doc->pieces[0] : NULL;
    for (int i = 0; i < r->doc->count; i++) {
        struct pk_guard_piece *piece = &r->doc->pieces[i];
        int message = pk_json_item(j, messages, piece->unit);
        pk_str of = piece->unit == PK_GUARD_UNIT_SYSTEM ? PK_STR("system")
                    : message < 0 /* a text alone */
                        ? PK_STR("user")
                        : pk_json_str(r->arena, j, pk_json_get(j, message, "role"));

        if (pk_str_eq(of, role))
            return piece;
    }
    return NULL;
}

static void prefix_run(struct pk_check_run *r)
{
    const struct prefix_params *x = r->check->params;
    struct pk_guard_piece *to = first_of(r, x->role);
    struct pk_error err = {0};

    r->verdict = r->final = true;
    if (to && x->only_if_empty && pk_str_trim(to->text).len) {
        pk_check_say(r, "There is a text already.");
        return;
    }
    pk_check_say(r, "The prefix was added.");
    if (to && !x->own_message) {
        pk_check_change(r, to, pk_copyf(r->arena, "%.*s%.*s", PK_FMT(x->prefix), PK_FMT(to->text)));
        return;
    }
    r->transformed = pk_guard_doc_insert(r->doc, to ? to->unit : -1, x->role, x->prefix, &err);
    if (!r->transformed)
        pk_check_err(r, "%s", err.msg);
}

const struct pk_check_body pk_check_add_prefix = {sizeof(struct prefix_params), prefix_members,
                                                  prefix_ready, prefix_run, NULL};
