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

#include "commands/explain.h"
#include "nodes/execnodes.h"

extern void msgtrace_explain_scan(ForeignScanState *node, ExplainState *es);

#endif							/* MSGTRACE_EXPLAIN_H */
