/* guard.h - guardrails: what a config wants checked of requests and answers, and what follows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A guardrail is a list of checks and an action for when one of them fails. Checks are rows of guards.def.
 * Lists of guardrails belong to targets (config.h); stored ones are named by slug and filled in when the
 * config is bound to a store. After that they do not change, and any number of calls share them.
 *
 * Running a list is a small machine of its own, like call.h: pk_guard_next() says what it wants, an
 * HTTP exchange or a stored SQL predicate, and goes on with the answer. It knows no clock and no network.
 *
 * Examined is the text of the last message, or of every message but the system's when the guardrail says
 * scope "all"; of an answer, the text of each choice. What changes texts (redaction, prefixes) changes every
 * message in its scope, which is "all" unless it says "last".
 */
#ifndef PK_GUARD_H
#define PK_GUARD_H

#include "arena.h"
#include "buf.h"

struct pk_dialect;
struct pk_target;
struct pk_guard_kind;

enum {
    PK_GUARDS_MAX = 32, /* guardrails in one list */
    PK_CHECKS_MAX = 32, /* checks in one guardrail */
};

enum pk_guard_phase { PK_GUARD_INPUT, PK_GUARD_OUTPUT };

/* What follows when a check fails. */
enum pk_guard_action {
    PK_GUARD_WARN,    /* the call goes on and says 246 */
    PK_GUARD_REDACT,  /* what was found is blotted out; a check that errs blocks */
    PK_GUARD_RETRY,   /* the target is asked again; when that is used up, as block */
    PK_GUARD_REPLACE, /* the guardrail's message becomes the answer, which says 246 */
    PK_GUARD_BLOCK,   /* 446 */
};

/* What to think of a call: a row of pk_feedback. */
struct pk_guard_feedback {
    bool given;
    int64_t value;
    double weight;
    pk_str metadata; /* JSON object or empty */
};

struct pk_check {
    const struct pk_guard_kind *kind;
    pk_str id; /* as hook_results names it: "default.contains" */
    bool disabled, negate, fail_on_error;
    bool redact;              /* blots out what it finds instead of failing */
    void *params;             /* what the kind makes of its parameters */
    struct pk_target *target; /* the provider that it asks; NULL: none */
};

struct pk_guardrail {
    pk_str id;
    pk_str slug;  /* of a stored one; empty: inline */
    pk_str owner; /* the database role that stored it; empty where there are none */
    pk_str path;  /* where the config has it: "targets[0].input_guardrails[1]" */
    enum pk_guard_phase phase;
    enum pk_guard_action action;
    bool action_given; /* by the config that names the slug, over what is stored */
    bool async, sequential, mutator;
    bool scope_last, scope_all; /* neither: see above */
    bool hold;                  /* output: a stream waits for the verdict */
    bool bound;                 /* false for a slug that was not looked up yet */
    pk_str message;
    pk_str changing; /* its JSON when it may change texts; empty: it never does */
    struct pk_guard_feedback on_success, on_fail;
    struct pk_check *checks;
    int check_count;
};

struct pk_guards {
    struct pk_guardrail *list;
    int count;
    struct pk_guards *next; /* all lists of a config */
    bool any_sync, any_async;
    bool hold;      /* a stream must not go out before the verdict */
    bool by_target; /* the verdict depends on the target: its model */
};

/* Works out what the flags of a list say, and checks that the parts fit together; after binding. */
void pk_guards_settle(struct pk_guards *guards);

/* Reads a list that stands alone, as in a request header. `what` names it in errors. */
bool pk_guards_parse(struct pk_arena *arena, pk_str text, enum pk_guard_phase phase,
                     const char *what, struct pk_guards **out, struct pk_error *err) PK_MUST_CHECK;

/* Reads the body of a stored guardrail into *g, whose id, slug, path, phase and, when given, action stay.
 * Only here may a check be one of SQL. */
bool pk_guardrail_parse(struct pk_arena *arena, pk_str body, struct pk_guardrail *g,
                        struct pk_error *err) PK_MUST_CHECK;

