/* injection.c - see injection.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A pattern is up to four classes in a row, with at most `gap` other words between two of them. For each prefix of
 * each pattern it is enough to know the last word that ended it, so all patterns are followed at once, word by
 * word. Weights of different names add up as independent probabilities do: 1 - (1 - a)(1 - b).
 */
#include "injection_inner.h"

#include <string.h>

enum {
    STEPS_MAX = 4,
    DISCUSS_WORDS = 16,     /* how far ahead a word like "attacker" reaches */
    PAYLOAD_BYTES_MIN = 24, /* base64 that is worth decoding */
    PAYLOAD_BYTES_MAX = 4096,
    PAYLOADS_MAX = 8,
    HIDDEN_MIN = 3,
    TAGS_MIN = 4,
    DRESSED_MIN = 2, /* known words in disguise */
};

#define IN(name) PK_CLASS_BIT(name)

/* Names of what is found. Patterns of one name count once, with the heaviest. */
enum name {
    IGNORE_INSTRUCTIONS,
    REVEAL_PROMPT,
    NEW_PERSONA,
    NO_LIMITS,
    SPECIAL_MODE,
    NEW_INSTRUCTIONS,
    FALSE_AUTHORITY,
    NO_REFUSAL,
    FAKE_MARKUP,
    ENCODED_COMMAND,
    ENCODED_PAYLOAD,
    HIDDEN_CHARACTERS,
    DISGUISED_WORDS,
    NAMES,
};

static const char *const names[NAMES] = {
    "ignore_instructions", "reveal_prompt",     "new_persona",     "no_limits",   "special_mode",
    "new_instructions",    "false_authority",   "no_refusal",      "fake_markup", "encoded_command",
    "encoded_payload",     "hidden_characters", "disguised_words",
};

