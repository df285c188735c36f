/*-------------------------------------------------------------------------
 *
 * reading.h
 *		One question of a scan being read: its rows, and what is told of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_READING_H
#define MSGTRACE_READING_H

#include "postgres.h"

#include "fdw/log.h"
#include "fdw/options.h"
#include "fdw/stats.h"
#include "trace/pager.h"

typedef struct MsgTraceReading
{
	/* the scan's: the caller's to fill, but for the last four */
	const MsgTraceSettings *settings;
	MsgTraceScanner scanner;
	MsgTracePagerConfig pager_config;
	MemoryContext scan_context;
	MemoryContext context;	   /* of what is one question's; reset at its end */
	MsgTraceScanStats earlier; /* of the questions before this one */
	char *first_request;
	bool warned_of_retry_after;

	/* this question's */
	MsgTraceQuestion question;
	MsgTraceStatus status;
	MsgTracePager *pager; /* NULL when nothing is being read */
	MsgTraceScanLog *log;
	bool warned_of_rejects;
} MsgTraceReading;

/* Settings, scanner and page reader must live as long as the scan's context. */
extern void msgtrace_reading_init(MsgTraceReading *reading, MemoryContext scan_context,
								  const MsgTraceSettings *settings, const MsgTraceScanner *scanner,
								  const MsgTracePageReader *reader);

/* Read this question, whose parts live in the reading's context. */
extern void msgtrace_reading_begin(MsgTraceReading *reading, const MsgTraceQuestion *question);

/*
 * The next row, which is valid until the next call, MSGTRACE_SLICE, MSGTRACE_END,
 * or MSGTRACE_WAIT when there is nothing yet; what failed is raised.
 */
extern MsgTracePagerResult msgtrace_reading_poll(MsgTraceReading *reading, const MsgTraceRow **row);

/* Whether or not all was read.  The reading's context is reset. */
extern void msgtrace_reading_end(MsgTraceReading *reading);

/* The sums over all questions of the scan. */
extern void msgtrace_reading_stats(MsgTraceReading *reading, MsgTraceScanStats *stats);

#endif /* MSGTRACE_READING_H */
