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

#include "access/sysattr.h"
#include "access/table.h"
#include "fdw/condition.h"
#include "fdw/options.h"
#include "fdw/question.h"
#include "fdw/relation.h"
#include "net/compat.h"
#include "nodes/nodeFuncs.h"
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

/* What the planner learns of a relation once and hands from step to step. */
typedef struct RelationPlan
{
	MsgTraceSettings settings;
	MsgTraceTable table;
	List *condition; /* what is pushed of the relation's own conditions */
	List *values;
	List *reasons;
	double requests; /* expected */
	double fetched;	 /* rows expected of the service */
} RelationPlan;

/* What the planner can know of the values already. */
static MsgTraceValue *
estimate_values(PlannerInfo *root, List *values)
{
	MsgTraceValue *estimates = palloc0(Max(list_length(values), 1) * sizeof(MsgTraceValue));

	for (int i = 0; i < list_length(values); i++)
	{
		Node *expr = list_nth(values, i);
		Const *constant = (Const *) estimate_expression_value(root, expr);

		estimates[i].type = exprType(expr);
		estimates[i].known = IsA(constant, Const);
		if (!estimates[i].known)
			continue;
		estimates[i].value = constant->constvalue;
		estimates[i].is_null = constant->constisnull;
	}
	return estimates;
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

static void
estimate_question(PlannerInfo *root, RelationPlan *plan)
{
	TimestampTz now = GetCurrentTimestamp();
	MsgTraceQuestionNotes notes = {.warned = true}; /* the scan itself will warn */
	MsgTraceQuestion question;

	msgtrace_question_make(&question, plan->condition, estimate_values(root, plan->values),
						   &plan->settings, now, &notes);
	plan->fetched = msgtrace_question_rows(&question, &plan->settings, now);
	plan->requests = msgtrace_question_requests(&question, &plan->settings, now);
}

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
	plan->condition = msgtrace_condition_make(root, &plan->table, rel->baserestrictinfo,
											  &plan->values, &plan->reasons);

	estimate_question(root, plan);
	rel->rows = clamp_row_est(
		plan->fetched *
		clauselist_selectivity(root, conditions_beside_time(rel, plan), 0, JOIN_INNER, NULL));
	rel->tuples = Max(rel->rows, plan->settings.rows_per_day * plan->settings.dialect->days_held);
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
msgtrace_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id,
				  ForeignPath *path pg_attribute_unused(), List *tlist, List *clauses,
				  Plan *outer_plan)
{
	RelationPlan *plan = rel->fdw_private;
	List *values;
	List *reasons;
	List *condition = msgtrace_condition_make(root, &plan->table, clauses, &values, &reasons);
	List *carried = list_make4(makeInteger(MSGTRACE_LIST), condition, needed_columns(rel, table_id),
							   reasons);

	/* every condition is checked again by the executor */
	return make_foreignscan(tlist, extract_actual_clauses(clauses, false), rel->relid, values,
							carried, NIL, NIL, outer_plan);
}
