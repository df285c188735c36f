/*
 * reporting.c
 *	  List and details as the older Reporting web service serves them.
 *
 * Differs from Graph in all but the rows: a window by `eq`, pages by row index,
 * three shapes of JSON, relative links, dates of two kinds.
 */
#include "reporting.h"

#include "admit.h"
#include "answer.h"
#include "escape.h"
#include "events.h"
#include "filter.h"
#include "stray.h"
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 2000
#define LAST_INDEX 999999 /* from here on the service gives up */
#define DEFAULT_SPAN (2 * TICKS_PER_DAY)
#define MAX_AGE (10 * TICKS_PER_DAY)

typedef enum ReportShape
{
	SHAPE_LIGHT,   /* {"odata.metadata":…,"value":[…],"odata.nextLink":…} */
	SHAPE_VERBOSE, /* {"d":{"results":[…],"__next":…}} */
	SHAPE_BARE	   /* {"d":[…]} */
} ReportShape;

typedef struct Report
{
	Filter filter;
	Tick from;
	Tick to;
	long first; /* index of the page's first row */
	long top;
	ReportShape shape;
} Report;

/* ---- refusals ---- */

static Result
answer_error(Request *request, unsigned status, const char *code, const char *message,
			 ExtraHeader extra)
{
	Buffer body = {0};

	buffer_add_text(&body, "{\"odata.error\":{\"code\":");
	buffer_add_json(&body, code);
	buffer_add_text(&body, ",\"message\":{\"lang\":\"en-US\",\"value\":");
	buffer_add_json(&body, message);
	buffer_add_text(&body, "}}}");
	return answer_send(request, status, "application/json;odata=minimalmetadata;charset=utf-8",
					   &body, extra);
}

static Result
answer_not_permitted(Request *request)
{
	Buffer body = {0};

	buffer_add_text(&body,
					"{\"ErrorCode\":\"\",\"Message\":\"No permission to access the report for "
					"the organization .\"}");
	return answer_json(request, MHD_HTTP_FORBIDDEN, &body);
}

static bool
admit_report(Request *request, bool detail, Result *result)
{
	char retry_after[MOMENT_TEXT_SIZE];

	switch (admit(request, API_REPORTING, detail, retry_after))
	{
		case ADMITTED:
			return true;
		case ADMIT_NOT_PERMITTED:
			*result = answer_not_permitted(request);
			return false;
		case ADMIT_OVER_QUOTA:
			*result = answer_error(
				request, MHD_HTTP_TOO_MANY_REQUESTS, "TooManyRequests",
				"Your recent queries have surpassed the permitted limit, please try again later.",
				(ExtraHeader){"Retry-After", retry_after});
			return false;
		default:
			*result = answer_html_page(request, MHD_HTTP_UNAUTHORIZED);
			return false;
	}
}

/* ---- what is asked ---- */

static ReportShape
choose_shape(const Request *request)
{
	const char *format = request_parameter(request, "$format");
	const char *accept = request_header(request, "Accept");

	if (request->settings.reporting_json != REPORTING_AS_ASKED)
		return request->settings.reporting_json == REPORTING_LIGHT	   ? SHAPE_LIGHT
			   : request->settings.reporting_json == REPORTING_VERBOSE ? SHAPE_VERBOSE
																	   : SHAPE_BARE;
	if (format && strcasecmp(format, "json") == 0)
		return request_parameter(request, "$top") ? SHAPE_BARE : SHAPE_VERBOSE;
	return accept && strcasestr(accept, "odata=verbose") ? SHAPE_VERBOSE : SHAPE_LIGHT;
}

static bool
read_count(const Request *request, const char *name, long missing, long *value, Buffer *error)
{
	const char *text = request_parameter(request, name);
	char *end;

	*value = missing;
	if (text == NULL)
		return true;
	*value = strtol(text, &end, 10);
	if (end != text && *end == '\0' && *value >= 0)
		return true;
	buffer_printf(error, "The value of %s is not valid: %s", name, text);
	return false;
}

