/*-------------------------------------------------------------------------
 *
 * wide.h
 *		All rows that the loops of a scan could ask for, read once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_WIDE_H
#define MSGTRACE_WIDE_H

#include "postgres.h"

#include "executor/executor.h"
#include "nodes/execnodes.h"

typedef struct MsgTraceWide MsgTraceWide;

/* An equality that the loops ask by: a side of the rows, one of the loop. */
typedef struct MsgTraceWideKey
{
	ExprState *of_row;
	ExprState *of_loop;
	Oid operator; /* hashable; the row's side is its left one */
	Oid collation;
} MsgTraceWideKey;

/*
 * In the current context, which must live on while it is in use.  `key` may be
 * NULL: then each loop is handed all rows.
 */
extern MsgTraceWide *msgtrace_wide_create(TupleDesc desc, const MsgTraceWideKey *key);

/* Take a row; in an expression context for the row. */
extern void msgtrace_wide_put(MsgTraceWide *wide, TupleTableSlot *slot, ExprContext *econtext);

/* Begin a loop by the values of the moment, or the same once more. */
extern void msgtrace_wide_begin(MsgTraceWide *wide, ExprContext *econtext);
extern void msgtrace_wide_rewind(MsgTraceWide *wide);

/*
 * The next of the loop's rows and some others, or NULL; in the order in which
 * they were put; valid until the next call.
 */
extern TupleTableSlot *msgtrace_wide_next(MsgTraceWide *wide);

extern void msgtrace_wide_end(MsgTraceWide *wide);

#endif /* MSGTRACE_WIDE_H */
