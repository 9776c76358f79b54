/* scan_plan.c - puts PkBatch under the nodes of a plan that evaluate scalar calls.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A path that evaluates calls gets a CustomPath above it. When that becomes a plan, the child is given another target
 * list, arguments of the calls and what else is wanted without a call in it, and custom_scan_tlist is the same with the
 * calls behind: setrefs.c then replaces a call in the node's own expressions by its column. A condition on a table
 * moves from its scan into the node, one node for each condition, so that the second is asked of rows that passed the
 * first.
 */
#include "scan.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/planner.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"

enum { STAGES_MAX = 8 };

/* CustomPath.custom_private. */
enum path_part {
    PATH_STAGE, /* Integer: which of the conditions on the table, from 0; -1: not conditions */
    PATH_READS, /* Integer, enum pk_scan_reads */
    PATH_CALLS, /* of a target list */
    PATH_LIMIT, /* count and offset; and the number of the limit, for nodes that share it */
    PATH_BELOW, /* expressions that are columns of what is below the child */
};

/* What a parent reads of its child. */
struct demand {
    enum pk_scan_reads reads;
    Node *count, *offset; /* of PK_READS_LIMIT, which has a number: */
    int number;
};

static create_upper_paths_hook_type next_upper_hook;
static set_rel_pathlist_hook_type next_rel_hook;
static int limits; /* that were seen */

static Plan *plan_batch(PlannerInfo *root, RelOptInfo *rel, CustomPath *best, List *tlist,
                        List *clauses, List *plans);

static const CustomPathMethods path_methods = {.CustomName = "PkBatch",
                                               .PlanCustomPath = plan_batch};
static const CustomScanMethods scan_methods = {
    .CustomName = "PkBatch",
    .CreateCustomScanState = pk_scan_new_state,
};

/* --- paths --------------------------------------------------------------------------------- */

/* Where one that evaluates expressions over its child has it. */
static Path **computes_over(Path *p)
{
    switch (nodeTag(p)) {
    case T_AggPath: return &((AggPath *)p)->subpath;
    case T_GroupPath: return &((GroupPath *)p)->subpath;
    case T_WindowAggPath: return &((WindowAggPath *)p)->subpath;
    case T_ProjectionPath: return &((ProjectionPath *)p)->subpath;
    case T_ProjectSetPath: return &((ProjectSetPath *)p)->subpath;
    default: return NULL;
    }
}

static Path *batch_over(Path *child, int stage, struct demand d, List *calls, PathTarget *target)
{
    List *below = target ? child->pathtarget->exprs : NIL;

    CustomPath *c = makeNode(CustomPath);

    c->path.pathtype = T_CustomScan;
    c->path.parent = child->parent;
    c->path.pathtarget = target ? target : child->pathtarget;
    c->path.param_info = child->param_info;
    c->path.rows = child->rows;
    c->path.startup_cost = child->startup_cost;
    c->path.total_cost = child->total_cost;
    c->path.pathkeys = child->pathkeys;
    c->flags = PK_CUSTOMPATH_PROJECTS;
    c->custom_paths = list_make1(child);
    c->custom_private = list_make4(makeInteger(stage), makeInteger(d.reads), calls,
                                   list_make3(d.count, d.offset, makeInteger(d.number)));
    if (!target && computes_over(child))
        below = (*computes_over(child))->pathtarget->exprs;
    c->custom_private = lappend(c->custom_private, below);
    c->methods = &path_methods;
    return &c->path;
}

/* Where a node that only passes rows on has its child; NULL: it is another. */
static Path **passes_on(Path *p)
{
    switch (nodeTag(p)) {
    case T_LimitPath: return &((LimitPath *)p)->subpath;
    case T_LockRowsPath: return &((LockRowsPath *)p)->subpath;
    case T_SortPath:
    case T_IncrementalSortPath: return &((SortPath *)p)->subpath;
    case T_UpperUniquePath: return &((UpperUniquePath *)p)->subpath;
    case T_MaterialPath: return &((MaterialPath *)p)->subpath;
    default: return NULL;
    }
}

/* Whether a count is the same whenever it is asked for, and costs nothing. */
static bool is_plain(Node *node)
{
    return !node || IsA(node, Const) || IsA(node, Param);
}

