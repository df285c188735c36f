/*-------------------------------------------------------------------------
 *
 * detail_keys.c
 *		The deliveries that a scan of details is about, from its conditions.
 *
 * The service tells the details of one delivery at a time, and only of one whose
 * message_trace_id and recipient are named.  So both must be equal to something
 * that is known when a loop of the scan starts: constants, parameters, columns of
 * other tables, lists of any of these.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/detail_keys.h"

#include "access/stratnum.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

/* What the planner takes an array for whose length it cannot know. */
#define USUAL_ARRAY 10

/* A condition that names one part of the key. */
typedef struct KeyAtom
{
	MsgTraceField field; /* MSGTRACE_ID or MSGTRACE_RECIPIENT */
	Expr *value;		 /* of a comparison, or the array of = ANY */
} KeyAtom;

/* Alternatives may each have some of these. */
typedef struct KeyParts
{
	Expr *id;
	Expr *recipient;
} KeyParts;

/* ------------------------------------------------------- planning time */

/* Our column; a uuid may be compared as text. */
static Var *
column_of(Expr *expr, int varno)
{
	if (expr && IsA(expr, CoerceViaIO) && ((CoerceViaIO *) expr)->resulttype == TEXTOID &&
		exprType((Node *) ((CoerceViaIO *) expr)->arg) == UUIDOID)
		expr = ((CoerceViaIO *) expr)->arg;
	while (expr && IsA(expr, RelabelType))
		expr = ((RelabelType *) expr)->arg;
	if (expr && IsA(expr, Var) && ((Var *) expr)->varno == varno &&
		((Var *) expr)->varlevelsup == 0 && ((Var *) expr)->varattno > 0)
		return (Var *) expr;
	return NULL;
}

int
msgtrace_detail_keys_field(const MsgTraceDetailTable *table, Expr *expr)
{
	Var *column = column_of(expr, table->varno);
	int field = column ? table->described->fields[AttrNumberGetAttrOffset(column->varattno)] : -1;

	return field == MSGTRACE_ID || field == MSGTRACE_RECIPIENT ? field : -1;
}

/* Is its value the same during a whole loop, and known before it starts? */
static bool
is_fixed(PlannerInfo *root, Expr *expr, int varno)
{
	return !contain_volatile_functions((Node *) expr) && !contain_subplans((Node *) expr) &&
		   !bms_is_member(varno, pull_varnos(root, (Node *) expr));
}

/* A uuid, or what is text but for its name. */
static bool
can_be_key(Oid type)
{
	return type == UUIDOID || type == TEXTOID || IsBinaryCoercible(type, TEXTOID);
}

static bool
is_equality(Oid operator, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type == VARCHAROID ? TEXTOID : type,
											  TYPECACHE_BTREE_OPFAMILY);

	return OidIsValid(entry->btree_opf) &&
		   get_op_opfamily_strategy(operator, entry->btree_opf) == BTEqualStrategyNumber;
}

static bool
read_sides(PlannerInfo *root, const MsgTraceDetailTable *table, Expr *clause, int *field,
		   Expr **value)
{
	bool is_array = IsA(clause, ScalarArrayOpExpr);
	List *args;
	Oid operator;
	Oid type;

	if (is_array && !((ScalarArrayOpExpr *) clause)->useOr)
		return false;
	if (!is_array && !IsA(clause, OpExpr))
		return false;
	args = is_array ? ((ScalarArrayOpExpr *) clause)->args : ((OpExpr *) clause)->args;
	operator= is_array ? ((ScalarArrayOpExpr *) clause)->opno : ((OpExpr *) clause)->opno;
	if (list_length(args) != 2)
		return false;
	*field = msgtrace_detail_keys_field(table, linitial(args));
	*value = lsecond(args);
	if (*field < 0 && !is_array)
	{
		*field = msgtrace_detail_keys_field(table, lsecond(args));
		*value = linitial(args);
		operator= get_commutator(operator);
	}
	if (*field < 0 || !OidIsValid(operator))
		return false;
	type = exprType((Node *) *value);
	if (is_array)
		type = get_element_type(type);
	return OidIsValid(type) && can_be_key(type) && is_equality(operator, type) &&
		   is_fixed(root, *value, table->varno);
}

static bool
read_atom(PlannerInfo *root, const MsgTraceDetailTable *table, Expr *clause, KeyAtom *atom)
{
	int field;

	if (!read_sides(root, table, clause, &field, &atom->value))
		return false;
	atom->field = field;
	return true;
}

static bool
is_array(const Expr *value)
{
	return OidIsValid(get_element_type(exprType((const Node *) value)));
}

bool
msgtrace_detail_keys_equality(PlannerInfo *root, const MsgTraceDetailTable *table, Expr *clause,
							  int *field, Expr **value)
{
	return IsA(clause, OpExpr) && read_sides(root, table, clause, field, value);
}

