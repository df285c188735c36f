/*-------------------------------------------------------------------------
 *
 * atom.c
 *		One comparison that the service can be asked for.
 *
 * A column is compared with something that does not change during a loop of the
 * scan: a constant, a parameter, a stable function, a column of another relation.
 * Operators are known by their functions, since anybody may make an operator
 * that looks like another.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/atom.h"

#include "access/stratnum.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

static const char no_filter[] = "the service has no such filter";
static const char minds_case[] = "the service is not known to ignore case here";

/* A clause taken apart: column, operator, value. */
typedef struct Comparison
{
	Var *column;
	bool lowered;		 /* lower(column) */
	Oid lower_collation; /* by the rules of this one */
	Oid operator;
	Oid function; /* of the operator, or the one that stands in its place */
	Oid collation;
	Expr *value;
	Oid value_type; /* of one, when the value is an array */
	bool any;
} Comparison;

/* ------------------------------------------------------ taking it apart */

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

static bool
take_column(Comparison *comparison, Expr *expr, int varno)
{
	FuncExpr *function = (FuncExpr *) expr;

	comparison->lowered = IsA(expr, FuncExpr) && function->funcid == F_LOWER_TEXT;
	comparison->lower_collation = comparison->lowered ? function->inputcollid : InvalidOid;
	comparison->column = column_of(comparison->lowered ? linitial(function->args) : expr, varno);
	return comparison->column != NULL;
}

static bool
read_operator(Comparison *comparison, OpExpr *op, int varno)
{
	if (list_length(op->args) != 2)
		return false;
	comparison->operator= op->opno;
	comparison->collation = op->inputcollid;
	comparison->value = lsecond(op->args);
	if (!take_column(comparison, linitial(op->args), varno))
	{
		comparison->operator= get_commutator(op->opno);
		comparison->value = linitial(op->args);
		if (!take_column(comparison, lsecond(op->args), varno))
			return false;
	}
	comparison->value_type = exprType((Node *) comparison->value);
	return OidIsValid(comparison->operator);
}

/* column = ANY (array); with ALL it is another matter. */
static bool
read_array(Comparison *comparison, ScalarArrayOpExpr *op, int varno)
{
	if (!op->useOr || !take_column(comparison, linitial(op->args), varno))
		return false;
	comparison->operator= op->opno;
	comparison->collation = op->inputcollid;
	comparison->value = lsecond(op->args);
	comparison->value_type = get_base_element_type(exprType(lsecond(op->args)));
	comparison->any = true;
	return OidIsValid(comparison->value_type);
}

static bool
read_function(Comparison *comparison, FuncExpr *function, int varno)
{
	if (function->funcid != F_STARTS_WITH ||
		!take_column(comparison, linitial(function->args), varno))
		return false;
	comparison->function = function->funcid;
	comparison->collation = function->inputcollid;
	comparison->value = lsecond(function->args);
	comparison->value_type = TEXTOID;
	return true;
}

static bool
take_apart(Comparison *comparison, Expr *clause, int varno)
{
	memset(comparison, 0, sizeof(*comparison));
	switch (nodeTag(clause))
	{
		case T_OpExpr:
			if (!read_operator(comparison, (OpExpr *) clause, varno))
				return false;
			break;
		case T_ScalarArrayOpExpr:
			if (!read_array(comparison, (ScalarArrayOpExpr *) clause, varno))
				return false;
			break;
		case T_FuncExpr:
			return read_function(comparison, (FuncExpr *) clause, varno);
		default:
			return false;
	}
	comparison->function = get_opcode(comparison->operator);
	return true;
}

/* ----------------------------------------------------------- classifying */

static bool
is_time(Oid type)
{
	return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID;
}

/* Only a timestamptz shows the service's time as it is; (0) would round it. */
static const char *
read_received(MsgTraceAtom *atom, const Comparison *comparison, Form_pg_attribute attribute)
{
	static const MsgTraceAtomKind kinds[] = {[BTLessStrategyNumber] = MSGTRACE_RECEIVED_LT,
											 [BTLessEqualStrategyNumber] = MSGTRACE_RECEIVED_LE,
											 [BTEqualStrategyNumber] = MSGTRACE_RECEIVED_EQ,
											 [BTGreaterEqualStrategyNumber] = MSGTRACE_RECEIVED_GE,
											 [BTGreaterStrategyNumber] = MSGTRACE_RECEIVED_GT};
	TypeCacheEntry *type = lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY);
	int strategy;

	if (attribute->atttypid != TIMESTAMPTZOID || attribute->atttypmod >= 0)
		return "the column is not a timestamptz in full precision";
	strategy = get_op_opfamily_strategy(comparison->operator, type->btree_opf);
	if (strategy == 0 || !is_time(comparison->value_type))
		return no_filter;
	atom->kind = kinds[strategy];
	return NULL;
}

/* Is it this function of the extension citext? */
static bool
is_citext(const Comparison *comparison, const char *function)
{
	char *name = get_func_name(comparison->function);
	Oid extension;

	if (name == NULL || strcmp(name, function) != 0)
		return false;
	extension = get_extension_oid("citext", true);
	return OidIsValid(extension) &&
		   getExtensionOfObject(ProcedureRelationId, comparison->function) == extension;
}

static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID;
}