static bool
read_window(const Request *request, Report *report, Buffer *error)
{
	const Filter *filter = &report->filter;

	report->to = filter->has_to ? filter->to : request->now;
	report->from = filter->has_from ? filter->from : request->now - DEFAULT_SPAN;
	if (filter->has_from != filter->has_to)
		buffer_add_text(error, "Both StartDate and EndDate must be given, or neither.");
	else if (report->from > report->to)
		buffer_add_text(error, "Invalid date range: StartDate is after EndDate.");
	else if (report->from < request->now - MAX_AGE)
		buffer_add_text(
			error,
			"Invalid StartDate value. The StartDate can't be older than 10 days from today.");
	return error->length == 0;
}

static bool
read_report(const Request *request, Report *report, Buffer *error)
{
	long last;

	if (!filter_parse(&report->filter, FILTER_REPORTING, request_parameter(request, "$filter"),
					  error) ||
		!read_count(request, "$top", PAGE_ROWS, &report->top, error) ||
		!read_count(request, "$skiptoken", -1, &last, error) ||
		!read_window(request, report, error))
		return false;
	if (report->top > PAGE_ROWS)
		report->top = PAGE_ROWS;
	report->first = last + 1;
	report->shape = choose_shape(request);
	return true;
}

/* ---- rows ---- */

static void
add_value(Buffer *out, const char *name, Span value, EscapeStyle style)
{
	char *place;

	buffer_printf(out, ",\"%s\":", name);
	place = buffer_reserve(out, ESCAPE_ROOM(value.length) + 4);
	out->length += (size_t) (escape_json(place, value, style) - place);
}

static void
add_date(Buffer *out, const char *name, Tick moment, ReportShape shape)
{
	char text[MOMENT_TEXT_SIZE];

	moment_write(text, moment, 7, false);
	if (shape == SHAPE_LIGHT)
		buffer_printf(out, ",\"%s\":\"%s\"", name, text);
	else
		buffer_printf(out, ",\"%s\":\"\\/Date(%lld)\\/\"", name,
					  (long long) (moment / TICKS_PER_MS));
}

/* Here a status begins with a capital. */
static Span
report_status(const Row *row, const RowDetails *details, Tick now, char *scratch)
{
	Span status = row_status(row, details, now);

	if (status.length == 0 || status.length >= ROW_SCRATCH)
		return status;
	memcpy(scratch, status.data, status.length);
	if (scratch[0] >= 'a' && scratch[0] <= 'z')
		scratch[0] = (char) (scratch[0] - 32);
	status.data = scratch;
	return status;
}

/* The subject, with the ordered damage at its end. */
static void
add_subject(Buffer *out, const Row *row, FaultKind damage)
{
	char scratch[ROW_SCRATCH];
	const char *ending = damage == FAULT_NUL_ESCAPE		  ? "\\u0000"
						 : damage == FAULT_LONE_SURROGATE ? "\\ud800"
						 : damage == FAULT_INVALID_UTF8	  ? "\xff"
														  : "";

	add_value(out, "Subject", row_subject(row, scratch), ESCAPE_PLAIN);
	if (*ending && out->data[out->length - 1] == '"')
	{
		out->length--;
		buffer_add_text(out, ending);
		buffer_add_text(out, "\"");
	}
}

static void
add_row(Buffer *out, const Request *request, const Report *report, const Row *row, long index,
		FaultKind damage)
{
	RowDetails details = {0};
	char scratch[ROW_SCRATCH];
	char id[ROW_ID_SIZE];

	if (!row->given)
		world_row_details(row, &details);
	row_write_id(row, id);
	buffer_printf(out, "{\"Organization\":\"%s\"", request->organization);
	add_value(out, "MessageId", row_message_id(row, scratch), ESCAPE_PLAIN);
	add_date(out, "Received", row->facts->message.received, report->shape);
	add_value(out, "SenderAddress", row_sender(row, scratch), ESCAPE_PLAIN);
	add_value(out, "RecipientAddress", row_recipient(row, scratch), ESCAPE_PLAIN);
	add_subject(out, row, damage);
	add_value(out, "Status", report_status(row, &details, request->now, scratch), ESCAPE_PLAIN);
	add_value(out, "ToIP", row_to_ip(row, &details, scratch), ESCAPE_PLAIN);
	add_value(out, "FromIP", row_from_ip(row, &details, scratch), ESCAPE_PLAIN);
	buffer_printf(out, ",\"Size\":%lld,\"MessageTraceId\":\"%.36s\"",
				  (long long) (row->given ? row->given->size : details.size), id);
	add_date(out, "StartDate", report->from, report->shape);
	add_date(out, "EndDate", report->to, report->shape);
	buffer_printf(out, ",\"Index\":%ld}", index);
}

