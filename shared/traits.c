/* traits.c - see traits.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A text is read once, character by character. Blanks end a chunk, which is what a person would call a word
 * with its punctuation; inside a chunk other signs end a word. Numbers, names and quotations are hashed in
 * their order, since "from Paris to Rome" is another question than "from Rome to Paris".
 */
#include "traits.h"

#include <string.h>

enum { WORD_BYTES_MAX = 48, LEN_SLACK = 16 };

enum pair {
#define PAIR(name, strict) PAIR_##name,
#include "traits_pairs.def"
#undef PAIR
    PAIR_COUNT
};

_Static_assert(PAIR_COUNT <= 64, "a pair is a bit");

static const bool strict_pairs[] = {
#define PAIR(name, strict) [PAIR_##name] = (strict),
#include "traits_pairs.def"
#undef PAIR
};

enum sense { IS_LEFT, IS_RIGHT, IS_NOT, IS_NAME, IS_NUMBER };

struct row {
    const char *word;
    enum sense sense;
    int pair;
    const char *digits;
};

static const struct row rows[] = {
#define LEFT(word, pair)     {word, IS_LEFT, PAIR_##pair, NULL},
#define RIGHT(word, pair)    {word, IS_RIGHT, PAIR_##pair, NULL},
#define NOT(word)            {word, IS_NOT, 0, NULL},
#define NAME(word)           {word, IS_NAME, 0, NULL},
#define NUMBER(word, digits) {word, IS_NUMBER, 0, digits},
#include "traits_words.def"
#undef LEFT
#undef RIGHT
#undef NOT
#undef NAME
#undef NUMBER
};

/* A chunk or a word while it is read: lower case, and what it looked like before. */
struct word {
    char at[WORD_BYTES_MAX];
    size_t len; /* of `at`: longer words are cut, but hashed whole */
    uint64_t hash;
    int letters, upper, digits; /* characters of each kind */
    bool upper_first, upper_inside;
    bool odd; /* has signs in it that words of a sentence do not: _ / @ and the like */
};

struct reader {
    struct pk_traits t;
    uint64_t order; /* hash of the numbers, names and quotations so far */
    int negations;
    bool first; /* the next word begins a sentence */
    struct word chunk, word;
};

/* --- hashing --------------------------------------------------------------------------------- */

static const uint64_t fnv_start = 14695981039346656037U, fnv_prime = 1099511628211U;

static uint64_t fnv(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * fnv_prime;
    return hash;
}

static uint64_t mixed(uint64_t a, uint64_t b)
{
    uint64_t state = a ^ (b + 0x9e3779b97f4a7c15U + (a << 6) + (a >> 2));

    return pk_random_next(&state);
}

static void note(struct reader *r, char kind, uint64_t hash)
{
    r->order = mixed(r->order, fnv(hash, &kind, 1));
}

static void note_text(struct reader *r, char kind, const char *at, size_t len)
{
    note(r, kind, fnv(fnv_start, at, len));
}

/* --- characters ------------------------------------------------------------------------------ */

/* The character at s.at[*i], which moves behind it; a byte that is not UTF-8 stands for itself. */
static uint32_t next_char(pk_str s, size_t *i)
{
    const unsigned char *at = (const unsigned char *)s.at + *i;
    size_t left = s.len - *i;
    size_t more = at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : at[0] >= 0xc0 ? 1 : 0;
    uint32_t c = more ? at[0] & (0x3fU >> more) : at[0];

    if (more >= left)
        more = 0;
    for (size_t k = 1; k <= more; k++)
        c = c << 6 | (at[k] & 0x3fU);
    *i += more + 1;
    return c;
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_upper(uint32_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) ||
           (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f);
}

static bool is_letter(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return c >= 0xc0 && c != 0xd7 && c != 0xf7 && !(c >= 0x2000 && c <= 0x2bff) &&
           !(c >= 0x3000 && c <= 0x303f) && !(c >= 0xff00 && c <= 0xff20);
}

static bool is_blank(uint32_t c)
{
    return c <= ' ' || c == 0xa0 || (c >= 0x2000 && c <= 0x200b) || c == 0x3000;
}

/* Characters of scripts that put no blanks between words. */
static bool is_unspaced(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff);
}

static bool is_apostrophe(uint32_t c)
{
    return c == '\'' || c == 0x2019;
}

static bool ends_sentence(uint32_t c)
{
    return c == '.' || c == '!' || c == '?' || c == ':' || c == 0x3002;
}

/* The sign that closes a quotation begun by `c`; 0: it begins none. Apostrophes are not quotes. */
static uint32_t closing(uint32_t c)
{
    switch (c) {
    case '"': return '"';
    case '`': return '`';
    case 0xab: return 0xbb;
    case 0x201c:
    case 0x201e: return 0x201d;
    case 0x300c: return 0x300d;
    default: return 0;
    }
}

static uint32_t lower(uint32_t c)
{
    if (!is_upper(c))
        return c;
    return c + 0x20;
}

