/*-------------------------------------------------------------------------
 *
 * pager.c
 *		A question answered row by row: slices, requests in flight, pages.
 *
 * The range is cut into slices, and each slice is read by a bundle of strands,
 * one for each query.  Lanes fetch the next pages of the strands, those of the
 * first slice first; pages are handed out in the order of the slices:
 *
 *		UNSTARTED --> SIGNING_IN --> READING --> FINISHED
 *
 * Two manners of reading.  One that will go to the end has all lanes busy with
 * long slices, which waste least: each ends with a page that is not full.  One
 * that may stop has slices of a page, and asks for few pages ahead of its reader.
 *
 * Memory: the pages of the slices in flight, and their keys.  Where rows are kept
 * that were sent from outside of their slice, the keys of all slices.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/pager.h"

#include "trace/bundle.h"
#include "trace/lanes.h"
#include "trace/pace.h"
#include "trace/range.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Skew that no honest pair of clocks has. */
#define SKEW_TO_REFUSE_S 86400

/* After a refusal: the machine that tells the time may not be the one that checks. */
#define SAFE_DISTANCE_FROM_NOW USECS_PER_MINUTE

/* While rows are handed out the requests in flight move on every so many rows. */
#define ROWS_BETWEEN_MOVES 512

typedef enum PagerState
{
	UNSTARTED,
	SIGNING_IN,
	READING,
	FINISHED,
	FAILED
} PagerState;

struct MsgTracePager
{
	const MsgTracePagerConfig *config;
	const MsgTraceQuestion *question;
	MsgTraceStatus *status;
	MemoryContext context;
	PagerState state;
	MsgTraceLanes lanes;
	MsgTracePagerCounts counts;
	int64 skew_to_warn_of;
	bool signed_in_anew; /* because of a clock beyond belief */
	char *first_url;
	MsgTraceRejects rejects;

	MsgTraceQuery hull;		/* of the queries: their range */
	bool is_whole;			/* every query is of the whole range */
	MsgTraceKeyset *keyset; /* of all slices; NULL = each has its own */
	MsgTraceRange range;
	MsgTracePace pace;

	MsgTraceReadPage *page; /* being handed out */
	int next_row;
};

/* What a lane is busy with. */
typedef struct Task
{
	MsgTraceBundle *bundle;
	int strand;
} Task;

static void
set_hull(MsgTracePager *pager)
{
	const MsgTraceQuestion *question = pager->question;

	pager->is_whole = true;
	for (int i = 0; i < question->count; i++)
	{
		const MsgTraceQuery *query = &question->queries[i];

		if (i == 0)
			pager->hull = *query;
		else if (query->from != pager->hull.from || query->to != pager->hull.to)
			pager->is_whole = false;
		pager->hull.from = Min(pager->hull.from, query->from);
		pager->hull.to = Max(pager->hull.to, query->to);
	}
}

MsgTracePager *
msgtrace_pager_open(MemoryContext context, const MsgTracePagerConfig *config,
					const MsgTraceQuestion *question, MsgTraceStatus *status)
{
	MsgTracePager *pager = MemoryContextAllocZero(context, sizeof(MsgTracePager));

	pager->config = config;
	pager->question = question;
	pager->status = status;
	pager->context = context;
	msgtrace_lanes_init(&pager->lanes, context, config->session, question->concurrency);
	msgtrace_rejects_init(&pager->rejects, AllocSetContextCreate(context, "o365_msgtrace rejects",
																 ALLOCSET_DEFAULT_SIZES));
	pager->pace.question = question;
	pager->pace.lanes = &pager->lanes;
	set_hull(pager);
	pager->range.dialect = config->dialect;
	pager->range.query = &pager->hull;
	pager->range.any_clock = config->session->service_clock;
	pager->state = UNSTARTED;
	return pager;
}

void
msgtrace_pager_close(MsgTracePager *pager)
{
	msgtrace_lanes_close(&pager->lanes);
}

static void
finish(MsgTracePager *pager)
{
	msgtrace_pager_close(pager); /* the next scan of the query takes its connections */
	pager->state = FINISHED;
	pager->counts.complete = pager->is_whole;
}

/* -------------------------------------------------------------- failures */

static void
fail_with(MsgTracePager *pager, const MsgTraceStatus *status)
{
	*pager->status = *status;
	msgtrace_lanes_drop(&pager->lanes);
	pager->state = FAILED;
}

static void
fail_first_lane(MsgTracePager *pager, MsgTraceFault fault)
{
	MsgTraceLane *lane = &pager->lanes.list[0];

	lane->status.fault = fault;
	lane->status.page = 1;
	fail_with(pager, &lane->status);
}