static struct demand demand_below(Path *p, struct demand d)
{
    switch (nodeTag(p)) {
    case T_LimitPath: {
        const LimitPath *l = (LimitPath *)p;

        if (is_plain(l->limitCount) && is_plain(l->limitOffset))
            return (struct demand){PK_READS_LIMIT, l->limitCount, l->limitOffset, ++limits};
        return (struct demand){PK_READS_SOME};
    }
    case T_SortPath: return (struct demand){PK_READS_ALL};
    case T_LockRowsPath: /* may skip rows that are gone by then */
    case T_IncrementalSortPath:
    case T_UpperUniquePath:
        if (d.reads == PK_READS_LIMIT)
            d.reads = PK_READS_SOME;
        return d;
    default: return d;
    }
}

static struct demand demand_of_computed(Path *p, struct demand d)
{
    if (IsA(p, AggPath) && ((AggPath *)p)->aggstrategy != AGG_SORTED)
        return (struct demand){PK_READS_ALL};
    if (!IsA(p, ProjectionPath) && d.reads == PK_READS_LIMIT)
        d.reads = PK_READS_SOME;
    return d;
}

static Path *wrap(Path *p, struct demand d);

static void wrap_list(List *paths, struct demand d)
{
    ListCell *cell;

    foreach (cell, paths)
        lfirst(cell) = wrap(lfirst(cell), d);
}

/* An aggregate's arguments become columns of what is below it, and of a sort between them. */
static void wrap_aggregated(AggPath *agg, struct demand d)
{
    List *calls = pk_scan_find_aggregated(list_make2(agg->path.pathtarget->exprs, agg->qual));
    List *todo = NIL;
    Path **child = &agg->subpath;
    ListCell *cell;

    if (!calls || IsA(*child, GroupResultPath))
        return;
    PathTarget *target = copy_pathtarget((*child)->pathtarget);
    foreach (cell, calls) {
        if (pk_scan_contains((Node *)target->exprs, list_make1(lfirst(cell))))
            continue;
        add_new_column_to_pathtarget(target, lfirst(cell));
        todo = lappend(todo, lfirst(cell));
    }
    if (!todo)
        return;
    if (IsA(*child, SortPath)) {
        SortPath *sort = (SortPath *)*child;

        sort->subpath = batch_over(sort->subpath, -1, (struct demand){0}, todo, target);
        sort->path.pathtarget = target;
    } else {
        *child = batch_over(*child, -1, d, todo, target);
    }
}

/* Calls that it evaluates itself: those that its child does not have as columns. */
static List *calls_made_by(Path *p, Path *child)
{
    List *mine = NIL;
    ListCell *cell;

    foreach (cell, pk_scan_find(p->pathtarget->exprs))
        if (!child || !pk_scan_contains((Node *)child->pathtarget->exprs, list_make1(lfirst(cell))))
            mine = lappend(mine, lfirst(cell));
    return mine;
}

static Path *wrap_computing(Path *p, struct demand d)
{
    Path **child = computes_over(p);
    struct demand below = demand_of_computed(p, d);

    if (child && pk_scan_find((*child)->pathtarget->exprs))
        *child = wrap(*child, below);
    if (IsA(p, AggPath))
        wrap_aggregated((AggPath *)p, below);
    List *mine = IsA(p, ProjectSetPath) ? NIL : calls_made_by(p, child ? *child : NULL);
    return mine ? batch_over(p, -1, d, mine, NULL) : p;
}

static Path *wrap_modified(Path *p)
{
    return wrap(p, (struct demand){PK_READS_ALL});
}

static bool is_known_shape(Path *p)
{
    switch (nodeTag(p)) {
    case T_Path:
    case T_IndexPath:
    case T_BitmapHeapPath:
    case T_TidPath:
    case T_SubqueryScanPath:
    case T_ForeignPath:
    case T_NestPath:
    case T_MergePath:
    case T_HashPath: return true;
    default: break;
    }
    Path **child = computes_over(p);
    return child && !IsA(*child, GroupResultPath); /* which is one row */
}

/* The path with calls made together wherever its shape is known. */
static Path *wrap(Path *p, struct demand d)
{
    Path **child = passes_on(p);

    if (child) {
        *child = wrap(*child, demand_below(p, d));
        return p;
    }
    switch (nodeTag(p)) {
    case T_ModifyTablePath: pk_each_modified((ModifyTablePath *)p, wrap_modified); return p;
    case T_AppendPath: wrap_list(((AppendPath *)p)->subpaths, d); return p;
    case T_MergeAppendPath: /* one row of each, and then of any */
        wrap_list(((MergeAppendPath *)p)->subpaths,
                  (struct demand){d.reads == PK_READS_ALL ? PK_READS_ALL : PK_READS_SOME});
        return p;
    default: break;
    }
    if (!is_known_shape(p) || pk_scan_has_alternatives(p->pathtarget->exprs))
        return p;
    return wrap_computing(p, d);
}

