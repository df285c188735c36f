/*-------------------------------------------------------------------------
 *
 * estimate.h
 *		What a scan is expected to bring, and to cost.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ESTIMATE_H
#define MSGTRACE_ESTIMATE_H

#include "postgres.h"

#include "fdw/condition.h"
#include "nodes/pathnodes.h"

typedef struct MsgTraceEstimate
{
	int queries;  /* of the question */
	bool is_wide; /* ... which has several values checked here, as that costs less */
	double requests;
	double fetched;	 /* rows of the service's answers */
	double matching; /* of them those that satisfy what is asked for; fewer where that is wide */
	double rows;	 /* ... that satisfy the conditions */
	Cost startup;
	Cost total;
} MsgTraceEstimate;

/* Of a scan by these conditions, RestrictInfos all of which are checked by it. */
extern void msgtrace_estimate(MsgTraceEstimate *estimate, PlannerInfo *root, RelOptInfo *rel,
							  const MsgTraceTable *table, List *clauses);

/* The same when its rows are to come in order, slice by slice. */
extern void msgtrace_estimate_ordered(MsgTraceEstimate *estimate, const MsgTraceTable *table);

#endif /* MSGTRACE_ESTIMATE_H */
