/* store_catalog_diff.c - what an import changes, as a JSON object.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_catalog_inner.h"

#include "iso.h"
#include "member.h"
#include "price.h"

enum { MUCH = 10 };

/* --- parts ----------------------------------------------------------------------------------- */

static void add_name(struct pk_buf *out, pk_str provider, pk_str model)
{
    pk_member_comma(out);
    pk_buf_adds(out, "{\"provider\":");
    pk_json_quote(out, provider);
    pk_buf_adds(out, ",\"model\":");
    pk_json_quote(out, model);
}

/* What differs from `other`; NULL: all that is known. */
static void add_price(struct pk_buf *out, const struct pk_import_price *p,
                      const struct pk_import_price *other)
{
    for (int i = 0; i < PK_RATES; i++) {
        if (p->rates[i] < 0 || (other && other->rates[i] == p->rates[i]))
            continue;
        pk_member_comma(out);
        pk_buf_addf(out, "\"%s_usd\":", pk_rate_name((enum pk_rate)i));
        pk_price_print(out, p->rates[i]);
    }
    if (p->units.len == 0 || (other && pk_str_eq(p->units, other->units)))
        return;
    pk_member_comma(out);
    pk_buf_adds(out, "\"units\":");
    pk_buf_add(out, p->units);
}

/* One side of a change. */
struct side {
    const struct pk_import_price *list;
    int count;
};

static const struct pk_import_price *tier_of(struct side s, int64_t above_tokens)
{
    for (int i = 0; i < s.count; i++)
        if (s.list[i].above_tokens == above_tokens)
            return s.list + i;
    return NULL;
}

/* The base tier's members, and the others under "above": where they differ from the other side's. */
static void add_prices(struct pk_buf *out, struct side s, struct side other)
{
    bool higher = false;

    for (int i = 0; i < s.count; i++) {
        const struct pk_import_price *p = &s.list[i], *q = tier_of(other, p->above_tokens);

        if (q && pk_import_same_price(p, q))
            continue;
        if (p->above_tokens == 0) { /* the first */
            add_price(out, p, q);
            continue;
        }
        pk_member_comma(out);
        pk_buf_adds(out, higher ? "" : "\"above\":{");
        higher = true;
        pk_buf_addf(out, "\"%lld\":{", (long long)p->above_tokens);
        add_price(out, p, q);
        pk_buf_addc(out, '}');
    }
    if (higher)
        pk_buf_addc(out, '}');
}

/* Prices with dates of their own. */
static void add_dated(struct pk_buf *out, struct pk_arena *arena, const struct pk_import_match *x)
{
    char from[PK_ISO_BYTES];
    bool any = false;

    for (int i = 0; i < x->m->tier_count; i++) {
        struct pk_import_price p = pk_import_tier(arena, x->m, &x->m->tiers[i]);

        if (!pk_import_is_dated(x, &p))
            continue;
        pk_member_comma(out);
        pk_buf_adds(out, any ? "" : "\"dated\":[");
        any = true;
        pk_iso_print(p.from_us, from);
        pk_buf_addf(out, "{\"valid_from\":\"%s\"", from);
        if (p.above_tokens)
            pk_buf_addf(out, ",\"above_tokens\":%lld", (long long)p.above_tokens);
        add_price(out, &p, NULL);
        pk_buf_addc(out, '}');
    }
    if (any)
        pk_buf_addc(out, ']');
}

static void add_text(struct pk_buf *out, const char *name, pk_str text, pk_str other)
{
    if (text.len == 0 || pk_str_eq(text, other))
        return;
    pk_member_comma(out);
    pk_buf_addf(out, "\"%s\":", name);
    if (pk_str_starts(text, "{"))
        pk_buf_add(out, text);
    else
        pk_json_quote(out, text);
}

static void add_number(struct pk_buf *out, const char *name, int64_t n, int64_t other)
{
    if (n <= 0 || n == other)
        return;
    pk_member_comma(out);
    pk_buf_addf(out, "\"%s\":%lld", name, (long long)n);
}

/* What is known of a model and differs from `other`. */
static void add_facts(struct pk_buf *out, const struct pk_import_model *m,
                      const struct pk_import_model *other)
{
    add_text(out, "mode", m->mode, other->mode);
    add_number(out, "context_window", m->context_window, other->context_window);
    add_number(out, "max_output_tokens", m->max_output_tokens, other->max_output_tokens);
    add_text(out, "deprecation_date", m->deprecation_date, other->deprecation_date);
    add_text(out, "capabilities", m->capabilities, other->capabilities);
}

