/*-------------------------------------------------------------------------
 *
 * reporting.h
 *		The Reporting web service's dialect.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_REPORTING_H
#define MSGTRACE_REPORTING_H

#include "postgres.h"

#include "trace/dialect.h"

/* Documented: a page has at most 2000 rows. */
#define MSGTRACE_REPORTING_MAX_PAGE_SIZE 2000

extern const MsgTraceDialect msgtrace_reporting;

#endif /* MSGTRACE_REPORTING_H */
