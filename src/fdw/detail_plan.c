/*-------------------------------------------------------------------------
 *
 * detail_plan.c
 *		Planning of a scan of details.
 *
 * The rows of one delivery cost a request, and there is no other way to them: a
 * path that has the keys, of its own or from an outer relation, is the only good
 * one.  There is always one more, without keys, so that the planner has something
 * to go on with; it costs more than anything else, and fails when it is run.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/detail_plan.h"

#include "access/table.h"
#include "fdw/detail_keys.h"
#include "fdw/options.h"
#include "fdw/plan.h"
#include "net/compat.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "utils/rel.h"

/* In the proportion of a scan of the list. */
#define REQUEST_COST 1000.0

/* More than any plan that has the keys, be it of what enable_nestloop is off for. */
#define IMPOSSIBLE_COST 1e15

/*
 * An equality on a column that nothing is known of is taken to choose one row in
 * 200: of so many, both parts of the key leave five, as a delivery usually has.
 */
#define ROWS_OF_ALL (5.0 * 200 * 200)

/* Of joins in many ways, so many combinations are looked at. */
#define MAX_COMBINATIONS 20

/* What the planner learns of the relation once and hands from step to step. */
typedef struct DetailRelation
{
	MsgTraceDetailTable table;
	double requests_per_key;
} DetailRelation;

void
msgtrace_detail_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	DetailRelation *detail = palloc0(sizeof(DetailRelation));
	Relation relation = table_open(table_id, NoLock);
	MsgTraceSettings settings;

	msgtrace_settings_read(&settings, table_id, InvalidOid);
	detail->table.described = msgtrace_relation_describe(relation);
	detail->table.varno = (int) rel->relid;
	detail->requests_per_key = msgtrace_detail_needs_row(settings.dialect) ? 2 : 1;
	table_close(relation, NoLock);
	rel->tuples = ROWS_OF_ALL;
	set_baserel_size_estimates(root, rel);
	rel->fdw_private = detail;
}

/* ------------------------------------------------------------------ paths */

/* A path whose keys come from the relation's own clauses and these. */
static void
add_path_with_keys(PlannerInfo *root, RelOptInfo *rel, List *clauses, double rows, Relids outer)
{
	const DetailRelation *detail = rel->fdw_private;
	List *values;
	List *keys = msgtrace_detail_keys_make(root, &detail->table, clauses, &values);
	double requests = msgtrace_detail_keys_estimate(root, keys, values) * detail->requests_per_key;
	Cost startup = detail->requests_per_key * REQUEST_COST;

	if (keys == NIL)
		return;
	add_path(rel, (Path *) msgtrace_foreignscan_path(root, rel, rows, startup,
													 Max(startup, requests * REQUEST_COST) +
														 rows * cpu_tuple_cost,
													 NIL, outer, NIL));
}

static void
add_path_without_keys(PlannerInfo *root, RelOptInfo *rel)
{
	ForeignPath *path = msgtrace_foreignscan_path(root, rel, rel->rows, IMPOSSIBLE_COST,
												  IMPOSSIBLE_COST, NIL, rel->lateral_relids, NIL);

	msgtrace_discourage_path(&path->path);
	add_path(rel, (Path *) path);
}

static bool
is_part_of_key(PlannerInfo *root pg_attribute_unused(), RelOptInfo *rel,
			   EquivalenceClass *class pg_attribute_unused(), EquivalenceMember *member, void *arg)
{
	const DetailRelation *detail = rel->fdw_private;

	return msgtrace_detail_keys_field(&detail->table, member->em_expr) == *(const int *) arg;
}

/* Of these clauses those that may name a part of the key. */
static List *
add_joins(List *joins, PlannerInfo *root, RelOptInfo *rel, List *clauses)
{
	const DetailRelation *detail = rel->fdw_private;
	ListCell *cell;

	foreach (cell, clauses)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);

		if (join_clause_is_movable_to(info, rel) &&
			msgtrace_detail_keys_take(root, &detail->table, info->clause))
			joins = lappend(joins, info);
	}
	return joins;
}

static List *
joins_on_key(PlannerInfo *root, RelOptInfo *rel)
{
	int parts[] = {MSGTRACE_ID, MSGTRACE_RECIPIENT};
	List *joins = add_joins(NIL, root, rel, rel->joininfo);

	/* equalities that follow from others: of each call those of one class */
	for (size_t i = 0; rel->has_eclass_joins && i < lengthof(parts); i++)
		joins = add_joins(joins, root, rel,
						  generate_implied_equalities_for_column(
							  root, rel, is_part_of_key, &parts[i], rel->lateral_referencers));
	return joins;
}

static List *
add_combination(List *combinations, const RelOptInfo *rel, Relids relids)
{
	Relids outer = bms_union(bms_difference(relids, rel->relids), rel->lateral_relids);
	ListCell *cell;

	if (bms_is_empty(outer))
		return combinations;
	foreach (cell, combinations)
	{
		if (bms_equal(lfirst(cell), outer))
			return combinations;
	}
	return lappend(combinations, outer);
}

/* Outer relations that may have the key together: each join's, and each two's. */
static List *
combinations_of(const RelOptInfo *rel, List *joins)
{
	List *combinations = NIL;
	ListCell *one;
	ListCell *other;

	foreach (one, joins)
	{
		Relids relids = lfirst_node(RestrictInfo, one)->clause_relids;

		foreach (other, joins)
		{
			if (list_length(combinations) >= MAX_COMBINATIONS)
				return combinations;
			combinations = add_combination(
				combinations, rel,
				bms_union(relids, lfirst_node(RestrictInfo, other)->clause_relids));
		}
	}
	return combinations;
}

void
msgtrace_detail_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id pg_attribute_unused())
{
	ListCell *cell;

	add_path_without_keys(root, rel);
	add_path_with_keys(root, rel, rel->baserestrictinfo, rel->rows, rel->lateral_relids);
	foreach (cell, combinations_of(rel, joins_on_key(root, rel)))
	{
		Relids outer = lfirst(cell);
		ParamPathInfo *param = get_baserel_parampathinfo(root, rel, outer);

		add_path_with_keys(root, rel, list_concat_copy(param->ppi_clauses, rel->baserestrictinfo),
						   param->ppi_rows, outer);
	}
}

/* ------------------------------------------------------------------- plan */

ForeignScan *
msgtrace_detail_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id,
						 ForeignPath *path pg_attribute_unused(), List *tlist, List *clauses,
						 Plan *outer_plan)
{
	const DetailRelation *detail = rel->fdw_private;
	List *values;
	List *keys = msgtrace_detail_keys_make(root, &detail->table, clauses, &values);
	double requests = msgtrace_detail_keys_estimate(root, keys, values) * detail->requests_per_key;
	List *carried = list_make4(makeInteger(MSGTRACE_DETAIL), keys,
							   msgtrace_plan_columns(rel, table_id, clauses, InvalidAttrNumber),
							   makeFloat(psprintf("%.0f", requests)));

	/* every condition is checked again by the executor */
	return make_foreignscan(tlist, extract_actual_clauses(clauses, false), rel->relid, values,
							carried, NIL, NIL, outer_plan);
}
