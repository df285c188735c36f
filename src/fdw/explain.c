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
#include "fdw/options.h"
#include "fdw/plan.h"
#include "fdw/scan.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include MSGTRACE_EXPLAIN_FORMAT_HEADER

static void
explain_filter(ForeignScan *plan, Oid table_id, ExplainState *es)
{
	MsgTraceSettings settings;
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	const char *filter;

	msgtrace_settings_read(&settings, table_id, InvalidOid);
	filter = msgtrace_condition_describe(list_nth(plan->fdw_private, MSGTRACE_PLAN_CONDITION),
										 plan->fdw_exprs, context, settings.dialect);
	ExplainPropertyText("Remote Filter", *filter ? filter : "none: all that the service holds", es);
}

static void
explain_counts(const MsgTraceScanStats *stats, ExplainState *es)
{
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
		explain_filter((ForeignScan *) node->ss.ps.plan,
					   RelationGetRelid(node->ss.ss_currentRelation), es);
	if (es->analyze && msgtrace_scan_stats(node, &stats, &first_request))
	{
		if (es->verbose && first_request)
			ExplainPropertyText("First Request", first_request, es);
		explain_counts(&stats, es);
	}
}
