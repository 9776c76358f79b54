/* injection_words.c - folding a text into words, and looking them up.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Folding is by tables for the scripts that the words are written in; everything else separates words. Writing
 * without blanks (Chinese, Japanese, Korean) is cut into the longest known words.
 */
#include "injection_inner.h"

#include <string.h>

enum { WIDE_CHARS_MAX = 6, STEMS_MAX = 12, APART_MIN = 4, APART_MAX = 16 };

#define IN(name) PK_CLASS_BIT(name)

static const struct row {
    const char *word;
    uint8_t len;
    uint64_t classes;
} words[] = {
#define WORD(word, classes) {word, sizeof(word) - 1, classes},
#include "injection_words.def"
#undef WORD
};

/* --- looking up ---------------------------------------------------------------------------------- */

void pk_injection_index_init(struct pk_injection_index *index)
{
    size_t row = 0;

    for (int c = 0; c <= 256; c++) {
        while (row < PK_COUNT(words) && (unsigned char)words[row].word[0] < c)
            row++;
        index->first[c] = (uint16_t)row;
    }
}

static bool is_open(const struct row *r)
{
    return r->word[r->len - 1] == '*';
}

/* The order of the row's stem and the word. */
static int compared(const struct row *r, pk_str word)
{
    size_t stem = r->len - (size_t)is_open(r), n = stem < word.len ? stem : word.len;
    int c = memcmp(r->word, word.at, n);

    return c ? c : (stem > word.len) - (stem < word.len);
}

/* The word's row is the last one that is not behind it; its stem's is that, or one of a few before. */
uint64_t pk_injection_classes(const struct pk_injection_index *index, pk_str word)
{
    size_t low, high, first;

    if (word.len == 0)
        return 0;
    low = first = index->first[(unsigned char)word.at[0]];
    high = index->first[(unsigned char)word.at[0] + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compared(&words[middle], word) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t back = 1; back <= STEMS_MAX && low - first >= back; back++) {
        const struct row *r = &words[low - back];
        size_t stem = r->len - (size_t)is_open(r);

        if (stem == word.len ? memcmp(r->word, word.at, stem) == 0
                             : is_open(r) && stem < word.len && memcmp(r->word, word.at, stem) == 0)
            return r->classes;
    }
    return 0;
}

/* --- characters ---------------------------------------------------------------------------------- */

enum kind { SEPARATOR, INVISIBLE, LATIN, OTHER, DIGIT, WIDE };

struct character {
    enum kind kind;
    uint32_t point; /* as it stands */
    uint32_t folded;
    size_t bytes;
};

/* Base letters of U+00C0 to U+00FF and of U+0100 to U+017F; a blank is no letter. */
static const char latin_1[] = "aaaaaaaceeeeiiiidnooooo ouuuuytsaaaaaaaceeeeiiiidnooooo ouuuuyty";
static const char latin_a[] =
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnooooooo"
    "orrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

_Static_assert(sizeof latin_1 == 65 && sizeof latin_a == 129, "a letter for each character");

static uint32_t code_point(pk_str s, size_t at, size_t *bytes)
{
    const unsigned char *c = (const unsigned char *)s.at + at;
    size_t n = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    uint32_t point = n == 1 ? c[0] : c[0] & (0x7fu >> n);

    *bytes = 1;
    if (n > s.len - at || (n > 1 && c[0] < 0xc2))
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (c[i] & 0x3f);
    }
    *bytes = n;
    return point;
}

static bool is_invisible(uint32_t p)
{
    return p == 0xad || p == 0x34f || p == 0x61c || p == 0x180e || p == 0xfeff ||
           (p >= 0x200b && p <= 0x200f) || (p >= 0x202a && p <= 0x202e) ||
           (p >= 0x2060 && p <= 0x2069) || (p >= 0x300 && p <= 0x36f) ||
           (p >= 0xfe00 && p <= 0xfe0f) || (p >= 0xe0100 && p <= 0xe01ef);
}

/* Characters that are ASCII in another dress: full width, mathematical, tags. */
static uint32_t undressed(uint32_t p)
{
    if (p >= 0xff01 && p <= 0xff5e)
        return p - 0xff01 + '!';
    if (p >= 0x1d400 && p <= 0x1d6a3)
        return (p - 0x1d400) % 52 + ((p - 0x1d400) % 52 < 26 ? 'A' : 'a' - 26);
    if (p >= 0xe0020 && p <= 0xe007e)
        return p - 0xe0000;
    return p;
}

static bool is_wide(uint32_t p)
{
    return (p >= 0x3041 && p <= 0x30ff) || (p >= 0x3400 && p <= 0x9fff) ||
           (p >= 0xac00 && p <= 0xd7a3);
}