/* The lane goes on, and what it has of its request is of the next one then. */
static MsgTraceStatus *
keep_failure(MemoryContext context, const MsgTraceStatus *status)
{
	MsgTraceStatus *kept = MemoryContextAlloc(context, sizeof(*kept));

	*kept = *status;
	kept->token = kept->assertion = NULL;
	kept->hidden_count = 0;
	if (status->client_request_id)
		kept->client_request_id = MemoryContextStrdup(context, status->client_request_id);
	return kept;
}

/*
 * A request failed for good.  Where the reader may stop before it comes to this
 * slice, the failure waits for its turn, too.
 */
static void
fail_lane(MsgTracePager *pager, MsgTraceLane *lane, MsgTraceFault fault)
{
	Task *task = lane->task;
	MsgTraceStrand *strand = &task->bundle->strands[task->strand];
	const MsgTraceSlice *part = msgtrace_strand_part(strand);
	MsgTraceStatus *status = &lane->status;

	status->fault = fault;
	status->page = strand->part_pages + 1;
	status->slice_from = part->from;
	status->slice_to = part->to;
	if (!pager->question->may_stop || task->bundle == pager->pace.first)
	{
		fail_with(pager, status);
		return;
	}
	task->bundle->failure = keep_failure(task->bundle->context, status);
	task->bundle->held[task->strand] = true;
	pager->pace.stopped = true;
}

/* --------------------------------------------------------------- range */

static TimestampTz
service_now(MsgTracePager *pager)
{
	return msgtrace_session_now(pager->lanes.list[0].session);
}

/* What the counts tell of the range, and what is left of it to cut. */
static void
note_range(MsgTracePager *pager)
{
	const MsgTraceSlice *asked = &pager->range.asked;

	pager->counts.service_time_at_start = pager->range.service_time_at_start;
	pager->counts.asked_from = asked->from;
	pager->counts.asked_to = asked->to;
	pager->pace.slicer.from = Max(pager->pace.slicer.from, asked->from);
	pager->pace.slicer.to = Min(pager->pace.slicer.to, asked->to);
}

static void
set_range(MsgTracePager *pager)
{
	double share = 0;

	for (int i = 0; i < pager->question->count; i++)
		share += pager->question->queries[i].share;
	msgtrace_range_begin(&pager->range, service_now(pager));
	msgtrace_slicer_init(&pager->pace.slicer, pager->range.asked,
						 pager->config->rows_per_day * Min(share, 1));
	if (pager->config->rows_expected > 0)
		msgtrace_pace_expect(&pager->pace, pager->config->rows_expected);
	pager->pace.slicer.oldest_first = pager->question->order == MSGTRACE_OLDEST_FIRST;
	note_range(pager);
}

static TimestampTz
plausible_service_time(MsgTracePager *pager)
{
	return msgtrace_range_plausible_time(&pager->range, service_now(pager));
}

/*
 * False when the scan cannot go on now: the clocks differ beyond belief.  What
 * the backend remembers of the service's clock may be wrong, so before a scan
 * has begun it is asked once more.
 */
static bool
check_skew(MsgTracePager *pager, MsgTraceLane *lane)
{
	MsgTraceClock *clock = msgtrace_session_clock(lane->session);
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
		msgtrace_session_sign_in_anew(lane->session);
		return false;
	}
	lane->status.seconds = skew;
	if (lane->task)
		fail_lane(pager, lane, MSGTRACE_CLOCK_SKEW);
	else
		fail_first_lane(pager, MSGTRACE_CLOCK_SKEW);
	return false;
}

/* ---------------------------------------------------------------- slices */

/* NULL when nothing is left.  What lies between the queries' ranges is passed over. */
static MsgTraceBundle *
cut_slice(MsgTracePager *pager)
{
	const MsgTracePagerConfig *config = pager->config;
	double rows = msgtrace_pace_rows_of_next_slice(&pager->pace);
	MsgTraceSlice slice;
	MsgTraceBundle *bundle;

	if (pager->question->keeps_strays && pager->keyset == NULL)
		pager->keyset = msgtrace_keyset_create();
	msgtrace_range_give_up_before(&pager->range,
								  config->dialect->earliest(plausible_service_time(pager)));
	note_range(pager);
	for (;;)
	{
		if (!msgtrace_slicer_next(&pager->pace.slicer, rows, &slice))
			return NULL;
		bundle = msgtrace_bundle_create(pager->context, &slice, pager->question, config->dialect,
										config->session->report_url,
										msgtrace_pace_first_page_size(&pager->pace), pager->keyset);
		if (bundle->strand_count > 0)
			break;
		msgtrace_bundle_free(bundle);
	}
	msgtrace_pace_append(&pager->pace, bundle);
	pager->counts.slices++;
	return bundle;
}

