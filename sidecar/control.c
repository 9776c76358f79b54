/* control.c - see control.h. Limits are in control_held.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "control_inner.h"
#include "member.h"
#include "path.h"
#include "store_value.h"
#include "xfer.h"

#include <string.h>

enum { SLUG_NAME_MAX = 64, SLUG_TRIES = 100, PAGE_ROWS_DEFAULT = 100 };

/* --- answers -------------------------------------------------------------------------------------- */

static bool not_there(struct pkd_control *c)
{
    return pk_fail(c->err, PK_NOT_FOUND, "%s: there is none called \"%.*s\"", c->is->noun,
                   PK_FMT(pk_name_shown(c->slug)));
}

void pkd_print_ids(struct pkd_control *c, pk_str slug)
{
    pk_member_text(c->out, "id", slug);
    pk_member_text(c->out, "slug", slug);
}

pk_str pkd_version_id(struct pkd_control *c, pk_str slug, int64_t version)
{
    return pk_copyf(c->arena, "%.*s@%lld", PK_FMT(slug), (long long)version);
}

/* --- bodies --------------------------------------------------------------------------------------- */

pk_str pkd_snake(struct pk_arena *arena, pk_str name)
{
    struct pk_buf out = pk_buf_in(arena, 2 * PK_SLUG_BYTES_MAX);

    for (size_t i = 0; i < name.len && !out.failed; i++) {
        char c = name.at[i];

        if (c >= 'A' && c <= 'Z')
            pk_buf_addf(&out, "_%c", c | 0x20);
        else
            pk_buf_addc(&out, c == '-' ? '_' : c);
    }
    return pk_buf_str(&out);
}

static const char *article(const struct pkd_control *c)
{
    return strchr("aeiou", *c->is->noun) ? "an" : "a";
}

static bool is_member(struct pkd_control *c, pk_str name)
{
    const char *const *known = c->is->members;

    while (*known && !pk_str_is(name, *known))
        known++;
    return *known || (c->is->more && c->is->more(name));
}

bool pkd_control_body(struct pkd_control *c)
{
    const struct pk_json *doc = &c->body;

    if (!pk_json_parse(c->arena, c->errand->body, "body", &c->body, c->err))
        return false;
    if (pk_json_type(doc, 0) != PK_JSON_OBJECT)
        return pk_fail(c->err, PK_BAD_REQUEST, "body: must be an object, not %s",
                       pk_json_type_name(pk_json_type(doc, 0)));
    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        pk_str name = pk_json_str(c->arena, doc, k);

        if (!is_member(c, pkd_snake(c->arena, name)))
            return pk_fail(c->err, PK_BAD_REQUEST, "body: %s %s has no member \"%.*s\"", article(c),
                           c->is->noun, PK_FMT(pk_name_shown(name)));
    }
    return true;
}

int pkd_control_at(const struct pkd_control *c, const char *member)
{
    int found = -1;

    for (int k = pk_json_first(&c->body, 0); k >= 0; k = pk_json_next(&c->body, 0, k))
        if (pk_str_is(pkd_snake(c->arena, pk_json_str(c->arena, &c->body, k)), member))
            found = k + 1;
    return found;
}

bool pkd_control_text(struct pkd_control *c, const char *member, pk_str *text)
{
    int value = pkd_control_at(c, member);
    enum pk_json_type type = pk_json_type(&c->body, value);

    *text = pk_json_str(c->arena, &c->body, value);
    return value < 0 || type == PK_JSON_STRING || type == PK_JSON_NULL ||
           pk_fail(c->err, PK_BAD_REQUEST, "%s: must be a text, not %s", member,
                   pk_json_type_name(type));
}

bool pkd_control_active(struct pkd_control *c)
{
    pk_str status;

    return pkd_control_text(c, "status", &status) &&
           (status.len == 0 || pk_str_is(status, "active") ||
            pk_fail(c->err, PK_BAD_REQUEST, "status: delete a %s to archive it", c->is->noun));
}

/* --- slugs and names -------------------------------------------------------------------------------- */

