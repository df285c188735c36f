/*-------------------------------------------------------------------------
 *
 * join_plan.h
 *		Planning of a message trace joined with its details as one scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_JOIN_PLAN_H
#define MSGTRACE_JOIN_PLAN_H

#include "postgres.h"

#include "foreign/fdwapi.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

/*
 * Members of its fdw_private.  fdw_exprs are the values of the condition, and
 * behind them the trace's own conditions.
 */
enum
{
	MSGTRACE_JOIN_PLAN_KIND,		   /* Integer: MSGTRACE_JOIN */
	MSGTRACE_JOIN_PLAN_TABLES,		   /* Oids: the trace, the details */
	MSGTRACE_JOIN_PLAN_CONDITION,	   /* what the list is asked by, see condition.h */
	MSGTRACE_JOIN_PLAN_VALUES,		   /* Integer: how many of fdw_exprs are its values */
	MSGTRACE_JOIN_PLAN_TRACE_COLUMNS,  /* by column of the scan: its number there, or 0 */
	MSGTRACE_JOIN_PLAN_DETAIL_COLUMNS, /* likewise */
	MSGTRACE_JOIN_PLAN_DELIVERIES	   /* Float: expected */
};

extern void msgtrace_join_get_paths(PlannerInfo *root, RelOptInfo *joined, RelOptInfo *outer,
									RelOptInfo *inner, JoinType type, JoinPathExtraData *extra);
extern ForeignScan *msgtrace_join_get_plan(PlannerInfo *root, RelOptInfo *joined, List *tlist,
										   Plan *outer_plan);

#endif /* MSGTRACE_JOIN_PLAN_H */