/* ---------------------------------------------------------------- pages */

/* False when the scan ends with them. */
static bool
take_bad_rows(MsgTracePager *pager, MsgTraceLane *lane, const MsgTracePage *page,
			  const MsgTraceSlice *part)
{
	MsgTraceFault fault = msgtrace_rejects_take(&pager->rejects, page->bad_rows, page->bad_count,
												part, pager->config->dialect, pager->config->reject,
												&lane->status);

	pager->counts.rejected = pager->rejects.count;
	if (fault != MSGTRACE_OK)
		fail_lane(pager, lane, fault);
	return fault == MSGTRACE_OK;
}

/* The page is read, and what of it came before is dropped; on to the next one of the strand. */
static void
go_on(MsgTracePager *pager, MsgTraceLane *lane, const MsgTracePage *page)
{
	Task *task = lane->task;
	MsgTraceBundle *bundle = task->bundle;
	MsgTraceStrand *strand = &bundle->strands[task->strand];
	bool was_small = strand->page_size < strand->full_page_size && strand->part_pages == 0 &&
					 strand->page_size == bundle->first_page_size;
	MsgTraceFault fault = msgtrace_strand_take_page(strand, page, &lane->status);

	if (fault != MSGTRACE_OK)
		fail_lane(pager, lane, fault);
	else
		bundle->held[task->strand] = was_small && strand->url;
}

static void
take_page(MsgTracePager *pager, MsgTraceLane *lane)
{
	const MsgTraceHttpReply *reply = msgtrace_session_reply(lane->session);
	Task *task = lane->task;
	MsgTraceBundle *bundle = task->bundle;
	MsgTraceReadPage *read = msgtrace_bundle_new_page(bundle);
	MsgTraceStrand *strand = &bundle->strands[task->strand];
	MsgTracePage *page = &read->page;
	MsgTraceSlice part;
	bool is_shorter;

	if (!msgtrace_page_read(page, pager->config->reader, unconstify(char *, reply->body),
							reply->length, read->context, &lane->status))
	{
		fail_lane(pager, lane, lane->status.fault);
		return;
	}
	if (!take_bad_rows(pager, lane, page, msgtrace_strand_part(strand)))
		return;
	pager->counts.pages++;
	pager->counts.received += page->count;
	pager->counts.replaced += page->replaced;
	part = *msgtrace_strand_part(strand);
	is_shorter = msgtrace_pace_shorten(&pager->pace, bundle, strand, page);
	if (is_shorter)
	{
		part.from = Max(part.from, bundle->slice.from);
		part.to = Min(part.to, bundle->slice.to);
	}
	msgtrace_bundle_put(bundle, read, pager->question->keeps_strays ? NULL : &part);
	if (!is_shorter)
		go_on(pager, lane, page);
	msgtrace_session_count_page(lane->session, page->count);
	if (msgtrace_bundle_is_read(bundle))
		msgtrace_slicer_learn(&pager->pace.slicer, &bundle->slice, bundle->rows);
}

/*
 * A window that was right when it was computed may be refused a moment later:
 * at midnight UTC the service lets go of a day.  Clamp it anew, once, and a good
 * way from now.
 */
static bool
retry_with_new_clamp(MsgTracePager *pager, MsgTraceStrand *strand)
{
	const MsgTraceSlice *part = msgtrace_strand_part(strand);
	MsgTraceSlice range;

	if (strand->clamped_anew)
		return false;
	strand->clamped_anew = true;
	range = msgtrace_range_clamp(&pager->range,
								 pager->counts.pages == 0 ? service_now(pager)
														  : plausible_service_time(pager),
								 SAFE_DISTANCE_FROM_NOW);
	if (range.from <= part->from && range.to >= part->to)
		return false; /* it was not the range */
	msgtrace_range_give_up_before(&pager->range, range.from);
	msgtrace_range_give_up_after(&pager->range, range.to);
	note_range(pager);
	msgtrace_strand_clamp(strand, &range);
	return true;
}

static void
take_refusal(MsgTracePager *pager, MsgTraceLane *lane, int http_status)
{
	Task *task = lane->task;
	MsgTraceStrand *strand = &task->bundle->strands[task->strand];

	if (http_status == 400 && strand->url_is_link)
	{
		MsgTraceFault fault = msgtrace_strand_avoid_link(strand);

		if (fault != MSGTRACE_OK)
			fail_lane(pager, lane, fault);
	}
	else if (http_status != 400 || !retry_with_new_clamp(pager, strand))
	{
		msgtrace_session_note_refusal(lane->session);
		fail_lane(pager, lane, MSGTRACE_REFUSED);
	}
}