/* A row that no reader can use as it is; the kinds are those of Graph's. */
static void
add_bad_row(Buffer *out, const Request *request, const Report *report, Tick received)
{
	const char *kind = request->fault.variant;
	bool garbage = strcmp(kind, "garbage_time") == 0;
	bool long_key = strcmp(kind, "long_key") == 0;

	buffer_printf(
		out, "{\"Organization\":\"%s\",\"MessageId\":null,\"SenderAddress\":\"bad@fabrikam.com\"",
		request->organization);
	if (garbage)
		buffer_add_text(out, ",\"Received\":\"the day before yesterday\"");
	else if (strcmp(kind, "no_received") != 0)
		add_date(out, "Received", received, report->shape);
	if (strcmp(kind, "no_recipient") != 0)
		buffer_printf(out, ",\"RecipientAddress\":\"%0*d@contoso.com\"", long_key ? 1200 : 1, 7);
	buffer_printf(out, ",\"Subject\":%s",
				  strcmp(kind, "number_subject") == 0 ? "12345" : "\"a bad row\"");
	if (strcmp(kind, "no_id") != 0)
		buffer_add_text(out, ",\"MessageTraceId\":\"badbadba-dbad-badb-adba-dbadbadbadba\"");
	buffer_add_text(
		out, ",\"Status\":\"Delivered\",\"ToIP\":null,\"FromIP\":null,\"Size\":1,\"Index\":0}");
}

static void
add_stray(Buffer *out, const Request *request, const Report *report, long count)
{
	Walk walk;
	Row row;

	if (stray_find(request, &report->filter, report->from, &walk, &row))
	{
		if (count > 0)
			buffer_add_text(out, ",");
		add_row(out, request, report, &row, report->first + count, FAULT_NONE);
	}
	walk_end(&walk);
}

/* Writes the page's rows; returns how many are good, and of the window. */
static long
add_rows(Buffer *out, const Request *request, const Report *report)
{
	long damaged = request->fault.row >= 0 ? (long) request->fault.row : 0;
	bool bad = request->fault.kind == FAULT_BAD_ROW;
	long index = 0;
	long count = 0;
	Walk walk;
	Row row;

	walk_begin(&walk, &request->world, report->from, report->to, request->settings.shuffle);
	while (count < report->top && walk_next(&walk, &row))
	{
		if (row.visible > request->now || !filter_match(&report->filter, &row, request->now) ||
			index++ < report->first)
			continue;
		if (count > 0)
			buffer_add_text(out, ",");
		if (bad && count == damaged)
		{
			add_bad_row(out, request, report, row.facts->message.received);
			buffer_add_text(out, ",");
			bad = false;
		}
		add_row(out, request, report, &row, index - 1,
				count == damaged ? request->fault.kind : FAULT_NONE);
		count++;
	}
	walk_end(&walk);
	if (request->fault.kind == FAULT_OUTSIDE_ROW)
		add_stray(out, request, report, count);
	/* a page that is too short for it is not spared */
	if (bad)
	{
		if (count > 0)
			buffer_add_text(out, ",");
		add_bad_row(out, request, report, report->to);
	}
	return count;
}

/* ---- the page ---- */

