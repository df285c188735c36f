/*-------------------------------------------------------------------------
 *
 * join_scan.c
 *		Execution of a message trace joined with its details as one scan.
 *
 * The rows of the trace that satisfy its own conditions become deliveries in the
 * queue of the reader of details, no more than may be in flight; each row of
 * details is shown beside the row of the trace that it was asked for.  Both are
 * waited for, the trace's next page as long as the queue is not full.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/join_scan.h"

#include "access/table.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "fdw/condition.h"
#include "fdw/detail_reading.h"
#include "fdw/join_plan.h"
#include "fdw/reading.h"
#include "fdw/scan.h"
#include "fdw/scanner.h"
#include "fdw/tuple.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"

#include MSGTRACE_EXPLAIN_FORMAT_HEADER

typedef struct JoinScan
{
	MsgTraceSettings trace_settings;
	MsgTraceSettings detail_settings;
	List *condition;	/* what the list is asked by */
	List *value_states; /* ExprStates of its values */
	ExprState *first;	/* the trace's own conditions, over a row of the scan */
	List *trace_columns;
	List *detail_columns;
	MsgTraceQuestionNotes notes;
	MsgTraceReading trace;
	MsgTraceDetailReading details;
	bool is_reading;
	bool trace_ended;
} JoinScan;

/* ------------------------------------------------------------ begin, end */

/* The columns that the scan has of a table, each once. */
static List *
needed(List *columns)
{
	List *numbers = NIL;
	ListCell *cell;

	foreach (cell, columns)
	{
		if (lfirst_int(cell) > 0)
			numbers = list_append_unique_int(numbers, lfirst_int(cell));
	}
	return numbers;
}

static const MsgTracePageReader *
open_table(ForeignScanState *node, Oid table_id, List *columns, MsgTraceScanner *scanner,
		   MsgTraceSettings *settings)
{
	Relation relation = table_open(table_id, NoLock); /* locked since the query began */
	MsgTraceTupleMaker *maker;

	msgtrace_scanner_open(scanner, settings, node->ss.ps.state, table_id,
						  msgtrace_check_as_user(node));
	maker = msgtrace_tuple_maker(relation, needed(columns), settings);
	table_close(relation, NoLock);
	return msgtrace_tuple_reader(maker);
}

static void
begin_readings(JoinScan *scan, ForeignScanState *node, List *tables)
{
	MemoryContext context = node->ss.ps.state->es_query_cxt;
	MsgTracePageReader *reader = palloc(sizeof(MsgTracePageReader));
	const MsgTracePageReader *detail_reader;
	MsgTraceScanner scanner;

	*reader = *open_table(node, linitial_oid(tables), scan->trace_columns, &scanner,
						  &scan->trace_settings);
	reader->wants_sender = true;
	msgtrace_reading_init(&scan->trace, context, &scan->trace_settings, &scanner, reader);
	detail_reader = open_table(node, lsecond_oid(tables), scan->detail_columns, &scanner,
							   &scan->detail_settings);
	msgtrace_detail_reading_init(&scan->details, context, &scan->detail_settings, &scanner,
								 detail_reader);
}

void
msgtrace_join_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *carried = plan->fdw_private;
	int values = intVal(list_nth(carried, MSGTRACE_JOIN_PLAN_VALUES));
	JoinScan *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan = palloc0(sizeof(JoinScan));
	scan->condition = list_nth(carried, MSGTRACE_JOIN_PLAN_CONDITION);
	scan->trace_columns = list_nth(carried, MSGTRACE_JOIN_PLAN_TRACE_COLUMNS);
	scan->detail_columns = list_nth(carried, MSGTRACE_JOIN_PLAN_DETAIL_COLUMNS);
	scan->value_states = ExecInitExprList(list_truncate(list_copy(plan->fdw_exprs), values),
										  (PlanState *) node);
	scan->first = ExecInitQual(list_copy_tail(plan->fdw_exprs, values), (PlanState *) node);
	begin_readings(scan, node, list_nth(carried, MSGTRACE_JOIN_PLAN_TABLES));
	if ((eflags & EXEC_FLAG_REWIND) || !bms_is_empty(plan->scan.plan.extParam))
		msgtrace_detail_reading_keep(&scan->details);
	node->fdw_state = scan;
}

static void
begin_loop(ForeignScanState *node, JoinScan *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->trace.context);
	MsgTraceQuestion question;

	msgtrace_question_make(&question, scan->condition,
						   msgtrace_scan_values(scan->value_states, node->ss.ps.ps_ExprContext),
						   &scan->trace_settings, &scan->notes);
	question.order = MSGTRACE_ANY_ORDER;
	question.may_stop = true; /* each row costs a request of its own: no need to hurry ahead */
	question.wanted = 0;
	question.concurrency = 1; /* the details have the others */
	MemoryContextSwitchTo(before);
	msgtrace_reading_begin(&scan->trace, &question);
	msgtrace_detail_reading_begin(&scan->details, "those of the rows of that message trace");
	scan->is_reading = true;
	scan->trace_ended = false;
}

