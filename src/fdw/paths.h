/*-------------------------------------------------------------------------
 *
 * paths.h
 *		The ways in which a message trace can be read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PATHS_H
#define MSGTRACE_PATHS_H

#include "postgres.h"

#include "fdw/condition.h"
#include "fdw/estimate.h"
#include "nodes/pathnodes.h"

/* Add all paths; `estimate` is of the relation's own conditions. */
extern void msgtrace_paths_add(PlannerInfo *root, RelOptInfo *rel, const MsgTraceTable *table,
							   const MsgTraceEstimate *estimate);

#endif /* MSGTRACE_PATHS_H */
