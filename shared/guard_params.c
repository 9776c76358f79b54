/* guard_params.c - the checks of a guardrail and their parameters.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guard_draft.h"

#include <string.h>

enum { ID_BYTES_MAX = 128 };

#define IN      (1u << PK_GUARD_INPUT)
#define OUT     (1u << PK_GUARD_OUTPUT)
#define BOTH    (IN | OUT)
#define REDACTS PK_CHECK_REDACTS
#define CHANGES PK_CHECK_CHANGES
#define MODEL   PK_CHECK_MODEL
#define STORED  PK_CHECK_STORED
static const struct pk_guard_kind kinds[] = {
#define GUARD(symbol, type, ids, phases, flags) {type, ids, phases, flags, &pk_check_##symbol},
#include "guards.def"
#undef GUARD
};
#undef IN
#undef OUT
#undef BOTH
#undef REDACTS
#undef CHANGES
#undef MODEL
#undef STORED

static const char *const phase_names[] = {"input", "output"};

/* --- kinds ------------------------------------------------------------------------------------ */

const struct pk_guard_kind *pk_guard_kind_of_type(pk_str type)
{
    for (size_t i = 0; i < PK_COUNT(kinds); i++)
        if (pk_str_is(type, kinds[i].type))
            return &kinds[i];
    return NULL;
}

static bool lists_id(const struct pk_guard_kind *kind, pk_str id)
{
    pk_str rest = pk_str_of(kind->ids);

    while (rest.len) {
        int blank = pk_str_find(rest, ' ');
        size_t len = blank < 0 ? rest.len : (size_t)blank;

        if (pk_str_eq(pk_str_sub(rest, 0, len), id))
            return true;
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return false;
}

/* By Portkey's id, with or without "default."; *full has it. NULL: there is none. */
static const struct pk_guard_kind *kind_of_id(pk_str id, pk_str *full)
{
    char text[ID_BYTES_MAX + sizeof "default."] = "default.";

    *full = id;
    if (id.len > ID_BYTES_MAX)
        return NULL;
    memcpy(text + strlen(text), id.at, id.len);
    pk_str named = pk_str_find(id, '.') < 0 ? (pk_str){text, strlen("default.") + id.len} : id;
    for (size_t i = 0; i < PK_COUNT(kinds); i++) {
        if (!lists_id(&kinds[i], named))
            continue;
        *full = named.at == id.at ? id : pk_str_sub(pk_str_of(kinds[i].ids), 0, named.len);
        return &kinds[i];
    }
    return pk_guard_kind_of_type(id);
}

/* --- checks ----------------------------------------------------------------------------------- */

static bool check_not(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "not", value, &((struct pk_check *)into)->negate);
}

static bool check_fail_on_error(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "fail_on_error", value,
                               &((struct pk_check *)into)->fail_on_error);
}

static bool check_enabled(struct pk_config_reader *p, int value, void *into)
{
    bool enabled = true;

    if (!pk_config_read_bool(p, "is_enabled", value, &enabled))
        return false;
    ((struct pk_check *)into)->disabled = !enabled;
    return true;
}

/* What every check takes beside its kind's own parameters. */
const struct pk_config_member pk_guard_check_members[] = {
    {"not", check_not},
    {"fail_on_error", check_fail_on_error},
    {"is_enabled", check_enabled},
    {0},
};

struct pk_check *pk_guard_add_check(struct pk_config_reader *p, struct pk_guard_draft *d)
{
    struct pk_guardrail *g = &d->g;

    if (g->check_count == PK_CHECKS_MAX) {
        (void)pk_config_fail(p, "checks", "more than %d", PK_CHECKS_MAX);
        return NULL;
    }
    void *rows = pk_alloc_row(p->arena, g->checks, g->check_count, sizeof *g->checks);
    if (!rows) {
        (void)pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
        return NULL;
    }
    g->checks = rows;
    return &g->checks[g->check_count++];
}

bool pk_guard_begin_params(struct pk_config_reader *p, struct pk_check *check)
{
    check->params = pk_alloc(p->arena, check->kind->body->size);
    return check->params || pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
}

bool pk_guard_unknown_parameter(struct pk_config_reader *p, int key)
{
    return pk_config_fail(p, "", "unknown parameter \"%.*s\"",
                          PK_FMT(pk_str_sub(pk_json_str(p->arena, &p->doc, key), 0, 64)));
}

