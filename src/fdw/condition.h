/*-------------------------------------------------------------------------
 *
 * condition.h
 *		Which conditions the service can narrow a scan by.
 *
 * What is pushed is only ever a superset: every condition stays in the plan and
 * is checked again by the executor (but for one, see window_call.h).
 *
 * A condition is a tree of lists, so that a plan can carry it:
 *
 *		NIL								everything
 *		integers: kind, field, any, n	an atom, compared with the n-th value; or a gate,
 *										the n-th value itself, which is true or not
 *		Integer, tree, tree, ...		AND or OR of them
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CONDITION_H
#define MSGTRACE_CONDITION_H

#include "postgres.h"

#include "fdw/atom.h"
#include "trace/dialect.h"

/* What an atom's list has, in this order. */
enum
{
	MSGTRACE_ATOM_KIND,	 /* MsgTraceAtomKind */
	MSGTRACE_ATOM_FIELD, /* MsgTraceField */
	MSGTRACE_ATOM_ANY,	 /* the value is an array */
	MSGTRACE_ATOM_VALUE	 /* number of the value */
};

/*
 * The condition that the service is asked by.  `clauses` are RestrictInfos or
 * expressions; `values` are the expressions of the values, which may be of other
 * relations; `reasons` are Strings beside the clauses: why one is checked here
 * alone, or "".
 */
extern List *msgtrace_condition_make(PlannerInfo *root, const MsgTraceTable *table, List *clauses,
									 List **values, List **reasons);

extern bool msgtrace_condition_is_atom(const List *condition);
extern bool msgtrace_condition_is_or(const List *condition); /* else AND, where it is no atom */

/*
 * The condition in words, for EXPLAIN: the properties of its API, and the values
 * as SQL.  `context` is for deparsing.
 */
extern char *msgtrace_condition_describe(List *condition, List *values, List *context,
										 const MsgTraceDialect *dialect);

#endif /* MSGTRACE_CONDITION_H */
