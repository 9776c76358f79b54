/* tokens.c - see tokens.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One pass. A run of letters is a word; a capital within one begins the next, as in camelCase. What stands for
 * a word depends on its length and on how it looks: all languages have short words that are one token,
 * but only English, which vocabularies are made of, has long ones. So a text with accented letters, or whose words
 * end in vowels, is taken as foreign, to a degree, and its plain words too. Letters without vowels, or among digits, are odd:
 * keys, hashes, abbreviations.
 */
#include "tokens.h"

#include <string.h>

enum {
    ONE = 256, /* a piece */
    WEIGHT_ONE = 1000,
    LENGTHS = 14,       /* of plain words that have weights of their own */
    FOREIGN_SHARE = 40, /* accented letters of so many: as foreign as can be */
    OPEN_USUAL =
        12, /* percent of English words that end in a, i, o, u; and how many more are foreign */
    OPEN_RANGE = 20,
    LETTERS_MORE = 50, /* as if so much usual English were there too: a short text says little */
    WORDS_MORE = 15,
};

enum sort {
    LOWER,
    UPPER,
    ACCENTED, /* Latin letters beyond ASCII */
    DIGIT,
    BLANK,
    NEWLINE,
    PUNCT,
    HAN,
    KANA,
    HANGUL,
    CYRILLIC,
    GREEK,
    ARABIC,
    HEBREW,
    INDIC,
    THAI,
    LETTER, /* of another script */
    WIDE,   /* full-width and CJK punctuation */
    MARK,   /* typographic punctuation */
    SYMBOL,
    EMOJI,
    BROKEN, /* no UTF-8 */
    END,
};

static const struct {
    uint32_t upto; /* the first that is not of it */
    uint8_t sort;
} ranges[] = {
    {0x00c0, MARK},     {0x0250, ACCENTED}, {0x0370, LETTER},  {0x0400, GREEK},  {0x0530, CYRILLIC},
    {0x0590, LETTER},   {0x0600, HEBREW},   {0x0780, ARABIC},  {0x0900, LETTER}, {0x0e00, INDIC},
    {0x0f00, THAI},     {0x1100, LETTER},   {0x1200, HANGUL},  {0x1e00, LETTER}, {0x1f00, ACCENTED},
    {0x2000, GREEK},    {0x2070, MARK},     {0x2c00, SYMBOL},  {0x2e80, LETTER}, {0x3000, HAN},
    {0x3040, WIDE},     {0x3100, KANA},     {0x3130, HAN},     {0x3190, HANGUL}, {0x3400, WIDE},
    {0xa000, HAN},      {0xac00, LETTER},   {0xd7b0, HANGUL},  {0xe000, BROKEN}, {0xf900, SYMBOL},
    {0xfb00, HAN},      {0xfe00, ARABIC},   {0xfe70, SYMBOL},  {0xff00, ARABIC}, {0xff66, WIDE},
    {0xffa0, KANA},     {0x10000, SYMBOL},  {0x1f000, LETTER}, {0x20000, EMOJI}, {0x40000, HAN},
    {0x110000, SYMBOL},
};

struct scan {
    pk_str text;
    size_t at;
    int64_t *n;      /* of each piece */
    int64_t foreign; /* 0..ONE */
    enum sort last;  /* sort before this piece; BLANK also when it was one blank */
};

static enum sort ascii_sort(unsigned char c)
{
    if (c >= 'a' && c <= 'z')
        return LOWER;
    if (c >= 'A' && c <= 'Z')
        return UPPER;
    if (c >= '0' && c <= '9')
        return DIGIT;
    if (c == '\n' || c == '\r')
        return NEWLINE;
    return c <= ' ' || c == 0x7f ? BLANK : PUNCT;
}

/* The sort of character at `at`, and its bytes. */
static enum sort look(pk_str text, size_t at, size_t *len)
{
    if (at >= text.len) {
        *len = 0;
        return END;
    }
    const unsigned char *s = (const unsigned char *)text.at + at;
    size_t left = text.len - at, wanted = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    *len = 1;
    if (wanted == 1)
        return ascii_sort(s[0]);
    if (s[0] < 0xc2 || s[0] > 0xf4 || wanted > left)
        return BROKEN;
    uint32_t code = s[0] & (0x7fu >> wanted);
    for (size_t i = 1; i < wanted; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return BROKEN;
        code = code << 6 | (s[i] & 0x3fu);
    }
    *len = wanted;
    for (size_t i = 0; i < PK_COUNT(ranges); i++)
        if (code < ranges[i].upto)
            return (enum sort)ranges[i].sort;
    return BROKEN;
}

