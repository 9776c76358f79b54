/* scan.h - PkBatch: the node of a plan that makes scalar calls of many rows at the same time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *     Custom Scan (PkBatch)       its columns: those of the child, and a call's value for each call
 *       Calls: pk_ask(...)
 *       ->  any node              its columns: arguments of the calls, and what else is wanted of a row
 *
 * scan_find.c finds calls, scan_plan.c puts the node into plans, scan_exec.c reads rows ahead and gives them away in
 * their order, scan_call.c makes a call of a row's arguments. A query of a shape that is not known is planned as ever,
 * and makes its calls one by one. Include pk_pg.h first.
 */
#ifndef PK_SCAN_H
#define PK_SCAN_H

#include "flight.h"
#include "verb.h"
#include "watch.h"

#include "nodes/execnodes.h"
#include "nodes/extensible.h"

/* How many rows a parent will read. */
enum pk_scan_reads { PK_READS_ALL, PK_READS_SOME, PK_READS_LIMIT };

/* CustomScan.custom_private: a list of these. The limit is not in custom_exprs, since setrefs.c would make of it a
 * column that is equal. */
enum pk_scan_part {
    PK_SCAN_READS, /* Integer, enum pk_scan_reads */
    PK_SCAN_CALLS, /* a list for each call: the function's oid, and the child's column of each argument, from 1 */
    PK_SCAN_NODES, /* the FuncExpr of each call */
    PK_SCAN_LIMIT, /* its count and its offset, or NULLs, and its number in the plan */
};

void pk_scan_init(void); /* the planner's hooks */
extern const CustomExecMethods pk_scan_exec_methods;
Node *pk_scan_new_state(CustomScan *plan);

/* --- scan_find.c --------------------------------------------------------------------------- */

bool pk_scan_may_find(void); /* false: nothing was planned in this session that has a call */
/* Calls that are evaluated whenever the expression, or list of some, is, without those in their arguments. */
List *pk_scan_find(void *expression);
/* Those in arguments and filters of aggregates, which are evaluated for every row below them. */
List *pk_scan_find_aggregated(void *expression);
bool pk_scan_contains(Node *node, List *calls);
bool pk_scan_evaluates_all(const Node *node); /* all its parts, whenever it is evaluated */
/* Whether copies of a part are planned each for itself, and may not be equal any more. */
bool pk_scan_has_alternatives(void *expression);

/* --- scan_tell.c --------------------------------------------------------------------------- */

/* What all nodes of a plan that runs have come to: the last to end tells it. */
struct pk_scan_tale;
/* One more node of the plan, or its first. */
struct pk_scan_tale *pk_scan_tale_join(EState *estate);
/* What the node has come to. */
void pk_scan_tale_end(struct pk_scan_tale *t, const struct pk_batch_progress *p);

/* --- scan_call.c --------------------------------------------------------------------------- */

/* One call of every row. */
struct pk_scan_call {
    const struct pk_verb *verb;
    bool json_config;
    FmgrInfo function;
    int arg_count, *columns; /* of the child, from 1 */
};

/* The calls of one scan, from first row to last. All of it is in `context`. */
struct pk_scan_calls {
    MemoryContext context;
    struct pk_batch *batch;
    struct pk_flights flights;
    struct pk_scan_config *configs; /* that were resolved */
    int config_count;
    int64 hits, made;
};

/* What item->host is, in its arena. */
struct pk_scan_ask {
    void *row; /* the scan's */
    int at;    /* which call of the row */
    const struct pk_verb *verb;
    struct pk_run run; /* as built; */
    struct pk_given given;
};

/* Checks the right to call it, and knows what it does. */
void pk_scan_call_open(struct pk_scan_call *c, FuncExpr *call, List *columns);
struct pk_scan_calls *pk_scan_calls_new(MemoryContext context, int concurrency);
/* Adds the call of a row, whose columns are in `slot` and stay there while the current memory context does. */
void pk_scan_calls_add(struct pk_scan_calls *s, struct pk_scan_call *c, TupleTableSlot *slot,
                       void *row, int at);
/* The slug of its config; empty: none is stored, or there are several. */
pk_str pk_scan_calls_config(const struct pk_scan_calls *s);
/* The value of a call that was taken from the batch, in the current memory context; or throws. */
Datum pk_scan_value(const struct pk_item *item, bool *is_null);

#endif
