/*-------------------------------------------------------------------------
 *
 * detail_queue.h
 *		Deliveries whose details are to be read, and answers that are kept.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_QUEUE_H
#define MSGTRACE_DETAIL_QUEUE_H

#include "postgres.h"

#include "trace/detail.h"
#include "trace/page.h"

typedef enum MsgTraceDetailState
{
	MSGTRACE_DETAIL_QUEUED,
	MSGTRACE_DETAIL_LOCATING, /* its row of the list is asked for */
	MSGTRACE_DETAIL_ASKING,
	MSGTRACE_DETAIL_READ
} MsgTraceDetailState;

/* A page of events. */
typedef struct MsgTraceDetailPage
{
	MsgTracePage page;
	struct MsgTraceDetailPage *next;
} MsgTraceDetailPage;

/* One delivery. */
typedef struct MsgTraceDetailJob
{
	struct MsgTraceDetailJob *next; /* in the queue, or of those that are kept */
	MemoryContext context;			/* of all but the tag */
	MsgTraceDelivery delivery;
	pg_uuid_t id; /* of the same */
	MemoryContext tag_context;
	void *tag;
	MsgTraceDetailState state;
	char *url; /* being asked for */
	int page_count;
	MsgTraceDetailPage *pages;
	MsgTraceDetailPage *last_page;
	MsgTraceDetailPage *next_page; /* to be handed out */
	int next_row;				   /* of it */
	size_t size;				   /* bytes, once it is kept */
} MsgTraceDetailJob;

typedef struct MsgTraceDetailQueue
{
	MemoryContext context;
	MsgTraceDetailJob *first; /* the one whose rows are handed out */
	MsgTraceDetailJob *last;
	int length;
	MsgTraceDetailJob *kept; /* answers that were handed out, the last one first */
	int kept_count;
	size_t kept_size; /* bytes */
} MsgTraceDetailQueue;

extern void msgtrace_detail_queue_init(MsgTraceDetailQueue *queue, MemoryContext context);

/* One more, by the answer that was kept of it if there is one. */
extern void msgtrace_detail_queue_add(MsgTraceDetailQueue *queue, MemoryContext tag_context,
									  const MsgTraceDelivery *delivery, void *tag);

/* The first one is done with; keep its answer, if this memory has room for it. */
extern void msgtrace_detail_queue_end_first(MsgTraceDetailQueue *queue, size_t memory);

/* A page of its events has come. */
extern void msgtrace_detail_job_add_page(MsgTraceDetailJob *job, MsgTraceDetailPage *page);

/* The next of its rows that have come, or NULL. */
extern const MsgTraceRow *msgtrace_detail_job_next_row(MsgTraceDetailJob *job);

#endif /* MSGTRACE_DETAIL_QUEUE_H */
