/*-------------------------------------------------------------------------
 *
 * explain.c
 *		What EXPLAIN shows of a scan.
 *
 * VERBOSE shows what is asked of the service, ANALYZE what was done; neither
 * asks anything of the network by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/explain.h"

#include "fdw/condition.h"
#include "fdw/loops.h"
#include "fdw/options.h"
#include "fdw/plan.h"
#include "fdw/scan.h"
#include "fdw/shape.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include MSGTRACE_EXPLAIN_FORMAT_HEADER

static const char *const nothing_filtered = "none: all that the service holds";

static void
explain_filter(ForeignScan *plan, Oid table_id, List *context, ExplainState *es)
{
	List *wide = list_nth(plan->fdw_private, MSGTRACE_PLAN_WIDE);
	MsgTraceSettings settings;
	const char *filter;

	msgtrace_settings_read(&settings, table_id, InvalidOid);
	filter = msgtrace_condition_describe(list_nth(plan->fdw_private, MSGTRACE_PLAN_CONDITION),
										 plan->fdw_exprs, context, settings.dialect);
	ExplainPropertyText("Remote Filter", *filter ? filter : nothing_filtered, es);
	if (wide == NIL)
		return;
	filter = msgtrace_condition_describe(
		list_nth(wide, MSGTRACE_WIDE_CONDITION),
		list_copy_tail(plan->fdw_exprs, linitial_int(list_nth(wide, MSGTRACE_WIDE_COUNTS))),
		context, settings.dialect);
	ExplainPropertyText("Remote Filter of All Loops", *filter ? filter : nothing_filtered, es);
}

/* What the service is not asked for, and why. */
static void
explain_local(ForeignScan *plan, List *context, ExplainState *es)
{
	List *local = NIL;
	ListCell *clause;
	ListCell *reason;

	forboth(clause, plan->scan.plan.qual, reason,
			list_nth(plan->fdw_private, MSGTRACE_PLAN_REASONS))
	{
		const char *why = strVal(lfirst(reason));

		if (*why)
			local = lappend(
				local,
				psprintf("%s: %s", deparse_expression(lfirst(clause), context, false, false), why));
	}
	if (local != NIL)
		ExplainPropertyList("Local Conditions", local, es);
}

static void
explain_shape(const MsgTraceShape *shape, ExplainState *es)
{
	if (shape->order == MSGTRACE_NEWEST_FIRST)
		ExplainPropertyText("Order", "newest first, slice by slice", es);
	else if (shape->order == MSGTRACE_OLDEST_FIRST)
		ExplainPropertyText("Order", "oldest first, slice by slice", es);
	if (shape->keeps_strays)
		ExplainPropertyText("Time Filter", "none here: rows are kept from whenever they are", es);
	if (!es->costs)
		return;
	if (shape->is_wide)
		ExplainPropertyText("Expected Choice", "several values checked here, for fewer requests",
							es);
	else if (shape->queries > 1)
		ExplainPropertyText("Expected Choice", "a query for each of several values", es);
	ExplainPropertyFloat("Expected Queries", NULL, shape->queries, 0, es);
	ExplainPropertyFloat("Expected Slices", NULL, shape->slices, 0, es);
	ExplainPropertyFloat("Expected Requests", NULL, shape->requests, 0, es);
	ExplainPropertyFloat("Expected Rows", NULL, shape->rows, 0, es);
}

static void
explain_plan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	MsgTraceShape shape;

	explain_filter(plan, RelationGetRelid(node->ss.ss_currentRelation), context, es);
	explain_local(plan, context, es);
	msgtrace_shape_from_list(&shape, list_nth(plan->fdw_private, MSGTRACE_PLAN_SHAPE));
	explain_shape(&shape, es);
}

static void
explain_counts(const MsgTraceScanStats *stats, ExplainState *es)
{
	if (es->format != EXPLAIN_FORMAT_TEXT || stats->kept_loops > 0)
		ExplainPropertyInteger("Loops Without Requests", NULL, stats->kept_loops, es);
	if (es->format != EXPLAIN_FORMAT_TEXT || stats->wide)
		ExplainPropertyBool("All Loops Read at Once", stats->wide, es);
	ExplainPropertyInteger("Slices", NULL, stats->pager.slices, es);
	ExplainPropertyInteger("Requests", NULL, stats->session.requests, es);
	ExplainPropertyInteger("Retries", NULL, stats->session.retries, es);
	ExplainPropertyInteger("Pages", NULL, stats->pager.pages, es);
	ExplainPropertyInteger("Rows Received", NULL, stats->pager.received, es);
	ExplainPropertyInteger("Bytes Received", NULL, stats->session.bytes, es);
	if (es->timing)
		ExplainPropertyFloat("Time Waited", "ms", stats->session.waited / 1000.0, 3, es);
}

void
msgtrace_explain_scan(ForeignScanState *node, ExplainState *es)
{
	MsgTraceScanStats stats;
	char *first_request;

	if (es->verbose)
		explain_plan(node, es);
	if (es->analyze && msgtrace_scan_stats(node, &stats, &first_request))
	{
		if (es->verbose && first_request)
			ExplainPropertyText("First Request", first_request, es);
		explain_counts(&stats, es);
	}
}
