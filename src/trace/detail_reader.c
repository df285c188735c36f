/*-------------------------------------------------------------------------
 *
 * detail_reader.c
 *		The details of deliveries, one request for each, row by row.
 *
 * Deliveries stand in a queue.  Those at its front are asked for, each in a lane
 * of its own; the rows are handed out in the order of the queue:
 *
 *		QUEUED --> (LOCATING -->) ASKING --> READ --> handed out
 *
 * Who reads in loops may want an answer again: as many as there is memory for are
 * kept.
 *
 * No more is asked for ahead of the reader than may be in flight, so that one who
 * stops early has wasted no more than that.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/detail_reader.h"

#include "trace/detail_queue.h"
#include "utils/memutils.h"

/* The events of one delivery fill a part of one page; this is beyond belief. */
#define MAX_PAGES 100

/* A session, which has one request at a time. */
typedef struct Lane
{
	MsgTraceSession *session; /* NULL = not open */
	MsgTraceStatus status;
	MsgTraceDetailJob *at_hand; /* what it is busy with */
} Lane;

struct MsgTraceDetailReader
{
	const MsgTraceDetailConfig *config;
	MsgTraceStatus *status;
	MemoryContext context;
	Lane lanes[MSGTRACE_MAX_HTTPS];
	int max_lanes;	/* that may be open */
	bool signed_in; /* the first lane has a token, and the others will find it */
	MsgTraceDetailQueue queue;
	MsgTracePagerCounts counts;
	MsgTraceSessionCounts session_counts; /* the sum, as of the last look */
	MsgTraceSessionCounts closed_counts;  /* of the sessions that are no more */
	MsgTraceRejects rejects;
	char *first_url;
	bool failed;
};

MsgTraceDetailReader *
msgtrace_detail_reader_open(MemoryContext context, const MsgTraceDetailConfig *config,
							MsgTraceStatus *status)
{
	MsgTraceDetailReader *reader = MemoryContextAllocZero(context, sizeof(MsgTraceDetailReader));

	reader->config = config;
	reader->status = status;
	reader->context = context;
	msgtrace_detail_queue_init(&reader->queue, context);
	reader->max_lanes = Min(config->concurrency, MSGTRACE_MAX_HTTPS);
	msgtrace_rejects_init(&reader->rejects, AllocSetContextCreate(context, "o365_msgtrace rejects",
																  ALLOCSET_DEFAULT_SIZES));
	return reader;
}

static void
add_counts(MsgTraceSessionCounts *sum, const MsgTraceSessionCounts *counts)
{
	sum->requests += counts->requests;
	sum->retries += counts->retries;
	sum->sign_ins += counts->sign_ins;
	sum->bytes += counts->bytes;
	sum->throttled += counts->throttled;
	sum->budget_waits += counts->budget_waits;
	sum->waited += counts->waited;
	sum->ignored_retry_after = Max(sum->ignored_retry_after, counts->ignored_retry_after);
}

static void
sum_counts(MsgTraceDetailReader *reader)
{
	reader->session_counts = reader->closed_counts;
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		if (reader->lanes[i].session)
			add_counts(&reader->session_counts, msgtrace_session_counts(reader->lanes[i].session));
	}
}

void
msgtrace_detail_reader_close(MsgTraceDetailReader *reader)
{
	sum_counts(reader);
	reader->closed_counts = reader->session_counts;
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		if (reader->lanes[i].session)
			msgtrace_session_close(reader->lanes[i].session);
		reader->lanes[i].session = NULL;
	}
}

/* What went wrong in one lane ends them all. */
static void
fail(MsgTraceDetailReader *reader, const Lane *lane, MsgTraceFault fault)
{
	*reader->status = lane->status;
	reader->status->fault = fault;
	reader->status->page = lane->at_hand ? lane->at_hand->page_count + 1 : 1;
	reader->failed = true;
}

/* ------------------------------------------------------------------ queue */

MemoryContext
msgtrace_detail_reader_context(MsgTraceDetailReader *reader)
{
	return AllocSetContextCreate(reader->context, "o365_msgtrace row", ALLOCSET_SMALL_SIZES);
}

void
msgtrace_detail_reader_add(MsgTraceDetailReader *reader, MemoryContext context,
						   const MsgTraceDelivery *delivery, void *tag)
{
	msgtrace_detail_queue_add(&reader->queue, context, delivery, tag);
	reader->counts.complete = false;
}

