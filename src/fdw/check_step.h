/*-------------------------------------------------------------------------
 *
 * check_step.h
 *		A step of check(): how it begins, and how its outcome becomes a row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CHECK_STEP_H
#define MSGTRACE_CHECK_STEP_H

#include "postgres.h"

#include "fdw/options.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "trace/detail.h"

typedef enum MsgTraceVerdict
{
	MSGTRACE_NOT_WELL,
	MSGTRACE_WELL,
	MSGTRACE_NOT_ASKED /* could not be asked, or does not apply */
} MsgTraceVerdict;

typedef struct MsgTraceCheck
{
	ReturnSetInfo *result;
	MemoryContext context;
	MsgTraceSettings settings;
	MsgTraceAllowance allowance;
	MsgTraceStatus status;
	MsgTraceSession *session;
	MsgTraceDelivery delivery; /* of the row that the list gave */
	bool found;				   /* ... one */
	bool no_slot;			   /* the tenant's budget has none for now */
} MsgTraceCheck;

/*
 * An error unless the server is of our wrapper: options of another's were not checked by us,
 * any may be missing, or a file's name.
 */
extern void msgtrace_check_wrapper(Oid server_id);

/*
 * The server is the function's first argument.  With an invalid user id the user
 * mapping is left out.  An error when the current user may not use the server.
 */
extern MsgTraceCheck *msgtrace_check_begin(FunctionCallInfo fcinfo, Oid user_id);

/* A row of the result; without detail or hint where these are NULL. */
extern void msgtrace_check_put(MsgTraceCheck *check, const char *step, MsgTraceVerdict verdict,
							   const char *detail, const char *hint);

/* The step that the status is about has failed. */
extern void msgtrace_check_put_failure(MsgTraceCheck *check, const char *step);

/* None of these steps could be asked; NULL ends them. */
extern void msgtrace_check_put_not_asked(MsgTraceCheck *check, const char *const *steps,
										 const char *because);

#endif /* MSGTRACE_CHECK_STEP_H */
