/*-------------------------------------------------------------------------
 *
 * wait.h
 *		What a backend waits for, as pg_stat_activity shows it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_WAIT_H
#define MSGTRACE_WAIT_H

#include "postgres.h"

typedef enum MsgTraceWait
{
	MSGTRACE_WAIT_BUDGET,  /* O365MsgtraceBudget: a slot of the tenant's budget */
	MSGTRACE_WAIT_SIGN_IN, /* O365MsgtraceSignIn: a token */
	MSGTRACE_WAIT_PAGE,	   /* O365MsgtracePage: the service's answer */
	MSGTRACE_WAIT_RETRY,   /* O365MsgtraceRetry: the pause before a retry */
	MSGTRACE_WAITS		   /* how many there are */
} MsgTraceWait;

/* Servers before 17 know no such names: there it is "Extension" for all. */
extern uint32 msgtrace_wait_event(MsgTraceWait wait);

#endif /* MSGTRACE_WAIT_H */