int
msgtrace_detail_reader_backlog(const MsgTraceDetailReader *reader)
{
	return reader->queue.length;
}

/* A request in flight goes with its session. */
static void
drop_request(MsgTraceDetailReader *reader, Lane *lane)
{
	add_counts(&reader->closed_counts, msgtrace_session_counts(lane->session));
	msgtrace_session_close(lane->session);
	lane->session = NULL;
	lane->at_hand = NULL;
}

void
msgtrace_detail_reader_clear(MsgTraceDetailReader *reader)
{
	for (int i = 0; i < MSGTRACE_MAX_HTTPS; i++)
	{
		if (reader->lanes[i].at_hand)
			drop_request(reader, &reader->lanes[i]);
	}
	while (reader->queue.first)
		msgtrace_detail_queue_end_first(&reader->queue, reader->config->keep);
}

/* ---------------------------------------------------------------- requests */

static void
get(MsgTraceDetailReader *reader, Lane *lane, char *url)
{
	MsgTraceDetailJob *job = lane->at_hand;

	job->url = url;
	if (reader->first_url == NULL)
		reader->first_url = MemoryContextStrdup(reader->context, url);
	if (job->state == MSGTRACE_DETAIL_LOCATING)
		msgtrace_session_get(lane->session, url);
	else
		msgtrace_session_get_detail(lane->session, url);
}

static void
ask(MsgTraceDetailReader *reader, Lane *lane)
{
	const MsgTraceDetailConfig *config = reader->config;
	TimestampTz now = msgtrace_session_now(lane->session);
	MsgTraceDetailJob *job = lane->at_hand;
	MemoryContext before = MemoryContextSwitchTo(job->context);

	if (msgtrace_detail_needs_row(config->list) && !job->delivery.located)
	{
		job->state = MSGTRACE_DETAIL_LOCATING;
		get(reader, lane,
			msgtrace_detail_row_url(config->list, config->session->report_url, &job->delivery,
									now));
	}
	else
	{
		job->state = MSGTRACE_DETAIL_ASKING;
		get(reader, lane,
			msgtrace_detail_url(config->list, config->session->report_url, &job->delivery, now));
	}
	MemoryContextSwitchTo(before);
}

/* There may be more pages, though nobody has seen them. */
static void
follow_link(MsgTraceDetailReader *reader, Lane *lane, const char *sent)
{
	const MsgTraceDetailConfig *config = reader->config;
	MsgTraceDetailJob *job = lane->at_hand;
	MemoryContext before = MemoryContextSwitchTo(job->context);
	char *link = config->list->resolve_link(config->session->report_url, sent);

	MemoryContextSwitchTo(before);
	if (!msgtrace_http_same_origin(link, config->session->report_url))
	{
		lane->status.words = msgtrace_status_keep_url(&lane->status, link);
		fail(reader, lane, MSGTRACE_FOREIGN_LINK);
	}
	else if (strcmp(link, job->url) == 0 || job->page_count >= MAX_PAGES)
		fail(reader, lane, MSGTRACE_BAD_LINK);
	else
		get(reader, lane, link);
}

/* ----------------------------------------------------------------- answers */

/* False when the scan ends with them. */
static bool
take_bad_rows(MsgTraceDetailReader *reader, Lane *lane, const MsgTracePage *page,
			  const MsgTraceDialect *dialect)
{
	static const MsgTraceSlice everything = {DT_NOBEGIN, DT_NOEND};
	MsgTraceFault fault = msgtrace_rejects_take(&reader->rejects, page->bad_rows, page->bad_count,
												&everything, dialect, reader->config->reject,
												&lane->status);

	reader->counts.rejected = reader->rejects.count;
	if (fault != MSGTRACE_OK)
		fail(reader, lane, fault);
	return fault == MSGTRACE_OK;
}

/* The page of this answer; NULL when the scan ends with it. */
static MsgTraceDetailPage *
read_page(MsgTraceDetailReader *reader, Lane *lane, const MsgTracePageReader *how)
{
	const MsgTraceHttpReply *reply = msgtrace_session_reply(lane->session);
	MsgTraceDetailJob *job = lane->at_hand;
	MsgTraceDetailPage *read = MemoryContextAllocZero(job->context, sizeof(MsgTraceDetailPage));

	if (!msgtrace_page_read(&read->page, how, unconstify(char *, reply->body), reply->length,
							job->context, &lane->status))
	{
		fail(reader, lane, lane->status.fault);
		return NULL;
	}
	if (!take_bad_rows(reader, lane, &read->page, how->dialect))
		return NULL;
	job->page_count++;
	reader->counts.pages++;
	reader->counts.replaced += read->page.replaced;
	return read;
}

