/*-------------------------------------------------------------------------
 *
 * detail_reading.c
 *		Details being read for a scan: their rows, and what is told of it.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/detail_reading.h"

#include "fdw/error.h"
#include "miscadmin.h"
#include "utils/memutils.h"

void
msgtrace_detail_reading_init(MsgTraceDetailReading *reading, MemoryContext scan_context,
							 const MsgTraceSettings *settings, const MsgTraceScanner *scanner,
							 const MsgTracePageReader *reader)
{
	memset(reading, 0, sizeof(*reading));
	reading->settings = settings;
	reading->scanner = *scanner;
	reading->config.session = &settings->session;
	reading->config.list = settings->dialect;
	reading->config.reader = reader;
	reading->config.reject = settings->reject_bad_rows;
	reading->config.concurrency = settings->max_concurrency;
	reading->scan_context = scan_context;
	reading->context = AllocSetContextCreate(scan_context, "o365_msgtrace details",
											 ALLOCSET_DEFAULT_SIZES);
}

void
msgtrace_detail_reading_keep(MsgTraceDetailReading *reading)
{
	reading->config.keep = (size_t) work_mem * 1024;
}

void
msgtrace_detail_reading_begin(MsgTraceDetailReading *reading, const char *what)
{
	if (reading->reader == NULL)
	{
		msgtrace_status_init(&reading->status, reading->scan_context);
		reading->reader = msgtrace_detail_reader_open(reading->scan_context, &reading->config,
													  &reading->status);
	}
	reading->is_open = true;
	reading->log = msgtrace_log_details(reading->context, &reading->scanner, what);
}

static void
note_stats(const MsgTraceDetailReading *reading)
{
	msgtrace_stats_note_counts(msgtrace_detail_reader_counts(reading->reader),
							   msgtrace_detail_reader_session_counts(reading->reader));
}

/* Of what is new, at the end of a loop or where the query wanted no more. */
static void
tell(MsgTraceDetailReading *reading)
{
	const MsgTracePagerCounts *counts = msgtrace_detail_reader_counts(reading->reader);

	if (counts->rejected > reading->told_rejected)
		msgtrace_error_warn_of_rejects(msgtrace_detail_reader_rejects(reading->reader));
	if (counts->replaced > reading->told_replaced)
		msgtrace_error_warn_of_replaced(counts->replaced - reading->told_replaced);
	reading->told_rejected = counts->rejected;
	reading->told_replaced = counts->replaced;
}

static void
warn_of_retry_after(MsgTraceDetailReading *reading)
{
	int ignored = msgtrace_detail_reader_session_counts(reading->reader)->ignored_retry_after;

	if (ignored > 0 && !reading->warned_of_retry_after)
	{
		reading->warned_of_retry_after = true;
		msgtrace_error_warn_of_retry_after(ignored,
										   reading->settings->session.retry.max_retry_after);
	}
}

MsgTracePagerResult
msgtrace_detail_reading_poll(MsgTraceDetailReading *reading, const MsgTraceRow **row, void **tag)
{
	MsgTracePagerResult result = msgtrace_detail_reader_next(reading->reader, row, tag);

	note_stats(reading);
	warn_of_retry_after(reading);
	if (result == MSGTRACE_ROW)
		msgtrace_log_scan_row(reading->log);
	else if (result == MSGTRACE_ERROR)
		msgtrace_error_raise(&reading->status, msgtrace_detail_reader_counts(reading->reader));
	return result;
}

MsgTracePagerResult
msgtrace_detail_reading_next(MsgTraceDetailReading *reading, const MsgTraceRow **row, void **tag)
{
	MsgTracePagerResult result;

	while ((result = msgtrace_detail_reading_poll(reading, row, tag)) == MSGTRACE_WAIT)
		msgtrace_detail_reader_wait(reading->reader,
									NULL); /* a cancel does not come back from here */
	return result;
}

void
msgtrace_detail_reading_complete(MsgTraceDetailReading *reading)
{
	msgtrace_log_scan_complete(reading->log);
	tell(reading);
}

void
msgtrace_detail_reading_end(MsgTraceDetailReading *reading)
{
	if (!reading->is_open)
		return;
	reading->is_open = false;
	note_stats(reading);
	tell(reading);
	msgtrace_log_scan_end(reading->log);
	msgtrace_detail_reader_clear(reading->reader);
	MemoryContextReset(reading->context);
}

void
msgtrace_detail_reading_close(MsgTraceDetailReading *reading)
{
	msgtrace_detail_reading_end(reading);
	if (reading->reader)
		msgtrace_detail_reader_close(reading->reader);
}

void
msgtrace_detail_reading_stats(MsgTraceDetailReading *reading, MsgTraceScanStats *stats,
							  char **first_request)
{
	const char *url;

	memset(stats, 0, sizeof(*stats));
	*first_request = NULL;
	if (reading->reader == NULL)
		return;
	url = msgtrace_detail_reader_first_url(reading->reader);
	*first_request = url ? msgtrace_http_unescape(url) : NULL;
	msgtrace_stats_add_counts(stats, msgtrace_detail_reader_counts(reading->reader),
							  msgtrace_detail_reader_session_counts(reading->reader));
}
