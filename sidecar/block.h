/* block.h - some calls of the log as columns of numbers: what is added up, and how it is kept.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A number is itself; a word is its place in the block's list of that column's words. What is not known is
 * PKD_NOTHING in both. A column is kept as a text of its own, compressed like a payload (payload.h):
 *
 *   calls, width of a number in bytes, the least number; the numbers as what they are above that, and one more: the
 *   first bytes of all, then the second ones, ...; for words: how many, and each behind its length
 *
 * with the low byte first throughout. 0 is PKD_NOTHING.
 */
#ifndef PKD_BLOCK_H
#define PKD_BLOCK_H

#include "names.h"
#include "store_value.h"

enum pkd_column {
#define COLUMN(name, kind) PKD_C_##name,
#include "columns.def"
#undef COLUMN
    PKD_COLUMNS
};

#define PKD_C(name) (1u << PKD_C_##name)
#define PKD_ALL     ((1u << PKD_COLUMNS) - 1)
#define PKD_NOTHING INT64_MIN

enum {
    PKD_BLOCK_CALLS = 16384,
    PKD_BLOCK_TEXTS_MAX = 32 << 20, /* a block with so many bytes of words is full */
    PKD_COLUMN_BYTES_MAX = 48 << 20,
    PKD_MEMBERS_MAX = 4, /* of the metadata, that a request is about */
};

/* What calls have in a member of their metadata. */
struct pkd_member {
    pk_str name;
    bool there; /* the rest is of these calls */
    bool due;   /* there must be a column of it */
    int64_t *of;
    struct pkd_names words;
};

struct pkd_block {
    struct pk_arena *arena; /* of the numbers */
    struct pk_arena texts;  /* of the words of these calls */
    int calls;
    int64_t hour_us; /* of all of them */
    unsigned has;    /* which columns there are: PKD_C(x) | ... */
    int64_t *of[PKD_COLUMNS];
    struct pkd_names words[PKD_COLUMNS];
    struct pkd_member members[PKD_MEMBERS_MAX];
    int member_count;
    int group;       /* the member by which calls are grouped */
    int32_t *picked; /* which of the calls are wanted, in order: sieve.h */
    int picked_count;
};

/* `arena` must outlive it. False: no memory. */
bool pkd_block_init(struct pkd_block *b, struct pk_arena *arena) PK_MUST_CHECK;
void pkd_block_free(struct pkd_block *b);

/* Another member that is asked for; one that is there already stays one. Its number; -1: no more, or no memory. */
int pkd_block_ask(struct pkd_block *b, pk_str name);

/* No calls, no columns; the same members. */
void pkd_block_empty(struct pkd_block *b);

/* One more call, which has all columns: values in their order. False: no memory. */
bool pkd_block_add(struct pkd_block *b, const struct pk_value *v) PK_MUST_CHECK;

/* Appends a column as a text. False: it cannot be said so, or no memory. */
bool pkd_block_print(const struct pkd_block *b, enum pkd_column c,
                     struct pk_buf *out) PK_MUST_CHECK;
/* The same of words that are not the block's, of as many calls as it has. */
bool pkd_words_print(const struct pkd_block *b, const int64_t *of, const struct pkd_names *words,
                     struct pk_buf *out) PK_MUST_CHECK;

/* Takes a column from such a text, which must stay until the block is emptied; the first one says how many calls there
 * are. PK_STORE when it is damaged. */
bool pkd_block_read(struct pkd_block *b, enum pkd_column c, pk_str text,
                    struct pk_error *err) PK_MUST_CHECK;
bool pkd_member_read(struct pkd_block *b, struct pkd_member *m, pk_str text,
                     struct pk_error *err) PK_MUST_CHECK;

/* Where the numbers of a member go; false: no memory. */
bool pkd_member_room(struct pkd_block *b, struct pkd_member *m) PK_MUST_CHECK;

/* The number of a word of a column; -1: no call has it. */
int64_t pkd_block_word(const struct pkd_block *b, enum pkd_column c, const char *word);

#endif