pk_str pkd_slug_of(struct pk_arena *arena, const char *prefix, pk_str name)
{
    struct pk_buf out = pk_buf_in(arena, PK_SLUG_BYTES_MAX);
    bool gap = true;

    pk_buf_adds(&out, prefix);
    for (size_t i = 0; i < name.len && out.len < SLUG_NAME_MAX; i++) {
        char c = name.at[i], lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'z';

        if (!letter && (c < '0' || c > '9')) {
            gap = true;
            continue;
        }
        if (gap && out.len)
            pk_buf_addc(&out, '-');
        gap = false;
        pk_buf_addc(&out, letter ? lower : c);
    }
    return pk_buf_str(&out);
}

static bool mark(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    *(bool *)ctx = true;
    return false;
}

static bool is_there(struct pkd_control *c, pk_str slug, bool *there)
{
    const struct pk_value args[] = {pk_v_required(slug)};

    *there = false;
    return c->store->ops->exec(c->store, c->is->page, args, PK_COUNT(args), mark, there, c->err);
}

bool pkd_control_known(struct pkd_control *c)
{
    bool there;

    return is_there(c, c->slug, &there) && (there || not_there(c));
}

bool pkd_control_name(struct pkd_control *c)
{
    struct pk_error unused;
    pk_str given, name, base;
    bool taken = true;

    if (!pkd_control_text(c, "slug", &given) || !pkd_control_text(c, "name", &name))
        return false;
    if (given.len == 0 && name.len == 0)
        return pk_fail(c->err, PK_BAD_REQUEST, "name: must be given");
    base = given.len ? given : name;
    if (given.len == 0 && (c->is->prefix || !pk_slug_check(name, &unused)))
        base = pkd_slug_of(c->arena, c->is->prefix ? c->is->prefix : "", name);
    if (base.len == 0)
        return pk_fail(c->err, PK_BAD_REQUEST,
                       "name: has no letter or digit for a slug: give a \"slug\"");
    for (int i = 1; taken && i <= (given.len ? 1 : SLUG_TRIES); i++) {
        c->slug = i == 1 ? base : pk_copyf(c->arena, "%.*s-%d", PK_FMT(base), i);
        if (!is_there(c, c->slug, &taken))
            return false;
    }
    return !taken || pk_fail(c->err, PK_BAD_REQUEST, "slug: there is %s %s called \"%.*s\" already",
                             article(c), c->is->noun, PK_FMT(pk_name_shown(base)));
}

bool pkd_control_untitle(struct pkd_control *c)
{
    bool existed;

    return pk_store_title_delete(c->store, c->is->kind, c->slug, &existed, c->err);
}

bool pkd_control_title(struct pkd_control *c)
{
    const char *note = c->is->note;
    struct pk_title t;
    pk_str name, text = PK_NONE;
    bool noted = note && pkd_control_at(c, note) >= 0;

    if (!pkd_control_text(c, "name", &name) || (noted && !pkd_control_text(c, note, &text)) ||
        !pk_store_title_get(c->store, c->arena, c->is->kind, c->slug, &t, c->err))
        return false;
    if (name.len == 0 && !noted)
        return true;
    if (name.len)
        t.name = name;
    if (noted)
        t.note = text;
    t.updated_us = c->now_us;
    return pk_store_title_put(c->store, &t, c->err);
}

/* --- the verbs that are the same for all -------------------------------------------------------------- */

struct page {
    struct pkd_control *c;
    int64_t skip, rows; /* to leave out first, to show at most */
    int64_t total, shown;
    pk_str search; /* in slug or name; empty: all */
};

static bool is_searched(const struct page *page, const struct pk_value *row)
{
    return pkd_query_finds(row[0].s, page->search) || pkd_query_finds(row[1].s, page->search);
}

static bool list_row(void *ctx, const struct pk_value *row, int count)
{
    struct page *page = ctx;
    struct pkd_control *c = page->c;

    PK_ASSERT(count > 1);
    if (!is_searched(page, row) || (c->is->chosen && !c->is->chosen(c, row)))
        return true;
    if (page->total++ < page->skip || page->shown == page->rows)
        return true;
    page->shown++;
    pk_member_item(c->out);
    c->is->print(c, row, false);
    pk_buf_addc(c->out, '}');
    return true;
}