/* Of several values for one part a single one is best: it makes fewer requests. */
static void
take_atom(KeyParts *parts, const KeyAtom *atom)
{
	Expr **part = atom->field == MSGTRACE_ID ? &parts->id : &parts->recipient;

	if (*part == NULL || (is_array(*part) && !is_array(atom->value)))
		*part = atom->value;
}

static Expr *
expression_of(void *clause)
{
	return IsA(clause, RestrictInfo) ? ((RestrictInfo *) clause)->clause : (Expr *) clause;
}

static void
take_clauses(PlannerInfo *root, const MsgTraceDetailTable *table, List *clauses, KeyParts *parts)
{
	ListCell *cell;

	foreach (cell, clauses)
	{
		KeyAtom atom;

		if (read_atom(root, table, expression_of(lfirst(cell)), &atom))
			take_atom(parts, &atom);
	}
}

static int
number_of(List **values, Expr *value)
{
	int number = 0;
	ListCell *cell;

	foreach (cell, *values)
	{
		if (equal(lfirst(cell), value))
			return number;
		number++;
	}
	*values = lappend(*values, value);
	return number;
}

static List *
alternative(const KeyParts *parts, List **values)
{
	int id = number_of(values, parts->id);

	return list_make2_int(id, number_of(values, parts->recipient));
}

/* Do all arms of an OR, with what holds beside it, name a delivery? */
static List *
alternatives_of(PlannerInfo *root, const MsgTraceDetailTable *table, List *arms,
				const KeyParts *beside, List **values)
{
	List *keys = NIL;
	List *found = list_copy(*values);
	ListCell *cell;

	foreach (cell, arms)
	{
		Expr *arm = expression_of(lfirst(cell));
		KeyParts parts = {NULL, NULL};

		take_clauses(root, table, is_andclause(arm) ? ((BoolExpr *) arm)->args : list_make1(arm),
					 &parts);
		parts.id = parts.id ? parts.id : beside->id;
		parts.recipient = parts.recipient ? parts.recipient : beside->recipient;
		if (parts.id == NULL || parts.recipient == NULL)
			return NIL;
		keys = lappend(keys, alternative(&parts, &found));
	}
	*values = found;
	return keys;
}

List *
msgtrace_detail_keys_make(PlannerInfo *root, const MsgTraceDetailTable *table, List *clauses,
						  List **values)
{
	KeyParts parts = {NULL, NULL};
	ListCell *cell;

	*values = NIL;
	take_clauses(root, table, clauses, &parts);
	if (parts.id && parts.recipient)
		return list_make1(alternative(&parts, values));
	foreach (cell, clauses)
	{
		Expr *clause = expression_of(lfirst(cell));
		List *keys;

		if (!is_orclause(clause))
			continue;
		keys = alternatives_of(root, table, ((BoolExpr *) clause)->args, &parts, values);
		if (keys)
			return keys;
	}
	return NIL;
}

/* Does an expression of an arm name a part of the key? */
static bool
arm_takes(PlannerInfo *root, const MsgTraceDetailTable *table, Expr *arm)
{
	KeyParts parts = {NULL, NULL};

	take_clauses(root, table, is_andclause(arm) ? ((BoolExpr *) arm)->args : list_make1(arm),
				 &parts);
	return parts.id || parts.recipient;
}

bool
msgtrace_detail_keys_take(PlannerInfo *root, const MsgTraceDetailTable *table, Expr *clause)
{
	ListCell *cell;

	if (!is_orclause(clause))
		return arm_takes(root, table, clause);
	foreach (cell, ((BoolExpr *) clause)->args)
	{
		if (!arm_takes(root, table, expression_of(lfirst(cell))))
			return false;
	}
	return true;
}

static double
count_of(PlannerInfo *root, Node *value)
{
	Node *known = estimate_expression_value(root, value);

	if (!is_array((Expr *) known))
		return 1;
	if (IsA(known, ArrayExpr) && !((ArrayExpr *) known)->multidims)
		return list_length(((ArrayExpr *) known)->elements);
	if (IsA(known, Const) && !((Const *) known)->constisnull)
	{
		ArrayType *array = DatumGetArrayTypeP(((Const *) known)->constvalue);

		return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	}
	return IsA(known, Const) ? 0 : USUAL_ARRAY;
}

double
msgtrace_detail_keys_estimate(PlannerInfo *root, List *keys, List *values)
{
	double count = 0;
	ListCell *cell;

	foreach (cell, keys)
	{
		List *key = lfirst_node(List, cell);

		count += count_of(root, list_nth(values, linitial_int(key))) *
				 count_of(root, list_nth(values, lsecond_int(key)));
	}
	return count;
}

/* -------------------------------------------------------------- EXPLAIN */

static void
append_part(StringInfo text, MsgTraceField field, Node *value, List *context)
{
	char *words = deparse_expression(value, context, false, false);

	appendStringInfo(text, is_array((Expr *) value) ? "%s = ANY (%s)" : "%s = %s",
					 msgtrace_field_column(field, true), words);
}

