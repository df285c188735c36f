/*-------------------------------------------------------------------------
 *
 * bundle.c
 *		A slice being read: its strands, and the pages that wait their turn.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/bundle.h"

#include "utils/memutils.h"

/* The query within the slice; false when they have nothing in common. */
static bool
part_of(const MsgTraceQuery *query, const MsgTraceSlice *slice, MsgTraceSlice *part)
{
	part->from = Max(query->from, slice->from);
	part->to = Min(query->to, slice->to);
	return part->from < part->to;
}

MsgTraceBundle *
msgtrace_bundle_create(MemoryContext context, const MsgTraceSlice *slice,
					   const MsgTraceQuestion *question, const MsgTraceDialect *dialect,
					   const char *report_url, int first_page_size, MsgTraceKeyset *keyset)
{
	MemoryContext own = AllocSetContextCreate(context, "o365_msgtrace slice",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(own);
	MsgTraceBundle *bundle = palloc0(sizeof(MsgTraceBundle));

	bundle->context = own;
	bundle->slice = *slice;
	bundle->first_page_size = first_page_size;
	bundle->strands = palloc(question->count * sizeof(MsgTraceStrand));
	bundle->in_flight = palloc0(question->count * sizeof(bool));
	bundle->held = palloc0(question->count * sizeof(bool));
	bundle->keyset = keyset ? keyset : msgtrace_keyset_create();
	for (int i = 0; i < question->count; i++)
	{
		MsgTraceStrand *strand = &bundle->strands[bundle->strand_count];
		MsgTraceSlice part;

		if (!part_of(&question->queries[i], slice, &part))
			continue;
		msgtrace_strand_init(strand, own, dialect, report_url, &question->queries[i], &part,
							 question->page_size);
		if (first_page_size < question->page_size)
			msgtrace_strand_begin_anew(strand, first_page_size);
		bundle->strand_count++;
	}
	MemoryContextSwitchTo(before);
	return bundle;
}

void
msgtrace_bundle_free(MsgTraceBundle *bundle)
{
	MemoryContextDelete(bundle->context);
}

int
msgtrace_bundle_next_strand(const MsgTraceBundle *bundle)
{
	for (int i = 0; i < bundle->strand_count; i++)
	{
		if (bundle->strands[i].url && !bundle->in_flight[i] && !bundle->held[i])
			return i;
	}
	return -1;
}

bool
msgtrace_bundle_is_read(const MsgTraceBundle *bundle)
{
	for (int i = 0; i < bundle->strand_count; i++)
	{
		if (bundle->strands[i].url)
			return false;
	}
	return true;
}

MsgTraceReadPage *
msgtrace_bundle_new_page(const MsgTraceBundle *bundle)
{
	/* a row is many small pieces, which this kind of context does not round up */
	MemoryContext own = GenerationContextCreate(bundle->context, "o365_msgtrace page",
												ALLOCSET_DEFAULT_SIZES);
	MsgTraceReadPage *read = MemoryContextAllocZero(own, sizeof(MsgTraceReadPage));

	read->context = own;
	return read;
}

void
msgtrace_bundle_put(MsgTraceBundle *bundle, MsgTraceReadPage *read, const MsgTraceSlice *part)
{
	MsgTracePage *page = &read->page;

	page->count = msgtrace_keyset_keep_new(bundle->keyset, page->rows, page->count, part);
	bundle->rows += page->count;
	bundle->pages_read++;
	if (bundle->last)
		bundle->last->next = read;
	else
		bundle->first = read;
	bundle->last = read;
}

MsgTraceReadPage *
msgtrace_bundle_take(MsgTraceBundle *bundle)
{
	MsgTraceReadPage *read = bundle->first;

	if (read == NULL)
		return NULL;
	bundle->first = read->next;
	if (bundle->first == NULL)
		bundle->last = NULL;
	bundle->pages_handed++;
	return read;
}

void
msgtrace_bundle_free_page(MsgTraceReadPage *read)
{
	MemoryContextDelete(read->context);
}

bool
msgtrace_bundle_is_held(const MsgTraceBundle *bundle)
{
	for (int i = 0; i < bundle->strand_count; i++)
	{
		if (bundle->held[i])
			return true;
	}
	return false;
}

bool
msgtrace_bundle_release(MsgTraceBundle *bundle)
{
	bool any = false;

	for (int i = 0; i < bundle->strand_count; i++)
	{
		if (!bundle->held[i])
			continue;
		bundle->held[i] = false;
		msgtrace_strand_begin_anew(&bundle->strands[i], bundle->strands[i].full_page_size);
		any = true;
	}
	return any;
}
