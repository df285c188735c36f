/*-------------------------------------------------------------------------
 *
 * slice.c
 *		A time range cut into slices, newest first.
 *
 * Every request costs one of a hundred in five minutes, and every slice ends
 * with a page that is not full: long slices waste least.  But the first slice
 * may be all that a LIMIT needs, and a slice that is too long cannot be read
 * again cheaply.  So the first one is about a page, and the rest are ten pages
 * by the density seen.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/slice.h"

#include <math.h>

#include "utils/timestamp.h"

#define FIRST_PAGES 1
#define LATER_PAGES 10
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
msgtrace_slicer_init(MsgTraceSlicer *slicer, MsgTraceSlice range, int page_size,
					 double rows_per_day)
{
	memset(slicer, 0, sizeof(*slicer));
	slicer->from = range.from;
	slicer->to = range.to;
	slicer->page_size = page_size;
	slicer->density = Max(rows_per_day, 1) / SECS_PER_DAY;
}

/* Microseconds that hold this many pages at the density known. */
static int64
length_of_pages(const MsgTraceSlicer *slicer, double pages)
{
	double seconds = pages * slicer->page_size / slicer->density;

	seconds = Min(seconds, (double) SERVICE_MAX_SPAN / USECS_PER_SEC);
	return Max((int64) seconds, 1) * USECS_PER_SEC;
}

static int64
next_length(const MsgTraceSlicer *slicer)
{
	int64 length;

	if (!slicer->seen)
		return length_of_pages(slicer, FIRST_PAGES);
	length = length_of_pages(slicer, LATER_PAGES);
	return Min(length, slicer->last_length * MAX_GROWTH);
}

/*
 * Slices meet at whole seconds, where widening the request to whole seconds
 * widens nothing; only the outer ends of the range may have fractions.
 */
bool
msgtrace_slicer_next(MsgTraceSlicer *slicer, MsgTraceSlice *slice)
{
	TimestampTz from;

	if (slicer->from >= slicer->to)
		return false;
	if (slicer->oldest_first)
	{
		slice->from = slicer->from;
		slice->to = Min(msgtrace_floor_to_second(slicer->from) +
							Min(next_length(slicer), SERVICE_MAX_SPAN),
						slicer->to);
		slicer->from = slice->to;
		return true;
	}
	from = msgtrace_ceil_to_second(slicer->to) - Min(next_length(slicer), SERVICE_MAX_SPAN);
	slice->to = slicer->to;
	slice->from = Max(from, slicer->from);
	slicer->to = slice->from;
	return true;
}

void
msgtrace_slicer_learn(MsgTraceSlicer *slicer, const MsgTraceSlice *slice, int64 rows)
{
	int64 length = Max(slice->to - slice->from, USECS_PER_SEC);

	/* an empty slice may have missed one row by chance, so half a row it is */
	slicer->density = Max((double) rows, 0.5) * USECS_PER_SEC / length;
	slicer->seen = true;
	slicer->last_length = length;
}

bool
msgtrace_slicer_shorten(MsgTraceSlicer *slicer, MsgTraceSlice *slice, int64 rows,
						TimestampTz oldest)
{
	MsgTraceSlice sample = {.from = oldest, .to = slice->to};
	TimestampTz from;

	msgtrace_slicer_learn(slicer, &sample, rows);
	from = msgtrace_ceil_to_second(slice->to) - length_of_pages(slicer, LATER_PAGES);
	if (from <= slice->from ||
		slice->to - slice->from <= length_of_pages(slicer, MSGTRACE_SLICE_MAX_PAGES))
		return false;
	slice->from = from;
	slicer->to = from;
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