/* A record of the list: all recipients of a message share what is wanted of it. */
static bool
note_row(void *arg, MsgTraceRecord *record, MsgTraceRow *row,
		 MsgTraceBadValue *bad pg_attribute_unused())
{
	MsgTraceDetailJob *job = arg;
	const char *sender = record->values[MSGTRACE_SENDER];

	if (memcmp(&row->id, &job->id, sizeof(pg_uuid_t)) == 0)
	{
		job->delivery.located = true;
		job->delivery.sender_address = pstrdup(sender ? sender : "");
		job->delivery.received = row->received;
	}
	return true;
}

static void
take_row(MsgTraceDetailReader *reader, Lane *lane)
{
	MsgTraceDetailJob *job = lane->at_hand;
	MsgTracePageReader how = {.dialect = reader->config->list, .build = note_row, .arg = job};
	MsgTraceDetailPage *read = read_page(reader, lane, &how);

	if (read == NULL)
		return;
	msgtrace_session_count_page(lane->session, 0);
	if (job->delivery.located)
	{
		job->page_count = 0;
		ask(reader, lane);
	}
	else if (read->page.next_link)
		follow_link(reader, lane, read->page.next_link);
	else
		job->state = MSGTRACE_DETAIL_READ; /* the service does not hold it */
}

static void
take_events(MsgTraceDetailReader *reader, Lane *lane)
{
	MsgTraceDetailJob *job = lane->at_hand;
	MsgTracePageReader how = *reader->config->reader;
	MsgTraceDetailPage *read;

	how.delivery = &job->delivery;
	read = read_page(reader, lane, &how);
	if (read == NULL)
		return;
	msgtrace_detail_job_add_page(job, read);
	reader->counts.received += read->page.count;
	reader->counts.delivered += read->page.count;
	msgtrace_session_count_page(lane->session, read->page.count);
	if (read->page.next_link)
		follow_link(reader, lane, read->page.next_link);
	else
		job->state = MSGTRACE_DETAIL_READ;
}

/*
 * A delivery that the service does not know has no events; but only the service
 * itself says so, with an error of its own, not whoever else is at that address.
 */
static void
take_refusal(MsgTraceDetailReader *reader, Lane *lane, int http_status)
{
	MsgTraceStatus *status = &lane->status;
	MsgTraceDetailJob *job = lane->at_hand;

	msgtrace_session_note_refusal(lane->session);
	if (http_status == 404 && job->page_count == 0 && status->code)
	{
		status->http_status = 0;
		status->code = status->words = NULL;
		job->state = MSGTRACE_DETAIL_READ;
	}
	else
		fail(reader, lane, MSGTRACE_REFUSED);
}

static void
take_reply(MsgTraceDetailReader *reader, Lane *lane)
{
	int http_status = msgtrace_session_reply(lane->session)->http_status;

	if (http_status != 200)
		take_refusal(reader, lane, http_status);
	else if (lane->at_hand->state == MSGTRACE_DETAIL_LOCATING)
		take_row(reader, lane);
	else
		take_events(reader, lane);
	if (lane->at_hand->state == MSGTRACE_DETAIL_READ)
		lane->at_hand = NULL;
}

/* ------------------------------------------------------------- the machine */

/* The next delivery that nobody has asked for; NULL when enough are ahead of the reader. */
static MsgTraceDetailJob *
next_to_ask(const MsgTraceDetailReader *reader)
{
	MsgTraceDetailJob *job = reader->queue.first;

	for (int ahead = 0; job && ahead < reader->config->concurrency; ahead++)
	{
		if (job->state == MSGTRACE_DETAIL_QUEUED)
			return job;
		job = job->next;
	}
	return NULL;
}