/* --- words ----------------------------------------------------------------------------------- */

struct word {
    int letters, uppers, accents;
    int consonants; /* most in a row */
    bool vowel, glued;
};

static bool is_vowel(char c)
{
    return strchr("aeiouyAEIOUY", c) != NULL;
}

static int beyond(int n, int limit)
{
    return n > limit ? n - limit : 0;
}

static void add(struct scan *s, enum pk_piece piece, int64_t count)
{
    s->n[piece] += count * ONE;
}

static void count_word(struct scan *s, const struct word *w)
{
    int n = w->letters;
    bool odd = n >= 3 && w->accents == 0 && (!w->vowel || w->consonants > 4);

    if (odd || s->last == DIGIT) {
        add(s, PK_PIECE_odd, 1);
        add(s, PK_PIECE_odd_more, beyond(n, 2));
    } else if (w->accents) {
        add(s, PK_PIECE_accented, 1);
        add(s, PK_PIECE_accented_3, beyond(n, 3));
        add(s, PK_PIECE_accented_7, beyond(n, 7));
    } else if (w->uppers > 1) {
        add(s, PK_PIECE_upper, 1);
        add(s, PK_PIECE_upper_2, beyond(n, 2));
        add(s, PK_PIECE_upper_5, beyond(n, 5));
    } else if (w->glued) {
        add(s, PK_PIECE_glued, 1);
        add(s, PK_PIECE_glued_4, beyond(n, 4));
        add(s, PK_PIECE_glued_8, beyond(n, 8));
    } else {
        add(s, (enum pk_piece)(PK_PIECE_word_1 + (n < LENGTHS ? n : LENGTHS) - 1), 1);
        add(s, PK_PIECE_word_more, beyond(n, LENGTHS));
        s->n[PK_PIECE_foreign] += s->foreign;
        s->n[PK_PIECE_foreign_3] += s->foreign * beyond(n, 3);
        s->n[PK_PIECE_foreign_7] += s->foreign * beyond(n, 7);
    }
}

static bool is_latin(enum sort c)
{
    return c == LOWER || c == UPPER || c == ACCENTED;
}

/* From a letter to where the next piece begins. */
static void take_word(struct scan *s)
{
    struct word w = {.glued = s->last != BLANK && s->last != NEWLINE && s->last != END};
    enum sort before = END, c;
    size_t len;
    int run = 0;

    while (is_latin(c = look(s->text, s->at, &len))) {
        if (c == UPPER && before == LOWER)
            break;
        bool vowel = c == ACCENTED || is_vowel(s->text.at[s->at]);
        run = vowel ? 0 : run + 1;
        w.vowel = w.vowel || vowel;
        w.consonants = run > w.consonants ? run : w.consonants;
        w.letters++;
        w.uppers += c == UPPER;
        w.accents += c == ACCENTED;
        before = c;
        s->at += len;
    }
    count_word(s, &w);
    s->last = before;
}

/* "'s", "'ll": part of the word, or one more token. */
static bool take_contraction(struct scan *s)
{
    size_t i = s->at + 1, len;

    if (s->text.at[s->at] != '\'' || !is_latin(s->last))
        return false;
    while (i - s->at <= 3 && look(s->text, i, &len) == LOWER)
        i += len;
    if (i == s->at + 1 || i - s->at > 3 || look(s->text, i, &len) == LOWER)
        return false;
    add(s, PK_PIECE_contraction, 1);
    s->at = i;
    s->last = LOWER;
    return true;
}

/* --- everything else --------------------------------------------------------------------------- */

/* How many characters of that sort follow. */
static int run_of(struct scan *s, enum sort wanted)
{
    size_t len;
    int n = 0;

    while (look(s->text, s->at, &len) == wanted) {
        s->at += len;
        n++;
    }
    return n;
}

