/*-------------------------------------------------------------------------
 *
 * async.c
 *		Scans of several tenants under one Append, all in flight at once.
 *
 * An Append asks each of its scans for a row, waits for the descriptors of those
 * that have none yet, and asks again whose is readable.
 *
 * Its own wait does not see the latch in all minor versions of servers that we
 * know, so that no cancel would end it there.  Where all that it would wait for is
 * ours, we wait first, with the latch, and it finds a descriptor that is readable.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/async.h"

#include "executor/execAsync.h"
#include "executor/instrument.h"
#include "fdw/scan.h"
#include "foreign/fdwapi.h"
#include "miscadmin.h"
#include "net/compat.h"
#include "net/wait.h"
#include "portability/instr_time.h"

/*
 * Scans of one Append that are in flight at once.  Each takes several descriptors
 * of the third of max_files_per_process that the server leaves to extensions.
 */
#define MAX_IN_FLIGHT 32

/* ... and their requests. */
#define MAX_REQUESTS 45

bool
msgtrace_async_is_capable(ForeignPath *path)
{
	/* only a path of a message trace carries a shape */
	return IS_SIMPLE_REL(path->path.parent) && path->fdw_private != NIL;
}

/* ------------------------------------------------------ the Append's scans */

static bool
is_ours(const AsyncRequest *request)
{
	ForeignScanState *node = (ForeignScanState *) request->requestee;

	return IsA(node, ForeignScanState) &&
		   node->fdwroutine->ForeignAsyncRequest == msgtrace_async_request;
}

/* What a scan of ours waits for; NULL when it is another's, or does not wait. */
static MsgTracePager *
waits_for(const AsyncRequest *request)
{
	if (!request->callback_pending || !is_ours(request))
		return NULL;
	return msgtrace_scan_waits_for((ForeignScanState *) request->requestee);
}

/* The pagers that the Append's scans wait for, in an array that is as long as they are many. */
static int
pagers_in_flight(const AppendState *append, MsgTracePager **pagers)
{
	int count = 0;
	int i = -1;

	while ((i = bms_next_member(append->as_asyncplans, i)) >= 0)
	{
		MsgTracePager *pager = waits_for(append->as_asyncrequests[i]);

		if (pager)
			pagers[count++] = pager;
	}
	return count;
}

static MsgTracePager **
array_of_pagers(const AppendState *append)
{
	return palloc(append->as_nplans * sizeof(MsgTracePager *));
}

/* An error ends the query: nobody will read what the others have asked for. */
static void
give_up_all(const AppendState *append)
{
	int i = -1;

	while ((i = bms_next_member(append->as_asyncplans, i)) >= 0)
	{
		MsgTracePager *pager = waits_for(append->as_asyncrequests[i]);

		if (pager)
			msgtrace_pager_give_up(pager);
	}
}

/* ------------------------------------------------------------------- rows */

static bool
is_crowded(const AppendState *append)
{
	MsgTracePager **pagers = array_of_pagers(append);
	int count = pagers_in_flight(append, pagers);

	pfree(pagers);
	return count >= MAX_IN_FLIGHT;
}

/* So that each scan has descriptors for its first request. */
static int
share_of_requests(const AppendState *append)
{
	return MAX_REQUESTS / Min(bms_num_members(append->as_asyncplans), MAX_IN_FLIGHT);
}