/* ----------------------------------------------------------------- lanes */

static void
free_lane(MsgTraceLane *lane)
{
	Task *task = lane->task;

	task->bundle->in_flight[task->strand] = false;
	task->bundle->fetching--;
	pfree(task);
	lane->task = NULL;
}

static void
take_reply(MsgTracePager *pager, MsgTraceLane *lane)
{
	int http_status = msgtrace_session_reply(lane->session)->http_status;

	if (http_status == 200)
		take_page(pager, lane);
	else
		take_refusal(pager, lane, http_status);
	free_lane(lane);
}

static void
move_lane(MsgTracePager *pager, MsgTraceLane *lane)
{
	switch (msgtrace_session_poll(lane->session))
	{
		case MSGTRACE_PENDING:
			return;
		case MSGTRACE_FAILED:
			fail_lane(pager, lane, lane->status.fault);
			free_lane(lane);
			return;
		case MSGTRACE_DONE:
			break;
	}
	if (check_skew(pager, lane))
		take_reply(pager, lane);
	else
		free_lane(lane);
}

/*
 * A reader that may stop could have enough with the pages of the first slice.  The
 * requests that the query has left are for these first.
 */
static bool
is_short_of_requests(const MsgTracePager *pager)
{
	const MsgTraceAllowance *allowance = pager->config->session->allowance;

	return allowance->limit > 0 &&
		   allowance->limit - allowance->made < MSGTRACE_SLICE_MAX_PAGES + 2 * pager->lanes.max;
}

/* What can be asked for now, of the slices that are being read or of another one. */
static MsgTraceBundle *
bundle_to_ask(MsgTracePager *pager, int *strand)
{
	MsgTraceBundle *bundle;

	pager->pace.is_short = is_short_of_requests(pager);
	for (bundle = pager->pace.first; bundle && !bundle->failure; bundle = bundle->next)
	{
		*strand = msgtrace_bundle_next_strand(bundle);
		if (*strand >= 0)
			return msgtrace_pace_may_ask(&pager->pace, bundle) ? bundle : NULL;
		if (msgtrace_bundle_is_held(bundle))
			return NULL; /* perhaps the reader has enough */
	}
	*strand = 0;
	return msgtrace_pace_may_cut(&pager->pace) ? cut_slice(pager) : NULL;
}

/* False when there is nothing to ask for, or no lane for it. */
static bool
ask(MsgTracePager *pager)
{
	MsgTraceLane *lane = msgtrace_lanes_idle(&pager->lanes);
	MsgTraceBundle *bundle;
	Task *task;
	int strand;
	const char *url;

	if (lane == NULL || (bundle = bundle_to_ask(pager, &strand)) == NULL)
		return false;
	task = palloc(sizeof(Task));
	task->bundle = bundle;
	task->strand = strand;
	lane->task = task;
	url = bundle->strands[strand].url;
	bundle->in_flight[strand] = true;
	bundle->fetching++;
	if (pager->first_url == NULL)
		pager->first_url = MemoryContextStrdup(pager->context, url);
	msgtrace_session_get(lane->session, url);
	return true;
}

/* Go on with everything as far as it goes without waiting. */
static void
move(MsgTracePager *pager)
{
	for (int i = 0; i < pager->lanes.max && pager->state == READING; i++)
	{
		if (pager->lanes.list[i].task)
			move_lane(pager, &pager->lanes.list[i]);
	}
	while (pager->state == READING && ask(pager))
	{
		/* it is sent at once, or waits for its turn in the tenant's budget */
		for (int i = 0; i < pager->lanes.max && pager->state == READING; i++)
		{
			if (pager->lanes.list[i].task)
				move_lane(pager, &pager->lanes.list[i]);
		}
	}
	msgtrace_lanes_count(&pager->lanes);
}

/* ---------------------------------------------------------- handing out */

/* The page at hand is done; take the next one of the first slice, if it is there. */
static bool
turn_page(MsgTracePager *pager)
{
	if (pager->page)
		msgtrace_bundle_free_page(pager->page);
	pager->page = pager->pace.first ? msgtrace_bundle_take(pager->pace.first) : NULL;
	pager->next_row = 0;
	pager->pace.has_page = pager->page != NULL;
	if (pager->page == NULL)
		return false;
	pager->pace.pages_handed++;
	pager->counts.delivered += pager->page->page.count;
	return true;
}

