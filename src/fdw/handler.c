/*-------------------------------------------------------------------------
 *
 * handler.c
 *		The foreign-data wrapper's routines.
 *
 * Tables of two kinds share them, and joins of both: when planning a table's option
 * says which it is, later the plan does.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/handler.h"

#include "fdw/async.h"
#include "fdw/detail_plan.h"
#include "fdw/detail_scan.h"
#include "fdw/explain.h"
#include "fdw/import.h"
#include "fdw/join_plan.h"
#include "fdw/join_scan.h"
#include "fdw/options.h"
#include "fdw/plan.h"
#include "fdw/scan.h"
#include "foreign/fdwapi.h"

/* --------------------------------------------------------------- planning */

static void
get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	if (msgtrace_table_is_detail(table_id))
		msgtrace_detail_get_rel_size(root, rel, table_id);
	else
		msgtrace_get_rel_size(root, rel, table_id);
}

static void
get_paths(PlannerInfo *root, RelOptInfo *rel, Oid table_id)
{
	if (msgtrace_table_is_detail(table_id))
		msgtrace_detail_get_paths(root, rel, table_id);
	else
		msgtrace_get_paths(root, rel, table_id);
}

static ForeignScan *
get_plan(PlannerInfo *root, RelOptInfo *rel, Oid table_id, ForeignPath *path, List *tlist,
		 List *clauses, Plan *outer_plan)
{
	if (IS_JOIN_REL(rel))
		return msgtrace_join_get_plan(root, rel, tlist, outer_plan);
	if (msgtrace_table_is_detail(table_id))
		return msgtrace_detail_get_plan(root, rel, table_id, path, tlist, clauses, outer_plan);
	return msgtrace_get_plan(root, rel, table_id, path, tlist, clauses, outer_plan);
}

/* -------------------------------------------------------------- execution */

typedef struct ScanRoutines
{
	void (*begin)(ForeignScanState *node, int eflags);
	TupleTableSlot *(*iterate)(ForeignScanState *node);
	void (*rescan)(ForeignScanState *node);
	void (*end)(ForeignScanState *node);
	void (*explain)(ForeignScanState *node, ExplainState *es);
} ScanRoutines;

static const ScanRoutines *
routines_of(ForeignScanState *node)
{
	static const ScanRoutines routines[] = {
		[MSGTRACE_LIST] = {msgtrace_begin_scan, msgtrace_iterate_scan, msgtrace_rescan,
						   msgtrace_end_scan, msgtrace_explain_scan},
		[MSGTRACE_DETAIL] = {msgtrace_detail_begin_scan, msgtrace_detail_iterate_scan,
							 msgtrace_detail_rescan, msgtrace_detail_end_scan,
							 msgtrace_detail_explain_scan},
		[MSGTRACE_JOIN] = {msgtrace_join_begin_scan, msgtrace_join_iterate_scan,
						   msgtrace_join_rescan, msgtrace_join_end_scan,
						   msgtrace_join_explain_scan}};
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;

	return &routines[intVal(list_nth(plan->fdw_private, MSGTRACE_PLAN_KIND))];
}

static void
begin_scan(ForeignScanState *node, int eflags)
{
	routines_of(node)->begin(node, eflags);
}

static TupleTableSlot *
iterate_scan(ForeignScanState *node)
{
	return routines_of(node)->iterate(node);
}

static void
rescan(ForeignScanState *node)
{
	routines_of(node)->rescan(node);
}

static void
end_scan(ForeignScanState *node)
{
	routines_of(node)->end(node);
}

static void
explain_scan(ForeignScanState *node, ExplainState *es)
{
	routines_of(node)->explain(node, es);
}

/* ---------------------------------------------------------------- handler */

PG_FUNCTION_INFO_V1(o365_msgtrace_handler);

Datum
o365_msgtrace_handler(PG_FUNCTION_ARGS pg_attribute_unused())
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = get_rel_size;
	routine->GetForeignPaths = get_paths;
	routine->GetForeignPlan = get_plan;
	routine->GetForeignJoinPaths = msgtrace_join_get_paths;
	routine->BeginForeignScan = begin_scan;
	routine->IterateForeignScan = iterate_scan;
	routine->ReScanForeignScan = rescan;
	routine->EndForeignScan = end_scan;
	routine->ExplainForeignScan = explain_scan;
	routine->IsForeignPathAsyncCapable = msgtrace_async_is_capable;
	routine->ForeignAsyncRequest = msgtrace_async_request;
	routine->ForeignAsyncConfigureWait = msgtrace_async_configure_wait;
	routine->ForeignAsyncNotify = msgtrace_async_notify;
	routine->ImportForeignSchema = msgtrace_import_schema;
	PG_RETURN_POINTER(routine);
}
