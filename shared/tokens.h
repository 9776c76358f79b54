/* tokens.h - about how many tokens a text has, by the family of the model that reads it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * No vocabulary: the text is cut into words, numbers, punctuation and characters of other scripts, as
 * tokenizers do before they look anything up, and each piece has the weight that it has on average
 * (tokens.def). The weights were fitted to the real tokenizers; docs/models.md has the error by kind of text.
 */
#ifndef PK_TOKENS_H
#define PK_TOKENS_H

#include "base.h"

/* What a text is cut into; a weight of tokens.def each. */
enum pk_piece {
#define PIECE(name) PK_PIECE_##name,
#define FAMILY(name, ...)
#include "tokens.def"
#undef FAMILY
#undef PIECE
    PK_PIECES
};

/* Models that read text alike. */
enum pk_family {
#define PIECE(name)
#define FAMILY(name, ...) PK_FAMILY_##name,
#include "tokens.def"
#undef FAMILY
#undef PIECE
    PK_FAMILIES
};

/* By the model's name, with or without a provider before it; an unknown one is read as by gpt-4o. */
enum pk_family pk_tokens_family(pk_str model);
const char *pk_tokens_family_name(enum pk_family family);

/* At least 1 for a text that is not empty. Any bytes will do: those that are no UTF-8 count one by one. */
int64_t pk_tokens_count(enum pk_family family, pk_str text);

/* How many of each piece the text has, in 1/256: what the weights are fitted to. */
void pk_tokens_pieces(pk_str text, int64_t pieces[PK_PIECES]);

#endif
