/*-------------------------------------------------------------------------
 *
 * module.h
 *		The library's entry, and its settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_MODULE_H
#define MSGTRACE_MODULE_H

#include "postgres.h"

/* Of the library; the control file has the same. */
#define MSGTRACE_VERSION "1.0"

typedef enum MsgTraceClockSource
{
	MSGTRACE_CLOCK_LOCAL,	  /* ours, plus the offset of the service's */
	MSGTRACE_CLOCK_OF_SERVICE /* the service's, as it was last told */
} MsgTraceClockSource;

/* Of a setting that may leave the word to the server's option. */
#define MSGTRACE_BY_OPTION (-1)

/* What goes into the server log, each with all before it; in the option's order. */
typedef enum MsgTraceLogLevel
{
	MSGTRACE_LOG_ERROR, /* nothing beside the errors themselves */
	MSGTRACE_LOG_WARN,	/* requests that failed, retried or not */
	MSGTRACE_LOG_INFO,	/* sign-ins */
	MSGTRACE_LOG_DEBUG	/* each request */
} MsgTraceLogLevel;

/* What becomes of a row that cannot be read; in the option's order. */
typedef enum MsgTraceOnBadRow
{
	MSGTRACE_FAIL,
	MSGTRACE_REJECT
} MsgTraceOnBadRow;

/* Who goes first when the tenant's budget is short. */
typedef enum MsgTraceRequestClass
{
	MSGTRACE_INTERACTIVE,
	MSGTRACE_BATCH
} MsgTraceRequestClass;

extern int msgtrace_max_requests_per_query; /* 0 = no limit */
extern int msgtrace_clock_source;			/* MsgTraceClockSource */
extern int msgtrace_log_level;				/* MsgTraceLogLevel or BY_OPTION */
extern bool msgtrace_log_scans;
extern int msgtrace_on_bad_row;		  /* MsgTraceOnBadRow or BY_OPTION */
extern int msgtrace_request_class;	  /* MsgTraceRequestClass */
extern double msgtrace_rows_expected; /* of a scan; 0 = not known */

extern char *msgtrace_secret_key_file; /* NULL or "" = in the data directory */

#endif /* MSGTRACE_MODULE_H */
