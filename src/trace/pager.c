/*-------------------------------------------------------------------------
 *
 * pager.c
 *		A TraceQuery answered row by row: slices, pages, links.
 *
 * The range is cut into slices, a slice is read page by page along the
 * service's links, and a page is delivered when all of it has been read:
 *
 *		SIGNING_IN --> CUTTING --> FETCHING --> DELIVERING --> FETCHING (link)
 *						  ^                          |
 *						  +------ slice is whole ----+
 *
 * A link that is refused, repeats or does not end costs no row: the part of the
 * slice at hand is read again in two halves, and the slice's keyset drops what
 * was delivered before.  Parts stand on a stack, newest on top.
 *
 * Memory: one page at a time, and the keys of one slice.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/pager.h"

#include "trace/keyset.h"
#include "trace/range.h"
#include "trace/slice.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Skew that no honest pair of clocks has. */
#define SKEW_TO_REFUSE_S 86400

/* After a refusal: the machine that tells the time may not be the one that checks. */
#define SAFE_DISTANCE_FROM_NOW USECS_PER_MINUTE

/* Halving ten days comes down to a second in 20 steps; each leaves one part. */
#define MAX_PARTS 32

/* A part of a second cannot be halved; no honest one has more rows than this. */
#define MAX_ROWS_OF_A_SECOND 5000000

/* Where a part cannot be halved, pages are; below this there is no use in it. */
#define MIN_PAGE_SIZE 10

typedef enum PagerState
{
	UNSTARTED,
	SIGNING_IN,
	CUTTING,
	FETCHING,
	DELIVERING,
	FINISHED,
	FAILED
} PagerState;

struct MsgTracePager
{
	const MsgTracePagerConfig *config;
	const MsgTraceQuestion *question;
	const MsgTraceQuery *query; /* its only one */
	MsgTraceStatus *status;
	MemoryContext context;
	MemoryContext slice_context; /* the keyset */
	MemoryContext page_context;	 /* rows of the page being delivered */
	MsgTraceSession *session;
	PagerState state;
	MsgTracePagerCounts counts;
	MsgTraceSessionCounts session_counts; /* once there is no session any more */
	int64 skew_to_warn_of;
	bool signed_in_anew; /* because of a clock beyond belief */
	char *first_url;
	MsgTraceRejects rejects;

	MsgTraceRange range;
	MsgTraceSlicer slicer;
	MsgTraceSlice slice; /* being read, as it was cut */
	int64 slice_rows;	 /* delivered from it */
	MsgTraceKeyset *keyset;
	MsgTraceSlice parts[MAX_PARTS]; /* of the slice, still to be read; top = at hand */
	int part_count;
	int part_pages;		/* read of the part at hand */
	int64 part_records; /* in them, as far as they were asked for */
	int page_size;		/* asked for; smaller after trouble */
	bool clamped_anew;	/* this part's window was refused once */

	char *url; /* being fetched */
	bool url_is_link;
	MsgTracePage page;
	int next_row;
	bool slice_ended; /* to be told where an order was asked for */
};

MsgTracePager *
msgtrace_pager_open(MemoryContext context, const MsgTracePagerConfig *config,
					const MsgTraceQuestion *question, MsgTraceStatus *status)
{
	MsgTracePager *pager = MemoryContextAllocZero(context, sizeof(MsgTracePager));

	pager->config = config;
	pager->question = question;
	pager->query = question->queries;
	pager->status = status;
	pager->context = context;
	pager->slice_context = AllocSetContextCreate(context, "o365_msgtrace slice",
												 ALLOCSET_DEFAULT_SIZES);
	pager->page_context = AllocSetContextCreate(context, "o365_msgtrace page",
												ALLOCSET_DEFAULT_SIZES);
	msgtrace_rejects_init(&pager->rejects, AllocSetContextCreate(context, "o365_msgtrace rejects",
																 ALLOCSET_DEFAULT_SIZES));
	pager->range.dialect = config->dialect;
	pager->range.query = pager->query;
	pager->range.any_clock = config->session->service_clock;
	pager->page_size = question->page_size;
	pager->state = UNSTARTED;
	return pager;
}

