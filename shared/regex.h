/* regex.h - regular expressions whose cost is bounded.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * PCRE2 in JavaScript's spelling, which is what configs are written in: `$` is the very end, \uXXXX
 * and [] mean what they mean there, an unset back-reference is empty; \d, \w and \b know ASCII alone, \s every
 * blank there is. Patterns and texts are UTF-8.
 *
 * What a match costs is counted, in characters passed over and steps taken, and bounded by the length of the
 * text: one that needs more, or too much memory, gives up. The same pattern gives up on the same text, always.
 */
#ifndef PK_REGEX_H
#define PK_REGEX_H

#include "arena.h"

struct pk_regex;

/* Any of these together. */
enum {
    PK_REGEX_NOCASE = 1,    /* i */
    PK_REGEX_MULTILINE = 2, /* m: ^ and $ at each line */
    PK_REGEX_DOTALL = 4,    /* s: . is a line feed too */
    PK_REGEX_JIT = 8,       /* to machine code: pays when texts are long or matches many */
};

enum pk_found {
    PK_FOUND_NOT,
    PK_FOUND,
    PK_FOUND_GAVE_UP, /* over a limit, or the text is not UTF-8: nobody knows */
};

struct pk_match {
    size_t start, end;
};

/* Compiles `pattern` (at most PK_PATTERN_BYTES_MAX); what it holds goes with the arena, whose allocator must
 * outlive it. NULL: PK_BAD_CONFIG or PK_NO_MEMORY; the message is what is wrong and where, for the caller
 * to put a path in front. */
struct pk_regex *pk_regex_new(struct pk_arena *arena, pk_str pattern, unsigned flags,
                              struct pk_error *err) PK_MUST_CHECK;

/* The leftmost match that starts at or after `from`; *match (may be NULL) is set on PK_FOUND. Does not
 * change *re: any number of threads may share it. `from` is 0 or where an earlier match in the same text
 * ended, which spares a second look at the text's encoding. */
enum pk_found pk_regex_find(const struct pk_regex *re, pk_str text, size_t from,
                            struct pk_match *match);

/* The same, with the parenthesised groups too: groups[0] is the whole match, and those that took no part are
 * empty at 0. *budget (from pk_regex_budget) is what is left for this text, so that a walk over all matches is
 * bounded as one look is. */
enum pk_found pk_regex_groups(const struct pk_regex *re, pk_str text, size_t from,
                              struct pk_match *groups, int count, int64_t *budget);
int64_t pk_regex_budget(pk_str text);

/* Where to look on after `match`: its end, or one character further when it is empty, so that a loop over
 * all matches ends. May be text.len + 1: stop then. */
size_t pk_regex_after(pk_str text, const struct pk_match *match);

#endif
