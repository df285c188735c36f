/*-------------------------------------------------------------------------
 *
 * slice.c
 *		A time range cut into slices, one after the other.
 *
 * How many rows a slice should have is the pager's to say; here it is turned
 * into time, by the density expected or seen.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/slice.h"

#include <math.h>

#include "utils/timestamp.h"

#define MAX_GROWTH 8 /* of one slice against the last */
#define SERVICE_MAX_SPAN (10 * USECS_PER_DAY)

static TimestampTz
floor_to(TimestampTz time, int64 unit)
{
	int64 rest = time % unit;

	return time - (rest < 0 ? rest + unit : rest);
}

TimestampTz
msgtrace_floor_to_second(TimestampTz time)
{
	return floor_to(time, USECS_PER_SEC);
}

TimestampTz
msgtrace_ceil_to_second(TimestampTz time)
{
	return floor_to(time + USECS_PER_SEC - 1, USECS_PER_SEC);
}

TimestampTz
msgtrace_floor_to_day(TimestampTz time)
{
	return floor_to(time, USECS_PER_DAY);
}

void
msgtrace_slicer_init(MsgTraceSlicer *slicer, MsgTraceSlice range, double rows_per_day)
{
	memset(slicer, 0, sizeof(*slicer));
	slicer->from = range.from;
	slicer->to = range.to;
	slicer->density = Max(rows_per_day, 1) / SECS_PER_DAY;
}

void
msgtrace_slicer_expect(MsgTraceSlicer *slicer, double rows)
{
	int64 length = Max(slicer->to - slicer->from, USECS_PER_SEC);

	slicer->density = rows / ((double) length / USECS_PER_SEC);
	slicer->seen = true;
	slicer->last_length = length;
}

/* Microseconds that hold this many rows at the density known. */
static int64
length_of_rows(const MsgTraceSlicer *slicer, double rows)
{
	double seconds = rows / slicer->density;

	seconds = Min(seconds, (double) SERVICE_MAX_SPAN / USECS_PER_SEC);
	return Max((int64) seconds, 1) * USECS_PER_SEC;
}

static int64
next_length(const MsgTraceSlicer *slicer, double rows)
{
	int64 length = length_of_rows(slicer, rows);

	return slicer->seen ? Min(length, slicer->last_length * MAX_GROWTH) : length;
}

double
msgtrace_slicer_rows_of(const MsgTraceSlicer *slicer, const MsgTraceSlice *slice)
{
	return (double) Max(slice->to - slice->from, 0) / USECS_PER_SEC * slicer->density;
}

double
msgtrace_slicer_rows_left(const MsgTraceSlicer *slicer)
{
	MsgTraceSlice left = {slicer->from, slicer->to};

	return msgtrace_slicer_rows_of(slicer, &left);
}

/*
 * Slices meet at whole seconds, where widening the request to whole seconds
 * widens nothing; only the outer ends of the range may have fractions.
 */
bool
msgtrace_slicer_next(MsgTraceSlicer *slicer, double rows, MsgTraceSlice *slice)
{
	int64 length = next_length(slicer, rows);

	if (slicer->from >= slicer->to)
		return false;
	slice->from = slicer->from;
	slice->to = slicer->to;
	if (slicer->oldest_first)
	{
		slice->to = Min(msgtrace_floor_to_second(slice->from) + length, slice->to);
		slicer->from = slice->to;
	}
	else
	{
		slice->from = Max(msgtrace_ceil_to_second(slice->to) - length, slice->from);
		slicer->to = slice->from;
	}
	return true;
}

/*
 * What comes next may be as dense as the last slice or as those before it: the
 * night ends, and so does the weekend.  A slice that is too long costs more than
 * one that is too short, so the denser it is; each slice weighs twice as much as
 * the one before.
 */
void
msgtrace_slicer_learn(MsgTraceSlicer *slicer, const MsgTraceSlice *slice, int64 rows)
{
	int64 length = Max(slice->to - slice->from, USECS_PER_SEC);
	double seconds = (double) length / USECS_PER_SEC;

	/* an empty slice may have missed one row by chance, so half a row it is */
	double seen = Max((double) rows, 0.5);

	slicer->seen_rows = slicer->seen_rows / 2 + seen;
	slicer->seen_seconds = slicer->seen_seconds / 2 + seconds;
	slicer->density = Max(seen / seconds, slicer->seen_rows / slicer->seen_seconds);
	slicer->seen = true;
	slicer->last_length = length;
}

bool
msgtrace_slicer_shorten(MsgTraceSlicer *slicer, MsgTraceSlice *slice, const MsgTraceSlice *sample,
						int64 rows, double most, double wanted)
{
	int64 length;

	msgtrace_slicer_learn(slicer, sample, rows);
	length = length_of_rows(slicer, wanted);
	if (slice->to - slice->from <= Max(length_of_rows(slicer, most), length + USECS_PER_SEC))
		return false;
	if (slicer->oldest_first)
		slicer->from = slice->to = msgtrace_floor_to_second(slice->from) + length;
	else
		slicer->to = slice->from = msgtrace_ceil_to_second(slice->to) - length;
	return true;
}

bool
msgtrace_slice_halve(const MsgTraceSlice *slice, MsgTraceSlice *newer, MsgTraceSlice *older)
{
	TimestampTz middle = msgtrace_floor_to_second(slice->from + (slice->to - slice->from) / 2);

	if (middle <= slice->from)
		middle = msgtrace_floor_to_second(slice->from) + USECS_PER_SEC;
	if (middle >= slice->to)
		return false;
	newer->from = middle;
	newer->to = slice->to;
	older->from = slice->from;
	older->to = middle;
	return true;
}
