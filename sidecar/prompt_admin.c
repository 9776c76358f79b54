/* prompt_admin.c - see prompt_admin.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "prompt_admin.h"

#include "control.h"
#include "member.h"
#include "path.h"
#include "store_prompt.h"

#include <string.h>

enum { SLUG_TRIES = 100, PAGE_ROWS_DEFAULT = 100 };

/* One request. */
struct desk {
    struct pk_arena *arena;
    struct pk_store *store;
    const struct pkd_errand *req;
    bool partial;   /* of a partial, not a prompt */
    pk_str slug;    /* in the store: with its prefix; empty: the path has none */
    pk_str version; /* the path's, or empty */
    struct pk_buf *out;
    struct pk_error *err;
};

/* --- printing ------------------------------------------------------------------------------- */

/* As Portkey has it, without the prefix of a partial. */
static pk_str shown_slug(const struct desk *d, pk_str slug)
{
    return d->partial ? pk_str_sub(slug, sizeof "partial/" - 1, slug.len) : slug;
}

static pk_str version_id(const struct desk *d, pk_str slug, int64_t version)
{
    return pk_copyf(d->arena, "%.*s@%lld", PK_FMT(shown_slug(d, slug)), (long long)version);
}

/* A template as Portkey's "string": messages as a text that is JSON. */
static void add_template(struct desk *d, pk_str template)
{
    if (pk_str_starts(template, "["))
        pk_member_text(d->out, "string", template);
    else
        pk_member_raw(d->out, "string", template);
}

static const char *kind_of(const struct desk *d)
{
    return d->partial ? "partial" : "prompt";
}

static void add_ids(struct desk *d, pk_str slug)
{
    pk_member_text(d->out, "id", shown_slug(d, slug));
    pk_member_text(d->out, "slug", shown_slug(d, slug));
}

/* --- bodies --------------------------------------------------------------------------------- */

static bool read_body(struct desk *d, struct pk_json *doc)
{
    if (!pk_json_parse(d->arena, d->req->body, "body", doc, d->err))
        return false;
    return pk_json_type(doc, 0) == PK_JSON_OBJECT ||
           pk_fail(d->err, PK_BAD_REQUEST, "body: must be an object, not %s",
                   pk_json_type_name(pk_json_type(doc, 0)));
}

static pk_str stored_slug(struct desk *d, pk_str slug)
{
    return pk_copyf(d->arena, "%s%.*s", d->partial ? "partial/" : "", PK_FMT(slug));
}

/* *found tells whether there is such a prompt; false when the store fails. */
static bool find(struct desk *d, pk_str slug, struct pk_prompt *p, bool *found)
{
    *found =
        pk_store_prompt_get(d->store, d->arena, slug, (struct pk_draw){.key = slug}, p, d->err);
    return *found || d->err->code == PK_NOT_FOUND;
}

/* A slug that is free, from the body's "slug" or made from its "name". */
static bool choose_slug(struct desk *d, const struct pk_json *doc)
{
    pk_str given = pk_json_str(d->arena, doc, pk_json_get(doc, 0, "slug"));
    pk_str name = pk_json_str(d->arena, doc, pk_json_get(doc, 0, "name"));
    pk_str base = given.len ? given : pkd_slug_of(d->arena, "pp", name);
    struct pk_prompt unused;
    bool found = true;

    if (given.len == 0 && name.len == 0)
        return pk_fail(d->err, PK_BAD_REQUEST, "name: must be given");
    for (int i = 1; found && i <= (given.len ? 1 : SLUG_TRIES); i++) {
        d->slug = stored_slug(d, i == 1 ? base : pk_copyf(d->arena, "%.*s-%d", PK_FMT(base), i));
        if (!find(d, d->slug, &unused, &found))
            return false;
    }
    return !found || pk_fail(d->err, PK_BAD_REQUEST, "slug: there is a %s called \"%.*s\" already",
                             kind_of(d), PK_FMT(pk_str_sub(base, 0, PK_SLUG_BYTES_MAX)));
}