bool pkd_control_list(struct pkd_control *c)
{
    const struct pk_value args[] = {pk_v_null()};
    struct page page = {.c = c, .rows = PAGE_ROWS_DEFAULT};
    pk_str query = c->errand->query;
    int64_t number;

    page.search = pkd_query_value(c->arena, query, "search");
    if (!pkd_query_page(c->arena, query, &page.rows, &number, c->err) || !pkd_held_load(c, PK_NONE))
        return false;
    c->listed = true;
    page.skip = number * page.rows;
    pk_member_text(c->out, "object", PK_STR("list"));
    if (c->is->wrapped)
        pk_member_bool(c->out, "success", true);
    pk_member_raw(c->out, "data", PK_STR("["));
    if (!c->store->ops->exec(c->store, c->is->page, args, PK_COUNT(args), list_row, &page, c->err))
        return false;
    pk_buf_addc(c->out, ']');
    pk_member_int(c->out, "total", page.total);
    pk_member_int(c->out, "current_page", number);
    pk_member_int(c->out, "page_size", page.rows);
    return true;
}

static bool one_row(void *ctx, const struct pk_value *row, int count)
{
    struct page *page = ctx;

    PK_ASSERT(count > 0);
    page->total++;
    page->c->is->print(page->c, row, true);
    return false;
}

bool pkd_control_get(struct pkd_control *c)
{
    const struct pk_value args[] = {pk_v_required(c->slug)};
    struct page page = {.c = c};

    return pkd_held_load(c, c->slug) &&
           c->store->ops->exec(c->store, c->is->page, args, PK_COUNT(args), one_row, &page,
                               c->err) &&
           (page.total || not_there(c));
}

/* --- the door --------------------------------------------------------------------------------------- */

/* The whole answer once more, as "data": some of Portkey's clients look here, some there. */
static void wrap(struct pkd_control *c)
{
    pk_str members = pk_copy(c->arena, pk_str_sub(pk_buf_str(c->out), 1, c->out->len));

    pk_member_bool(c->out, "success", true);
    if (members.len)
        pk_member_raw(c->out, "data", pk_copyf(c->arena, "{%.*s}", PK_FMT(members)));
}

static bool change(struct pkd_control *c, pkd_control_fn *verb)
{
    if (!c->store->ops->begin(c->store, c->err))
        return false;
    return pk_store_change_end(c->store, verb(c), NULL, c->err);
}

/* What the store calls an option is a member of the body here. */
static void name_member(struct pk_error *err)
{
    static const char prefix[] = "options.";
    size_t len = sizeof prefix - 1;

    if (strncmp(err->msg, prefix, len) == 0)
        memmove(err->msg, err->msg + len, strlen(err->msg + len) + 1);
}

/* A list has pages; whatever else may be asked is the resource's own. */
static bool check_query(struct pkd_control *c, pkd_control_fn *verb)
{
    const char *own = c->is->queries ? c->is->queries : "";
    pk_str known = pk_copyf(c->arena, "%s%s%c", own,
                            verb != pkd_control_list ? ""
                            : *own                   ? " current_page page_size search"
                                                     : "current_page page_size search",
                            0);

    return known.len ? pkd_query_check(c->arena, c->errand->query, known.at, c->err)
                     : pk_fail(c->err, PK_NO_MEMORY, "query: out of memory");
}

bool pkd_control(struct pkd_errand *e, const struct pkd_resource *is, pkd_control_fn *verb,
                 struct pk_error *err)
{
    struct pkd_control c = {.errand = e,
                            .is = is,
                            .arena = e->arena,
                            .store = e->store,
                            .out = &e->out,
                            .slug = pkd_path_segment(e->arena, e->path, is->at ? is->at : 2),
                            .now_us = pk_clock_us(),
                            .err = err};

    if (!check_query(&c, verb))
        return false;
    pk_buf_addc(c.out, '{');
    if (e->method == PKD_GET ? !verb(&c) : !change(&c, verb)) {
        name_member(err);
        return false;
    }
    if (is->wrapped && !c.listed)
        wrap(&c);
    pk_buf_addc(c.out, '}');
    return true;
}
