/* config_strategy.c - what `strategy` and `cb_config` may say: one row a member.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config_inner.h"

enum { TTL_S_MAX = 366 * 24 * 3600 };

/* --- cb_config ------------------------------------------------------------------------- */

static bool breaker_failures(struct pk_config_reader *p, int value, void *into)
{
    struct pk_breaker *b = &((struct pk_settings *)into)->breaker;

    return pk_config_read_int(p, "failure_threshold", value, PK_THRESHOLD_MAX, &b->failures) &&
           (b->failures > 0 || pk_config_fail(p, "failure_threshold", "must be 1 or more"));
}

static bool breaker_percentage(struct pk_config_reader *p, int value, void *into)
{
    struct pk_breaker *b = &((struct pk_settings *)into)->breaker;

    return pk_config_read_int(p, "failure_threshold_percentage", value, 100, &b->percentage) &&
           (b->percentage > 0 ||
            pk_config_fail(p, "failure_threshold_percentage", "must be 1..100"));
}

static bool breaker_minimum(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_int(p, "minimum_requests", value, PK_THRESHOLD_MAX,
                              &((struct pk_settings *)into)->breaker.minimum);
}

static bool breaker_cooldown(struct pk_config_reader *p, int value, void *into)
{
    struct pk_breaker *b = &((struct pk_settings *)into)->breaker;

    return pk_config_read_duration(p, "cooldown_interval", value, &b->cooldown_ms) &&
           (b->cooldown_ms >= PK_COOLDOWN_MS_MIN ||
            pk_config_fail(p, "cooldown_interval", "must be a second or more"));
}

static bool breaker_statuses(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_statuses(p, "failure_status_codes", value,
                                   &((struct pk_settings *)into)->breaker_statuses);
}

static const struct pk_config_member breaker_members[] = {
    {"failure_threshold", breaker_failures},
    {"failure_threshold_percentage", breaker_percentage},
    {"minimum_requests", breaker_minimum},
    {"cooldown_interval", breaker_cooldown},
    {"failure_status_codes", breaker_statuses},
    {0},
};

bool pk_config_read_breaker(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;

    if (d->has_breaker)
        return pk_config_fail(p, "cb_config", "given twice: in the strategy and beside it");
    d->has_breaker = true;
    d->set.breaker = (struct pk_breaker){.minimum = PK_MINIMUM_REQUESTS_DEFAULT,
                                         .cooldown_ms = PK_COOLDOWN_MS_DEFAULT};
    d->set.breaker_statuses = (struct pk_statuses){0};
    if (!pk_config_read_member(p, "cb_config", value, breaker_members, &d->set))
        return false;
    if (d->set.breaker.failures == 0 && d->set.breaker.percentage == 0)
        return pk_config_fail(p, "cb_config",
                              "needs failure_threshold or failure_threshold_percentage");
    return true;
}

/* --- sticky ---------------------------------------------------------------------------- */

/* While it is read: whether it is in force, and what it says. */
struct sticky {
    bool enabled;
    struct pk_sticky rule;
};

static bool sticky_enabled(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "enabled", value, &((struct sticky *)into)->enabled);
}

static bool sticky_fields(struct pk_config_reader *p, int value, void *into)
{
    struct pk_sticky *rule = &((struct sticky *)into)->rule;
    int n = pk_json_count(&p->doc, value);

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY || n == 0 || n > PK_STICKY_FIELDS_MAX)
        return pk_config_fail(p, "hash_fields", "must be a list of 1 to %d fields",
                              PK_STICKY_FIELDS_MAX);
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        pk_str name = pk_json_str(p->arena, &p->doc, v);

        if (!pk_field_parse(p->arena, name, &rule->fields[rule->count++]))
            return pk_config_fail(p, "hash_fields",
                                  "must hold metadata.NAME, params.NAME, url.pathname, user_id, "
                                  "trace_id, session or prefix");
    }
    return true;
}

static bool sticky_ttl(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_int(p, "ttl", value, TTL_S_MAX, &((struct sticky *)into)->rule.ttl_s);
}

