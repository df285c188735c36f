/*-------------------------------------------------------------------------
 *
 * window_call.c
 *		A window of time of which all is wanted that the service sends for it.
 *
 * An input may keep rows that the service sent from outside of the window that it
 * was asked for.  Its statement says so by calling o365_msgtrace._sent_for(), which
 * by itself is nothing but a comparison.  Where it stands among the conditions of a
 * scan, the service is asked for the window, and the call is not evaluated: what was
 * sent was sent for it.  Anywhere else (in an OR, over another table) it is what it
 * says, and so is every other condition of the same query.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/window_call.h"

#include "access/stratnum.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(o365_msgtrace_sent_for);

/* (received, since, until): does it lie in the window, whose end is excluded? */
Datum
o365_msgtrace_sent_for(PG_FUNCTION_ARGS)
{
	TimestampTz received = PG_GETARG_TIMESTAMPTZ(0);

	PG_RETURN_BOOL(received >= PG_GETARG_TIMESTAMPTZ(1) && received < PG_GETARG_TIMESTAMPTZ(2));
}

static bool
is_call(const FuncExpr *function)
{
	char *name;
	Oid extension;

	if (!IsA(function, FuncExpr) || list_length(function->args) != 3)
		return false;
	name = get_func_name(function->funcid);
	if (name == NULL || strcmp(name, "_sent_for") != 0)
		return false;
	extension = get_extension_oid("o365_msgtrace", true);
	return OidIsValid(extension) &&
		   getExtensionOfObject(ProcedureRelationId, function->funcid) == extension;
}

static Expr *
compare(int strategy, Expr *received, Expr *with)
{
	TypeCacheEntry *type = lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_BTREE_OPFAMILY);
	Oid operator= get_opfamily_member(type->btree_opf, TIMESTAMPTZOID, TIMESTAMPTZOID,
									  (int16) strategy);

	return make_opclause(operator, BOOLOID, false, received, with, InvalidOid, InvalidOid);
}

BoolExpr *
msgtrace_window_call_read(Expr *clause)
{
	const FuncExpr *call = (const FuncExpr *) clause;
	Expr *received;
	List *ends;

	if (!is_call(call))
		return NULL;
	received = linitial(call->args);
	ends = list_make2(compare(BTGreaterEqualStrategyNumber, received, lsecond(call->args)),
					  compare(BTLessStrategyNumber, received, lthird(call->args)));
	return (BoolExpr *) makeBoolExpr(AND_EXPR, ends, -1);
}