/* clang-format off */
static const struct pattern {
    enum name name;
    double weight;
    int gap;
    uint64_t steps[STEPS_MAX];
} patterns[] = {
    {IGNORE_INSTRUCTIONS, 0.85, 3, {IN(OVERRIDE), IN(PRIOR), IN(ORDERS)}},
    {IGNORE_INSTRUCTIONS, 0.85, 3, {IN(OVERRIDE), IN(ORDERS), IN(PRIOR)}},
    {IGNORE_INSTRUCTIONS, 0.85, 3, {IN(PRIOR), IN(ORDERS), IN(OVERRIDE_LAST)}},
    {IGNORE_INSTRUCTIONS, 0.60, 3, {IN(OVERRIDE), IN(PRIOR), IN(RULES)}},
    {IGNORE_INSTRUCTIONS, 0.60, 3, {IN(OVERRIDE), IN(RULES), IN(PRIOR)}},
    {IGNORE_INSTRUCTIONS, 0.60, 3, {IN(EVADE), IN(PRIOR), IN(ORDERS)}},
    {IGNORE_INSTRUCTIONS, 0.75, 2, {IN(OVERRIDE) | IN(EVADE), IN(YOUR), IN(ORDERS) | IN(RULES)}},
    {IGNORE_INSTRUCTIONS, 0.70, 2, {IN(OVERRIDE) | IN(EVADE), IN(SYSTEM), IN(ORDERS)}},
    {IGNORE_INSTRUCTIONS, 0.55, 2, {IN(OVERRIDE), IN(ALL), IN(ORDERS)}},
    {IGNORE_INSTRUCTIONS, 0.70, 4, {IN(OVERRIDE), IN(EVERYTHING), IN(PRIOR) | IN(ABOVE)}},
    {IGNORE_INSTRUCTIONS, 0.60, 3, {IN(FORGET), IN(EVERYTHING), IN(YOU)}},
    {IGNORE_INSTRUCTIONS, 0.60, 1, {IN(OVERRIDE), IN(ALL), IN(PRIOR), IN(WORDS)}},

    {REVEAL_PROMPT,       0.75, 4, {IN(REVEAL), IN(SYSTEM), IN(ORDERS)}},
    {REVEAL_PROMPT,       0.75, 4, {IN(REVEAL), IN(ORDERS), IN(SYSTEM)}},
    {REVEAL_PROMPT,       0.75, 3, {IN(SYSTEM), IN(ORDERS), IN(REVEAL)}},
    {REVEAL_PROMPT,       0.55, 2, {IN(REVEAL), IN(YOUR), IN(ORDERS)}},
    {REVEAL_PROMPT,       0.75, 2, {IN(WHAT), IN(YOUR), IN(SYSTEM), IN(ORDERS)}},
    {REVEAL_PROMPT,       0.65, 3, {IN(WHAT), IN(ORDERS), IN(PRIOR) | IN(SYSTEM), IN(YOU)}},
    {REVEAL_PROMPT,       0.65, 2, {IN(REVEAL), IN(EVERYTHING) | IN(ALL), IN(ABOVE)}},
    {REVEAL_PROMPT,       0.65, 2, {IN(REVEAL), IN(WORDS), IN(ABOVE)}},

    {NEW_PERSONA,         0.70, 5, {IN(ACT), IN(FREE) | IN(DAN)}},
    {NEW_PERSONA,         0.75, 4, {IN(YOU), IN(ARE), IN(NOW), IN(FREE) | IN(DAN)}},
    {NEW_PERSONA,         0.50, 2, {IN(YOU), IN(ARE), IN(FREE)}},
    {NEW_PERSONA,         0.30, 0, {IN(YOU), IN(ARE), IN(NOW)}},
    {NEW_PERSONA,         0.30, 1, {IN(FROM), IN(NOW), IN(YOU)}},
    {NEW_PERSONA,         0.40, 1, {IN(FROM), IN(NOW), IN(ON), IN(YOU)}},
    {NEW_PERSONA,         0.30, 3, {IN(KEEP), IN(CHARACTER), IN(NO) | IN(ALL)}},
    {NEW_PERSONA,         0.35, 8, {IN(ACT), IN(GRANDMA)}},

    {NO_LIMITS,           0.55, 2, {IN(AI), IN(NO), IN(LIMITS) | IN(ETHICS)}},
    {NO_LIMITS,           0.60, 8, {IN(ACT), IN(NO), IN(LIMITS) | IN(ETHICS)}},
    {NO_LIMITS,           0.40, 1, {IN(NO), IN(ETHICS), IN(LIMITS) | IN(ETHICS)}},
    {NO_LIMITS,           0.55, 1, {IN(FREE), IN(AI)}},
    {NO_LIMITS,           0.35, 1, {IN(NO), IN(LIMITS)}},

    {SPECIAL_MODE,        0.70, 0, {IN(DAN), IN(MODE)}},
    {SPECIAL_MODE,        0.70, 0, {IN(FREE), IN(MODE)}},
    {SPECIAL_MODE,        0.60, 3, {IN(YOU), IN(ARE), IN(DEV), IN(MODE)}},
    {SPECIAL_MODE,        0.20, 0, {IN(DEV), IN(MODE)}},

    {NEW_INSTRUCTIONS,    0.50, 1, {IN(YOUR), IN(NEW), IN(TASK) | IN(ORDERS)}},
    {NEW_INSTRUCTIONS,    0.25, 0, {IN(NEW), IN(ORDERS)}},

    {FALSE_AUTHORITY,     0.50, 1, {IN(I), IN(AM), IN(YOUR), IN(MAKER)}},

    {NO_REFUSAL,          0.30, 2, {IN(NO), IN(REFUSE)}},
    {NO_REFUSAL,          0.30, 2, {IN(KEEP), IN(REFUSE)}},

    {ENCODED_COMMAND,     0.60, 6, {IN(DECODE), IN(EXECUTE), IN(ORDERS) | IN(RULES)}},
    {ENCODED_COMMAND,     0.55, 8, {IN(DECODE), IN(ENCODED), IN(EXECUTE)}},
    {ENCODED_COMMAND,     0.55, 8, {IN(ENCODED), IN(DECODE), IN(EXECUTE)}},
    {ENCODED_COMMAND,     0.20, 6, {IN(DECODE), IN(ENCODED)}},
};

/* What only the inside of a chat template, or an imitation of one, has; ASCII case does not matter. "\n" at the
 * front: at the start of a line. */
