/*-------------------------------------------------------------------------
 *
 * detail.c
 *		How the details of one delivery are asked for, and what they are made of.
 *
 * Graph takes the key alone.  Reporting wants the message's sender and a window
 * of time, too, which are in its row of the list.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/detail.h"

#include "lib/stringinfo.h"
#include "net/http.h"
#include "trace/filter.h"
#include "trace/graph.h"
#include "trace/reporting.h"
#include "trace/row.h"
#include "utils/timestamp.h"

/* Clocks and fractions may differ by less. */
#define MARGIN USECS_PER_HOUR

/* What is new is held a moment later. */
#define DISTANCE_FROM_NOW USECS_PER_SEC

/* A row's text has it where the service sent what text cannot hold. */
#define REPLACEMENT "\xEF\xBF\xBD"

/* ---------------------------------------------------------------- records */

static const char *const no_echoes[] = {NULL};
static const char *const window_echoes[] = {"StartDate", "EndDate", NULL};

/* The key is not among the properties: a column shows it as it was asked for. */
static const MsgTraceDialect graph_details = {.name = "graph",
											  .of_delivery = true,
											  .properties = {[MSGTRACE_MESSAGE_ID] = "messageId",
															 [MSGTRACE_RECEIVED] = "dateTime",
															 [MSGTRACE_EVENT] = "event",
															 [MSGTRACE_ACTION] = "action",
															 [MSGTRACE_DESCRIPTION] = "description",
															 [MSGTRACE_DATA] = "data"},
											  .echoes = no_echoes};

static const MsgTraceDialect reporting_details = {
	.name = "reporting",
	.of_delivery = true,
	.wrapped = true,
	.properties = {[MSGTRACE_MESSAGE_ID] = "MessageId",
				   [MSGTRACE_RECEIVED] = "Date",
				   [MSGTRACE_ORGANIZATION] = "Organization",
				   [MSGTRACE_EVENT] = "Event",
				   [MSGTRACE_ACTION] = "Action",
				   [MSGTRACE_DESCRIPTION] = "Detail",
				   [MSGTRACE_DATA] = "Data"},
	.echoes = window_echoes};

const MsgTraceDialect *
msgtrace_detail_dialect(const MsgTraceDialect *list)
{
	return list == &msgtrace_reporting ? &reporting_details : &graph_details;
}

int
msgtrace_detail_field(const char *property)
{
	const MsgTraceDialect *const dialects[] = {&graph_details, &reporting_details};

	for (size_t i = 0; i < lengthof(dialects); i++)
	{
		for (int field = 0; field < MSGTRACE_FIELDS; field++)
		{
			const char *name = dialects[i]->properties[field];

			if (name && strcmp(name, property) == 0)
				return field;
		}
	}
	return -1;
}

/* -------------------------------------------------------------- questions */

/* No row of the list has another id, or one of these addresses. */
bool
msgtrace_detail_can_ask_for(const char *id, const char *recipient_address)
{
	pg_uuid_t uuid;

	return msgtrace_row_read_id(id, &uuid) && msgtrace_query_can_ask_for(recipient_address) &&
		   strstr(recipient_address, REPLACEMENT) == NULL;
}

bool
msgtrace_detail_needs_row(const MsgTraceDialect *list)
{
	return list == &msgtrace_reporting;
}

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
append_key(StringInfo filter, const MsgTraceDialect *list, const MsgTraceDelivery *delivery)
{
	msgtrace_filter_equal(filter, list->properties[MSGTRACE_ID], "guid", delivery->id);
	msgtrace_filter_equal(filter, list->properties[MSGTRACE_RECIPIENT], "",
						  delivery->recipient_address);
}

/*
 * From the message's time to now, since an event may come days later and nobody
 * has said whether the window is of the message or of its events.
 */
static char *
reporting_url(const char *report_url, const MsgTraceDelivery *delivery, TimestampTz service_now)
{
	MsgTraceSlice window = {
		Max(delivery->received - MARGIN, msgtrace_reporting.earliest(service_now)),
		service_now - DISTANCE_FROM_NOW};
	StringInfoData filter;

	initStringInfo(&filter);
	append_key(&filter, &msgtrace_reporting, delivery);
	if (*delivery->sender_address)
		msgtrace_filter_equal(&filter, msgtrace_reporting.properties[MSGTRACE_SENDER], "",
							  delivery->sender_address);
	msgtrace_reporting.append_window(&filter, &window);
	return psprintf("%sDetail?$filter=%s", report_url, msgtrace_http_escape(filter.data));
}

char *
msgtrace_detail_row_url(const MsgTraceDialect *list, const char *report_url,
						const MsgTraceDelivery *delivery, TimestampTz service_now)
{
	MsgTraceSlice window = {list->earliest(service_now), service_now - DISTANCE_FROM_NOW};
	StringInfoData filter;

	initStringInfo(&filter);
	list->append_window(&filter, &window);
	append_key(&filter, list, delivery);
	return psprintf("%s?$filter=%s&$top=%d", report_url, msgtrace_http_escape(filter.data),
					list->max_page_size);
}

char *
msgtrace_detail_url(const MsgTraceDialect *list, const char *report_url,
					const MsgTraceDelivery *delivery, TimestampTz service_now)
{
	return list == &msgtrace_reporting ? reporting_url(report_url, delivery, service_now)
									   : graph_url(report_url, delivery);
}
