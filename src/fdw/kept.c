/*-------------------------------------------------------------------------
 *
 * kept.c
 *		Rows that were read once, for when the same question comes again.
 *
 * The server's Memoize spares a join the same question twice, but not a SubPlan,
 * nor an inner side that is read anew with nothing changed.  Of a question that was
 * not read to its end the first rows are kept; most often they are enough again,
 * as for EXISTS.  What is kept is bounded: the questions by their number, of which the one unused for longest
 * goes; their rows in memory, beyond which they are on disk.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/kept.h"

#include "executor/executor.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define MAX_QUESTIONS 100

/* A loop that ended early has taken few rows: by their keys the rest can be told. */
#define MAX_KEYS 64

/* A scan that is read anew with nothing changed has one; others have many. */
#define MEMORY_OF_THE_FIRST work_mem
#define MEMORY_OF_OTHERS Max(work_mem / 64, 64)

typedef struct Answer
{
	dlist_node node;
	MemoryContext context; /* all of it */
	char *question;
	Tuplestorestate *rows;
	int64 count;
	bool complete;
	bool is_resumed;			/* the rest is being read */
	TimestampTz last;			/* of the rows, where they are in order */
	MsgTraceRow keys[MAX_KEYS]; /* of the first rows, where they are not */
} Answer;

struct MsgTraceKept
{
	MemoryContext context;
	MsgTraceOrder order;
	AttrNumber received;
	dlist_head answers; /* the one used last comes first */
	int count;
	Answer *current;
	TupleTableSlot *slot;
};

MsgTraceKept *
msgtrace_kept_create(TupleDesc desc, MsgTraceOrder order, AttrNumber received)
{
	MsgTraceKept *kept = palloc0(sizeof(MsgTraceKept));

	kept->context = CurrentMemoryContext;
	kept->order = order;
	kept->received = received;
	dlist_init(&kept->answers);
	kept->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	return kept;
}

/* ------------------------------------------------------------- questions */

static void
append_value(StringInfo text, int which, const char *value)
{
	appendStringInfo(text, "%d:%zu:%s;", which, strlen(value), value);
}

/* Two questions are the same when this is: each value with its length. */
static char *
text_of(const MsgTraceQuestion *question)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "%d;", question->order);
	for (int i = 0; i < question->count; i++)
	{
		const MsgTraceQuery *query = &question->queries[i];

		appendStringInfo(&text, INT64_FORMAT ".." INT64_FORMAT ";", query->from, query->to);
		for (int field = 0; field < MSGTRACE_FIELDS; field++)
		{
			if (query->equals[field])
				append_value(&text, field, query->equals[field]);
		}
		if (query->subject_test != MSGTRACE_SUBJECT_ANY)
			append_value(&text, MSGTRACE_FIELDS + query->subject_test, query->subject);
		appendStringInfoChar(&text, '|');
	}
	return text.data;
}

/* --------------------------------------------------------------- answers */

static Answer *
find(MsgTraceKept *kept, const char *question)
{
	dlist_iter iter;

	dlist_foreach(iter, &kept->answers)
	{
		Answer *answer = dlist_container(Answer, node, iter.cur);

		if (strcmp(answer->question, question) == 0)
			return answer;
	}
	return NULL;
}

static void
forget(MsgTraceKept *kept, Answer *answer)
{
	dlist_delete(&answer->node);
	kept->count--;
	tuplestore_end(answer->rows);
	MemoryContextDelete(answer->context);
}

