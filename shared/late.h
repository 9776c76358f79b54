/* late.h - libraries that are opened when they are first needed.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What some libraries bring along takes longer to open than all else that a start does, and many processes never use
 * it. A file that stands for such a library lists its functions, and defines each under its own name: whoever calls
 * them includes the library's header as ever. Until pk_late_open() has succeeded none of them may be called.
 *
 *     #define FUNCTIONS(F)  F(CURL *, curl_easy_init, (void), ())
 *     #define PROCEDURES(F) F(void, curl_easy_cleanup, (CURL * easy), (easy))
 *     PK_LATE_LIBRARY(FUNCTIONS, PROCEDURES)
 */
#ifndef PK_LATE_H
#define PK_LATE_H

#include "base.h"

#define PK_LATE_QUOTED(text)        #text
#define PK_LATE_FILE(name, version) name ".so." PK_LATE_QUOTED(version)

#define PK_LATE_MEMBER(returns, name, parameters, arguments) returns(*name) parameters;
#define PK_LATE_NAME(returns, name, parameters, arguments)   #name,
#define PK_LATE_FUNCTION(returns, name, parameters, arguments)                                     \
    returns(name) parameters                                                                       \
    {                                                                                              \
        return library.name arguments;                                                             \
    }
#define PK_LATE_PROCEDURE(returns, name, parameters, arguments)                                    \
    returns(name) parameters                                                                       \
    {                                                                                              \
        library.name arguments;                                                                    \
    }

/* All of that, of a library whose FUNCTIONS return something and whose PROCEDURES do not. */
#define PK_LATE_LIBRARY(functions, procedures)                                                     \
    static struct {                                                                                \
        functions(PK_LATE_MEMBER) procedures(PK_LATE_MEMBER)                                       \
    } library;                                                                                     \
    static const char *const names[] = {functions(PK_LATE_NAME) procedures(PK_LATE_NAME)};         \
    functions(PK_LATE_FUNCTION) procedures(PK_LATE_PROCEDURE)

/* Opens `file` for the rest of the process and fills the table, of one pointer to a function for each name. One
 * thread at a time. False: the library, or one of its functions, is not there. */
bool pk_late_open(const char *file, const char *const *names, size_t count, void *table,
                  struct pk_error *err) PK_MUST_CHECK;

#endif
