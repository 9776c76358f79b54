/* store_payload.c - see store_payload.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A pack's row is there, empty, from its first text on, so that its number is known; it gets its bytes when it is
 * full or the transaction ends. Recent texts are kept, with where they are: comparing costs less than a hash that
 * nobody can find two texts for. A place holds until the retention takes it, so none is used for longer than the
 * shortest that makes sense.
 */
#include "store_payload.h"

#include "store_value.h"

#include <stdlib.h>
#include <string.h>

enum {
    RECENTS = 1024,
    KEPT_BYTES = 1 << 20, /* of recent texts */
    KEPT_MAX = KEPT_BYTES / 8,
    SAMPLES = 16,
    MARK_BYTES = 16,
};

static const int64_t us_per_day = 86400000000;

/* A text that came; place 0: the slot is free. */
struct recent {
    uint64_t from; /* where it is among the bytes that were ever kept */
    size_t len;
    int64_t place, at_us;
};

struct pk_packing {
    struct pk_pack *pack;
    int64_t id, newest_us; /* id 0: no pack is open */
    struct recent recents[RECENTS];
    uint64_t kept; /* bytes, ever; the last KEPT_BYTES are there, one behind the other and around */
    char texts[KEPT_BYTES];
};

struct pk_packing *pk_packing_new(void)
{
    struct pk_packing *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->pack = pk_pack_new();
    if (p->pack)
        return p;
    free(p);
    return NULL;
}

void pk_packing_free(struct pk_packing *p)
{
    if (!p)
        return;
    pk_pack_free(p->pack);
    free(p);
}

void pk_packing_begin(struct pk_packing *p, bool kept)
{
    if (!p)
        return;
    p->id = 0;
    pk_pack_empty(p->pack);
    if (!kept)
        memset(p->recents, 0, sizeof p->recents);
}

/* --- rows of their own --------------------------------------------------------------------- */

struct put {
    struct pk_store *store;
    struct pk_arena *scratch;
    int64_t at_us;
    struct pk_error *err;
};

struct row {
    int64_t id, created_us;
};

static bool read_row(void *ctx, const struct pk_value *columns, int count)
{
    struct row *row = ctx;

    row->id = columns[0].i;
    row->created_us = count > 1 ? columns[1].i : 0;
    return true;
}

static bool find(const struct put *p, const uint8_t *hash, struct row *row)
{
    const struct pk_value args[] = {pk_v_blob(hash, PK_PAYLOAD_HASH_BYTES)};

    *row = (struct row){0, 0};
    return p->store->ops->exec(p->store, PK_SQL_payload_find, args, PK_COUNT(args), read_row, row,
                               p->err);
}

/* A payload in use again is kept longer, noted at most once in touch_us. */
static bool touch(const struct put *p, const struct row *row)
{
    const struct pk_value args[] = {pk_v_int(row->id), pk_v_int(p->at_us)};
    int64_t touch_us = p->store->payload_touch_us ? p->store->payload_touch_us : us_per_day;

    return p->at_us - row->created_us < touch_us ||
           p->store->ops->exec(p->store, PK_SQL_payload_touch, args, PK_COUNT(args), NULL, NULL,
                               p->err);
}

static bool insert(const struct put *p, pk_str text, const uint8_t *hash, struct row *row)
{
    struct pk_payload packed;

    if (!pk_payload_pack(&p->store->packer, p->scratch, text, &packed, p->err))
        return false;
    const struct pk_value args[] = {
        pk_v_blob(hash, PK_PAYLOAD_HASH_BYTES),
        pk_v_int(p->at_us),
        pk_v_int(packed.encoding),
        pk_v_blob(packed.bytes.at, packed.bytes.len),
    };
    return p->store->ops->exec(p->store, PK_SQL_payload_put, args, PK_COUNT(args), read_row, row,
                               p->err);
}

static bool put_row(const struct put *p, pk_str text, int64_t *place)
{
    uint8_t hash[PK_PAYLOAD_HASH_BYTES];
    struct row row;

    pk_payload_hash(text, hash);
    if (!find(p, hash, &row))
        return false;
    bool ok = row.id ? touch(p, &row) : insert(p, text, hash, &row);
    if (ok && row.id == 0) /* the engine does not say, or somebody else put it there in between */
        ok = find(p, hash, &row);
    *place = row.id;
    return ok;
}

/* --- packs ----------------------------------------------------------------------------------- */

