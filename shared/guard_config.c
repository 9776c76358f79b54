/* guard_config.c - guardrails as configs write them, in three dialects.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   {"type":"regex", "pattern":"...", "action":"block", "message":"..."}              one check, flat
 *   {"id":"g", "checks":[{"id":"default.contains","parameters":{...}}], "deny":true}  Portkey's hooks
 *   {"default.contains":{"words":[...]}, "deny":true}                                 Portkey's shorthand
 *   "no-pii"                                                                          a stored one
 *
 * The members that guardrails of every dialect may have are in one table; what is not in it is a
 * parameter of the check (flat) or the name of a check (shorthand), or an error.
 */
#include "guard_draft.h"

#include "request.h"

enum { MESSAGE_BYTES_MAX = 1024, FEEDBACK_BYTES_MAX = 4096 };

/* --- parts of a guardrail ------------------------------------------------------------------------ */

static bool feedback_value(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_feedback *f = into;

    if (!pk_json_int(&p->doc, value, &f->value) || f->value < -10 || f->value > 10)
        return pk_config_fail(p, "value", "must be -10..10");
    return true;
}

static bool feedback_weight(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_feedback *f = into;

    if (!pk_json_number(&p->doc, value, &f->weight) || f->weight < 0 || f->weight > 1)
        return pk_config_fail(p, "weight", "must be 0..1");
    return true;
}

static bool feedback_metadata(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_feedback *f = into;
    struct pk_error why = {0};

    f->metadata = pk_copy(p->arena, pk_json_raw(&p->doc, value));
    if (f->metadata.len > FEEDBACK_BYTES_MAX || !pk_request_metadata(p->arena, f->metadata, &why))
        return pk_config_fail(p, "metadata", "must be an object of at most %d bytes",
                              FEEDBACK_BYTES_MAX);
    return true;
}

static const struct pk_config_member feedback_members[] = {
    {"value", feedback_value},
    {"weight", feedback_weight},
    {"metadata", feedback_metadata},
    {0},
};

static bool outcome_feedback(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_feedback *f = into;

    if (pk_json_type(&p->doc, value) == PK_JSON_NULL)
        return true;
    *f = (struct pk_guard_feedback){.given = true, .weight = 1};
    return pk_config_read_member(p, "feedback", value, feedback_members, f);
}

static const struct pk_config_member outcome_members[] = {{"feedback", outcome_feedback}, {0}};

static bool read_action(struct pk_config_reader *p, const char *name, int value,
                        struct pk_guardrail *g)
{
    static const char *const names[] = {
        [PK_GUARD_WARN] = "warn",       [PK_GUARD_REDACT] = "redact", [PK_GUARD_RETRY] = "retry",
        [PK_GUARD_REPLACE] = "replace", [PK_GUARD_BLOCK] = "block",
    };

    if (g->action_given)
        return pk_config_fail(p, name, "deny, action and on_fail say the same: give one");
    for (size_t i = 0; i < PK_COUNT(names); i++) {
        if (!pk_json_is(&p->doc, value, names[i]))
            continue;
        g->action = (enum pk_guard_action)i;
        g->action_given = true;
        return true;
    }
    return pk_config_fail(p, name,
                          "must be \"block\", \"warn\", \"retry\", \"redact\" or \"replace\"");
}

/* --- members of a guardrail, in every dialect ------------------------------------------------------ */

static bool guard_type(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;

    if (d->flat || pk_json_is(&p->doc, value, "guardrail"))
        return true;
    d->g.mutator = d->g.mutator || pk_json_is(&p->doc, value, "mutator");
    return pk_json_is(&p->doc, value, "mutator") ||
           pk_config_fail(p, "type", "unknown check \"%.*s\"",
                          PK_FMT(pk_str_sub(pk_json_str(p->arena, &p->doc, value), 0, 64)));
}

static bool guard_id(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;

    return pk_config_read_text(p, "id", value, PK_SLUG_BYTES_MAX, &d->g.id);
}

/* A display name: it stands in for an id that is not given. */
static bool guard_name(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;
    pk_str name = PK_NONE;

    if (!pk_config_read_text(p, "name", value, PK_SLUG_BYTES_MAX, &name))
        return false;
    d->g.id = d->g.id.len ? d->g.id : name;
    return true;
}

