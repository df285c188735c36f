/*-------------------------------------------------------------------------
 *
 * plan.c
 *		Planning of a scan: estimates, and what the plan carries.
 *
 * Requests are what a scan costs: the service gives a hundred in five minutes,
 * and each takes seconds.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/plan.h"

#include <math.h>

#include "access/sysattr.h"
#include "access/table.h"
#include "fdw/options.h"
#include "fdw/quals.h"
#include "fdw/relation.h"
#include "net/compat.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * A request takes seconds where a page of a table takes microseconds; but a cost
 * in that proportion would have every small query compiled by the JIT.
 */
#define REQUEST_COST 1000.0

/* The share of a tenant's rows that one address has, by experience. */
#define ADDRESS_SELECTIVITY 0.001

/* What the planner learns of a relation once and hands from step to step. */
typedef struct RelationPlan
{
	List *kinds;	 /* what is pushed: MsgTraceQualKind */
	List *values;	 /* ... and its values */
	double requests; /* expected */
	double fetched;	 /* rows expected of the service */
} RelationPlan;

/* The instant that the planner can know already; false for a parameter's. */
static bool
estimate_time(PlannerInfo *root, Expr *expr, TimestampTz *time)
{
	Const *value = (Const *) estimate_expression_value(root, (Node *) expr);

	if (!IsA(value, Const) || value->constisnull)
		return false;
	*time = msgtrace_quals_time(value->constvalue, value->consttype);
	return true;
}

/* How many days of the trace the query seems to ask for. */
static double
estimated_days(PlannerInfo *root, const RelationPlan *plan, const MsgTraceDialect *dialect)
{
	TimestampTz to = GetCurrentTimestamp();
	TimestampTz from = dialect->earliest(to);
	ListCell *kind;
	ListCell *value;

	forboth(kind, plan->kinds, value, plan->values)
	{
		TimestampTz time;

		if (lfirst_int(kind) > MSGTRACE_RECEIVED_GT || !estimate_time(root, lfirst(value), &time))
			continue;
		if (lfirst_int(kind) <= MSGTRACE_RECEIVED_EQ)
			to = Min(to, time);
		if (lfirst_int(kind) >= MSGTRACE_RECEIVED_EQ)
			from = Max(from, time);
	}
	return from < to ? (double) (to - from) / USECS_PER_DAY : 0;
}

static double
address_selectivity(const RelationPlan *plan)
{
	double selectivity = 1;

	if (list_member_int(plan->kinds, MSGTRACE_SENDER_EQ))
		selectivity *= ADDRESS_SELECTIVITY;
	if (list_member_int(plan->kinds, MSGTRACE_RECIPIENT_EQ))
		selectivity *= ADDRESS_SELECTIVITY;
	return selectivity;
}

/* Conditions on `received` are in the range already: leave them out here. */
static List *
conditions_beside_time(RelOptInfo *rel, const RelationPlan *plan)
{
	List *others = NIL;
	ListCell *cell;

	foreach (cell, rel->baserestrictinfo)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);
		OpExpr *op = (OpExpr *) info->clause;

		if (IsA(op, OpExpr) && (list_member_ptr(plan->values, linitial(op->args)) ||
								list_member_ptr(plan->values, llast(op->args))))
			continue;
		others = lappend(others, info);
	}
	return others;
}

void
msgtrace_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	RelationPlan *plan = palloc0(sizeof(RelationPlan));
	MsgTraceSettings settings;
	Relation relation = table_open(table_id, NoLock);
	double days;

	msgtrace_settings_read(&settings, table_id, InvalidOid);
	msgtrace_quals_classify(rel, relation, msgtrace_relation_describe(relation), &plan->kinds,
							&plan->values);
	table_close(relation, NoLock);

	days = estimated_days(root, plan, settings.dialect);
	plan->fetched = clamp_row_est(settings.rows_per_day * days * address_selectivity(plan));
	plan->requests = Max(ceil(plan->fetched / settings.page_size), ceil(days / 10));
	rel->rows = clamp_row_est(
		plan->fetched *
		clauselist_selectivity(root, conditions_beside_time(rel, plan), 0, JOIN_INNER, NULL));
	rel->tuples = Max(rel->rows, settings.rows_per_day * settings.dialect->days_held);
	rel->fdw_private = plan;
}

void
msgtrace_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id pg_attribute_unused())
{
	RelationPlan *plan = rel->fdw_private;
	Cost startup = REQUEST_COST;
	Cost total = startup + plan->requests * REQUEST_COST +
				 plan->fetched * (cpu_tuple_cost + rel->baserestrictcost.per_tuple);

	add_path(rel, (Path *) msgtrace_foreignscan_path(root, rel, rel->rows, startup, total,
													 rel->lateral_relids));
}

/* The columns that the scan must fill, by number. */
static List *
needed_columns(RelOptInfo *rel, Oid table_id)
{
	Relation relation = table_open(table_id, NoLock);
	TupleDesc desc = RelationGetDescr(relation);
	Bitmapset *used = NULL;
	List *needed = NIL;
	ListCell *cell;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	foreach (cell, rel->baserestrictinfo)
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

ForeignScan *
msgtrace_get_plan(PlannerInfo *root pg_attribute_unused(), RelOptInfo *rel, Oid table_id,
				  ForeignPath *path pg_attribute_unused(), List *tlist, List *clauses,
				  Plan *outer_plan)
{
	RelationPlan *plan = rel->fdw_private;
	List *carried = list_make2(plan->kinds, needed_columns(rel, table_id));

	/* every condition is checked again by the executor */
	return make_foreignscan(tlist, extract_actual_clauses(clauses, false), rel->relid, plan->values,
							carried, NIL, NIL, outer_plan);
}