static bool read_params(struct pk_config_reader *p, int object, struct pk_check *check)
{
    struct pk_config_table tables[] = {
        {.members = check->kind->body->params, .into = check->params},
        {.members = pk_guard_check_members, .into = check},
    };
    bool known;

    if (pk_json_type(&p->doc, object) != PK_JSON_OBJECT)
        return pk_config_fail(p, "", "must be an object");
    for (int k = pk_json_first(&p->doc, object); k >= 0; k = pk_json_next(&p->doc, object, k)) {
        if (!pk_config_read_key(p, k, tables, PK_COUNT(tables), &known))
            return false;
        if (!known)
            return pk_guard_unknown_parameter(p, k);
    }
    return true;
}

/* Whether the check may stand where it does; then what its parameters amount to. */
bool pk_guard_finish_check(struct pk_config_reader *p, const struct pk_guard_draft *d,
                           struct pk_check *check)
{
    const struct pk_guard_kind *kind = check->kind;

    if (!(kind->phases & 1u << d->g.phase))
        return pk_config_fail(p, "", "%s is not a check of %s", kind->type,
                              phase_names[d->g.phase]);
    if (kind->flags & PK_CHECK_STORED && !p->stored)
        return pk_config_fail(p, "", "%s may only be in a stored guardrail", kind->type);
    return !kind->body->ready || kind->body->ready(p, check);
}

/* The check called `id` with the object `params` (-1: none); `part` is where it stands. */
bool pk_guard_read_check(struct pk_config_reader *p, struct pk_guard_draft *d, pk_str id,
                         int params, bool disabled)
{
    struct pk_check *check = pk_guard_add_check(p, d);
    pk_str full;

    if (!check)
        return false;
    *check = (struct pk_check){.kind = kind_of_id(id, &full), .disabled = disabled};
    if (!check->kind)
        return pk_config_fail(p, "", "unknown check \"%.*s\"", PK_FMT(pk_str_sub(id, 0, 64)));
    check->id = pk_copy(p->arena, full);
    check->fail_on_error = d->fail_on_error;
    check->redact = d->redact;
    return pk_guard_begin_params(p, check) && (params < 0 || read_params(p, params, check)) &&
           pk_guard_finish_check(p, d, check);
}

/* An item of "checks": {id, parameters, is_enabled, name}. */
struct item {
    pk_str id;
    int params;
    bool disabled;
};

static bool item_id(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "id", value, ID_BYTES_MAX, &((struct item *)into)->id);
}

static bool item_params(struct pk_config_reader *p, int value, void *into)
{
    (void)p;
    ((struct item *)into)->params = value;
    return true;
}

static bool item_enabled(struct pk_config_reader *p, int value, void *into)
{
    bool enabled = true;

    if (!pk_config_read_bool(p, "is_enabled", value, &enabled))
        return false;
    ((struct item *)into)->disabled = !enabled;
    return true;
}

static bool item_name(struct pk_config_reader *p, int value, void *into)
{
    pk_str unused;

    (void)into;
    return pk_config_read_text(p, "name", value, PK_SLUG_BYTES_MAX, &unused);
}

static const struct pk_config_member item_members[] = {
    {"id", item_id},
    {"parameters", item_params},
    {"is_enabled", item_enabled},
    {"name", item_name},
    {0},
};

static bool read_item(struct pk_config_reader *p, struct pk_guard_draft *d, int value)
{
    struct item item = {.params = -1};

    if (!pk_config_read_object(p, value, item_members, &item))
        return false;
    if (item.id.len == 0)
        return pk_config_fail(p, "id", "must be given");
    size_t len = pk_config_enter(p, "parameters");
    bool ok = pk_guard_read_check(p, d, item.id, item.params, item.disabled);
    pk_config_leave(p, len);
    return ok;
}

bool pk_guard_read_checks(struct pk_config_reader *p, int value, void *into)
{
    int i = 0;
    bool ok = true;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY)
        return pk_config_fail(p, "checks", "must be a list");
    for (int v = pk_json_first(&p->doc, value); ok && v >= 0;
         v = pk_json_next(&p->doc, value, v), i++) {
        size_t len = pk_config_enter(p, "checks[%d]", i);

        ok = read_item(p, into, v);
        pk_config_leave(p, len);
    }
    return ok;
}
