/*
 * graph.c
 *	  The list of message traces as Microsoft Graph serves it.
 *
 * Reads the query by the service's rules (window, $top, $skiptoken), walks the
 * window newest first and writes one page with the link to the next.
 */
#include "graph.h"

#include "admit.h"
#include "answer.h"
#include "filter.h"
#include "hash.h"
#include "page.h"
#include "skiptoken.h"
#include "stray.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TOP 1000
#define MAX_TOP 5000
#define DEFAULT_SPAN (2 * TICKS_PER_DAY)
#define MAX_SPAN (10 * TICKS_PER_DAY)
#define MAX_AGE (90 * TICKS_PER_DAY)
#define BYTES_PER_ROW 420 /* to begin with */

typedef struct ListQuery
{
	Filter filter;
	SkipToken token; /* where the page begins, and the window */
	bool continued;	 /* by a $skiptoken */
	long top;
	bool all_statuses;
} ListQuery;

/* ---- who may ask ---- */

static Result
refuse_token(Request *request, Admission why)
{
	static const char *const messages[] = {
		[ADMIT_NOBODY] = "Access token is empty.",
		[ADMIT_EXPIRED] = "Lifetime validation failed, the token is expired.",
		[ADMIT_STRANGER] = "CompactToken parsing failed with error code: 80049217",
		[ADMIT_WRONG_AUDIENCE] = "Access token validation failure. Invalid audience.",
		[ADMIT_NO_SERVICE_PRINCIPAL] =
			"Service principal-less authentication failed: the service principal of the first-party "
			"application 8bd644d1-64a1-4d4b-ae52-2e0cbf64e373 was not found in the tenant."};

	return answer_graph_error(
		request, MHD_HTTP_UNAUTHORIZED,
		why == ADMIT_NO_SERVICE_PRINCIPAL ? "Unauthorized" : "InvalidAuthenticationToken",
		messages[why],
		(ExtraHeader){
			"WWW-Authenticate",
			"Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\""});
}

/*
 * Token, permission and quota; false when the request has been answered with a
 * refusal.
 */
bool
graph_admit(Request *request, bool detail, Result *result)
{
	char retry_after[MOMENT_TEXT_SIZE];
	Admission admission = admit(request, API_GRAPH, detail, retry_after);

	switch (admission)
	{
		case ADMITTED:
			return true;
		case ADMIT_NOT_PERMITTED:
			*result = answer_graph_error(
				request, MHD_HTTP_FORBIDDEN, "Forbidden",
				"Missing role permissions on the request. API requires one of "
				"'ExchangeMessageTrace.Read.All'. Roles on the request ''.",
				NO_HEADER);
			return false;
		case ADMIT_OVER_QUOTA:
			*result = answer_graph_error(
				request, MHD_HTTP_TOO_MANY_REQUESTS, "TooManyRequests",
				"Your recent queries have surpassed the permitted limit, please try again later.",
				(ExtraHeader){"Retry-After", retry_after});
			return false;
		default:
			*result = refuse_token(request, admission);
			return false;
	}
}

/* ---- what is asked ---- */

static bool
read_top(Request *request, ListQuery *query, Buffer *error)
{
	const char *text = request_parameter(request, "$top");
	char *end;

	query->top = DEFAULT_TOP;
	if (text == NULL)
		return true;
	query->top = strtol(text, &end, 10);
	if (end == text || *end || query->top < 1)
		buffer_printf(
			error,
			"Invalid value '%s' for $top query option found. The $top query option requires a "
			"positive integer value.",
			text);
	else if (query->top > MAX_TOP)
		buffer_printf(
			error,
			"The limit of '%d' for Top query has been exceeded. The value from the incoming request is '%ld'.",
			MAX_TOP, query->top);
	return error->length == 0;
}

static bool
check_window(const Request *request, const Filter *filter, Buffer *error)
{
	if (filter->has_from != filter->has_to)
		buffer_add_text(
			error, "Both the start and the end of receivedDateTime must be given, or neither.");
	else if (!filter->has_from)
		return true;
	else if (filter->from > filter->to)
		buffer_add_text(error, "The start of receivedDateTime must not be after its end.");
	else if (filter->to > request->now)
		buffer_add_text(error, "The end of receivedDateTime must not be in the future.");
	else if (filter->to - filter->from > MAX_SPAN)
		buffer_add_text(error, "The time range of receivedDateTime must not exceed 10 days.");
	else if (filter->from < moment_day_start(request->now) - MAX_AGE)
		buffer_add_text(error, "The start of receivedDateTime must not be more than 90 days ago.");
	return error->length == 0;
}

static bool
read_window(Request *request, ListQuery *query, Buffer *error)
{
	const char *text = request_parameter(request, "$skiptoken");
	SkipToken *token = &query->token;

	if (text != NULL)
	{
		query->continued = true;
		if (skiptoken_read(text, token))
			return true;
		buffer_add_text(error, "Invalid skip token.");
		return false;
	}
	memset(token, 0, sizeof(*token));
	if (!check_window(request, &query->filter, error))
		return false;
	token->to = query->filter.has_to ? query->filter.to : request->now;
	token->from = query->filter.has_from ? query->filter.from : request->now - DEFAULT_SPAN;
	token->mark.shuffled = request->settings.shuffle;
	token->mark.received = token->to;
	return true;
}

