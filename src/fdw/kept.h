/*-------------------------------------------------------------------------
 *
 * kept.h
 *		Rows that were read once, for when the same question comes again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_KEPT_H
#define MSGTRACE_KEPT_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "trace/query.h"
#include "trace/row.h"

typedef struct MsgTraceKept MsgTraceKept;

/* What is kept for a question. */
typedef enum MsgTraceKeptState
{
	MSGTRACE_KEPT_NOTHING,
	MSGTRACE_KEPT_AT_HAND, /* it is the one at hand: its rows so far */
	MSGTRACE_KEPT_PART,	   /* its first rows; the rest is to be read */
	MSGTRACE_KEPT_ALL
} MsgTraceKeptState;

/*
 * In the current context, which must live on while it is in use.  `received` is
 * the column that the rows are in order by, if there is an order.
 */
extern MsgTraceKept *msgtrace_kept_create(TupleDesc desc, MsgTraceOrder order, AttrNumber received);

/* From now on the question at hand is this one. */
extern MsgTraceKeptState msgtrace_kept_begin(MsgTraceKept *kept, const MsgTraceQuestion *question);

/* The question at hand once more: what was put for it comes first. */
extern void msgtrace_kept_rewind(MsgTraceKept *kept);

/* The next row that is kept for it, or NULL; valid until the next call. */
extern TupleTableSlot *msgtrace_kept_next(MsgTraceKept *kept);

/*
 * After the first rows of a question, read the rest: narrow what is to be asked
 * where there is an order.  Where there is none, rows that are kept will come again.
 */
extern void msgtrace_kept_narrow(const MsgTraceKept *kept, MsgTraceQuestion *question);
extern bool msgtrace_kept_has(const MsgTraceKept *kept, const MsgTraceRow *row);

/* `key` is the row that the slot was filled from, where there is no order. */
extern void msgtrace_kept_put(MsgTraceKept *kept, TupleTableSlot *slot, const MsgTraceRow *key);
extern void msgtrace_kept_complete(MsgTraceKept *kept);
extern bool msgtrace_kept_is_complete(const MsgTraceKept *kept);

/*
 * There is no question at hand any more.  With an order, the rows of whole slices
 * must have been put.
 */
extern void msgtrace_kept_leave(MsgTraceKept *kept);

/* Nothing is kept any more. */
extern void msgtrace_kept_end(MsgTraceKept *kept);

#endif /* MSGTRACE_KEPT_H */
