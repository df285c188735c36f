/*-------------------------------------------------------------------------
 *
 * cloud.c
 *		Microsoft's clouds: where each plan of Office 365 signs in and answers.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/cloud.h"

#include "net/http.h"

#define GRAPH_PATH "/v1.0/admin/exchange/tracing/messageTraces"
#define REPORTING_PATH "/reportingwebservice/reporting.svc/MessageTrace"

#define WORLDWIDE                                                        \
	.authority_url = "https://login.microsoftonline.com",                \
	.graph_url = "https://graph.microsoft.com" GRAPH_PATH,               \
	.graph_resource = "https://graph.microsoft.com",                     \
	.reporting_url = "https://reports.office365.com/ecp" REPORTING_PATH, \
	.reporting_resource = "https://outlook.office365.com"

static const MsgTraceCloud clouds[] = {
	{.plan = "enterprise", WORLDWIDE},
	{.plan = "gcc", WORLDWIDE}, /* documented: by the worldwide hosts */
	{.plan = "gcc_high",
	 .authority_url = "https://login.microsoftonline.us",
	 .reporting_url = "https://outlook.office365.us/ecp" REPORTING_PATH,
	 .reporting_resource = "https://outlook.office365.us"},
	{.plan = "dod",
	 .authority_url = "https://login.microsoftonline.us"}}; /* the rest is not published */

const MsgTraceCloud *
msgtrace_cloud_find(const char *plan)
{
	for (size_t i = 0; i < lengthof(clouds); i++)
	{
		if (strcmp(clouds[i].plan, plan) == 0)
			return &clouds[i];
	}
	return NULL;
}

static bool
is_of(const char *url, const char *address)
{
	return address && msgtrace_http_same_origin(url, address);
}

bool
msgtrace_cloud_has(const char *url)
{
	for (size_t i = 0; i < lengthof(clouds); i++)
	{
		const MsgTraceCloud *cloud = &clouds[i];

		if (is_of(url, cloud->authority_url) || is_of(url, cloud->graph_url) ||
			is_of(url, cloud->reporting_url) || is_of(url, cloud->reporting_resource))
			return true;
	}
	return false;
}

/* Does the text hold the part, in whatever case? */
static bool
holds(const char *text, const char *part)
{
	size_t length = strlen(part);

	for (; *text; text++)
	{
		if (pg_strncasecmp(text, part, length) == 0)
			return true;
	}
	return false;
}

bool
msgtrace_cloud_is_graph_url(const char *url)
{
	return holds(url, "/tracing/messageTraces");
}

bool
msgtrace_cloud_is_reporting_url(const char *url)
{
	return holds(url, "/reporting.svc/");
}