void
msgtrace_pager_close(MsgTracePager *pager)
{
	if (pager->session == NULL)
		return;
	pager->session_counts = *msgtrace_session_counts(pager->session);
	msgtrace_session_close(pager->session);
	pager->session = NULL;
}

static void
finish(MsgTracePager *pager)
{
	msgtrace_pager_close(pager); /* the next scan of the query takes its connection */
	pager->state = FINISHED;
	pager->counts.complete = true;
}

static void
fail(MsgTracePager *pager, MsgTraceFault fault)
{
	MsgTraceStatus *status = pager->status;

	status->fault = fault;
	status->page = pager->part_pages + 1;
	if (pager->part_count > 0)
	{
		status->slice_from = pager->parts[pager->part_count - 1].from;
		status->slice_to = pager->parts[pager->part_count - 1].to;
	}
	pager->state = FAILED;
}

/* --------------------------------------------------------------- range */

/* What the counts tell of the range, and what is left of it to cut. */
static void
note_range(MsgTracePager *pager)
{
	pager->counts.service_time_at_start = pager->range.service_time_at_start;
	pager->counts.asked_from = pager->range.asked.from;
	pager->counts.asked_to = pager->range.asked.to;
	pager->slicer.from = Max(pager->slicer.from, pager->range.asked.from);
}

static void
set_range(MsgTracePager *pager)
{
	msgtrace_range_begin(&pager->range, msgtrace_session_now(pager->session));
	msgtrace_slicer_init(&pager->slicer, pager->range.asked, pager->page_size,
						 pager->config->rows_per_day * pager->query->share);
	pager->slicer.oldest_first = pager->question->order == MSGTRACE_OLDEST_FIRST;
	note_range(pager);
}

static TimestampTz
plausible_service_time(MsgTracePager *pager)
{
	return msgtrace_range_plausible_time(&pager->range, msgtrace_session_now(pager->session));
}

/*
 * False when the scan cannot go on now: the clocks differ beyond belief.  What
 * the backend remembers of the service's clock may be wrong, so before a scan
 * has begun it is asked once more.
 */
static bool
check_skew(MsgTracePager *pager)
{
	MsgTraceClock *clock = msgtrace_session_clock(pager->session);
	int64 skew = msgtrace_clock_skew(clock);

	if (pager->config->session->service_clock)
		return true;
	if (llabs(skew) <= SKEW_TO_REFUSE_S)
	{
		if (llabs(skew) > MSGTRACE_SKEW_TO_WARN_OF_S && msgtrace_clock_warn_once(clock))
			pager->skew_to_warn_of = skew;
		return true;
	}
	if (pager->state == SIGNING_IN && !pager->signed_in_anew)
	{
		pager->signed_in_anew = true;
		msgtrace_session_sign_in_anew(pager->session);
		return false;
	}
	pager->status->seconds = skew;
	fail(pager, MSGTRACE_CLOCK_SKEW);
	return false;
}

/* --------------------------------------------------------------- parts */

static MsgTraceSlice *
part_at_hand(MsgTracePager *pager)
{
	return &pager->parts[pager->part_count - 1];
}

static void
fetch(MsgTracePager *pager, char *url, bool is_link)
{
	if (pager->url)
		pfree(pager->url);
	pager->url = url;
	pager->url_is_link = is_link;
	if (pager->first_url == NULL)
		pager->first_url = MemoryContextStrdup(pager->context, url);
	msgtrace_session_get(pager->session, url);
	pager->state = FETCHING;
}

static void
begin_part(MsgTracePager *pager)
{
	pager->part_pages = 0;
	pager->part_records = 0;
	fetch(pager,
		  msgtrace_dialect_list_url(pager->config->dialect, pager->config->session->report_url,
									pager->query, part_at_hand(pager), pager->page_size),
		  false);
}