static bool guard_action(struct pk_config_reader *p, int value, void *into)
{
    return read_action(p, "action", value, &((struct pk_guard_draft *)into)->g);
}

static bool guard_deny(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;
    bool deny = false;

    if (!pk_config_read_bool(p, "deny", value, &deny))
        return false;
    if (d->g.action_given)
        return pk_config_fail(p, "deny", "deny, action and on_fail say the same: give one");
    d->g.action = deny ? PK_GUARD_BLOCK : PK_GUARD_WARN;
    d->g.action_given = true;
    return true;
}

static bool guard_async(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "async", value, &((struct pk_guard_draft *)into)->g.async);
}

static bool guard_sequential(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "sequential", value,
                               &((struct pk_guard_draft *)into)->g.sequential);
}

static bool guard_message(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "message", value, MESSAGE_BYTES_MAX,
                               &((struct pk_guard_draft *)into)->g.message);
}

static bool guard_scope(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;

    d->g.scope_last = pk_json_is(&p->doc, value, "last");
    d->g.scope_all = pk_json_is(&p->doc, value, "all");
    return d->g.scope_last || d->g.scope_all ||
           pk_config_fail(p, "scope", "must be \"last\" or \"all\"");
}

static bool guard_stream(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;

    d->mode_given = true;
    d->g.hold = pk_json_is(&p->doc, value, "hold");
    return d->g.hold || pk_json_is(&p->doc, value, "end") ||
           pk_config_fail(p, "stream", "must be \"hold\" or \"end\"");
}

static bool guard_on_success(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_member(p, "on_success", value, outcome_members,
                                 &((struct pk_guard_draft *)into)->g.on_success);
}

/* Portkey's object, or what to do. */
static bool guard_on_fail(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;

    if (pk_json_type(&p->doc, value) == PK_JSON_STRING)
        return read_action(p, "on_fail", value, &d->g);
    return pk_config_read_member(p, "on_fail", value, outcome_members, &d->g.on_fail);
}

static bool guard_fail_on_error(struct pk_config_reader *p, int value, void *into)
{
    struct pk_guard_draft *d = into;

    d->fail_on_error_given = true;
    return pk_config_read_bool(p, "fail_on_error", value, &d->fail_on_error);
}

/* A version of a hosted guardrail: here the latest is meant, always. */
static bool guard_version(struct pk_config_reader *p, int value, void *into)
{
    pk_str unused;

    (void)into;
    return pk_config_read_text(p, "guardrail_version_id", value, PK_SLUG_BYTES_MAX, &unused);
}

/* "actions" of a stored guardrail: the same members, one level down. */
static const struct pk_config_member action_members[] = {
    {"deny", guard_deny},
    {"async", guard_async},
    {"sequential", guard_sequential},
    {"message", guard_message},
    {"on_success", guard_on_success},
    {"on_fail", guard_on_fail},
    {0},
};

static bool guard_actions(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_member(p, "actions", value, action_members, into);
}

static const struct pk_config_member guard_members[] = {
    {"type", guard_type},
    {"id", guard_id},
    {"name", guard_name},
    {"action", guard_action},
    {"deny", guard_deny},
    {"async", guard_async},
    {"sequential", guard_sequential},
    {"message", guard_message},
    {"scope", guard_scope},
    {"stream", guard_stream},
    {"on_success", guard_on_success},
    {"on_fail", guard_on_fail},
    {"fail_on_error", guard_fail_on_error},
    {"guardrail_version_id", guard_version},
    {"checks", pk_guard_read_checks},
    {"actions", guard_actions},
    {0},
};

/* --- a guardrail -------------------------------------------------------------------------------- */

/* "deny" may be a parameter of the check too: a list of what is denied. */
static bool read_flat_key(struct pk_config_reader *p, int key, struct pk_config_table *tables,
                          bool *known)
{
    enum pk_json_type type = pk_json_type(&p->doc, key + 1);
    bool plain_deny =
        pk_json_is(&p->doc, key, "deny") && (type == PK_JSON_TRUE || type == PK_JSON_FALSE);

    return plain_deny ? pk_config_read_key(p, key, tables + 1, 1, known)
                      : pk_config_read_key(p, key, tables, 3, known);
}

