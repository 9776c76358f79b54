/* verb.h - what a scalar call is: how its request is made from arguments, and a value from its answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A function is a row of verbs.def. A call of it is pk_verb_begin(), the call itself (drive.c), pk_verb_end() and
 * pk_verb_datum(); whoever makes many calls at once does other things between them. Include pk_pg.h first.
 */
#ifndef PK_VERB_H
#define PK_VERB_H

#include "pk_pg.h"

/* Builds run->request from the arguments, in the current memory context and run->arena. */
typedef bool pk_build_fn(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err);
/* The rest of it, from the store; *config may change. */
typedef bool pk_load_fn(struct pk_run *run, pk_str *config, struct pk_error *err);
/* Makes of a call that succeeded what pk_verb_datum() takes: text, or JSON, or the bytes of a bool, a double or many
 * floats; or *is_null. A verb whose failures are FAIL_OWN also sees calls that failed. */
typedef bool pk_give_fn(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err);

enum pk_gives { PK_GIVES_JSON, PK_GIVES_TEXT, PK_GIVES_VECTOR, PK_GIVES_BOOL, PK_GIVES_FLOAT8 };

/* When the call fails: as pk.on_error says; NULL as far as that is the provider's fault, else an error (typed.h); or as
 * `give` says. */
enum pk_fails { PK_FAILS_AS_SET, PK_FAILS_CLOSED, PK_FAILS_OWN };

struct pk_verb {
    const char *name; /* of the SQL function */
    pk_build_fn *build;
    pk_load_fn *load;
    pk_give_fn *give;
    int config;   /* which argument that is */
    int required; /* NULL when one of so many is */
    enum pk_gives gives;
    enum pk_fails fails;
    PGFunction text,
        json; /* the function with a config that is text, and its overload with jsonb */
};

/* What is left of a call that is over, or that could not begin. */
struct pk_given {
    bool is_null;
    pk_str out;
    struct pk_error error; /* PK_OK: none, else it is to be thrown with: */
    pk_str detail;
    const char *hint;
};

/* The verb of a function, and whether its config is jsonb. NULL: it is none, or one that runs with settings or as a
 * role of its own. Loads the function's library. */
const struct pk_verb *pk_verb_of(Oid function, bool *json_config);

/* Whether the value is NULL without a call. */
bool pk_verb_null(const struct pk_verb *verb, FunctionCallInfo fcinfo);

/* Fills in run->request, and *config, which the call needs. run->store is made. In the current memory context, in which
 * run->arena is. */
bool pk_verb_begin(const struct pk_verb *verb, bool json_config, FunctionCallInfo fcinfo,
                   struct pk_run *run, pk_str *config, struct pk_error *err) PK_MUST_CHECK;
/* Of a run that is over; strings are in its arena, but for hints. Does not throw. */
void pk_verb_end(const struct pk_verb *verb, struct pk_run *run, struct pk_given *o);
/* What a person may do about the error, and the provider's own words, for an error that is thrown. */
void pk_verb_explain(struct pk_run *run, const struct pk_error *e, struct pk_given *o);
_Noreturn void pk_given_throw(const struct pk_given *o);
/* In the current memory context. */
Datum pk_verb_datum(const struct pk_verb *verb, pk_str out);

/* Every build, load and give of the table, and its functions. */
#define VERB(name, build, load, give, config, required, gives, fails)                              \
    extern pk_build_fn pk_build_##build;                                                           \
    extern pk_load_fn pk_load_##load;                                                              \
    extern pk_give_fn pk_give_##give;                                                              \
    PGDLLEXPORT Datum pk_sql_##name(PG_FUNCTION_ARGS);                                             \
    PGDLLEXPORT Datum pk_sql_##name##_json(PG_FUNCTION_ARGS);
#include "verbs.def"
#undef VERB

#endif
