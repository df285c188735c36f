/*-------------------------------------------------------------------------
 *
 * pace.c
 *		How long slices are, and how far ahead of its reader a question is asked.
 *
 * Requests are the scarce thing.  A slice ends with a page that is not full, so
 * long slices waste least; but a reader that may stop has no use for what is
 * ahead of it, and what waits for its turn takes memory.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/pace.h"

#include <math.h>

/* Pages of a slice that is read to its end where several are, and the least. */
#define LONG_SLICE 9
#define SHORT_SLICE 2

/*
 * Pages of later slices that may be there before their turn: they take memory.
 * With three in flight, of which one ends after each third of LONG_SLICE, that is
 * two thirds of the next slice, one of that after it, and some for uneven slices.
 * It is likewise with more.
 */
#define PAGES_AHEAD_PER_LANE 4
#define LEAST_PAGES_AHEAD 12

/* What a page is aimed to be full of: a row too many costs a request more. */
#define FILL 0.94

/* Where it is known what to expect, each further slice must have so many pages to be worth its last one. */
#define PAGES_WORTH_A_SLICE 4

/* The first slice of an ordered reading that wants few rows has some times as many. */
#define FIRST_ROWS_PER_WANTED 4
#define LEAST_FIRST_ROWS 100

bool
msgtrace_pace_is_ordered(const MsgTracePace *pace)
{
	return pace->question->order != MSGTRACE_ANY_ORDER;
}

/* Rows that the slices being read are expected to have still. */
static double
rows_to_come(const MsgTracePace *pace)
{
	double rows = 0;

	for (const MsgTraceBundle *bundle = pace->first; bundle; bundle = bundle->next)
	{
		if (!msgtrace_bundle_is_read(bundle))
			rows += Max(msgtrace_slicer_rows_of(&pace->slicer, &bundle->slice) - bundle->rows, 0);
	}
	return rows;
}

static double
rows_of_slice_read_to_its_end(const MsgTracePace *pace)
{
	double page_size = pace->question->page_size;
	double pages;

	/* nothing is kept for later */
	if (pace->lanes->max == 1)
		return MSGTRACE_SLICE_MAX_PAGES / 2 * page_size * FILL;
	/* so that the lanes come to their end together */
	pages = ceil((msgtrace_slicer_rows_left(&pace->slicer) + rows_to_come(pace)) / page_size /
				 pace->lanes->max);
	/* but the slices one after the other, so that few pages wait for their turn */
	pages = Min(pages, (double) pace->slices_cut * LONG_SLICE / pace->lanes->max);
	return Min(Max(pages, SHORT_SLICE), LONG_SLICE) * page_size * FILL;
}

/*
 * Slices of one length, cut without waiting for the first one; few of them, since
 * each ends with a page that is not full.  A little too long rather than too short,
 * lest a splinter be left.  One of fewer rows is as long as any: so it takes in all
 * of the range, and is a good measure where there is much more than was expected.
 */
void
msgtrace_pace_expect(MsgTracePace *pace, double rows)
{
	double pages = rows / pace->question->page_size;
	double slices = Min(floor(pages / PAGES_WORTH_A_SLICE), pace->lanes->max);

	if (pace->question->may_stop)
		return;
	msgtrace_slicer_expect(&pace->slicer, rows);
	pace->rows_of_slice = slices > 1 ? rows / slices * 1.01
									 : LONG_SLICE * pace->question->page_size * FILL;
}

/* How many rows the next slice should have. */
double
msgtrace_pace_rows_of_next_slice(const MsgTracePace *pace)
{
	const MsgTraceQuestion *question = pace->question;
	double few = Max(question->wanted * FIRST_ROWS_PER_WANTED, LEAST_FIRST_ROWS);

	if (!pace->slicer.seen)
		return msgtrace_pace_is_ordered(pace) && question->wanted > 0
				   ? Min(few, question->page_size)
				   : question->page_size;
	if (pace->rows_of_slice > 0)
		return pace->rows_of_slice;
	return question->may_stop ? question->page_size * FILL : rows_of_slice_read_to_its_end(pace);
}

/* A reader of few rows in any order is served by a small page, if it is lucky; else by full ones. */
int
msgtrace_pace_first_page_size(const MsgTracePace *pace)
{
	const MsgTraceQuestion *question = pace->question;
	int64 small = question->wanted + question->wanted / 5 + 10;

	if (msgtrace_pace_is_ordered(pace) || question->wanted == 0 || pace->slices_cut > 0 ||
		small > question->page_size / 2)
		return question->page_size;
	return (int) small;
}

/* Rows of the slices that were handed out, and of those that are there or expected. */
static double
rows_in_sight(const MsgTracePace *pace)
{
	double rows = pace->rows_handed;

	for (const MsgTraceBundle *bundle = pace->first; bundle; bundle = bundle->next)
	{
		rows += (double) bundle->rows + (double) bundle->fetching * pace->question->page_size;
	}
	return rows;
}

