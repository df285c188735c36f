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
