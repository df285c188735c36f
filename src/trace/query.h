/*-------------------------------------------------------------------------
 *
 * query.h
 *		A TraceQuery: what is asked of the service, as a small plain value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_QUERY_H
#define MSGTRACE_QUERY_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct MsgTraceQuery
{
	TimestampTz from;			   /* first instant asked for; DT_NOBEGIN = all there is */
	TimestampTz to;				   /* first instant no longer asked for; DT_NOEND = now */
	const char *sender_address;	   /* equality, or NULL */
	const char *recipient_address; /* equality, or NULL */
	int page_size;				   /* rows per page that we ask for */
	bool empty;					   /* no row can satisfy it: nothing is asked */
} MsgTraceQuery;

extern void msgtrace_query_init(MsgTraceQuery *query, int page_size);

/* Narrow the range; a bound outside it changes nothing. */
extern void msgtrace_query_from(MsgTraceQuery *query, TimestampTz from);
extern void msgtrace_query_to(MsgTraceQuery *query, TimestampTz to);

/* Can this text be sent as a value, and does the service compare it as we do? */
extern bool msgtrace_query_can_ask_for(const char *value);

#endif /* MSGTRACE_QUERY_H */