/* The scan's next row, its end, or that there is nothing yet. */
static void
produce(AsyncRequest *request)
{
	ForeignScanState *node = (ForeignScanState *) request->requestee;
	TupleTableSlot *slot;

	PG_TRY();
	{
		/* not ExecProcNode, since who asks counts the time and the rows */
		slot = node->ss.ps.ExecProcNodeReal(&node->ss.ps);
	}
	PG_CATCH();
	{
		give_up_all((AppendState *) request->requestor);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (TupIsNull(slot) && msgtrace_scan_waits_for(node))
		ExecAsyncRequestPending(request);
	else
		ExecAsyncRequestDone(request, TupIsNull(slot) ? NULL : slot);
}

void
msgtrace_async_request(AsyncRequest *request)
{
	ForeignScanState *node = (ForeignScanState *) request->requestee;
	AppendState *append = (AppendState *) request->requestor;

	msgtrace_scan_limit_concurrency(node, share_of_requests(append));
	if (msgtrace_scan_has_begun(node) || !is_crowded(append))
		produce(request);
	else
		ExecAsyncRequestPending(request);
}

void
msgtrace_async_notify(AsyncRequest *request)
{
	produce(request);
}

/* ------------------------------------------------------------------- waits */

/* Is this the last scan that the Append asks, all of those that wait are ours, and it will wait? */
static bool
is_last_of_ours(const AsyncRequest *request)
{
	const AppendState *append = (AppendState *) request->requestor;
	int i = -1;

	if (!append->as_syncdone || append->as_nasyncresults > 0)
		return false;
	while ((i = bms_next_member(append->as_asyncplans, i)) >= 0)
	{
		const AsyncRequest *other = append->as_asyncrequests[i];

		if (other->callback_pending && (!is_ours(other) || i > request->request_index))
			return false;
	}
	return true;
}

/* What it is called that they wait: where they wait for this and that, for pages. */
static uint32
wait_event_of(MsgTracePager **pagers, int count)
{
	MsgTraceWait wait = count > 0 ? msgtrace_pager_waits_for(pagers[0]) : MSGTRACE_WAIT_PAGE;

	for (int i = 1; i < count && wait != MSGTRACE_WAIT_PAGE; i++)
	{
		if (msgtrace_pager_waits_for(pagers[i]) != wait)
			wait = MSGTRACE_WAIT_PAGE;
	}
	return msgtrace_wait_event(wait);
}

/* True when the latch alone was set. */
static bool
wait_once(WaitEventSet *set, uint32 wait_event)
{
	WaitEvent event;

	if (WaitEventSetWait(set, -1, &event, 1, wait_event) != 1 || (event.events & WL_LATCH_SET) == 0)
		return false;
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	return true;
}

/* Until a descriptor is readable; what the latch announces makes one so. */
static void
wait_for_any(MsgTracePager **pagers, int count)
{
	WaitEventSet *set = msgtrace_wait_event_set(count + 2);

	PG_TRY();
	{
		AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		for (int i = 0; i < count; i++)
			AddWaitEventToSet(set, WL_SOCKET_READABLE, msgtrace_pager_socket(pagers[i]), NULL,
							  NULL);
		while (wait_once(set, wait_event_of(pagers, count)))
		{
			for (int i = 0; i < count; i++)
				(void) msgtrace_pager_socket(pagers[i]);
		}
	}
	PG_FINALLY();
	{
		FreeWaitEventSet(set);
	}
	PG_END_TRY();
}

static void
wait_for_all_of(const AppendState *append)
{
	MsgTracePager **pagers = array_of_pagers(append);
	int count = pagers_in_flight(append, pagers);
	instr_time before;
	instr_time after;

	INSTR_TIME_SET_CURRENT(before);
	PG_TRY();
	{
		wait_for_any(pagers, count);
	}
	PG_CATCH();
	{
		give_up_all(append);
		PG_RE_THROW();
	}
	PG_END_TRY();
	INSTR_TIME_SET_CURRENT(after);
	INSTR_TIME_SUBTRACT(after, before);
	for (int i = 0; i < count; i++)
		msgtrace_pager_waited(pagers[i], (int64) INSTR_TIME_GET_MICROSEC(after));
	pfree(pagers);
}

/* One that found it crowded begins; the Append has not been told so. */
static void
begin_late(AsyncRequest *request)
{
	request->callback_pending = false;
	produce(request);
	if (request->callback_pending)
		return;
	ExecAsyncResponse(request);
	if (request->requestee->instrument)
		InstrUpdateTupleCount(request->requestee->instrument, TupIsNull(request->result) ? 0 : 1);
}

void
msgtrace_async_configure_wait(AsyncRequest *request)
{
	AppendState *append = (AppendState *) request->requestor;
	MsgTracePager *pager = waits_for(request);

	if (pager == NULL && !is_crowded(append))
	{
		begin_late(request);
		pager = waits_for(request);
	}
	if (pager)
		AddWaitEventToSet(append->as_eventset, WL_SOCKET_READABLE, msgtrace_pager_socket(pager),
						  NULL, request);
	if (is_last_of_ours(request))
		wait_for_all_of(append);
}
