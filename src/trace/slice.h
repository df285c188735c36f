/*-------------------------------------------------------------------------
 *
 * slice.h
 *		A time range cut into slices, one after the other.
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

/* But if they are small: not before it has so many rows. */
#define MSGTRACE_SLICE_MAX_ROWS 40000

typedef struct MsgTraceSlice
{
	TimestampTz from;
	TimestampTz to;
} MsgTraceSlice;

typedef struct MsgTraceSlicer
{
	TimestampTz from; /* of what is left to cut */
	TimestampTz to;
	bool oldest_first; /* cut from the oldest end, else from the newest */
	double density;	   /* rows per second, expected or seen */
	bool seen;		   /* ... seen */
	double seen_rows;  /* of the slices so far, the last ones weighing most */
	double seen_seconds;
	int64 last_length; /* of the last slice, microseconds */
} MsgTraceSlicer;

extern void msgtrace_slicer_init(MsgTraceSlicer *slicer, MsgTraceSlice range, double rows_per_day);

/* What is left is known to have so many rows. */
extern void msgtrace_slicer_expect(MsgTraceSlicer *slicer, double rows);

/* Cut off the next slice, to have so many rows; false when nothing is left. */
extern bool msgtrace_slicer_next(MsgTraceSlicer *slicer, double rows, MsgTraceSlice *slice);

/* A slice seems to have so many, and what is left so many. */
extern double msgtrace_slicer_rows_of(const MsgTraceSlicer *slicer, const MsgTraceSlice *slice);
extern double msgtrace_slicer_rows_left(const MsgTraceSlicer *slicer);

/* The slice turned out to have this many rows. */
extern void msgtrace_slicer_learn(MsgTraceSlicer *slicer, const MsgTraceSlice *slice, int64 rows);

/*
 * The first page of the slice that was cut last has `rows` rows, which fill
 * `sample`.  If the slice seems to have more than `most`, cut it to have about
 * `wanted`, and take the rest back.  True when it was cut.
 */
extern bool msgtrace_slicer_shorten(MsgTraceSlicer *slicer, MsgTraceSlice *slice,
									const MsgTraceSlice *sample, int64 rows, double most,
									double wanted);

/* Halve a slice at a whole second; false when it is too short for that. */
extern bool msgtrace_slice_halve(const MsgTraceSlice *slice, MsgTraceSlice *newer,
								 MsgTraceSlice *older);

extern TimestampTz msgtrace_floor_to_second(TimestampTz time);
extern TimestampTz msgtrace_ceil_to_second(TimestampTz time);
extern TimestampTz msgtrace_floor_to_day(TimestampTz time);

#endif /* MSGTRACE_SLICE_H */