static bool
read_query(Request *request, ListQuery *query, Buffer *error)
{
	const char *prefer = request_header(request, "Prefer");

	query->all_statuses = prefer && strcasestr(prefer, "include-unknown-enum-members");
	return filter_parse(&query->filter, FILTER_GRAPH, request_parameter(request, "$filter"),
						error) &&
		   read_top(request, query, error) && read_window(request, query, error);
}

/* ---- one page ---- */

typedef struct Page
{
	Buffer rows;
	long count;
	SkipToken begin;	  /* where this page began */
	SkipToken end;		  /* after its last row */
	SkipToken before_end; /* after the last but one */
	bool more;			  /* rows after it */
} Page;

/* An id names one message, so only its moment has to be searched. */
static void
narrow_to_id(const Request *request, ListQuery *query)
{
	const FilterCondition *id = &query->filter.conditions[FIELD_ID];
	MessageFacts facts;
	uint64_t high;
	uint64_t low;

	if (id->test != TEST_EQUAL || query->continued || query->token.mark.shuffled ||
		request->given->count > 0)
		return;
	if (!row_parse_id(id->value, id->length, &high, &low) ||
		!world_find(&request->world, high, low, &facts))
		return;
	if (facts.message.received > query->token.from)
		query->token.from = facts.message.received;
	if (facts.message.received < query->token.to)
		query->token.to = query->token.mark.received = facts.message.received;
}

static bool
next_match(const Request *request, const ListQuery *query, Walk *walk, Row *row)
{
	while (walk_next(walk, row))
		if (row->visible <= request->now && filter_match(&query->filter, row, request->now))
			return true;
	return false;
}

static PageDamage
damage_of(const Fault *fault)
{
	switch (fault->kind)
	{
		case FAULT_NUL_ESCAPE:
			return DAMAGE_NUL_ESCAPE;
		case FAULT_LONE_SURROGATE:
			return DAMAGE_LONE_SURROGATE;
		case FAULT_INVALID_UTF8:
			return DAMAGE_INVALID_UTF8;
		default:
			return DAMAGE_NONE;
	}
}

/* The row of the page that an ordered damage falls on; found out by counting. */
static long
damaged_row(const Request *request, const ListQuery *query, const Walk *walk)
{
	Walk ahead = *walk;
	Row row;
	long count = 0;

	if (request->fault.row >= 0)
		return (long) request->fault.row;
	memset(&ahead.cell, 0, sizeof(ahead.cell));
	ahead.cell_loaded = false;
	while (count < query->top && next_match(request, query, &ahead, &row))
		count++;
	walk_end(&ahead);
	return count / 2;
}

static void
add_row(const Request *request, const ListQuery *query, Page *page, const Row *row, long damaged)
{
	const Fault *fault = &request->fault;
	PageDamage damage = page->count == damaged ? damage_of(fault) : DAMAGE_NONE;

	if (page->count > 0)
		buffer_add(&page->rows, ",", 1);
	if (fault->kind == FAULT_BAD_ROW && page->count == damaged)
	{
		page_add_bad_row(&page->rows, fault->variant, row->facts->message.received);
		buffer_add(&page->rows, ",", 1);
	}
	page_add_row(&page->rows, row, request->now, query->all_statuses, damage);
	page->count++;
}

static void
add_stray(const Request *request, const ListQuery *query, Page *page)
{
	Walk walk;
	Row row;

	if (stray_find(request, &query->filter, query->token.from, &walk, &row))
		add_row(request, query, page, &row, -1);
	walk_end(&walk);
}

static void
fill_page(const Request *request, const ListQuery *query, Walk *walk, Page *page)
{
	bool every_mark = request->fault.kind == FAULT_REPEAT_ROW;
	long damaged = damage_of(&request->fault) || request->fault.kind == FAULT_BAD_ROW
					   ? damaged_row(request, query, walk)
					   : -1;
	Row row;

	buffer_reserve(&page->rows, (size_t) query->top * BYTES_PER_ROW);
	while (page->count < query->top && next_match(request, query, walk, &row))
	{
		add_row(request, query, page, &row, damaged);
		if (every_mark)
			page->before_end.mark = page->end.mark;
		if (every_mark || page->count == query->top || request->fault.kind != FAULT_NONE)
			walk_mark(walk, &row, &page->end.mark);
	}
	page->more = page->count == query->top && next_match(request, query, walk, &row);
	if (request->fault.kind == FAULT_OUTSIDE_ROW)
		add_stray(request, query, page);
	/* a page that is empty by nature may still be ordered to hold a bad row */
	if (page->count == 0 && request->fault.kind == FAULT_BAD_ROW)
		page_add_bad_row(&page->rows, request->fault.variant, query->token.to);
}

