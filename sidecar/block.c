/* block.c - see block.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "block.h"

#include <string.h>

enum { NUMBER, WORD };

enum {
    HEAD_BYTES = 13, /* calls, width, the least number */
    BYTE = 8,        /* bits */
    TEXTS_BYTES_MAX = 256 << 20,
};

static const char kinds[] = {
#define COLUMN(name, kind) kind,
#include "columns.def"
#undef COLUMN
};

bool pkd_block_init(struct pkd_block *b, struct pk_arena *arena)
{
    *b = (struct pkd_block){.arena = arena};
    pk_arena_init(&b->texts, pk_allocator_malloc(), TEXTS_BYTES_MAX);
    b->picked = pk_alloc_room(arena, PKD_BLOCK_CALLS * sizeof *b->picked);
    return b->picked != NULL;
}

void pkd_block_free(struct pkd_block *b)
{
    pk_arena_free(&b->texts);
}

void pkd_block_empty(struct pkd_block *b)
{
    b->calls = b->picked_count = 0;
    b->has = 0;
    pk_arena_free(&b->texts);
    for (int c = 0; c < PKD_COLUMNS; c++)
        b->words[c] = (struct pkd_names){.arena = &b->texts};
    for (int i = 0; i < b->member_count; i++)
        b->members[i].there = b->members[i].due = false;
}

int pkd_block_ask(struct pkd_block *b, pk_str name)
{
    for (int i = 0; i < b->member_count; i++)
        if (pk_str_eq(b->members[i].name, name))
            return i;
    if (b->member_count == PKD_MEMBERS_MAX)
        return -1;
    b->members[b->member_count] = (struct pkd_member){.name = pk_copy(b->arena, name)};
    return b->arena->failed ? -1 : b->member_count++;
}

bool pkd_member_room(struct pkd_block *b, struct pkd_member *m)
{
    if (!m->of)
        m->of = pk_alloc_room(b->arena, PKD_BLOCK_CALLS * sizeof *m->of);
    m->words = (struct pkd_names){.arena = &b->texts};
    m->there = m->of != NULL;
    return m->there;
}

/* Where the numbers of a column go; NULL: no memory. */
static int64_t *numbers(struct pkd_block *b, int c)
{
    if (!b->of[c])
        b->of[c] = pk_alloc_room(b->arena, PKD_BLOCK_CALLS * sizeof *b->of[c]);
    return b->of[c];
}

/* --- calls, one by one ------------------------------------------------------------------------ */

/* Most calls say what the one before them said. */
static int64_t word_number(struct pkd_block *b, int c, pk_str word)
{
    int64_t last = b->calls ? b->of[c][b->calls - 1] : PKD_NOTHING;

    if (last != PKD_NOTHING && pk_str_eq(b->words[c].at[last], word))
        return last;
    return pkd_names_number(&b->words[c], word);
}

bool pkd_block_add(struct pkd_block *b, const struct pk_value *v)
{
    PK_ASSERT(b->calls < PKD_BLOCK_CALLS);
    b->has = PKD_ALL;
    for (int c = 0; c < PKD_COLUMNS; c++) {
        int64_t *to = numbers(b, c), number = PKD_NOTHING;

        if (!to)
            return false;
        if (v[c].type != PK_V_NULL)
            number = kinds[c] == NUMBER ? v[c].i : word_number(b, c, v[c].s);
        if (kinds[c] == WORD && number == -1)
            return false;
        to[b->calls] = number;
    }
    b->calls++;
    return true;
}

int64_t pkd_block_word(const struct pkd_block *b, enum pkd_column c, const char *word)
{
    for (int i = 0; i < b->words[c].count; i++)
        if (pk_str_is(b->words[c].at[i], word))
            return i;
    return -1;
}

/* --- as text ---------------------------------------------------------------------------------- */

static void add_number(struct pk_buf *out, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        pk_buf_addc(out, (char)(number >> (BYTE * i)));
}

/* How wide the widest is. */
static int width_of(const int64_t *of, int calls, int64_t *least)
{
    int64_t most = PKD_NOTHING;
    int width = 0;

    *least = INT64_MAX;
    for (int i = 0; i < calls; i++) {
        if (of[i] != PKD_NOTHING && of[i] < *least)
            *least = of[i];
        if (of[i] > most)
            most = of[i];
    }
    if (most == PKD_NOTHING)
        return 0;
    for (uint64_t n = (uint64_t)most - (uint64_t)*least + 1; n; n >>= BYTE)
        width++;
    return width ? width : -1; /* further apart than can be said */
}

