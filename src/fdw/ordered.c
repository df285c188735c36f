/*-------------------------------------------------------------------------
 *
 * ordered.c
 *		Rows of one slice after the other, each slice sorted by time.
 *
 * That the service sends the newest first is not documented, and nothing here
 * relies on it.  But slices are disjoint in time: taken in order, each read whole
 * and sorted, their rows are in order, too.  Within work_mem, else on disk.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/ordered.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

struct MsgTraceOrdered
{
	MemoryContext context;
	TupleDesc desc;
	AttrNumber received;
	Oid operator;
	Tuplesortstate *sort; /* NULL between two slices */
	bool is_sorted;
	TupleTableSlot *slot;
};

MsgTraceOrdered *
msgtrace_ordered_create(TupleDesc desc, AttrNumber received, MsgTraceOrder order)
{
	MsgTraceOrdered *ordered = palloc0(sizeof(MsgTraceOrdered));
	TypeCacheEntry *type = lookup_type_cache(TIMESTAMPTZOID, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);

	ordered->context = CurrentMemoryContext;
	ordered->desc = desc;
	ordered->received = received;
	ordered->operator= order == MSGTRACE_NEWEST_FIRST ? type->gt_opr : type->lt_opr;
	ordered->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	return ordered;
}

void
msgtrace_ordered_put(MsgTraceOrdered *ordered, TupleTableSlot *slot)
{
	if (ordered->sort == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(ordered->context);
		Oid collation = InvalidOid;
		bool nulls_first = false; /* a row without a time is none */

		ordered->sort = tuplesort_begin_heap(ordered->desc, 1, &ordered->received,
											 &ordered->operator, & collation, &nulls_first,
											 work_mem, NULL, TUPLESORT_NONE);
		ordered->is_sorted = false;
		MemoryContextSwitchTo(before);
	}
	tuplesort_puttupleslot(ordered->sort, slot);
}

bool
msgtrace_ordered_sort(MsgTraceOrdered *ordered)
{
	if (ordered->sort == NULL)
		return false;
	tuplesort_performsort(ordered->sort);
	ordered->is_sorted = true;
	return true;
}

void
msgtrace_ordered_clear(MsgTraceOrdered *ordered)
{
	ExecClearTuple(ordered->slot);
	if (ordered->sort)
		tuplesort_end(ordered->sort);
	ordered->sort = NULL;
}

TupleTableSlot *
msgtrace_ordered_next(MsgTraceOrdered *ordered)
{
	if (ordered->sort == NULL || !ordered->is_sorted)
		return NULL;
	if (tuplesort_gettupleslot(ordered->sort, true, false, ordered->slot, NULL))
		return ordered->slot;
	msgtrace_ordered_clear(ordered);
	return NULL;
}
