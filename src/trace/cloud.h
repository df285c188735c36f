/*-------------------------------------------------------------------------
 *
 * cloud.h
 *		Microsoft's clouds: where each plan of Office 365 signs in and answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CLOUD_H
#define MSGTRACE_CLOUD_H

#include "postgres.h"

/* The addresses of a plan, as documented; NULL where there is no such thing. */
typedef struct MsgTraceCloud
{
	const char *plan;				/* value of the server option */
	const char *authority_url;		/* sign-in host */
	const char *graph_url;			/* list of Microsoft Graph */
	const char *graph_resource;		/* what a token for it is for */
	const char *reporting_url;		/* list of the Reporting web service */
	const char *reporting_resource; /* what a token for it is for */
} MsgTraceCloud;

/* The cloud of this plan, or NULL. */
extern const MsgTraceCloud *msgtrace_cloud_find(const char *plan);

/* Is this the scheme, host and port of one of Microsoft's addresses? */
extern bool msgtrace_cloud_has(const char *url);

/* Does the path of this list URL look like Microsoft Graph's, like Reporting's? */
extern bool msgtrace_cloud_is_graph_url(const char *url);
extern bool msgtrace_cloud_is_reporting_url(const char *url);

#endif /* MSGTRACE_CLOUD_H */