static void
begin_slice(MsgTracePager *pager)
{
	TimestampTz held_from = pager->config->dialect->earliest(plausible_service_time(pager));

	msgtrace_range_give_up_before(&pager->range, held_from);
	note_range(pager);
	if (!msgtrace_slicer_next(&pager->slicer, &pager->slice))
	{
		finish(pager);
		return;
	}
	MemoryContextReset(pager->slice_context);
	MemoryContextSwitchTo(pager->slice_context);
	pager->keyset = msgtrace_keyset_create();
	MemoryContextSwitchTo(pager->context);
	pager->parts[0] = pager->slice;
	pager->part_count = 1;
	pager->slice_rows = 0;
	pager->counts.slices++;
	begin_part(pager);
}

static void
end_part(MsgTracePager *pager)
{
	pager->part_count--;
	pager->page_size = pager->question->page_size;
	pager->clamped_anew = false;
	if (pager->part_count > 0)
	{
		begin_part(pager);
		return;
	}
	msgtrace_slicer_learn(&pager->slicer, &pager->slice, pager->slice_rows);
	pager->slice_ended = pager->question->order != MSGTRACE_ANY_ORDER;
	pager->state = CUTTING;
}

/* Read the part at hand in two halves; false when it is too short for that. */
static bool
halve_part(MsgTracePager *pager)
{
	MsgTraceSlice newer;
	MsgTraceSlice older;

	if (pager->part_count == MAX_PARTS ||
		!msgtrace_slice_halve(part_at_hand(pager), &newer, &older))
		return false;
	*part_at_hand(pager) = older;
	pager->parts[pager->part_count++] = newer;
	begin_part(pager);
	return true;
}

/* Read it in smaller pages, whose links are others; false when they are tiny. */
static bool
shrink_pages(MsgTracePager *pager)
{
	if (pager->page_size / 2 < MIN_PAGE_SIZE)
		return false;
	pager->page_size /= 2;
	begin_part(pager);
	return true;
}

/* The links of the part at hand lead nowhere: read it again without them. */
static void
avoid_link(MsgTracePager *pager)
{
	if (!halve_part(pager) && !shrink_pages(pager))
		fail(pager, MSGTRACE_BAD_LINK);
}

/* ---------------------------------------------------------------- pages */

/* Drop what lies outside the part and what was delivered before. */
static void
keep_new_rows(MsgTracePager *pager)
{
	MsgTracePage *page = &pager->page;

	page->count = msgtrace_keyset_keep_new(pager->keyset, page->rows, page->count,
										   part_at_hand(pager));
	pager->slice_rows += page->count;
	pager->counts.delivered += page->count;
}

static TimestampTz
oldest_of(const MsgTracePage *page, const MsgTraceSlice *slice)
{
	TimestampTz oldest = slice->to;

	for (int i = 0; i < page->count; i++)
		oldest = Min(oldest, page->rows[i].received);
	return Max(oldest, slice->from);
}

/*
 * The first page of a slice shows how dense it is.  If it would have too many
 * pages it is cut shorter now, for the price of this one request; the rows of
 * the page that remain in it are delivered.
 */
static void
shorten_slice(MsgTracePager *pager)
{
	MsgTracePage *page = &pager->page;
	bool is_first = pager->slice_rows == 0 && pager->part_pages == 1 && pager->part_count == 1;

	if (!is_first || page->next_link == NULL || page->count == 0 || pager->slicer.oldest_first)
		return;
	if (msgtrace_slicer_shorten(&pager->slicer, &pager->slice, page->count,
								oldest_of(page, &pager->slice)))
	{
		*part_at_hand(pager) = pager->slice;
		page->next_link = NULL;
		/* one part more than there is: end_part begins this one from the start */
		pager->parts[pager->part_count++] = pager->slice;
	}
}

/* False when the scan ends with them. */
static bool
take_bad_rows(MsgTracePager *pager)
{
	const MsgTracePage *page = &pager->page;
	MsgTraceFault fault = msgtrace_rejects_take(&pager->rejects, page->bad_rows, page->bad_count,
												part_at_hand(pager), pager->config->dialect,
												pager->config->reject, pager->status);

	pager->counts.rejected = pager->rejects.count;
	if (fault != MSGTRACE_OK)
		fail(pager, fault);
	return fault == MSGTRACE_OK;
}