static void take_punct(struct scan *s)
{
    size_t from = s->at, same = 0;
    int n;

    if (take_contraction(s))
        return;
    n = run_of(s, PUNCT);
    for (size_t i = from + 1; i < s->at; i++)
        same += s->text.at[i] == s->text.at[i - 1];
    add(s, s->last == BLANK ? PK_PIECE_punct_spaced : PK_PIECE_punct, 1);
    if (n > 3 && same + 2 >= (size_t)n) {
        add(s, PK_PIECE_rule, n - 3);
    } else {
        add(s, PK_PIECE_punct_1, beyond(n, 1));
        add(s, PK_PIECE_punct_3, beyond(n, 3));
    }
    s->last = PUNCT;
}

static void take_blanks(struct scan *s)
{
    bool lines = s->last == NEWLINE;
    int n = run_of(s, BLANK);

    if (n > 1) {
        add(s, lines ? PK_PIECE_indent : PK_PIECE_blanks, 1);
        add(s, PK_PIECE_blanks_more, beyond(n, 16));
    }
    s->last = BLANK;
}

static void take_newlines(struct scan *s)
{
    int n = run_of(s, NEWLINE);

    add(s, s->last == PUNCT ? PK_PIECE_newline_punct : PK_PIECE_newline, 1);
    add(s, PK_PIECE_newline_more, beyond(n, 2));
    s->last = NEWLINE;
}

static void take_digits(struct scan *s)
{
    bool spaced = s->last == BLANK;
    int n = run_of(s, DIGIT);

    add(s, PK_PIECE_number, (n + 2) / 3);
    add(s, PK_PIECE_digit, n);
    add(s, PK_PIECE_number_spaced, spaced);
    s->last = DIGIT;
}

/* Scripts with words: the first is for one, the others for letters beyond. */
static const struct {
    enum sort sort;
    enum pk_piece one, more;
    int limit;
} scripts[] = {
    {CYRILLIC, PK_PIECE_cyrillic, PK_PIECE_cyrillic_3, 3},
    {GREEK, PK_PIECE_greek, PK_PIECE_greek_2, 2},
    {ARABIC, PK_PIECE_arabic, PK_PIECE_arabic_2, 2},
    {HEBREW, PK_PIECE_hebrew, PK_PIECE_hebrew_2, 2},
    {INDIC, PK_PIECE_indic, PK_PIECE_indic_2, 2},
    {THAI, PK_PIECE_thai, PK_PIECE_thai_2, 2},
    {HANGUL, PK_PIECE_hangul, PK_PIECE_hangul_1, 1},
    {HAN, PK_PIECE_han, PK_PIECE_han_1, 1},
    {KANA, PK_PIECE_kana, PK_PIECE_kana_1, 1},
    {LETTER, PK_PIECE_letter, PK_PIECE_letter_1, 1},
    {WIDE, PK_PIECE_wide, PK_PIECE_wide, 1},
    {MARK, PK_PIECE_mark, PK_PIECE_mark, 1},
    {SYMBOL, PK_PIECE_symbol, PK_PIECE_symbol_1, 1},
    {EMOJI, PK_PIECE_emoji, PK_PIECE_emoji, 1},
    {BROKEN, PK_PIECE_broken, PK_PIECE_broken, 1},
};

static void take_script(struct scan *s, enum sort c)
{
    int n = run_of(s, c);

    for (size_t i = 0; i < PK_COUNT(scripts); i++) {
        if (scripts[i].sort != c)
            continue;
        add(s, scripts[i].one, 1);
        add(s, scripts[i].more, beyond(n, scripts[i].limit));
        if (c == CYRILLIC)
            add(s, PK_PIECE_cyrillic_7, beyond(n, 7));
    }
    s->last = c;
}

/* What tells that a text is not English. */
struct signs {
    int64_t letters, accents, words,
        open; /* words of three letters and more; those that end in a, i, o, u */
};

static void look_for_signs(pk_str text, struct signs *n)
{
    size_t len;
    int letters = 0;

    for (size_t i = 0; i < text.len; i += len) {
        enum sort c = look(text, i, &len);

        if (is_latin(c)) {
            letters++;
            n->letters++;
            n->accents += c == ACCENTED;
            continue;
        }
        if (letters >= 3) {
            n->words++;
            n->open += strchr("aiou", text.at[i - 1]) != NULL;
        }
        letters = 0;
    }
}

