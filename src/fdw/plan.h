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

/* What a plan's scan reads. */
typedef enum MsgTracePlanKind
{
	MSGTRACE_LIST,	 /* the message trace */
	MSGTRACE_DETAIL, /* the details of deliveries */
	MSGTRACE_JOIN	 /* the message trace, and the details of each of its rows */
} MsgTracePlanKind;

/* Members of a ForeignScan's fdw_private; fdw_exprs are the condition's values. */
enum
{
	MSGTRACE_PLAN_KIND,		 /* Integer: MsgTracePlanKind */
	MSGTRACE_PLAN_CONDITION, /* what is pushed, see condition.h */
	MSGTRACE_PLAN_COLUMNS,	 /* integer list of the columns needed */
	MSGTRACE_PLAN_REASONS,	 /* list of String beside the plan's qual: why it stays local, or "" */
	MSGTRACE_PLAN_SHAPE,	 /* see shape.h */
	MSGTRACE_PLAN_WIDE		 /* what all loops could ask for, see loops.h */
};

/* The columns that a scan must fill, by number: these clauses', and one it is sorted by. */
extern List *msgtrace_plan_columns(RelOptInfo *rel, Oid table_id, List *clauses,
								   AttrNumber sorted_by);

extern void msgtrace_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern void msgtrace_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id);
extern ForeignScan *msgtrace_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id,
									  ForeignPath *path, List *tlist, List *clauses,
									  Plan *outer_plan);

#endif /* MSGTRACE_PLAN_H */
