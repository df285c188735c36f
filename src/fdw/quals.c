/*-------------------------------------------------------------------------
 *
 * quals.c
 *		Which conditions the service can narrow a scan by, and their values.
 *
 * A condition is pushed when it compares a column with something that does not
 * change during the scan: a constant, a parameter, a stable function.  Values
 * are evaluated when the scan starts, so prepared statements and now() lose
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/quals.h"

#include "access/stratnum.h"
#include "catalog/pg_opfamily_d.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
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
column_of(Expr *expr, RelOptInfo *rel)
{
	while (expr && IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	if (expr && IsA(expr, Var) && ((Var *) expr)->varno == (int) rel->relid &&
		((Var *) expr)->varlevelsup == 0 && ((Var *) expr)->varattno > 0)
		return (Var *) expr;
	return NULL;
}

/* Is its value the same during the whole scan, and known before it starts? */
static bool
is_fixed(Expr *expr, PlannerInfo *root)
{
	return !contain_volatile_functions((Node *) expr) && !contain_subplans((Node *) expr) &&
		   bms_is_empty(pull_varnos(root, (Node *) expr));
}

static bool
read_comparison(PlannerInfo *root, RelOptInfo *rel, Expr *clause, Comparison *comparison)
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
	comparison->column = column_of(left, rel);
	comparison->value = right;
	if (comparison->column == NULL)
	{
		comparison->column = column_of(right, rel);
		comparison->value = left;
		comparison->operator= get_commutator(op->opno);
	}
	return comparison->column && OidIsValid(comparison->operator) &&
		   is_fixed(comparison->value, root);
}

static bool
is_time(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/* Only a timestamptz shows the service's time as it is; (0) would round it. */
static bool
classify_received(const Comparison *comparison, Form_pg_attribute attribute, MsgTraceQualKind *kind)
{
	static const MsgTraceQualKind kinds[] = {[BTLessStrategyNumber] = MSGTRACE_RECEIVED_LT,
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
classify(const Comparison *comparison, Relation relation, const MsgTraceRelation *described,
		 MsgTraceQualKind *kind)
{
	int index = AttrNumberGetAttrOffset(comparison->column->varattno);
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), index);

	switch (described->fields[index])
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
is_pushed_already(List *kinds, MsgTraceQualKind kind)
{
	return (kind == MSGTRACE_SENDER_EQ || kind == MSGTRACE_RECIPIENT_EQ) &&
		   list_member_int(kinds, kind);
}

void
msgtrace_quals_classify(RelOptInfo *rel, Relation relation, const MsgTraceRelation *described,
						List **kinds, List **values)
{
	ListCell *cell;

	*kinds = *values = NIL;
	foreach (cell, rel->baserestrictinfo)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, cell);
		Comparison comparison;
		MsgTraceQualKind kind;

		if (read_comparison(NULL, rel, info->clause, &comparison) &&
			classify(&comparison, relation, described, &kind) && !is_pushed_already(*kinds, kind))
		{
			*kinds = lappend_int(*kinds, kind);
			*values = lappend(*values, comparison.value);
		}
	}
}

/* ------------------------------------------------------ execution time */

/*
 * As the comparison operators do it: a date or timestamp beyond what a
 * timestamptz can hold is beyond all of them.
 */
TimestampTz
msgtrace_quals_time(Datum value, Oid type)
{
	int overflow = 0;
	TimestampTz time;

	if (type == TIMESTAMPTZOID)
		return DatumGetTimestampTz(value);
	if (type == DATEOID)
		time = date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
	else
		time = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
	if (overflow != 0)
		return overflow < 0 ? DT_NOBEGIN : DT_NOEND;
	return time;
}

/* The instant after this one; the infinities have none. */
static TimestampTz
after(TimestampTz time)
{
	return TIMESTAMP_NOT_FINITE(time) ? time : time + 1;
}

static void
narrow_range(MsgTraceQuery *query, MsgTraceQualKind kind, TimestampTz time)
{
	switch (kind)
	{
		case MSGTRACE_RECEIVED_LT:
			msgtrace_query_to(query, time);
			break;
		case MSGTRACE_RECEIVED_LE:
			msgtrace_query_to(query, after(time));
			break;
		case MSGTRACE_RECEIVED_EQ:
			msgtrace_query_from(query, time);
			msgtrace_query_to(query, after(time));
			break;
		case MSGTRACE_RECEIVED_GE:
			msgtrace_query_from(query, time);
			break;
		case MSGTRACE_RECEIVED_GT:
			msgtrace_query_from(query, after(time));
			break;
		default:
			Assert(false);
	}
}

static bool
has_upper_ascii(const char *text)
{
	return text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0';
}

static void
warn_of_spelling(const char *column, const char *value)
{
	ereport(
		WARNING, errcode(ERRCODE_FDW_INVALID_STRING_FORMAT),
		errmsg("no %s can equal \"%s\"", column, value),
		errdetail(
			"Addresses are shown with ASCII letters in lower case, so the service was not asked."),
		errhint("Write \"%s\", or set the option normalize to false.",
				asc_tolower(value, strlen(value))));
}

/* What the column shows is in the normal form; a constant outside it is not met. */
static void
ask_for_address(MsgTraceQuery *query, MsgTraceQualKind kind, const char *value, bool normalize,
				bool *warned)
{
	MsgTraceField field = kind == MSGTRACE_SENDER_EQ ? MSGTRACE_SENDER : MSGTRACE_RECIPIENT;

	if (normalize && has_upper_ascii(value))
	{
		if (!*warned)
			warn_of_spelling(msgtrace_field_info[field].column, value);
		*warned = true;
		query->empty = true;
	}
	else if (msgtrace_query_can_ask_for(value))
	{
		if (kind == MSGTRACE_SENDER_EQ)
			query->sender_address = value;
		else
			query->recipient_address = value;
	}
}

void
msgtrace_quals_evaluate(List *kinds, List *value_states, ExprContext *econtext, bool normalize,
						bool *warned, MsgTraceQuery *query)
{
	ListCell *kind_cell;
	ListCell *state_cell;

	forboth(kind_cell, kinds, state_cell, value_states)
	{
		MsgTraceQualKind kind = lfirst_int(kind_cell);
		ExprState *state = lfirst(state_cell);
		bool is_null;
		Datum value = ExecEvalExprSwitchContext(state, econtext, &is_null);

		if (is_null)
			query->empty = true; /* a comparison with NULL is true of no row */
		else if (kind == MSGTRACE_SENDER_EQ || kind == MSGTRACE_RECIPIENT_EQ)
			ask_for_address(query, kind, TextDatumGetCString(value), normalize, warned);
		else
			narrow_range(query, kind, msgtrace_quals_time(value, exprType((Node *) state->expr)));
	}
}

/* -------------------------------------------------------------- EXPLAIN */

static const char *
symbol_of(MsgTraceQualKind kind)
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
field_of(MsgTraceQualKind kind)
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
msgtrace_quals_describe(List *kinds, List *values, List *context, const MsgTraceDialect *dialect)
{
	StringInfoData text;
	ListCell *kind_cell;
	ListCell *value_cell;

	initStringInfo(&text);
	forboth(kind_cell, kinds, value_cell, values)
	{
		MsgTraceQualKind kind = lfirst_int(kind_cell);

		appendStringInfo(&text, "%s%s %s %s", text.len > 0 ? " AND " : "",
						 dialect->properties[field_of(kind)], symbol_of(kind),
						 deparse_expression(lfirst(value_cell), context, false, false));
	}
	return text.data;
}