static bool read_flat(struct pk_config_reader *p, struct pk_guard_draft *d, int object)
{
    struct pk_config_table tables[] = {
        {.members = d->flat->body->params, .into = d->own.params},
        {.members = guard_members, .into = d},
        {.members = pk_guard_check_members, .into = &d->own},
    };
    bool known;

    for (int k = pk_json_first(&p->doc, object); k >= 0; k = pk_json_next(&p->doc, object, k)) {
        if (!read_flat_key(p, k, tables, &known))
            return false;
        if (!known)
            return pk_guard_unknown_parameter(p, k);
    }
    return true;
}

static bool flat_guardrail(struct pk_config_reader *p, struct pk_guard_draft *d, int object)
{
    struct pk_check *check;

    d->own = (struct pk_check){.kind = d->flat, .id = pk_str_of(d->flat->type)};
    if (!pk_guard_begin_params(p, &d->own) || !read_flat(p, d, object))
        return false;
    if (d->g.check_count)
        return pk_config_fail(p, "checks", "not beside the check \"%s\"", d->flat->type);
    if (!d->g.action_given)
        d->g.action = PK_GUARD_BLOCK;
    /* Here a check that cannot tell does not let pass, unless it was told to. */
    d->own.fail_on_error = d->fail_on_error_given ? d->fail_on_error : d->g.action != PK_GUARD_WARN;
    d->own.redact = d->redact;
    check = pk_guard_add_check(p, d);
    if (!check)
        return false;
    *check = d->own;
    return pk_guard_finish_check(p, d, check);
}

/* Members first, checks then: what the guardrail says about errors holds for all of its checks. */
static bool hook_guardrail(struct pk_config_reader *p, struct pk_guard_draft *d, int object)
{
    struct pk_config_table table = {.members = guard_members, .into = d};
    int own = pk_json_get(&p->doc, object, "fail_on_error");
    bool known;

    if (own >= 0 && !pk_config_read_bool(p, "fail_on_error", own, &d->fail_on_error))
        return false;
    for (int k = pk_json_first(&p->doc, object); k >= 0; k = pk_json_next(&p->doc, object, k)) {
        if (!pk_config_read_key(p, k, &table, 1, &known))
            return false;
        if (known)
            continue;
        pk_str id = pk_json_str(p->arena, &p->doc, k);
        size_t len = pk_config_enter(p, "%.*s", PK_FMT(pk_str_sub(id, 0, 64)));
        bool ok = pk_guard_read_check(p, d, id, k + 1, false);
        pk_config_leave(p, len);
        if (!ok)
            return false;
    }
    return true;
}

/* Whether what the guardrail does can be done. */
static bool check_sense(struct pk_config_reader *p, struct pk_guard_draft *d, int object)
{
    struct pk_guardrail *g = &d->g;
    bool changes = false, redact = d->redact;

    if (g->check_count == 0)
        return pk_config_fail(p, "checks", "must be given");
    for (int i = 0; i < g->check_count; i++) {
        changes = changes || g->checks[i].redact || g->checks[i].kind->flags & PK_CHECK_CHANGES;
        if (redact && !(g->checks[i].kind->flags & PK_CHECK_REDACTS))
            return pk_config_fail(p, "action", "%s cannot redact", g->checks[i].kind->type);
    }
    if (g->action == PK_GUARD_RETRY && g->phase == PK_GUARD_INPUT)
        return pk_config_fail(p, "action", "retry is for output");
    if (g->action == PK_GUARD_REPLACE && g->message.len == 0)
        g->message = g->phase == PK_GUARD_INPUT ? PK_STR("The request was withheld by a guardrail.")
                                                : PK_STR("The answer was withheld by a guardrail.");
    if (g->async && (redact || g->action == PK_GUARD_RETRY || g->action == PK_GUARD_REPLACE))
        return pk_config_fail(p, "async", "can only warn: the answer has gone out by then");
    if (d->mode_given && g->phase == PK_GUARD_INPUT)
        return pk_config_fail(p, "stream", "is for output");
    if (d->mode_given && !g->hold &&
        (changes || redact || g->action == PK_GUARD_RETRY || g->action == PK_GUARD_REPLACE))
        return pk_config_fail(p, "stream", "must be \"hold\": what has gone out cannot be changed");
    if (!d->mode_given)
        g->hold =
            g->phase == PK_GUARD_OUTPUT && !g->async && (changes || g->action != PK_GUARD_WARN);
    if (changes || redact)
        g->changing = pk_copy(p->arena, pk_json_raw(&p->doc, object));
    return true;
}

