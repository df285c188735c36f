/*-------------------------------------------------------------------------
 *
 * loops.h
 *		What of a scan's conditions changes from one loop of it to the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_LOOPS_H
#define MSGTRACE_LOOPS_H

#include "postgres.h"

#include "fdw/condition.h"
#include "nodes/pathnodes.h"

/* Is this a subquery that is executed for each row of another one? */
extern bool msgtrace_loops_are_of(const PlannerInfo *root);

/*
 * Members of what the plan carries of a wide reading, which asks for the rows of
 * all loops at once; NIL when they ask the same.
 */
enum
{
	MSGTRACE_WIDE_CONDITION, /* the condition that all loops have in common */
	MSGTRACE_WIDE_COUNTS,	 /* integer list: how many values a loop's condition has, and it */
	MSGTRACE_WIDE_KEY		 /* oid list: operator and collation of an equality, or NIL */
};

/*
 * `exprs` are the values of the loop's condition; those of the wide one come
 * after them, and then both sides of the key, the row's and the loop's.
 */
extern List *msgtrace_loops_wide(PlannerInfo *root, const MsgTraceTable *table, List *clauses,
								 List *reasons, bool correlated, List **exprs);

#endif /* MSGTRACE_LOOPS_H */
