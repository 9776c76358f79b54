/* payload.c - see payload.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "payload.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { LEVEL = 1 }; /* chat JSON of 600 bytes: to 54 % in 5 us; level 3: to 53 % in 6 us */

struct pk_packer {
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    char *packed, *texts; /* the last pack that was read, and what is in it */
    size_t packed_len, texts_len;
};

static void forget_pack(struct pk_packer *p)
{
    free(p->packed);
    free(p->texts);
    p->packed = p->texts = NULL;
    p->packed_len = p->texts_len = 0;
}

void pk_packer_free(struct pk_packer *p)
{
    if (!p)
        return;
    (void)ZSTD_freeCCtx(p->compressor);
    (void)ZSTD_freeDCtx(p->decompressor);
    forget_pack(p);
    free(p);
}

static struct pk_packer *packer(struct pk_packer **p)
{
    struct pk_packer *made = *p ? *p : calloc(1, sizeof *made);

    if (made && !made->compressor)
        made->compressor = ZSTD_createCCtx();
    if (made && !made->decompressor)
        made->decompressor = ZSTD_createDCtx();
    *p = made;
    return made && made->compressor && made->decompressor ? made : NULL;
}

static bool no_memory(struct pk_error *err)
{
    return pk_fail(err, PK_NO_MEMORY, "payload: out of memory");
}

bool pk_payload_pack(struct pk_packer **p, struct pk_arena *arena, pk_str text,
                     struct pk_payload *out, struct pk_error *err)
{
    *out = (struct pk_payload){PK_ENCODING_PLAIN, text};
    if (text.len <= PK_PAYLOAD_PLAIN_MAX)
        return true;
    struct pk_packer *with = packer(p);
    struct pk_buf room = pk_buf_in(arena, ZSTD_compressBound(text.len));
    char *to = with ? pk_buf_room(&room, room.max) : NULL;

    if (!to)
        return no_memory(err);
    size_t len = ZSTD_compressCCtx(with->compressor, to, room.max, text.at, text.len, LEVEL);
    if (ZSTD_isError(len))
        return pk_fail(err, PK_STORE, "payload: %s", ZSTD_getErrorName(len));
    if (len < text.len)
        *out = (struct pk_payload){PK_ENCODING_ZSTD, {to, len}};
    return true;
}

static bool damaged(struct pk_error *err)
{
    return pk_fail(err, PK_STORE, "payload: damaged");
}

/* How many bytes come out; false when it is not known or more than `max`. */
static bool size_of(pk_str bytes, size_t max, size_t *size, struct pk_error *err)
{
    unsigned long long n = ZSTD_getFrameContentSize(bytes.at, bytes.len);

    if (n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR || n > max)
        return pk_fail(err, PK_STORE, "payload: damaged, or larger than %zu bytes", max);
    *size = (size_t)n;
    return true;
}

static bool decompress(struct pk_packer *with, pk_str bytes, char *to, size_t size,
                       struct pk_error *err)
{
    size_t len = ZSTD_decompressDCtx(with->decompressor, to, size, bytes.at, bytes.len);

    return (!ZSTD_isError(len) && len == size) || damaged(err);
}

static bool unpack_zstd(struct pk_packer *with, pk_str bytes, struct pk_buf *out, pk_str *text,
                        struct pk_error *err)
{
    size_t size = 0;

    if (!size_of(bytes, out->max - out->len, &size, err))
        return false;
    char *to = pk_buf_room(out, size);
    if (!to)
        return no_memory(err);
    if (!decompress(with, bytes, to, size, err))
        return false;
    out->len += size;
    *text = (pk_str){to, size};
    return true;
}

/* --- packs ----------------------------------------------------------------------------- */

/* Texts one behind the other, each after its length in four bytes, the lowest first. */
enum { LENGTH_BYTES = 4 };

struct pk_pack {
    ZSTD_CCtx *compressor;
    int count;
    size_t len;
    char texts[PK_PACK_BYTES_MAX];
    char packed[ZSTD_COMPRESSBOUND(PK_PACK_BYTES_MAX)];
};

struct pk_pack *pk_pack_new(void)
{
    struct pk_pack *p = malloc(sizeof *p);

    if (!p)
        return NULL;
    p->compressor = ZSTD_createCCtx();
    pk_pack_empty(p);
    if (p->compressor)
        return p;
    free(p);
    return NULL;
}

void pk_pack_free(struct pk_pack *p)
{
    if (!p)
        return;
    (void)ZSTD_freeCCtx(p->compressor);
    free(p);
}

void pk_pack_empty(struct pk_pack *p)
{
    p->count = 0;
    p->len = 0;
}

int pk_pack_add(struct pk_pack *p, pk_str text)
{
    char *to = p->texts + p->len;

    if (p->count == PK_PACK_TEXTS_MAX || text.len > PK_PACK_TEXT_MAX ||
        text.len + LENGTH_BYTES > sizeof p->texts - p->len)
        return -1;
    for (int i = 0; i < LENGTH_BYTES; i++)
        to[i] = (char)(text.len >> 8 * i & 0xff);
    if (text.len)
        memcpy(to + LENGTH_BYTES, text.at, text.len);
    p->len += LENGTH_BYTES + text.len;
    return p->count++;
}