static const struct {
    const char *text;
    double weight;
} markup[] = {
    {"<|im_start|>",        0.80}, {"<|im_end|>",          0.70}, {"<|system|>",          0.80},
    {"<|user|>",            0.60}, {"<|assistant|>",       0.60}, {"<|endoftext|>",       0.60},
    {"<|start_header_id|>", 0.80}, {"<|end_header_id|>",   0.60}, {"<|eot_id|>",          0.70},
    {"<|begin_of_text|>",   0.60}, {"<|endofprompt|>",     0.70}, {"<start_of_turn>",     0.70},
    {"<<sys>>",             0.80}, {"<</sys>>",            0.80}, {"[inst]",              0.60},
    {"[/inst]",             0.60}, {"[system]",            0.45}, {"[/system]",           0.60},
    {"<system>",            0.40}, {"</system>",           0.45}, {"<system_prompt>",     0.50},
    {"</system_prompt>",    0.60}, {"</user_input>",       0.50}, {"</instructions>",     0.40},
    {"\nsystem:",           0.40}, {"\n### system",        0.50}, {"\n### instruction",   0.40},
    {"\n# system prompt",   0.40}, {"begin system prompt", 0.50}, {"end system prompt",   0.50},
    {"end of system prompt", 0.60}, {"end of prompt",      0.35}, {"do anything now",     0.75},
};
/* clang-format on */

/* How far one pattern has come. */
struct progress {
    uint64_t any;              /* classes of all steps */
    int last;                  /* step */
    int64_t at[STEPS_MAX];     /* the last word that ended this much of the pattern; -1: none */
    bool discussed[STEPS_MAX]; /* the text had been speaking of attacks when it started */
    bool quoted[STEPS_MAX];
};

struct score {
    double plain[NAMES], quoted[NAMES];
    bool discusses; /* somewhere in the text */
};

static void raise(double *weights, enum name name, double weight)
{
    if (weight > weights[name])
        weights[name] = weight;
}

/* --- words ----------------------------------------------------------------------------------------- */

static void start(struct progress *s, const struct pattern *p)
{
    for (int k = 0; k < STEPS_MAX; k++) {
        s->at[k] = -1;
        s->any |= p->steps[k];
        s->last = p->steps[k] ? k : s->last;
    }
}

/* Word number `i` may go on with what is there of the pattern, or start it. Back to front, so that one
 * word is not two steps. */
static bool advance(const struct pattern *p, struct progress *s, int64_t i,
                    const struct pk_injection_word *word, bool discussed)
{
    bool ended = false;

    for (int k = s->last; k >= 0; k--) {
        if (!(word->classes & p->steps[k]))
            continue;
        if (k > 0 && (s->at[k - 1] < 0 || i - s->at[k - 1] > p->gap + 1))
            continue;
        s->at[k] = i;
        s->discussed[k] = k ? s->discussed[k - 1] : discussed;
        s->quoted[k] = k ? s->quoted[k - 1] : word->quoted;
        ended = ended || k == s->last;
    }
    return ended;
}

static void follow(struct pk_injection_reader *r, struct score *out)
{
    struct progress progress[PK_COUNT(patterns)] = {0};
    struct pk_injection_word word;
    int64_t discussed = -DISCUSS_WORDS - 1;

    for (size_t p = 0; p < PK_COUNT(patterns); p++)
        start(&progress[p], &patterns[p]);
    for (int64_t i = 0; pk_injection_next(r, &word); i++) {
        if (word.classes & IN(DISCUSS)) {
            discussed = i;
            out->discusses = true;
        }
        for (size_t p = 0; word.classes && p < PK_COUNT(patterns); p++) {
            struct progress *s = &progress[p];

            if (!(word.classes & s->any) ||
                !advance(&patterns[p], s, i, &word, i - discussed <= DISCUSS_WORDS))
                continue;
            raise(s->quoted[s->last] ? out->quoted : out->plain, patterns[p].name,
                  patterns[p].weight * (s->discussed[s->last] ? 0.55 : 1));
        }
    }
}

