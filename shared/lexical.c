/* lexical.c - see lexical.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "lexical.h"

#include "near.h"

#include <string.h>

enum { WORD_BYTES_MAX = 64, GRAM = 3, MARKS_MAX = 4 };

static const float word_weight = 1.0F, pair_weight = 0.5F, gram_weight = 0.25F;

/* FNV-1a, with a finish that spreads it over all bits. */
static uint64_t hash(uint64_t seed, const char *at, size_t len)
{
    uint64_t h = UINT64_C(14695981039346656037) ^ seed;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)at[i]) * UINT64_C(1099511628211);
    h ^= h >> 32;
    h *= UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

/* One bit says where to, another which way: what collides cancels out as often as it adds up. */
static void add(float *vector, uint64_t h, float weight)
{
    vector[h % PK_LEXICAL_DIMS] += h >> 63 ? weight : -weight;
}

/* Blanks, and what ends a sentence or its part before one. C, C++ and C# are three words, and < is not >. */
static bool is_gap(pk_str text, size_t i)
{
    size_t end = i + MARKS_MAX;

    while (i < text.len && i < end && text.at[i] && strchr(".,;:!?", text.at[i]))
        i++;
    return i == text.len || (unsigned char)text.at[i] <= ' ';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Takes the next word from the front of *text, in small letters and between two blanks; 0 when there is none. What
 * is longer than WORD_BYTES_MAX is taken for several. */
static size_t next_word(pk_str *text, char word[WORD_BYTES_MAX + 2])
{
    size_t from = 0, len = 0;

    while (from < text->len && is_gap(*text, from))
        from++;
    word[0] = ' ';
    while (from + len < text->len && len < WORD_BYTES_MAX && !is_gap(*text, from + len)) {
        word[1 + len] = lower(text->at[from + len]);
        len++;
    }
    word[1 + len] = ' ';
    *text = pk_str_sub(*text, from + len, text->len);
    return len;
}

/* Half of the vector is a direction that only this very row of words has: however long two texts are, one word
 * makes them differ. */
static void add_whole(float *vector, uint64_t h)
{
    const float share = 1.0F / 16; /* times the root of the dimensions: length 1 */

    for (int i = 0; i < PK_LEXICAL_DIMS; i++) {
        h = hash(h, "whole", 5);
        vector[i] += h >> 63 ? share : -share;
    }
}

bool pk_lexical_embed(pk_str text, float vector[PK_LEXICAL_DIMS])
{
    char word[WORD_BYTES_MAX + 2];
    uint64_t before = 0, whole = 3;
    size_t len;

    memset(vector, 0, PK_LEXICAL_DIMS * sizeof *vector);
    while ((len = next_word(&text, word)) > 0) {
        uint64_t h = hash(1, word, len + 2);

        add(vector, h, word_weight);
        if (before)
            add(vector, hash(before, word, len + 2), pair_weight);
        for (size_t i = 0; i + GRAM <= len + 2; i++)
            add(vector, hash(2, word + i, GRAM), gram_weight);
        before = h;
        whole = hash(whole, word, len + 2);
    }
    if (!pk_near_normalise(vector, PK_LEXICAL_DIMS))
        return false;
    add_whole(vector, whole);
    return pk_near_normalise(vector, PK_LEXICAL_DIMS);
}
