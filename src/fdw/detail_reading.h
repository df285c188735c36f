/*-------------------------------------------------------------------------
 *
 * detail_reading.h
 *		Details being read for a scan: their rows, and what is told of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_READING_H
#define MSGTRACE_DETAIL_READING_H

#include "postgres.h"

#include "fdw/log.h"
#include "fdw/options.h"
#include "fdw/stats.h"
#include "trace/detail_reader.h"

typedef struct MsgTraceDetailReading
{
	/* the scan's */
	const MsgTraceSettings *settings;
	MsgTraceScanner scanner;
	MsgTraceDetailConfig config;
	MemoryContext scan_context;
	MsgTraceStatus status;
	MsgTraceDetailReader *reader; /* NULL before the first loop */
	bool warned_of_retry_after;
	int64 told_rejected; /* of what was set aside or replaced, as far as a warning has told it */
	int64 told_replaced;

	/* a loop's */
	bool is_open;
	MemoryContext context; /* reset at its end */
	MsgTraceScanLog *log;
} MsgTraceDetailReading;

/* Settings and page reader must live as long as the scan's context. */
extern void msgtrace_detail_reading_init(MsgTraceDetailReading *reading, MemoryContext scan_context,
										 const MsgTraceSettings *settings,
										 const MsgTraceScanner *scanner,
										 const MsgTracePageReader *reader);

/* Loops may ask again what others have asked: keep the answers. */
extern void msgtrace_detail_reading_keep(MsgTraceDetailReading *reading);

/* Begin a loop; `what` is asked for, in words for the log. */
extern void msgtrace_detail_reading_begin(MsgTraceDetailReading *reading, const char *what);

/*
 * The next row of the deliveries that were added to the reader, valid until the
 * next call, or MSGTRACE_END; what failed is raised.  _poll does not wait.
 */
extern MsgTracePagerResult msgtrace_detail_reading_poll(MsgTraceDetailReading *reading,
														const MsgTraceRow **row, void **tag);
extern MsgTracePagerResult msgtrace_detail_reading_next(MsgTraceDetailReading *reading,
														const MsgTraceRow **row, void **tag);

/* All rows of the loop were handed out. */
extern void msgtrace_detail_reading_complete(MsgTraceDetailReading *reading);

/* The loop ends, whether or not all was read.  The reading's context is reset. */
extern void msgtrace_detail_reading_end(MsgTraceDetailReading *reading);

/* The scan ends. */
extern void msgtrace_detail_reading_close(MsgTraceDetailReading *reading);

/*
 * The sums over all loops of the scan, and the first request in a form for people
 * (NULL when none was made).
 */
extern void msgtrace_detail_reading_stats(MsgTraceDetailReading *reading, MsgTraceScanStats *stats,
										  char **first_request);

#endif /* MSGTRACE_DETAIL_READING_H */