static struct character character_at(pk_str s, size_t at)
{
    struct character c = {.kind = SEPARATOR, .bytes = 1};
    uint32_t p = (unsigned char)s.at[at];

    if ((p | 32) >= 'a' && (p | 32) <= 'z') /* most are */
        return (struct character){LATIN, p, p | 32, 1};
    if (p == ' ')
        return (struct character){SEPARATOR, p, p, 1};
    c.point = code_point(s, at, &c.bytes);
    c.folded = p = undressed(c.point);
    if (p >= 'A' && p <= 'Z')
        c.folded = p + 32;
    if (p >= 0xc0 && p <= 0xff)
        c.folded = (unsigned char)latin_1[p - 0xc0];
    if (p >= 0x100 && p <= 0x17f)
        c.folded = (unsigned char)latin_a[p - 0x100];
    if (p >= 0x410 && p <= 0x42f)
        c.folded = p + 32;
    if (p == 0x401)
        c.folded = 0x451;
    p = c.folded;
    if (p >= 'a' && p <= 'z')
        c.kind = LATIN;
    else if ((p >= '0' && p <= '9') || p == '@' || p == '$')
        c.kind = DIGIT;
    else if ((p >= 0x370 && p <= 0x3ff) || (p >= 0x400 && p <= 0x52f))
        c.kind = OTHER;
    else if (is_invisible(c.point))
        c.kind = INVISIBLE;
    else if (is_wide(p))
        c.kind = WIDE;
    return c;
}

/* --- words --------------------------------------------------------------------------------------- */

struct word {
    char at[PK_INJECTION_WORD_MAX + 8];
    size_t len;   /* in bytes; more than PK_INJECTION_WORD_MAX: too long to be known */
    size_t start; /* in the text */
    bool latin, other, digit;
};

static void add(struct word *w, const struct character *c)
{
    uint32_t p = c->folded;

    w->latin = w->latin || c->kind == LATIN;
    w->other = w->other || c->kind == OTHER;
    w->digit = w->digit || c->kind == DIGIT;
    if (w->len > PK_INJECTION_WORD_MAX)
        return;
    if (p < 0x80) {
        w->at[w->len++] = (char)p;
        return;
    }
    if (p >= 0x800)
        w->at[w->len++] = (char)(0xe0 | p >> 12);
    w->at[w->len++] = (char)(p >= 0x800 ? 0x80 | (p >> 6 & 0x3f) : 0xc0 | p >> 6);
    w->at[w->len++] = (char)(0x80 | (p & 0x3f));
}

/* Greek and Cyrillic letters that look like Latin ones, both folded. */
static const struct {
    uint32_t point;
    char like;
} alike[] = {
    {0x430, 'a'}, {0x435, 'e'}, {0x43e, 'o'}, {0x440, 'p'}, {0x441, 'c'}, {0x443, 'y'},
    {0x445, 'x'}, {0x456, 'i'}, {0x455, 's'}, {0x458, 'j'}, {0x43a, 'k'}, {0x43c, 'm'},
    {0x442, 't'}, {0x432, 'b'}, {0x43d, 'h'}, {0x501, 'd'}, {0x51b, 'q'}, {0x51d, 'w'},
    {0x3b1, 'a'}, {0x3bf, 'o'}, {0x3c1, 'p'}, {0x3b9, 'i'}, {0x3bd, 'v'}, {0x3b5, 'e'},
    {0x3ba, 'k'}, {0x3c4, 't'}, {0x3c5, 'u'}, {0x3c7, 'x'},
};

/* A word of two scripts as if it were all Latin. */
static void make_latin(struct word *w)
{
    struct word latin = {0};

    for (size_t i = 0; i < w->len;) {
        struct character c = character_at((pk_str){w->at, w->len}, i);

        for (size_t a = 0; c.kind == OTHER && a < PK_COUNT(alike); a++)
            if (alike[a].point == c.folded)
                c.folded = (unsigned char)alike[a].like;
        add(&latin, &c);
        i += c.bytes;
    }
    memcpy(w->at, latin.at, sizeof w->at);
    w->len = latin.len;
}

static void digits_to_letters(struct word *w)
{
    static const char digits[] = "013457@$", letters[] = "oieastas";

    for (size_t i = 0; i < w->len; i++) {
        const char *d = strchr(digits, w->at[i]);

        if (d && *d)
            w->at[i] = letters[d - digits];
    }
}

