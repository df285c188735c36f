/*-------------------------------------------------------------------------
 *
 * strand.h
 *		One query's rows of one slice: which URL comes next.
 *
 * A strand goes page by page along the service's links.  A link that is refused,
 * repeats or does not end costs no row: the part of the slice at hand is read
 * again in two halves, or in smaller pages, and the slice's keyset drops what
 * came before.  A strand asks for nothing itself.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_STRAND_H
#define MSGTRACE_STRAND_H

#include "postgres.h"

#include "net/status.h"
#include "trace/dialect.h"
#include "trace/page.h"

/* Halving ten days comes down to a second in 20 steps; each leaves one part. */
#define MSGTRACE_MAX_PARTS 32

typedef struct MsgTraceStrand
{
	MemoryContext context;
	const MsgTraceDialect *dialect;
	const char *report_url;
	const MsgTraceQuery *query;
	MsgTraceSlice parts[MSGTRACE_MAX_PARTS]; /* still to be read; top = at hand */
	int part_count;
	int part_pages;		/* read of the part at hand */
	int part_fruitless; /* of them, without a new row */
	int64 part_records; /* in them, as far as they were asked for */
	int full_page_size;
	int page_size;	   /* asked for; smaller after trouble, or for a reader of few rows */
	bool clamped_anew; /* this part's window was refused once */
	char *url;		   /* of the next page; NULL when the strand is whole */
	bool url_is_link;
} MsgTraceStrand;

/* In a context that lives as long; the others must, too. */
extern void msgtrace_strand_init(MsgTraceStrand *strand, MemoryContext context,
								 const MsgTraceDialect *dialect, const char *report_url,
								 const MsgTraceQuery *query, const MsgTraceSlice *slice,
								 int page_size);

extern MsgTraceSlice *msgtrace_strand_part(MsgTraceStrand *strand); /* at hand */

/*
 * The page of `url` came, with rows that are new only: go on to the next one.
 * Else the fault with which the scan ends.
 */
extern MsgTraceFault msgtrace_strand_take_page(MsgTraceStrand *strand, const MsgTracePage *page,
											   MsgTraceStatus *status);

/* The link was refused; the same. */
extern MsgTraceFault msgtrace_strand_avoid_link(MsgTraceStrand *strand);

/* Read the part at hand from its start, in pages of this size. */
extern void msgtrace_strand_begin_anew(MsgTraceStrand *strand, int page_size);

/* Narrow the part at hand to what can be asked for; it may be over with that. */
extern void msgtrace_strand_clamp(MsgTraceStrand *strand, const MsgTraceSlice *range);

#endif /* MSGTRACE_STRAND_H */
