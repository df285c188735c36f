/*-------------------------------------------------------------------------
 *
 * paths.c
 *		The ways in which a message trace can be read.
 *
 * All of it that the query's own conditions leave; or, for each row of another
 * relation, what a join condition leaves for it.  The latter asks once for each
 * row, so it is for few of them; the planner compares the requests.  For a LIMIT
 * it can be read slice by slice in the order of time.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/paths.h"

#include "access/stratnum.h"
#include "catalog/pg_type_d.h"
#include "fdw/shape.h"
#include "fdw/window_call.h"
#include "net/compat.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "utils/typcache.h"

/* Would the service be asked by this condition? */
static bool
is_asked_for(PlannerInfo *root, const MsgTraceTable *table, RestrictInfo *clause)
{
	List *values;
	List *reasons;

	msgtrace_condition_make(root, table, list_make1(clause), &values, &reasons);
	return *strVal(linitial(reasons)) == '\0';
}

static bool
keeps_strays(PlannerInfo *root, const RelOptInfo *rel, const MsgTraceTable *table)
{
	ListCell *cell;

	foreach (cell, rel->baserestrictinfo)
	{
		RestrictInfo *clause = lfirst_node(RestrictInfo, cell);

		if (msgtrace_window_call_read(clause->clause) && is_asked_for(root, table, clause))
			return true;
	}
	return false;
}

static MsgTraceShape
shape_of(PlannerInfo *root, const RelOptInfo *rel, const MsgTraceTable *table,
		 const MsgTraceEstimate *estimate)
{
	MsgTraceShape shape = {.queries = estimate->queries,
						   .is_wide = estimate->is_wide,
						   .keeps_strays = keeps_strays(root, rel, table),
						   .requests = estimate->requests,
						   .rows = estimate->fetched};

	return shape;
}

static void
add(PlannerInfo *root, RelOptInfo *rel, const MsgTraceEstimate *estimate, List *pathkeys,
	Relids outer, const MsgTraceShape *shape)
{
	add_path(rel, (Path *) msgtrace_foreignscan_path(root, rel, estimate->rows, estimate->startup,
													 estimate->total, pathkeys, outer,
													 list_make1(msgtrace_shape_to_list(shape))));
}

/* ------------------------------------------------------------ parameters */

/* Note the relations that this clause would take values from, if it is of use. */
static List *
add_outer(List *outers, PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table,
		  RestrictInfo *clause)
{
	Relids outer;
	ListCell *cell;

	if (!join_clause_is_movable_to(clause, rel) || !is_asked_for(root, table, clause))
		return outers;
	outer = bms_union(clause->clause_relids, rel->lateral_relids);
	outer = bms_del_member(outer, (int) rel->relid);
	if (bms_is_empty(outer))
		return outers;
	foreach (cell, outers)
	{
		if (bms_equal(lfirst(cell), outer))
			return outers;
	}
	return lappend(outers, outer);
}

/* The member of an equivalence class that is looked at. */
typedef struct Member
{
	Expr *current; /* NULL: the next one that was not looked at */
	List *seen;
} Member;

static bool
is_member(PlannerInfo *root pg_attribute_unused(), RelOptInfo *rel pg_attribute_unused(),
		  EquivalenceClass *class pg_attribute_unused(), EquivalenceMember *member, void *arg)
{
	Member *wanted = arg;

	if (wanted->current)
		return equal(member->em_expr, wanted->current);
	if (list_member(wanted->seen, member->em_expr))
		return false;
	wanted->current = member->em_expr;
	return true;
}

/* The same of the equalities that follow from others: a = b AND b = c. */
static List *
add_outers_of_classes(List *outers, PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table)
{
	Member member = {NULL, NIL};

	while (rel->has_eclass_joins)
	{
		List *clauses;
		ListCell *cell;

		member.current = NULL;
		clauses = generate_implied_equalities_for_column(root, rel, is_member, &member,
														 rel->lateral_referencers);
		if (member.current == NULL)
			break;
		foreach (cell, clauses)
			outers = add_outer(outers, root, rel, table, lfirst_node(RestrictInfo, cell));
		member.seen = lappend(member.seen, member.current);
	}
	return outers;
}

static void
add_parameterized(PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table, Relids outer)
{
	ParamPathInfo *info = get_baserel_parampathinfo(root, rel, outer);
	List *clauses = list_concat_copy(rel->baserestrictinfo, info->ppi_clauses);
	MsgTraceEstimate estimate;
	MsgTraceShape shape;

	msgtrace_estimate(&estimate, root, rel, table, clauses);
	info->ppi_rows = estimate.rows;
	shape = shape_of(root, rel, table, &estimate);
	add(root, rel, &estimate, NIL, outer, &shape);
}

/* ----------------------------------------------------------------- order */

/* The column that shows the service's time as it is, or NULL. */
static Var *
received_column(const RelOptInfo *rel, const MsgTraceTable *table)
{
	for (int i = 0; i < table->desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(table->desc, i);

		if (table->described->fields[i] == MSGTRACE_RECEIVED &&
			attribute->atttypid == TIMESTAMPTZOID && attribute->atttypmod < 0)
			return makeVar((int) rel->relid, attribute->attnum, TIMESTAMPTZOID, -1, InvalidOid, 0);
	}
	return NULL;
}

static bool
is_order_of(const PathKey *key, Var *column, const RelOptInfo *rel)
{
	TypeCacheEntry *type = lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY);

	return key->pk_opfamily == type->btree_opf &&
		   find_ec_member_matching_expr(key->pk_eclass, (Expr *) column, rel->relids) != NULL;
}

/* In the query's order, if that begins with ours.  A stray is in nobody's order. */
static void
add_ordered(PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table,
			const MsgTraceEstimate *unordered)
{
	Var *column = received_column(rel, table);
	MsgTraceEstimate estimate = *unordered;
	MsgTraceShape shape = shape_of(root, rel, table, unordered);
	PathKey *key;

	if (column == NULL || root->query_pathkeys == NIL || shape.keeps_strays)
		return;
	key = linitial_node(PathKey, root->query_pathkeys);
	if (!is_order_of(key, column, rel))
		return;
	msgtrace_estimate_ordered(&estimate, table);
	shape.order = msgtrace_pathkey_descends(key) ? MSGTRACE_NEWEST_FIRST : MSGTRACE_OLDEST_FIRST;
	shape.received = column->varattno;
	add(root, rel, &estimate, list_make1(key), rel->lateral_relids, &shape);
}

void
msgtrace_paths_add(PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table,
				   const MsgTraceEstimate *estimate)
{
	MsgTraceShape shape = shape_of(root, rel, table, estimate);
	List *outers = NIL;
	ListCell *cell;

	add(root, rel, estimate, NIL, rel->lateral_relids, &shape);
	add_ordered(root, rel, table, estimate);
	foreach (cell, rel->joininfo)
		outers = add_outer(outers, root, rel, table, lfirst_node(RestrictInfo, cell));
	outers = add_outers_of_classes(outers, root, rel, table);
	foreach (cell, outers)
		add_parameterized(root, rel, table, lfirst(cell));
}