static bool print_numbers(const int64_t *of, int calls, struct pk_buf *out)
{
    int64_t least;
    int width = width_of(of, calls, &least);
    char *to = pk_buf_room(out, HEAD_BYTES + (size_t)calls * sizeof least);

    if (!to || width < 0)
        return false;
    add_number(out, (uint64_t)calls, 4);
    add_number(out, (uint64_t)width, 1);
    add_number(out, (uint64_t)least, 8);
    to = out->at + out->len;
    for (int plane = 0; plane < width; plane++)
        for (int i = 0; i < calls; i++) {
            uint64_t above = of[i] == PKD_NOTHING ? 0 : (uint64_t)of[i] - (uint64_t)least + 1;

            *to++ = (char)(above >> (BYTE * plane));
        }
    out->len += (size_t)width * (size_t)calls;
    return !out->failed;
}

bool pkd_words_print(const struct pkd_block *b, const int64_t *of, const struct pkd_names *words,
                     struct pk_buf *out)
{
    if (!print_numbers(of, b->calls, out))
        return false;
    add_number(out, (uint64_t)words->count, 4);
    for (int i = 0; i < words->count; i++) {
        add_number(out, words->at[i].len, 4);
        pk_buf_add(out, words->at[i]);
    }
    return !out->failed;
}

bool pkd_block_print(const struct pkd_block *b, enum pkd_column c, struct pk_buf *out)
{
    return kinds[c] == NUMBER ? print_numbers(b->of[c], b->calls, out)
                              : pkd_words_print(b, b->of[c], &b->words[c], out);
}

static bool damaged(struct pk_error *err)
{
    return pk_fail(err, PK_STORE, "log: a column of an hour is damaged");
}

/* Takes a number off the front; 0 when there are too few bytes. */
static uint64_t take_number(pk_str *text, int bytes)
{
    uint64_t number = 0;

    for (int i = 0; i < bytes && (size_t)bytes <= text->len; i++)
        number |= (uint64_t)(unsigned char)text->at[i] << (BYTE * i);
    *text = pk_str_sub(*text, (size_t)bytes, text->len);
    return number;
}

static bool read_words(struct pkd_block *b, const int64_t *of, struct pkd_names *words, pk_str text)
{
    uint64_t count = take_number(&text, 4);

    if (count > PKD_BLOCK_CALLS)
        return false;
    *words = (struct pkd_names){.arena = &b->texts};
    words->at = pk_alloc(&b->texts, (count + 1) * sizeof *words->at);
    for (; count && words->at; count--) {
        uint64_t len = take_number(&text, 4);

        if (len > text.len)
            return false;
        words->at[words->count++] = pk_str_sub(text, 0, len);
        text = pk_str_sub(text, len, text.len);
    }
    for (int i = 0; i < b->calls; i++)
        if (of[i] != PKD_NOTHING && (of[i] < 0 || of[i] >= words->count))
            return false;
    return words->at != NULL;
}

/* Bytes in planes as numbers above `least`. */
static void read_numbers(int64_t *to, int count, const char *from, int width, uint64_t least)
{
    for (int i = 0; i < count; i++)
        to[i] = width ? (unsigned char)from[i] : 0;
    for (int plane = 1; plane < width; plane++)
        for (int i = 0; i < count; i++)
            to[i] |= (int64_t)((uint64_t)(unsigned char)from[plane * count + i] << (BYTE * plane));
    for (int i = 0; i < count; i++)
        to[i] = to[i] ? (int64_t)((uint64_t)to[i] + least - 1) : PKD_NOTHING;
}

/* The numbers that a text begins with; *text: what follows them. */
static bool take_numbers(struct pkd_block *b, int64_t *of, pk_str *text)
{
    uint64_t calls = take_number(text, 4), width = take_number(text, 1);
    uint64_t least = take_number(text, 8);

    if (calls == 0 || calls > PKD_BLOCK_CALLS || (b->calls && (int)calls != b->calls) ||
        width > sizeof least || text->len < calls * width)
        return false;
    b->calls = (int)calls;
    read_numbers(of, b->calls, text->at, (int)width, least);
    *text = pk_str_sub(*text, calls * width, text->len);
    return true;
}

bool pkd_block_read(struct pkd_block *b, enum pkd_column c, pk_str text, struct pk_error *err)
{
    if (!numbers(b, c))
        return pk_fail(err, PK_NO_MEMORY, "log: out of memory");
    if (!take_numbers(b, b->of[c], &text) ||
        (kinds[c] == WORD && !read_words(b, b->of[c], &b->words[c], text)))
        return damaged(err);
    b->has |= 1u << c;
    return true;
}

bool pkd_member_read(struct pkd_block *b, struct pkd_member *m, pk_str text, struct pk_error *err)
{
    if (!pkd_member_room(b, m))
        return pk_fail(err, PK_NO_MEMORY, "log: out of memory");
    return (take_numbers(b, m->of, &text) && read_words(b, m->of, &m->words, text)) || damaged(err);
}