static Answer *
add(MsgTraceKept *kept, const char *question)
{
	MemoryContext context = AllocSetContextCreate(kept->context, "o365_msgtrace kept rows",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	Answer *answer = palloc0(sizeof(Answer));

	answer->context = context;
	answer->question = pstrdup(question);
	answer->rows = tuplestore_begin_heap(false, false,
										 kept->count == 0 ? MEMORY_OF_THE_FIRST : MEMORY_OF_OTHERS);
	tuplestore_set_eflags(answer->rows, EXEC_FLAG_REWIND);
	dlist_push_head(&kept->answers, &answer->node);
	kept->count++;
	MemoryContextSwitchTo(before);
	return answer;
}

/* Of the first rows the rest can be told: by the last one's time, or by their keys. */
static bool
is_resumable(const MsgTraceKept *kept, const Answer *answer)
{
	if (answer->count == 0)
		return false;
	return kept->order != MSGTRACE_ANY_ORDER || answer->count <= MAX_KEYS;
}

static MsgTraceKeptState
state_of(const MsgTraceKept *kept, const Answer *answer)
{
	if (answer->complete)
		return MSGTRACE_KEPT_ALL;
	return answer == kept->current ? MSGTRACE_KEPT_AT_HAND : MSGTRACE_KEPT_PART;
}

MsgTraceKeptState
msgtrace_kept_begin(MsgTraceKept *kept, const MsgTraceQuestion *question)
{
	char *text = text_of(question);
	Answer *answer = find(kept, text);
	MsgTraceKeptState state = answer ? state_of(kept, answer) : MSGTRACE_KEPT_NOTHING;

	if (answer != kept->current)
		msgtrace_kept_leave(kept);
	if (answer == NULL)
	{
		if (kept->count == MAX_QUESTIONS)
			forget(kept, dlist_tail_element(Answer, node, &kept->answers));
		answer = add(kept, text);
	}
	kept->current = answer;
	dlist_move_head(&kept->answers, &answer->node);
	msgtrace_kept_rewind(kept);
	pfree(text);
	return state;
}

void
msgtrace_kept_rewind(MsgTraceKept *kept)
{
	ExecClearTuple(kept->slot);
	tuplestore_rescan(kept->current->rows);
}

/* The slot owns a row that comes from disk, so the row must live as long as it. */
TupleTableSlot *
msgtrace_kept_next(MsgTraceKept *kept)
{
	MemoryContext before = MemoryContextSwitchTo(kept->context);
	bool found = tuplestore_gettupleslot(kept->current->rows, true, false, kept->slot);

	MemoryContextSwitchTo(before);
	return found ? kept->slot : NULL;
}

/* Slices are disjoint in time, and whole ones are kept: go on beyond the last row. */
void
msgtrace_kept_narrow(const MsgTraceKept *kept, MsgTraceQuestion *question)
{
	Answer *answer = kept->current;

	int count = 0;

	answer->is_resumed = true;
	for (int i = 0; i < question->count; i++)
	{
		MsgTraceQuery *query = &question->queries[i];

		if (kept->order == MSGTRACE_NEWEST_FIRST)
			msgtrace_query_to(query, answer->last);
		else if (kept->order == MSGTRACE_OLDEST_FIRST)
			msgtrace_query_from(query, answer->last + 1);
		if (!msgtrace_query_is_empty(query))
			question->queries[count++] = *query;
	}
	question->count = count;
}

bool
msgtrace_kept_has(const MsgTraceKept *kept, const MsgTraceRow *row)
{
	const Answer *answer = kept->current;

	if (!answer->is_resumed || kept->order != MSGTRACE_ANY_ORDER)
		return false;
	for (int i = 0; i < answer->count && i < MAX_KEYS; i++)
	{
		if (memcmp(&answer->keys[i].id, &row->id, sizeof(row->id)) == 0 &&
			strcmp(answer->keys[i].recipient, row->recipient) == 0)
			return true;
	}
	return false;
}

static void
note_key(Answer *answer, const MsgTraceRow *row)
{
	MsgTraceRow *key = &answer->keys[answer->count];

	key->id = row->id;
	key->recipient = MemoryContextStrdup(answer->context, row->recipient);
}

void
msgtrace_kept_put(MsgTraceKept *kept, TupleTableSlot *slot, const MsgTraceRow *key)
{
	Answer *answer = kept->current;
	bool is_null;

	if (kept->order != MSGTRACE_ANY_ORDER)
		answer->last = DatumGetTimestampTz(slot_getattr(slot, kept->received, &is_null));
	else if (answer->count < MAX_KEYS)
		note_key(answer, key);
	tuplestore_puttupleslot(answer->rows, slot);
	answer->count++;
}

void
msgtrace_kept_complete(MsgTraceKept *kept)
{
	kept->current->complete = true;
}

bool
msgtrace_kept_is_complete(const MsgTraceKept *kept)
{
	return kept->current->complete;
}

void
msgtrace_kept_leave(MsgTraceKept *kept)
{
	ExecClearTuple(kept->slot);
	if (kept->current && !kept->current->complete && !is_resumable(kept, kept->current))
		forget(kept, kept->current);
	kept->current = NULL;
}

void
msgtrace_kept_end(MsgTraceKept *kept)
{
	msgtrace_kept_leave(kept);
	while (!dlist_is_empty(&kept->answers))
		forget(kept, dlist_head_element(Answer, node, &kept->answers));
}
