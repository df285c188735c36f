/*-------------------------------------------------------------------------
 *
 * job_timeout.c
 *		The end of a run that takes too long.
 *
 * statement_timeout will not do: the whole CALL is one statement to it, and its
 * error would end the procedure before it has recorded anything.  Here a timer
 * cancels what runs in a block that catches errors, and nothing else: between
 * its blocks a run has no handler, so there the timer leaves word only, and the
 * next block that is entered fails at once.
 *
 * A cancel ends every wait that a backend can be in: for a lock, for the budget,
 * for the network.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/job_timeout.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o365_msgtrace_arm_job_timeout);
PG_FUNCTION_INFO_V1(o365_msgtrace_heed_job_timeout);
PG_FUNCTION_INFO_V1(o365_msgtrace_defer_job_timeout);
PG_FUNCTION_INFO_V1(o365_msgtrace_job_timed_out);

/* Longer than any run; what is added to now must not overflow. */
#define LONGEST_SECONDS (10.0 * 365 * 86400)

static TimeoutId timer = MAX_TIMEOUTS; /* not registered yet */
static uint64 armed = 0;			   /* counts what the timer was armed for */
static volatile sig_atomic_t timed_out = false;
static volatile sig_atomic_t heeding = false;
static SubTransactionId heeding_block = InvalidSubTransactionId;

/* In a signal handler. */
static void
expire(void)
{
	timed_out = true;
	if (!heeding)
		return;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
stop_heeding(void)
{
	heeding = false;
	heeding_block = InvalidSubTransactionId;
	/* A cancel that was not noticed yet has lost its block. */
	if (timed_out)
		QueryCancelPending = false;
}

static void
at_end_of_block(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	(void) parent;
	(void) arg;
	if (event == SUBXACT_EVENT_ABORT_SUB && heeding && id == heeding_block)
		stop_heeding();
}

static void
disarm(void)
{
	stop_heeding();
	timed_out = false;
	if (timer != MAX_TIMEOUTS && get_timeout_active(timer))
		disable_timeout(timer, false);
}

/* However the CALL ends, its timer ends with it. */
static void
at_end_of_call(void *arg)
{
	if (*(uint64 *) arg == armed)
		disarm();
}

static void
disarm_with(MemoryContext context)
{
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	uint64 *arg = MemoryContextAlloc(context, sizeof(uint64));

	*arg = armed;
	callback->func = at_end_of_call;
	callback->arg = arg;
	MemoryContextRegisterResetCallback(context, callback);
}

static void
register_once(void)
{
	if (timer != MAX_TIMEOUTS)
		return;
	RegisterSubXactCallback(at_end_of_block, NULL);
	timer = RegisterTimeout(USER_TIMEOUT, expire);
}

/* From now on a run has so many seconds; 0 = as many as it needs. */
Datum
o365_msgtrace_arm_job_timeout(PG_FUNCTION_ARGS)
{
	float8 seconds = Min(PG_GETARG_FLOAT8(0), LONGEST_SECONDS);

	disarm();
	armed++;
	if (seconds > 0 && PortalContext != NULL)
	{
		register_once();
		disarm_with(PortalContext);
		enable_timeout_at(timer, GetCurrentTimestamp() + (TimestampTz) (seconds * USECS_PER_SEC));
	}
	PG_RETURN_VOID();
}

/* Let the timer cancel what the current block does, from here to its end. */
Datum
o365_msgtrace_heed_job_timeout(PG_FUNCTION_ARGS)
{
	heeding_block = GetCurrentSubTransactionId();
	heeding = true;
	if (timed_out)
		ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
						errmsg("canceling a run due to its job_timeout")));
	PG_RETURN_VOID();
}

/* The block is done: what it did stays. */
Datum
o365_msgtrace_defer_job_timeout(PG_FUNCTION_ARGS)
{
	stop_heeding();
	PG_RETURN_VOID();
}

Datum
o365_msgtrace_job_timed_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(timed_out);
}
