/*-------------------------------------------------------------------------
 *
 * detail_reader.h
 *		The details of deliveries, one request for each, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_READER_H
#define MSGTRACE_DETAIL_READER_H

#include "postgres.h"

#include "trace/detail.h"
#include "trace/page.h"
#include "trace/pager.h"

typedef struct MsgTraceDetailReader MsgTraceDetailReader;

typedef struct MsgTraceDetailConfig
{
	const MsgTraceSessionConfig *session;
	const MsgTraceDialect *list;	  /* of the lists of this API */
	const MsgTracePageReader *reader; /* of records of details, without a delivery */
	bool reject;					  /* records that cannot be read are set aside */
	int concurrency;				  /* requests in flight at most */
	size_t keep;					  /* memory for answers that may be wanted again; 0 = none */
} MsgTraceDetailConfig;

/*
 * Nothing is asked of the network before the first call of _next.  The config and
 * the status must live as long as the reader, which is owned by `context`.
 */
extern MsgTraceDetailReader *msgtrace_detail_reader_open(MemoryContext context,
														 const MsgTraceDetailConfig *config,
														 MsgTraceStatus *status);
extern void msgtrace_detail_reader_close(MsgTraceDetailReader *reader);

/* A context for the tag of a delivery that is added to the queue next. */
extern MemoryContext msgtrace_detail_reader_context(MsgTraceDetailReader *reader);

/*
 * Ask for one delivery more, unless its answer was kept; it is copied.  `tag` comes
 * back with its rows.  The tag's context, or NULL, is the reader's from now on, and
 * gone after the last of them.
 */
extern void msgtrace_detail_reader_add(MsgTraceDetailReader *reader, MemoryContext context,
									   const MsgTraceDelivery *delivery, void *tag);

/* Forget the queue: others will be asked for. */
extern void msgtrace_detail_reader_clear(MsgTraceDetailReader *reader);

/* How many deliveries have rows to come, as far as is known. */
extern int msgtrace_detail_reader_backlog(const MsgTraceDetailReader *reader);

/*
 * The next row, in the order of the deliveries; MSGTRACE_END when those added so
 * far are done with.  A row is valid until the next call.
 */
extern MsgTracePagerResult msgtrace_detail_reader_next(MsgTraceDetailReader *reader,
													   const MsgTraceRow **row, void **tag);

/* Wait for it, and for the trace where that is waited for, too; else NULL. */
extern void msgtrace_detail_reader_wait(MsgTraceDetailReader *reader, const MsgTracePager *trace);

/* Its range is none: it goes by deliveries, which are counted as slices. */
extern const MsgTracePagerCounts *msgtrace_detail_reader_counts(const MsgTraceDetailReader *reader);
extern const MsgTraceSessionCounts *
msgtrace_detail_reader_session_counts(const MsgTraceDetailReader *reader);

/* The records set aside so far. */
extern const MsgTraceRejects *msgtrace_detail_reader_rejects(const MsgTraceDetailReader *reader);

/* The URL of the first request, or NULL. */
extern const char *msgtrace_detail_reader_first_url(const MsgTraceDetailReader *reader);

#endif /* MSGTRACE_DETAIL_READER_H */