/* Ten times more, or less, is more often a slip than a price. */
static void warn(struct pk_import *im, const struct pk_import_match *x)
{
    static const enum pk_rate watched[] = {PK_RATE_input, PK_RATE_output};

    for (size_t i = 0; x->old_count && x->new_count && i < PK_COUNT(watched); i++) {
        int64_t old = x->old[0].rates[watched[i]], new = x->new[0].rates[watched[i]];

        if (old <= 0 || new < 0 || (new / MUCH <= old &&old / MUCH <= new))
            continue;
        add_name(&im->warnings, x->m->provider, x->m->model);
        pk_buf_addf(&im->warnings, ",\"reason\":\"%s_usd is %s of what it was\"}",
                    pk_rate_name(watched[i]),
                    new > old ? "more than ten times" : "less than a tenth");
    }
}

/* --- models ---------------------------------------------------------------------------------- */

void pk_import_note_change(struct pk_import *im, const struct pk_import_match *x)
{
    static const struct pk_import_model nothing;
    const struct pk_import_model *old = x->facts ? x->facts : &nothing;
    struct side before = {x->old, x->old_count}, after = {x->new, x->new_count};

    im->changed_count++;
    add_name(&im->changed, x->m->provider, x->m->model);
    pk_buf_adds(&im->changed, ",\"old\":{");
    if (x->repriced)
        add_prices(&im->changed, before, after);
    if (x->corrected)
        add_facts(&im->changed, old, &x->merged);
    pk_buf_adds(&im->changed, "},\"new\":{");
    if (x->repriced)
        add_prices(&im->changed, after, before);
    add_dated(&im->changed, im->arena, x);
    if (x->corrected)
        add_facts(&im->changed, &x->merged, old);
    pk_buf_adds(&im->changed, "}}");
    if (x->repriced)
        warn(im, x);
}

void pk_import_note_addition(struct pk_import *im, const struct pk_import_match *x)
{
    static const struct pk_import_model nothing;

    im->added_count++;
    add_name(&im->added, x->m->provider, x->m->model);
    pk_buf_adds(&im->added, ",\"new\":{");
    add_prices(&im->added, (struct side){x->new, x->new_count}, (struct side){NULL, 0});
    add_dated(&im->added, im->arena, x);
    if (x->corrected)
        add_facts(&im->added, &x->merged, &nothing);
    pk_buf_adds(&im->added, "}}");
}

void pk_import_note_missing(struct pk_import *im, const struct pk_import_model *m)
{
    im->missing_count++;
    add_name(&im->missing, m->provider, m->model);
    pk_buf_addc(&im->missing, '}');
}

/* --- the whole ------------------------------------------------------------------------------- */

static void add_list(struct pk_buf *out, const char *name, const struct pk_buf *list)
{
    pk_buf_addf(out, ",\"%s\":[", name);
    pk_buf_add(out, pk_buf_str(list));
    pk_buf_addc(out, ']');
    out->failed = out->failed || list->failed;
}

static int add_ignored(struct pk_buf *out, const struct pk_catalog *c)
{
    int count = 0;

    pk_buf_adds(out, ",\"ignored\":[");
    for (int i = 0; i < c->left_out_count; i++) {
        const struct pk_left_out *l = &c->left_out[i];

        count += l->count;
        pk_buf_adds(out, i ? ",{\"what\":" : "{\"what\":");
        pk_json_quote(out, l->what);
        pk_buf_addf(out, ",\"reason\":\"%s\",\"count\":%d,\"example\":", l->reason, l->count);
        pk_json_quote(out, l->example);
        pk_buf_addc(out, '}');
    }
    pk_buf_addc(out, ']');
    return count;
}

static pk_str counts_of(struct pk_import *im, int ignored)
{
    return pk_copyf(
        im->arena, "{\"added\":%d,\"changed\":%d,\"missing\":%d,\"unchanged\":%d,\"ignored\":%d}",
        im->added_count, im->changed_count, im->missing_count, im->unchanged_count, ignored);
}

bool pk_import_print_diff(struct pk_import *im, pk_str *counts, pk_str *diff)
{
    struct pk_buf out = pk_buf_in(im->arena, IMPORT_DIFF_BYTES_MAX);
    struct pk_buf ignored = pk_buf_in(im->arena, IMPORT_DIFF_BYTES_MAX);
    char at[PK_ISO_BYTES];

    pk_iso_print(im->source->now_us, at);
    *counts = counts_of(im, add_ignored(&ignored, &im->catalog));
    pk_buf_adds(&out, "{\"format\":");
    pk_json_quote(&out, im->source->format);
    pk_buf_addf(&out, ",\"at\":\"%s\",\"dry_run\":%s,\"counts\":%.*s", at,
                im->dry_run ? "true" : "false", PK_FMT(*counts));
    add_list(&out, "added", &im->added);
    add_list(&out, "changed", &im->changed);
    add_list(&out, "missing", &im->missing);
    pk_buf_add(&out, pk_buf_str(&ignored));
    add_list(&out, "warnings", &im->warnings);
    pk_buf_addc(&out, '}');
    *diff = pk_buf_str(&out);
    return !(out.failed || ignored.failed || im->arena->failed) ||
           pk_fail(im->err, PK_TOO_LARGE, "prices: too many changes, or out of memory");
}