/* Row index of the last row before the next page; -2 when there is none. */
static long
next_skiptoken(const Request *request, const Report *report, long count)
{
	long last = report->first + count - 1;

	switch (request->fault.kind)
	{
		case FAULT_LOOPING_LINK:
		case FAULT_EMPTY_PAGE:
			return report->first - 1;
		case FAULT_REPEAT_ROW:
			return last - 1;
		case FAULT_POISONED_LINK:
		case FAULT_FOREIGN_LINK:
			return last;
		default:
			/* a full page has a link even when nothing follows: the next is empty */
			return count == report->top && report->shape != SHAPE_BARE ? last : -2;
	}
}

static void
add_parameter(Buffer *out, const Request *request, const char *name)
{
	const char *value = request_parameter(request, name);

	if (value == NULL)
		return;
	buffer_printf(out, "%s=", name);
	buffer_add_url(out, value);
	buffer_add_text(out, "&");
}

static void
write_link(Buffer *out, const Request *request, const Report *report, long count)
{
	long skiptoken = next_skiptoken(request, report, count);

	if (skiptoken < -1)
		return;
	if (request->fault.kind == FAULT_FOREIGN_LINK && request->fault.url[0])
		buffer_add_text(out, request->fault.url);
	else if (request->settings.reporting_link)
	{
		request_base_url(request, out);
		buffer_add_text(out, REPORTING_LIST_PATH);
	}
	else
		buffer_add_text(out, "../../reportingwebservice/reporting.svc/MessageTrace");
	buffer_add_text(
		out,
		request->fault.kind == FAULT_FOREIGN_LINK && strchr(request->fault.url, '?') ? "&" : "?");
	add_parameter(out, request, "$filter");
	add_parameter(out, request, "$format");
	add_parameter(out, request, "$top");
	if (request->fault.kind == FAULT_POISONED_LINK)
		buffer_printf(out, "$skiptoken=%%22%ld%%22", skiptoken);
	else if (skiptoken >= 0)
		buffer_printf(out, "$skiptoken=%ld", skiptoken);
	else
		out->length--;
}

static void
open_page(Buffer *out, const Request *request, ReportShape shape)
{
	if (shape == SHAPE_LIGHT)
	{
		buffer_add_text(out, "{\"odata.metadata\":\"");
		request_base_url(request, out);
		buffer_add_text(
			out, "/ecp/reportingwebservice/reporting.svc/$metadata#MessageTrace\",\"value\":[");
	}
	else
		buffer_add_text(out, shape == SHAPE_VERBOSE ? "{\"d\":{\"results\":[" : "{\"d\":[");
}

/* Both spellings have been seen. */
static const char *
link_name(const Request *request, const Report *report)
{
	if (report->shape == SHAPE_VERBOSE)
		return "__next";
	switch (request->settings.reporting_link_name)
	{
		case LINK_NAME_ODATA:
			return "odata.nextLink";
		case LINK_NAME_AT_ODATA:
			return "@odata.nextLink";
		default:
			return moment_seconds(report->from) % 2 ? "@odata.nextLink" : "odata.nextLink";
	}
}

static void
close_page(Buffer *out, const Request *request, const Report *report, Buffer *link)
{
	const char *name = link_name(request, report);

	buffer_add_text(out, "]");
	if (link->length > 0 && report->shape != SHAPE_BARE)
	{
		buffer_printf(out, ",\"%s\":", name);
		buffer_add_json(out, buffer_text(link));
	}
	buffer_add_text(out, report->shape == SHAPE_VERBOSE ? "}}" : "}");
}

static Result
answer_page(Request *request, const Report *report)
{
	Buffer body = {0};
	Buffer link = {0};
	long count = 0;

	if (report->first > LAST_INDEX)
		return answer_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "UnknownError",
							"An unknown error occurred.", NO_HEADER);
	open_page(&body, request, report->shape);
	/* without a link an empty page is the last one */
	if (request->fault.kind != FAULT_EMPTY_PAGE || report->shape == SHAPE_BARE)
		count = add_rows(&body, request, report);
	write_link(&link, request, report, count);
	close_page(&body, request, report, &link);
	buffer_free(&link);
	request->rows = count;
	return answer_send(request, MHD_HTTP_OK, "application/json;odata=minimalmetadata;charset=utf-8",
					   &body, NO_HEADER);
}

