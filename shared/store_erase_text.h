/* store_erase_text.h - texts of calls that go: which of them other calls have too, and out of what is stored.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_ERASE_TEXT_H
#define PK_STORE_ERASE_TEXT_H

#include "store_erase.h"

/* A place where a text is (payload.h), and whether it is to stay: another call refers to it, or it has gone. */
struct pk_erase_text {
    int64_t place;
    bool stays;
};

/* Sorted, each once. */
struct pk_erase_texts {
    struct pk_erase_text *at;
    int count;
};

/* Sorts what was appended. */
void pk_erase_texts_sort(struct pk_erase_texts *t);
/* Another call has it. */
void pk_erase_texts_keep(struct pk_erase_texts *t, int64_t place);

/* Takes these places, of which any may be 0, out of the store, within the caller's transaction, unless they
 * stay. *gone counts texts. */
bool pk_store_erase_texts(struct pk_store *s, struct pk_erase_texts *t, const int64_t *places,
                          int count, int64_t *gone, struct pk_error *err) PK_MUST_CHECK;

#endif
