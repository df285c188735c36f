/*-------------------------------------------------------------------------
 *
 * detail_keys.h
 *		The deliveries that a scan of details is about, from its conditions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_KEYS_H
#define MSGTRACE_DETAIL_KEYS_H

#include "postgres.h"

#include "fdw/relation.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "trace/detail.h"

/* The table whose conditions are looked at. */
typedef struct MsgTraceDetailTable
{
	const MsgTraceRelation *described;
	int varno;
} MsgTraceDetailTable;

/* The part of the key that this expression is: MSGTRACE_ID, MSGTRACE_RECIPIENT, or -1. */
extern int msgtrace_detail_keys_field(const MsgTraceDetailTable *table, Expr *expr);

/* Is the clause "part of the key = value", and of what value? */
extern bool msgtrace_detail_keys_equality(PlannerInfo *root, const MsgTraceDetailTable *table,
										  Expr *clause, int *field, Expr **value);

/* Does the clause compare a part of the key with what may be a value of it? */
extern bool msgtrace_detail_keys_take(PlannerInfo *root, const MsgTraceDetailTable *table,
									  Expr *clause);

/*
 * Where the keys come from, as copyable lists: alternatives, each the numbers of
 * the values that have its ids and its addresses.  NIL when the clauses
 * (RestrictInfos or expressions) do not say which deliveries are meant.
 */
extern List *msgtrace_detail_keys_make(PlannerInfo *root, const MsgTraceDetailTable *table,
									   List *clauses, List **values);

/* How many deliveries they are, as far as the planner can know. */
extern double msgtrace_detail_keys_estimate(PlannerInfo *root, List *keys, List *values);

/* The keys in words, for EXPLAIN; `context` is for deparsing. */
extern char *msgtrace_detail_keys_describe(List *keys, List *values, List *context);

/*
 * The deliveries of the moment, each once, in the current context; returns how
 * many there are.  What cannot be the key of a delivery is not among them.
 */
extern int msgtrace_detail_keys_evaluate(List *keys, List *value_states, ExprContext *econtext,
										 MsgTraceDelivery **deliveries);

#endif /* MSGTRACE_DETAIL_KEYS_H */
