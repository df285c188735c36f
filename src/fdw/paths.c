/*-------------------------------------------------------------------------
 *
 * paths.c
 *		The ways in which a message trace can be read.
 *
 * All of it that the query's own conditions leave; or, for each row of another
 * relation, what a join condition leaves for it.  The latter asks once for each
 * row, so it is for few of them; the planner compares the requests.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/paths.h"

#include "net/compat.h"
#include "optimizer/cost.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"

/* ------------------------------------------------------------ parameters */

/* Would the service be asked by this join condition? */
static bool
is_asked_for(PlannerInfo *root, const MsgTraceTable *table, RestrictInfo *clause)
{
	List *values;
	List *reasons;

	msgtrace_condition_make(root, table, list_make1(clause), &values, &reasons);
	return *strVal(linitial(reasons)) == '\0';
}

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

	msgtrace_estimate(&estimate, root, rel, table, clauses);
	info->ppi_rows = estimate.rows;
	add_path(rel, (Path *) msgtrace_foreignscan_path(root, rel, estimate.rows, estimate.startup,
													 estimate.total, NIL, outer, NIL));
}

void
msgtrace_paths_add(PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table,
				   const MsgTraceEstimate *estimate)
{
	List *outers = NIL;
	ListCell *cell;

	add_path(rel,
			 (Path *) msgtrace_foreignscan_path(root, rel, estimate->rows, estimate->startup,
												estimate->total, NIL, rel->lateral_relids, NIL));
	foreach (cell, rel->joininfo)
		outers = add_outer(outers, root, rel, table, lfirst_node(RestrictInfo, cell));
	outers = add_outers_of_classes(outers, root, rel, table);
	foreach (cell, outers)
		add_parameterized(root, rel, table, lfirst(cell));
}
