/*-------------------------------------------------------------------------
 *
 * graph.h
 *		Microsoft Graph's dialect.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_GRAPH_H
#define MSGTRACE_GRAPH_H

#include "postgres.h"

#include "trace/dialect.h"

/* Documented: $top of 1 to 5000. */
#define MSGTRACE_GRAPH_MAX_PAGE_SIZE 5000

extern const MsgTraceDialect msgtrace_graph;

#endif /* MSGTRACE_GRAPH_H */