static bool begin_pack(const struct put *p, struct pk_packing *k)
{
    uint8_t mark[MARK_BYTES]; /* where other payloads have their hash */
    struct row row = {0, 0};

    pk_secret_random(mark, sizeof mark);
    const struct pk_value args[] = {pk_v_blob(mark, sizeof mark), pk_v_int(p->at_us)};
    if (!p->store->ops->exec(p->store, PK_SQL_pack_begin, args, PK_COUNT(args), read_row, &row,
                             p->err))
        return false;
    k->id = row.id;
    k->newest_us = p->at_us;
    return k->id > 0 || pk_fail(p->err, PK_STORE, "payload: the store gave no number");
}

bool pk_store_packing_end(struct pk_store *s, struct pk_error *err)
{
    struct pk_packing *k = s->packing;
    struct pk_payload packed;

    if (!k || k->id == 0)
        return true;
    if (!pk_pack_close(k->pack, &packed, err))
        return false;
    const struct pk_value args[] = {pk_v_int(k->id), pk_v_int(k->newest_us),
                                    pk_v_int(packed.encoding),
                                    pk_v_blob(packed.bytes.at, packed.bytes.len)};
    k->id = 0;
    pk_pack_empty(k->pack);
    return s->ops->exec(s, PK_SQL_pack_end, args, PK_COUNT(args), NULL, NULL, err);
}

static bool put_packed(const struct put *p, pk_str text, int64_t *place)
{
    struct pk_packing *k = p->store->packing;

    if (k->id == 0 && !begin_pack(p, k))
        return false;
    int index = pk_pack_add(k->pack, text);
    if (index < 0) {
        if (!pk_store_packing_end(p->store, p->err) || !begin_pack(p, k))
            return false;
        index = pk_pack_add(k->pack, text);
    }
    PK_ASSERT(index >= 0); /* an empty pack takes any text of PK_PACK_TEXT_MAX bytes */
    if (p->at_us > k->newest_us)
        k->newest_us = p->at_us;
    *place = pk_pack_place(k->id, index);
    return true;
}

/* --- any ------------------------------------------------------------------------------------- */

/* Where the text would be, if it came before. Texts that differ may have the same slot. */
static struct recent *slot_of(struct pk_packing *k, pk_str text)
{
    size_t step = text.len / SAMPLES > sizeof(uint64_t) ? text.len / SAMPLES : sizeof(uint64_t);
    uint64_t mix = text.len;

    for (size_t i = 0; i < text.len; i += step) {
        uint64_t word = 0;

        memcpy(&word, text.at + i, text.len - i < sizeof word ? text.len - i : sizeof word);
        mix = (mix ^ word) * 0x9e3779b97f4a7c15;
        mix ^= mix >> 32;
    }
    return &k->recents[mix % RECENTS];
}

/* In one piece, over the oldest. */
static void keep(struct pk_packing *k, struct recent *r, pk_str text)
{
    size_t left = KEPT_BYTES - k->kept % KEPT_BYTES;

    if (left < text.len)
        k->kept += left;
    r->from = k->kept;
    r->len = text.len;
    memcpy(k->texts + k->kept % KEPT_BYTES, text.at, text.len);
    k->kept += text.len;
}

static bool is_kept(const struct pk_packing *k, const struct recent *r, pk_str text)
{
    return r->place && r->len == text.len && k->kept - r->from <= KEPT_BYTES &&
           memcmp(k->texts + r->from % KEPT_BYTES, text.at, text.len) == 0;
}

static bool is_fresh(const struct recent *r, int64_t at_us)
{
    return at_us - r->at_us < PK_PACKED_AGAIN_US && r->at_us - at_us < PK_PACKED_AGAIN_US;
}

bool pk_store_payload_put(struct pk_store *s, struct pk_arena *scratch, pk_str text, int64_t at_us,
                          int64_t *place, struct pk_error *err)
{
    const struct put p = {s, scratch, at_us, err};

    if (!s->packing)
        return put_row(&p, text, place);
    if (text.len > KEPT_MAX)
        return put_row(&p, text, place);
    struct recent *r = slot_of(s->packing, text);
    bool kept = is_kept(s->packing, r, text);
    if (!kept || !is_fresh(r, at_us)) {
        r->place = 0;
        r->at_us = at_us;
        if (!(text.len > PK_PACK_TEXT_MAX ? put_row : put_packed)(&p, text, &r->place))
            return false;
        if (!kept)
            keep(s->packing, r, text);
    }
    *place = r->place;
    return true;
}
