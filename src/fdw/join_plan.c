/*-------------------------------------------------------------------------
 *
 * join_plan.c
 *		Planning of a message trace joined with its details as one scan.
 *
 * By a nested loop the details are asked for one delivery after the other.  One
 * scan of both has several requests in flight, and checks the trace's own
 * conditions before it asks for a detail.  It is made where each row of the trace
 * is joined with its own details: equal in both parts of the key.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/join_plan.h"

#include "access/table.h"
#include "catalog/pg_type_d.h"
#include "fdw/condition.h"
#include "fdw/detail_keys.h"
#include "fdw/options.h"
#include "fdw/plan.h"
#include "net/compat.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/rel.h"

/*
 * What a delivery costs, in the proportion of a scan of the list: a request like
 * that of a nested loop, but in less time, since several are in flight.
 */
#define DELIVERY_COST 900.0

/* One of the two relations. */
typedef struct JoinSide
{
	RelOptInfo *rel;
	Oid table_id;
	TupleDesc desc;
	MsgTraceDetailTable table;
} JoinSide;

/* What the planner learns of the join once and hands from step to step. */
typedef struct JoinRelation
{
	JoinSide trace;
	JoinSide detail;
	MsgTraceSettings settings; /* of the trace's table */
	List *clauses;			   /* RestrictInfos of the join itself */
} JoinRelation;

/* ------------------------------------------------------- may it be pushed? */

static void
describe_side(JoinSide *side, PlannerInfo *root, RelOptInfo *rel)
{
	Relation relation;

	side->rel = rel;
	side->table_id = planner_rt_fetch(rel->relid, root)->relid;
	relation = table_open(side->table_id, NoLock);
	side->desc = CreateTupleDescCopy(RelationGetDescr(relation));
	side->table.described = msgtrace_relation_describe(relation);
	side->table.varno = (int) rel->relid;
	table_close(relation, NoLock);
}

static bool
is_plain_table(const RelOptInfo *rel)
{
	return rel->reloptkind == RELOPT_BASEREL && bms_is_empty(rel->lateral_relids);
}

/* One table of each kind, whichever is the outer one. */
static JoinRelation *
describe_join(PlannerInfo *root, RelOptInfo *outer, RelOptInfo *inner)
{
	JoinRelation *join = palloc0(sizeof(JoinRelation));

	if (!is_plain_table(outer) || !is_plain_table(inner))
		return NULL;
	describe_side(&join->trace, root, outer);
	describe_side(&join->detail, root, inner);
	if (join->trace.table.described->is_detail)
	{
		JoinSide other = join->trace;

		join->trace = join->detail;
		join->detail = other;
	}
	return !join->trace.table.described->is_detail && join->detail.table.described->is_detail
			   ? join
			   : NULL;
}

/* Is the key shown as it is, whatever it is? */
static bool
has_whole_key(const JoinSide *side)
{
	bool has_id = false;
	bool has_recipient = false;

	for (int i = 0; i < side->desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(side->desc, i);

		if (side->table.described->fields[i] == MSGTRACE_ID)
			has_id = attribute->atttypid == UUIDOID;
		if (side->table.described->fields[i] == MSGTRACE_RECIPIENT)
			has_recipient = attribute->atttypmod < 0 &&
							(attribute->atttypid == TEXTOID || attribute->atttypid == VARCHAROID);
	}
	return has_id && has_recipient;
}

/* The value that these clauses make a part of the key equal to, or NULL. */
static Expr *
value_of(PlannerInfo *root, const JoinSide *side, List *clauses, MsgTraceField part)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		int field;
		Expr *value;

		if (msgtrace_detail_keys_equality(
				root, &side->table, lfirst_node(RestrictInfo, cell)->clause, &field, &value) &&
			field == (int) part)
			return value;
	}
	return NULL;
}

/* Is this part of the key equal on both sides, directly or to the same constant? */
static bool
is_joined_by(PlannerInfo *root, const JoinRelation *join, MsgTraceField part)
{
	Expr *joined = value_of(root, &join->detail, join->clauses, part);
	Expr *trace;
	Expr *detail;

	if (joined && msgtrace_detail_keys_field(&join->trace.table, joined) == (int) part)
		return true;
	trace = value_of(root, &join->trace, join->trace.rel->baserestrictinfo, part);
	detail = value_of(root, &join->detail, join->detail.rel->baserestrictinfo, part);
	return trace && detail && equal(trace, detail);
}

/* Conditions that stand above the scan are not for us to check. */
static bool
has_pseudoconstant(List *clauses)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		if (lfirst_node(RestrictInfo, cell)->pseudoconstant)
			return true;
	}
	return false;
}