/* --- markup ---------------------------------------------------------------------------------------- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool starts_nocase(pk_str s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (s.len < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower(s.at[i]) != prefix[i])
            return false;
    return true;
}

static bool starts_markup(pk_str text, size_t i)
{
    switch (text.at[i]) {
    case '<':
    case '[':
    case '\n': return true;
    case 'b':
    case 'B':
    case 'd':
    case 'D':
    case 'e':
    case 'E': return i == 0 || lower(text.at[i - 1]) < 'a' || lower(text.at[i - 1]) > 'z';
    default: return false;
    }
}

static void find_markup(pk_str text, struct score *out)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!starts_markup(text, i))
            continue;
        char c = lower(text.at[i]);
        pk_str rest = pk_str_sub(text, i, text.len);

        for (size_t m = 0; m < PK_COUNT(markup); m++)
            if (markup[m].text[0] == c && starts_nocase(rest, markup[m].text))
                raise(out->plain, FAKE_MARKUP, markup[m].weight);
    }
    for (size_t m = 0; m < PK_COUNT(markup); m++) /* the start of the text is the start of a line */
        if (markup[m].text[0] == '\n' && starts_nocase(text, markup[m].text + 1))
            raise(out->plain, FAKE_MARKUP, markup[m].weight);
}

/* --- payloads -------------------------------------------------------------------------------------- */

/* Decodes base64 into printable text; the empty string when it is something else. */
static pk_str printable(pk_str code, char *out)
{
    unsigned bits = 0, held = 0;
    size_t n = 0;

    for (size_t i = 0; i < code.len && n < PAYLOAD_BYTES_MAX; i++) {
        bits = (bits << 6 | (unsigned)pk_base64_sextet(code.at[i])) & 0xfff;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        char c = (char)(bits >> held & 0xff);
        if ((unsigned char)c < ' ' && c != '\n' && c != '\t' && c != '\r')
            return PK_NONE;
        out[n++] = c;
    }
    return (pk_str){out, n};
}

static double combined(const struct score *s)
{
    double innocent = 1;

    for (int n = 0; n < NAMES; n++)
        innocent *= (1 - s->plain[n]) * (1 - s->quoted[n] * (s->discusses ? 0.5 : 1));
    return 1 - innocent;
}

static void find_payloads(const struct pk_injection_index *index, pk_str text, struct score *out)
{
    char decoded[PAYLOAD_BYTES_MAX];
    int found = 0;

    for (size_t i = 0, start = 0; i <= text.len && found < PAYLOADS_MAX; i++) {
        if (i < text.len && pk_base64_sextet(text.at[i]) >= 0)
            continue;
        pk_str inner = PK_NONE;
        if (i - start >= PAYLOAD_BYTES_MIN)
            inner = printable(pk_str_sub(text, start, i - start), decoded);
        start = i + 1;
        if (inner.len == 0)
            continue;
        struct pk_injection_reader r = {.index = index, .text = inner};
        struct score score = {0};

        found++;
        follow(&r, &score);
        raise(out->plain, ENCODED_PAYLOAD, 0.95 * combined(&score));
    }
}

/* --- putting it together ----------------------------------------------------------------------------- */

static void judge_disguise(const struct pk_injection_reader *r, struct score *s)
{
    if (r->tags >= TAGS_MIN)
        raise(s->plain, HIDDEN_CHARACTERS, 0.6);
    if (r->hidden >= HIDDEN_MIN || r->bidi > 0)
        raise(s->plain, HIDDEN_CHARACTERS, 0.35);
    if (r->mixed + r->digits + r->apart >= DRESSED_MIN)
        raise(s->plain, DISGUISED_WORDS, 0.35);
}

void pk_injection_score(pk_str text, struct pk_injection *out)
{
    struct pk_injection_index index;
    struct pk_injection_reader r = {.index = &index, .text = text};
    struct score s = {0};
    double all[NAMES];

    *out = (struct pk_injection){0};
    pk_injection_index_init(&index);
    follow(&r, &s);
    find_markup(text, &s);
    find_payloads(&index, text, &s);
    judge_disguise(&r, &s);
    out->score = combined(&s);
    for (int n = 0; n < NAMES; n++)
        all[n] = s.plain[n] > s.quoted[n] ? s.plain[n] : s.quoted[n];
    while (out->count < PK_INJECTION_MATCHES_MAX) {
        int heaviest = 0;

        for (int n = 1; n < NAMES; n++)
            heaviest = all[n] > all[heaviest] ? n : heaviest;
        if (all[heaviest] <= 0)
            return;
        all[heaviest] = 0;
        out->matches[out->count++] = names[heaviest];
    }
}
