/*-------------------------------------------------------------------------
 *
 * scan.h
 *		Execution of a scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SCAN_H
#define MSGTRACE_SCAN_H

#include "postgres.h"

#include "fdw/question.h"
#include "fdw/stats.h"
#include "nodes/execnodes.h"

extern void msgtrace_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *msgtrace_iterate_scan(ForeignScanState *node);

/*
 * The same without waiting: MSGTRACE_ROW with the row in the scan's slot,
 * MSGTRACE_WAIT, or MSGTRACE_END.
 */
extern MsgTracePagerResult msgtrace_scan_poll(ForeignScanState *node);

/*
 * In a scan that an Append does not wait for, an iteration without a row may be
 * one that has to wait: this is its pager then, else NULL.
 */
extern MsgTracePager *msgtrace_scan_waits_for(ForeignScanState *node);

/* It shall have no more requests in flight than this, from its next question on. */
extern void msgtrace_scan_limit_concurrency(ForeignScanState *node, int most);

/* Has its loop begun? */
extern bool msgtrace_scan_has_begun(ForeignScanState *node);

extern void msgtrace_rescan(ForeignScanState *node);
extern void msgtrace_end_scan(ForeignScanState *node);

/* The values of the moment, in the context that is current. */
extern MsgTraceValue *msgtrace_scan_values(List *states, ExprContext *econtext);

/*
 * For EXPLAIN ANALYZE: the sums over all loops, and the first request in a form
 * for people (NULL when none was made).  False when the scan was only explained.
 */
extern bool msgtrace_scan_stats(ForeignScanState *node, MsgTraceScanStats *stats,
								char **first_request);

#endif /* MSGTRACE_SCAN_H */