/* Where the page leads; of one that cannot say so, only an empty one is the last. */
static char *
next_url(MsgTracePager *pager)
{
	const MsgTraceDialect *dialect = pager->config->dialect;
	const char *report_url = pager->config->session->report_url;
	const MsgTracePage *page = &pager->page;

	if (page->next_link)
		return dialect->resolve_link(report_url, page->next_link);
	if (page->linkless && page->records > 0)
		return dialect->page_after(msgtrace_dialect_list_url(dialect, report_url, pager->query,
															 part_at_hand(pager), pager->page_size),
								   pager->part_records);
	return NULL;
}

static void
take_page(MsgTracePager *pager)
{
	const MsgTraceHttpReply *reply = msgtrace_session_reply(pager->session);

	MemoryContextReset(pager->page_context);
	if (!msgtrace_page_read(&pager->page, pager->config->reader, unconstify(char *, reply->body),
							reply->length, pager->page_context, pager->status))
	{
		fail(pager, pager->status->fault);
		return;
	}
	if (!take_bad_rows(pager))
		return;
	pager->part_pages++;
	pager->part_records += Min(pager->page.records, pager->page_size);
	pager->page.next_link = next_url(pager);
	pager->counts.pages++;
	pager->counts.received += pager->page.count;
	pager->counts.replaced += pager->page.replaced;
	shorten_slice(pager);
	keep_new_rows(pager);
	msgtrace_session_count_page(pager->session, pager->page.count);
	pager->next_row = 0;
	pager->state = DELIVERING;
}

/*
 * A window that was right when it was computed may be refused a moment later:
 * at midnight UTC the service lets go of a day.  Clamp it anew, once, and a good
 * way from now.
 */
static bool
retry_with_new_clamp(MsgTracePager *pager)
{
	MsgTraceSlice range;
	MsgTraceSlice *part = part_at_hand(pager);

	if (pager->clamped_anew)
		return false;
	pager->clamped_anew = true;
	range = msgtrace_range_clamp(&pager->range,
								 pager->counts.pages == 0 ? msgtrace_session_now(pager->session)
														  : plausible_service_time(pager),
								 SAFE_DISTANCE_FROM_NOW);
	if (range.from <= part->from && range.to >= part->to)
		return false; /* it was not the range */
	part->from = Max(part->from, range.from);
	part->to = Min(part->to, range.to);
	msgtrace_range_give_up_before(&pager->range, range.from);
	msgtrace_range_give_up_after(&pager->range, range.to);
	note_range(pager);
	if (part->from < part->to)
		begin_part(pager);
	else
		end_part(pager);
	return true;
}

static void
take_refusal(MsgTracePager *pager, int http_status)
{
	if (http_status == 400 && pager->url_is_link)
		avoid_link(pager);
	else if (http_status != 400 || !retry_with_new_clamp(pager))
	{
		msgtrace_session_note_refusal(pager->session);
		fail(pager, MSGTRACE_REFUSED);
	}
}

static void
take_reply(MsgTracePager *pager)
{
	int http_status = msgtrace_session_reply(pager->session)->http_status;

	if (http_status == 200)
		take_page(pager);
	else
		take_refusal(pager, http_status);
}

/*
 * Is the part flooded: has it more pages than it may have, though not all were
 * read?  One that cannot be halved may have many; it is a second's mail.
 */
static bool
is_flooded(const MsgTracePager *pager)
{
	return pager->part_pages >= MSGTRACE_SLICE_MAX_PAGES;
}

static bool
is_endless(const MsgTracePager *pager)
{
	return pager->part_pages > MAX_ROWS_OF_A_SECOND / pager->page_size;
}

