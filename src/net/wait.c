/*-------------------------------------------------------------------------
 *
 * wait.c
 *		What a backend waits for, as pg_stat_activity shows it.
 *
 *-------------------------------------------------------------------------
 */
#include "net/wait.h"

#include "net/compat.h"

uint32
msgtrace_wait_event(MsgTraceWait wait)
{
	static const char *const names[MSGTRACE_WAITS] = {
		[MSGTRACE_WAIT_BUDGET] = "O365MsgtraceBudget",
		[MSGTRACE_WAIT_SIGN_IN] = "O365MsgtraceSignIn",
		[MSGTRACE_WAIT_PAGE] = "O365MsgtracePage",
		[MSGTRACE_WAIT_RETRY] = "O365MsgtraceRetry"};
	static uint32 events[MSGTRACE_WAITS];

	if (events[wait] == 0)
		events[wait] = msgtrace_wait_event_new(names[wait]);
	return events[wait];
}
