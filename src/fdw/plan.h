/*-------------------------------------------------------------------------
 *
 * plan.h
 *		Planning of a scan: estimates, and what the plan carries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PLAN_H
#define MSGTRACE_PLAN_H

#include "postgres.h"

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

/* Members of a ForeignScan's fdw_private; fdw_exprs are the qual's values. */
enum
{
	MSGTRACE_PLAN_KINDS,  /* integer list of MsgTraceQualKind, beside fdw_exprs */
	MSGTRACE_PLAN_COLUMNS /* integer list of the columns needed */
};

extern void msgtrace_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern void msgtrace_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern ForeignScan *msgtrace_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id,
									  ForeignPath *path, List *tlist, List *clauses,
									  Plan *outer_plan);

#endif /* MSGTRACE_PLAN_H */