/* One more; or none more from now on, if there are no descriptors left for it. */
static bool
open_lane(MsgTraceDetailReader *reader, int number)
{
	Lane *lane = &reader->lanes[number];

	msgtrace_status_init(&lane->status, reader->context);
	lane->session = msgtrace_session_open(reader->context, reader->config->session, &lane->status);
	if (lane->session)
		return true;
	if (number == 0)
		fail(reader, lane, MSGTRACE_NO_CLIENT);
	reader->max_lanes = number;
	return false;
}

/* The first lane signs in before the others are opened. */
static void
sign_in(MsgTraceDetailReader *reader)
{
	Lane *lane = &reader->lanes[0];

	if (lane->session == NULL)
	{
		if (!open_lane(reader, 0))
			return;
		msgtrace_session_sign_in(lane->session);
	}
	switch (msgtrace_session_poll(lane->session))
	{
		case MSGTRACE_PENDING:
			break;
		case MSGTRACE_FAILED:
			fail(reader, lane, lane->status.fault);
			break;
		case MSGTRACE_DONE:
			reader->signed_in = true;
			break;
	}
}

/* Give the lane something to do, and go on with it as far as it goes. */
static void
move(MsgTraceDetailReader *reader, int number)
{
	Lane *lane = &reader->lanes[number];

	while (!reader->failed)
	{
		if (lane->at_hand == NULL)
		{
			MsgTraceDetailJob *next = next_to_ask(reader);

			if (next == NULL || (lane->session == NULL && !open_lane(reader, number)))
				return;
			lane->at_hand = next;
			reader->counts.slices++;
			ask(reader, lane);
		}
		switch (msgtrace_session_poll(lane->session))
		{
			case MSGTRACE_PENDING:
				return;
			case MSGTRACE_FAILED:
				fail(reader, lane, lane->status.fault);
				return;
			case MSGTRACE_DONE:
				take_reply(reader, lane);
				break;
		}
	}
}

static void
move_all(MsgTraceDetailReader *reader)
{
	if (!reader->signed_in)
		sign_in(reader);
	for (int i = 0; reader->signed_in && !reader->failed && i < reader->max_lanes; i++)
		move(reader, i);
	sum_counts(reader);
}

static MsgTracePagerResult
advance(MsgTraceDetailReader *reader, const MsgTraceRow **row, void **tag)
{
	while (reader->queue.first)
	{
		MsgTraceDetailJob *job = reader->queue.first;

		if (!reader->failed)
			move_all(reader);
		if (reader->failed)
			return MSGTRACE_ERROR;
		if (job->state != MSGTRACE_DETAIL_READ)
			return MSGTRACE_WAIT;
		*tag = job->tag;
		if ((*row = msgtrace_detail_job_next_row(job)) != NULL)
			return MSGTRACE_ROW;
		msgtrace_detail_queue_end_first(&reader->queue, reader->config->keep);
	}
	reader->counts.complete = true;
	return MSGTRACE_END;
}

MsgTracePagerResult
msgtrace_detail_reader_next(MsgTraceDetailReader *reader, const MsgTraceRow **row, void **tag)
{
	MemoryContext before = MemoryContextSwitchTo(reader->context);
	MsgTracePagerResult result = advance(reader, row, tag);

	MemoryContextSwitchTo(before);
	return result;
}

void
msgtrace_detail_reader_wait(MsgTraceDetailReader *reader, const MsgTracePager *trace)
{
	MsgTraceSession *sessions[MSGTRACE_MAX_HTTPS];
	int count = 0;

	for (int i = 0; i < reader->max_lanes; i++)
	{
		if (reader->lanes[i].at_hand || !reader->signed_in)
			sessions[count++] = reader->lanes[i].session;
		if (!reader->signed_in)
			break;
	}
	if (trace)
		count += msgtrace_pager_busy(trace, sessions + count, MSGTRACE_MAX_HTTPS - count);
	msgtrace_session_wait_any(sessions, count);
}

const MsgTracePagerCounts *
msgtrace_detail_reader_counts(const MsgTraceDetailReader *reader)
{
	return &reader->counts;
}

const MsgTraceSessionCounts *
msgtrace_detail_reader_session_counts(const MsgTraceDetailReader *reader)
{
	return &reader->session_counts;
}

const MsgTraceRejects *
msgtrace_detail_reader_rejects(const MsgTraceDetailReader *reader)
{
	return &reader->rejects;
}

const char *
msgtrace_detail_reader_first_url(const MsgTraceDetailReader *reader)
{
	return reader->first_url;
}
