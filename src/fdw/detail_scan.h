/*-------------------------------------------------------------------------
 *
 * detail_scan.h
 *		Execution of a scan of details, and what EXPLAIN shows of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_SCAN_H
#define MSGTRACE_DETAIL_SCAN_H

#include "postgres.h"

#include "net/compat.h"
#include "nodes/execnodes.h"

#include MSGTRACE_EXPLAIN_STATE_HEADER

extern void msgtrace_detail_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *msgtrace_detail_iterate_scan(ForeignScanState *node);
extern void msgtrace_detail_rescan(ForeignScanState *node);
extern void msgtrace_detail_end_scan(ForeignScanState *node);
extern void msgtrace_detail_explain_scan(ForeignScanState *node, ExplainState *es);

#endif /* MSGTRACE_DETAIL_SCAN_H */
