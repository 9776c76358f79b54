/* payload.h - what was sent and answered, as the store keeps it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Large texts are compressed with zstd (RFC 8878), small ones stay as they are. A text is known by
 * the BLAKE2b-256 hash of its bytes, so that it is stored once.
 *
 * Texts that are written together are compressed together, as a pack: that takes a third of the time and half of
 * the room, and what many of them begin with is there once. Whoever refers to a text in a pack has its
 * place, a negative number; the number of a payload that is one text is positive.
 */
#ifndef PK_PAYLOAD_H
#define PK_PAYLOAD_H

#include "buf.h"

enum {
    PK_PAYLOAD_HASH_BYTES = 32,
    PK_PAYLOAD_PLAIN_MAX = 256,
    PK_PACK_TEXTS_MAX = 1024, /* sql/build.awk has this number too */
    PK_PACK_BYTES_MAX = 64 << 10,
    PK_PACK_TEXT_MAX = 32 << 10, /* a longer one is a payload of its own */
};

/* As numbers in the store's tables. */
enum pk_encoding { PK_ENCODING_PLAIN = 0, PK_ENCODING_ZSTD = 1, PK_ENCODING_PACK = 2 };

struct pk_payload {
    enum pk_encoding encoding;
    pk_str bytes;
};

/* What compressing and decompressing need again and again; made at first use. */
struct pk_packer;
void pk_packer_free(struct pk_packer *p); /* NULL is fine */

/* `text` as it is to be stored, in `arena` or borrowed from `text`. *p may start as NULL. */
bool pk_payload_pack(struct pk_packer **p, struct pk_arena *arena, pk_str text,
                     struct pk_payload *out, struct pk_error *err) PK_MUST_CHECK;

/* As it is stored; `place` is by which it is referred to, and matters in a pack. */
struct pk_stored {
    int64_t encoding, place;
    pk_str bytes;
};

/* Appends the text to `out`, or borrows: *text is what was stored. PK_STORE when the bytes are damaged
 * or larger than out->max. `p` may be NULL; one that stays makes many texts of one pack cheap. */
bool pk_payload_unpack(struct pk_packer **p, const struct pk_stored *stored, struct pk_buf *out,
                       pk_str *text, struct pk_error *err) PK_MUST_CHECK;

/* --- packs ----------------------------------------------------------------------------- */

struct pk_pack;
struct pk_pack *pk_pack_new(void); /* NULL: no memory */
void pk_pack_free(struct pk_pack *p);
void pk_pack_empty(struct pk_pack *p);
/* Which one it is, from 0; -1: it does not fit. */
int pk_pack_add(struct pk_pack *p, pk_str text);
/* All of them as they are to be stored; borrowed from `p` until it is emptied. */
bool pk_pack_close(struct pk_pack *p, struct pk_payload *out, struct pk_error *err) PK_MUST_CHECK;
/* The place of text number `index` in the payload `id`, and back. */
int64_t pk_pack_place(int64_t id, int index);
int64_t pk_pack_id(int64_t place);
int pk_pack_index(int64_t place);
/* Puts the texts of a stored pack into `p`, which is empty, with nothing in place of those that `blank` marks; *left
 * is how many still say something. */
bool pk_pack_without(struct pk_packer **with, pk_str bytes, const bool blank[PK_PACK_TEXTS_MAX],
                     struct pk_pack *p, int *left, struct pk_error *err) PK_MUST_CHECK;

/* Tells whether a text is damaged; not against those who make one that looks whole. */
uint32_t pk_payload_check(pk_str text);

void pk_payload_hash(pk_str text, uint8_t hash[PK_PAYLOAD_HASH_BYTES]);

#endif
