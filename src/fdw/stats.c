/*-------------------------------------------------------------------------
 *
 * stats.c
 *		What scans did: for EXPLAIN ANALYZE and last_scan().
 *
 * The ingest believes nothing else: a time range counts as read when
 * last_scan() says that it was asked for and read to its end.  So the record is
 * kept at each step of a scan, and a scan that failed is never complete.  It is of
 * the scan that moved last: one that a trigger makes in the middle of an INSERT
 * ... SELECT does not stand in for the one that the rows came from.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/stats.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/timestamp.h"

static bool any_scan = false;
static MsgTraceScanStats last_scan;

/* Of all scans of this session: two readings of one window may have the same record. */
static int64 steps = 0;

static void
add_pager_counts(MsgTracePagerCounts *sum, const MsgTracePagerCounts *counts)
{
	MsgTracePagerCounts earlier = *sum;

	*sum = *counts; /* range and completeness are the latest pager's */
	sum->slices += earlier.slices;
	sum->pages += earlier.pages;
	sum->received += earlier.received;
	sum->delivered += earlier.delivered;
	sum->rejected += earlier.rejected;
	sum->replaced += earlier.replaced;
}

static void
add_session_counts(MsgTraceSessionCounts *sum, const MsgTraceSessionCounts *counts)
{
	sum->requests += counts->requests;
	sum->retries += counts->retries;
	sum->sign_ins += counts->sign_ins;
	sum->bytes += counts->bytes;
	sum->waited += counts->waited;
}

void
msgtrace_stats_add_counts(MsgTraceScanStats *stats, const MsgTracePagerCounts *pager,
						  const MsgTraceSessionCounts *session)
{
	add_pager_counts(&stats->pager, pager);
	add_session_counts(&stats->session, session);
}

void
msgtrace_stats_add(MsgTraceScanStats *stats, const MsgTracePager *pager)
{
	msgtrace_stats_add_counts(stats, msgtrace_pager_counts(pager),
							  msgtrace_pager_session_counts(pager));
}

void
msgtrace_stats_note_counts(const MsgTracePagerCounts *pager, const MsgTraceSessionCounts *session)
{
	last_scan.pager = *pager;
	last_scan.session = *session;
	any_scan = true;
	steps++;
}

void
msgtrace_stats_note_scan(const MsgTracePager *pager)
{
	msgtrace_stats_note_counts(msgtrace_pager_counts(pager), msgtrace_pager_session_counts(pager));
}

static Datum
interval_of(int64 microseconds)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

PG_FUNCTION_INFO_V1(o365_msgtrace_last_scan);

Datum
o365_msgtrace_last_scan(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Datum values[11];
	bool nulls[11] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (!any_scan)
		memset(nulls, true, sizeof(nulls));

	/* before service time is known nothing was asked for */
	nulls[0] = nulls[1] = nulls[3] = nulls[3] || last_scan.pager.service_time_at_start == 0;
	values[0] = TimestampTzGetDatum(last_scan.pager.asked_from);
	values[1] = TimestampTzGetDatum(last_scan.pager.asked_to);
	values[2] = BoolGetDatum(last_scan.pager.complete);
	values[3] = TimestampTzGetDatum(last_scan.pager.service_time_at_start);
	values[4] = Int64GetDatum(last_scan.session.requests);
	values[5] = Int64GetDatum(last_scan.session.retries);
	values[6] = Int64GetDatum(last_scan.pager.pages);
	values[7] = Int64GetDatum(last_scan.session.bytes);
	values[8] = Int64GetDatum(last_scan.pager.delivered);
	values[9] = Int64GetDatum(last_scan.pager.rejected);
	values[10] = interval_of(last_scan.session.waited);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

PG_FUNCTION_INFO_V1(o365_msgtrace_scan_steps);

Datum
o365_msgtrace_scan_steps(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(steps);
}
