/*-------------------------------------------------------------------------
 *
 * gate.c
 *		Conditions that are the same for all rows of a scan.
 *
 * The column of the tenant has one value, the server's label, so that a condition
 * on it is known before anything is asked.  So is one on a parameter alone, as in
 * "$1 IS NULL OR sender_address = $1".
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/gate.h"

#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"

typedef struct Replacing
{
	const MsgTraceTable *table;
	bool has_tenant;
	bool has_others; /* columns of the table that differ from row to row */
} Replacing;

/* Of a type that takes the label as it is; another may cut or refuse it. */
static bool
shows_tenant(const MsgTraceTable *table, const Var *column)
{
	int index = AttrNumberGetAttrOffset(column->varattno);
	Form_pg_attribute attribute;

	if (column->varattno <= 0 || table->described->fields[index] != MSGTRACE_TENANT)
		return false;
	attribute = TupleDescAttr(table->desc, index);
	return (attribute->atttypid == TEXTOID || attribute->atttypid == VARCHAROID) &&
		   attribute->atttypmod < 0;
}

static Node *
replace_tenant(Node *node, void *context)
{
	Replacing *replacing = context;
	Var *column = (Var *) node;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Var) || column->varno != replacing->table->varno || column->varlevelsup != 0)
		return expression_tree_mutator(node, replace_tenant, context);
	if (!shows_tenant(replacing->table, column))
	{
		replacing->has_others = true;
		return node;
	}
	replacing->has_tenant = true;
	return (Node *) makeConst(column->vartype, column->vartypmod, column->varcollid, -1,
							  CStringGetTextDatum(replacing->table->settings->tenant_label), false,
							  false);
}

static bool
is_plain_value(Expr *expr)
{
	while (IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	return IsA(expr, Const) || IsA(expr, Param) || IsA(expr, Var);
}

/*
 * Nothing that could fail where the executor would not have come to it, as in
 * "$1 = 0 OR 7 / $1 = 2".
 */
static bool
is_plain(Expr *clause)
{
	OpExpr *op = (OpExpr *) clause;

	if (IsA(clause, NullTest))
		return is_plain_value(((NullTest *) clause)->arg);
	if (IsA(clause, BooleanTest))
		return is_plain_value(((BooleanTest *) clause)->arg);
	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return is_plain_value(clause);
	return is_plain_value(linitial(op->args)) && is_plain_value(lsecond(op->args));
}

Expr *
msgtrace_gate_read(PlannerInfo *root, const MsgTraceTable *table, Expr *clause)
{
	Replacing replacing = {table, false, false};
	Expr *gate;

	if (contain_volatile_functions((Node *) clause) || contain_subplans((Node *) clause))
		return NULL;
	gate = (Expr *) replace_tenant((Node *) clause, &replacing);
	if (replacing.has_others || bms_is_member(table->varno, pull_varnos(root, (Node *) gate)))
		return NULL;
	return replacing.has_tenant || is_plain(gate) ? gate : NULL;
}
