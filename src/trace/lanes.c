/*-------------------------------------------------------------------------
 *
 * lanes.c
 *		Several requests in flight for one scan: a session for each.
 *
 * The first lane signs in before another opens, so that one token serves all.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/lanes.h"

void
msgtrace_lanes_init(MsgTraceLanes *lanes, MemoryContext context,
					const MsgTraceSessionConfig *config, int max)
{
	memset(lanes, 0, sizeof(*lanes));
	lanes->context = context;
	lanes->config = config;
	lanes->max = Min(max, MSGTRACE_MAX_HTTPS);
}

static bool
open_lane(MsgTraceLanes *lanes, MsgTraceLane *lane)
{
	msgtrace_status_init(&lane->status, lanes->context);
	lane->session = msgtrace_session_open(lanes->context, lanes->config, &lane->status);
	return lane->session != NULL;
}

MsgTraceLane *
msgtrace_lanes_first(MsgTraceLanes *lanes)
{
	MsgTraceLane *first = &lanes->list[0];

	return first->session || open_lane(lanes, first) ? first : NULL;
}

MsgTraceLane *
msgtrace_lanes_idle(MsgTraceLanes *lanes)
{
	for (int i = 0; i < lanes->max; i++)
	{
		MsgTraceLane *lane = &lanes->list[i];

		if (lane->task)
			continue;
		if (lane->session || open_lane(lanes, lane))
			return lane;
		lanes->max = i; /* no descriptors left for it */
	}
	return NULL;
}

static bool
is_busy(const MsgTraceLanes *lanes, const MsgTraceLane *lane)
{
	return lane->session && (lane->task || !lanes->signed_in);
}

int
msgtrace_lanes_busy(const MsgTraceLanes *lanes, MsgTraceSession **sessions, int most)
{
	int count = 0;

	for (int i = 0; i < lanes->max && count < most; i++)
	{
		if (is_busy(lanes, &lanes->list[i]))
			sessions[count++] = lanes->list[i].session;
	}
	return count;
}

void
msgtrace_lanes_wait(MsgTraceLanes *lanes)
{
	MsgTraceSession *sessions[MSGTRACE_MAX_HTTPS];
	int count = msgtrace_lanes_busy(lanes, sessions, MSGTRACE_MAX_HTTPS);

	Assert(count > 0);
	msgtrace_session_wait_any(sessions, count);
}

MsgTraceWait
msgtrace_lanes_waits_for(const MsgTraceLanes *lanes)
{
	for (int i = 0; i < lanes->max; i++)
	{
		if (is_busy(lanes, &lanes->list[i]))
			return msgtrace_session_waits_for(lanes->list[i].session);
	}
	return MSGTRACE_WAIT_PAGE;
}

/* With one lane its own descriptor serves; and where there is none for the group, the first one's. */
int
msgtrace_lanes_socket(MsgTraceLanes *lanes)
{
	int first = -1;

	if (lanes->group == NULL && lanes->max > 1)
		lanes->group = msgtrace_group_open(lanes->context);
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		MsgTraceLane *lane = &lanes->list[i];
		int fd;

		if (lane->session == NULL)
			continue;
		fd = msgtrace_session_socket(lane->session);
		if (lanes->group)
			msgtrace_group_set(lanes->group, fd, is_busy(lanes, lane));
		if (first < 0 && is_busy(lanes, lane))
			first = fd;
	}
	return lanes->group ? msgtrace_group_socket(lanes->group) : first;
}

void
msgtrace_lanes_waited(MsgTraceLanes *lanes, int64 microseconds)
{
	lanes->closed.waited += microseconds;
}

static void
add_counts(MsgTraceSessionCounts *sum, const MsgTraceSessionCounts *counts)
{
	sum->requests += counts->requests;
	sum->retries += counts->retries;
	sum->sign_ins += counts->sign_ins;
	sum->bytes += counts->bytes;
	sum->waited += counts->waited;
	sum->throttled += counts->throttled;
	sum->budget_waits += counts->budget_waits;
	sum->ignored_retry_after = Max(sum->ignored_retry_after, counts->ignored_retry_after);
}

void
msgtrace_lanes_count(MsgTraceLanes *lanes)
{
	lanes->counts = lanes->closed;
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		if (lanes->list[i].session)
			add_counts(&lanes->counts, msgtrace_session_counts(lanes->list[i].session));
	}
}

void
msgtrace_lanes_drop(MsgTraceLanes *lanes)
{
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		if (lanes->list[i].session)
			msgtrace_session_give_up(lanes->list[i].session);
	}
}

void
msgtrace_lanes_close(MsgTraceLanes *lanes)
{
	msgtrace_lanes_count(lanes);
	lanes->closed = lanes->counts;
	if (lanes->group)
		msgtrace_group_close(lanes->group);
	lanes->group = NULL;
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		if (lanes->list[i].session)
			msgtrace_session_close(lanes->list[i].session);
		lanes->list[i].session = NULL;
		lanes->list[i].task = NULL;
	}
}
