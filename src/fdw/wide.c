/*-------------------------------------------------------------------------
 *
 * wide.c
 *		All rows that the loops of a scan could ask for, read once.
 *
 * When a scan is read for each row of another relation, and these are more than
 * the planner thought, there comes a point where one reading of all is cheaper.
 * Its rows are kept by the hash of what the loops compare, so that a loop looks
 * through few of them; the executor checks each.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/wide.h"

#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

/* A power of two. */
#define PARTS 128

struct MsgTraceWide
{
	MemoryContext context;
	MsgTraceWideKey key;
	bool has_key;
	FmgrInfo hash_of_row;
	FmgrInfo hash_of_loop;
	Tuplestorestate *parts[PARTS]; /* NULL while empty */
	Tuplestorestate *current;	   /* the loop's, or NULL */
	TupleTableSlot *slot;
};

MsgTraceWide *
msgtrace_wide_create(TupleDesc desc, const MsgTraceWideKey *key)
{
	MsgTraceWide *wide = palloc0(sizeof(MsgTraceWide));
	RegProcedure of_row;
	RegProcedure of_loop;

	wide->context = CurrentMemoryContext;
	wide->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	if (key && get_op_hash_functions(key->operator, & of_row, &of_loop))
	{
		wide->has_key = true;
		wide->key = *key;
		fmgr_info(of_row, &wide->hash_of_row);
		fmgr_info(of_loop, &wide->hash_of_loop);
	}
	return wide;
}

/* The part in which rows of this value are; NULL when there are none, as for NULL. */
static Tuplestorestate **
part_of(MsgTraceWide *wide, ExprState *value, FmgrInfo *hash, ExprContext *econtext)
{
	bool is_null;
	Datum datum;

	if (!wide->has_key)
		return &wide->parts[0];
	datum = ExecEvalExprSwitchContext(value, econtext, &is_null);
	if (is_null)
		return NULL;
	return &wide->parts[DatumGetUInt32(FunctionCall1Coll(hash, wide->key.collation, datum)) &
						(PARTS - 1)];
}

void
msgtrace_wide_put(MsgTraceWide *wide, TupleTableSlot *slot, ExprContext *econtext)
{
	Tuplestorestate **part;

	econtext->ecxt_scantuple = slot;
	part = part_of(wide, wide->key.of_row, &wide->hash_of_row, econtext);
	if (part == NULL)
		return;
	if (*part == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(wide->context);

		*part = tuplestore_begin_heap(false, false,
									  wide->has_key ? Max(work_mem / PARTS, 64) : work_mem);
		tuplestore_set_eflags(*part, EXEC_FLAG_REWIND);
		MemoryContextSwitchTo(before);
	}
	tuplestore_puttupleslot(*part, slot);
}

void
msgtrace_wide_rewind(MsgTraceWide *wide)
{
	ExecClearTuple(wide->slot);
	if (wide->current)
		tuplestore_rescan(wide->current);
}

void
msgtrace_wide_begin(MsgTraceWide *wide, ExprContext *econtext)
{
	Tuplestorestate **part = part_of(wide, wide->key.of_loop, &wide->hash_of_loop, econtext);

	wide->current = part ? *part : NULL;
	msgtrace_wide_rewind(wide);
}

/* The slot owns a row that comes from disk, so the row must live as long as it. */
TupleTableSlot *
msgtrace_wide_next(MsgTraceWide *wide)
{
	MemoryContext before = MemoryContextSwitchTo(wide->context);
	bool found = wide->current && tuplestore_gettupleslot(wide->current, true, false, wide->slot);

	MemoryContextSwitchTo(before);
	return found ? wide->slot : NULL;
}

void
msgtrace_wide_end(MsgTraceWide *wide)
{
	ExecClearTuple(wide->slot);
	for (int i = 0; i < PARTS; i++)
	{
		if (wide->parts[i])
			tuplestore_end(wide->parts[i]);
		wide->parts[i] = NULL;
	}
	wide->current = NULL;
}
