/* store_prompt.c - see store_prompt.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_prompt.h"

#include "store_audit.h"
#include "store_provider.h"
#include "store_users.h"
#include "store_value.h"

#include <string.h>

enum { WEIGHT_ALONE = 100 }; /* so that a weight beside it reads like a percentage */

static const char partial_prefix[] = "partial/", default_label[] = "default";

static bool is_partial(pk_str slug)
{
    return pk_str_starts(slug, partial_prefix);
}

static bool check_slug(pk_str slug, struct pk_error *err)
{
    size_t prefix = is_partial(slug) ? sizeof partial_prefix - 1 : 0;

    return pk_slug_check(pk_str_sub(slug, prefix, slug.len), err);
}

/* --- reading --------------------------------------------------------------------------- */

struct prompt_row {
    struct pk_arena *arena;
    struct pk_prompt *p;
    uint8_t hash[PK_PAYLOAD_HASH_BYTES];
    bool found;
};

static bool read_prompt(void *ctx, const struct pk_value *columns, int count)
{
    struct prompt_row *row = ctx;
    struct pk_prompt *p = row->p;
    pk_str *const texts[] = {&p->template,    &p->model, &p->parameters,  &p->config,
                             &p->virtual_key, &p->name,  &p->description, &p->details};

    PK_ASSERT(count == (int)PK_COUNT(texts) + 3);
    p->version = columns[0].i;
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        *texts[i] = pk_copy(row->arena, columns[1 + i].s);
    p->created_us = columns[count - 2].i;
    if (columns[count - 1].s.len == sizeof row->hash)
        memcpy(row->hash, columns[count - 1].s.at, sizeof row->hash);
    row->found = true;
    return false;
}

/* Version 0: the latest. */
static bool get_version(struct pk_store *s, pk_str slug, int64_t version, struct prompt_row *row,
                        struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug), pk_v_int(version)};

    *row->p = (struct pk_prompt){.slug = pk_copy(row->arena, slug)};
    if (!s->ops->exec(s, PK_SQL_prompt_get, args, PK_COUNT(args), read_prompt, row, err))
        return false;
    return !row->arena->failed || pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
}

struct arms {
    struct pk_arm list[PK_ARMS_MAX + 1]; /* one more, so that too many are seen */
    int count;
};

static bool read_arm(void *ctx, const struct pk_value *columns, int count)
{
    struct arms *arms = ctx;

    PK_ASSERT(count == 2);
    arms->list[arms->count++] = (struct pk_arm){columns[0].i, columns[1].i};
    return arms->count < (int)PK_COUNT(arms->list);
}

static bool get_arms(struct pk_store *s, pk_str slug, pk_str label, struct arms *arms,
                     struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug), pk_v_required(label)};

    arms->count = 0;
    return s->ops->exec(s, PK_SQL_prompt_label_get, args, PK_COUNT(args), read_arm, arms, err);
}

/* Which version is meant; 0: the latest. */
static bool choose(struct pk_store *s, struct pk_arena *arena, struct pk_prompt_ref *ref,
                   struct pk_draw draw, struct pk_error *err)
{
    pk_str label = ref->label.len ? ref->label : pk_str_of(default_label);
    struct arms arms;

    if (ref->version || ref->latest)
        return true;
    if (!get_arms(s, ref->slug, label, &arms, err))
        return false;
    pk_str name =
        arms.count > 1 ? pk_copyf(arena, "%.*s@%.*s", PK_FMT(ref->slug), PK_FMT(label)) : PK_NONE;
    int i = pk_prompt_draw(arms.list, arms.count, name, draw);
    if (i >= 0)
        ref->version = arms.list[i].version;
    return i >= 0 || ref->label.len == 0 ||
           pk_fail(err, PK_NOT_FOUND, "prompt \"%.*s\": no version has the label \"%.*s\"",
                   PK_FMT(pk_str_sub(ref->slug, 0, PK_SLUG_BYTES_MAX)),
                   PK_FMT(pk_str_sub(label, 0, PK_SLUG_BYTES_MAX)));
}

