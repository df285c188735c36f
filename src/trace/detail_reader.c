/*-------------------------------------------------------------------------
 *
 * detail_reader.c
 *		The details of deliveries, one request for each, row by row.
 *
 * Deliveries stand in a queue.  Those at its front are asked for, as many at a
 * time as there are sessions; the rows are handed out in the order of the queue:
 *
 *		QUEUED --> (LOCATING -->) ASKING --> READ --> handed out, forgotten
 *
 * No more is asked for ahead of the reader than may be in flight, so that one who
 * stops early has wasted no more than that.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/detail_reader.h"

#include "utils/memutils.h"

/* The events of one delivery fill a part of one page; this is beyond belief. */
#define MAX_PAGES 100

typedef enum JobState
{
	QUEUED,
	LOCATING, /* its row of the list is asked for */
	ASKING,
	READ
} JobState;

/* A page of events, as long as it has rows to hand out. */
typedef struct ReadPage
{
	MsgTracePage page;
	struct ReadPage *next;
} ReadPage;

/* One delivery. */
typedef struct Job
{
	struct Job *next; /* in the queue */
	MemoryContext context;
	MsgTraceDelivery delivery;
	pg_uuid_t id; /* of the same */
	void *tag;
	JobState state;
	char *url; /* being asked for */
	int page_count;
	ReadPage *pages; /* not yet handed out */
	ReadPage *last_page;
	int next_row; /* of the first of them */
} Job;

struct MsgTraceDetailReader
{
	const MsgTraceDetailConfig *config;
	MsgTraceStatus *status;
	MemoryContext context;
	MsgTraceSession *session;
	bool signed_in;
	Job *at_hand; /* what the session is busy with */
	Job *first;	  /* of the queue: the one whose rows are handed out */
	Job *last;
	int backlog; /* length of the queue */
	MsgTracePagerCounts counts;
	MsgTraceSessionCounts session_counts; /* once there is no session any more */
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
	msgtrace_rejects_init(&reader->rejects, AllocSetContextCreate(context, "o365_msgtrace rejects",
																  ALLOCSET_DEFAULT_SIZES));
	return reader;
}

void
msgtrace_detail_reader_close(MsgTraceDetailReader *reader)
{
	if (reader->session == NULL)
		return;
	reader->session_counts = *msgtrace_session_counts(reader->session);
	msgtrace_session_close(reader->session);
	reader->session = NULL;
}

static void
fail(MsgTraceDetailReader *reader, MsgTraceFault fault)
{
	reader->status->fault = fault;
	reader->status->page = reader->at_hand ? reader->at_hand->page_count + 1 : 1;
	reader->failed = true;
}

/* ------------------------------------------------------------------ queue */

MemoryContext
msgtrace_detail_reader_context(MsgTraceDetailReader *reader)
{
	return AllocSetContextCreate(reader->context, "o365_msgtrace delivery", ALLOCSET_SMALL_SIZES);
}

void
msgtrace_detail_reader_add(MsgTraceDetailReader *reader, MemoryContext context,
						   const MsgTraceDelivery *delivery, void *tag)
{
	Job *job;

	if (context == NULL)
		context = msgtrace_detail_reader_context(reader);
	job = MemoryContextAllocZero(context, sizeof(Job));
	job->context = context;
	job->tag = tag;
	job->delivery = *delivery;
	job->delivery.id = MemoryContextStrdup(context, delivery->id);
	job->delivery.recipient_address = MemoryContextStrdup(context, delivery->recipient_address);
	if (delivery->located)
		job->delivery.sender_address = MemoryContextStrdup(context, delivery->sender_address);
	(void) msgtrace_row_read_id(delivery->id, &job->id);
	if (reader->last)
		reader->last->next = job;
	else
		reader->first = job;
	reader->last = job;
	reader->backlog++;
	reader->counts.complete = false;
}

int
msgtrace_detail_reader_backlog(const MsgTraceDetailReader *reader)
{
	return reader->backlog;
}

static void
forget_first(MsgTraceDetailReader *reader)
{
	Job *job = reader->first;

	reader->first = job->next;
	if (reader->first == NULL)
		reader->last = NULL;
	reader->backlog--;
	MemoryContextDelete(job->context);
}

