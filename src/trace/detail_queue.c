/*-------------------------------------------------------------------------
 *
 * detail_queue.c
 *		Deliveries whose details are to be read, and answers that are kept.
 *
 * Who reads in loops may want an answer again.  Those that were handed out are
 * kept as far as there is memory for them; those unused for longest go first.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/detail_queue.h"

#include "utils/memutils.h"

/* They are looked through one by one. */
#define MAX_KEPT 1000

void
msgtrace_detail_queue_init(MsgTraceDetailQueue *queue, MemoryContext context)
{
	memset(queue, 0, sizeof(*queue));
	queue->context = context;
}

static MsgTraceDetailJob *
new_job(MsgTraceDetailQueue *queue, const MsgTraceDelivery *delivery)
{
	MemoryContext context = AllocSetContextCreate(queue->context, "o365_msgtrace delivery",
												  ALLOCSET_SMALL_SIZES);
	MsgTraceDetailJob *job = MemoryContextAllocZero(context, sizeof(MsgTraceDetailJob));

	job->context = context;
	job->delivery = *delivery;
	job->delivery.id = MemoryContextStrdup(context, delivery->id);
	job->delivery.recipient_address = MemoryContextStrdup(context, delivery->recipient_address);
	if (delivery->located)
		job->delivery.sender_address = MemoryContextStrdup(context, delivery->sender_address);
	(void) msgtrace_row_read_id(delivery->id, &job->id);
	return job;
}

/* What was kept of this delivery, which is not kept any more; or NULL. */
static MsgTraceDetailJob *
take_kept(MsgTraceDetailQueue *queue, const MsgTraceDelivery *delivery)
{
	for (MsgTraceDetailJob **link = &queue->kept; *link; link = &(*link)->next)
	{
		MsgTraceDetailJob *job = *link;

		if (strcmp(job->delivery.id, delivery->id) != 0 ||
			strcmp(job->delivery.recipient_address, delivery->recipient_address) != 0)
			continue;
		*link = job->next;
		queue->kept_count--;
		queue->kept_size -= job->size;
		job->next = NULL;
		job->next_page = job->pages;
		job->next_row = 0;
		return job;
	}
	return NULL;
}

void
msgtrace_detail_queue_add(MsgTraceDetailQueue *queue, MemoryContext tag_context,
						  const MsgTraceDelivery *delivery, void *tag)
{
	MsgTraceDetailJob *job = take_kept(queue, delivery);

	if (job == NULL)
		job = new_job(queue, delivery);
	job->tag_context = tag_context;
	job->tag = tag;
	if (queue->last)
		queue->last->next = job;
	else
		queue->first = job;
	queue->last = job;
	queue->length++;
}

static void
drop_last_kept(MsgTraceDetailQueue *queue)
{
	MsgTraceDetailJob **link = &queue->kept;

	while ((*link)->next)
		link = &(*link)->next;
	queue->kept_count--;
	queue->kept_size -= (*link)->size;
	MemoryContextDelete((*link)->context);
	*link = NULL;
}

static void
keep(MsgTraceDetailQueue *queue, MsgTraceDetailJob *job, size_t memory)
{
	job->size = MemoryContextMemAllocated(job->context, true);
	job->next = queue->kept;
	queue->kept = job;
	queue->kept_count++;
	queue->kept_size += job->size;
	while (queue->kept && (queue->kept_count > MAX_KEPT || queue->kept_size > memory))
		drop_last_kept(queue);
}

void
msgtrace_detail_queue_end_first(MsgTraceDetailQueue *queue, size_t memory)
{
	MsgTraceDetailJob *job = queue->first;

	queue->first = job->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->length--;
	if (job->tag_context)
		MemoryContextDelete(job->tag_context);
	if (job->state == MSGTRACE_DETAIL_READ && memory > 0)
		keep(queue, job, memory);
	else
		MemoryContextDelete(job->context);
}

void
msgtrace_detail_job_add_page(MsgTraceDetailJob *job, MsgTraceDetailPage *page)
{
	if (job->last_page)
		job->last_page->next = page;
	else
		job->pages = job->next_page = page;
	job->last_page = page;
}

const MsgTraceRow *
msgtrace_detail_job_next_row(MsgTraceDetailJob *job)
{
	while (job->next_page && job->next_row == job->next_page->page.count)
	{
		job->next_page = job->next_page->next;
		job->next_row = 0;
	}
	return job->next_page ? &job->next_page->page.rows[job->next_row++] : NULL;
}
