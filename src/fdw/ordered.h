/*-------------------------------------------------------------------------
 *
 * ordered.h
 *		Rows of one slice after the other, each slice sorted by time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ORDERED_H
#define MSGTRACE_ORDERED_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "trace/query.h"

typedef struct MsgTraceOrdered MsgTraceOrdered;

/* In the current context, which must live on while it is in use. */
extern MsgTraceOrdered *msgtrace_ordered_create(TupleDesc desc, AttrNumber received,
												MsgTraceOrder order);

/* Take a row of the slice; sort what was taken (false: nothing); hand it out row by row. */
extern void msgtrace_ordered_put(MsgTraceOrdered *ordered, TupleTableSlot *slot);
extern bool msgtrace_ordered_sort(MsgTraceOrdered *ordered);

/* The next row of the sorted slice, or NULL; valid until the next call. */
extern TupleTableSlot *msgtrace_ordered_next(MsgTraceOrdered *ordered);

/* Forget all rows. */
extern void msgtrace_ordered_clear(MsgTraceOrdered *ordered);

#endif /* MSGTRACE_ORDERED_H */
