/* config_members.c - what a config may say: one row a member.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guard_inner.h"

#include "http.h"

#include <stdio.h>
#include <string.h>

enum { WEIGHT_MAX = 1000000 };

/* --- retry ------------------------------------------------------------------------ */

static bool retry_attempts(struct pk_config_reader *p, int value, void *into)
{
    struct pk_retry *r = into;
    int64_t n;

    if (!pk_config_read_int(p, "attempts", value, PK_RETRIES_MAX, &n))
        return false;
    r->attempts = (int)n;
    return true;
}

static bool retry_statuses(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_statuses(p, "on_status_codes", value,
                                   &((struct pk_retry *)into)->on_statuses);
}

static bool retry_after(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "use_retry_after_header", value,
                               &((struct pk_retry *)into)->use_retry_after);
}

static const struct pk_config_member retry_members[] = {
    {"attempts", retry_attempts},
    {"on_status_codes", retry_statuses},
    {"use_retry_after_header", retry_after},
    {"use_retry_after_headers", retry_after},
    {0},
};

/* --- members of a node ----------------------------------------------------------------------- */

static bool node_targets(struct pk_config_reader *p, int value, void *into)
{
    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY || pk_json_count(&p->doc, value) == 0)
        return pk_config_fail(p, "targets", "must be a list with at least one target");
    ((struct pk_draft *)into)->targets = value;
    return true;
}

static bool node_name(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "name", value, PK_SLUG_BYTES_MAX,
                               &((struct pk_draft *)into)->name);
}

static bool node_weight(struct pk_config_reader *p, int value, void *into)
{
    double w;

    if (!pk_json_number(&p->doc, value, &w) || w < 0 || w > WEIGHT_MAX)
        return pk_config_fail(p, "weight", "must be 0..%d", WEIGHT_MAX);
    uint32_t scaled = (uint32_t)(w * PK_WEIGHT_SCALE + 0.5);
    ((struct pk_draft *)into)->weight = w > 0 && scaled == 0 ? 1 : scaled;
    return true;
}

bool pk_config_read_provider(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;
    pk_str name = PK_NONE;

    if (!pk_config_read_text(p, "provider", value, PK_SLUG_BYTES_MAX, &name))
        return false;
    d->by_slug = pk_str_starts(name, "@") && name.len > 1 && !pk_provider_find(name);
    if (d->by_slug) /* Portkey's newer spelling of a virtual key */
        d->virtual_key = pk_str_sub(name, 1, name.len);
    else
        d->provider = name;
    return true;
}

bool pk_config_read_virtual_key(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "virtual_key", value, PK_SLUG_BYTES_MAX,
                               &((struct pk_draft *)into)->virtual_key);
}

bool pk_config_read_api_key(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "api_key", value, 4096, &((struct pk_draft *)into)->api_key);
}

void pk_draft_settle(struct pk_draft *d)
{
    if (d->provider.len || d->virtual_key.len) {
        d->set.provider = d->provider;
        d->set.virtual_key = d->virtual_key;
        d->set.by_slug = d->by_slug;
        d->set.api_key = PK_NONE;
    }
    if (d->api_key.len)
        d->set.api_key = d->api_key;
    if (d->set.by_slug && d->set.api_key.len) { /* no virtual key, which would have its own */
        d->set.provider = d->set.virtual_key;
        d->set.virtual_key = PK_NONE;
        d->set.by_slug = false;
    }
    pk_draft_settle_fields(d);
    for (int phase = 0; phase < 2; phase++)
        if (d->guards[phase])
            d->set.guards[phase] = d->guards[phase];
}

bool pk_config_read_custom_host(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;
    struct pk_error why = {0};
    struct pk_url url;
    pk_str host = PK_NONE;

    if (!pk_config_read_text(p, "custom_host", value, PK_URL_BYTES_MAX, &host))
        return false;
    if (!pk_url_parse(host, "custom_host", &url, &why))
        return pk_config_fail(p, "custom_host", "%s", why.msg + strlen("custom_host: "));
    while (pk_str_ends(host, "/"))
        host.len--;
    d->set.custom_host = host;
    return true;
}