/* Reads a body that is to be stored: good for input, for output, or for both. */
bool pk_guardrail_check(struct pk_arena *arena, pk_str body, struct pk_guardrail *g,
                        struct pk_error *err) PK_MUST_CHECK;

/* The SQL that a check runs in the store; empty: it runs none. */
pk_str pk_check_predicate(const struct pk_check *check);

/* --- a run ---------------------------------------------------------------------------------- */

/* What is examined; borrowed, like all of it, while the run lasts. */
struct pk_guard_call {
    enum pk_guard_phase phase;
    const struct pk_dialect *front;
    pk_str request, response; /* JSON; response is empty for input */
    pk_str model, provider, operation;
    pk_str metadata; /* JSON object or empty */
    pk_str headers;  /* the client's */
    int64_t now_us;
};

enum pk_guard_want {
    PK_GUARD_DONE,
    PK_GUARD_ASK,   /* pk_guard_question() -> pk_guard_answer() */
    PK_GUARD_QUERY, /* pk_guard_query()    -> pk_guard_row() */
};

struct pk_guard_question {
    bool get; /* else POST */
    pk_str url, headers, body;
    const struct pk_target *target; /* whose key to add, if it has one */
    int64_t timeout_ms;
};

/* A predicate to run in the store, with $1 = text, $2 = metadata, $3 = request or answer, both JSON. */
struct pk_guard_query {
    pk_str sql, owner; /* the database role that stored it; empty where there are no roles */
    pk_str text, metadata, document;
    int64_t timeout_ms;
};

/* Ordered: the worst of a list is its outcome. */
enum pk_guard_result {
    PK_GUARD_PASSED,
    PK_GUARD_CHANGED, /* passed, with texts changed */
    PK_GUARD_WARNED,
    PK_GUARD_TRY_AGAIN,
    PK_GUARD_REPLACED,
    PK_GUARD_BLOCKED,
};

/* What came of one guardrail. */
struct pk_guard_mark {
    const struct pk_guardrail *guardrail;
    bool verdict, transformed;
    pk_str failed; /* ids of the checks that failed or erred, separated by commas */
    pk_str why;    /* what the first of them says */
    int64_t started_us, ended_us;
    struct pk_guard_feedback feedback;
};

struct pk_guard_outcome {
    enum pk_guard_result result;
    const struct pk_guard_mark *by; /* the guardrail whose action decided; NULL when passed */
    bool request_changed, response_changed;
    pk_str request, response; /* as they are now */
    pk_str results;           /* JSON array: hook_results of the phase */
    const struct pk_guard_mark *marks;
    int mark_count;
};

struct pk_guard_run;

/* Begins with the guardrails of `own` and then those of `more` (either may be NULL) that are async or that
 * are not. NULL with *err when the texts cannot be read. */
struct pk_guard_run *pk_guard_start(struct pk_arena *arena, const struct pk_guards *own,
                                    const struct pk_guards *more, bool async,
                                    const struct pk_guard_call *call,
                                    struct pk_error *err) PK_MUST_CHECK;

/* Goes on until it wants something or is done. */
enum pk_guard_want pk_guard_next(struct pk_guard_run *run, int64_t now_us);

const struct pk_guard_question *pk_guard_question(const struct pk_guard_run *run);
/* `err` PK_OK: the answer came, with `status`. */
void pk_guard_answer(struct pk_guard_run *run, int status, pk_str body, const struct pk_error *err);

const struct pk_guard_query *pk_guard_query(const struct pk_guard_run *run);
/* `err` PK_OK: the predicate said `truth`: 1, 0, or -1 for null or no row. */
void pk_guard_row(struct pk_guard_run *run, int truth, const struct pk_error *err);

/* At DONE. */
const struct pk_guard_outcome *pk_guard_outcome(const struct pk_guard_run *run);

/* --- answers without a provider, or in place of its own ------------------------------------------- */

/* `answer` (or, when empty, a new answer in the front's shape) that says `text` and nothing else. */
bool pk_guard_replace(struct pk_arena *arena, const struct pk_dialect *front, pk_str answer,
                      pk_str model, pk_str text, int64_t created_s, pk_str *out,
                      struct pk_error *err) PK_MUST_CHECK;

#endif
