/* prompt.c - see prompt.h: printing, rendering, and which version. Reading is in prompt_read.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "prompt.h"

#include <string.h>

/* --- the document again ---------------------------------------------------------------- */

static void print_member(struct pk_buf *out, const char *name, pk_str json)
{
    if (json.len == 0)
        return;
    if (out->len > 1)
        pk_buf_addc(out, ',');
    pk_buf_addf(out, "\"%s\":", name);
    pk_buf_add(out, json);
}

static void print_text(struct pk_buf *out, const char *name, pk_str text)
{
    struct pk_buf quoted = pk_buf_in(out->arena, out->max);

    pk_json_quote(&quoted, text);
    if (text.len)
        print_member(out, name, pk_buf_str(&quoted));
}

/* The members that a document has beside its parameters. */
static bool is_beside(const struct pk_json *doc, int key)
{
    static const char *const names[] = {"tools", "tool_choice", "functions", "function_call",
                                        "response_format"};

    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (pk_json_is(doc, key, names[i]))
            return true;
    return false;
}

/* Members of the object `doc`, those that are `beside` or the others; without braces. */
static void print_members(struct pk_buf *out, const struct pk_json *doc, bool beside)
{
    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        if (is_beside(doc, k) != beside)
            continue;
        if (out->len)
            pk_buf_addc(out, ',');
        pk_buf_add(out, pk_json_raw(doc, k));
        pk_buf_addc(out, ':');
        pk_buf_add(out, pk_json_raw(doc, k + 1));
    }
}

static void print_parameters(struct pk_buf *out, pk_str parameters)
{
    struct pk_buf plain = pk_buf_in(out->arena, out->max), beside = plain;
    struct pk_error unused;
    struct pk_json doc;

    if (parameters.len == 0)
        return;
    if (!pk_json_parse(out->arena, parameters, "parameters", &doc, &unused)) {
        out->failed = true; /* no memory: it was parsed before it was stored */
        return;
    }
    print_members(&plain, &doc, false);
    print_members(&beside, &doc, true);
    if (plain.len)
        pk_buf_addf(out, "%s\"parameters\":{%.*s}", out->len > 1 ? "," : "",
                    PK_FMT(pk_buf_str(&plain)));
    if (beside.len) {
        pk_buf_addc(out, ',');
        pk_buf_add(out, pk_buf_str(&beside));
    }
    out->failed = out->failed || plain.failed || beside.failed;
}

void pk_prompt_print(const struct pk_prompt *p, struct pk_buf *out)
{
    PK_ASSERT(out->len == 0);
    pk_buf_addc(out, '{');
    print_member(out, pk_str_starts(p->template, "[") ? "messages" : "string", p->template);
    print_text(out, "model", p->model);
    print_parameters(out, p->parameters);
    if (pk_str_starts(p->config, "{"))
        print_member(out, "config", p->config);
    else
        print_text(out, "config", p->config);
    print_text(out, "virtual_key", p->virtual_key);
    print_text(out, "name", p->name);
    print_text(out, "description", p->description);
    if (p->details.len) { /* its members, without the braces */
        pk_buf_addc(out, ',');
        pk_buf_add(out, pk_str_sub(p->details, 1, p->details.len - 2));
    }
    pk_buf_addc(out, '}');
}

pk_str pk_prompt_label(struct pk_arena *arena, const struct pk_prompt *p)
{
    return pk_copyf(arena, "%.*s@%lld", PK_FMT(p->slug), (long long)p->version);
}

/* --- rendering ------------------------------------------------------------------------- */

struct printer {
    struct pk_mustache m;
    const struct pk_json *template;
    const char *what;
    struct pk_buf out;
    struct pk_error *err;
};

static bool has_tags(pk_str raw)
{
    return raw.len >= 2 && memmem(raw.at, raw.len, "{{", 2) != NULL;
}

static bool print_string(struct printer *p, int value)
{
    const struct pk_json *t = p->template;
    pk_str raw = pk_json_raw(t, value);

    if (has_tags(raw))
        return pk_mustache_json(&p->m, pk_json_str(p->m.arena, t, value), p->what, &p->out, p->err);
    pk_buf_add(&p->out, raw);
    return true;
}