/* Pages asked for, in flight or read, that the reader has not come to. */
static int
pages_ahead(const MsgTracePace *pace)
{
	int ahead = 0;

	for (const MsgTraceBundle *bundle = pace->first; bundle; bundle = bundle->next)
	{
		/* in order nothing can be handed out before all of the slice is there */
		if (!msgtrace_pace_is_ordered(pace) || bundle != pace->first)
			ahead += bundle->pages_read + bundle->fetching - bundle->pages_handed;
	}
	return ahead;
}

/* Is it the first slice, and nothing of it there or on its way? */
static bool
is_starved(const MsgTraceBundle *bundle, const MsgTracePace *pace)
{
	return bundle && bundle == pace->first &&
		   bundle->pages_read + bundle->fetching == bundle->pages_handed;
}

/*
 * May one more page be asked for now, of this slice or (NULL) of one that is not
 * cut yet?  Ahead of a reader that may stop only as many as were of use to it so
 * far, and none when it probably has enough.
 */
bool
msgtrace_pace_may_ask(const MsgTracePace *pace, const MsgTraceBundle *bundle)
{
	const MsgTraceQuestion *question = pace->question;
	int64 of_use = msgtrace_pace_is_ordered(pace) ? pace->slices_handed : pace->pages_handed;
	int ahead = pages_ahead(pace);

	if (bundle == pace->first && (msgtrace_pace_is_ordered(pace) || !question->may_stop))
		return true;
	if (!question->may_stop)
		return ahead < Max(PAGES_AHEAD_PER_LANE * pace->lanes->max, LEAST_PAGES_AHEAD);
	if (!pace->has_page && (ahead == 0 || is_starved(bundle, pace)))
		return true;
	if (pace->is_short)
		return false;
	if (question->wanted > 0 && rows_in_sight(pace) >= (double) question->wanted)
		return false;
	return ahead < Min(of_use, pace->lanes->max - 1);
}

static int
slices_being_read(const MsgTracePace *pace)
{
	int count = 0;

	for (const MsgTraceBundle *bundle = pace->first; bundle; bundle = bundle->next)
		count += !msgtrace_bundle_is_read(bundle);
	return count;
}

/* Should another slice be begun? */
bool
msgtrace_pace_may_cut(const MsgTracePace *pace)
{
	if (pace->first == NULL)
		return true;
	return !pace->stopped && pace->slicer.seen && slices_being_read(pace) < pace->lanes->max &&
		   msgtrace_pace_may_ask(pace, NULL);
}

/* The rows of a page that lie in a slice: how many, and from when on. */
static int
sample_of(const MsgTracePage *page, const MsgTraceSlice *slice, MsgTraceSlice *sample)
{
	int count = 0;

	*sample = *slice;
	sample->from = slice->to;
	for (int i = 0; i < page->count; i++)
	{
		TimestampTz received = page->rows[i].received;

		if (received < slice->from || received >= slice->to)
			continue;
		sample->from = Min(sample->from, received);
		count++;
	}
	return count;
}

/*
 * The first page of a slice shows how dense it is.  If it would have too many
 * pages it is cut shorter now, for the price of this one request; the rows of
 * the page that remain in it are handed out.  Only what was cut last can be, and
 * not once it has rows: what is given back would bring them again.
 */
bool
msgtrace_pace_shorten(MsgTracePace *pace, MsgTraceBundle *bundle, MsgTraceStrand *strand,
					  const MsgTracePage *page)
{
	double page_size = pace->question->page_size;
	double most = pace->question->may_stop ? 2 : MSGTRACE_SLICE_MAX_PAGES;
	MsgTraceSlice sample;
	int rows;

	if (bundle != pace->last || bundle->strand_count > 1 || strand->part_count > 1 ||
		bundle->rows > 0 || strand->part_pages > 0 || bundle->held[0] ||
		strand->page_size < strand->full_page_size || page->next_link == NULL)
		return false;
	rows = sample_of(page, &bundle->slice, &sample);
	if (rows == 0 ||
		!msgtrace_slicer_shorten(&pace->slicer, &bundle->slice, &sample, rows, most * page_size,
								 msgtrace_pace_rows_of_next_slice(pace)))
		return false;
	msgtrace_strand_clamp(strand, &bundle->slice);
	return true;
}

void
msgtrace_pace_append(MsgTracePace *pace, MsgTraceBundle *bundle)
{
	if (pace->last)
		pace->last->next = bundle;
	else
		pace->first = bundle;
	pace->last = bundle;
	pace->slices_cut++;
}

void
msgtrace_pace_drop_first(MsgTracePace *pace)
{
	MsgTraceBundle *bundle = pace->first;

	pace->first = bundle->next;
	if (pace->first == NULL)
		pace->last = NULL;
	pace->slices_handed++;
	pace->rows_handed += bundle->rows;
	msgtrace_bundle_free(bundle);
}