/* --- words ----------------------------------------------------------------------------------- */

static void put_byte(struct word *w, uint32_t byte)
{
    char b = (char)byte;

    if (w->len < sizeof w->at)
        w->at[w->len++] = b;
    w->hash = fnv(w->hash ? w->hash : fnv_start, &b, 1);
}

static void put_char(struct word *w, uint32_t c)
{
    if (c < 0x80) {
        put_byte(w, c);
    } else if (c < 0x800) {
        put_byte(w, 0xc0 | c >> 6);
        put_byte(w, 0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put_byte(w, 0xe0 | c >> 12);
        put_byte(w, 0x80 | (c >> 6 & 0x3f));
        put_byte(w, 0x80 | (c & 0x3f));
    } else {
        put_byte(w, 0xf0 | c >> 18);
        put_byte(w, 0x80 | (c >> 12 & 0x3f));
        put_byte(w, 0x80 | (c >> 6 & 0x3f));
        put_byte(w, 0x80 | (c & 0x3f));
    }
}

static void extend(struct word *w, uint32_t c)
{
    bool first = w->letters + w->digits == 0;

    w->letters += is_letter(c);
    w->digits += is_digit(c);
    if (is_upper(c)) {
        w->upper++;
        w->upper_first = w->upper_first || first;
        w->upper_inside = w->upper_inside || !first;
    }
    put_char(w, is_apostrophe(c) ? '\'' : lower(c));
}

static int order_of(const char *word, const struct word *w)
{
    size_t len = strlen(word);
    int order = memcmp(word, w->at, len < w->len ? len : w->len);

    return order ? order : len < w->len ? -1 : len > w->len;
}

static const struct row *find_row(const struct word *w)
{
    size_t from = 0, to = PK_COUNT(rows);

    while (from < to) {
        size_t middle = (from + to) / 2;
        int order = order_of(rows[middle].word, w);

        if (order == 0)
            return &rows[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

static bool word_ends(const struct word *w, const char *suffix)
{
    return pk_str_ends((pk_str){w->at, w->len}, suffix);
}

/* I, I'm, I'll: spelled large wherever it stands. */
static bool is_i(const struct word *w)
{
    return w->len == 1 ? w->at[0] == 'i' : w->len > 1 && w->at[0] == 'i' && w->at[1] == '\'';
}

/* A word that is spelled like a name: within a sentence with one capital, anywhere with several. */
static bool is_name(const struct reader *r, const struct word *w)
{
    if (w->upper == 0 || is_i(w))
        return false;
    return w->upper_inside || (w->upper_first && !r->first);
}

static void note_name(struct reader *r, const struct word *w)
{
    size_t len = w->len;

    if (word_ends(w, "'s"))
        len -= 2;
    note_text(r, 'n', w->at, len);
}

static void note_row(struct reader *r, const struct row *row)
{
    switch (row->sense) {
    case IS_LEFT: r->t.left |= (uint64_t)1 << row->pair; break;
    case IS_RIGHT: r->t.right |= (uint64_t)1 << row->pair; break;
    case IS_NOT: r->negations++; break;
    case IS_NAME: note_text(r, 'n', row->word, strlen(row->word)); break;
    case IS_NUMBER: note_text(r, '0', row->digits, strlen(row->digits)); break;
    }
}

/* A word of letters is over. */
static void end_word(struct reader *r)
{
    struct word *w = &r->word;
    const struct row *row;

    if (w->letters == 0)
        return;
    row = find_row(w);
    if (row)
        note_row(r, row);
    else if (word_ends(w, "n't"))
        r->negations++;
    if (is_name(r, w) && !(row && (row->sense == IS_NAME || row->sense == IS_NUMBER)))
        note_name(r, w);
    r->first = false;
}

/* Digits with signs between them; what only groups thousands does not count. */
static void note_number(struct reader *r, const struct word *w)
{
    char digits[WORD_BYTES_MAX] = {0};
    size_t len = 0;

    for (size_t i = 0; i < w->len; i++) {
        bool groups = (w->at[i] == ',' || w->at[i] == '\'') && i > 0 && i + 3 < w->len;

        if (!groups)
            digits[len++] = w->at[i];
    }
    while (len && (digits[len - 1] == '.' || digits[len - 1] == ','))
        len--;
    note_text(r, '0', digits, len);
}

static void cut_end(struct word *w)
{
    while (w->len && strchr(".,;:!?)'\"", w->at[w->len - 1])) {
        w->len--;
        w->hash = fnv(fnv_start, w->at, w->len);
    }
}

/* What stood between two blanks is over: it may be a number, or an identifier as a whole. */
static void end_chunk(struct reader *r)
{
    struct word *c = &r->chunk;

    if (c->len < sizeof c->at)
        cut_end(c);
    if (c->digits && c->letters == 0 && !c->odd)
        note_number(r, c);
    else if (c->digits || c->odd)
        note(r, 'i', c->hash);
    *c = (struct word){0};
}

/* --- reading --------------------------------------------------------------------------------- */

static void take_unspaced(struct reader *r, uint32_t c, uint32_t next)
{
    static const uint32_t no[] = {0x4e0d, 0x6ca1, 0x6c92, 0x65e0, 0x7121,
                                  0x672a, 0x975e, 0x522b, 0x5225, 0x52ff};

    for (size_t i = 0; i < PK_COUNT(no); i++)
        r->negations += c == no[i];
    r->negations += c == 0x306a && (next == 0x3044 || next == 0x304f); /* -nai, -naku */
    r->negations += c == 0x307e && next == 0x305b;                     /* -masen */
}

/* Signs that make a chunk an identifier, an address or a path. */
static bool is_odd(uint32_t c)
{
    return c < 0x80 && strchr("_/\\@=<>{}[]#&|~^*+", (int)c) != NULL;
}

static void take_sign(struct reader *r, uint32_t c, uint32_t next)
{
    static const uint32_t counted[] = {'%', '$', 0x20ac, 0xa3, 0xa5};

    for (size_t i = 0; i < PK_COUNT(counted); i++)
        if (c == counted[i])
            note(r, '%', c);
    if (r->chunk.len == 0 && !(c == '-' && is_digit(next)) && !is_odd(c))
        return; /* an opening sign */
    if (c == '.' && is_letter(next) && r->chunk.letters)
        r->chunk.odd = true; /* example.com */
    r->chunk.odd = r->chunk.odd || is_odd(c);
    put_char(&r->chunk, c);
}

static void take(struct reader *r, uint32_t c, uint32_t next)
{
    bool letter = is_letter(c), digit = is_digit(c);

    r->t.len += letter || digit;
    if (letter || digit || (is_apostrophe(c) && r->word.letters && is_letter(next))) {
        extend(&r->word, c);
        extend(&r->chunk, c);
    } else {
        end_word(r);
        r->word = (struct word){0};
        if (is_blank(c))
            end_chunk(r);
        else
            take_sign(r, c, next);
    }
    if (is_unspaced(c))
        take_unspaced(r, c, next);
    if (c == '\n' || (ends_sentence(c) && (is_blank(next) || next == 0)))
        r->first = true;
}

/* A quotation that begins behind the sign at s.at[i - ...]: hashed as it stands, and read like the rest. */
static void note_quotation(struct reader *r, pk_str s, size_t from, uint32_t end)
{
    size_t i = from, stop = from;

    while (i < s.len) {
        stop = i;
        if (next_char(s, &i) == end) {
            note_text(r, 'q', s.at + from, stop - from);
            return;
        }
    }
}

struct pk_traits pk_traits_of(pk_str text)
{
    struct reader r = {.first = true, .order = fnv_start};
    uint32_t quoted_until = 0;
    size_t i = 0;

    while (i < text.len) {
        uint32_t c = next_char(text, &i);
        size_t ahead = i;
        uint32_t next = ahead < text.len ? next_char(text, &ahead) : 0;

        if (quoted_until && c == quoted_until) {
            quoted_until = 0;
        } else if (!quoted_until && closing(c)) {
            quoted_until = closing(c);
            note_quotation(&r, text, i, quoted_until);
        }
        take(&r, c, next);
    }
    take(&r, ' ', 0);
    r.t.exact = mixed(r.order, (uint64_t)r.negations);
    return r.t;
}

/* --- comparing ------------------------------------------------------------------------------- */

static uint64_t strict_bits(void)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < PK_COUNT(strict_pairs); i++)
        bits |= (uint64_t)strict_pairs[i] << i;
    return bits;
}

bool pk_traits_agree(const struct pk_traits *a, const struct pk_traits *b)
{
    uint32_t shorter = a->len < b->len ? a->len : b->len;
    uint32_t longer = a->len < b->len ? b->len : a->len;
    uint64_t differ = (a->left ^ b->left) | (a->right ^ b->right);
    uint64_t both = (a->left | a->right) & (b->left | b->right);

    return a->exact == b->exact && (differ & both) == 0 &&
           ((a->right ^ b->right) & strict_bits()) == 0 &&
           (uint64_t)longer <= (uint64_t)shorter * 2 + LEN_SLACK;
}

static uint8_t *put_le(uint8_t *out, uint64_t n, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *out++ = (uint8_t)(n >> 8 * i);
    return out;
}

static uint64_t get_le(const uint8_t *in, size_t bytes)
{
    uint64_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n |= (uint64_t)in[i] << 8 * i;
    return n;
}

void pk_traits_pack(const struct pk_traits *t, uint8_t out[PK_TRAITS_BYTES])
{
    out = put_le(out, t->exact, 8);
    out = put_le(out, t->left, 8);
    out = put_le(out, t->right, 8);
    (void)put_le(out, t->len, 4);
}

struct pk_traits pk_traits_unpack(const uint8_t in[PK_TRAITS_BYTES])
{
    return (struct pk_traits){get_le(in, 8), get_le(in + 8, 8), get_le(in + 16, 8),
                              (uint32_t)get_le(in + 24, 4)};
}
