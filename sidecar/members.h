/* members.h - what calls have in a member of their metadata: in columns of their own, as far as they go.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A call's metadata is a word of a block: an object of texts and nulls, as the engine tells of its members. Of an hour
 * that is kept, the members that most calls have are columns of words, so that a question about one of them reads
 * nothing else; the column `metadata` then has the objects of those calls alone that have other members too.
 *
 *   {"team":"a"}              column "team": a a b     column metadata: - - {"team":"b","request":"17"}
 *   {"team":"a"}
 *   {"team":"b","request":"17"}
 *
 * In front of these objects are the numbers of the members' columns, so that none can be lost unnoticed.
 *
 * What clients call members is up to them: however many there are, a block has so many columns and no more, and what
 * is in none is read from the objects.
 */
#ifndef PKD_MEMBERS_H
#define PKD_MEMBERS_H

#include "block.h"
#include "errand.h"
#include "logs_filter.h"

enum {
    PKD_MEMBER_COLUMNS = 32,      /* of a block, at most */
    PKD_MEMBER_WHAT = 64,         /* their numbers begin here; those of columns.def are smaller */
    PKD_MEMBER_WHATS = 0x3fffffff /* are so many */
};

/* The number of a member's column. Two members that have the same one do not have two columns. */
int64_t pkd_member_what(pk_str name);

/* What a filter asks for of members. */
struct pkd_wanted {
    int count;
    struct {
        int member; /* of the block */
        pk_str value;
    } of[PKD_MEMBERS_MAX];
};

/* Asks the block for the members that the filter is about. *can: whether it can tell: there are few of them, and none is
 * to be null, which engines do not agree on. */
bool pkd_members_ask(struct pkd_errand *e, const struct pkd_filter *f, struct pkd_block *b,
                     struct pkd_wanted *out, bool *can, struct pk_error *err) PK_MUST_CHECK;

/* Once the block is full: the members that are asked for, of which some may have been read. False: no memory. */
bool pkd_members_find(struct pkd_block *b) PK_MUST_CHECK;

/* The columns of a block that is kept. Each is given as a text; the last one is that of `metadata`. False: no memory, or
 * one was not taken. */
typedef bool pkd_column_fn(void *ctx, int64_t what, pk_str text);
bool pkd_members_print(struct pkd_block *b, pkd_column_fn *take, void *ctx) PK_MUST_CHECK;

/* The column `metadata`, which comes first, and others, of one of the members that are asked for, or of none. */
bool pkd_objects_read(struct pkd_block *b, pk_str text, struct pk_error *err) PK_MUST_CHECK;
bool pkd_members_read(struct pkd_block *b, int64_t what, pk_str text,
                      struct pk_error *err) PK_MUST_CHECK;
/* Whether all have been read that the block has. */
bool pkd_members_whole(const struct pkd_block *b);

#endif