/* Known before the checks are read, for whom it makes a difference. */
static bool says_redact(struct pk_config_reader *p, int object, const struct pk_guardrail *g)
{
    if (g->action_given)
        return g->action == PK_GUARD_REDACT;
    return pk_json_is(&p->doc, pk_json_get(&p->doc, object, "action"), "redact") ||
           pk_json_is(&p->doc, pk_json_get(&p->doc, object, "on_fail"), "redact");
}

/* *g says what is known of it already. */
static bool read_guardrail(struct pk_config_reader *p, int object, struct pk_guardrail *g)
{
    struct pk_guard_draft d = {.g = *g};
    int type = pk_json_get(&p->doc, object, "type");

    if (pk_json_type(&p->doc, object) != PK_JSON_OBJECT)
        return pk_config_fail(p, "", "must be an object, or the slug of a stored guardrail");
    if (pk_json_type(&p->doc, type) == PK_JSON_STRING)
        d.flat = pk_guard_kind_of_type(pk_json_str(p->arena, &p->doc, type));
    d.g.action_given = false;
    d.redact = says_redact(p, object, g);
    if (!(d.flat ? flat_guardrail(p, &d, object) : hook_guardrail(p, &d, object)))
        return false;
    if (g->action_given)
        d.g.action = g->action;
    d.g.bound = true;
    if (!check_sense(p, &d, object))
        return false;
    *g = d.g;
    return true;
}

/* --- lists -------------------------------------------------------------------------------------- */

/* An empty list is a list too: it says that nothing of what the parent checks is checked here. */
static bool open_list(struct pk_config_reader *p, struct pk_guards **list)
{
    struct pk_guards *l = *list;

    if (l)
        return true;
    l = pk_alloc(p->arena, sizeof *l);
    if (l)
        l->list = pk_alloc(p->arena, PK_GUARDS_MAX * sizeof *l->list);
    if (!l || !l->list)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    if (p->config) {
        l->next = p->config->guards;
        p->config->guards = l;
    }
    *list = l;
    return true;
}

static bool read_listed(struct pk_config_reader *p, int value, struct pk_guardrail *g)
{
    g->path = pk_copyf(p->arena, "%s", p->path);
    if (pk_json_type(&p->doc, value) != PK_JSON_STRING)
        return read_guardrail(p, value, g);
    if (!pk_config_read_text(p, "", value, PK_SLUG_BYTES_MAX, &g->slug))
        return false;
    g->id = g->slug;
    return true;
}

bool pk_guards_read(struct pk_config_reader *p, const char *name, int value,
                    const struct pk_guardrail *like, struct pk_guards **list)
{
    bool ok = true;
    int i = 0;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY)
        return pk_config_fail(p, name, "must be a list of guardrails");
    if (!open_list(p, list))
        return false;
    PK_ASSERT(*list);
    if ((*list)->count + pk_json_count(&p->doc, value) > PK_GUARDS_MAX)
        return pk_config_fail(p, name, "more than %d guardrails", PK_GUARDS_MAX);
    for (int v = pk_json_first(&p->doc, value); ok && v >= 0;
         v = pk_json_next(&p->doc, value, v), i++) {
        struct pk_guardrail *g = &(*list)->list[(*list)->count++];
        size_t len = pk_config_enter(p, "%s[%d]", name, i);

        *g = *like;
        ok = read_listed(p, v, g);
        if (ok && g->id.len == 0)
            g->id = pk_copyf(p->arena, "%s_guardrail_%d",
                             like->phase == PK_GUARD_INPUT ? "input" : "output", (*list)->count);
        pk_config_leave(p, len);
    }
    return ok;
}

/* "guardrails": its lists are read when all else is known of it. */
struct both {
    int lists[4]; /* values, by name; -1: not given */
    struct pk_guardrail like;
};

static const char *const list_names[] = {"input", "input_guardrails", "output",
                                         "output_guardrails"};

