/*-------------------------------------------------------------------------
 *
 * handler.c
 *		The foreign-data wrapper's routines.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/handler.h"

#include "fdw/explain.h"
#include "fdw/import.h"
#include "fdw/plan.h"
#include "fdw/scan.h"
#include "foreign/fdwapi.h"

PG_FUNCTION_INFO_V1(o365_msgtrace_handler);

Datum
o365_msgtrace_handler(PG_FUNCTION_ARGS pg_attribute_unused())
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	routine->GetForeignRelSize = msgtrace_get_rel_size;
	routine->GetForeignPaths = msgtrace_get_paths;
	routine->GetForeignPlan = msgtrace_get_plan;
	routine->BeginForeignScan = msgtrace_begin_scan;
	routine->IterateForeignScan = msgtrace_iterate_scan;
	routine->ReScanForeignScan = msgtrace_rescan;
	routine->EndForeignScan = msgtrace_end_scan;
	routine->ExplainForeignScan = msgtrace_explain_scan;
	routine->ImportForeignSchema = msgtrace_import_schema;
	PG_RETURN_POINTER(routine);
}