bool pk_pack_close(struct pk_pack *p, struct pk_payload *out, struct pk_error *err)
{
    size_t len =
        ZSTD_compressCCtx(p->compressor, p->packed, sizeof p->packed, p->texts, p->len, LEVEL);

    *out = (struct pk_payload){PK_ENCODING_PACK, {p->packed, ZSTD_isError(len) ? 0 : len}};
    return !ZSTD_isError(len) || pk_fail(err, PK_STORE, "payload: %s", ZSTD_getErrorName(len));
}

int64_t pk_pack_place(int64_t id, int index)
{
    PK_ASSERT(id > 0 && index >= 0 && index < PK_PACK_TEXTS_MAX);
    return -(id * PK_PACK_TEXTS_MAX + index);
}

int64_t pk_pack_id(int64_t place)
{
    PK_ASSERT(place < 0);
    return -place / PK_PACK_TEXTS_MAX;
}

int pk_pack_index(int64_t place)
{
    PK_ASSERT(place < 0);
    return (int)(-place % PK_PACK_TEXTS_MAX);
}

/* Rows that follow each other mostly refer to the same pack. */
static bool open_pack(struct pk_packer *with, pk_str bytes, struct pk_error *err)
{
    size_t size = 0;

    if (with->packed && pk_str_eq((pk_str){with->packed, with->packed_len}, bytes))
        return true;
    forget_pack(with);
    if (!size_of(bytes, PK_PACK_BYTES_MAX, &size, err))
        return false;
    with->packed = malloc(bytes.len);
    with->texts = malloc(size + 1);
    if (!with->packed || !with->texts) {
        forget_pack(with);
        return no_memory(err);
    }
    if (!decompress(with, bytes, with->texts, size, err)) {
        forget_pack(with);
        return false;
    }
    memcpy(with->packed, bytes.at, bytes.len);
    with->packed_len = bytes.len;
    with->texts_len = size;
    return true;
}

/* Takes the first text of what is left. */
static bool take_text(pk_str *rest, pk_str *text)
{
    size_t len = 0;

    if (rest->len < LENGTH_BYTES)
        return false;
    for (int i = 0; i < LENGTH_BYTES; i++)
        len |= (size_t)(unsigned char)rest->at[i] << 8 * i;
    if (len > rest->len - LENGTH_BYTES)
        return false;
    *text = pk_str_sub(*rest, LENGTH_BYTES, len);
    *rest = pk_str_sub(*rest, LENGTH_BYTES + len, rest->len);
    return true;
}

static bool unpack_one(struct pk_packer *with, const struct pk_stored *stored, struct pk_buf *out,
                       pk_str *text, struct pk_error *err)
{
    int64_t index = stored->place < 0 ? -stored->place % PK_PACK_TEXTS_MAX : PK_PACK_TEXTS_MAX;
    pk_str found = PK_NONE;

    if (!open_pack(with, stored->bytes, err))
        return false;
    pk_str rest = {with->texts, with->texts_len};
    for (int64_t i = 0; i <= index; i++)
        if (!take_text(&rest, &found))
            return damaged(err);
    size_t at = out->len;
    pk_buf_add(out, found);
    *text = out->failed ? PK_NONE : (pk_str){out->at + at, found.len};
    return !out->failed || no_memory(err);
}

bool pk_pack_without(struct pk_packer **with, pk_str bytes, const bool blank[PK_PACK_TEXTS_MAX],
                     struct pk_pack *p, int *left, struct pk_error *err)
{
    struct pk_packer *w = packer(with);
    pk_str text;

    *left = 0;
    if (!w)
        return no_memory(err);
    if (!open_pack(w, bytes, err))
        return false;
    for (pk_str rest = {w->texts, w->texts_len}; rest.len;) {
        if (!take_text(&rest, &text) || p->count == PK_PACK_TEXTS_MAX)
            return damaged(err);
        int index = pk_pack_add(p, blank[p->count] ? PK_NONE : text);
        if (index < 0)
            return damaged(err);
        *left += text.len > 0 && !blank[index];
    }
    return true;
}

/* --- any of them --------------------------------------------------------------------------- */

bool pk_payload_unpack(struct pk_packer **p, const struct pk_stored *stored, struct pk_buf *out,
                       pk_str *text, struct pk_error *err)
{
    struct pk_packer *own = NULL;

    if (stored->encoding == PK_ENCODING_PLAIN) {
        *text = stored->bytes;
        return true;
    }
    if (stored->encoding != PK_ENCODING_ZSTD && stored->encoding != PK_ENCODING_PACK)
        return pk_fail(err, PK_STORE, "payload: encoding %lld is of a newer version",
                       (long long)stored->encoding);
    struct pk_packer *with = packer(p ? p : &own);
    bool ok = !with ? no_memory(err)
              : stored->encoding == PK_ENCODING_ZSTD
                  ? unpack_zstd(with, stored->bytes, out, text, err)
                  : unpack_one(with, stored, out, text, err);
    pk_packer_free(own);
    return ok;
}

uint32_t pk_payload_check(pk_str text)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES];
    uint64_t hash;

    (void)crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text.at, text.len, key);
    return (uint32_t)hash;
}

void pk_payload_hash(pk_str text, uint8_t hash[PK_PAYLOAD_HASH_BYTES])
{
    (void)crypto_generichash(hash, PK_PAYLOAD_HASH_BYTES, (const unsigned char *)text.at, text.len,
                             NULL, 0);
}