static const struct pk_config_member sticky_members[] = {
    {"enabled", sticky_enabled},
    {"hash_fields", sticky_fields},
    {"ttl", sticky_ttl},
    {0},
};

static bool read_sticky(struct pk_config_reader *p, const char *name, int value, struct pk_draft *d)
{
    struct sticky s = {.enabled = true, .rule.ttl_s = PK_STICKY_TTL_S_DEFAULT};

    if (d->sticky)
        return pk_config_fail(p, name, "given twice");
    if (!pk_config_read_member(p, name, value, sticky_members, &s))
        return false;
    d->has_balance = true;
    if (!s.enabled)
        return true;
    if (s.rule.count == 0)
        return pk_config_fail(p, name, "needs hash_fields");
    d->sticky = pk_alloc(p->arena, sizeof *d->sticky);
    if (!d->sticky)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    *d->sticky = s.rule;
    return true;
}

static bool strategy_sticky(struct pk_config_reader *p, int value, void *into)
{
    return read_sticky(p, "sticky", value, into);
}

/* Portkey's other spelling. */
static bool strategy_sticky_session(struct pk_config_reader *p, int value, void *into)
{
    return read_sticky(p, "sticky_session", value, into);
}

/* --- strategy -------------------------------------------------------------------------- */

static bool strategy_mode(struct pk_config_reader *p, int value, void *into)
{
    static const struct {
        const char *name;
        enum pk_strategy mode;
    } modes[] = {
        {"single", PK_SINGLE},
        {"fallback", PK_FALLBACK},
        {"loadbalance", PK_LOADBALANCE},
        {"conditional", PK_CONDITIONAL},
    };

    for (size_t i = 0; i < PK_COUNT(modes); i++) {
        if (!pk_json_is(&p->doc, value, modes[i].name))
            continue;
        ((struct pk_draft *)into)->strategy = modes[i].mode;
        return true;
    }
    return pk_config_fail(p, "mode",
                          "must be \"single\", \"fallback\", \"loadbalance\" or \"conditional\"");
}

static bool strategy_by(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;

    d->has_balance = true;
    if (pk_json_is(&p->doc, value, "weight"))
        d->by = PK_BY_WEIGHT;
    else if (pk_json_is(&p->doc, value, "latency"))
        d->by = PK_BY_LATENCY;
    else if (pk_json_is(&p->doc, value, "cost"))
        d->by = PK_BY_COST;
    else
        return pk_config_fail(p, "by", "must be \"weight\", \"latency\" or \"cost\"");
    return true;
}

static bool strategy_statuses(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_statuses(p, "on_status_codes", value,
                                   &((struct pk_draft *)into)->on_statuses);
}

static const struct pk_config_member strategy_members[] = {
    {"mode", strategy_mode},
    {"on_status_codes", strategy_statuses},
    {"conditions", pk_config_read_conditions},
    {"default", pk_config_read_default},
    {"sticky", strategy_sticky},
    {"sticky_session", strategy_sticky_session},
    {"by", strategy_by},
    {"cb_config", pk_config_read_breaker},
    {0},
};

/* A member that the mode knows nothing of would be without effect. */
static bool check_mode(struct pk_config_reader *p, const struct pk_draft *d)
{
    if (d->strategy == PK_LEAF)
        return pk_config_fail(p, "strategy.mode", "must be given");
    if (d->on_statuses.given && d->strategy != PK_FALLBACK)
        return pk_config_fail(p, "strategy.on_status_codes", "is for mode \"fallback\"");
    if (d->has_balance && d->strategy != PK_LOADBALANCE)
        return pk_config_fail(p, "strategy", "sticky and by are for mode \"loadbalance\"");
    if (d->conditional && d->strategy != PK_CONDITIONAL)
        return pk_config_fail(p, "strategy", "conditions and default are for mode \"conditional\"");
    if (d->strategy == PK_CONDITIONAL && (!d->conditional || d->conditional->count == 0))
        return pk_config_fail(p, "strategy.conditions", "must be given");
    return true;
}

bool pk_config_read_strategy(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;

    d->has_strategy = true;
    return pk_config_read_member(p, "strategy", value, strategy_members, d) && check_mode(p, d);
}