/* ---- its link ---- */

static void
add_link(const Request *request, const ListQuery *query, Buffer *out, const SkipToken *token,
		 SkipTokenHealth health)
{
	const char *filter = request_parameter(request, "$filter");
	Buffer text = {0};

	if (request->fault.kind == FAULT_FOREIGN_LINK && request->fault.url[0])
		buffer_add_text(out, request->fault.url);
	else
	{
		request_base_url(request, out);
		buffer_add_text(out, GRAPH_LIST_PATH);
	}
	buffer_add_text(
		out,
		request->fault.kind == FAULT_FOREIGN_LINK && strchr(request->fault.url, '?') ? "&" : "?");
	if (filter)
	{
		buffer_add_text(out, "$filter=");
		buffer_add_url(out, filter);
		buffer_add_text(out, "&");
	}
	buffer_printf(out, "$top=%ld&$skiptoken=", query->top);
	skiptoken_write(&text, token, query->top, health);
	buffer_add_url(out, buffer_text(&text));
	buffer_free(&text);
}

/* The link to the next page, or nothing; damaged if that was ordered. */
static void
write_link(const Request *request, const ListQuery *query, const Page *page, Buffer *out)
{
	switch (request->fault.kind)
	{
		case FAULT_POISONED_LINK:
			add_link(request, query, out, &page->end,
					 strcmp(request->fault.variant, "recipient") == 0 ? SKIPTOKEN_BAD_RECIPIENT
																	  : SKIPTOKEN_ENCODED_TWICE);
			break;
		case FAULT_LOOPING_LINK:
			request_base_url(request, out);
			buffer_add_text(out, request->raw_url);
			break;
		case FAULT_EMPTY_PAGE:
			add_link(request, query, out, &page->begin, SKIPTOKEN_GOOD);
			break;
		case FAULT_REPEAT_ROW:
			add_link(request, query, out, &page->before_end, SKIPTOKEN_GOOD);
			break;
		default:
			if (page->more || request->fault.kind == FAULT_FOREIGN_LINK)
				add_link(request, query, out, &page->end, SKIPTOKEN_GOOD);
	}
}

static void
add_next_link(Buffer *out, Buffer *link)
{
	buffer_add_text(out, "\"@odata.nextLink\":");
	buffer_add_json(out, buffer_text(link));
}

static Result
send_page(Request *request, const ListQuery *query, Page *page)
{
	Buffer link = {0};
	Buffer body = {0};
	bool link_first;

	write_link(request, query, page, &link);
	link_first = link.length > 0 && (hash_mix((uint64_t) page->begin.mark.received) & 3) == 0;
	buffer_reserve(&body, page->rows.length + link.length * 6 + 1024);
	buffer_add_text(&body, "{\"@odata.context\":\"");
	request_base_url(request, &body);
	buffer_add_text(&body, "/v1.0/$metadata#admin/exchange/tracing/messageTraces\",");
	if (link_first)
	{
		add_next_link(&body, &link);
		buffer_add_text(&body, ",");
	}
	buffer_add_text(&body, "\"value\":[");
	buffer_add(&body, page->rows.data, page->rows.length);
	buffer_add_text(&body, "]");
	if (link.length > 0 && !link_first)
	{
		buffer_add_text(&body, ",");
		add_next_link(&body, &link);
	}
	buffer_add_text(&body, "}");
	buffer_free(&link);
	request->rows = page->count;
	return answer_json(request, MHD_HTTP_OK, &body);
}

static Result
answer_page(Request *request, ListQuery *query)
{
	Walk walk;
	Page page = {0};
	Result result;

	narrow_to_id(request, query);
	page.begin = page.end = page.before_end = query->token;
	walk_begin(&walk, &request->world, query->token.from, query->token.to,
			   query->token.mark.shuffled);
	if (!walk_resume(&walk, &query->token.mark))
		result = answer_graph_error(request, MHD_HTTP_BAD_REQUEST, "BadRequest",
									"|System.ArgumentException|Invalid starting recipient address",
									NO_HEADER);
	else
	{
		if (request->fault.kind != FAULT_EMPTY_PAGE)
			fill_page(request, query, &walk, &page);
		result = send_page(request, query, &page);
	}
	buffer_free(&page.rows);
	walk_end(&walk);
	return result;
}

/*
 * GET …/messageTraces
 */
Result
graph_list(Request *request)
{
	ListQuery query = {0};
	Buffer error = {0};
	Result result;

	if (!graph_admit(request, false, &result))
		return result;
	if (request->settings.page_delay > 0 && !answer_wait(request, request->settings.page_delay))
		return MHD_NO;
	if (read_query(request, &query, &error))
		result = answer_page(request, &query);
	else
		result = answer_graph_error(request, MHD_HTTP_BAD_REQUEST, "BadRequest",
									buffer_text(&error), NO_HEADER);
	filter_free(&query.filter);
	buffer_free(&error);
	return result;
}
