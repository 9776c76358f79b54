/* regex.c - see regex.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * PCRE2's own limits count backtracking from one start, and not the characters that a repeat runs over, so
 * that a pattern may still take the square of the text's length, or its cube. Instead every item of a pattern
 * is preceded by a callout, which machine code calls too: how far the position has moved between two of them is
 * what the work was. That costs about as much again as the match itself.
 *
 * PCRE2 takes its memory from the allocator of the arena that the pattern belongs to. Machine code is mapped by
 * PCRE2 itself, so a compiled pattern is freed, not just forgotten. Machine code runs on a small stack of
 * its own; when that is too small the interpreter, which has a heap, tries again.
 */
#include "regex.h"

#include "buf.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    MATCH_LIMIT = 10000000, /* backtracking steps from one start */
    DEPTH_LIMIT = 100000,
    HEAP_KIB_MAX = 8 << 10,
    BUDGET = 2000000,   /* of any look; about as many nanoseconds */
    BUDGET_A_BYTE = 32, /* of text, more; usual patterns take 1 to 6 */
};

/* The work of one look. */
struct meter {
    size_t at;
    int64_t left;
};

struct pk_regex {
    struct pk_allocator from;
    pcre2_general_context *memory;
    pcre2_code *code;
    pcre2_match_context *limits;
};

static void *take(PCRE2_SIZE size, void *ctx)
{
    const struct pk_allocator *from = ctx;

    return from->alloc(from->ctx, size);
}

static void give_back(void *block, void *ctx)
{
    const struct pk_allocator *from = ctx;

    if (block)
        from->free(from->ctx, block);
}

static void release(void *object)
{
    struct pk_regex *re = object;

    pcre2_match_context_free(re->limits);
    pcre2_code_free(re->code);
    pcre2_general_context_free(re->memory);
}

static uint32_t options_of(unsigned flags)
{
    return PCRE2_UTF | PCRE2_AUTO_CALLOUT | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
           PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF |
           (flags & PK_REGEX_NOCASE ? PCRE2_CASELESS : 0) |
           (flags & PK_REGEX_MULTILINE ? PCRE2_MULTILINE : 0) |
           (flags & PK_REGEX_DOTALL ? PCRE2_DOTALL : 0);
}

/* --- \s and \S ---------------------------------------------------------------------------------- */

/* JavaScript's blanks. Of these PCRE2 has the ASCII ones only, unless \d and \w are to be Unicode's as well. */
#define BLANKS "\\s\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
#define OTHERS                                                                                     \
    "\\u0000-\\u0008\\u000e-\\u001f\\u0021-\\u009f\\u00a1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027"   \
    "\\u202a-\\u202e\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\\u{10ffff}"

/* What is copied as it is from the front of `rest`: a character, an escape, or a name such as [:alpha:]. */
static size_t unit(pk_str rest, bool in_class)
{
    int end = pk_str_starts(rest, "[:") ? pk_str_find(rest, ']') : -1;

    if (in_class && end > 2 && rest.at[end - 1] == ':')
        return (size_t)end + 1;
    return rest.at[0] == '\\' && rest.len > 1 ? 2 : 1;
}

/* The pattern with its blanks spelt out. */
static pk_str spell_out(struct pk_arena *arena, pk_str pattern)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    bool in_class = false;

    for (size_t i = 0, len; i < pattern.len; i += len) {
        pk_str rest = pk_str_sub(pattern, i, pattern.len);

        len = unit(rest, in_class);
        if (pk_str_starts(rest, "\\s"))
            pk_buf_adds(&out, in_class ? BLANKS : "[" BLANKS "]");
        else if (pk_str_starts(rest, "\\S"))
            pk_buf_adds(&out, in_class ? OTHERS : "[^" BLANKS "]");
        else
            pk_buf_add(&out, pk_str_sub(rest, 0, len));
        if (len == 1 && rest.at[0] == '[')
            in_class = true;
        else if (len == 1 && rest.at[0] == ']')
            in_class = false;
    }
    return pk_buf_str(&out);
}

/* --- compiling ------------------------------------------------------------------------------------- */

/* False with *err filled when the pattern is no pattern. */
static bool compile(struct pk_regex *re, pk_str pattern, unsigned flags, struct pk_error *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(re->memory);
    unsigned char why[120];
    PCRE2_SIZE at = 0;
    int code = 0;

    if (!context)
        return pk_fail(err, PK_NO_MEMORY, "regular expression: out of memory");
    (void)pcre2_set_compile_extra_options(context, PCRE2_EXTRA_ALT_BSUX);
    re->code = pcre2_compile((PCRE2_SPTR)(pattern.at ? pattern.at : ""), pattern.len,
                             options_of(flags), &code, &at, context);
    pcre2_compile_context_free(context);
    if (re->code)
        return true;
    if (code == PCRE2_ERROR_NOMEMORY || code == 121 /* failed to get memory while compiling */)
        return pk_fail(err, PK_NO_MEMORY, "regular expression: out of memory");
    (void)pcre2_get_error_message(code, why, sizeof why);
    return pk_fail(err, PK_BAD_CONFIG, "not a regular expression: %s, at byte %zu",
                   (const char *)why, at);
}

