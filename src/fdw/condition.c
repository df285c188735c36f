/*-------------------------------------------------------------------------
 *
 * condition.c
 *		Which conditions the service can narrow a scan by.
 *
 * Of an AND those parts are kept that can be asked for; of an OR either all or
 * none, since a row may satisfy the part that cannot.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/condition.h"

#include "fdw/gate.h"
#include "fdw/window_call.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"

/* ------------------------------------------------------- planning time */

/* What is looked at, and what comes to light. */
typedef struct Reading
{
	PlannerInfo *root;
	const MsgTraceTable *table;
	List *values;
	const char *reason; /* why a part stays here; the last one */
} Reading;

static List *read_clause(Reading *reading, Expr *clause);

static List *
add_atom(Reading *reading, MsgTraceAtomKind kind, int field, bool any, Expr *value)
{
	reading->values = lappend(reading->values, value);
	return list_make4_int(kind, field, any, list_length(reading->values) - 1);
}

static List *
read_atom(Reading *reading, Expr *clause)
{
	MsgTraceAtom atom;
	const char *reason = msgtrace_atom_read(&atom, reading->root, reading->table, clause);

	if (reason)
	{
		reading->reason = reason;
		return NIL;
	}
	return add_atom(reading, atom.kind, atom.field, atom.any, atom.value);
}

static List *
combined(BoolExprType type, List *parts)
{
	if (list_length(parts) < 2)
		return parts ? linitial(parts) : NIL;
	return lcons(makeInteger(type), parts);
}

static List *
read_boolean(Reading *reading, BoolExpr *clause)
{
	List *before = list_copy(reading->values);
	List *parts = NIL;
	ListCell *cell;

	foreach (cell, clause->args)
	{
		List *part = read_clause(reading, lfirst(cell));

		if (part)
			parts = lappend(parts, part);
		else if (clause->boolop == OR_EXPR)
		{
			reading->values = before;
			return NIL;
		}
	}
	return combined(clause->boolop, parts);
}

/* Both ends of a window, or none: only a whole one is known to be what was asked for. */
static List *
read_window(Reading *reading, BoolExpr *window)
{
	List *ends = read_boolean(reading, window);

	return list_length(ends) > list_length(window->args) ? ends : NIL;
}

/* NIL when the service cannot be asked. */
static List *
read_clause(Reading *reading, Expr *clause)
{
	BoolExpr *boolean = (BoolExpr *) clause;
	BoolExpr *window = msgtrace_window_call_read(clause);
	Expr *gate;

	if (window)
		return read_window(reading, window);
	gate = msgtrace_gate_read(reading->root, reading->table, clause);
	if (gate)
		return add_atom(reading, MSGTRACE_GATE, MSGTRACE_NO_FIELD, false, gate);
	if (!IsA(clause, BoolExpr))
		return read_atom(reading, clause);
	if (boolean->boolop == NOT_EXPR)
	{
		reading->reason = "the service ignores \"not\"";
		return NIL;
	}
	return read_boolean(reading, boolean);
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
	Reading reading = {root, table, NIL, NULL};
	List *parts = NIL;
	ListCell *cell;

	*reasons = NIL;
	foreach (cell, clauses)
	{
		List *part = read_clause(&reading, expression_of(lfirst(cell)));

		if (part)
			parts = lappend(parts, part);
		*reasons = lappend(*reasons, makeString(pstrdup(part ? "" : reading.reason)));
	}
	*values = reading.values;
	return combined(AND_EXPR, parts);
}

bool
msgtrace_condition_is_atom(const List *condition)
{
	return IsA(condition, IntList);
}

bool
msgtrace_condition_is_or(const List *condition)
{
	return intVal(linitial(condition)) == OR_EXPR;
}

/* -------------------------------------------------------------- EXPLAIN */

static const char *
symbol_of(MsgTraceAtomKind kind)
{
	static const char *const symbols[] = {
		[MSGTRACE_RECEIVED_LT] = "<", [MSGTRACE_RECEIVED_LE] = "<=",
		[MSGTRACE_RECEIVED_EQ] = "=", [MSGTRACE_RECEIVED_GE] = ">=",
		[MSGTRACE_RECEIVED_GT] = ">", [MSGTRACE_EQUAL] = "=",
		[MSGTRACE_EQUAL_LOWER] = "=", [MSGTRACE_EQUAL_CITEXT] = "=",
		[MSGTRACE_LIKE] = "LIKE",	  [MSGTRACE_ILIKE] = "ILIKE",
		[MSGTRACE_ILIKE_C] = "ILIKE", [MSGTRACE_BEGINS] = "begins with"};

	return symbols[kind];
}

static void
describe_atom(StringInfo text, List *atom, List *values, List *context,
			  const MsgTraceDialect *dialect)
{
	Node *value = list_nth(values, list_nth_int(atom, MSGTRACE_ATOM_VALUE));
	char *words = deparse_expression(value, context, false, false);

	if (list_nth_int(atom, MSGTRACE_ATOM_KIND) == MSGTRACE_GATE)
	{
		appendStringInfoString(text, words);
		return;
	}
	appendStringInfo(
		text, list_nth_int(atom, MSGTRACE_ATOM_KIND) == MSGTRACE_EQUAL_LOWER ? "lower(%s)" : "%s",
		dialect->properties[list_nth_int(atom, MSGTRACE_ATOM_FIELD)]);
	appendStringInfo(text, list_nth_int(atom, MSGTRACE_ATOM_ANY) ? " %s ANY (%s)" : " %s %s",
					 symbol_of(list_nth_int(atom, MSGTRACE_ATOM_KIND)), words);
}

static void
describe(StringInfo text, List *condition, List *values, List *context,
		 const MsgTraceDialect *dialect, bool within_and)
{
	bool is_or;

	if (msgtrace_condition_is_atom(condition))
	{
		describe_atom(text, condition, values, context, dialect);
		return;
	}
	is_or = msgtrace_condition_is_or(condition);
	if (is_or && within_and)
		appendStringInfoChar(text, '(');
	for (int i = 1; i < list_length(condition); i++)
	{
		if (i > 1)
			appendStringInfoString(text, is_or ? " OR " : " AND ");
		describe(text, list_nth(condition, i), values, context, dialect, !is_or);
	}
	if (is_or && within_and)
		appendStringInfoChar(text, ')');
}

char *
msgtrace_condition_describe(List *condition, List *values, List *context,
							const MsgTraceDialect *dialect)
{
	StringInfoData text;

	initStringInfo(&text);
	if (condition)
		describe(&text, condition, values, context, dialect, false);
	return text.data;
}
