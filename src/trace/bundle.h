/*-------------------------------------------------------------------------
 *
 * bundle.h
 *		A slice being read: its strands, and the pages that wait their turn.
 *
 * All queries of a question that overlap the slice are read side by side; each
 * key is handed out once, whichever query brought it first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_BUNDLE_H
#define MSGTRACE_BUNDLE_H

#include "postgres.h"

#include "trace/keyset.h"
#include "trace/strand.h"

/* A page that was read, and that nobody has had yet. */
typedef struct MsgTraceReadPage
{
	MemoryContext context; /* its rows', and its own */
	MsgTracePage page;
	struct MsgTraceReadPage *next;
} MsgTraceReadPage;

typedef struct MsgTraceBundle
{
	struct MsgTraceBundle *next; /* the slice that is handed out after this one */
	MemoryContext context;
	MsgTraceSlice slice;
	MsgTraceKeyset *keyset;
	MsgTraceStrand *strands;
	bool *in_flight; /* by strand: its next page is being fetched */
	bool *held;		 /* by strand: not before the reader wants more */
	int strand_count;
	int first_page_size; /* of each strand, else as the question says */
	int64 rows;			 /* new ones so far */
	int fetching;		 /* pages in flight */
	int pages_read;
	int pages_handed; /* out */
	MsgTraceReadPage *first;
	MsgTraceReadPage *last;
	MsgTraceStatus *failure; /* how it ended, to be told at its turn; or NULL */
} MsgTraceBundle;

/* In a context of its own below `context`, with a keyset of its own unless one is given. */
extern MsgTraceBundle *msgtrace_bundle_create(MemoryContext context, const MsgTraceSlice *slice,
											  const MsgTraceQuestion *question,
											  const MsgTraceDialect *dialect,
											  const char *report_url, int first_page_size,
											  MsgTraceKeyset *keyset);
extern void msgtrace_bundle_free(MsgTraceBundle *bundle);

/* A strand whose next page can be asked for now; -1 = none. */
extern int msgtrace_bundle_next_strand(const MsgTraceBundle *bundle);

/* Have all strands come to their end? */
extern bool msgtrace_bundle_is_read(const MsgTraceBundle *bundle);

/* A page to read an answer into. */
extern MsgTraceReadPage *msgtrace_bundle_new_page(const MsgTraceBundle *bundle);

/* Keep it, with the rows that are of this part (NULL: all) and new, until its turn comes. */
extern void msgtrace_bundle_put(MsgTraceBundle *bundle, MsgTraceReadPage *read,
								const MsgTraceSlice *part);

/* Take the next page, or NULL; free it when its rows were handed out. */
extern MsgTraceReadPage *msgtrace_bundle_take(MsgTraceBundle *bundle);
extern void msgtrace_bundle_free_page(MsgTraceReadPage *read);

/* Is there a strand that is held? */
extern bool msgtrace_bundle_is_held(const MsgTraceBundle *bundle);

/* The reader wants more: strands that were held go on, in pages of full size.  True if any. */
extern bool msgtrace_bundle_release(MsgTraceBundle *bundle);

#endif /* MSGTRACE_BUNDLE_H */
