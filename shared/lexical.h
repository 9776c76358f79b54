/* lexical.h - the embedder that needs nobody: a text's words and their parts, as a vector.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * For semantic caches that name no embedder. It knows how texts are written, not what they mean: case,
 * punctuation and blanks make no difference, a changed ending makes a small one, another word for the same
 * thing all the difference. So it finds questions that were typed again, and little else: in doubt a
 * call is made, as with any embedder.
 */
#ifndef PK_LEXICAL_H
#define PK_LEXICAL_H

#include "base.h"

enum {
    PK_LEXICAL_DIMS = 256,
    PK_LEXICAL_VERSION = 1, /* grows when the same text gets another vector */
};

/* Words, pairs of neighbours, and three letters at a time, hashed. Of length 1; false for a text without a
 * letter or digit. `text` is UTF-8; what is not ASCII counts as letters. */
bool pk_lexical_embed(pk_str text, float vector[PK_LEXICAL_DIMS]) PK_MUST_CHECK;

#endif
