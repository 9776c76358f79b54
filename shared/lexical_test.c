/* lexical_test.c - which texts are written alike.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "lexical.h"
#include "near.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

static double cosine(const char *a, const char *b)
{
    float x[PK_LEXICAL_DIMS], y[PK_LEXICAL_DIMS];

    EXPECT(pk_lexical_embed(pk_str_of(a), x) && pk_lexical_embed(pk_str_of(b), y));
    return pk_near_cosine(x, y, PK_LEXICAL_DIMS);
}

static void how_a_text_is_typed_makes_no_difference(void)
{
    EXPECT(cosine("What is the capital of France?", "what is   the capital of france") > 0.9999);
    EXPECT(cosine("Grüße aus Köln!", "Grüße, aus Köln") > 0.9999);
}

static void texts_are_nearer_the_more_they_share(void)
{
    static const char asked[] = "How do I reset my password for the customer portal?";
    double ending = cosine(asked, "How do I reset my passwords for the customer portal?");
    double word = cosine(asked, "How do I reset my address for the customer portal?");
    double other = cosine(asked, "Name a colour of the evening sky.");

    EXPECT(ending > word && word > other);
    EXPECT(ending < 0.7 && other < 0.3);
}

static void one_word_or_symbol_makes_any_texts_differ(void)
{
    static char good[8192], bad[8192];

    for (int i = 0; i < 500; i++) {
        (void)snprintf(good + strlen(good), 16, "word%d ", i);
        (void)snprintf(bad + strlen(bad), 16, i == 250 ? "bland " : "word%d ", i);
    }
    EXPECT(cosine(good, bad) < 0.7);
    EXPECT(cosine("What is C++?", "What is C#?") < 0.7 && cosine("is a > b", "is a < b") < 0.7);
}

static void order_counts(void)
{
    EXPECT(cosine("the dog bites the man", "the man bites the dog") < 0.99);
}

static void a_text_without_words_has_no_vector(void)
{
    float v[PK_LEXICAL_DIMS];

    EXPECT(!pk_lexical_embed(PK_NONE, v) && !pk_lexical_embed(PK_STR(" ?! ... "), v));
}

static void long_words_and_texts_have_one(void)
{
    static char text[1 << 16];
    float v[PK_LEXICAL_DIMS];

    memset(text, 'a', sizeof text);
    EXPECT(pk_lexical_embed((pk_str){text, sizeof text}, v));
}

int main(void)
{
    RUN(how_a_text_is_typed_makes_no_difference);
    RUN(texts_are_nearer_the_more_they_share);
    RUN(one_word_or_symbol_makes_any_texts_differ);
    RUN(order_counts);
    RUN(a_text_without_words_has_no_vector);
    RUN(long_words_and_texts_have_one);
    return test_end();
}