/* Whether the query is all that another reads from. */
static bool is_only_source(const PlannerInfo *parent)
{
    if (parent->parse->hasSubLinks || parent->parse->cteList ||
        bms_membership(parent->all_baserels) != BMS_SINGLETON)
        return false;
    return planner_rt_fetch(bms_singleton_member(parent->all_baserels), parent)->rtekind ==
           RTE_SUBQUERY;
}

/* What is read of the rows of a query: all, unless the planner counts on less, or nobody knows. */
static enum pk_scan_reads reads_of(const PlannerInfo *root)
{
    for (; root->tuple_fraction <= 0; root = root->parent_root)
        if (!root->parent_root)
            return PK_READS_ALL;
        else if (!is_only_source(root->parent_root))
            break;
    return PK_READS_SOME;
}

static void upper_hook(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *in, RelOptInfo *out,
                       void *extra)
{
    if (next_upper_hook)
        next_upper_hook(root, stage, in, out, extra);
    if (pk_settings.batch && pk_scan_may_find() && stage == UPPERREL_FINAL)
        wrap_list(out->pathlist, (struct demand){reads_of(root)});
}

/* --- conditions on a table ----------------------------------------------------------------- */

static int count_conditions(const PlannerInfo *root, const RelOptInfo *rel)
{
    int count = 0;
    ListCell *cell;

    foreach (cell, rel->baserestrictinfo) {
        RestrictInfo *r = lfirst(cell);

        if (pk_scan_has_alternatives(r->clause))
            return 0;
        if (!pk_scan_find(r->clause))
            continue;
        if (r->security_level < root->qual_security_level)
            return 0; /* others may only see rows that passed it */
        count++;
    }
    return Min(count, STAGES_MAX);
}

static bool is_plain_scan(const Path *p)
{
    return IsA(p, Path) || IsA(p, IndexPath) || IsA(p, BitmapHeapPath) || IsA(p, TidPath);
}

static void rel_hook(PlannerInfo *root, RelOptInfo *rel, Index index, RangeTblEntry *entry)
{
    struct demand d = {PK_READS_SOME};
    ListCell *cell;

    if (next_rel_hook)
        next_rel_hook(root, rel, index, entry);
    if (!pk_settings.batch || !pk_scan_may_find())
        return;
    int stages = count_conditions(root, rel);
    if (bms_equal(root->all_baserels, rel->relids) && !root->parse->limitCount)
        d.reads = reads_of(root);
    foreach (cell, rel->pathlist)
        if (is_plain_scan(lfirst(cell)))
            for (int i = 0; i < stages; i++)
                lfirst(cell) = batch_over(lfirst(cell), i, d, NIL, NULL);
}

/* --- plans --------------------------------------------------------------------------------- */

struct columns {
    List *columns, *calls;
    List *below; /* taken whole */
};

/* What an expression that may not be evaluated is made of: only that is computed for every row. */
static bool gather_leaves(Node *node, struct columns *c)
{
    if (!node || list_member(c->calls, node))
        return false;
    if (list_member(c->below, node) || IsA(node, Var) || IsA(node, PlaceHolderVar) ||
        IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, GroupingFunc)) {
        c->columns = list_append_unique(c->columns, node);
        return false;
    }
    return expression_tree_walker(node, gather_leaves, c);
}

static bool is_not(const Node *node)
{
    return IsA(node, BoolExpr) && ((const BoolExpr *)node)->boolop == NOT_EXPR;
}

/* The largest expressions without a call are what the child has to compute. */
static bool gather(Node *node, struct columns *c)
{
    if (!node)
        return false;
    if (IsA(node, List))
        return expression_tree_walker(node, gather, c);
    if (list_member(c->calls, node) || IsA(node, Const) || IsA(node, Param))
        return false;
    if (list_member(c->below, node) || !pk_scan_contains(node, c->calls)) {
        c->columns = list_append_unique(c->columns, node);
        return false;
    }
    if (pk_scan_evaluates_all(node) || is_not(node))
        return expression_tree_walker(node, gather, c);
    return gather_leaves(node, c);
}

