/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Planning of a scan: what the planner knows of it, and what the plan carries.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/plan.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "fdw/condition.h"
#include "fdw/estimate.h"
#include "fdw/loops.h"
#include "fdw/options.h"
#include "fdw/paths.h"
#include "fdw/relation.h"
#include "fdw/shape.h"
#include "fdw/window_call.h"
#include "net/compat.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/rel.h"

/* What the planner learns of a relation once and hands from step to step. */
typedef struct RelationPlan
{
	MsgTraceSettings settings;
	MsgTraceTable table;
	MsgTraceEstimate estimate; /* by the relation's own conditions */
	bool correlated;		   /* the query is executed for each row of another */
} RelationPlan;

void
msgtrace_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	RelationPlan *plan = palloc0(sizeof(RelationPlan));
	Relation relation = table_open(table_id, NoLock);

	msgtrace_settings_read(&plan->settings, table_id, InvalidOid);
	plan->table.described = msgtrace_relation_describe(relation);
	plan->table.desc = CreateTupleDescCopy(RelationGetDescr(relation));
	plan->table.settings = &plan->settings;
	plan->table.varno = (int) rel->relid;
	table_close(relation, NoLock);
	msgtrace_estimate(&plan->estimate, root, rel, &plan->table, rel->baserestrictinfo);
	plan->correlated = msgtrace_loops_are_of(root);
	rel->rows = plan->estimate.rows;
	rel->tuples = Max(rel->rows, plan->settings.rows_per_day * plan->settings.dialect->days_held);
	rel->fdw_private = plan;
}

void
msgtrace_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id pg_attribute_unused())
{
	RelationPlan *plan = rel->fdw_private;

	msgtrace_paths_add(root, rel, &plan->table, &plan->estimate);
}

List *
msgtrace_plan_columns(RelOptInfo *rel, Oid table_id, List *clauses, AttrNumber sorted_by)
{
	Relation relation = table_open(table_id, NoLock);
	TupleDesc desc = RelationGetDescr(relation);
	Bitmapset *used = NULL;
	List *needed = NIL;
	ListCell *cell;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	if (sorted_by > 0)
		used = bms_add_member(used, sorted_by - FirstLowInvalidHeapAttributeNumber);
	foreach (cell, clauses)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, cell)->clause, rel->relid, &used);
	for (int i = 0; i < desc->natts; i++)
	{
		int attno = i + 1;
		bool wanted = bms_is_member(attno - FirstLowInvalidHeapAttributeNumber, used) ||
					  bms_is_member(0 - FirstLowInvalidHeapAttributeNumber,
									used); /* the whole row */

		if (wanted && !TupleDescAttr(desc, i)->attisdropped)
			needed = lappend_int(needed, attno);
	}
	table_close(relation, NoLock);
	return needed;
}

/* Those of the scan itself; a condition without columns stands above it. */
static List *
scan_clauses(List *clauses)
{
	List *own = NIL;
	ListCell *cell;

	foreach (cell, clauses)
	{
		if (!lfirst_node(RestrictInfo, cell)->pseudoconstant)
			own = lappend(own, lfirst(cell));
	}
	return own;
}

/*
 * Every condition is checked again by the executor, but for one: a window that
 * the service was asked for, all answers to which are wanted.
 */
static void
keep_strays(List **clauses, List **reasons)
{
	List *checked = NIL;
	List *why = NIL;
	ListCell *clause;
	ListCell *reason;

	forboth(clause, *clauses, reason, *reasons)
	{
		if (msgtrace_window_call_read(lfirst_node(RestrictInfo, clause)->clause) &&
			*strVal(lfirst(reason)) == '\0')
			continue;
		checked = lappend(checked, lfirst(clause));
		why = lappend(why, lfirst(reason));
	}
	*clauses = checked;
	*reasons = why;
}

ForeignScan *
msgtrace_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id, ForeignPath *path, List *tlist,
				  List *clauses, Plan *outer_plan)
{
	RelationPlan *plan = rel->fdw_private;
	List *own = scan_clauses(clauses);
	MsgTraceShape shape;
	List *values;
	List *reasons;
	List *condition = msgtrace_condition_make(root, &plan->table, own, &values, &reasons);
	List *wide;
	List *carried;

	msgtrace_shape_from_list(&shape, linitial_node(List, path->fdw_private));
	shape.loops = plan->correlated || path->path.param_info != NULL;
	msgtrace_shape_finish(&shape, root, &path->path, plan->settings.page_size);
	wide = msgtrace_loops_wide(root, &plan->table, own, reasons, plan->correlated, &values);
	if (shape.keeps_strays)
		keep_strays(&own, &reasons);
	carried = list_make5(makeInteger(MSGTRACE_LIST), condition,
						 msgtrace_plan_columns(rel, table_id, own, shape.received), reasons,
						 msgtrace_shape_to_list(&shape));
	carried = lappend(carried, wide);
	return make_foreignscan(tlist, extract_actual_clauses(own, false), rel->relid, values, carried,
							NIL, NIL, outer_plan);
}
