/* dialect_anthropic_thinking.c - see dialect_anthropic_thinking.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Anthropic's guides to extended and adaptive thinking.
 */
#include "dialect_anthropic_thinking.h"

#include <string.h>

enum { BUDGET_MIN = 1024 };

static const struct {
    const char *prefix;
    enum pk_thinks thinks;
} models[] = {
    {"claude-3-7", PK_THINKS_BUDGET},
    {"claude-3", PK_THINKS_NEVER},
    {"claude-2", PK_THINKS_NEVER},
    {"claude-instant", PK_THINKS_NEVER},
    {"claude-opus-4-0", PK_THINKS_BUDGET},
    {"claude-opus-4-1", PK_THINKS_BUDGET},
    {"claude-opus-4-2025", PK_THINKS_BUDGET},
    {"claude-opus-4-5", PK_THINKS_BUDGET},
    {"claude-opus-4-6", PK_THINKS_ADAPTIVE},
    {"claude-sonnet-4-0", PK_THINKS_BUDGET},
    {"claude-sonnet-4-2025", PK_THINKS_BUDGET},
    {"claude-sonnet-4-5", PK_THINKS_BUDGET},
    {"claude-sonnet-4-6", PK_THINKS_ADAPTIVE},
    {"claude-haiku-4", PK_THINKS_BUDGET},
    {"claude-", PK_THINKS_ITSELF}, /* 4.7 and later */
    {"", PK_THINKS_BUDGET},        /* other models behind the same API */
};

static enum pk_thinks thinks(pk_str model)
{
    size_t i = 0;

    while (!pk_str_starts(model, models[i].prefix))
        i++;
    return models[i].thinks;
}

/* A forced tool call leaves no room to think. */
static bool forces_tool(const struct pk_maker *m)
{
    static const char *const free_choices[] = {"auto", "none", NULL};
    int choice = pk_make_get(m, 0, "tool_choice"), type = pk_make_get(m, choice, "type");

    return pk_make_type(m, choice) > PK_JSON_NULL && !pk_make_listed(m, choice, free_choices) &&
           !pk_make_listed(m, type, free_choices);
}

/* Whether the conversation stands in the middle of a tool's use without the thinking that led to
 * it, which a model with a budget refuses to go on from. */
static bool thoughts_are_missing(const struct pk_maker *m)
{
    int messages = pk_make_get(m, 0, "messages"), last = -1;

    for (int i = pk_json_first(m->in, messages); i >= 0; i = pk_json_next(m->in, messages, i))
        if (pk_json_is(m->in, pk_make_get(m, i, "role"), "assistant"))
            last = i;
    return pk_json_count(m->in, pk_make_get(m, last, "tool_calls")) > 0 &&
           pk_json_count(m->in, pk_make_get(m, last, "thinking_blocks")) == 0;
}

static int64_t budget_of(const struct pk_maker *m, int effort)
{
    static const struct {
        const char *effort;
        int64_t budget;
    } budgets[] = {{"minimal", 1024}, {"low", 1024},    {"medium", 8192},
                   {"high", 24576},   {"xhigh", 32768}, {"max", 32768}};

    for (size_t i = 0; i < PK_COUNT(budgets); i++)
        if (pk_json_is(m->in, effort, budgets[i].effort))
            return budgets[i].budget;
    return 0;
}

static void plan_budget(struct pk_maker *m, struct pk_thinking *t, int64_t budget,
                        int64_t max_tokens)
{
    if (max_tokens && max_tokens - BUDGET_MIN < budget)
        budget = max_tokens - BUDGET_MIN;
    if (budget < BUDGET_MIN || forces_tool(m) || thoughts_are_missing(m)) {
        pk_make_drop(m, "reasoning_effort");
        return;
    }
    t->budget = budget;
    t->on = true;
    if (max_tokens == 0)
        t->max_tokens = budget + PK_ANTHROPIC_MAX_TOKENS;
}

static void plan_effort(struct pk_maker *m, struct pk_thinking *t, int64_t max_tokens)
{
    int effort = pk_make_get(m, 0, "reasoning_effort");
    int64_t budget = budget_of(m, effort);

    if (pk_make_type(m, effort) <= PK_JSON_NULL || pk_json_is(m->in, effort, "none"))
        return;
    if (budget == 0 || t->model == PK_THINKS_NEVER) {
        pk_make_drop(m, "reasoning_effort");
    } else if (t->model != PK_THINKS_BUDGET) {
        t->effort =
            pk_json_is(m->in, effort, "minimal") ? PK_STR("\"low\"") : pk_json_raw(m->in, effort);
        t->adaptive = !pk_make_has(m, 0, "thinking") && !forces_tool(m);
        t->on = t->on || t->adaptive;
        if (max_tokens == 0 && t->on)
            t->max_tokens = budget + PK_ANTHROPIC_MAX_TOKENS;
    } else if (pk_make_has(m, 0, "thinking")) {
        pk_make_drop(m, "reasoning_effort");
    } else {
        plan_budget(m, t, budget, max_tokens);
    }
}

int pk_anthropic_max_tokens(const struct pk_maker *m)
{
    return pk_make_get(
        m, 0, pk_make_has(m, 0, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens");
}

bool pk_anthropic_think(struct pk_maker *m, pk_str model, struct pk_thinking *t)
{
    int thinking = pk_make_get(m, 0, "thinking"), given = pk_anthropic_max_tokens(m);
    int64_t max_tokens = 0;

    if (pk_make_type(m, given) > PK_JSON_NULL &&
        (!pk_json_int(m->in, given, &max_tokens) || max_tokens < 1))
        return pk_fail(m->err, PK_BAD_REQUEST, "max_tokens: must be a positive integer");
    *t = (struct pk_thinking){.model = thinks(model)};
    t->on = pk_make_type(m, thinking) > PK_JSON_NULL &&
            !pk_json_is(m->in, pk_make_get(m, thinking, "type"), "disabled");
    plan_effort(m, t, max_tokens);
    return true;
}

bool pk_anthropic_sampling(struct pk_maker *m, const struct pk_thinking *t, const char *name,
                           pk_str *number)
{
    int value = pk_make_get(m, 0, name);
    double n;

    if (!pk_json_number(m->in, value, &n))
        return pk_fail(m->err, PK_BAD_REQUEST, "%s: must be a number", name);
    bool top_p = strcmp(name, "top_p") == 0, temperature = strcmp(name, "temperature") == 0;
    bool fits = (temperature && n >= 1) || (top_p && n >= 0.95);
    *number = pk_json_raw(m->in, value);
    if (t->model == PK_THINKS_ITSELF || (t->on && !fits)) {
        pk_make_drop(m, name);
        *number = PK_NONE;
    } else if (temperature && n > 1) {
        *number = PK_STR("1");
    } else if (temperature && n < 0) {
        *number = PK_STR("0");
    }
    return true;
}

void pk_anthropic_write_thinking(struct pk_buf *out, const struct pk_thinking *t)
{
    if (t->budget) {
        pk_member_key(out, "thinking");
        pk_buf_addf(out, "{\"type\":\"enabled\",\"budget_tokens\":%lld}", (long long)t->budget);
    } else if (t->adaptive) {
        pk_dialect_raw(out, "thinking", PK_STR("{\"type\":\"adaptive\"}"));
    }
}