struct pk_regex *pk_regex_new(struct pk_arena *arena, pk_str pattern, unsigned flags,
                              struct pk_error *err)
{
    struct pk_regex *re = pk_alloc(arena, sizeof *re);

    if (pattern.len > PK_PATTERN_BYTES_MAX) {
        (void)pk_fail(err, PK_BAD_CONFIG, "a regular expression has at most %d bytes",
                      PK_PATTERN_BYTES_MAX);
        return NULL;
    }
    if (re) {
        re->from = arena->from;
        re->memory = pcre2_general_context_create(take, give_back, &re->from);
        re->limits = re->memory ? pcre2_match_context_create(re->memory) : NULL;
    }
    if (!re || !pk_defer(arena, release, re) || !re->limits) {
        (void)pk_fail(err, PK_NO_MEMORY, "regular expression: out of memory");
        return NULL;
    }
    if (!compile(re, pattern, flags, err)) /* as it was written, for what errors say */
        return NULL;
    pk_str spelt = spell_out(arena, pattern);
    if (!pk_str_eq(spelt, pattern)) {
        pcre2_code_free(re->code);
        re->code = NULL;
        if (!compile(re, spelt, flags, err))
            return NULL;
    }
    (void)pcre2_set_match_limit(re->limits, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(re->limits, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(re->limits, HEAP_KIB_MAX);
    if (flags & PK_REGEX_JIT) /* where it cannot, the interpreter does it */
        (void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
    return re;
}

/* --- looking --------------------------------------------------------------------------------------- */

static int charge(pcre2_callout_block *here, void *ctx)
{
    struct meter *m = ctx;
    size_t at = here->current_position;

    m->left -= 1 + (int64_t)(at > m->at ? at - m->at : m->at - at);
    m->at = at;
    return m->left > 0 ? 0 : PCRE2_ERROR_CALLOUT;
}

static int look(const struct pk_regex *re, pk_str text, size_t from, pcre2_match_data *found,
                struct meter *m)
{
    PCRE2_SPTR at = (PCRE2_SPTR)(text.at ? text.at : "");
    uint32_t options = from ? PCRE2_NO_UTF_CHECK : 0;
    pcre2_match_context *limits = pcre2_match_context_copy(re->limits);

    if (!limits)
        return PCRE2_ERROR_NOMEMORY;
    (void)pcre2_set_callout(limits, charge, m);
    int rc = pcre2_match(re->code, at, text.len, from, options, found, limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(re->code, at, text.len, from, options | PCRE2_NO_JIT, found, limits);
    pcre2_match_context_free(limits);
    return rc;
}

/* `there` pairs are defined. */
static void copy_groups(pcre2_match_data *found, int there, struct pk_match *groups, int count)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(found);

    for (int i = 0; i < count; i++) {
        bool set = i < there && ends[2 * i] != PCRE2_UNSET;

        groups[i] = set ? (struct pk_match){ends[2 * i], ends[2 * i + 1]} : (struct pk_match){0, 0};
        if (groups[i].start > groups[i].end) /* \K in a lookahead may turn them around */
            groups[i].start = groups[i].end;
    }
}

int64_t pk_regex_budget(pk_str text)
{
    return BUDGET + (int64_t)text.len * BUDGET_A_BYTE;
}

enum pk_found pk_regex_groups(const struct pk_regex *re, pk_str text, size_t from,
                              struct pk_match *groups, int count, int64_t *budget)
{
    struct meter m = {from, *budget};
    pcre2_match_data *found;

    if (from > text.len)
        return PK_FOUND_NOT;
    found = pcre2_match_data_create(count > 0 ? (uint32_t)count : 1, re->memory);
    if (!found)
        return PK_FOUND_GAVE_UP;
    int rc = look(re, text, from, found, &m);
    *budget = m.left;
    if (rc >= 0)
        copy_groups(found, rc ? rc : count, groups, count);
    pcre2_match_data_free(found);
    return rc >= 0 ? PK_FOUND : rc == PCRE2_ERROR_NOMATCH ? PK_FOUND_NOT : PK_FOUND_GAVE_UP;
}

enum pk_found pk_regex_find(const struct pk_regex *re, pk_str text, size_t from,
                            struct pk_match *match)
{
    int64_t budget = pk_regex_budget(text);

    return pk_regex_groups(re, text, from, match, match != NULL, &budget);
}

size_t pk_regex_after(pk_str text, const struct pk_match *match)
{
    size_t at = match->end;

    if (match->start < match->end || at == text.len)
        return match->start < match->end ? at : text.len + 1;
    do
        at++;
    while (at < text.len && ((unsigned char)text.at[at] & 0xc0) == 0x80);
    return at;
}
