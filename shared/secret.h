/* secret.h - provider keys at rest, and the moment in which one is opened.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A stored key is sealed with XChaCha20-Poly1305 under the master key; slug, provider and
 * origin are bound to it as associated data, so that nobody who may edit rows can send a
 * key elsewhere or swap two. The master key is 32 bytes in a file of mode 0600 that belongs
 * to the user of the process; it is kept in locked memory.
 */
#ifndef PK_SECRET_H
#define PK_SECRET_H

#include "buf.h"
#include "config.h"

enum { PK_SECRET_BYTES_MAX = 8192, PK_SECRET_HASH_BYTES = 16 };

struct pk_secrets;

/* Reads the master key from `path`; when there is no such file and `create`, makes one (and its
 * folder, 0700). Refuses a file that others can read, a symbolic link, and any other size. The
 * error names the path. */
struct pk_secrets *pk_secrets_open(const char *path, bool create,
                                   struct pk_error *err) PK_MUST_CHECK;
void pk_secrets_free(struct pk_secrets *s);

/* "$XDG_DATA_HOME/pk/NAME", else the same in ~/.local/share. */
bool pk_secrets_data_path(const char *name, char *out, size_t size,
                          struct pk_error *err) PK_MUST_CHECK;
/* Where the master key of the SQLite store at `store_path` is: PK_MASTER_KEY_FILE, else "master.key" in
 * the store's folder, so that all doors on one store find the same; for ":memory:" in
 * $XDG_DATA_HOME/pk. PK_BAD_CONFIG when the path is too long. */
bool pk_secrets_path(const char *store_path, char *out, size_t size,
                     struct pk_error *err) PK_MUST_CHECK;

/* "env:NAME" and "file:PATH" (absolute) become references; anything else is sealed into `arena`,
 * without a final newline. The result's slug and origin are those given. PK_BAD_REQUEST,
 * PK_TOO_LARGE; PK_BAD_CONFIG when `s` is NULL and needed. */
bool pk_secret_seal(const struct pk_secrets *s, struct pk_arena *arena, pk_str slug,
                    pk_str provider, pk_str origin, pk_str secret, struct pk_key *key,
                    struct pk_error *err) PK_MUST_CHECK;

/* The plaintext, into `out` of PK_SECRET_BYTES_MAX, without a final newline (of a file: its first
 * line, or all of it when it is a JSON object, read anew each time); wipe it with
 * pk_secret_wipe() after use. Fails with PK_NO_KEY (nothing there) or PK_STORE (the seal does not
 * fit the row, or the master key is another); the error names the slug, variable or path. `s` may be NULL
 * for keys that are not sealed. */
bool pk_secret_open(const struct pk_secrets *s, const struct pk_key *key, pk_str provider,
                    char *out, size_t *len, struct pk_error *err) PK_MUST_CHECK;
void pk_secret_wipe(void *bytes, size_t len);

/* All that decides what a sealed key opens to: two that are alike are the same secret. */
enum { PK_SEAL_BYTES = 640 };
struct pk_seal {
    size_t len; /* 0: none */
    unsigned char at[PK_SEAL_BYTES];
};
/* Without length for a key that is not sealed, or has much to it. */
void pk_secret_seal_of(const struct pk_key *key, pk_str provider, struct pk_seal *seal);
bool pk_secret_same_seal(const struct pk_seal *a, const struct pk_seal *b);

/* Bytes from the system's generator. */
void pk_secret_random(void *bytes, size_t len);
/* By which a text that holds a secret is known again: SipHash, which tells nothing to one who does not know the key. */
void pk_secret_hash(const uint8_t key[PK_SECRET_HASH_BYTES], pk_str text,
                    uint8_t hash[PK_SECRET_HASH_BYTES]);
/* A part of it, for tables of what clients choose. */
uint64_t pk_secret_number(const uint8_t key[PK_SECRET_HASH_BYTES], pk_str text);

#endif