static bool put(struct desk *d, pk_str text, int64_t *version)
{
    struct pk_prompt_draft draft = {.slug = d->slug, .text = text, .at_us = pk_clock_us()};

    return pk_store_prompt_put(d->store, d->arena, &draft, version, d->err);
}

static bool spliced(struct desk *d, const struct pk_json *doc, const struct pk_json_edit *edits,
                    int count, pk_str *out)
{
    struct pk_buf text = pk_buf_in(d->arena, PK_BODY_BYTES_MAX);

    pk_json_splice(&text, doc, 0, edits, count);
    *out = pk_buf_str(&text);
    return !text.failed || pk_fail(d->err, PK_TOO_LARGE, "body: too large");
}

/* --- the verbs ------------------------------------------------------------------------------ */

static bool create(struct desk *d)
{
    const struct pk_json_edit no_slug = {PK_STR("slug"), PK_NONE};
    struct pk_json doc;
    pk_str text;
    int64_t version;

    if (!read_body(d, &doc) || !choose_slug(d, &doc) || !spliced(d, &doc, &no_slug, 1, &text) ||
        !put(d, text, &version))
        return false;
    add_ids(d, d->slug);
    pk_member_text(d->out, "version_id", version_id(d, d->slug, version));
    pk_member_text(d->out, "object", pk_str_of(kind_of(d)));
    return true;
}

/* What a new body replaces of the document that was: what it says, and what contradicts it. */
static bool merge(struct desk *d, const struct pk_json *body, const struct pk_prompt *was,
                  pk_str *out)
{
    static const char *const pairs[][2] = {
        {"string", "messages"},
        {"messages", "string"},
        {"config", "virtual_key"},
        {"virtual_key", "config"},
        {"version_description", "description"},
        {"description", "version_description"},
    };
    /* Portkey's have them in "parameters" as well; there they are given in place of what was beside it. */
    static const char *const beside[] = {"model",     "tools",         "tool_choice",
                                         "functions", "function_call", "response_format"};
    static const struct pk_json_edit not_ours[] = {{{"patch", 5}, {NULL, 0}},
                                                   {{"status", 6}, {NULL, 0}}};
    struct pk_json_edit edits[PK_COUNT(pairs) + PK_COUNT(beside) + 2];
    struct pk_buf document = pk_buf_in(d->arena, PK_BODY_BYTES_MAX);
    struct pk_json old;
    pk_str base, over;
    int count = 0;

    pk_prompt_print(was, &document);
    if (document.failed || !pk_json_parse(d->arena, pk_buf_str(&document), "prompt", &old, d->err))
        return pk_fail(d->err, PK_NO_MEMORY, "prompt: out of memory");
    for (size_t i = 0; i < PK_COUNT(pairs); i++)
        if (pk_json_get(body, 0, pairs[i][0]) >= 0)
            edits[count++] = (struct pk_json_edit){pk_str_of(pairs[i][1]), PK_NONE};
    int parameters = pk_json_get(body, 0, "parameters");
    for (size_t i = 0; i < PK_COUNT(beside); i++)
        if (pk_json_get(body, parameters, beside[i]) >= 0)
            edits[count++] = (struct pk_json_edit){pk_str_of(beside[i]), PK_NONE};
    if (pk_str_starts(pk_json_str(d->arena, body, pk_json_get(body, 0, "model")), "@")) {
        edits[count++] = (struct pk_json_edit){PK_STR("config"), PK_NONE};
        edits[count++] = (struct pk_json_edit){PK_STR("virtual_key"), PK_NONE};
    }
    return spliced(d, &old, edits, count, &base) &&
           spliced(d, body, not_ours, PK_COUNT(not_ours), &over) &&
           pk_json_merge(d->arena, base, over, "body", out, d->err);
}