char *
msgtrace_detail_keys_describe(List *keys, List *values, List *context)
{
	StringInfoData text;
	ListCell *cell;

	initStringInfo(&text);
	foreach (cell, keys)
	{
		List *key = lfirst_node(List, cell);

		if (text.len > 0)
			appendStringInfoString(&text, " OR ");
		append_part(&text, MSGTRACE_ID, list_nth(values, linitial_int(key)), context);
		appendStringInfoString(&text, " AND ");
		append_part(&text, MSGTRACE_RECIPIENT, list_nth(values, lsecond_int(key)), context);
	}
	return text.data;
}

/* ------------------------------------------------------------ execution */

/* The values of one expression: texts, without NULLs. */
typedef struct KeyTexts
{
	char **list;
	int count;
} KeyTexts;

static char *
text_of(Datum value, Oid type)
{
	if (type == UUIDOID)
		return DatumGetCString(DirectFunctionCall1(uuid_out, value));
	return TextDatumGetCString(value);
}

static void
read_array(KeyTexts *texts, Datum value, Oid type)
{
	int16 length;
	bool by_value;
	char align;
	Datum *elements;
	bool *nulls;
	int count;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(DatumGetArrayTypeP(value), type, length, by_value, align, &elements, &nulls,
					  &count);
	texts->list = palloc(Max(count, 1) * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			texts->list[texts->count++] = text_of(elements[i], type);
	}
}

static KeyTexts *
evaluate_values(List *value_states, ExprContext *econtext)
{
	KeyTexts *all = palloc0(Max(list_length(value_states), 1) * sizeof(KeyTexts));

	for (int i = 0; i < list_length(value_states); i++)
	{
		ExprState *state = list_nth(value_states, i);
		Oid type = exprType((Node *) state->expr);
		Oid element = get_element_type(type);
		bool is_null;
		Datum value = ExecEvalExprSwitchContext(state, econtext, &is_null);

		if (is_null)
			continue;
		if (OidIsValid(element))
			read_array(&all[i], value, element);
		else
		{
			all[i].list = palloc(sizeof(char *));
			all[i].list[all[i].count++] = text_of(value, type);
		}
	}
	return all;
}

static int
compare_keys(const void *left, const void *right)
{
	const MsgTraceDelivery *a = *(const MsgTraceDelivery *const *) left;
	const MsgTraceDelivery *b = *(const MsgTraceDelivery *const *) right;
	int order = strcmp(a->id, b->id);

	if (order == 0)
		order = strcmp(a->recipient_address, b->recipient_address);
	if (order == 0)
		order = a < b ? -1 : a > b; /* the first one stays */
	return order;
}

/* Take out what came before, and leave the others in their order. */
static int
drop_repeated(MsgTraceDelivery *deliveries, int count)
{
	MsgTraceDelivery **sorted = palloc(Max(count, 1) * sizeof(MsgTraceDelivery *));
	const char *last_id = NULL;
	const char *last_recipient = NULL;
	int kept = 0;

	for (int i = 0; i < count; i++)
		sorted[i] = &deliveries[i];
	qsort(sorted, count, sizeof(MsgTraceDelivery *), compare_keys);
	for (int i = 0; i < count; i++)
	{
		bool is_again = last_id && strcmp(last_id, sorted[i]->id) == 0 &&
						strcmp(last_recipient, sorted[i]->recipient_address) == 0;

		last_id = sorted[i]->id;
		last_recipient = sorted[i]->recipient_address;
		if (is_again)
			sorted[i]->id = NULL;
	}
	for (int i = 0; i < count; i++)
	{
		if (deliveries[i].id)
			deliveries[kept++] = deliveries[i];
	}
	return kept;
}

int
msgtrace_detail_keys_evaluate(List *keys, List *value_states, ExprContext *econtext,
							  MsgTraceDelivery **deliveries)
{
	KeyTexts *texts = evaluate_values(value_states, econtext);
	int count = 0;
	int size = 16;
	ListCell *cell;

	*deliveries = palloc0(size * sizeof(MsgTraceDelivery));
	foreach (cell, keys)
	{
		const KeyTexts *ids = &texts[linitial_int(lfirst_node(List, cell))];
		const KeyTexts *recipients = &texts[lsecond_int(lfirst_node(List, cell))];

		for (int64 i = 0; i < (int64) ids->count * recipients->count; i++)
		{
			const char *id = ids->list[i / recipients->count];
			const char *recipient = recipients->list[i % recipients->count];

			CHECK_FOR_INTERRUPTS();
			if (!msgtrace_detail_can_ask_for(id, recipient))
				continue;
			if (count == size)
			{
				size *= 2;
				*deliveries = repalloc_huge(*deliveries, size * sizeof(MsgTraceDelivery));
			}
			(*deliveries)[count++] = (MsgTraceDelivery){.id = id, .recipient_address = recipient};
		}
	}
	return drop_repeated(*deliveries, count);
}
