/* injection_inner.h - a text as words and their classes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_INJECTION_INNER_H
#define PK_INJECTION_INNER_H

#include "injection.h"

/* Classes of words: what part a word plays in an attack. injection_words.def says which words. */
enum pk_injection_class {
    PK_CLASS_OVERRIDE,      /* ignore, forget */
    PK_CLASS_FORGET,        /* of these, what is said of memory */
    PK_CLASS_OVERRIDE_LAST, /* the same where the verb comes last */
    PK_CLASS_EVADE,         /* bypass, skip: also said of other things */
    PK_CLASS_PRIOR,
    PK_CLASS_ALL,
    PK_CLASS_YOUR,
    PK_CLASS_EVERYTHING,
    PK_CLASS_ORDERS, /* instructions, prompt */
    PK_CLASS_RULES,  /* rules, restrictions: also said of other things */
    PK_CLASS_SYSTEM, /* system, hidden, initial */
    PK_CLASS_REVEAL, /* reveal, print, repeat */
    PK_CLASS_WHAT,
    PK_CLASS_WORDS, /* text, conversation */
    PK_CLASS_ABOVE,
    PK_CLASS_YOU,
    PK_CLASS_ARE,
    PK_CLASS_NOW,
    PK_CLASS_FROM,
    PK_CLASS_ON,
    PK_CLASS_ACT,  /* act, pretend */
    PK_CLASS_FREE, /* unrestricted, uncensored */
    PK_CLASS_DAN,  /* names of known personas */
    PK_CLASS_AI,
    PK_CLASS_NO,
    PK_CLASS_LIMITS,
    PK_CLASS_ETHICS,
    PK_CLASS_DEV, /* developer, debug, god */
    PK_CLASS_MODE,
    PK_CLASS_NEW,
    PK_CLASS_TASK,
    PK_CLASS_DECODE,
    PK_CLASS_ENCODED, /* base64, rot13 */
    PK_CLASS_EXECUTE,
    PK_CLASS_I,
    PK_CLASS_AM,
    PK_CLASS_MAKER,
    PK_CLASS_REFUSE,
    PK_CLASS_CHARACTER,
    PK_CLASS_KEEP, /* stay, never break */
    PK_CLASS_GRANDMA,
    PK_CLASS_DISCUSS, /* attackers, vulnerability: the text is about attacks */
};

#define PK_CLASS_BIT(name) (1ull << PK_CLASS_##name)

enum { PK_INJECTION_WORD_MAX = 32 };

struct pk_injection_word {
    uint64_t classes; /* 0: means nothing here */
    bool quoted;
};

/* Where in the table of words those with each first byte start. */
struct pk_injection_index {
    uint16_t first[257];
};

void pk_injection_index_init(struct pk_injection_index *index);
/* The classes of a folded word, or 0. */
uint64_t pk_injection_classes(const struct pk_injection_index *index, pk_str word);

/* Reads a text word by word. What was done to hide words is counted on the way. */
struct pk_injection_reader {
    const struct pk_injection_index *index;
    pk_str text;
    size_t at;
    uint32_t before; /* the character before `at` */
    bool quoted;
    size_t apart_end; /* of letters spelled apart that are too many for a word */
    int hidden;       /* invisible characters inside of Latin words */
    int tags;         /* characters of the invisible tag alphabet */
    int bidi;         /* forced changes of direction */
    int mixed;        /* words with letters of two scripts that look alike */
    int digits;       /* known words with digits for letters */
    int apart;        /* known words spelled with their letters apart */
};

bool pk_injection_next(struct pk_injection_reader *r, struct pk_injection_word *out);

#endif
