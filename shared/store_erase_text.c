/* store_erase_text.c - see store_erase_text.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A text of its own is a row, which is deleted. One in a pack is left out of it, and the others keep their places; a
 * pack that says nothing any more is deleted.
 */
#include "store_erase_text.h"

#include "store_value.h"

#include <stdlib.h>
#include <string.h>

static int by_place(const void *a, const void *b)
{
    int64_t x = ((const struct pk_erase_text *)a)->place,
            y = ((const struct pk_erase_text *)b)->place;

    return x < y ? -1 : x > y;
}

void pk_erase_texts_sort(struct pk_erase_texts *t)
{
    int kept = 0;

    if (t->count == 0)
        return;
    qsort(t->at, (size_t)t->count, sizeof *t->at, by_place);
    for (int i = 0; i < t->count; i++)
        if (i == 0 || t->at[i].place != t->at[kept - 1].place)
            t->at[kept++] = t->at[i];
    t->count = kept;
}

static struct pk_erase_text *find(const struct pk_erase_texts *t, int64_t place)
{
    const struct pk_erase_text wanted = {.place = place};

    return t->count == 0 || place == 0
               ? NULL
               : bsearch(&wanted, t->at, (size_t)t->count, sizeof *t->at, by_place);
}

void pk_erase_texts_keep(struct pk_erase_texts *t, int64_t place)
{
    struct pk_erase_text *text = find(t, place);

    if (text)
        text->stays = true;
}

/* --- rows of their own ------------------------------------------------------------------------- */

static bool delete_row(struct pk_store *s, int64_t id, bool *was, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(id)};

    return s->ops->exec(s, PK_SQL_erase_payload, args, PK_COUNT(args), pk_row_mark, was, err);
}

static bool delete_text(struct pk_store *s, int64_t id, int64_t *gone, struct pk_error *err)
{
    bool was = false;
    bool ok = delete_row(s, id, &was, err);

    *gone += was;
    return ok;
}

/* --- packs ------------------------------------------------------------------------------------- */

struct repack {
    struct pk_store *store;
    struct pk_pack *pack;
    bool blank[PK_PACK_TEXTS_MAX];
    int left;
    bool found, failed;
    struct pk_error *err;
};

static bool read_pack(void *ctx, const struct pk_value *columns, int count)
{
    struct repack *r = ctx;

    PK_ASSERT(count == 1);
    r->found = true;
    r->failed =
        !pk_pack_without(&r->store->packer, columns[0].s, r->blank, r->pack, &r->left, r->err);
    return false;
}

static bool write_pack(struct repack *r, int64_t id)
{
    struct pk_payload packed;
    bool was;

    if (r->left == 0)
        return delete_row(r->store, id, &was, r->err);
    if (!pk_pack_close(r->pack, &packed, r->err))
        return false;
    const struct pk_value args[] = {pk_v_int(id), pk_v_blob(packed.bytes.at, packed.bytes.len)};
    return r->store->ops->exec(r->store, PK_SQL_erase_pack_put, args, PK_COUNT(args), NULL, NULL,
                               r->err);
}

static bool repack(struct repack *r, int64_t id)
{
    const struct pk_value args[] = {pk_v_int(id)};

    r->found = r->failed = false;
    pk_pack_empty(r->pack);
    return r->store->ops->exec(r->store, PK_SQL_erase_pack_get, args, PK_COUNT(args), read_pack, r,
                               r->err) &&
           !r->failed && (!r->found || write_pack(r, id));
}

/* The pack of the first of these places, without those of the same pack that follow it. */
static bool blank_texts(struct repack *r, const int64_t *places, int count, int *taken)
{
    int64_t id = pk_pack_id(places[0]);
    int i = 0;

    memset(r->blank, 0, sizeof r->blank);
    for (; i < count && pk_pack_id(places[i]) == id; i++)
        r->blank[pk_pack_index(places[i])] = true;
    *taken = i;
    return repack(r, id);
}

static bool blank_packs(struct pk_store *s, const int64_t *places, int count, int64_t *gone,
                        struct pk_error *err)
{
    struct repack *r = count ? calloc(1, sizeof *r) : NULL;
    bool ok = true;

    if (count == 0)
        return true;
    if (r)
        r->pack = pk_pack_new();
    if (!r || !r->pack) {
        free(r);
        return pk_fail(err, PK_NO_MEMORY, "erase: out of memory");
    }
    r->store = s;
    r->err = err;
    for (int i = 0, taken = 0; ok && i < count; i += taken) {
        ok = blank_texts(r, places + i, count - i, &taken);
        *gone += r->found ? taken : 0;
    }
    pk_pack_free(r->pack);
    free(r);
    return ok;
}

/* --- any --------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

bool pk_store_erase_texts(struct pk_store *s, struct pk_erase_texts *t, const int64_t *places,
                          int count, int64_t *gone, struct pk_error *err)
{
    int64_t *go = malloc(((size_t)count + 1) * sizeof *go);
    int n = 0, packed = 0;

    if (!go)
        return pk_fail(err, PK_NO_MEMORY, "erase: out of memory");
    for (int i = 0; i < count; i++) {
        struct pk_erase_text *text = find(t, places[i]);

        if (!text || text->stays)
            continue;
        text->stays = true; /* it is seen to */
        go[n++] = text->place;
    }
    qsort(go, (size_t)n, sizeof *go, by_number);
    while (packed < n && go[packed] < 0)
        packed++;
    bool ok = blank_packs(s, go, packed, gone, err);
    for (int i = packed; ok && i < n; i++)
        ok = delete_text(s, go[i], gone, err);
    free(go);
    return ok;
}