/* The page is delivered: follow its link, if there is one to be trusted. */
static void
follow_link(MsgTracePager *pager)
{
	char *link = pager->page.next_link;

	if (link == NULL)
		end_part(pager);
	else if (!msgtrace_http_same_origin(link, pager->config->session->report_url))
	{
		pager->status->words = msgtrace_status_keep_url(pager->status, link);
		fail(pager, MSGTRACE_FOREIGN_LINK);
	}
	else if (strcmp(link, pager->url) == 0)
		avoid_link(pager);
	else if (is_flooded(pager) && halve_part(pager))
		return;
	else if (is_endless(pager))
		fail(pager, MSGTRACE_BAD_LINK);
	else
		fetch(pager, link, true);
}

/* --------------------------------------------------------- the machine */

static void
start(MsgTracePager *pager)
{
	if (pager->question->count == 0)
	{
		finish(pager);
		return;
	}
	pager->session = msgtrace_session_open(pager->context, pager->config->session, pager->status);
	if (pager->session == NULL)
	{
		fail(pager, MSGTRACE_NO_CLIENT);
		return;
	}
	msgtrace_session_sign_in(pager->session);
	pager->state = SIGNING_IN;
}

/* What waits for the session moves on when it is done. */
static bool
step_session(MsgTracePager *pager)
{
	switch (msgtrace_session_poll(pager->session))
	{
		case MSGTRACE_PENDING:
			return false;
		case MSGTRACE_FAILED:
			fail(pager, pager->status->fault);
			return true;
		case MSGTRACE_DONE:
			break;
	}
	if (!check_skew(pager))
		return true;
	if (pager->state == FETCHING)
		take_reply(pager);
	else
	{
		set_range(pager);
		pager->state = CUTTING;
	}
	return true;
}

/* One step; false when there is nothing to do but wait. */
static bool
step(MsgTracePager *pager)
{
	switch (pager->state)
	{
		case UNSTARTED:
			start(pager);
			return true;
		case CUTTING:
			begin_slice(pager);
			return true;
		case DELIVERING:
			follow_link(pager);
			return true;
		default:
			return step_session(pager);
	}
}

static MsgTracePagerResult
advance(MsgTracePager *pager, const MsgTraceRow **row)
{
	for (;;)
	{
		if (pager->state == DELIVERING && pager->next_row < pager->page.count)
		{
			*row = &pager->page.rows[pager->next_row++];
			return MSGTRACE_ROW;
		}
		if (pager->slice_ended)
		{
			pager->slice_ended = false;
			return MSGTRACE_SLICE;
		}
		if (pager->state == FINISHED)
			return MSGTRACE_END;
		if (pager->state == FAILED)
			return MSGTRACE_ERROR;
		if (!step(pager))
			return MSGTRACE_WAIT;
	}
}

MsgTracePagerResult
msgtrace_pager_next(MsgTracePager *pager, const MsgTraceRow **row)
{
	MemoryContext before = MemoryContextSwitchTo(pager->context);
	MsgTracePagerResult result = advance(pager, row);

	MemoryContextSwitchTo(before);
	return result;
}

void
msgtrace_pager_wait(MsgTracePager *pager)
{
	msgtrace_session_wait(pager->session);
}

const MsgTracePagerCounts *
msgtrace_pager_counts(const MsgTracePager *pager)
{
	return &pager->counts;
}

const MsgTraceSessionCounts *
msgtrace_pager_session_counts(const MsgTracePager *pager)
{
	return pager->session ? msgtrace_session_counts(pager->session) : &pager->session_counts;
}

const MsgTraceRejects *
msgtrace_pager_rejects(const MsgTracePager *pager)
{
	return &pager->rejects;
}

const char *
msgtrace_pager_first_url(const MsgTracePager *pager)
{
	return pager->first_url;
}

int64
msgtrace_pager_skew_to_warn_of(MsgTracePager *pager)
{
	int64 skew = pager->skew_to_warn_of;

	pager->skew_to_warn_of = 0;
	return skew;
}

bool
msgtrace_pager_refused_end(MsgTracePager *pager, MsgTraceSlice *refused)
{
	MsgTraceSlice none = {0};

	*refused = pager->range.refused_end;
	pager->range.refused_end = none;
	return refused->from < refused->to;
}