/* last_scan() tells the range of the trace, and what both have cost. */
static void
sum_up(const JoinScan *scan, MsgTraceScanStats *both)
{
	const MsgTracePagerCounts *details = msgtrace_detail_reader_counts(scan->details.reader);

	memset(both, 0, sizeof(*both));
	msgtrace_stats_add_counts(both, details,
							  msgtrace_detail_reader_session_counts(scan->details.reader));
	msgtrace_stats_add(both, scan->trace.pager);
	both->pager.complete = both->pager.complete && details->complete;
}

static void
end_loop(ForeignScanState *node, JoinScan *scan)
{
	MsgTraceScanStats both;

	if (!scan->is_reading)
		return;
	scan->is_reading = false;
	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	sum_up(scan, &both);
	msgtrace_detail_reading_end(&scan->details);
	msgtrace_reading_end(&scan->trace);
	msgtrace_stats_note_counts(&both.pager, &both.session);
}

void
msgtrace_join_rescan(ForeignScanState *node)
{
	JoinScan *scan = node->fdw_state;

	end_loop(node, scan);
	msgtrace_detail_reading_keep(&scan->details);
}

void
msgtrace_join_end_scan(ForeignScanState *node)
{
	JoinScan *scan = node->fdw_state;

	if (scan == NULL)
		return;
	end_loop(node, scan);
	msgtrace_detail_reading_close(&scan->details);
}

/* ---------------------------------------------------------------- iterate */

/* Put the row's values into the columns of the scan that are this table's. */
static void
fill(TupleTableSlot *slot, List *columns, const Datum *values, const bool *nulls)
{
	int index = 0;
	ListCell *cell;

	foreach (cell, columns)
	{
		int column = lfirst_int(cell);

		if (column > 0)
		{
			slot->tts_values[index] = values[column - 1];
			slot->tts_isnull[index] = nulls[column - 1];
		}
		index++;
	}
}

/* Does the row satisfy the trace's own conditions? */
static bool
is_wanted(ForeignScanState *node, JoinScan *scan, const MsgTraceRow *row)
{
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	bool wanted;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	fill(slot, scan->trace_columns, row->values, row->nulls);
	ExecStoreVirtualTuple(slot);
	econtext->ecxt_scantuple = slot;
	wanted = ExecQual(scan->first, econtext);
	ResetExprContext(econtext);
	ExecClearTuple(slot);
	if (!wanted)
		InstrCountFiltered1(node, 1);
	return wanted;
}

/* The trace's part of a row of the scan, to stay until its details were shown. */
typedef struct TracePart
{
	Datum *values; /* by column of the scan */
	bool *nulls;
} TracePart;

static TracePart *
keep_part(ForeignScanState *node, const JoinScan *scan, const MsgTraceRow *row,
		  MemoryContext context)
{
	TupleDesc desc = node->ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	MemoryContext before = MemoryContextSwitchTo(context);
	TracePart *part = palloc(sizeof(TracePart));

	part->values = palloc0(Max(desc->natts, 1) * sizeof(Datum));
	part->nulls = palloc0(Max(desc->natts, 1) * sizeof(bool));
	for (int i = 0; i < desc->natts; i++)
	{
		int column = list_nth_int(scan->trace_columns, i);
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (column == 0)
			continue;
		part->nulls[i] = row->nulls[column - 1];
		if (!part->nulls[i])
			part->values[i] = datumCopy(row->values[column - 1], attribute->attbyval,
										attribute->attlen);
	}
	MemoryContextSwitchTo(before);
	return part;
}

static void
ask_for_details(ForeignScanState *node, JoinScan *scan, const MsgTraceRow *row)
{
	MsgTraceDetailReader *reader = scan->details.reader;
	MemoryContext context = msgtrace_detail_reader_context(reader);
	char id[MSGTRACE_ID_TEXT_SIZE];
	MsgTraceDelivery delivery = {.id = msgtrace_row_write_id(&row->id, id),
								 .recipient_address = row->recipient,
								 .located = true,
								 .sender_address = row->sender,
								 .received = row->received};

	if (msgtrace_detail_can_ask_for(delivery.id, delivery.recipient_address))
		msgtrace_detail_reader_add(reader, context, &delivery, keep_part(node, scan, row, context));
	else
		MemoryContextDelete(context);
}

/* Fill the queue; false when the trace has nothing to put into it now. */
static bool
read_trace(ForeignScanState *node, JoinScan *scan)
{
	while (!scan->trace_ended && msgtrace_detail_reader_backlog(scan->details.reader) <
									 scan->detail_settings.max_concurrency)
	{
		const MsgTraceRow *row;

		CHECK_FOR_INTERRUPTS();
		switch (msgtrace_reading_poll(&scan->trace, &row))
		{
			case MSGTRACE_ROW:
				if (is_wanted(node, scan, row))
					ask_for_details(node, scan, row);
				break;
			case MSGTRACE_WAIT:
				return false;
			case MSGTRACE_END:
				scan->trace_ended = true;
				break;
			default:
				break;
		}
	}
	return true;
}

