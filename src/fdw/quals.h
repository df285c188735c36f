/*-------------------------------------------------------------------------
 *
 * quals.h
 *		Which conditions the service can narrow a scan by, and their values.
 *
 * What is pushed is only ever a superset: every condition stays in the plan and
 * is checked again by the executor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_QUALS_H
#define MSGTRACE_QUALS_H

#include "postgres.h"

#include "fdw/relation.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "trace/dialect.h"
#include "trace/query.h"

/* Those of received first, in the order of their btree strategies. */
typedef enum MsgTraceQualKind
{
	MSGTRACE_RECEIVED_LT,
	MSGTRACE_RECEIVED_LE,
	MSGTRACE_RECEIVED_EQ,
	MSGTRACE_RECEIVED_GE,
	MSGTRACE_RECEIVED_GT,
	MSGTRACE_SENDER_EQ,
	MSGTRACE_RECIPIENT_EQ
} MsgTraceQualKind;

/*
 * From the conditions of a relation those that are pushed, as two parallel
 * lists: kinds (integers) and the expressions of their values.
 */
extern void msgtrace_quals_classify(RelOptInfo *rel, Relation relation,
									const MsgTraceRelation *described, List **kinds, List **values);

/*
 * Put the values, evaluated now, into the query.  `warned` is set once a value
 * was met that the normal form excludes, so that a rescan does not warn again.
 */
extern void msgtrace_quals_evaluate(List *kinds, List *value_states, ExprContext *econtext,
									bool normalize, bool *warned, MsgTraceQuery *query);

/* A timestamptz, timestamp or date as the instant that received is compared with. */
extern TimestampTz msgtrace_quals_time(Datum value, Oid type);

/*
 * The remote filter in words, for EXPLAIN: the properties of its API, and the
 * values as SQL.  `context` is for deparsing.
 */
extern char *msgtrace_quals_describe(List *kinds, List *values, List *context,
									 const MsgTraceDialect *dialect);

#endif /* MSGTRACE_QUALS_H */
