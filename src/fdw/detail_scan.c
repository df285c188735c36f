/*-------------------------------------------------------------------------
 *
 * detail_scan.c
 *		Execution of a scan of details, and what EXPLAIN shows of it.
 *
 * When a loop begins its keys are evaluated and put into the reader's queue; that
 * there are none is known when planning, but said only when the plan is run, so
 * that EXPLAIN can show it.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/detail_scan.h"

#include "executor/executor.h"
#include "fdw/detail_keys.h"
#include "fdw/detail_plan.h"
#include "fdw/detail_reading.h"
#include "fdw/scanner.h"
#include "fdw/tuple.h"
#include "lib/stringinfo.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include MSGTRACE_EXPLAIN_FORMAT_HEADER

/* Of so many deliveries the log gives the keys. */
#define MAX_LOGGED 10

typedef struct DetailScan
{
	MsgTraceSettings settings;
	List *keys;
	List *value_states; /* ExprStates of their values */
	MsgTraceDetailReading reading;
} DetailScan;

/* When the query begins, since other scans of it would ask first. */
static void
refuse_without_keys(ForeignScanState *node)
{
	const char *table = RelationGetRelationName(node->ss.ss_currentRelation);

	ereport(
		ERROR, errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
		errmsg("foreign table \"%s\" needs to know which deliveries are asked for", table),
		errdetail(
			"The service tells the details of one delivery at a time: by its message_trace_id and its recipient_address."),
		errhint(
			"Give both as constants, parameters or columns of another table, for example: SELECT * FROM message_trace t JOIN %s d USING (message_trace_id, recipient_address) WHERE t.status = 'failed' AND t.received > now() - interval '1 hour'.",
			quote_identifier(table)));
}

void
msgtrace_detail_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState *estate = node->ss.ps.state;
	MsgTraceScanner scanner;
	MsgTraceTupleMaker *maker;
	DetailScan *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	if (list_nth(plan->fdw_private, MSGTRACE_DETAIL_PLAN_KEYS) == NIL)
		refuse_without_keys(node);
	scan = palloc0(sizeof(DetailScan));
	msgtrace_scanner_open(&scanner, &scan->settings, estate,
						  RelationGetRelid(node->ss.ss_currentRelation),
						  msgtrace_check_as_user(node));
	maker = msgtrace_tuple_maker(node->ss.ss_currentRelation,
								 list_nth(plan->fdw_private, MSGTRACE_DETAIL_PLAN_COLUMNS),
								 &scan->settings);
	scan->keys = list_nth(plan->fdw_private, MSGTRACE_DETAIL_PLAN_KEYS);
	scan->value_states = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	msgtrace_detail_reading_init(&scan->reading, estate->es_query_cxt, &scan->settings, &scanner,
								 msgtrace_tuple_reader(maker));
	if ((eflags & EXEC_FLAG_REWIND) || !bms_is_empty(plan->scan.plan.extParam))
		msgtrace_detail_reading_keep(&scan->reading);
	node->fdw_state = scan;
}

/* The deliveries as the audit's log shows them. */
static char *
describe(const MsgTraceDelivery *deliveries, int count)
{
	StringInfoData text;

	initStringInfo(&text);
	if (count == 0)
		return "none that the service could satisfy";
	for (int i = 0; i < Min(count, MAX_LOGGED); i++)
		appendStringInfo(&text, "%smessage_trace_id = %s AND recipient_address = %s",
						 i > 0 ? " OR " : "", quote_literal_cstr(deliveries[i].id),
						 quote_literal_cstr(deliveries[i].recipient_address));
	if (count > MAX_LOGGED)
		appendStringInfo(&text, " and %d more", count - MAX_LOGGED);
	return text.data;
}

static void
begin_loop(ForeignScanState *node, DetailScan *scan)
{
	MemoryContext before;
	MsgTraceDelivery *deliveries;
	int count;

	before = MemoryContextSwitchTo(scan->reading.context);
	count = msgtrace_detail_keys_evaluate(scan->keys, scan->value_states,
										  node->ss.ps.ps_ExprContext, &deliveries);
	msgtrace_detail_reading_begin(&scan->reading, describe(deliveries, count));
	for (int i = 0; i < count; i++)
		msgtrace_detail_reader_add(scan->reading.reader, NULL, &deliveries[i], NULL);
	MemoryContextSwitchTo(before);
}

TupleTableSlot *
msgtrace_detail_iterate_scan(ForeignScanState *node)
{
	DetailScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	const MsgTraceRow *row = NULL;
	void *tag;

	ExecClearTuple(slot);
	if (!scan->reading.is_open)
		begin_loop(node, scan);
	if (msgtrace_detail_reading_next(&scan->reading, &row, &tag) != MSGTRACE_ROW)
	{
		msgtrace_detail_reading_complete(&scan->reading);
		return slot;
	}
	memcpy(slot->tts_values, row->values, slot->tts_tupleDescriptor->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, slot->tts_tupleDescriptor->natts * sizeof(bool));
	return ExecStoreVirtualTuple(slot);
}

void
msgtrace_detail_rescan(ForeignScanState *node)
{
	DetailScan *scan = node->fdw_state;

	msgtrace_detail_reading_end(&scan->reading);
	msgtrace_detail_reading_keep(&scan->reading);
}

void
msgtrace_detail_end_scan(ForeignScanState *node)
{
	DetailScan *scan = node->fdw_state;

	if (scan)
		msgtrace_detail_reading_close(&scan->reading);
}

/* ---------------------------------------------------------------- EXPLAIN */

static void
explain_keys(ForeignScan *plan, ExplainState *es)
{
	List *keys = list_nth(plan->fdw_private, MSGTRACE_DETAIL_PLAN_KEYS);
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);

	ExplainPropertyText("Deliveries",
						keys ? msgtrace_detail_keys_describe(keys, plan->fdw_exprs, context)
							 : "not known: the scan will fail",
						es);
	if (es->costs && keys)
		ExplainPropertyFloat("Expected Requests", NULL,
							 floatVal(list_nth(plan->fdw_private, MSGTRACE_DETAIL_PLAN_REQUESTS)),
							 0, es);
}

static void
explain_counts(const MsgTraceScanStats *stats, ExplainState *es)
{
	ExplainPropertyInteger("Deliveries Asked For", NULL, stats->pager.slices, es);
	ExplainPropertyInteger("Requests", NULL, stats->session.requests, es);
	ExplainPropertyInteger("Retries", NULL, stats->session.retries, es);
	ExplainPropertyInteger("Pages", NULL, stats->pager.pages, es);
	ExplainPropertyInteger("Rows Received", NULL, stats->pager.received, es);
	ExplainPropertyInteger("Bytes Received", NULL, stats->session.bytes, es);
	if (es->timing)
		ExplainPropertyFloat("Time Waited", "ms", stats->session.waited / 1000.0, 3, es);
}

void
msgtrace_detail_explain_scan(ForeignScanState *node, ExplainState *es)
{
	DetailScan *scan = node->fdw_state;
	MsgTraceScanStats stats;
	char *first_request;

	if (es->verbose)
		explain_keys((ForeignScan *) node->ss.ps.plan, es);
	if (!es->analyze || scan == NULL)
		return;
	msgtrace_detail_reading_stats(&scan->reading, &stats, &first_request);
	if (es->verbose && first_request)
		ExplainPropertyText("First Request", first_request, es);
	explain_counts(&stats, es);
}
