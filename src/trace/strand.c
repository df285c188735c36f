/*-------------------------------------------------------------------------
 *
 * strand.c
 *		One query's rows of one slice: which URL comes next.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/strand.h"

#include "net/http.h"

/* A part of a second cannot be halved; no honest one has more rows than this. */
#define MAX_ROWS_OF_A_SECOND 5000000

/* Where a part cannot be halved, pages are; below this there is no use in it. */
#define MIN_PAGE_SIZE 10

static void
go_to(MsgTraceStrand *strand, char *url, bool is_link)
{
	if (strand->url)
		pfree(strand->url);
	strand->url = url;
	strand->url_is_link = is_link;
}

MsgTraceSlice *
msgtrace_strand_part(MsgTraceStrand *strand)
{
	return &strand->parts[Max(strand->part_count - 1, 0)];
}

static char *
list_url(MsgTraceStrand *strand)
{
	MemoryContext before = MemoryContextSwitchTo(strand->context);
	char *url = msgtrace_dialect_list_url(strand->dialect, strand->report_url, strand->query,
										  msgtrace_strand_part(strand), strand->page_size);

	MemoryContextSwitchTo(before);
	return url;
}

static void
begin_part(MsgTraceStrand *strand)
{
	strand->part_pages = 0;
	strand->part_fruitless = 0;
	strand->part_records = 0;
	go_to(strand, list_url(strand), false);
}

void
msgtrace_strand_init(MsgTraceStrand *strand, MemoryContext context, const MsgTraceDialect *dialect,
					 const char *report_url, const MsgTraceQuery *query, const MsgTraceSlice *slice,
					 int page_size)
{
	memset(strand, 0, sizeof(*strand));
	strand->context = context;
	strand->dialect = dialect;
	strand->report_url = report_url;
	strand->query = query;
	strand->full_page_size = strand->page_size = page_size;
	strand->parts[0] = *slice;
	strand->part_count = 1;
	begin_part(strand);
}

void
msgtrace_strand_begin_anew(MsgTraceStrand *strand, int page_size)
{
	strand->page_size = page_size;
	begin_part(strand);
}

static void
end_part(MsgTraceStrand *strand)
{
	strand->page_size = strand->full_page_size;
	strand->clamped_anew = false;
	if (--strand->part_count > 0)
		begin_part(strand);
	else
		go_to(strand, NULL, false);
}

/* Read the part at hand in two halves; false when it is too short for that. */
static bool
halve_part(MsgTraceStrand *strand)
{
	MsgTraceSlice newer;
	MsgTraceSlice older;

	if (strand->part_count == MSGTRACE_MAX_PARTS ||
		!msgtrace_slice_halve(msgtrace_strand_part(strand), &newer, &older))
		return false;
	*msgtrace_strand_part(strand) = older;
	strand->parts[strand->part_count++] = newer;
	begin_part(strand);
	return true;
}

/* Read it in smaller pages, whose links are others; false when they are tiny. */
static bool
shrink_pages(MsgTraceStrand *strand)
{
	if (strand->page_size / 2 < MIN_PAGE_SIZE)
		return false;
	msgtrace_strand_begin_anew(strand, strand->page_size / 2);
	return true;
}

MsgTraceFault
msgtrace_strand_avoid_link(MsgTraceStrand *strand)
{
	return halve_part(strand) || shrink_pages(strand) ? MSGTRACE_OK : MSGTRACE_BAD_LINK;
}

/*
 * Is the part flooded: has it more pages than it may have, or as many without a new
 * row, though not all were read?  One that cannot be halved may have many; it is a
 * second's mail.  Small pages may be many, too, as long as they bring something: to
 * begin anew, in halves, costs all that were read.
 */
static bool
is_flooded(const MsgTraceStrand *strand)
{
	return strand->part_fruitless >= MSGTRACE_SLICE_MAX_PAGES ||
		   (strand->part_pages >= MSGTRACE_SLICE_MAX_PAGES &&
			strand->part_records >= MSGTRACE_SLICE_MAX_ROWS);
}

static bool
is_endless(const MsgTraceStrand *strand)
{
	return strand->part_pages > MAX_ROWS_OF_A_SECOND / strand->page_size;
}

/* Where the page leads; of one that cannot say so, only an empty one is the last. */
static char *
next_url(MsgTraceStrand *strand, const MsgTracePage *page)
{
	MemoryContext before = MemoryContextSwitchTo(strand->context);
	char *url = NULL;

	if (page->next_link)
		url = strand->dialect->resolve_link(strand->report_url, page->next_link);
	else if (page->linkless && page->records > 0)
		url = strand->dialect->page_after(list_url(strand), strand->part_records);
	MemoryContextSwitchTo(before);
	return url;
}

MsgTraceFault
msgtrace_strand_take_page(MsgTraceStrand *strand, const MsgTracePage *page, MsgTraceStatus *status)
{
	char *link;

	strand->part_pages++;
	strand->part_fruitless += page->count == 0;
	strand->part_records += Min(page->records, strand->page_size);
	link = next_url(strand, page);
	if (link == NULL)
		end_part(strand);
	else if (!msgtrace_http_same_origin(link, strand->report_url))
	{
		status->words = msgtrace_status_keep_url(status, link);
		return MSGTRACE_FOREIGN_LINK;
	}
	else if (strcmp(link, strand->url) == 0)
		return msgtrace_strand_avoid_link(strand);
	else if (is_flooded(strand) && halve_part(strand))
		return MSGTRACE_OK;
	else if (is_endless(strand))
		return MSGTRACE_BAD_LINK;
	else
		go_to(strand, link, true);
	return MSGTRACE_OK;
}

void
msgtrace_strand_clamp(MsgTraceStrand *strand, const MsgTraceSlice *range)
{
	MsgTraceSlice *part = msgtrace_strand_part(strand);

	part->from = Max(part->from, range->from);
	part->to = Min(part->to, range->to);
	if (part->from < part->to)
		begin_part(strand);
	else
		end_part(strand);
}
