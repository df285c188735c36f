/*-------------------------------------------------------------------------
 *
 * graph.c
 *		Microsoft Graph's dialect: how a TraceQuery is written on the wire.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/graph.h"

#include "net/http.h"
#include "trace/field.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

static void
append_and(StringInfo filter)
{
	if (filter->len > 0)
		appendStringInfoString(filter, " and ");
}

/* Whole seconds, in UTC. */
static void
append_utc(StringInfo text, TimestampTz time)
{
	struct pg_tm tm;
	fsec_t fraction;

	/* slices lie within what the service holds: this cannot be out of range */
	if (timestamp2tm(time, NULL, &tm, &fraction, NULL, NULL) != 0)
		pg_unreachable();
	appendStringInfo(text, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void
msgtrace_graph_append_time(StringInfo filter, const char *operator, TimestampTz time)
{
	append_and(filter);
	appendStringInfo(filter, "%s %s ", msgtrace_field_info[MSGTRACE_RECEIVED].graph, operator);
	append_utc(filter, time);
}

/* A quote in the value is doubled. */
void
msgtrace_graph_append_equal(StringInfo filter, const char *property, const char *value)
{
	append_and(filter);
	appendStringInfo(filter, "%s eq '", property);
	for (; *value; value++)
	{
		if (*value == '\'')
			appendStringInfoChar(filter, '\'');
		appendStringInfoChar(filter, *value);
	}
	appendStringInfoChar(filter, '\'');
}

/*
 * The window on the wire has both ends in it and whole seconds: widened
 * outwards, it holds every row of the slice, and we drop what lies outside.
 */
char *
msgtrace_graph_url(const char *report_url, const MsgTraceQuery *query, const MsgTraceSlice *slice,
				   int page_size)
{
	StringInfoData filter;
	char *escaped;
	char *url;

	initStringInfo(&filter);
	msgtrace_graph_append_time(&filter, "ge", msgtrace_floor_to_second(slice->from));
	msgtrace_graph_append_time(&filter, "le", msgtrace_ceil_to_second(slice->to));
	if (query->sender_address)
		msgtrace_graph_append_equal(&filter, msgtrace_field_info[MSGTRACE_SENDER].graph,
									query->sender_address);
	if (query->recipient_address)
		msgtrace_graph_append_equal(&filter, msgtrace_field_info[MSGTRACE_RECIPIENT].graph,
									query->recipient_address);
	escaped = msgtrace_http_escape(filter.data);
	url = psprintf("%s?$filter=%s&$top=%d", report_url, escaped, page_size);
	pfree(escaped);
	pfree(filter.data);
	return url;
}

/* Measured: the 90 days count from 00:00 UTC of the day. */
TimestampTz
msgtrace_graph_earliest(TimestampTz service_now)
{
	return msgtrace_floor_to_day(service_now) - MSGTRACE_GRAPH_DAYS_HELD * USECS_PER_DAY;
}
