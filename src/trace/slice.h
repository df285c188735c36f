/*-------------------------------------------------------------------------
 *
 * slice.h
 *		A time range cut into slices, newest first.
 *
 * A slice is half-open, [from, to), and decided by us on times cut to the
 * microsecond.  It is the unit that is read whole: each key once within it, and
 * read again in halves when the service's links fail.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SLICE_H
#define MSGTRACE_SLICE_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* No slice has more pages: it bounds memory and what a bad link can cost. */
#define MSGTRACE_SLICE_MAX_PAGES 20

typedef struct MsgTraceSlice
{
	TimestampTz from;
	TimestampTz to;
} MsgTraceSlice;

typedef struct MsgTraceSlicer
{
	TimestampTz from; /* of what is left to cut */
	TimestampTz to;
	int page_size;
	double density;	   /* rows per second, expected or seen */
	bool seen;		   /* ... seen */
	int64 last_length; /* of the last slice, microseconds */
	bool oldest_first; /* slices are cut off that end */
} MsgTraceSlicer;

extern void msgtrace_slicer_init(MsgTraceSlicer *slicer, MsgTraceSlice range, int page_size,
								 double rows_per_day);

/* Cut the next slice off the newest end, or the oldest; false when nothing is left. */
extern bool msgtrace_slicer_next(MsgTraceSlicer *slicer, MsgTraceSlice *slice);

/* The slice turned out to have this many rows. */
extern void msgtrace_slicer_learn(MsgTraceSlicer *slicer, const MsgTraceSlice *slice, int64 rows);

/*
 * The first page of a slice had `rows` rows, none older than `oldest`: cut the
 * slice shorter if it seems to have too many pages.  True when it was cut.
 */
extern bool msgtrace_slicer_shorten(MsgTraceSlicer *slicer, MsgTraceSlice *slice, int64 rows,
									TimestampTz oldest);

/* Halve a slice at a whole second; false when it is too short for that. */
extern bool msgtrace_slice_halve(const MsgTraceSlice *slice, MsgTraceSlice *newer,
								 MsgTraceSlice *older);

extern TimestampTz msgtrace_floor_to_second(TimestampTz time);
extern TimestampTz msgtrace_ceil_to_second(TimestampTz time);
extern TimestampTz msgtrace_floor_to_day(TimestampTz time);

#endif /* MSGTRACE_SLICE_H */
