/*-------------------------------------------------------------------------
 *
 * graph.c
 *		Microsoft Graph's dialect.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/graph.h"

#include "trace/filter.h"

/* Documented: windows of 10 days, 90 days of look-back. */
#define DAYS_HELD 90

static const char *const no_echoes[] = {NULL};

static void
append_time(StringInfo filter, const char *operator, TimestampTz time)
{
	msgtrace_filter_and(filter);
	appendStringInfo(filter, "%s %s ", msgtrace_graph.properties[MSGTRACE_RECEIVED], operator);
	msgtrace_filter_utc(filter, time);
}

static void
append_window(StringInfo filter, const MsgTraceSlice *slice)
{
	append_time(filter, "ge", msgtrace_floor_to_second(slice->from));
	append_time(filter, "le", msgtrace_ceil_to_second(slice->to));
}

/* Measured: the days count from 00:00 UTC of the day. */
static TimestampTz
earliest(TimestampTz service_now)
{
	return msgtrace_floor_to_day(service_now) - DAYS_HELD * USECS_PER_DAY;
}

/* Documented: an absolute URL, to be used as it is. */
static char *
resolve_link(const char *report_url pg_attribute_unused(), const char *link)
{
	return pstrdup(link);
}

const MsgTraceDialect msgtrace_graph = {
	.name = "graph",
	.max_page_size = MSGTRACE_GRAPH_MAX_PAGE_SIZE,
	.days_held = DAYS_HELD,
	/* else the status "recalled" comes as "unknownFutureValue" */
	.prefer = "Prefer: include-unknown-enum-members",
	.properties = {[MSGTRACE_ID] = "id",
				   [MSGTRACE_MESSAGE_ID] = "messageId",
				   [MSGTRACE_RECEIVED] = "receivedDateTime",
				   [MSGTRACE_SENDER] = "senderAddress",
				   [MSGTRACE_RECIPIENT] = "recipientAddress",
				   [MSGTRACE_SUBJECT] = "subject",
				   [MSGTRACE_STATUS] = "status",
				   [MSGTRACE_SIZE] = "size",
				   [MSGTRACE_FROM_IP] = "fromIP",
				   [MSGTRACE_TO_IP] = "toIP"},
	.asked = {[MSGTRACE_ID] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_MESSAGE_ID] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_SENDER] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_RECIPIENT] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_STATUS] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_FROM_IP] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_TO_IP] = MSGTRACE_ASKED_AS_TEXT},
	.subject_tests = true,
	.echoes = no_echoes,
	.earliest = earliest,
	.append_window = append_window,
	.resolve_link = resolve_link};