/* Recursion is bounded by PK_JSON_DEPTH_MAX, which the parser enforces. */
static bool print_value(struct printer *p, int value)
{
    const struct pk_json *t = p->template;
    bool object = pk_json_type(t, value) == PK_JSON_OBJECT, first = true;

    if (pk_json_type(t, value) == PK_JSON_STRING)
        return print_string(p, value);
    if (!object && pk_json_type(t, value) != PK_JSON_ARRAY) {
        pk_buf_add(&p->out, pk_json_raw(t, value));
        return true;
    }
    pk_buf_addc(&p->out, object ? '{' : '[');
    for (int v = pk_json_first(t, value); v >= 0; v = pk_json_next(t, value, v)) {
        if (!first)
            pk_buf_addc(&p->out, ',');
        first = false;
        if (object) {
            pk_buf_add(&p->out, pk_json_raw(t, v));
            pk_buf_addc(&p->out, ':');
        }
        if (!print_value(p, object ? v + 1 : v))
            return false;
    }
    pk_buf_addc(&p->out, object ? '}' : ']');
    return true;
}

static void add_message(struct pk_buf *out, pk_str json)
{
    if (out->len > 1)
        pk_buf_addc(out, ',');
    pk_buf_add(out, json);
}

/* A variable in place of a message: the message, or the messages, that it is. */
static bool insert_messages(struct printer *p, int item)
{
    const struct pk_json *vars = p->m.vars;
    pk_str text = pk_json_str(p->m.arena, p->template, item);
    bool objects = true;
    int value = -1;

    if (!pk_mustache_alone(&p->m, text, &value) || value < 0)
        return true; /* missing, which is told in the end */
    if (pk_json_type(vars, value) == PK_JSON_ARRAY) {
        for (int v = pk_json_first(vars, value); v >= 0; v = pk_json_next(vars, value, v)) {
            objects = objects && pk_json_type(vars, v) == PK_JSON_OBJECT;
            add_message(&p->out, pk_json_raw(vars, v));
        }
    } else {
        objects = pk_json_type(vars, value) == PK_JSON_OBJECT;
        add_message(&p->out, pk_json_raw(vars, value));
    }
    return objects ||
           pk_fail(p->err, PK_BAD_REQUEST, "%s: %.*s must be a message or an array of them",
                   p->what, PK_FMT(pk_str_sub(text, 0, PK_SLUG_BYTES_MAX)));
}

static bool print_messages(struct printer *p)
{
    const struct pk_json *t = p->template;

    pk_buf_addc(&p->out, '[');
    if (pk_json_type(t, 0) == PK_JSON_STRING) {
        pk_buf_adds(&p->out, "{\"role\":\"user\",\"content\":");
        if (!print_string(p, 0))
            return false;
        pk_buf_addc(&p->out, '}');
    }
    for (int v = pk_json_type(t, 0) == PK_JSON_ARRAY ? pk_json_first(t, 0) : -1; v >= 0;
         v = pk_json_next(t, 0, v)) {
        bool inserted = pk_json_type(t, v) == PK_JSON_STRING;

        if (!inserted && p->out.len > 1)
            pk_buf_addc(&p->out, ',');
        if (inserted ? !insert_messages(p, v) : !print_value(p, v))
            return false;
    }
    pk_buf_addc(&p->out, ']');
    return true;
}

static bool render(struct printer *p, const struct pk_prompt *prompt, pk_str vars,
                   struct pk_json *values, struct pk_json *template)
{
    struct pk_arena *arena = p->m.arena;

    if (!pk_json_parse(arena, vars, "variables", values, p->err))
        return false;
    if (pk_json_type(values, 0) != PK_JSON_OBJECT)
        return pk_fail(p->err, PK_BAD_REQUEST, "variables: must be an object, not %s",
                       pk_json_type_name(pk_json_type(values, 0)));
    p->m.vars = values;
    p->template = template;
    return pk_json_parse(arena, prompt->template, p->what, template, p->err) && print_messages(p) &&
           pk_mustache_whole(&p->m, p->what, p->err);
}

