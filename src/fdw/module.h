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

typedef enum MsgTraceClockSource
{
	MSGTRACE_CLOCK_LOCAL,	  /* ours, plus the offset of the service's */
	MSGTRACE_CLOCK_OF_SERVICE /* the service's, as it was last told */
} MsgTraceClockSource;

extern int msgtrace_max_requests_per_query; /* 0 = no limit */
extern int msgtrace_clock_source;			/* MsgTraceClockSource */

#endif /* MSGTRACE_MODULE_H */
