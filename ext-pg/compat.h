/* compat.h - what differs between Postgres 13 and 18; every version test of the extension is here.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_COMPAT_H
#define PK_COMPAT_H

#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "pgstat.h" /* wait events, before 14 */
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/relcache.h"

#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#if PG_VERSION_NUM >= 170000
#include "storage/procnumber.h"
#include "utils/resowner.h"
#endif

/* Objects are built with hidden symbols; before 16 the server's macro does not undo that. */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

/* How the worker names the library. From 18 on an extension may be installed outside of $libdir, where
 * only dynamic_library_path finds it, and that is searched for plain names. */
#if PG_VERSION_NUM >= 180000
#define PK_LIBRARY "pk"
#else
#define PK_LIBRARY "$libdir/pk"
#endif

#if PG_VERSION_NUM >= 140000
#define PK_ROLE_READ_FILES ROLE_PG_READ_SERVER_FILES
#else
#define PK_ROLE_READ_FILES DEFAULT_ROLE_READ_SERVER_FILES
#endif

/* A set that lives until it is freed, whatever happens to the transaction. */
static inline WaitEventSet *pk_wait_set_new(int events)
{
#if PG_VERSION_NUM >= 170000
    return CreateWaitEventSet(NULL, events);
#else
    return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

static inline int pk_proc_number(const PGPROC *proc)
{
#if PG_VERSION_NUM >= 170000
    return GetNumberFromPGProc(proc);
#else
    return proc->pgprocno;
#endif
}

/* The index of the table's primary key, or InvalidOid. */
static inline Oid pk_primary_key(Relation table)
{
#if PG_VERSION_NUM >= 180000
    return RelationGetPrimaryKeyIndex(table, false);
#else
    return RelationGetPrimaryKeyIndex(table);
#endif
}

/* No one else may define settings that begin with `prefix`. */
static inline void pk_reserve_settings(const char *prefix)
{
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved(prefix);
#else
    EmitWarningsOnPlaceholders(prefix);
#endif
}

#if PG_VERSION_NUM >= 150000
#define PK_CUSTOMPATH_PROJECTS CUSTOMPATH_SUPPORT_PROJECTION
#else
#define PK_CUSTOMPATH_PROJECTS 0
#endif

/* Whether the current role may call the function. */
static inline AclResult pk_function_right(Oid function)
{
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE);
#else
    return pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE);
#endif
}

/* What an update reads from: one path, or one a table. */
static inline void pk_each_modified(ModifyTablePath *path, Path *(*replace)(Path *))
{
#if PG_VERSION_NUM >= 140000
    path->subpath = replace(path->subpath);
#else
    ListCell *cell;

    foreach (cell, path->subpaths)
        lfirst(cell) = replace(lfirst(cell));
#endif
}

static inline void pk_report_stat(void)
{
#if PG_VERSION_NUM >= 150000
    (void)pgstat_report_stat(false);
#else
    pgstat_report_stat(false);
#endif
}

#endif