static bool update(struct desk *d)
{
    struct pk_json body;
    struct pk_prompt was;
    pk_str latest = pk_copyf(d->arena, "%.*s@latest", PK_FMT(d->slug)), text, id;
    int64_t version;

    if (!read_body(d, &body) ||
        !pk_store_prompt_get(d->store, d->arena, latest, (struct pk_draw){.seed = 1}, &was, d->err))
        return false;
    int status = pk_json_get(&body, 0, "status");
    if (status >= 0 && !pk_json_is(&body, status, "active"))
        return pk_fail(d->err, PK_BAD_REQUEST, "status: delete a %s to archive it", kind_of(d));
    if (!merge(d, &body, &was, &text) || !put(d, text, &version))
        return false;
    id = version_id(d, d->slug, version);
    add_ids(d, d->slug);
    pk_member_text(d->out, d->partial ? "prompt_partial_version_id" : "prompt_version_id", id);
    return true;
}

static bool delete_all(struct desk *d)
{
    bool existed;

    if (!pk_store_prompt_delete(d->store, d->slug, pk_clock_us(), &existed, d->err))
        return false;
    pk_member_raw(d->out, "success", PK_STR("true"));
    return existed || pk_fail(d->err, PK_NOT_FOUND, "%s: there is none called \"%.*s\"", kind_of(d),
                              PK_FMT(shown_slug(d, d->slug)));
}

static bool publish_as(struct desk *d, int64_t version, pk_str label)
{
    struct pk_publication what = {.slug = d->slug,
                                  .label = label,
                                  .version = version,
                                  .weight = PK_WEIGHT_ALONE,
                                  .at_us = pk_clock_us()};

    pk_member_raw(d->out, "success", PK_STR("true"));
    return pk_store_prompt_publish(d->store, d->arena, &what, d->err);
}

/* {"version": 3} */
static bool publish(struct desk *d)
{
    struct pk_json body;
    int64_t version;

    if (!read_body(d, &body))
        return false;
    if (!pk_json_int(&body, pk_json_get(&body, 0, "version"), &version))
        return pk_fail(d->err, PK_BAD_REQUEST, "version: must be a number");
    return publish_as(d, version, PK_NONE);
}

/* "3", or "slug@3", which we gave as the version's id. */
static bool read_version(struct desk *d, int64_t *version)
{
    int at = pk_str_find(d->version, '@');
    pk_str number = at < 0 ? d->version : pk_str_sub(d->version, (size_t)at + 1, d->version.len);

    if (at >= 0 && !pk_str_eq(pk_str_sub(d->version, 0, (size_t)at), shown_slug(d, d->slug)))
        number = PK_NONE;
    return (pk_str_int(number, version) && *version > 0) ||
           pk_fail(d->err, PK_NOT_FOUND, "version: there is none called \"%.*s\"",
                   PK_FMT(pk_str_sub(d->version, 0, PK_SLUG_BYTES_MAX)));
}

/* {"label_id": "production"} */
static bool label(struct desk *d)
{
    struct pk_json body;
    int64_t version;

    if (!read_body(d, &body) || !read_version(d, &version))
        return false;
    pk_str name = pk_json_str(d->arena, &body, pk_json_get(&body, 0, "label_id"));
    return name.len ? publish_as(d, version, name)
                    : pk_fail(d->err, PK_BAD_REQUEST, "label_id: must be the name of a label");
}