static void
show(ForeignScanState *node, JoinScan *scan, const TracePart *part, const MsgTraceRow *detail)
{
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	int natts = slot->tts_tupleDescriptor->natts;

	memcpy(slot->tts_values, part->values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, part->nulls, natts * sizeof(bool));
	fill(slot, scan->detail_columns, detail->values, detail->nulls);
	ExecStoreVirtualTuple(slot);
}

TupleTableSlot *
msgtrace_join_iterate_scan(ForeignScanState *node)
{
	JoinScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	ExecClearTuple(slot);
	if (!scan->is_reading)
		begin_loop(node, scan);
	for (;;)
	{
		bool has_trace = read_trace(node, scan);
		const MsgTraceRow *detail;
		void *part;

		switch (msgtrace_detail_reading_poll(&scan->details, &detail, &part))
		{
			case MSGTRACE_ROW:
				show(node, scan, part, detail);
				return slot;
			case MSGTRACE_WAIT:
				msgtrace_detail_reader_wait(scan->details.reader,
											has_trace ? NULL : scan->trace.pager);
				break;
			default:
				if (scan->trace_ended)
				{
					msgtrace_detail_reading_complete(&scan->details);
					return slot;
				}
				if (!has_trace)
					msgtrace_pager_wait(scan->trace.pager);
		}
	}
}

/* ---------------------------------------------------------------- EXPLAIN */

static void
explain_plan(ForeignScan *plan, ExplainState *es)
{
	List *carried = plan->fdw_private;
	int values = intVal(list_nth(carried, MSGTRACE_JOIN_PLAN_VALUES));
	List *context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan, NIL);
	List *first = list_copy_tail(plan->fdw_exprs, values);
	MsgTraceSettings settings;
	const char *filter;

	msgtrace_settings_read(&settings, linitial_oid(list_nth(carried, MSGTRACE_JOIN_PLAN_TABLES)),
						   InvalidOid);
	filter = msgtrace_condition_describe(list_nth(carried, MSGTRACE_JOIN_PLAN_CONDITION),
										 plan->fdw_exprs, context, settings.dialect);
	ExplainPropertyText("Remote Filter", *filter ? filter : "none: all that the service holds", es);
	if (first)
		ExplainPropertyText(
			"Filter Before Details",
			deparse_expression((Node *) make_ands_explicit(first), context, true, false), es);
	if (es->costs)
		ExplainPropertyFloat("Expected Deliveries", NULL,
							 floatVal(list_nth(carried, MSGTRACE_JOIN_PLAN_DELIVERIES)), 0, es);
}

static void
explain_relations(ForeignScan *plan, ExplainState *es)
{
	List *tables = list_nth(plan->fdw_private, MSGTRACE_JOIN_PLAN_TABLES);
	char *trace = get_rel_name(linitial_oid(tables));

	ExplainPropertyText("Relations",
						psprintf("%s, with %s of each row", quote_identifier(trace),
								 quote_identifier(get_rel_name(lsecond_oid(tables)))),
						es);
}

static void
explain_counts(JoinScan *scan, ExplainState *es)
{
	MsgTraceScanStats trace;
	MsgTraceScanStats details;
	char *first_detail;

	msgtrace_reading_stats(&scan->trace, &trace);
	msgtrace_detail_reading_stats(&scan->details, &details, &first_detail);
	if (es->verbose && scan->trace.first_request)
		ExplainPropertyText("First Request", scan->trace.first_request, es);
	ExplainPropertyInteger("Slices", NULL, trace.pager.slices, es);
	ExplainPropertyInteger("Deliveries Asked For", NULL, details.pager.slices, es);
	ExplainPropertyInteger("Requests", NULL, trace.session.requests + details.session.requests, es);
	ExplainPropertyInteger("Retries", NULL, trace.session.retries + details.session.retries, es);
	ExplainPropertyInteger("Pages", NULL, trace.pager.pages + details.pager.pages, es);
	ExplainPropertyInteger("Rows Received", NULL, trace.pager.received + details.pager.received,
						   es);
	ExplainPropertyInteger("Bytes Received", NULL, trace.session.bytes + details.session.bytes, es);
	if (es->timing)
		ExplainPropertyFloat("Time Waited", "ms",
							 (trace.session.waited + details.session.waited) / 1000.0, 3, es);
}

void
msgtrace_join_explain_scan(ForeignScanState *node, ExplainState *es)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	JoinScan *scan = node->fdw_state;

	explain_relations(plan, es);
	if (es->verbose)
		explain_plan(plan, es);
	if (es->analyze && scan)
		explain_counts(scan, es);
}
