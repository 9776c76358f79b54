/* traits.h - what two texts must have in common, however near their embeddings are, to get one answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An embedding hardly tells "cancel my order 12" from "don't cancel my order 13". The traits of a text are
 * what it says exactly: its numbers, its quotations, its names and identifiers, how often it negates, and
 * on which side it is of pairs like enable and disable (traits_words.def). They are kept as hashes and bits,
 * so that nothing of the text can be read from them. In doubt two texts differ: that costs a call, and a
 * wrong answer costs more.
 */
#ifndef PK_TRAITS_H
#define PK_TRAITS_H

#include "base.h"

/* Grows when the same text gets other traits: stored ones of another version say nothing. */
enum { PK_TRAITS_VERSION = 1, PK_TRAITS_BYTES = 28 };

struct pk_traits {
    uint64_t exact;       /* hash of all that must be equal */
    uint64_t left, right; /* a bit a pair: which of its sides the text names */
    uint32_t len;         /* letters and digits */
};

/* `text` is UTF-8; other bytes count as letters. */
struct pk_traits pk_traits_of(pk_str text);

/* Whether texts with these traits may get the same answer. */
bool pk_traits_agree(const struct pk_traits *a, const struct pk_traits *b);

/* As bytes that any machine reads alike. */
void pk_traits_pack(const struct pk_traits *t, uint8_t out[PK_TRAITS_BYTES]);
struct pk_traits pk_traits_unpack(const uint8_t in[PK_TRAITS_BYTES]);

#endif