/* Members of an object join those that were inherited, and win over them. */
static bool read_params(struct pk_config_reader *p, const char *name, int value, pk_str *into)
{
    char path[64];

    if (pk_json_type(&p->doc, value) != PK_JSON_OBJECT)
        return pk_config_fail(p, name, "must be an object");
    (void)snprintf(path, sizeof path, "%s.stream", name);
    if (pk_json_get(&p->doc, value, "stream") >= 0)
        return pk_config_fail(p, path, "the client decides whether to stream");
    pk_str own = pk_copy(p->arena, pk_json_raw(&p->doc, value));
    if (into->len == 0) {
        *into = own;
        return true;
    }
    return pk_json_merge(p->arena, *into, own, name, into, p->err);
}

static bool node_override(struct pk_config_reader *p, int value, void *into)
{
    return read_params(p, "override_params", value,
                       &((struct pk_draft *)into)->set.params.overrides);
}

static bool node_default(struct pk_config_reader *p, int value, void *into)
{
    return read_params(p, "default_params", value, &((struct pk_draft *)into)->set.params.defaults);
}

static bool node_drop(struct pk_config_reader *p, int value, void *into)
{
    struct pk_params *params = &((struct pk_draft *)into)->set.params;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY)
        return pk_config_fail(p, "drop_params", "must be a list of paths");
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        pk_str path = PK_NONE;

        if (params->drop_count == PK_DROPS_MAX)
            return pk_config_fail(p, "drop_params", "more than %d paths", PK_DROPS_MAX);
        if (!pk_config_read_text(p, "drop_params", v, PK_SLUG_BYTES_MAX, &path))
            return false;
        if (!pk_params_check_drop(path))
            return pk_config_fail(p, "drop_params", "\"%.*s\" is no path like a.b or a[*].b",
                                  PK_FMT(path));
        params->drops[params->drop_count++] = path;
    }
    return true;
}

static bool node_retry(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;

    d->set.retry = (struct pk_retry){.use_retry_after = true};
    return pk_config_read_member(p, "retry", value, retry_members, &d->set.retry);
}

bool pk_config_read_request_timeout(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_duration(p, "request_timeout", value,
                                   &((struct pk_draft *)into)->set.timeouts.request_ms);
}

static bool node_ttft_timeout(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_duration(p, "ttft_timeout", value,
                                   &((struct pk_draft *)into)->set.timeouts.ttft_ms);
}

static bool node_idle_timeout(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_duration(p, "idle_timeout", value,
                                   &((struct pk_draft *)into)->set.timeouts.idle_ms);
}

static bool node_forward(struct pk_config_reader *p, int value, void *into)
{
    struct pk_settings *s = &((struct pk_draft *)into)->set;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY ||
        pk_json_count(&p->doc, value) > PK_FORWARD_MAX)
        return pk_config_fail(p, "forward_headers", "must be a list of at most %d header names",
                              PK_FORWARD_MAX);
    s->forward_count = 0;
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        pk_str name = PK_NONE;

        if (!pk_config_read_text(p, "forward_headers", v, PK_SLUG_BYTES_MAX, &name))
            return false;
        if (!pk_http_valid_name(name))
            return pk_config_fail(p, "forward_headers", "\"%.*s\" is not a header name",
                                  PK_FMT(name));
        s->forward[s->forward_count++] = name;
    }
    return true;
}

static bool node_log_payloads(struct pk_config_reader *p, int value, void *into)
{
    struct pk_draft *d = into;

    return (pk_json_type(&p->doc, value) == PK_JSON_STRING &&
            pk_payloads_parse(pk_json_str(p->arena, &p->doc, value), &d->set.privacy.payloads)) ||
           pk_config_fail(p, "log_payloads", "must be \"full\", \"hash\" or \"none\"");
}