bool pk_store_prompt_get(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                         struct pk_draw draw, struct pk_prompt *p, struct pk_error *err)
{
    struct prompt_row row = {.arena = arena, .p = p};
    struct pk_prompt_ref ref;

    if (!pk_prompt_ref_parse(reference, &ref, err) || !choose(s, arena, &ref, draw, err) ||
        !get_version(s, ref.slug, ref.version, &row, err))
        return false;
    return row.found || pk_fail(err, PK_NOT_FOUND, "prompt \"%.*s\": there is no such prompt",
                                PK_FMT(pk_str_sub(reference, 0, PK_SLUG_BYTES_MAX)));
}

static pk_str partial_reference(struct pk_arena *arena, pk_str name)
{
    return pk_copyf(arena, "%s%.*s", partial_prefix, PK_FMT(name));
}

/* Of one prompt. */
struct loading {
    struct pk_store *store;
    struct pk_arena *arena;
    struct pk_draw draw;
    struct pk_names names; /* partials that are needed */
    struct pk_error *err;
};

/* The partial that `name` means; notes those that it needs itself. */
static bool load_partial(struct loading *l, pk_str name, struct pk_partial *out)
{
    pk_str reference = partial_reference(l->arena, name);
    struct pk_prompt p;
    struct pk_json doc;

    if (!pk_store_prompt_get(l->store, l->arena, reference, l->draw, &p, l->err) ||
        !pk_prompt_partials(l->arena, p.template, &l->names, l->err) ||
        !pk_json_parse(l->arena, p.template, "partial", &doc, l->err))
        return false;
    *out = (struct pk_partial){.name = name, .text = pk_json_str(l->arena, &doc, 0)};
    return true;
}

static bool load_partials(struct loading *l, struct pk_prompt *p)
{
    if (!pk_prompt_partials(l->arena, p->template, &l->names, l->err))
        return false;
    if (l->names.count)
        p->partials = pk_alloc(l->arena, PK_PARTIALS_MAX * sizeof *p->partials);
    for (int i = 0; p->partials && i < l->names.count; i++) /* more names may come with each */
        if (!load_partial(l, l->names.list[i], &p->partials[i]))
            return false;
    p->partial_count = l->names.count;
    return !l->arena->failed || pk_fail(l->err, PK_NO_MEMORY, "prompt: out of memory");
}

bool pk_store_prompt_load(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                          struct pk_draw draw, struct pk_prompt *p, struct pk_error *err)
{
    struct loading l = {.store = s, .arena = arena, .draw = draw, .err = err};

    if (is_partial(reference))
        return pk_fail(err, PK_BAD_REQUEST, "prompt \"%.*s\": is a partial; it has no messages",
                       PK_FMT(pk_str_sub(reference, 0, PK_SLUG_BYTES_MAX)));
    return pk_store_prompt_get(s, arena, reference, draw, p, err) && load_partials(&l, p);
}

bool pk_store_prompt_check(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                           struct pk_error *err)
{
    struct pk_prompt unused;

    return pk_store_prompt_load(s, arena, reference, (struct pk_draw){.seed = 1}, &unused, err);
}

bool pk_store_prompt_request(struct pk_store *s, struct pk_arena *arena, struct pk_prompt_use *use,
                             struct pk_request *req, struct pk_error *err)
{
    struct pk_draw draw = {pk_request_caller(arena, req, use->params), use->seed};
    pk_str messages, params;
    struct pk_prompt p;

    if (use->preview && draw.key.len == 0)
        draw.key = use->vars;
    if (!pk_store_prompt_load(s, arena, use->reference, draw, &p, err) ||
        !pk_prompt_render(arena, &p, use->vars, &messages, err) ||
        !pk_prompt_params(arena, &p, use->params, &params, err) ||
        !pk_request_body(arena, messages, params, req, err))
        return false;
    req->prompt = pk_prompt_label(arena, &p);
    use->virtual_key = p.virtual_key;
    return use->config.len > 0 || use->no_config || use->preview ||
           pk_prompt_config(arena, &p, &use->config, err);
}

/* --- putting --------------------------------------------------------------------------- */

static bool check_target(struct pk_store *s, struct pk_arena *arena, const struct pk_prompt *p,
                         int64_t now_us, struct pk_error *err)
{
    pk_str reference;

    if (p->config.len == 0 && p->virtual_key.len == 0)
        return true; /* the caller gives one */
    if (!pk_prompt_config(arena, p, &reference, err))
        return false;
    return pk_store_reference_check(s, arena, reference, now_us, err);
}