static bool get(struct desk *d)
{
    static const char *const theirs[] = {"messages", "string", "description"};
    struct pk_json_edit edits[PK_COUNT(theirs)];
    struct pk_buf document = pk_buf_in(d->arena, PK_BODY_BYTES_MAX);
    struct pk_prompt p;
    struct pk_json doc;
    pk_str reference = d->slug, rest;
    int64_t version;

    if (d->version.len) {
        if (!read_version(d, &version))
            return false;
        reference = pk_copyf(d->arena, "%.*s@%lld", PK_FMT(d->slug), (long long)version);
    }
    if (!pk_store_prompt_get(d->store, d->arena, reference, (struct pk_draw){.key = reference}, &p,
                             d->err))
        return false;
    pk_prompt_print(&p, &document);
    for (size_t i = 0; i < PK_COUNT(theirs); i++)
        edits[i] = (struct pk_json_edit){pk_str_of(theirs[i]), PK_NONE};
    if (document.failed ||
        !pk_json_parse(d->arena, pk_buf_str(&document), "prompt", &doc, d->err) ||
        !spliced(d, &doc, edits, PK_COUNT(edits), &rest))
        return pk_fail(d->err, PK_NO_MEMORY, "prompt: out of memory");
    const char *kind = d->partial ? "version" : "prompt_version";
    add_ids(d, p.slug);
    add_template(d, p.template);
    pk_member_int(d->out, kind, p.version);
    pk_member_text(d->out, d->partial ? "prompt_partial_version_id" : "prompt_version_id",
                   version_id(d, p.slug, p.version));
    pk_member_text(d->out, d->partial ? "version_description" : "prompt_version_description",
                   p.description);
    pk_member_text(d->out, "status", PK_STR("active"));
    pk_member_time(d->out, "created_at", p.created_us);
    pk_member_time(d->out, "last_updated_at", p.created_us);
    if (rest.len > 2) {
        pk_buf_addc(d->out, ',');
        pk_buf_add(d->out, pk_str_sub(rest, 1, rest.len - 2));
    }
    return true;
}

/* --- lists ---------------------------------------------------------------------------------- */

static void begin_item(struct desk *d, int64_t count)
{
    pk_buf_adds(d->out, count ? ",{" : "{");
}

struct page {
    struct desk *d;
    pk_str search, collection;
    int64_t skip, rows; /* how many to leave out, and then to show */
    int64_t total, shown;
};

static bool list_row(void *ctx, const struct pk_value *v, int count)
{
    struct page *page = ctx;
    struct desk *d = page->d;
    pk_str slug = v[0].s, collection = PK_NONE;
    struct pk_error unused;
    struct pk_json details;

    PK_ASSERT(count == 7);
    if (pk_str_starts(slug, "partial/") != d->partial)
        return true;
    if (v[4].s.len && pk_json_parse(d->arena, v[4].s, "details", &details, &unused))
        collection = pk_json_str(d->arena, &details, pk_json_get(&details, 0, "collection_id"));
    if (!(pkd_query_finds(slug, page->search) || pkd_query_finds(v[2].s, page->search)) ||
        (page->collection.len && !pk_str_eq(collection, page->collection)))
        return true;
    if (page->total++ < page->skip || page->shown == page->rows)
        return true;
    begin_item(d, page->shown++);
    add_ids(d, slug);
    pk_member_text(d->out, "name", v[2].s);
    pk_member_text(d->out, "collection_id", collection);
    if (!d->partial)
        pk_member_text(d->out, "model", v[3].s);
    pk_member_text(d->out, "status", PK_STR("active"));
    pk_member_time(d->out, "created_at", v[6].i);
    pk_member_time(d->out, "last_updated_at", v[5].i);
    pk_member_text(d->out, "object", pk_str_of(kind_of(d)));
    pk_buf_addc(d->out, '}');
    return true;
}

static bool list(struct desk *d)
{
    struct page page = {.d = d, .rows = PAGE_ROWS_DEFAULT};
    pk_str query = d->req->query;
    int64_t number;

    page.search = pkd_query_value(d->arena, query, "search");
    page.collection = pkd_query_value(d->arena, query, "collection_id");
    if (!pkd_query_page(d->arena, query, &page.rows, &number, d->err))
        return false;
    page.skip = number * page.rows;
    pk_member_text(d->out, "object", PK_STR("list"));
    pk_member_raw(d->out, "data", PK_STR("["));
    if (!d->store->ops->exec(d->store, PK_SQL_prompt_page, NULL, 0, list_row, &page, d->err))
        return false;
    pk_buf_addc(d->out, ']');
    pk_member_int(d->out, "total", page.total);
    return true;
}

