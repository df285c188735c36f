/*-------------------------------------------------------------------------
 *
 * condition.c
 *		Which conditions the service can narrow a scan by.
 *
 * A condition is pushed when it compares a column with something that does not
 * change during the scan: a constant, a parameter, a stable function.  Values
 * are evaluated when the scan starts, so prepared statements and now() lose
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/condition.h"

#include "access/stratnum.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* ------------------------------------------------------- planning time */

/* An operator with our column on its left. */
typedef struct Comparison
{
	Var *column;
	Oid operator;
	Oid collation;
	Expr *value;
} Comparison;

static Var *
column_of(Expr *expr, int varno)
{
	while (expr && IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	if (expr && IsA(expr, Var) && ((Var *) expr)->varno == varno &&
		((Var *) expr)->varlevelsup == 0 && ((Var *) expr)->varattno > 0)
		return (Var *) expr;
	return NULL;
}

/* Is its value the same during the whole scan, and known before it starts? */
static bool
is_fixed(Expr *expr, PlannerInfo *root, int varno)
{
	return !contain_volatile_functions((Node *) expr) && !contain_subplans((Node *) expr) &&
		   !bms_is_member(varno, pull_varnos(root, (Node *) expr));
}

static bool
read_comparison(PlannerInfo *root, int varno, Expr *clause, Comparison *comparison)
{
	OpExpr *op = (OpExpr *) clause;
	Expr *left;
	Expr *right;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	comparison->operator= op->opno;
	comparison->collation = op->inputcollid;
	comparison->column = column_of(left, varno);
	comparison->value = right;
	if (comparison->column == NULL)
	{
		comparison->column = column_of(right, varno);
		comparison->value = left;
		comparison->operator= get_commutator(op->opno);
	}
	return comparison->column && OidIsValid(comparison->operator) &&
		   is_fixed(comparison->value, root, varno);
}

static bool
is_time(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/* Only a timestamptz shows the service's time as it is; (0) would round it. */
static bool
classify_received(const Comparison *comparison, Form_pg_attribute attribute, MsgTraceAtomKind *kind)
{
	static const MsgTraceAtomKind kinds[] = {[BTLessStrategyNumber] = MSGTRACE_RECEIVED_LT,
											 [BTLessEqualStrategyNumber] = MSGTRACE_RECEIVED_LE,
											 [BTEqualStrategyNumber] = MSGTRACE_RECEIVED_EQ,
											 [BTGreaterEqualStrategyNumber] = MSGTRACE_RECEIVED_GE,
											 [BTGreaterStrategyNumber] = MSGTRACE_RECEIVED_GT};
	TypeCacheEntry *type = lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY);
	int strategy;

	if (attribute->atttypid != TIMESTAMPTZOID || attribute->atttypmod >= 0 ||
		!is_time(exprType((Node *) comparison->value)))
		return false;
	strategy = get_op_opfamily_strategy(comparison->operator, type->btree_opf);
	if (strategy == 0)
		return false;
	*kind = kinds[strategy];
	return true;
}

static bool
is_text_equality(const Comparison *comparison, Form_pg_attribute attribute)
{
	return (attribute->atttypid == TEXTOID || attribute->atttypid == VARCHAROID) &&
		   exprType((Node *) comparison->value) == TEXTOID &&
		   get_op_opfamily_strategy(comparison->operator, TEXT_BTREE_FAM_OID) ==
			   BTEqualStrategyNumber &&
		   get_collation_isdeterministic(comparison->collation);
}

static bool
classify(const Comparison *comparison, const MsgTraceTable *table, MsgTraceAtomKind *kind)
{
	int index = AttrNumberGetAttrOffset(comparison->column->varattno);
	Form_pg_attribute attribute = TupleDescAttr(table->desc, index);

	switch (table->described->fields[index])
	{
		case MSGTRACE_RECEIVED:
			return classify_received(comparison, attribute, kind);
		case MSGTRACE_SENDER:
			*kind = MSGTRACE_SENDER_EQ;
			return is_text_equality(comparison, attribute);
		case MSGTRACE_RECIPIENT:
			*kind = MSGTRACE_RECIPIENT_EQ;
			return is_text_equality(comparison, attribute);
		default:
			return false;
	}
}

/* Of several values for one property the service takes the last: send one. */
static bool
is_asked_already(List *condition, MsgTraceAtomKind kind)
{
	ListCell *cell;

	if (kind != MSGTRACE_SENDER_EQ && kind != MSGTRACE_RECIPIENT_EQ)
		return false;
	foreach (cell, condition)
	{
		if (linitial_int(lfirst_node(List, cell)) == (int) kind)
			return true;
	}
	return false;
}

static Expr *
expression_of(void *clause)
{
	return IsA(clause, RestrictInfo) ? ((RestrictInfo *) clause)->clause : (Expr *) clause;
}

List *
msgtrace_condition_make(PlannerInfo *root, const MsgTraceTable *table, List *clauses, List **values,
						List **reasons)
{
	List *condition = NIL;
	ListCell *cell;

	*values = *reasons = NIL;
	foreach (cell, clauses)
	{
		Comparison comparison;
		MsgTraceAtomKind kind;
		const char *reason = "the service has no such filter";

		if (read_comparison(root, table->varno, expression_of(lfirst(cell)), &comparison) &&
			classify(&comparison, table, &kind))
		{
			reason = "it has one value for each property";
			if (!is_asked_already(condition, kind))
			{
				condition = lappend(condition, list_make2_int(kind, list_length(*values)));
				*values = lappend(*values, comparison.value);
				reason = "";
			}
		}
		*reasons = lappend(*reasons, makeString(pstrdup(reason)));
	}
	return condition;
}

/* -------------------------------------------------------------- EXPLAIN */

static const char *
symbol_of(MsgTraceAtomKind kind)
{
	switch (kind)
	{
		case MSGTRACE_RECEIVED_LT:
			return "<";
		case MSGTRACE_RECEIVED_LE:
			return "<=";
		case MSGTRACE_RECEIVED_GE:
			return ">=";
		case MSGTRACE_RECEIVED_GT:
			return ">";
		default:
			return "=";
	}
}

static MsgTraceField
field_of(MsgTraceAtomKind kind)
{
	switch (kind)
	{
		case MSGTRACE_SENDER_EQ:
			return MSGTRACE_SENDER;
		case MSGTRACE_RECIPIENT_EQ:
			return MSGTRACE_RECIPIENT;
		default:
			return MSGTRACE_RECEIVED;
	}
}

char *
msgtrace_condition_describe(List *condition, List *values, List *context,
							const MsgTraceDialect *dialect)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach (cell, condition)
	{
		List *atom = lfirst_node(List, cell);
		MsgTraceAtomKind kind = linitial_int(atom);
		Node *value = list_nth(values, lsecond_int(atom));

		appendStringInfo(&text, "%s%s %s %s", text.len > 0 ? " AND " : "",
						 dialect->properties[field_of(kind)], symbol_of(kind),
						 deparse_expression(value, context, false, false));
	}
	return text.data;
}