/* Those that are named in the template itself; theirs were checked when they were put. A partial
 * may name itself. */
static bool check_partials(struct pk_store *s, struct pk_arena *arena, const struct pk_prompt *p,
                           struct pk_error *err)
{
    struct pk_names names = {.count = 0};

    if (!pk_prompt_partials(arena, p->template, &names, err))
        return false;
    for (int i = 0; i < names.count; i++) {
        pk_str reference = partial_reference(arena, names.list[i]);
        struct pk_prompt unused;

        if (!pk_str_eq(reference, p->slug) &&
            !pk_store_prompt_get(s, arena, reference, (struct pk_draw){.seed = 1}, &unused, err))
            return false;
    }
    return true;
}

/* Equal documents have equal hashes, however they were spelled. */
static bool hash_document(struct pk_arena *arena, const struct pk_prompt *p,
                          uint8_t hash[PK_PAYLOAD_HASH_BYTES], struct pk_error *err)
{
    struct pk_buf text = pk_buf_in(arena, PK_BODY_BYTES_MAX), canonical = text;
    struct pk_json doc;

    pk_prompt_print(p, &text);
    if (text.failed || !pk_json_parse(arena, pk_buf_str(&text), "prompt", &doc, err))
        return pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
    pk_json_canonical(&canonical, &doc, 0, NULL);
    pk_payload_hash(pk_buf_str(&canonical), hash);
    return !canonical.failed || pk_fail(err, PK_NO_MEMORY, "prompt: out of memory");
}

static bool insert(struct pk_store *s, const struct pk_prompt *p, const uint8_t *hash,
                   int64_t now_us, int64_t *version, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_required(p->slug),
        pk_v_int(now_us),
        pk_v_blob(hash, PK_PAYLOAD_HASH_BYTES),
        pk_v_required(p->template),
        pk_v_text(p->model),
        pk_v_text(p->parameters),
        pk_v_text(p->config),
        pk_v_text(p->virtual_key),
        pk_v_text(p->name),
        pk_v_text(p->description),
        pk_v_text(p->details),
    };

    return s->ops->exec(s, PK_SQL_prompt_put, args, PK_COUNT(args), pk_row_int, version, err);
}

static pk_str detail_of(struct pk_arena *arena, int64_t version)
{
    return pk_copyf(arena, "{\"version\":%lld}", (long long)version);
}

static bool parse_draft(struct pk_arena *arena, const struct pk_prompt_draft *draft,
                        struct pk_prompt *p, struct pk_error *err)
{
    return is_partial(draft->slug)
               ? pk_prompt_parse_partial(arena, draft->text, draft->plain_text, p, err)
               : pk_prompt_parse(arena, draft->text, draft->plain_text, p, err);
}

bool pk_store_prompt_put(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_prompt_draft *draft, int64_t *version,
                         struct pk_error *err)
{
    uint8_t hash[PK_PAYLOAD_HASH_BYTES];
    struct pk_prompt p, before;
    struct prompt_row latest = {.arena = arena, .p = &before};

    if (!check_slug(draft->slug, err) || !parse_draft(arena, draft, &p, err))
        return false;
    p.slug = draft->slug;
    if (!check_target(s, arena, &p, draft->at_us, err) || !check_partials(s, arena, &p, err) ||
        !hash_document(arena, &p, hash, err) || !s->ops->begin(s, err))
        return false;
    bool ok = get_version(s, p.slug, 0, &latest, err), same = false;
    if (ok)
        same = latest.found && memcmp(latest.hash, hash, sizeof hash) == 0;
    *version = before.version;
    ok = ok && (same || insert(s, &p, hash, draft->at_us, version, err));
    const struct pk_change change = {draft->at_us, "prompt_put", p.slug,
                                     detail_of(arena, *version)};
    return pk_store_change_end(s, ok, same ? NULL : &change, err);
}

/* --- publishing ------------------------------------------------------------------------ */

