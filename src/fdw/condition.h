/*-------------------------------------------------------------------------
 *
 * condition.h
 *		Which conditions the service can narrow a scan by.
 *
 * What is pushed is only ever a superset: every condition stays in the plan and
 * is checked again by the executor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CONDITION_H
#define MSGTRACE_CONDITION_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "fdw/options.h"
#include "fdw/relation.h"
#include "nodes/pathnodes.h"
#include "trace/dialect.h"

/* Those of received first, in the order of their btree strategies. */
typedef enum MsgTraceAtomKind
{
	MSGTRACE_RECEIVED_LT,
	MSGTRACE_RECEIVED_LE,
	MSGTRACE_RECEIVED_EQ,
	MSGTRACE_RECEIVED_GE,
	MSGTRACE_RECEIVED_GT,
	MSGTRACE_SENDER_EQ,
	MSGTRACE_RECIPIENT_EQ
} MsgTraceAtomKind;

/* The relation whose conditions are looked at. */
typedef struct MsgTraceTable
{
	const MsgTraceRelation *described;
	TupleDesc desc;
	const MsgTraceSettings *settings;
	int varno;
} MsgTraceTable;

/*
 * The condition that the service is asked by, as copyable lists: atoms, each its
 * kind and the number of its value.  `clauses` are RestrictInfos or expressions;
 * `values` are the expressions of the values, which may be of other relations;
 * `reasons` are Strings beside the clauses: why one stays local, or "".
 */
extern List *msgtrace_condition_make(PlannerInfo *root, const MsgTraceTable *table, List *clauses,
									 List **values, List **reasons);

/*
 * The condition in words, for EXPLAIN: the properties of its API, and the values
 * as SQL.  `context` is for deparsing.
 */
extern char *msgtrace_condition_describe(List *condition, List *values, List *context,
										 const MsgTraceDialect *dialect);

#endif /* MSGTRACE_CONDITION_H */