static int column_of(List *columns, Node *node)
{
    ListCell *cell;
    int i = 0;

    foreach (cell, columns) {
        i++;
        if (equal(lfirst(cell), node))
            return i;
    }
    elog(ERROR, "pk: an argument is no column");
}

/* Splits the conditions: those with calls, and what stays with the scan. */
static List *take_conditions(Plan *scan)
{
    List *moved = NIL, *kept = NIL;
    ListCell *cell;

    foreach (cell, scan->qual) {
        if (pk_scan_find(lfirst(cell)))
            moved = lappend(moved, lfirst(cell));
        else
            kept = lappend(kept, lfirst(cell));
    }
    scan->qual = kept;
    return moved;
}

/* What this stage checks: the first one with what it leaves to later ones, or what the one below leaves to it. */
static List *conditions_of(Plan *child, int stage)
{
    List *all;

    if (stage < 0)
        return NIL;
    if (stage == 0)
        return take_conditions(child);
    if (list_length(child->qual) < 2)
        return NIL;
    all = list_copy(child->qual);
    child->qual = list_make1(linitial(all));
    return list_delete_first(all);
}

static List *columns_of_args(FuncExpr *call, List *columns)
{
    List *list = NIL;
    ListCell *cell;

    foreach (cell, call->args)
        list = lappend_int(list, column_of(columns, lfirst(cell)));
    return list;
}

/* The child computes the columns; the node's own are those and the calls. */
static void fill(CustomScan *scan, Plan *child, List *columns, List *calls)
{
    List *below = NIL, *own = NIL, *args = NIL;
    ListCell *cell;
    int i = 0;

    foreach (cell, columns) {
        i++;
        below = lappend(below, makeTargetEntry(lfirst(cell), (AttrNumber)i, NULL, false));
        own = lappend(own, makeTargetEntry(copyObject(lfirst(cell)), (AttrNumber)i, NULL, false));
    }
    foreach (cell, calls) {
        i++;
        own = lappend(own, makeTargetEntry(copyObject(lfirst(cell)), (AttrNumber)i, NULL, false));
        args = lappend(args, columns_of_args(lfirst(cell), columns));
    }
    scan->custom_plans = list_make1(change_plan_targetlist(child, below, false));
    scan->custom_scan_tlist = own;
    scan->custom_private = lappend(scan->custom_private, args);
    scan->custom_private = lappend(scan->custom_private, copyObject(calls));
}

static void add_args(struct columns *c)
{
    ListCell *call, *arg;

    foreach (call, c->calls)
        foreach (arg, ((FuncExpr *)lfirst(call))->args)
            c->columns = list_append_unique(c->columns, lfirst(arg));
}

static Plan *plan_batch(PlannerInfo *root, RelOptInfo *rel, CustomPath *best, List *tlist,
                        List *clauses, List *plans)
{
    CustomScan *scan = makeNode(CustomScan);
    int stage = (int)intVal(list_nth(best->custom_private, PATH_STAGE));
    int reads = (int)intVal(list_nth(best->custom_private, PATH_READS));
    Plan *child = linitial(plans);
    List *conditions = conditions_of(child, stage);
    struct columns c = {.below = list_nth(best->custom_private, PATH_BELOW)};

    /* The columns are without the calls of any condition, of which this node makes those of the first. */
    c.calls = stage < 0 ? list_nth(best->custom_private, PATH_CALLS) : pk_scan_find(conditions);
    (void)gather((Node *)get_tlist_exprs(tlist, true), &c);
    (void)gather((Node *)conditions, &c);
    (void)gather((Node *)best->path.pathtarget->exprs, &c); /* a projection above may want them */
    add_args(&c);
    if (conditions)
        c.calls = pk_scan_find(linitial(conditions));
    scan->scan.plan.targetlist = tlist;
    scan->scan.plan.qual = conditions;
    scan->flags = best->flags;
    scan->methods = &scan_methods;
    scan->custom_private = list_make1(makeInteger(reads));
    fill(scan, child, c.columns, c.calls);
    scan->custom_private =
        lappend(scan->custom_private, copyObject(list_nth(best->custom_private, PATH_LIMIT)));
    return &scan->scan.plan;
}

/* --- the library --------------------------------------------------------------------------- */

void pk_scan_init(void)
{
    RegisterCustomScanMethods(&scan_methods);
    next_upper_hook = create_upper_paths_hook;
    create_upper_paths_hook = upper_hook;
    next_rel_hook = set_rel_pathlist_hook;
    set_rel_pathlist_hook = rel_hook;
}
