/* scan_find.c - finds scalar calls in the expressions of a plan.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The functions have a support function, which the planner asks while it simplifies expressions: that loads this
 * library in the first statement of a session, before its hooks (scan_plan.c) are looked at, and says which to look for.
 *
 * Only what is evaluated for every row is found: not what is in an arm of CASE, behind the first of AND, OR and
 * COALESCE, or in a subquery.
 */
#include "scan.h"

#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "utils/memutils.h"

static List *known; /* functions that the support function was asked about */

static bool is_call(Node *node)
{
    bool unused;

    if (!IsA(node, FuncExpr) || !list_member_oid(known, ((FuncExpr *)node)->funcid))
        return false;
    const FuncExpr *call = (FuncExpr *)node;
    const struct pk_verb *verb = pk_verb_of(call->funcid, &unused);
    return verb && !call->funcretset && !call->funcvariadic;
}

bool pk_scan_evaluates_all(const Node *node)
{
    switch (nodeTag(node)) {
    case T_List:
    case T_TargetEntry:
    case T_FuncExpr:
    case T_OpExpr:
    case T_DistinctExpr:
    case T_NullIfExpr:
    case T_ScalarArrayOpExpr:
    case T_RelabelType:
    case T_CoerceViaIO:
    case T_NullTest:
    case T_BooleanTest:
    case T_ArrayExpr:
    case T_RowExpr:
    case T_FieldSelect:
    case T_MinMaxExpr:
    case T_CollateExpr:
    case T_NamedArgExpr:
    case T_ConvertRowtypeExpr: return true;
    default: return false;
    }
}

static bool find_calls(Node *node, List **calls)
{
    if (!node)
        return false;
    if (IsA(node, RestrictInfo))
        return find_calls((Node *)((RestrictInfo *)node)->clause, calls);
    if (is_call(node)) {
        *calls = list_append_unique(*calls, node);
        return false;
    }
    if (IsA(node, BoolExpr))
        return find_calls(linitial(((BoolExpr *)node)->args), calls);
    if (IsA(node, CoalesceExpr))
        return find_calls(linitial(((CoalesceExpr *)node)->args), calls);
    if (IsA(node, CaseExpr)) {
        CaseExpr *c = (CaseExpr *)node;

        return find_calls(c->arg ? (Node *)c->arg : (Node *)((CaseWhen *)linitial(c->args))->expr,
                          calls);
    }
    if (!pk_scan_evaluates_all(node))
        return false;
    return expression_tree_walker(node, find_calls, calls);
}

static bool find_aggregated(Node *node, List **calls)
{
    if (!node)
        return false;
    if (!IsA(node, Aggref))
        return expression_tree_walker(node, find_aggregated, calls);
    const Aggref *a = (Aggref *)node;
    return find_calls(a->aggfilter ? (Node *)a->aggfilter : (Node *)a->args, calls);
}

static bool has_alternatives(Node *node, void *unused)
{
    if (!node)
        return false;
    if (IsA(node, AlternativeSubPlan))
        return true;
    return expression_tree_walker(node, has_alternatives, unused);
}

bool pk_scan_may_find(void)
{
    return known != NIL;
}

List *pk_scan_find(void *expression)
{
    List *calls = NIL;

    (void)find_calls(expression, &calls);
    return calls;
}

List *pk_scan_find_aggregated(void *expression)
{
    List *calls = NIL;

    (void)find_aggregated(expression, &calls);
    return calls;
}

bool pk_scan_contains(Node *node, List *calls)
{
    if (!node)
        return false;
    if (list_member(calls, node))
        return true;
    return expression_tree_walker(node, pk_scan_contains, calls);
}

bool pk_scan_has_alternatives(void *expression)
{
    return has_alternatives(expression, NULL);
}

PK_FUNCTION(pk_sql_support);
Datum pk_sql_support(PG_FUNCTION_ARGS)
{
    Node *request = (Node *)PG_GETARG_POINTER(0);

    if (IsA(request, SupportRequestSimplify)) {
        Oid function = ((SupportRequestSimplify *)request)->fcall->funcid;
        MemoryContext outer = MemoryContextSwitchTo(TopMemoryContext);

        known = list_append_unique_oid(known, function);
        MemoryContextSwitchTo(outer);
    }
    PG_RETURN_POINTER(NULL);
}
