/* xfer_key.c - the key of a request, from when it is opened until nothing is left of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A key is opened in the vault, and copied once, into the request's headers, which are in the vault too. While it is
 * there, others that go to the same place take it from there instead of opening it again. Curl puts the request
 * together in memory of its own (xfer_memory.c). What a provider says is searched for the key, since errors and
 * answers go to logs, and to people who may use a key without knowing it.
 */
#include "xfer_inner.h"

#include <string.h>

/* Shorter keys cannot be told from ordinary words. An answer that is no error may say anything, and some
 * local servers take any word as their key. */
enum { HIDDEN_BYTES_MIN = 8, HIDDEN_IN_ANSWER_BYTES_MIN = 20 };

bool pk_transfer_room(struct pk_transfer *t, size_t size)
{
    struct pk_bytes *b = &t->text;

    b->len = 0;
    if (size <= b->cap)
        return true;
    pk_transfer_drop_text(t);
    if (size < PK_VAULT_SLOT_BYTES)
        size = PK_VAULT_SLOT_BYTES;
    b->at = pk_vault_take(&t->x->vault, size);
    b->cap = b->at ? size : 0;
    return b->at != NULL;
}

static void forget(struct pk_transfer *t)
{
    t->key_len = 0;
    if (t->to && t->to->open == t)
        t->to->open = NULL;
}

void pk_transfer_wipe(struct pk_transfer *t)
{
    forget(t);
    if (t->text.at)
        pk_secret_wipe(t->text.at, t->text.cap);
    t->text.len = 0;
}

void pk_transfer_drop_text(struct pk_transfer *t)
{
    forget(t);
    pk_vault_give(&t->x->vault, t->text.at, t->text.cap);
    t->text = (struct pk_bytes){0};
}

bool pk_transfer_shared_key(const struct pk_transfer *t, const struct pk_seal *seal, pk_str *key)
{
    const struct pk_transfer *other = t->to->open;

    if (!other || !pk_secret_same_seal(&t->to->seal, seal))
        return false;
    *key = (pk_str){other->text.at + other->key_from, other->key_len};
    return true;
}

void pk_transfer_share_key(struct pk_transfer *t, const struct pk_seal *seal)
{
    t->to->seal = *seal;
    t->to->open = t;
}

static bool hidden(const struct pk_transfer *t)
{
    size_t min = t->status >= 400 ? HIDDEN_BYTES_MIN : HIDDEN_IN_ANSWER_BYTES_MIN;

    return t->key_len >= min;
}

void pk_transfer_hide_key(const struct pk_transfer *t, struct pk_bytes *b, size_t from)
{
    const char *key = t->text.at + t->key_from;

    if (!hidden(t))
        return;
    from = from > t->key_len ? from - t->key_len : 0;
    for (char *at = b->at + from, *end = b->at + b->len;
         (at = memmem(at, (size_t)(end - at), key, t->key_len));)
        memset(at, '*', t->key_len);
}

size_t pk_transfer_held_back(const struct pk_transfer *t)
{
    const char *key = t->text.at + t->key_from, *end = t->fill.at + t->fill.len;
    size_t most = t->key_len > t->fill.len ? t->fill.len : t->key_len - 1;

    if (!hidden(t))
        return 0;
    for (size_t held = most; held > 0; held--)
        if (memcmp(end - held, key, held) == 0)
            return held;
    return 0;
}