/* ---------------------------------------------------------------- requests */

static void
get(MsgTraceDetailReader *reader, Job *job, char *url)
{
	job->url = url;
	if (reader->first_url == NULL)
		reader->first_url = MemoryContextStrdup(reader->context, url);
	if (job->state == LOCATING)
		msgtrace_session_get(reader->session, url);
	else
		msgtrace_session_get_detail(reader->session, url);
}

static void
ask(MsgTraceDetailReader *reader, Job *job)
{
	const MsgTraceDetailConfig *config = reader->config;
	TimestampTz now = msgtrace_session_now(reader->session);
	MemoryContext before = MemoryContextSwitchTo(job->context);

	if (msgtrace_detail_needs_row(config->list) && !job->delivery.located)
	{
		job->state = LOCATING;
		get(reader, job,
			msgtrace_detail_row_url(config->list, config->session->report_url, &job->delivery,
									now));
	}
	else
	{
		job->state = ASKING;
		get(reader, job,
			msgtrace_detail_url(config->list, config->session->report_url, &job->delivery, now));
	}
	MemoryContextSwitchTo(before);
}

/* There may be more pages, though nobody has seen them. */
static void
follow_link(MsgTraceDetailReader *reader, Job *job, const char *sent)
{
	const MsgTraceDetailConfig *config = reader->config;
	MemoryContext before = MemoryContextSwitchTo(job->context);
	char *link = config->list->resolve_link(config->session->report_url, sent);

	MemoryContextSwitchTo(before);
	if (!msgtrace_http_same_origin(link, config->session->report_url))
	{
		reader->status->words = msgtrace_status_keep_url(reader->status, link);
		fail(reader, MSGTRACE_FOREIGN_LINK);
	}
	else if (strcmp(link, job->url) == 0 || job->page_count >= MAX_PAGES)
		fail(reader, MSGTRACE_BAD_LINK);
	else
		get(reader, job, link);
}

/* ----------------------------------------------------------------- answers */

/* False when the scan ends with them. */
static bool
take_bad_rows(MsgTraceDetailReader *reader, const MsgTracePage *page,
			  const MsgTraceDialect *dialect)
{
	static const MsgTraceSlice everything = {DT_NOBEGIN, DT_NOEND};
	MsgTraceFault fault = msgtrace_rejects_take(&reader->rejects, page->bad_rows, page->bad_count,
												&everything, dialect, reader->config->reject,
												reader->status);

	reader->counts.rejected = reader->rejects.count;
	if (fault != MSGTRACE_OK)
		fail(reader, fault);
	return fault == MSGTRACE_OK;
}

