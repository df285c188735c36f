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

/* What it would raise, in parts.  The detail may be empty. */
typedef struct MsgTraceErrorText
{
	int sqlstate;
	char *message;
	char *detail;
	const char *hint;
} MsgTraceErrorText;

extern void msgtrace_error_describe(MsgTraceErrorText *text, const MsgTraceStatus *status,
									const MsgTracePagerCounts *counts);

/* Is it the refusal of a tenant that lacks the service principal of Microsoft's app? */
extern bool msgtrace_error_names_principal(const MsgTraceStatus *status);

/* The application permission that this API asks for. */
extern const char *msgtrace_error_permission(const char *api);

/* What to do about a token that carries these roles, the permission not among them. */
extern const char *msgtrace_error_permission_hint(const char *api, const char *roles);

/* What to do when the service principal is missing. */
extern const char *const msgtrace_error_principal_hint;

/* Warn of clocks that differ. */
extern void msgtrace_error_warn_of_skew(int64 seconds);

/* Warn of a Retry-After beyond max_retry_after. */
extern void msgtrace_error_warn_of_retry_after(int seconds, int believed_ms);

/* Warn of what the service would not be asked for. */
extern void msgtrace_error_warn_of_refused_end(const MsgTraceSlice *refused);

/* Warn of records that were set aside; there are some. */
extern void msgtrace_error_warn_of_rejects(const MsgTraceRejects *rejects);

/* Warn of characters that were replaced, as PostgreSQL cannot hold them. */
extern void msgtrace_error_warn_of_replaced(int64 count);

#endif /* MSGTRACE_ERROR_H */