/* A row that is to be locked, or shown as a whole, must come from its own table. */
static bool
shows_columns_only(PlannerInfo *root, RelOptInfo *joined)
{
	ListCell *cell;

	if (root->rowMarks != NIL || root->placeholder_list != NIL)
		return false;
	foreach (cell, pull_var_clause((Node *) joined->reltarget->exprs, PVC_INCLUDE_PLACEHOLDERS))
	{
		Var *var = lfirst(cell);

		if (!IsA(var, Var) || var->varattno <= 0)
			return false;
	}
	return true;
}

static bool
is_pushable(PlannerInfo *root, RelOptInfo *joined, const JoinRelation *join)
{
	return shows_columns_only(root, joined) && root->qual_security_level == 0 &&
		   !has_pseudoconstant(join->clauses) &&
		   !has_pseudoconstant(join->trace.rel->baserestrictinfo) &&
		   !has_pseudoconstant(join->detail.rel->baserestrictinfo) && has_whole_key(&join->trace) &&
		   has_whole_key(&join->detail) && is_joined_by(root, join, MSGTRACE_ID) &&
		   is_joined_by(root, join, MSGTRACE_RECIPIENT);
}

/* ------------------------------------------------------------------- paths */

void
msgtrace_join_get_paths(PlannerInfo *root, RelOptInfo *joined, RelOptInfo *outer, RelOptInfo *inner,
						JoinType type, JoinPathExtraData *extra)
{
	JoinRelation *join;
	Path *trace;
	Cost startup;
	Cost total;

	/* it is called for both orders of the two */
	if (type != JOIN_INNER || joined->fdw_private || !bms_is_empty(joined->lateral_relids))
		return;
	join = describe_join(root, outer, inner);
	if (join == NULL)
		return;
	join->clauses = extra->restrictlist;
	if (!is_pushable(root, joined, join))
		return;
	trace = join->trace.rel->cheapest_total_path;
	if (trace == NULL || trace->param_info)
		return;
	msgtrace_settings_read(&join->settings, join->trace.table_id, InvalidOid);
	joined->fdw_private = join;
	startup = trace->startup_cost + DELIVERY_COST;
	total = trace->total_cost + Max(trace->rows, 1) * DELIVERY_COST + joined->rows * cpu_tuple_cost;
	add_path(joined, (Path *) msgtrace_foreign_join_path(root, joined, joined->rows, startup, total,
														 extra->restrictlist));
}

/* -------------------------------------------------------------------- plan */

/* All columns that the scan shows or checks, each as a column of the scan. */
static List *
scan_columns(RelOptInfo *joined, List *quals)
{
	List *columns = add_to_flat_tlist(NIL, pull_var_clause((Node *) joined->reltarget->exprs, 0));

	return add_to_flat_tlist(columns, pull_var_clause((Node *) quals, 0));
}

/* By column of the scan: which of this relation's it is, or 0. */
static List *
columns_of(const JoinSide *side, List *columns)
{
	List *numbers = NIL;
	ListCell *cell;

	foreach (cell, columns)
	{
		Var *var = castNode(Var, lfirst_node(TargetEntry, cell)->expr);
		bool is_own = var->varno == side->table.varno;

		numbers = lappend_int(numbers, is_own ? var->varattno : 0);
	}
	return numbers;
}

ForeignScan *
msgtrace_join_get_plan(PlannerInfo *root, RelOptInfo *joined, List *tlist, Plan *outer_plan)
{
	const JoinRelation *join = joined->fdw_private;
	List *of_trace = join->trace.rel->baserestrictinfo;
	MsgTraceTable table = {.described = join->trace.table.described,
						   .desc = join->trace.desc,
						   .settings = &join->settings,
						   .varno = join->trace.table.varno};
	List *values;
	List *reasons;
	List *condition = msgtrace_condition_make(root, &table, of_trace, &values, &reasons);
	List *first = extract_actual_clauses(of_trace, false);
	List *then = extract_actual_clauses(
		list_concat_copy(join->clauses, join->detail.rel->baserestrictinfo), false);
	List *columns = scan_columns(joined, list_concat_copy(first, then));
	List *carried = list_make3(makeInteger(MSGTRACE_JOIN),
							   list_make2_oid(join->trace.table_id, join->detail.table_id),
							   condition);

	carried = lappend(carried, makeInteger(list_length(values)));
	carried = lappend(carried, columns_of(&join->trace, columns));
	carried = lappend(carried, columns_of(&join->detail, columns));
	carried = lappend(carried, makeFloat(psprintf("%.0f", join->trace.rel->rows)));

	/* the trace's own conditions are checked before a detail is asked for */
	return make_foreignscan(tlist, then, 0, list_concat_copy(values, first), carried, columns, NIL,
							outer_plan);
}