/*
 * GET …/MessageTrace
 */
Result
reporting_list(Request *request)
{
	Report report = {0};
	Buffer error = {0};
	Result result;

	if (!admit_report(request, false, &result))
		return result;
	if (request->settings.page_delay > 0 && !answer_wait(request, request->settings.page_delay))
		return MHD_NO;
	if (read_report(request, &report, &error))
		result = answer_page(request, &report);
	else
		result = answer_error(request, MHD_HTTP_BAD_REQUEST, "", buffer_text(&error), NO_HEADER);
	filter_free(&report.filter);
	buffer_free(&error);
	return result;
}

/* ---- details ---- */

static void
add_event(Buffer *out, const Request *request, const Report *report, const Event *event,
		  const Delivery *delivery)
{
	char scratch[ROW_SCRATCH];
	char id[ROW_ID_SIZE];

	row_write_id(&delivery->row, id);
	buffer_printf(out, "{\"Organization\":\"%s\",\"MessageTraceId\":\"%.36s\"",
				  request->organization, id);
	add_value(out, "MessageId", row_message_id(&delivery->row, scratch), ESCAPE_PLAIN);
	add_date(out, "Date", event->at, report->shape);
	add_value(out, "Event", (Span){event->name, strlen(event->name)}, ESCAPE_PLAIN);
	add_value(out, "Action", (Span){event->action, strlen(event->action)}, ESCAPE_PLAIN);
	add_value(out, "Detail", (Span){event->description, strlen(event->description)}, ESCAPE_PLAIN);
	add_value(out, "Data", (Span){event->data, strlen(event->data)}, ESCAPE_PLAIN);
	add_value(out, "SenderAddress", row_sender(&delivery->row, scratch), ESCAPE_PLAIN);
	add_value(out, "RecipientAddress", row_recipient(&delivery->row, scratch), ESCAPE_PLAIN);
	add_date(out, "StartDate", report->from, report->shape);
	add_date(out, "EndDate", report->to, report->shape);
	buffer_add_text(out, "}");
}

static Result
answer_events(Request *request, const Report *report)
{
	const FilterCondition *id = &report->filter.conditions[FIELD_ID];
	const FilterCondition *recipient = &report->filter.conditions[FIELD_RECIPIENT];
	Delivery delivery;
	Event events[MAX_EVENTS];
	Buffer body = {0};
	Buffer no_link = {0};
	char *id_text;
	char *recipient_text;
	int count = 0;

	if (id->test != TEST_EQUAL || recipient->test != TEST_EQUAL)
		return answer_error(request, MHD_HTTP_BAD_REQUEST, "",
							"MessageTraceId and RecipientAddress must be given.", NO_HEADER);
	id_text = strndup(id->value, id->length);
	recipient_text = strndup(recipient->value, recipient->length);
	if (events_find(&request->world, request->now, id_text, recipient_text, &delivery) &&
		filter_match(&report->filter, &delivery.row, request->now))
		count = events_make(&delivery, request->now, events);
	open_page(&body, request, report->shape);
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			buffer_add_text(&body, ",");
		add_event(&body, request, report, &events[i], &delivery);
	}
	close_page(&body, request, report, &no_link);
	free(id_text);
	free(recipient_text);
	request->rows = count;
	return answer_send(request, MHD_HTTP_OK, "application/json;odata=minimalmetadata;charset=utf-8",
					   &body, NO_HEADER);
}

/*
 * GET …/MessageTraceDetail
 */
Result
reporting_detail(Request *request)
{
	Report report = {0};
	Buffer error = {0};
	Result result;

	if (!admit_report(request, true, &result))
		return result;
	if (read_report(request, &report, &error))
		result = answer_events(request, &report);
	else
		result = answer_error(request, MHD_HTTP_BAD_REQUEST, "", buffer_text(&error), NO_HEADER);
	filter_free(&report.filter);
	buffer_free(&error);
	return result;
}