/* Where SQL cannot tell which collation is meant, so can nobody here. */
static const char *
why_not_by_bytes(Oid collation)
{
	if (!OidIsValid(collation))
		return "the collation is not clear";
	if (!get_collation_isdeterministic(collation))
		return "the collation is not deterministic";
	return NULL;
}

/* Measured of addresses; of others nobody knows. */
static bool
ignores_case(MsgTraceField field)
{
	return field == MSGTRACE_SENDER || field == MSGTRACE_RECIPIENT || field == MSGTRACE_STATUS;
}

static const char *
read_equality(MsgTraceAtom *atom, const Comparison *comparison, Oid column_type)
{
	Oid function = comparison->function;

	if (function == F_TEXTEQ && comparison->value_type == TEXTOID)
	{
		atom->kind = comparison->lowered ? MSGTRACE_EQUAL_LOWER : MSGTRACE_EQUAL;
		if (comparison->lowered && !ignores_case(atom->field))
			return minds_case;
		return why_not_by_bytes(comparison->collation);
	}
	if (is_citext(comparison, "citext_eq"))
	{
		atom->kind = MSGTRACE_EQUAL_CITEXT;
		return ignores_case(atom->field) ? NULL : minds_case;
	}
	if (comparison->lowered)
		return no_filter;
	atom->kind = MSGTRACE_EQUAL;
	if ((function == F_UUID_EQ && atom->field == MSGTRACE_ID && column_type == UUIDOID) ||
		(function == F_NETWORK_EQ && column_type == INETOID && comparison->value_type == INETOID))
		return NULL;
	return no_filter;
}

/*
 * By lower() of a locale, or of ASCII alone, which leaves a dotted capital I and
 * the Kelvin sign as they are?
 */
static MsgTraceAtomKind
kind_of_ilike(Oid collation)
{
	static const char beyond_ascii[] = "\xc4\xb0\xe2\x84\xaa";

	if (!OidIsValid(collation) ||
		strcmp(str_tolower(beyond_ascii, strlen(beyond_ascii), collation), beyond_ascii) != 0)
		return MSGTRACE_ILIKE;
	return MSGTRACE_ILIKE_C;
}

static const char *
read_subject(MsgTraceAtom *atom, const Comparison *comparison)
{
	if (is_citext(comparison, "texticlike"))
		atom->kind = MSGTRACE_ILIKE;
	else if (comparison->value_type != TEXTOID)
		return no_filter;
	else if (why_not_by_bytes(comparison->collation))
		return why_not_by_bytes(comparison->collation);
	else if (comparison->function == F_TEXTLIKE)
		atom->kind = comparison->lowered ? kind_of_ilike(comparison->lower_collation)
										 : MSGTRACE_LIKE;
	else if (comparison->function == F_TEXTICLIKE && !comparison->lowered)
		atom->kind = kind_of_ilike(comparison->collation);
	else if (comparison->lowered)
		return no_filter;
	else if (comparison->function == F_STARTS_WITH || comparison->function == F_TEXTEQ)
		atom->kind = MSGTRACE_BEGINS;
	else
		return no_filter;
	return NULL;
}

/* Reporting, say, asks for fewer. */
static bool
is_asked(const MsgTraceTable *table, int field)
{
	const MsgTraceDialect *dialect = table->settings->dialect;

	if (field < 0 || field >= MSGTRACE_FIELDS)
		return false;
	return field == MSGTRACE_RECEIVED || dialect->asked[field] != MSGTRACE_UNASKED ||
		   (field == MSGTRACE_SUBJECT && dialect->subject_tests);
}

static bool
is_column_of_text(const Comparison *comparison, Oid column_type)
{
	return is_text(column_type) || is_citext(comparison, "texticlike");
}

static const char *
classify(MsgTraceAtom *atom, const Comparison *comparison, const MsgTraceTable *table)
{
	int index = AttrNumberGetAttrOffset(comparison->column->varattno);
	Form_pg_attribute attribute = TupleDescAttr(table->desc, index);
	Oid type = getBaseType(attribute->atttypid);
	int field = table->described->fields[index];

	if (!is_asked(table, field))
		return no_filter;
	atom->field = (MsgTraceField) field;
	if (field == MSGTRACE_RECEIVED)
		return read_received(atom, comparison, attribute);
	if (field == MSGTRACE_SUBJECT)
		return is_column_of_text(comparison, type) ? read_subject(atom, comparison) : no_filter;
	if (comparison->function == F_TEXTEQ && !is_text(type))
		return no_filter;
	return read_equality(atom, comparison, type);
}

/* ------------------------------------------------------------------ read */

/* Why its value is not the same during a whole loop, or NULL. */
static const char *
why_not_fixed(Expr *value, PlannerInfo *root, int varno)
{
	if (contain_volatile_functions((Node *) value))
		return "the value is volatile";
	if (contain_subplans((Node *) value))
		return "the value is a subquery of each row";
	if (bms_is_member(varno, pull_varnos(root, (Node *) value)))
		return "it compares columns of the same row";
	return NULL;
}

const char *
msgtrace_atom_read(MsgTraceAtom *atom, PlannerInfo *root, const MsgTraceTable *table, Expr *clause)
{
	Comparison comparison;
	const char *reason;

	if (!take_apart(&comparison, clause, table->varno))
		return no_filter;
	reason = classify(atom, &comparison, table);
	if (reason == NULL)
		reason = why_not_fixed(comparison.value, root, table->varno);
	atom->any = comparison.any;
	atom->value = comparison.value;
	return reason;
}
