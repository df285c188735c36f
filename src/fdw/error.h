/*-------------------------------------------------------------------------
 *
 * error.h
 *		The one place where a MsgTraceStatus becomes an error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ERROR_H
#define MSGTRACE_ERROR_H

#include "postgres.h"

#include "net/compat.h"
#include "net/status.h"
#include "trace/pager.h"

/* Raise it; `counts` tells how far the scan had come. */
MSGTRACE_NORETURN extern void msgtrace_error_raise(const MsgTraceStatus *status,
												   const MsgTracePagerCounts *counts);

/*
 * In a PG_CATCH, outside the error context: the input function of a column's
 * type has refused a value.  Raises an error that says which.
 */
extern void msgtrace_error_bad_value(const char *column, const char *row_id);

/* Warn of clocks that differ. */
extern void msgtrace_error_warn_of_skew(int64 seconds);

/* Warn of what the service would not be asked for. */
extern void msgtrace_error_warn_of_refused_end(const MsgTraceSlice *refused);

/* Warn of characters that were replaced, as PostgreSQL cannot hold them. */
extern void msgtrace_error_warn_of_replaced(int64 count);

#endif /* MSGTRACE_ERROR_H */
