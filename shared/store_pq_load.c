/* store_pq_load.c - libpq, opened when a store is a database (late.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "late.h"
#include "store_pq_inner.h"

#define LIBRARY "libpq.so.5"

#define FUNCTIONS(F)                                                                               \
    F(PQconninfoOption *, PQconninfoParse, (const char *text, char **why), (text, why))            \
    F(PGconn *, PQconnectStartParams,                                                              \
      (const char *const *words, const char *const *values, int expand), (words, values, expand))  \
    F(PostgresPollingStatusType, PQconnectPoll, (PGconn * c), (c))                                 \
    F(ConnStatusType, PQstatus, (const PGconn *c), (c))                                            \
    F(PGTransactionStatusType, PQtransactionStatus, (const PGconn *c), (c))                        \
    F(char *, PQerrorMessage, (const PGconn *c), (c))                                              \
    F(char *, PQuser, (const PGconn *c), (c))                                                      \
    F(int, PQsocket, (const PGconn *c), (c))                                                       \
    F(int, PQsetnonblocking, (PGconn * c, int on), (c, on))                                        \
    F(PQnoticeReceiver, PQsetNoticeReceiver, (PGconn * c, PQnoticeReceiver to, void *ctx),         \
      (c, to, ctx))                                                                                \
    F(int, PQenterPipelineMode, (PGconn * c), (c))                                                 \
    F(int, PQpipelineSync, (PGconn * c), (c))                                                      \
    F(int, PQsendFlushRequest, (PGconn * c), (c))                                                  \
    F(int, PQflush, (PGconn * c), (c))                                                             \
    F(int, PQconsumeInput, (PGconn * c), (c))                                                      \
    F(int, PQisBusy, (PGconn * c), (c))                                                            \
    F(PGcancel *, PQgetCancel, (PGconn * c), (c))                                                  \
    F(int, PQcancel, (PGcancel * how, char *why, int size), (how, why, size))                      \
    F(PGnotify *, PQnotifies, (PGconn * c), (c))                                                   \
    F(PGresult *, PQgetResult, (PGconn * c), (c))                                                  \
    F(int, PQsendPrepare,                                                                          \
      (PGconn * c, const char *name, const char *sql, int count, const Oid *types),                \
      (c, name, sql, count, types))                                                                \
    F(int, PQsendQueryParams,                                                                      \
      (PGconn * c, const char *sql, int count, const Oid *types, const char *const *values,        \
       const int *lengths, const int *formats, int format),                                        \
      (c, sql, count, types, values, lengths, formats, format))                                    \
    F(int, PQsendQueryPrepared,                                                                    \
      (PGconn * c, const char *name, int count, const char *const *values, const int *lengths,     \
       const int *formats, int format),                                                            \
      (c, name, count, values, lengths, formats, format))                                          \
    F(ExecStatusType, PQresultStatus, (const PGresult *r), (r))                                    \
    F(char *, PQresultErrorField, (const PGresult *r, int field), (r, field))                      \
    F(int, PQntuples, (const PGresult *r), (r))                                                    \
    F(int, PQnfields, (const PGresult *r), (r))                                                    \
    F(Oid, PQftype, (const PGresult *r, int i), (r, i))                                            \
    F(char *, PQgetvalue, (const PGresult *r, int row, int i), (r, row, i))                        \
    F(int, PQgetlength, (const PGresult *r, int row, int i), (r, row, i))                          \
    F(int, PQgetisnull, (const PGresult *r, int row, int i), (r, row, i))

#define PROCEDURES(F)                                                                              \
    F(void, PQconninfoFree, (PQconninfoOption * list), (list))                                     \
    F(void, PQfinish, (PGconn * c), (c))                                                           \
    F(void, PQclear, (PGresult * r), (r))                                                          \
    F(void, PQfreeCancel, (PGcancel * how), (how))                                                 \
    F(void, PQfreemem, (void *at), (at))

PK_LATE_LIBRARY(FUNCTIONS, PROCEDURES)

bool pk_pq_load(struct pk_error *err)
{
    struct pk_error why;

    return library.PQfreemem || pk_late_open(LIBRARY, names, PK_COUNT(names), &library, &why) ||
           pk_fail(err, PK_STORE, "store: libpq cannot be used: %s", why.msg);
}
