/*-------------------------------------------------------------------------
 *
 * shape.h
 *		How a scan is to be read: in which order, and whether to its end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SHAPE_H
#define MSGTRACE_SHAPE_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pathnodes.h"
#include "trace/query.h"

typedef struct MsgTraceShape
{
	MsgTraceOrder order;
	AttrNumber received; /* the column that it is sorted by; 0 without an order */
	bool may_stop;		 /* the query may not want all rows */
	bool loops;			 /* it is read again, by other values of the query's */
	bool keeps_strays;	 /* what the service sends is taken, wherever in time it is from */
	double wanted;		 /* rows of the service's after which it probably stops; 0 = all */

	/* what is expected of one loop that is read to its end, or to `wanted` */
	int queries;  /* that the question consists of */
	bool is_wide; /* it has several values checked here, since that costs less */
	double requests;
	double slices;
	double rows; /* of the service's answers */
} MsgTraceShape;

/* As a list that a plan can carry, and back. */
extern List *msgtrace_shape_to_list(const MsgTraceShape *shape);
extern void msgtrace_shape_from_list(MsgTraceShape *shape, List *list);

/*
 * What the whole query has to say to it, but for `loops`, which is the caller's.  Of the rows that the service is
 * expected to send the path hands out path->rows.
 */
extern void msgtrace_shape_finish(MsgTraceShape *shape, PlannerInfo *root, const Path *path,
								  int page_size);

#endif /* MSGTRACE_SHAPE_H */
