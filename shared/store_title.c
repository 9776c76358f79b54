/* store_title.c - see store_title.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_title.h"

#include "store_value.h"

enum { NAME_BYTES_MAX = 256, NOTE_BYTES_MAX = 4096 };

struct title_row {
    struct pk_arena *arena;
    struct pk_title *title;
};

static bool read_title(void *ctx, const struct pk_value *v, int count)
{
    struct title_row *row = ctx;
    struct pk_title *t = row->title;

    PK_ASSERT(count == 6);
    t->name = pk_copy(row->arena, v[1].s);
    t->note = pk_copy(row->arena, v[2].s);
    t->details = pk_copy(row->arena, v[3].s);
    t->created_us = v[4].i;
    t->updated_us = v[5].i;
    return false;
}

bool pk_store_title_get(struct pk_store *s, struct pk_arena *arena, const char *kind, pk_str slug,
                        struct pk_title *title, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(pk_str_of(kind)), pk_v_required(slug)};
    struct title_row row = {arena, title};

    *title = (struct pk_title){.kind = kind, .slug = slug};
    return s->ops->exec(s, PK_SQL_titles, args, PK_COUNT(args), read_title, &row, err) &&
           (!arena->failed || pk_fail(err, PK_NO_MEMORY, "name: out of memory"));
}

bool pk_store_title_put(struct pk_store *s, const struct pk_title *t, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_required(pk_str_of(t->kind)),
        pk_v_required(t->slug),
        pk_v_text(t->name),
        pk_v_text(t->note),
        pk_v_text(t->details),
        pk_v_int(t->updated_us),
    };

    if (t->name.len > NAME_BYTES_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "name: must be at most %d bytes", NAME_BYTES_MAX);
    if (t->note.len + t->details.len > NOTE_BYTES_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "note: must be at most %d bytes", NOTE_BYTES_MAX);
    return s->ops->exec(s, PK_SQL_title_put, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_title_delete(struct pk_store *s, const char *kind, pk_str slug, bool *existed,
                           struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(pk_str_of(kind)), pk_v_required(slug)};

    *existed = false;
    return s->ops->exec(s, PK_SQL_title_delete, args, PK_COUNT(args), pk_row_mark, existed, err);
}