/* The page of this answer; NULL when the scan ends with it. */
static ReadPage *
read_page(MsgTraceDetailReader *reader, Job *job, const MsgTracePageReader *how)
{
	const MsgTraceHttpReply *reply = msgtrace_session_reply(reader->session);
	ReadPage *read = MemoryContextAllocZero(job->context, sizeof(ReadPage));

	if (!msgtrace_page_read(&read->page, how, unconstify(char *, reply->body), reply->length,
							job->context, reader->status))
	{
		fail(reader, reader->status->fault);
		return NULL;
	}
	if (!take_bad_rows(reader, &read->page, how->dialect))
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
	Job *job = arg;
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
take_row(MsgTraceDetailReader *reader, Job *job)
{
	MsgTracePageReader how = {.dialect = reader->config->list, .build = note_row, .arg = job};
	ReadPage *read = read_page(reader, job, &how);

	if (read == NULL)
		return;
	msgtrace_session_count_page(reader->session, 0);
	if (job->delivery.located)
	{
		job->page_count = 0;
		ask(reader, job);
	}
	else if (read->page.next_link)
		follow_link(reader, job, read->page.next_link);
	else
		job->state = READ; /* the service does not hold it */
}

static void
take_events(MsgTraceDetailReader *reader, Job *job)
{
	MsgTracePageReader how = *reader->config->reader;
	ReadPage *read;

	how.delivery = &job->delivery;
	read = read_page(reader, job, &how);
	if (read == NULL)
		return;
	if (job->last_page)
		job->last_page->next = read;
	else
		job->pages = read;
	job->last_page = read;
	reader->counts.received += read->page.count;
	reader->counts.delivered += read->page.count;
	msgtrace_session_count_page(reader->session, read->page.count);
	if (read->page.next_link)
		follow_link(reader, job, read->page.next_link);
	else
		job->state = READ;
}

/*
 * A delivery that the service does not know has no events; but only the service
 * itself says so, with an error of its own, not whoever else is at that address.
 */
static void
take_refusal(MsgTraceDetailReader *reader, Job *job, int http_status)
{
	MsgTraceStatus *status = reader->status;

	msgtrace_session_note_refusal(reader->session);
	if (http_status == 404 && job->page_count == 0 && status->code)
	{
		status->http_status = 0;
		status->code = status->words = NULL;
		job->state = READ;
	}
	else
		fail(reader, MSGTRACE_REFUSED);
}

static void
take_reply(MsgTraceDetailReader *reader)
{
	Job *job = reader->at_hand;
	int http_status = msgtrace_session_reply(reader->session)->http_status;

	if (http_status != 200)
		take_refusal(reader, job, http_status);
	else if (job->state == LOCATING)
		take_row(reader, job);
	else
		take_events(reader, job);
	if (job->state == READ)
		reader->at_hand = NULL;
}

/* ------------------------------------------------------------- the machine */

/* The next delivery that nobody has asked for; NULL when enough are ahead of the reader. */
static Job *
next_to_ask(const MsgTraceDetailReader *reader)
{
	Job *job = reader->first;

	for (int ahead = 0; job && ahead < reader->config->concurrency; ahead++)
	{
		if (job->state == QUEUED)
			return job;
		job = job->next;
	}
	return NULL;
}

static void
open_session(MsgTraceDetailReader *reader)
{
	reader->session = msgtrace_session_open(reader->context, reader->config->session,
											reader->status);
	if (reader->session == NULL)
		fail(reader, MSGTRACE_NO_CLIENT);
	else
		msgtrace_session_sign_in(reader->session);
}

/* One step; false when there is nothing to do but wait or hand out rows. */
static bool
step(MsgTraceDetailReader *reader)
{
	if (reader->session == NULL)
	{
		open_session(reader);
		return !reader->failed;
	}
	if (reader->signed_in && reader->at_hand == NULL)
	{
		reader->at_hand = next_to_ask(reader);
		if (reader->at_hand == NULL)
			return false;
		reader->counts.slices++;
		ask(reader, reader->at_hand);
	}
	switch (msgtrace_session_poll(reader->session))
	{
		case MSGTRACE_PENDING:
			return false;
		case MSGTRACE_FAILED:
			fail(reader, reader->status->fault);
			return false;
		case MSGTRACE_DONE:
			break;
	}
	if (reader->signed_in)
		take_reply(reader);
	reader->signed_in = true;
	return !reader->failed;
}

/* The next row of the delivery at the front, as far as they have come. */
static const MsgTraceRow *
next_row(Job *job)
{
	while (job->pages && job->next_row == job->pages->page.count)
	{
		job->pages = job->pages->next;
		job->next_row = 0;
	}
	return job->pages ? &job->pages->page.rows[job->next_row++] : NULL;
}

static MsgTracePagerResult
advance(MsgTraceDetailReader *reader, const MsgTraceRow **row, void **tag)
{
	while (reader->first)
	{
		Job *job = reader->first;

		while (!reader->failed && step(reader))
			;
		if (reader->failed)
			return MSGTRACE_ERROR;
		if (job->state != READ)
			return MSGTRACE_WAIT;
		*tag = job->tag;
		if ((*row = next_row(job)) != NULL)
			return MSGTRACE_ROW;
		forget_first(reader);
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
msgtrace_detail_reader_wait(MsgTraceDetailReader *reader)
{
	msgtrace_session_wait(reader->session);
}

const MsgTracePagerCounts *
msgtrace_detail_reader_counts(const MsgTraceDetailReader *reader)
{
	return &reader->counts;
}

const MsgTraceSessionCounts *
msgtrace_detail_reader_session_counts(const MsgTraceDetailReader *reader)
{
	return reader->session ? msgtrace_session_counts(reader->session) : &reader->session_counts;
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