static bool check_label(pk_str label, struct pk_error *err)
{
    int64_t number;

    if (pk_str_is(label, "latest") || pk_str_int(label, &number))
        return pk_fail(err, PK_BAD_REQUEST, "label: must not be \"latest\" or a number");
    return pk_slug_check(label, err);
}

static bool check_publication(const struct pk_publication *what, pk_str label, struct pk_error *err)
{
    if (what->version < 1)
        return pk_fail(err, PK_BAD_REQUEST, "version: versions count from 1");
    if (what->weight < PK_WEIGHT_ALONE || what->weight > PK_ARM_WEIGHT_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "weight: must be 0..%d", PK_ARM_WEIGHT_MAX);
    return check_slug(what->slug, err) && check_label(label, err);
}

/* `version` 0: of every version; `label` empty: every label. */
static bool drop_label(struct pk_store *s, pk_str slug, pk_str label, int64_t version,
                       struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug), pk_v_text(label),
                                    pk_v_int_unless(version == 0, version)};

    return s->ops->exec(s, PK_SQL_prompt_label_drop, args, PK_COUNT(args), NULL, NULL, err);
}

static bool put_label(struct pk_store *s, const struct pk_publication *what, pk_str label,
                      struct pk_error *err)
{
    int64_t weight = what->weight == PK_WEIGHT_ALONE ? WEIGHT_ALONE : what->weight;
    const struct pk_value args[] = {pk_v_required(what->slug), pk_v_required(label),
                                    pk_v_int(what->version), pk_v_int(weight),
                                    pk_v_int(what->at_us)};

    return s->ops->exec(s, PK_SQL_prompt_label_put, args, PK_COUNT(args), NULL, NULL, err);
}

static bool set_label(struct pk_store *s, const struct pk_publication *what, pk_str label,
                      struct pk_error *err)
{
    struct arms arms;

    if (what->weight == 0)
        return drop_label(s, what->slug, label, what->version, err);
    if (what->weight == PK_WEIGHT_ALONE)
        return drop_label(s, what->slug, label, 0, err) && put_label(s, what, label, err);
    if (!put_label(s, what, label, err) || !get_arms(s, what->slug, label, &arms, err))
        return false;
    return arms.count <= PK_ARMS_MAX ||
           pk_fail(err, PK_BAD_REQUEST, "label \"%.*s\": names %d versions already", PK_FMT(label),
                   PK_ARMS_MAX);
}

bool pk_store_prompt_publish(struct pk_store *s, struct pk_arena *arena,
                             const struct pk_publication *what, struct pk_error *err)
{
    pk_str label = what->label.len ? what->label : pk_str_of(default_label);
    struct pk_prompt p;
    struct prompt_row row = {.arena = arena, .p = &p};
    struct pk_buf detail = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);

    if (!check_publication(what, label, err) || !s->ops->begin(s, err))
        return false;
    bool ok = get_version(s, what->slug, what->version, &row, err);
    if (ok && !row.found)
        ok = pk_fail(err, PK_NOT_FOUND, "prompt \"%.*s\": has no version %lld", PK_FMT(what->slug),
                     (long long)what->version);
    ok = ok && set_label(s, what, label, err);
    pk_buf_addf(&detail, "{\"version\":%lld,\"label\":\"%.*s\"", (long long)what->version,
                PK_FMT(label));
    if (what->weight != PK_WEIGHT_ALONE)
        pk_buf_addf(&detail, ",\"weight\":%lld", (long long)what->weight);
    pk_buf_addc(&detail, '}');
    const struct pk_change change = {what->at_us, "prompt_publish", what->slug,
                                     pk_buf_str(&detail)};
    return pk_store_change_end(s, ok, &change, err);
}

/* --- deleting -------------------------------------------------------------------------- */

bool pk_store_prompt_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                            struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug), pk_v_int(now_us)};

    *existed = false;
    if (!check_slug(slug, err) || !s->ops->begin(s, err))
        return false;
    bool ok =
        (!is_partial(slug) || pk_store_unused(s, PK_USED_PROMPT, slug, err)) &&
        s->ops->exec(s, PK_SQL_prompt_archive, args, PK_COUNT(args), pk_row_mark, existed, err) &&
        drop_label(s, slug, PK_NONE, 0, err);
    const struct pk_change change = {now_us, "prompt_delete", slug, PK_NONE};
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}