static bool version_row(void *ctx, const struct pk_value *v, int count)
{
    struct page *page = ctx;
    struct desk *d = page->d;

    PK_ASSERT(count == 7);
    begin_item(d, page->shown++);
    pk_member_text(d->out, "id", version_id(d, d->slug, v[0].i));
    pk_member_text(d->out, d->partial ? "prompt_partial_id" : "prompt_id", shown_slug(d, d->slug));
    if (d->partial) {
        pk_member_text(d->out, "slug", shown_slug(d, d->slug));
        pk_member_text(d->out, "version", pk_copyf(d->arena, "%lld", (long long)v[0].i));
        add_template(d, v[1].s);
    } else {
        pk_member_int(d->out, "prompt_version", v[0].i);
        pk_buf_adds(d->out, ",\"prompt_template\":{");
        add_template(d, v[1].s);
        pk_member_text(d->out, "model", v[2].s);
        pk_member_raw(d->out, "parameters", v[3].s);
        pk_buf_addc(d->out, '}');
        pk_member_text(d->out, "label_id", v[6].s);
    }
    pk_member_text(d->out, d->partial ? "description" : "prompt_description", v[4].s);
    pk_member_time(d->out, "created_at", v[5].i);
    pk_member_text(d->out, "status", PK_STR("active"));
    pk_member_text(d->out, "object", pk_str_of(kind_of(d)));
    pk_buf_addc(d->out, '}');
    return true;
}

static bool versions(struct desk *d)
{
    const struct pk_value args[] = {{.type = PK_V_TEXT, .s = d->slug}};
    struct page page = {.d = d};

    pk_member_text(d->out, "object", PK_STR("list"));
    pk_member_raw(d->out, "data", PK_STR("["));
    if (!d->store->ops->exec(d->store, PK_SQL_prompt_versions, args, 1, version_row, &page, d->err))
        return false;
    pk_buf_addc(d->out, ']');
    pk_member_int(d->out, "total", page.shown);
    return page.shown > 0 || pk_fail(d->err, PK_NOT_FOUND, "%s: there is none called \"%.*s\"",
                                     kind_of(d), PK_FMT(shown_slug(d, d->slug)));
}

/* --- the door ------------------------------------------------------------------------------- */

/* Reads the path; what is no slug is found to be none by the store. */
static void read_path(struct desk *d)
{
    int at = 2;

    d->partial = pk_str_is(pkd_path_segment(d->arena, d->req->path, at), "partials");
    at += d->partial;
    pk_str slug = pkd_path_segment(d->arena, d->req->path, at);
    d->slug = stored_slug(d, slug);
    if (pk_str_is(pkd_path_segment(d->arena, d->req->path, at + 1), "versions"))
        d->version = pkd_path_segment(d->arena, d->req->path, at + 2);
}

static bool serve(struct pkd_errand *e, bool (*verb)(struct desk *), struct pk_error *err)
{
    struct desk d = {.arena = e->arena, .store = e->store, .req = e, .out = &e->out, .err = err};

    read_path(&d);
    if (!pkd_query_check(e->arena, e->query,
                         verb == list ? "collection_id current_page page_size search" : "", err))
        return false;
    pk_buf_addc(d.out, '{');
    bool ok = verb(&d);
    pk_buf_addc(d.out, '}');
    return ok;
}

#define VERB(name, verb)                                                                           \
    bool pkd_prompt_##name(struct pkd_errand *e, struct pk_error *err)                             \
    {                                                                                              \
        return serve(e, verb, err);                                                                \
    }
VERB(create, create)
VERB(list, list)
VERB(get, get)
VERB(update, update)
VERB(delete, delete_all)
VERB(publish, publish)
VERB(versions, versions)
VERB(label, label)
#undef VERB