static bool both_list(struct pk_config_reader *p, int value, void *into)
{
    struct both *b = into;

    for (size_t i = 0; i < PK_COUNT(list_names); i++)
        if (pk_config_spells(pk_json_str(p->arena, &p->doc, value - 1), list_names[i]))
            b->lists[i] = value;
    return true;
}

static bool both_on_fail(struct pk_config_reader *p, int value, void *into)
{
    return read_action(p, "on_fail", value, &((struct both *)into)->like);
}

static const struct pk_config_member both_members[] = {
    {"input", both_list},      {"input_guardrails", both_list},
    {"output", both_list},     {"output_guardrails", both_list},
    {"on_fail", both_on_fail}, {0},
};

bool pk_guards_read_both(struct pk_config_reader *p, int value, struct pk_guards *lists[2])
{
    struct both b = {.lists = {-1, -1, -1, -1}};
    size_t len = pk_config_enter(p, "guardrails");
    bool ok = pk_config_read_object(p, value, both_members, &b);

    for (size_t i = 0; ok && i < PK_COUNT(list_names); i++) {
        struct pk_guardrail like = b.like;

        like.phase = i < 2 ? PK_GUARD_INPUT : PK_GUARD_OUTPUT;
        if (like.phase == PK_GUARD_INPUT && like.action == PK_GUARD_RETRY)
            like.action = PK_GUARD_BLOCK; /* what a retry comes to when there is nothing to retry */
        if (b.lists[i] >= 0)
            ok = pk_guards_read(p, list_names[i], b.lists[i], &like, &lists[like.phase]);
    }
    pk_config_leave(p, len);
    return ok;
}

/* --- what stands alone -------------------------------------------------------------------------- */

void pk_guards_settle(struct pk_guards *guards)
{
    guards->any_sync = guards->any_async = guards->hold = guards->by_target = false;
    for (int i = 0; i < guards->count; i++) {
        const struct pk_guardrail *g = &guards->list[i];

        guards->any_sync = guards->any_sync || !g->async;
        guards->any_async = guards->any_async || g->async;
        guards->hold = guards->hold || (g->hold && !g->async);
        for (int k = 0; k < g->check_count; k++)
            guards->by_target = guards->by_target || g->checks[k].kind->flags & PK_CHECK_MODEL;
    }
}

bool pk_guards_parse(struct pk_arena *arena, pk_str text, enum pk_guard_phase phase,
                     const char *what, struct pk_guards **out, struct pk_error *err)
{
    struct pk_config_reader p = {.arena = arena, .err = err};
    const struct pk_guardrail like = {.phase = phase};

    *out = NULL;
    if (!pk_json_parse(arena, pk_copy(arena, text), what, &p.doc, err) ||
        !pk_guards_read(&p, what, 0, &like, out))
        return false;
    if (*out)
        pk_guards_settle(*out);
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "%s: out of memory", what);
}

bool pk_guardrail_parse(struct pk_arena *arena, pk_str body, struct pk_guardrail *g,
                        struct pk_error *err)
{
    struct pk_config_reader p = {.arena = arena, .err = err, .stored = true};

    if (!pk_json_parse(arena, pk_copy(arena, body), "guardrail", &p.doc, err))
        return false;
    (void)pk_config_enter(&p, "%.*s", PK_FMT(g->path.len ? g->path : PK_STR("guardrail")));
    struct pk_guardrail read = *g;
    if (!read_guardrail(&p, 0, &read))
        return false;
    read.id = g->id; /* the slug it was called by */
    if (p.api_key_at.len)
        return pk_fail(err, PK_BAD_CONFIG,
                       "%.*s.api_key: is not stored in a guardrail; put it into a virtual key",
                       PK_FMT(p.api_key_at));
    *g = read;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "guardrail: out of memory");
}

bool pk_guardrail_check(struct pk_arena *arena, pk_str body, struct pk_guardrail *g,
                        struct pk_error *err)
{
    struct pk_error first, second;

    g->phase = PK_GUARD_INPUT;
    if (pk_guardrail_parse(arena, body, g, &first))
        return true;
    g->phase = PK_GUARD_OUTPUT;
    if (pk_guardrail_parse(arena, body, g, &second))
        return true;
    *err = first;
    return false;
}
