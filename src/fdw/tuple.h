/*-------------------------------------------------------------------------
 *
 * tuple.h
 *		Records into the Datums of a foreign table's columns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_TUPLE_H
#define MSGTRACE_TUPLE_H

#include "postgres.h"

#include "fdw/options.h"
#include "fdw/relation.h"
#include "nodes/bitmapset.h"
#include "trace/page.h"

typedef struct MsgTraceTupleMaker MsgTraceTupleMaker;

/*
 * In the current context.  `needed` is the list of column numbers to be filled;
 * the others are NULL.
 */
extern MsgTraceTupleMaker *msgtrace_tuple_maker(Relation relation, List *needed,
												const MsgTraceSettings *settings);

/* The page reader that makes such tuples. */
extern const MsgTracePageReader *msgtrace_tuple_reader(const MsgTraceTupleMaker *maker);

#endif /* MSGTRACE_TUPLE_H */
