/*-------------------------------------------------------------------------
 *
 * reporting.c
 *		The Reporting web service's dialect.
 *
 * Its pages are cut by the index of a row: at index 999999 the service gives up,
 * so no window may hold a million rows.  Slices hold far less
 * (MSGTRACE_SLICE_MAX_PAGES).
 *
 *-------------------------------------------------------------------------
 */
#include "trace/reporting.h"

#include "trace/filter.h"

/* Measured: 10 days of look-back, to the second. */
#define DAYS_HELD 10

/* What is held now may be gone when the request arrives. */
#define MARGIN (2 * USECS_PER_MINUTE)

/* StartDate and EndDate repeat the question, Index goes by the page. */
static const char *const echoes[] = {"StartDate", "EndDate", "Index", NULL};

static void
append_time(StringInfo filter, const char *property, TimestampTz time)
{
	msgtrace_filter_and(filter);
	appendStringInfo(filter, "%s eq datetime'", property);
	msgtrace_filter_utc(filter, time);
	appendStringInfoChar(filter, '\'');
}

/* "eq" here means a range with both ends in it. */
static void
append_window(StringInfo filter, const MsgTraceSlice *slice)
{
	append_time(filter, "StartDate", msgtrace_floor_to_second(slice->from));
	append_time(filter, "EndDate", msgtrace_ceil_to_second(slice->to));
}

static TimestampTz
earliest(TimestampTz service_now)
{
	return msgtrace_ceil_to_second(service_now) - DAYS_HELD * USECS_PER_DAY + MARGIN;
}

static bool
is_absolute(const char *link)
{
	size_t scheme = strspn(link,
						   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return scheme > 0 && link[scheme] == ':';
}

/* The length of scheme and authority: https://host:port */
static size_t
origin_length(const char *url)
{
	const char *host = strstr(url, "://");

	return host ? (size_t) (host - url) + 3 + strcspn(host + 3, "/?#") : strcspn(url, "/?#");
}

/*
 * Links are often relative: ../../reportingwebservice/reporting.svc/MessageTrace
 * and a query.  Each is meant to lead to a page of this list, so it is resolved
 * against the list's URL, as a browser would: "../" takes one folder away.
 */
static char *
resolve_relative(const char *report_url, const char *link)
{
	size_t origin = origin_length(report_url);
	size_t path = origin + strcspn(report_url + origin, "?#");

	if (*link == '/')
		return psprintf("%.*s%s", (int) origin, report_url, link);
	if (*link == '?')
		return psprintf("%.*s%s", (int) path, report_url, link);
	while (path > origin && report_url[path - 1] != '/')
		path--;
	for (;;)
	{
		if (strncmp(link, "./", 2) == 0)
			link += 2;
		else if (strncmp(link, "../", 3) == 0)
		{
			link += 3;
			if (path > origin + 1)
				path--;
			while (path > origin + 1 && report_url[path - 1] != '/')
				path--;
		}
		else
			break;
	}
	return psprintf("%.*s%s%s", (int) path, report_url, path == origin ? "/" : "", link);
}

/* A link with a space in it, say, is no URL yet. */
static char *
escape_rest(const char *link)
{
	StringInfoData url;

	initStringInfo(&url);
	for (; *link; link++)
	{
		unsigned char c = (unsigned char) *link;

		if (c <= ' ' || c >= 0x7f)
			appendStringInfo(&url, "%%%02X", c);
		else
			appendStringInfoChar(&url, *link);
	}
	return url.data;
}

static char *
resolve_link(const char *report_url, const char *link)
{
	if (is_absolute(link))
		return escape_rest(link);
	if (strncmp(link, "//", 2) == 0) /* another host, of the same scheme */
		return escape_rest(psprintf("%.*s:%s", (int) strcspn(report_url, ":"), report_url, link));
	return escape_rest(resolve_relative(report_url, link));
}

/* By the index of the last row that came; a row more at the seam does no harm. */
static char *
page_after(const char *url, int64 rows)
{
	return psprintf("%s&$skiptoken=" INT64_FORMAT, url, rows - 1);
}

const MsgTraceDialect msgtrace_reporting = {
	.name = "reporting",
	.max_page_size = MSGTRACE_REPORTING_MAX_PAGE_SIZE,
	.days_held = DAYS_HELD,
	.wrapped = true,
	.properties = {[MSGTRACE_ID] = "MessageTraceId",
				   [MSGTRACE_MESSAGE_ID] = "MessageId",
				   [MSGTRACE_RECEIVED] = "Received",
				   [MSGTRACE_SENDER] = "SenderAddress",
				   [MSGTRACE_RECIPIENT] = "RecipientAddress",
				   [MSGTRACE_SUBJECT] = "Subject",
				   [MSGTRACE_STATUS] = "Status",
				   [MSGTRACE_SIZE] = "Size",
				   [MSGTRACE_FROM_IP] = "FromIP",
				   [MSGTRACE_TO_IP] = "ToIP",
				   [MSGTRACE_ORGANIZATION] = "Organization"},
	/* not the status: pages go by the index of a row, and skip one when another's status moves */
	.asked = {[MSGTRACE_ID] = MSGTRACE_ASKED_AS_GUID,
			  [MSGTRACE_SENDER] = MSGTRACE_ASKED_AS_TEXT,
			  [MSGTRACE_RECIPIENT] = MSGTRACE_ASKED_AS_TEXT},
	.echoes = echoes,
	.earliest = earliest,
	.append_window = append_window,
	.resolve_link = resolve_link,
	.page_after = page_after};
