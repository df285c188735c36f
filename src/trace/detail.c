/*-------------------------------------------------------------------------
 *
 * detail.c
 *		How the details of one delivery are asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/detail.h"

#include "lib/stringinfo.h"
#include "net/http.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

/* The list's window may be off by what clocks and fractions differ. */
#define MARGIN USECS_PER_HOUR

/* A literal with its quotes, those within it doubled. */
static void
append_literal(StringInfo text, const char *value)
{
	appendStringInfoChar(text, '\'');
	for (; *value; value++)
	{
		if (*value == '\'')
			appendStringInfoChar(text, '\'');
		appendStringInfoChar(text, *value);
	}
	appendStringInfoChar(text, '\'');
}

static char *
graph_url(const char *report_url, const MsgTraceDelivery *delivery)
{
	StringInfoData argument;

	initStringInfo(&argument);
	append_literal(&argument, delivery->recipient_address);
	return psprintf("%s/%s/getDetailsByRecipient(recipientAddress=%s)", report_url,
					msgtrace_http_escape(delivery->id), msgtrace_http_escape(argument.data));
}

static void
append_time(StringInfo filter, const char *name, TimestampTz time)
{
	struct pg_tm tm;
	fsec_t fraction;

	/* a row's own time: this cannot be out of range */
	if (timestamp2tm(time, NULL, &tm, &fraction, NULL, NULL) != 0)
		pg_unreachable();
	appendStringInfo(filter, " and %s eq datetime'%04d-%02d-%02dT%02d:%02d:%02dZ'", name,
					 tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static char *
reporting_url(const char *report_url, const MsgTraceDelivery *delivery)
{
	StringInfoData filter;

	initStringInfo(&filter);
	appendStringInfoString(&filter, "MessageTraceId eq guid");
	append_literal(&filter, delivery->id);
	appendStringInfoString(&filter, " and RecipientAddress eq ");
	append_literal(&filter, delivery->recipient_address);
	appendStringInfoString(&filter, " and SenderAddress eq ");
	append_literal(&filter, delivery->sender_address);
	append_time(&filter, "StartDate", delivery->received - MARGIN);
	append_time(&filter, "EndDate", delivery->received + MARGIN);
	return psprintf("%sDetail?$filter=%s", report_url, msgtrace_http_escape(filter.data));
}

char *
msgtrace_detail_url(const char *api, const char *report_url, const MsgTraceDelivery *delivery)
{
	return strcmp(api, "reporting") == 0 ? reporting_url(report_url, delivery)
										 : graph_url(report_url, delivery);
}
