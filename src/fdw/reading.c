/*-------------------------------------------------------------------------
 *
 * reading.c
 *		One question of a scan being read: its rows, and what is told of it.
 *
 * Beside the rows a reading has what must not go unsaid: warnings, the records
 * that were set aside, the audit's line in the log, last_scan()'s record and the
 * sums for EXPLAIN.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/reading.h"

#include "fdw/error.h"
#include "fdw/rejected.h"
#include "utils/memutils.h"

void
msgtrace_reading_init(MsgTraceReading *reading, MemoryContext scan_context,
					  const MsgTraceSettings *settings, const MsgTraceScanner *scanner,
					  const MsgTracePageReader *reader)
{
	memset(reading, 0, sizeof(*reading));
	reading->settings = settings;
	reading->scanner = *scanner;
	reading->pager_config.dialect = settings->dialect;
	reading->pager_config.reject = settings->reject_bad_rows;
	reading->pager_config.session = &settings->session;
	reading->pager_config.reader = reader;
	reading->pager_config.rows_per_day = settings->rows_per_day;
	reading->pager_config.rows_expected = settings->rows_expected;
	reading->scan_context = scan_context;
	reading->context = AllocSetContextCreate(scan_context, "o365_msgtrace scan",
											 ALLOCSET_DEFAULT_SIZES);
}

void
msgtrace_reading_begin(MsgTraceReading *reading, const MsgTraceQuestion *question)
{
	MemoryContext before = MemoryContextSwitchTo(reading->context);

	reading->warned_of_rejects = false;
	reading->question = *question;
	msgtrace_status_init(&reading->status, reading->context);
	reading->pager = msgtrace_pager_open(reading->context, &reading->pager_config,
										 &reading->question, &reading->status);
	reading->log = msgtrace_log_scan(reading->context, &reading->scanner, &reading->question);
	msgtrace_stats_note_scan(reading->pager);
	MemoryContextSwitchTo(before);
}

static void
note_first_request(MsgTraceReading *reading)
{
	const char *url = msgtrace_pager_first_url(reading->pager);

	if (reading->first_request == NULL && url)
	{
		MemoryContext before = MemoryContextSwitchTo(reading->scan_context);

		reading->first_request = msgtrace_http_unescape(url);
		MemoryContextSwitchTo(before);
	}
}

/* Once for a question: at its end, or where the query wanted no more. */
static void
warn_of_rejects(MsgTraceReading *reading)
{
	if (reading->warned_of_rejects || msgtrace_pager_counts(reading->pager)->rejected == 0)
		return;
	reading->warned_of_rejects = true;
	msgtrace_error_warn_of_rejects(msgtrace_pager_rejects(reading->pager));
}

void
msgtrace_reading_end(MsgTraceReading *reading)
{
	if (reading->pager == NULL)
		return;
	note_first_request(reading);
	msgtrace_stats_note_scan(reading->pager);
	msgtrace_stats_add(&reading->earlier, reading->pager);
	msgtrace_rejected_keep(reading->pager, reading->scanner.table_id, reading->scanner.user_id);
	warn_of_rejects(reading);
	msgtrace_log_scan_end(reading->log);
	msgtrace_pager_close(reading->pager);
	reading->pager = NULL;
	MemoryContextReset(reading->context);
}

/* What does not end the query, but must not go unsaid. */
static void
give_warnings(MsgTraceReading *reading)
{
	MsgTracePager *pager = reading->pager;
	int64 skew = msgtrace_pager_skew_to_warn_of(pager);
	int ignored = msgtrace_pager_session_counts(pager)->ignored_retry_after;
	MsgTraceSlice refused;

	if (skew != 0)
		msgtrace_error_warn_of_skew(skew);
	if (msgtrace_pager_refused_end(pager, &refused))
		msgtrace_error_warn_of_refused_end(&refused);
	if (ignored > 0 && !reading->warned_of_retry_after)
	{
		reading->warned_of_retry_after = true;
		msgtrace_error_warn_of_retry_after(ignored,
										   reading->settings->session.retry.max_retry_after);
	}
}

static void
end_of_rows(MsgTraceReading *reading, MsgTracePagerResult result)
{
	const MsgTracePagerCounts *counts = msgtrace_pager_counts(reading->pager);

	if (result == MSGTRACE_ERROR)
		msgtrace_error_raise(&reading->status, counts);
	msgtrace_rejected_keep(reading->pager, reading->scanner.table_id, reading->scanner.user_id);
	msgtrace_log_scan_complete(reading->log);
	warn_of_rejects(reading);
	if (counts->replaced > 0)
		msgtrace_error_warn_of_replaced(counts->replaced);
}

MsgTracePagerResult
msgtrace_reading_poll(MsgTraceReading *reading, const MsgTraceRow **row)
{
	MsgTracePagerResult result = msgtrace_pager_next(reading->pager, row);

	msgtrace_stats_note_scan(reading->pager);
	give_warnings(reading);
	if (result == MSGTRACE_ROW)
		msgtrace_log_scan_row(reading->log);
	else if (result == MSGTRACE_END || result == MSGTRACE_ERROR)
		end_of_rows(reading, result);
	return result;
}

void
msgtrace_reading_stats(MsgTraceReading *reading, MsgTraceScanStats *stats)
{
	*stats = reading->earlier;
	if (reading->pager == NULL)
		return;
	note_first_request(reading);
	msgtrace_stats_add(stats, reading->pager);
}
