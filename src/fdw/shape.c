/*-------------------------------------------------------------------------
 *
 * shape.c
 *		How a scan is to be read: in which order, and whether to its end.
 *
 * A reader that may stop early is served with little read ahead of it; one that
 * probably stops after a few rows, with small pages first.  Nothing goes wrong
 * when it turns out otherwise: then it takes a request more.  What is read in a
 * loop may be wanted again, so its pages are full.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/shape.h"

#include <math.h>

#include "optimizer/paths.h"

/* An order on top of ours reads on to the end of a group of equals. */
#define ROWS_OF_A_GROUP 10

/* The pager's, when it reads to the end. */
#define PAGES_OF_A_SLICE 10.0

List *
msgtrace_shape_to_list(const MsgTraceShape *shape)
{
	List *list = list_make4(makeInteger(shape->order), makeInteger(shape->received),
							makeInteger(shape->may_stop), makeInteger(shape->loops));

	list = lappend(list, makeFloat(psprintf("%.0f", shape->wanted)));
	list = lappend(list, makeFloat(psprintf("%.0f", shape->requests)));
	list = lappend(list, makeFloat(psprintf("%.0f", shape->slices)));
	list = lappend(list, makeFloat(psprintf("%.0f", shape->rows)));
	list = lappend(list, makeInteger(shape->queries));
	list = lappend(list, makeInteger(shape->is_wide));
	return lappend(list, makeInteger(shape->keeps_strays));
}

void
msgtrace_shape_from_list(MsgTraceShape *shape, List *list)
{
	shape->order = intVal(list_nth(list, 0));
	shape->received = (AttrNumber) intVal(list_nth(list, 1));
	shape->may_stop = intVal(list_nth(list, 2));
	shape->loops = intVal(list_nth(list, 3));
	shape->wanted = floatVal(list_nth(list, 4));
	shape->requests = floatVal(list_nth(list, 5));
	shape->slices = floatVal(list_nth(list, 6));
	shape->rows = floatVal(list_nth(list, 7));
	shape->queries = intVal(list_nth(list, 8));
	shape->is_wide = intVal(list_nth(list, 9));
	shape->keeps_strays = intVal(list_nth(list, 10));
}

/* Does something on top of the scans want all rows before it gives one? */
static bool
all_is_read_first(const PlannerInfo *root, const Path *path)
{
	const Query *query = root->parse;

	return query->hasAggs || query->groupClause || query->groupingSets || query->havingQual ||
		   query->hasWindowFuncs || query->distinctClause || query->setOperations ||
		   !pathkeys_contained_in(root->sort_pathkeys, path->pathkeys);
}

static double
rows_of_the_query(const PlannerInfo *root)
{
	if (root->limit_tuples > 0)
		return root->limit_tuples;
	return root->tuple_fraction >= 1 ? root->tuple_fraction : 0;
}

/*
 * For so many rows of the scan the service has to send this many.  When that may
 * be all that it has, a page of full size brings it at once.
 */
static double
rows_of_the_service(const MsgTraceShape *shape, const Path *path, double rows)
{
	double wanted = ceil(rows * Max(shape->rows / Max(path->rows, 1), 1));

	return wanted < shape->rows ? wanted : 0;
}

void
msgtrace_shape_finish(MsgTraceShape *shape, PlannerInfo *root, const Path *path, int page_size)
{
	bool is_sorted_on = root->sort_pathkeys && path->pathkeys &&
						!pathkeys_contained_in(root->sort_pathkeys, path->pathkeys);
	bool streams = is_sorted_on || !all_is_read_first(root, path);
	double rows = rows_of_the_query(root);

	/* ours is in order for a LIMIT, and in a loop it is for one row of others */
	shape->may_stop = path->pathkeys != NIL || path->param_info ||
					  (streams && root->tuple_fraction > 0);
	if (streams && rows > 0 && !shape->loops && bms_membership(root->all_baserels) == BMS_SINGLETON)
		shape->wanted = rows_of_the_service(shape, path,
											rows + (is_sorted_on ? ROWS_OF_A_GROUP : 0));
	if (shape->wanted > 0)
	{
		shape->requests = Min(shape->requests, ceil(shape->wanted / page_size));
		shape->rows = Min(shape->rows, shape->wanted);
	}
	shape->slices = shape->may_stop ? shape->requests : ceil(shape->requests / PAGES_OF_A_SLICE);
}
