/*-------------------------------------------------------------------------
 *
 * join_scan.h
 *		Execution of a message trace joined with its details as one scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_JOIN_SCAN_H
#define MSGTRACE_JOIN_SCAN_H

#include "postgres.h"

#include "net/compat.h"
#include "nodes/execnodes.h"

#include MSGTRACE_EXPLAIN_STATE_HEADER

extern void msgtrace_join_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *msgtrace_join_iterate_scan(ForeignScanState *node);
extern void msgtrace_join_rescan(ForeignScanState *node);
extern void msgtrace_join_end_scan(ForeignScanState *node);
extern void msgtrace_join_explain_scan(ForeignScanState *node, ExplainState *es);

#endif /* MSGTRACE_JOIN_SCAN_H */
