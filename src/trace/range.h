/*-------------------------------------------------------------------------
 *
 * range.h
 *		The range of time that a scan asks for, within what the service holds.
 *
 * It goes by the service's clock, and shrinks while the scan goes on: at its old
 * end by what the service lets go of, at its new end by what it refuses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_RANGE_H
#define MSGTRACE_RANGE_H

#include "postgres.h"

#include "portability/instr_time.h"
#include "trace/dialect.h"
#include "trace/query.h"
#include "trace/slice.h"

/* The service's clock is cut to the second, and its newest second is not over. */
#define MSGTRACE_DISTANCE_FROM_NOW USECS_PER_SEC

/* Skew between the clocks that a user hears of. */
#define MSGTRACE_SKEW_TO_WARN_OF_S 300

typedef struct MsgTraceRange
{
	const MsgTraceDialect *dialect;
	const MsgTraceQuery *query;
	bool any_clock;					   /* the service's clock may leap */
	TimestampTz service_time_at_start; /* 0 before */
	instr_time started_at;			   /* when it was that */
	MsgTraceSlice asked;			   /* what is still asked for, read or not; half-open */
	MsgTraceSlice refused_end;		   /* to be told; empty when there is nothing to tell */
} MsgTraceRange;

/* Begin a scan at this time of the service's clock. */
extern void msgtrace_range_begin(MsgTraceRange *range, TimestampTz service_now);

/* The query's range within what the service holds, up to a distance from now. */
extern MsgTraceSlice msgtrace_range_clamp(const MsgTraceRange *range, TimestampTz service_now,
										  int64 distance);

/* Give up what is older, or newer; the latter is to be told. */
extern void msgtrace_range_give_up_before(MsgTraceRange *range, TimestampTz from);
extern void msgtrace_range_give_up_after(MsgTraceRange *range, TimestampTz to);

/*
 * Service time in mid-scan.  It may run on, but when one answer says that it
 * leapt, that answer is not believed: rows would not be asked for.
 */
extern TimestampTz msgtrace_range_plausible_time(const MsgTraceRange *range, TimestampTz told);

#endif /* MSGTRACE_RANGE_H */
