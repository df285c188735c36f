/*-------------------------------------------------------------------------
 *
 * detail_plan.h
 *		Planning of a scan of details.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_PLAN_H
#define MSGTRACE_DETAIL_PLAN_H

#include "postgres.h"

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

/* Members of its fdw_private; fdw_exprs are the values of the keys. */
enum
{
	MSGTRACE_DETAIL_PLAN_KIND,	  /* Integer: MSGTRACE_DETAIL */
	MSGTRACE_DETAIL_PLAN_KEYS,	  /* see detail_keys.h; NIL = there are none */
	MSGTRACE_DETAIL_PLAN_COLUMNS, /* integer list of the columns needed */
	MSGTRACE_DETAIL_PLAN_REQUESTS /* Float: expected of one loop */
};

extern void msgtrace_detail_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern void msgtrace_detail_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern ForeignScan *msgtrace_detail_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id,
											 ForeignPath *path, List *tlist, List *clauses,
											 Plan *outer_plan);

#endif /* MSGTRACE_DETAIL_PLAN_H */