bool pk_prompt_render(struct pk_arena *arena, const struct pk_prompt *p, pk_str vars,
                      pk_str *messages, struct pk_error *err)
{
    pk_str what = pk_copyf(arena, "prompt \"%.*s@%lld\"", PK_FMT(p->slug), (long long)p->version);
    struct pk_json values, template;
    struct printer out = {
        .m = {.arena = arena, .partials = p->partials, .partial_count = p->partial_count},
        .what = what.at ? what.at : "prompt",
        .out = pk_buf_in(arena, PK_BODY_BYTES_MAX),
        .err = err,
    };
    bool ok = render(&out, p, vars, &values, &template);

    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", out.what);
    *messages = pk_buf_str(&out.out);
    if (ok && out.out.failed)
        return pk_fail(err, PK_TOO_LARGE, "%s: becomes larger than %d MiB", out.what,
                       PK_BODY_BYTES_MAX >> 20);
    return ok;
}

bool pk_prompt_params(struct pk_arena *arena, const struct pk_prompt *p, pk_str params, pk_str *out,
                      struct pk_error *err)
{
    struct pk_buf base = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    pk_buf_addc(&base, '{');
    print_text(&base, "model", p->model);
    if (p->parameters.len > 2 && base.len > 1)
        pk_buf_addc(&base, ',');
    if (p->parameters.len > 2)
        pk_buf_add(&base, pk_str_sub(p->parameters, 1, p->parameters.len - 2));
    pk_buf_addc(&base, '}');
    *out = pk_buf_str(&base);
    if (base.failed)
        return pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
    return params.len == 0 || pk_json_merge(arena, *out, params, "params", out, err);
}

bool pk_prompt_config(struct pk_arena *arena, const struct pk_prompt *p, pk_str *reference,
                      struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);

    *reference = p->config;
    if (p->config.len)
        return true;
    if (p->virtual_key.len == 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "prompt \"%.*s@%lld\": has no config and no virtual key; give a config",
                       PK_FMT(p->slug), (long long)p->version);
    pk_buf_addc(&out, '{');
    print_text(&out, "virtual_key", p->virtual_key);
    pk_buf_addc(&out, '}');
    *reference = pk_buf_str(&out);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
}

/* --- which version --------------------------------------------------------------------- */

bool pk_prompt_ref_parse(pk_str text, struct pk_prompt_ref *ref, struct pk_error *err)
{
    int at = pk_str_find(text, '@');
    pk_str shown = pk_str_sub(text, 0, PK_SLUG_BYTES_MAX);

    *ref = (struct pk_prompt_ref){.slug = text};
    if (text.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "prompt: must not be empty");
    if (at < 0)
        return true;
    ref->slug = pk_str_sub(text, 0, (size_t)at);
    pk_str which = pk_str_sub(text, (size_t)at + 1, text.len);
    if (which.len == 0 || ref->slug.len == 0 || pk_str_find(which, '@') >= 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "prompt \"%.*s\": must be SLUG, SLUG@VERSION or SLUG@LABEL", PK_FMT(shown));
    ref->latest = pk_str_is(which, "latest");
    if (ref->latest)
        return true;
    if (!pk_str_int(which, &ref->version)) {
        ref->label = which;
        return true;
    }
    return ref->version > 0 ||
           pk_fail(err, PK_BAD_REQUEST, "prompt \"%.*s\": versions count from 1", PK_FMT(shown));
}

/* FNV-1a, mixed: the same on every machine, since a user must get the same version through every door. */
static uint64_t hash_of(pk_str name, pk_str key)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.at[i]) * 0x100000001b3u;
    h *= 0x100000001b3u; /* a NUL, so that "ab","c" is not "a","bc" */
    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.at[i]) * 0x100000001b3u;
    return pk_random_next(&h);
}

int pk_prompt_draw(const struct pk_arm *arms, int count, pk_str name, struct pk_draw draw)
{
    uint64_t total = 0, random = draw.seed;

    PK_ASSERT(count <= PK_ARMS_MAX);
    for (int i = 0; i < count; i++)
        total += (uint64_t)arms[i].weight;
    random = draw.key.len ? hash_of(name, draw.key) : pk_random_next(&random);
    uint64_t at =
        ((random >> 32) * total) >> 32; /* a part of the total: few change arms when it does */
    for (int i = 0; i < count; i++) {
        if (at < (uint64_t)arms[i].weight)
            return i;
        at -= (uint64_t)arms[i].weight;
    }
    return -1;
}