/* Without a page at hand: what is next?  MSGTRACE_ROW: there may be one now. */
static MsgTracePagerResult
next_slice(MsgTracePager *pager)
{
	MsgTraceBundle *bundle = pager->pace.first;

	if (bundle == NULL)
	{
		finish(pager);
		return MSGTRACE_END;
	}
	if (bundle->failure)
	{
		fail_with(pager, bundle->failure);
		return MSGTRACE_ERROR;
	}
	if (msgtrace_bundle_release(bundle))
		return MSGTRACE_ROW;
	if (!msgtrace_bundle_is_read(bundle))
		return MSGTRACE_WAIT;
	msgtrace_pace_drop_first(&pager->pace);
	return msgtrace_pace_is_ordered(&pager->pace) ? MSGTRACE_SLICE : MSGTRACE_ROW;
}

/* --------------------------------------------------------- the machine */

static void
start(MsgTracePager *pager)
{
	MsgTraceLane *lane;

	if (pager->question->count == 0)
	{
		finish(pager);
		return;
	}
	lane = msgtrace_lanes_first(&pager->lanes);
	if (lane == NULL)
	{
		fail_first_lane(pager, MSGTRACE_NO_CLIENT);
		return;
	}
	msgtrace_session_sign_in(lane->session);
	pager->state = SIGNING_IN;
}

/* False when there is nothing to do but wait. */
static bool
sign_in(MsgTracePager *pager)
{
	MsgTraceLane *lane = &pager->lanes.list[0];

	switch (msgtrace_session_poll(lane->session))
	{
		case MSGTRACE_PENDING:
			msgtrace_lanes_count(&pager->lanes);
			return false;
		case MSGTRACE_FAILED:
			fail_first_lane(pager, lane->status.fault);
			return true;
		case MSGTRACE_DONE:
			break;
	}
	if (check_skew(pager, lane))
	{
		pager->lanes.signed_in = true;
		set_range(pager);
		pager->state = READING;
	}
	return true;
}

static MsgTracePagerResult
read_on(MsgTracePager *pager, const MsgTraceRow **row)
{
	for (;;)
	{
		MsgTracePagerResult result;
		bool had_page;

		if (pager->page == NULL || pager->next_row % ROWS_BETWEEN_MOVES == 0)
			move(pager);
		if (pager->state == FAILED)
			return MSGTRACE_ERROR;
		if (pager->page && pager->next_row < pager->page->page.count)
		{
			*row = &pager->page->page.rows[pager->next_row++];
			return MSGTRACE_ROW;
		}
		had_page = pager->page != NULL;
		if (turn_page(pager) || had_page) /* who has no page may ask for more */
			continue;
		result = next_slice(pager);
		if (result != MSGTRACE_ROW)
			return result;
	}
}

static MsgTracePagerResult
advance(MsgTracePager *pager, const MsgTraceRow **row)
{
	for (;;)
	{
		switch (pager->state)
		{
			case UNSTARTED:
				start(pager);
				break;
			case SIGNING_IN:
				if (!sign_in(pager))
					return MSGTRACE_WAIT;
				break;
			case READING:
				return read_on(pager, row);
			case FINISHED:
				return MSGTRACE_END;
			case FAILED:
				return MSGTRACE_ERROR;
		}
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
	msgtrace_lanes_wait(&pager->lanes);
}

int
msgtrace_pager_busy(const MsgTracePager *pager, MsgTraceSession **sessions, int most)
{
	return msgtrace_lanes_busy(&pager->lanes, sessions, most);
}

int
msgtrace_pager_socket(MsgTracePager *pager)
{
	return msgtrace_lanes_socket(&pager->lanes);
}

MsgTraceWait
msgtrace_pager_waits_for(const MsgTracePager *pager)
{
	return msgtrace_lanes_waits_for(&pager->lanes);
}

void
msgtrace_pager_waited(MsgTracePager *pager, int64 microseconds)
{
	msgtrace_lanes_waited(&pager->lanes, microseconds);
}

/* One that has failed, or come to its end, has nothing in flight. */
void
msgtrace_pager_give_up(MsgTracePager *pager)
{
	msgtrace_lanes_drop(&pager->lanes);
}

const MsgTracePagerCounts *
msgtrace_pager_counts(const MsgTracePager *pager)
{
	return &pager->counts;
}

const MsgTraceSessionCounts *
msgtrace_pager_session_counts(const MsgTracePager *pager)
{
	return &pager->lanes.counts;
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
