/*-------------------------------------------------------------------------
 *
 * pace.h
 *		How long slices are, and how far ahead of its reader a question is asked.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PACE_H
#define MSGTRACE_PACE_H

#include "postgres.h"

#include "trace/bundle.h"
#include "trace/lanes.h"
#include "trace/slice.h"

/* The slices being read, in the order in which they are handed out, and what was. */
typedef struct MsgTracePace
{
	const MsgTraceQuestion *question;
	const MsgTraceLanes *lanes;
	MsgTraceSlicer slicer; /* cuts what is left */
	MsgTraceBundle *first; /* whose rows are handed out */
	MsgTraceBundle *last;
	bool has_page; /* one is being handed out */
	bool is_short; /* of requests that the query may still make: none are for what is ahead */
	bool stopped;  /* a slice has failed: nothing behind it is asked for */
	int64 pages_handed;
	int64 slices_cut;
	int64 slices_handed;
	int64 rows_handed;	  /* those of whole slices */
	double rows_of_slice; /* even slices, when it was said how many rows to expect; else 0 */
} MsgTracePace;

extern bool msgtrace_pace_is_ordered(const MsgTracePace *pace);

/* The range to be cut is expected to have so many rows. */
extern void msgtrace_pace_expect(MsgTracePace *pace, double rows);

/* How many rows the next slice should have. */
extern double msgtrace_pace_rows_of_next_slice(const MsgTracePace *pace);

/* How many rows its first pages should have. */
extern int msgtrace_pace_first_page_size(const MsgTracePace *pace);

/* May one more page be asked for now, of this slice or (NULL) of one that is not cut yet? */
extern bool msgtrace_pace_may_ask(const MsgTracePace *pace, const MsgTraceBundle *bundle);

/* Should another slice be begun? */
extern bool msgtrace_pace_may_cut(const MsgTracePace *pace);

/* A page of a strand came: if it shows the slice to be too long, cut it shorter and begin it anew. */
extern bool msgtrace_pace_shorten(MsgTracePace *pace, MsgTraceBundle *bundle,
								  MsgTraceStrand *strand, const MsgTracePage *page);

extern void msgtrace_pace_append(MsgTracePace *pace, MsgTraceBundle *bundle);

/* The first slice was handed out. */
extern void msgtrace_pace_drop_first(MsgTracePace *pace);

#endif /* MSGTRACE_PACE_H */