/* What invisible and quoting characters say. */
static void note(struct pk_injection_reader *r, const struct character *c, bool inside)
{
    uint32_t p = c->point;

    if (p == 0x202d || p == 0x202e)
        r->bidi++;
    if (c->kind == INVISIBLE && inside && (p < 0x300 || p > 0x36f)) {
        struct character next = {.kind = SEPARATOR};

        if (r->at + c->bytes < r->text.len)
            next = character_at(r->text, r->at + c->bytes);
        r->hidden += next.kind == LATIN;
    }
    if (p >= 0xe0020 && p <= 0xe007e && (r->before != 0x1f3f4)) /* a flag is spelled with them */
        r->tags++;
    if (p == '"' || p == '`')
        r->quoted = !r->quoted;
    if (p == 0x201c || p == 0xab || p == 0x201e)
        r->quoted = true;
    if (p == 0x201d || p == 0xbb)
        r->quoted = false;
    if (p == '\n' && r->before == '\n')
        r->quoted = false;
}

static void pass(struct pk_injection_reader *r, const struct character *c, bool inside)
{
    if (c->kind != LATIN || c->bytes > 1)
        note(r, c, inside);
    r->at += c->bytes;
    if (!(c->point >= 0xe0020 && c->point <= 0xe007f && r->before == 0x1f3f4))
        r->before = c->point;
}

static bool read_word(struct pk_injection_reader *r, struct word *w)
{
    w->len = 0;
    w->latin = w->other = w->digit = false;
    while (r->at < r->text.len) {
        struct character c = character_at(r->text, r->at);

        if (c.kind == WIDE)
            return w->len > 0;
        if (c.kind == SEPARATOR && w->len > 0)
            return true;
        if (w->len == 0)
            w->start = r->at;
        pass(r, &c, w->len > 0);
        if (c.kind != SEPARATOR && c.kind != INVISIBLE)
            add(w, &c);
    }
    return w->len > 0;
}

/* The longest known word of a script without blanks; else one character that means nothing. */
static uint64_t wide_word(struct pk_injection_reader *r)
{
    size_t end[WIDE_CHARS_MAX] = {0}, n = 0, at = r->at;

    while (n < WIDE_CHARS_MAX && at < r->text.len) {
        struct character c = character_at(r->text, at);

        if (c.kind != WIDE)
            break;
        at += c.bytes;
        end[n++] = at;
    }
    PK_ASSERT(n > 0);
    for (size_t i = n; i > 0; i--) {
        uint64_t classes =
            pk_injection_classes(r->index, pk_str_sub(r->text, r->at, end[i - 1] - r->at));

        if (classes) {
            r->at = end[i - 1];
            return classes;
        }
    }
    r->at = end[0];
    return 0;
}

static uint64_t classes_of(struct pk_injection_reader *r, struct word *w)
{
    uint64_t classes;

    if (w->len > PK_INJECTION_WORD_MAX)
        return 0;
    bool mixed = w->latin && w->other;
    if (mixed)
        make_latin(w);
    classes = pk_injection_classes(r->index, (pk_str){w->at, w->len});
    r->mixed += mixed && classes;
    if (classes || !w->digit || !w->latin)
        return classes;
    digits_to_letters(w);
    classes = pk_injection_classes(r->index, (pk_str){w->at, w->len});
    r->digits += classes != 0;
    return classes;
}

/* Letters with one separator between each: reads on to the last, and gives the classes of the word that they
 * spell. Where they spell nothing, the reader goes back behind the first. Of a row longer than any word nothing
 * is asked again. */
static uint64_t spelled_apart(struct pk_injection_reader *r, const struct word *w)
{
    struct pk_injection_reader first = *r, back = *r;
    struct word all = *w, next;
    int letters = 1;

    for (; read_word(r, &next) && next.len == 1 && next.start == back.at + 1; letters++) {
        if (letters < APART_MAX)
            all.at[all.len++] = next.at[0];
        all.digit = all.digit || next.digit;
        back = *r;
    }
    *r = back;
    uint64_t classes = letters >= APART_MIN && letters <= APART_MAX ? classes_of(r, &all) : 0;
    if (classes) {
        r->apart++;
        return classes;
    }
    *r = first;
    if (letters > APART_MAX)
        r->apart_end = back.at;
    return 0;
}

bool pk_injection_next(struct pk_injection_reader *r, struct pk_injection_word *out)
{
    struct word w;

    *out = (struct pk_injection_word){0};
    if (!read_word(r, &w)) {
        if (r->at == r->text.len)
            return false;
        out->quoted = r->quoted;
        out->classes = wide_word(r);
        return true;
    }
    out->quoted = r->quoted;
    if (w.len == 1 && w.latin && w.start >= r->apart_end)
        out->classes = spelled_apart(r, &w);
    if (!out->classes)
        out->classes = classes_of(r, &w);
    return true;
}