/* How foreign the text is: by the share of its accented letters, or of its words that end in vowels. */
static int64_t foreignness(pk_str text)
{
    struct signs n = {0, 0, 0, 0};

    look_for_signs(text, &n);
    int64_t accents = n.accents * FOREIGN_SHARE * ONE / (n.letters + LETTERS_MORE);
    int64_t open = (n.open * 100 + WORDS_MORE * OPEN_USUAL) / (n.words + WORDS_MORE);

    open = (open - OPEN_USUAL) * ONE / OPEN_RANGE;
    int64_t most = accents > open ? accents : open;
    return most < ONE ? most : ONE;
}

void pk_tokens_pieces(pk_str text, int64_t pieces[PK_PIECES])
{
    struct scan s = {.text = text, .n = pieces, .foreign = foreignness(text), .last = END};
    size_t len;

    memset(pieces, 0, PK_PIECES * sizeof *pieces);
    while (s.at < text.len) {
        enum sort c = look(text, s.at, &len);

        if (is_latin(c))
            take_word(&s);
        else if (c == PUNCT)
            take_punct(&s);
        else if (c == BLANK)
            take_blanks(&s);
        else if (c == NEWLINE)
            take_newlines(&s);
        else if (c == DIGIT)
            take_digits(&s);
        else
            take_script(&s, c);
    }
}

/* --- counting ---------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int weights[PK_PIECES]; /* in 1/WEIGHT_ONE token */
} families[] = {
#define PIECE(name)
#define FAMILY(name, ...) {#name, {__VA_ARGS__}},
#include "tokens.def"
#undef FAMILY
#undef PIECE
};

/* What a name has in it says which family it is of; the first that fits is taken. */
static const struct {
    const char *part;
    enum pk_family family;
} models[] = {
    {"gpt-4o", PK_FAMILY_o200k},     {"gpt-4.", PK_FAMILY_o200k},
    {"gpt-4", PK_FAMILY_cl100k},     {"gpt-3.5", PK_FAMILY_cl100k},
    {"gpt-35", PK_FAMILY_cl100k},    {"text-embedding", PK_FAMILY_cl100k},
    {"claude", PK_FAMILY_claude},    {"gemini", PK_FAMILY_gemini},
    {"gemma", PK_FAMILY_gemini},     {"llama", PK_FAMILY_llama3},
    {"mistral", PK_FAMILY_llama3},   {"mixtral", PK_FAMILY_llama3},
    {"ministral", PK_FAMILY_llama3}, {"codestral", PK_FAMILY_llama3},
    {"magistral", PK_FAMILY_llama3}, {"devstral", PK_FAMILY_llama3},
    {"pixtral", PK_FAMILY_llama3},   {"command", PK_FAMILY_llama3},
    {"qwen", PK_FAMILY_qwen},        {"qwq", PK_FAMILY_qwen},
    {"kimi", PK_FAMILY_qwen},        {"glm", PK_FAMILY_qwen},
    {"minimax", PK_FAMILY_qwen},     {"deepseek", PK_FAMILY_deepseek},
};

static bool has(pk_str text, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; i + len <= text.len; i++)
        if (pk_str_is_nocase(pk_str_sub(text, i, len), part))
            return true;
    return false;
}

enum pk_family pk_tokens_family(pk_str model)
{
    for (size_t i = 0; i < PK_COUNT(models); i++)
        if (has(model, models[i].part))
            return models[i].family;
    return PK_FAMILY_o200k;
}

const char *pk_tokens_family_name(enum pk_family family)
{
    return families[family].name;
}

int64_t pk_tokens_count(enum pk_family family, pk_str text)
{
    int64_t pieces[PK_PIECES], sum = 0;

    if (text.len == 0)
        return 0;
    pk_tokens_pieces(text, pieces);
    for (int i = 0; i < PK_PIECES; i++)
        sum += pieces[i] * families[family].weights[i];
    sum = (sum + ONE * WEIGHT_ONE / 2) / (ONE * WEIGHT_ONE);
    return sum < 1 ? 1 : sum;
}
