/* guard_inner.h - what a check is made of, for the files that make up the guardrails.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_GUARD_INNER_H
#define PK_GUARD_INNER_H

#include "config_inner.h"
#include "guard.h"

/* --- the texts of a document (guard_text.c) --------------------------------------------------- */

enum { PK_GUARD_UNIT_SYSTEM = -1 }; /* of a request whose system text is no message (Anthropic) */

/* One string of a message that people or models wrote. */
struct pk_guard_piece {
    int node;    /* its value in the document */
    int unit;    /* the message or choice that it is in */
    bool system; /* of a system message: never redacted, and examined only as the last message */
    pk_str text;
    bool changed;
};

/* A request or an answer, its texts, and how they have been changed. */
struct pk_guard_doc {
    struct pk_arena *arena;
    const struct pk_dialect *front;
    enum pk_guard_phase phase; /* INPUT: a request; OUTPUT: an answer */
    pk_str text;
    struct pk_json json;
    struct pk_guard_piece *pieces;
    int count;
    int units;    /* messages or choices; 1 where there are none of them */
    bool changed; /* since it was opened first */
};

/* PK_BAD_JSON, PK_NO_MEMORY. */
bool pk_guard_doc_open(struct pk_guard_doc *doc, pk_str text, struct pk_error *err) PK_MUST_CHECK;
/* The text of a message or choice: its pieces, joined by line feeds. */
pk_str pk_guard_unit(const struct pk_guard_doc *doc, int unit);
/* Puts the changed pieces into the document and reads it anew. */
bool pk_guard_doc_apply(struct pk_guard_doc *doc, struct pk_error *err) PK_MUST_CHECK;

/* The member of a request of that front that holds what is said. */
const char *pk_guard_list(const struct pk_dialect *front);

/* Adds a message that says `text` before the message `unit`; -1: where the role has its place, in front for the
 * system and else at the end. */
bool pk_guard_doc_insert(struct pk_guard_doc *doc, int unit, pk_str role, pk_str text,
                         struct pk_error *err) PK_MUST_CHECK;

/* --- one check at work ------------------------------------------------------------------------ */

struct pk_check_run {
    struct pk_arena *arena; /* of the call */
    const struct pk_guardrail *guardrail;
    const struct pk_check *check;
    const struct pk_guard_call *call;
    struct pk_guard_doc *request, *response; /* response is NULL for input */
    struct pk_guard_doc *doc;                /* of the two: the one that is examined */

    /* what the kind says */
    bool verdict; /* before `not` */
    bool transformed;
    bool final;   /* `not` is not for this verdict */
    pk_str error; /* why it could not say; empty: it could */
    pk_str why;   /* one sentence about the verdict */
    pk_str extra; /* JSON members for hook_results' `data`, without braces; may be empty */
    enum pk_guard_want want;
    struct pk_guard_question question;
    struct pk_guard_query query;

    /* what it wanted */
    int status, truth;
    pk_str body;
};

struct pk_check_body {
    size_t size; /* of what `params` are read into */
    const struct pk_config_member *params;
    /* Compiles them; NULL: nothing to do. An error names the parameter. */
    bool (*ready)(struct pk_config_reader *p, struct pk_check *check);
    /* Says the verdict, or what it wants; */
    void (*run)(struct pk_check_run *r);
    /* and with that, the verdict. */
    void (*resume)(struct pk_check_run *r);
};

enum { PK_CHECK_REDACTS = 1, PK_CHECK_CHANGES = 2, PK_CHECK_MODEL = 4, PK_CHECK_STORED = 8 };

struct pk_guard_kind {
    const char *type, *ids;
    unsigned phases; /* 1 << PK_GUARD_INPUT and so on */
    unsigned flags;
    const struct pk_check_body *body;
};

#define GUARD(symbol, type, ids, phases, flags) extern const struct pk_check_body pk_check_##symbol;
#include "guards.def"
#undef GUARD

/* NULL: there is none. */
const struct pk_guard_kind *pk_guard_kind_of_type(pk_str type);

/* Appends the list at `value`, the member `name` of what is being read, to *list. Each guardrail starts as
 * `like`: its phase, and its action when that is given. */
bool pk_guards_read(struct pk_config_reader *p, const char *name, int value,
                    const struct pk_guardrail *like, struct pk_guards **list);
/* The seed dialect's object: {input, output} of guardrails, or {input_guardrails, output_guardrails} of
 * slugs with on_fail. lists[] is by phase. */
bool pk_guards_read_both(struct pk_config_reader *p, int value, struct pk_guards *lists[2]);

/* --- for the checks ------------------------------------------------------------------------- */

/* The texts to examine, one a message or choice. */
int pk_check_texts(struct pk_check_run *r, pk_str **texts);
/* Whether this piece is to be changed when texts are. */
bool pk_check_may_change(const struct pk_check_run *r, const struct pk_guard_piece *piece);
void pk_check_change(struct pk_check_run *r, struct pk_guard_piece *piece, pk_str text);

void pk_check_say(struct pk_check_run *r, const char *fmt, ...) PK_PRINTF(2, 3);
void pk_check_err(struct pk_check_run *r, const char *fmt, ...) PK_PRINTF(2, 3);
/* Adds a member to `extra`; null in place of what is too large to show. */
void pk_check_note(struct pk_check_run *r, const char *name, pk_str json);
pk_str pk_check_quoted(struct pk_check_run *r, pk_str text);

/* Whom one asks who is no provider: no key is added. */
extern const struct pk_target pk_guard_nobody;
/* Portkey's name for an operation: "chatComplete". */
pk_str pk_guard_request_type(pk_str operation);
/* Whether any JSON in the text is good; says so when there is none. */
bool pk_check_any_json(struct pk_check_run *r, pk_str text,
                       bool (*good)(struct pk_check_run *, const struct pk_json *));

/* A list of strings, or one string. */
struct pk_strings {
    pk_str *at;
    int count;
};
bool pk_strings_read(struct pk_config_reader *p, const char *name, int value,
                     struct pk_strings *out);
bool pk_strings_have(const struct pk_strings *s, pk_str text);
/* As a JSON array. */
pk_str pk_strings_json(struct pk_arena *arena, const pk_str *at, int count);

enum pk_wanted { PK_WANT_ANY, PK_WANT_ALL, PK_WANT_NONE };
bool pk_wanted_read(struct pk_config_reader *p, int value, enum pk_wanted *out);
const char *pk_wanted_name(enum pk_wanted op);
bool pk_wanted_holds(enum pk_wanted op, int found, int of);

#endif