/* true, false, or a list of categories. */
static bool node_log_redact(struct pk_config_reader *p, int value, void *into)
{
    unsigned *categories = &((struct pk_draft *)into)->set.privacy.redact;
    bool all;

    *categories = 0;
    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY) {
        if (!pk_config_read_bool(p, "log_redact", value, &all))
            return false;
        *categories = all ? PK_PII_ALL : 0;
        return true;
    }
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        pk_str name = pk_json_type(&p->doc, v) == PK_JSON_STRING ? pk_json_str(p->arena, &p->doc, v)
                                                                 : PK_NONE;
        unsigned category = pk_pii_category(name);

        if (!category)
            return pk_config_fail(p, "log_redact", "\"%.*s\" is no category of personal data",
                                  PK_FMT(pk_str_sub(name, 0, 32)));
        *categories |= category;
    }
    return true;
}

/* Portkey's switch for extras in answers. pk never strips a provider's; its own events in a stream, though,
 * are only for clients that know them. */
static bool node_strict(struct pk_config_reader *p, int value, void *into)
{
    bool strict = true;

    if (!pk_config_read_bool(p, "strict_open_ai_compliance", value, &strict))
        return false;
    ((struct pk_draft *)into)->set.native = !strict;
    return true;
}

static bool node_strict_params(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "strict_params", value,
                               &((struct pk_draft *)into)->set.strict_params);
}

/* --- guardrails ------------------------------------------------------------------------------ */

static bool node_guardrails(struct pk_config_reader *p, int value, void *into)
{
    return pk_guards_read_both(p, value, ((struct pk_draft *)into)->guards);
}

/* A list of guardrails under any of the names that it has. */
static bool guard_list(struct pk_config_reader *p, const char *name, int value,
                       enum pk_guard_phase phase, struct pk_draft *d)
{
    const struct pk_guardrail like = {.phase = phase};

    return pk_guards_read(p, name, value, &like, &d->guards[phase]);
}

static bool node_input(struct pk_config_reader *p, int value, void *into)
{
    return guard_list(p, "input_guardrails", value, PK_GUARD_INPUT, into);
}

static bool node_output(struct pk_config_reader *p, int value, void *into)
{
    return guard_list(p, "output_guardrails", value, PK_GUARD_OUTPUT, into);
}

static bool node_before(struct pk_config_reader *p, int value, void *into)
{
    return guard_list(p, "before_request_hooks", value, PK_GUARD_INPUT, into);
}

static bool node_after(struct pk_config_reader *p, int value, void *into)
{
    return guard_list(p, "after_request_hooks", value, PK_GUARD_OUTPUT, into);
}

static bool mutators(struct pk_config_reader *p, const char *name, int value,
                     enum pk_guard_phase phase, struct pk_draft *d)
{
    const struct pk_guardrail like = {.phase = phase, .mutator = true};

    return pk_guards_read(p, name, value, &like, &d->guards[phase]);
}

static bool node_input_mutators(struct pk_config_reader *p, int value, void *into)
{
    return mutators(p, "input_mutators", value, PK_GUARD_INPUT, into);
}

static bool node_output_mutators(struct pk_config_reader *p, int value, void *into)
{
    return mutators(p, "output_mutators", value, PK_GUARD_OUTPUT, into);
}

const struct pk_config_member pk_config_members[] = {
    {"strategy", pk_config_read_strategy},
    {"cb_config", pk_config_read_breaker},
    {"targets", node_targets},
    {"name", node_name},
    {"weight", node_weight},
    {"provider", pk_config_read_provider},
    {"virtual_key", pk_config_read_virtual_key},
    {"api_key", pk_config_read_api_key},
    {"custom_host", pk_config_read_custom_host},
    {"override_params", node_override},
    {"default_params", node_default},
    {"drop_params", node_drop},
    {"strict_params", node_strict_params},
    {"retry", node_retry},
    {"cache", pk_config_read_cache},
    {"request_timeout", pk_config_read_request_timeout},
    {"ttft_timeout", node_ttft_timeout},
    {"idle_timeout", node_idle_timeout},
    {"forward_headers", node_forward},
    {"log_payloads", node_log_payloads},
    {"log_redact", node_log_redact},
    {"strict_open_ai_compliance", node_strict},
    {"guardrails", node_guardrails},
    {"input_guardrails", node_input},
    {"output_guardrails", node_output},
    {"before_request_hooks", node_before},
    {"after_request_hooks", node_after},
    {"input_mutators", node_input_mutators},
    {"output_mutators", node_output_mutators},
    {0},
};
