/* payload.c - see payload.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "payload.h"

#include <sodium.h>
#include <stdlib.h>
#include <zstd.h>

enum { LEVEL = 1 }; /* chat JSON of 600 bytes: to 54 % in 5 us; level 3: to 53 % in 6 us */

struct pk_packer {
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
};

void pk_packer_free(struct pk_packer *p)
{
    if (!p)
        return;
    (void)ZSTD_freeCCtx(p->compressor);
    (void)ZSTD_freeDCtx(p->decompressor);
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

static bool unpack_zstd(struct pk_packer *with, pk_str bytes, struct pk_buf *out, pk_str *text,
                        struct pk_error *err)
{
    unsigned long long size = ZSTD_getFrameContentSize(bytes.at, bytes.len);

    if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR ||
        size > out->max - out->len)
        return pk_fail(err, PK_STORE, "payload: damaged, or larger than %zu bytes", out->max);
    char *to = pk_buf_room(out, (size_t)size);
    if (!to)
        return no_memory(err);
    size_t len = ZSTD_decompressDCtx(with->decompressor, to, (size_t)size, bytes.at, bytes.len);
    if (ZSTD_isError(len) || len != size)
        return pk_fail(err, PK_STORE, "payload: damaged");
    out->len += len;
    *text = (pk_str){to, len};
    return true;
}

bool pk_payload_unpack(struct pk_packer **p, int64_t encoding, pk_str bytes, struct pk_buf *out,
                       pk_str *text, struct pk_error *err)
{
    struct pk_packer *own = NULL;

    if (encoding == PK_ENCODING_PLAIN) {
        *text = bytes;
        return true;
    }
    if (encoding != PK_ENCODING_ZSTD)
        return pk_fail(err, PK_STORE, "payload: encoding %lld is of a newer version",
                       (long long)encoding);
    struct pk_packer *with = packer(p ? p : &own);
    bool ok = with ? unpack_zstd(with, bytes, out, text, err) : no_memory(err);
    pk_packer_free(own);
    return ok;
}

void pk_payload_hash(pk_str text, uint8_t hash[PK_PAYLOAD_HASH_BYTES])
{
    (void)crypto_generichash(hash, PK_PAYLOAD_HASH_BYTES, (const unsigned char *)text.at, text.len,
                             NULL, 0);
}
