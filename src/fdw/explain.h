/*-------------------------------------------------------------------------
 *
 * explain.h
 *		What EXPLAIN shows of a scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_EXPLAIN_H
#define MSGTRACE_EXPLAIN_H

#include "postgres.h"

#include "net/compat.h"
#include "nodes/execnodes.h"

#include MSGTRACE_EXPLAIN_STATE_HEADER

extern void msgtrace_explain_scan(ForeignScanState *node, ExplainState *es);

#endif /* MSGTRACE_EXPLAIN_H */
