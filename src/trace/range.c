/*-------------------------------------------------------------------------
 *
 * range.c
 *		The range of time that a scan asks for, within what the service holds.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/range.h"

#include "utils/timestamp.h"

MsgTraceSlice
msgtrace_range_clamp(const MsgTraceRange *range, TimestampTz service_now, int64 distance)
{
	MsgTraceSlice clamped = {.from = Max(range->query->from, range->dialect->earliest(service_now)),
							 .to = Min(range->query->to, service_now - distance)};

	return clamped;
}

void
msgtrace_range_begin(MsgTraceRange *range, TimestampTz service_now)
{
	range->asked = msgtrace_range_clamp(range, service_now, MSGTRACE_DISTANCE_FROM_NOW);
	range->asked.to = Max(range->asked.from, range->asked.to);
	range->service_time_at_start = service_now;
	INSTR_TIME_SET_CURRENT(range->started_at);
}

void
msgtrace_range_give_up_before(MsgTraceRange *range, TimestampTz from)
{
	if (from > range->asked.from)
		range->asked.from = Min(from, range->asked.to);
}

void
msgtrace_range_give_up_after(MsgTraceRange *range, TimestampTz to)
{
	to = Max(to, range->asked.from);
	if (to < range->asked.to)
	{
		range->refused_end.from = to;
		range->refused_end.to = range->asked.to;
		range->asked.to = to;
	}
}

TimestampTz
msgtrace_range_plausible_time(const MsgTraceRange *range, TimestampTz told)
{
	TimestampTz expected;
	instr_time elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, range->started_at);
	expected = range->service_time_at_start + (TimestampTz) INSTR_TIME_GET_MICROSEC(elapsed);
	if (range->any_clock || llabs(told - expected) <= MSGTRACE_SKEW_TO_WARN_OF_S * USECS_PER_SEC)
		return told;
	return expected;
}
