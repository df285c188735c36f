/*-------------------------------------------------------------------------
 *
 * loops.c
 *		What of a scan's conditions changes from one loop of it to the next.
 *
 * A condition is of the loop when it takes a value from a row of another
 * relation: by a column of it, or in a correlated subquery by a parameter.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/loops.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

/* The queries around it have values for it; while planning they are known there. */
bool
msgtrace_loops_are_of(const PlannerInfo *root)
{
	for (root = root->parent_root; root; root = root->parent_root)
	{
		if (root->plan_params != NIL)
			return true;
	}
	return false;
}

static bool
has_exec_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC)
		return true;
	return expression_tree_walker(node, has_exec_param, context);
}

/* An InitPlan's result is taken for a value of the loop, too: it may be one. */
static bool
is_of_the_loop(PlannerInfo *root, const MsgTraceTable *table, Node *clause, bool correlated)
{
	Relids others = bms_del_member(pull_varnos(root, clause), table->varno);

	return !bms_is_empty(others) || (correlated && has_exec_param(clause, NULL));
}

/* ------------------------------------------------------------------- key */

static bool
is_of_the_row(PlannerInfo *root, const MsgTraceTable *table, Node *side, bool correlated)
{
	return bms_is_member(table->varno, pull_varnos(root, side)) &&
		   !is_of_the_loop(root, table, side, correlated) && !contain_volatile_functions(side) &&
		   !contain_subplans(side);
}

/* Is it an equality of a value of the row with one of the loop, that can be hashed? */
static bool
read_key(PlannerInfo *root, const MsgTraceTable *table, OpExpr *op, bool correlated, List **sides,
		 List **key)
{
	Node *left;
	Node *right;
	Oid operator;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	operator= op->opno;
	if (!is_of_the_row(root, table, left, correlated))
	{
		left = lsecond(op->args);
		right = linitial(op->args);
		operator= get_commutator(operator);
	}
	if (!OidIsValid(operator) || !is_of_the_row(root, table, left, correlated) ||
		bms_is_member(table->varno, pull_varnos(root, right)) || contain_subplans(right) ||
		contain_volatile_functions(right) || !op_hashjoinable(operator, exprType(left)))
		return false;
	*sides = list_make2(left, right);
	*key = list_make2_oid(operator, op->inputcollid);
	return true;
}

/* ------------------------------------------------------------------ wide */

List *
msgtrace_loops_wide(PlannerInfo *root, const MsgTraceTable *table, List *clauses, List *reasons,
					bool correlated, List **exprs)
{
	int value_count = list_length(*exprs);
	bool asked_by_loop = false;
	List *common = NIL;
	List *sides = NIL;
	List *key = NIL;
	List *values;
	List *condition;
	ListCell *cell;
	ListCell *reason;

	forboth(cell, clauses, reason, reasons)
	{
		Expr *clause = lfirst_node(RestrictInfo, cell)->clause;

		if (!is_of_the_loop(root, table, (Node *) clause, correlated))
		{
			common = lappend(common, lfirst(cell));
			continue;
		}
		asked_by_loop = asked_by_loop || *strVal(lfirst(reason)) == '\0';
		if (key == NIL)
			read_key(root, table, (OpExpr *) clause, correlated, &sides, &key);
	}
	if (!asked_by_loop)
		return NIL;
	condition = msgtrace_condition_make(root, table, common, &values, &reasons);
	*exprs = list_concat(list_concat_copy(*exprs, values), sides);
	return list_make3(condition, list_make2_int(value_count, list_length(values)), key);
}
