/*-------------------------------------------------------------------------
 *
 * query.h
 *		What is asked of the service, as small plain values.
 *
 * The service ANDs its conditions, keeps one value per property (of several the
 * last counts) and knows no OR.  So a query has at most one value for each, and
 * a question is the union of queries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_QUERY_H
#define MSGTRACE_QUERY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "trace/field.h"

/* What the service can find in a subject; it ignores case. */
typedef enum MsgTraceSubjectTest
{
	MSGTRACE_SUBJECT_ANY,
	MSGTRACE_SUBJECT_STARTS,
	MSGTRACE_SUBJECT_ENDS,
	MSGTRACE_SUBJECT_CONTAINS
} MsgTraceSubjectTest;

typedef struct MsgTraceQuery
{
	TimestampTz from;					 /* first instant asked for; DT_NOBEGIN = all there is */
	TimestampTz to;						 /* first instant no longer asked for; DT_NOEND = now */
	const char *equals[MSGTRACE_FIELDS]; /* what the service shall compare with, or NULL */
	MsgTraceSubjectTest subject_test;
	const char *subject; /* what it tests the subject for */
	double share;		 /* of the tenant's rows that this is expected to bring; 1 = all */
} MsgTraceQuery;

typedef enum MsgTraceOrder
{
	MSGTRACE_ANY_ORDER,
	MSGTRACE_NEWEST_FIRST,
	MSGTRACE_OLDEST_FIRST
} MsgTraceOrder;

/* All that one loop of a scan asks: the union of its queries. */
typedef struct MsgTraceQuestion
{
	MsgTraceQuery *queries;
	int count;			 /* none: no row can satisfy it, and nothing is asked */
	int page_size;		 /* rows per page that we ask for */
	int concurrency;	 /* requests in flight at most */
	MsgTraceOrder order; /* in which whole slices are handed out */
	bool may_stop;		 /* the reader may not want all: ask little ahead of it */
	int64 wanted;		 /* rows after which the reader probably stops; 0 = all */
	bool keeps_strays;	 /* rows that were sent from outside of what was asked for are kept */
} MsgTraceQuestion;

/* All that the service holds. */
extern void msgtrace_query_init(MsgTraceQuery *query);

/* Narrow the range; a bound outside it changes nothing. */
extern void msgtrace_query_from(MsgTraceQuery *query, TimestampTz from);
extern void msgtrace_query_to(MsgTraceQuery *query, TimestampTz to);

/* Can no row satisfy it? */
extern bool msgtrace_query_is_empty(const MsgTraceQuery *query);

/* Can this text be sent as a value, and does the service compare it as we do? */
extern bool msgtrace_query_can_ask_for(const char *value);

#endif /* MSGTRACE_QUERY_H */
