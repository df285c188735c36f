/*-------------------------------------------------------------------------
 *
 * graph.h
 *		Microsoft Graph's dialect: how a TraceQuery is written on the wire.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_GRAPH_H
#define MSGTRACE_GRAPH_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "trace/query.h"
#include "trace/slice.h"

/* Documented: $top of 1 to 5000, windows of 10 days, 90 days of look-back. */
#define MSGTRACE_GRAPH_MAX_PAGE_SIZE 5000
#define MSGTRACE_GRAPH_DAYS_HELD 90

/* The URL of the first page of a slice. */
extern char *msgtrace_graph_url(const char *report_url, const MsgTraceQuery *query,
								const MsgTraceSlice *slice, int page_size);

/* The parts of a $filter, for whoever writes one: "a and b" of these. */
extern void msgtrace_graph_append_time(StringInfo filter, const char *operator, TimestampTz time);
extern void msgtrace_graph_append_equal(StringInfo filter, const char *property, const char *value);

/* The oldest instant that the service holds at this time of its clock. */
extern TimestampTz msgtrace_graph_earliest(TimestampTz service_now);

#endif /* MSGTRACE_GRAPH_H */
