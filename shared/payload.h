/* payload.h - what was sent and answered, as the store keeps it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Large texts are compressed with zstd (RFC 8878), small ones stay as they are. A text is known by
 * the BLAKE2b-256 hash of its bytes, so that it is stored once.
 */
#ifndef PK_PAYLOAD_H
#define PK_PAYLOAD_H

#include "buf.h"

enum { PK_PAYLOAD_HASH_BYTES = 32, PK_PAYLOAD_PLAIN_MAX = 256 };

/* As numbers in the store's tables. */
enum pk_encoding { PK_ENCODING_PLAIN = 0, PK_ENCODING_ZSTD = 1 };

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

/* Appends the text to `out`, or borrows: *text is what was stored. PK_STORE when the bytes are damaged
 * or larger than out->max. `p` may be NULL. */
bool pk_payload_unpack(struct pk_packer **p, int64_t encoding, pk_str bytes, struct pk_buf *out,
                       pk_str *text, struct pk_error *err) PK_MUST_CHECK;

void pk_payload_hash(pk_str text, uint8_t hash[PK_PAYLOAD_HASH_BYTES]);

#endif
