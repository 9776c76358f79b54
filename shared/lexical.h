/* lexical.h - the embedder that needs nobody: a text's words and their parts, as a vector.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * For semantic caches that name no embedder. It knows how texts are written, not what they mean: case,
 * blanks and the punctuation of sentences make no difference, any other word or symbol half of all. So it
 * finds questions that were typed again, at thresholds that anybody uses; for the rest a call is made.
 */
#ifndef PK_LEXICAL_H
#define PK_LEXICAL_H

#include "base.h"

enum {
    PK_LEXICAL_DIMS = 256,
    PK_LEXICAL_VERSION = 1, /* grows when the same text gets another vector */
};

/* Words, pairs of neighbours, and three letters at a time, hashed. Of length 1; false for a text without a
 * word. `text` is UTF-8. */
bool pk_lexical_embed(pk_str text, float vector[PK_LEXICAL_DIMS]) PK_MUST_CHECK;

#endif
