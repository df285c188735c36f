/*-------------------------------------------------------------------------
 *
 * scan.c
 *		Execution of a scan.
 *
 * Begin resolves who asks and reads the options; the network is first touched
 * when the first row is asked for.  A rescan asks anew.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/scan.h"

#include "executor/executor.h"
#include "fdw/ordered.h"
#include "fdw/plan.h"
#include "fdw/question.h"
#include "fdw/reading.h"
#include "fdw/scanner.h"
#include "fdw/shape.h"
#include "fdw/tuple.h"
#include "net/compat.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

typedef struct TraceScan
{
	MsgTraceSettings settings;
	List *condition;	/* what is pushed */
	List *value_states; /* ExprStates of its values */
	MsgTraceQuestionNotes notes;
	MsgTraceShape shape;
	MsgTraceReading reading;  /* of the loop; begun at its first row */
	TupleTableSlot *row;	  /* what was read last */
	MsgTraceOrdered *ordered; /* NULL = as it comes */
} TraceScan;

/* ----------------------------------------------------------- begin, end */

static void
begin_reading(TraceScan *scan, ForeignScanState *node, List *columns)
{
	EState *estate = node->ss.ps.state;
	MsgTraceScanner scanner;
	MsgTraceTupleMaker *maker;

	msgtrace_scanner_open(&scanner, &scan->settings, estate,
						  RelationGetRelid(node->ss.ss_currentRelation),
						  msgtrace_check_as_user(node));
	maker = msgtrace_tuple_maker(node->ss.ss_currentRelation, columns, &scan->settings);
	msgtrace_reading_init(&scan->reading, estate->es_query_cxt, &scan->settings, &scanner,
						  msgtrace_tuple_reader(maker));
}

void
msgtrace_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	TraceScan *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan = palloc0(sizeof(TraceScan));
	begin_reading(scan, node, list_nth(plan->fdw_private, MSGTRACE_PLAN_COLUMNS));
	scan->condition = list_nth(plan->fdw_private, MSGTRACE_PLAN_CONDITION);
	scan->value_states = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	msgtrace_shape_from_list(&scan->shape, list_nth(plan->fdw_private, MSGTRACE_PLAN_SHAPE));
	scan->row = MakeSingleTupleTableSlot(node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
										 &TTSOpsVirtual);
	if (scan->shape.order != MSGTRACE_ANY_ORDER)
		scan->ordered = msgtrace_ordered_create(scan->row->tts_tupleDescriptor,
												scan->shape.received, scan->shape.order);
	node->fdw_state = scan;
}

MsgTraceValue *
msgtrace_scan_values(List *states, ExprContext *econtext)
{
	MsgTraceValue *values = palloc0(Max(list_length(states), 1) * sizeof(MsgTraceValue));

	for (int i = 0; i < list_length(states); i++)
	{
		ExprState *state = list_nth(states, i);
		MsgTraceValue *value = &values[i];

		value->known = true;
		value->type = exprType((Node *) state->expr);
		value->value = ExecEvalExprSwitchContext(state, econtext, &value->is_null);
	}
	return values;
}

static void
begin_loop(ForeignScanState *node, TraceScan *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->reading.context);
	MsgTraceQuestion question;

	msgtrace_question_make(&question, scan->condition,
						   msgtrace_scan_values(scan->value_states, node->ss.ps.ps_ExprContext),
						   &scan->settings, GetCurrentTimestamp(), &scan->notes);
	question.order = scan->shape.order;
	question.may_stop = scan->shape.may_stop;
	question.wanted = (int64) scan->shape.wanted;
	MemoryContextSwitchTo(before);
	msgtrace_reading_begin(&scan->reading, &question);
}

static void
end_loop(TraceScan *scan)
{
	ExecClearTuple(scan->row);
	if (scan->ordered)
		msgtrace_ordered_clear(scan->ordered);
	msgtrace_reading_end(&scan->reading);
}

void
msgtrace_rescan(ForeignScanState *node)
{
	end_loop(node->fdw_state);
}

void
msgtrace_end_scan(ForeignScanState *node)
{
	if (node->fdw_state)
		end_loop(node->fdw_state);
}

/* -------------------------------------------------------------- iterate */

/* Read on until there is a row in scan->row. */
static MsgTracePagerResult
read_row(TraceScan *scan)
{
	const MsgTraceRow *row = NULL;
	MsgTracePagerResult result = msgtrace_reading_poll(&scan->reading, &row);
	int natts = scan->row->tts_tupleDescriptor->natts;

	ExecClearTuple(scan->row);
	if (result == MSGTRACE_ROW)
	{
		memcpy(scan->row->tts_values, row->values, natts * sizeof(Datum));
		memcpy(scan->row->tts_isnull, row->nulls, natts * sizeof(bool));
		ExecStoreVirtualTuple(scan->row);
	}
	return result;
}

/* The next row of those in order, once its slice is read. */
static MsgTracePagerResult
next_in_order(TraceScan *scan, TupleTableSlot **row)
{
	while ((*row = msgtrace_ordered_next(scan->ordered)) == NULL)
	{
		MsgTracePagerResult result = read_row(scan);

		if (result == MSGTRACE_ROW)
			msgtrace_ordered_put(scan->ordered, scan->row);
		else if (result == MSGTRACE_SLICE)
			msgtrace_ordered_sort(scan->ordered);
		else
			return result;
	}
	return MSGTRACE_ROW;
}

static MsgTracePagerResult
next_row(TraceScan *scan, TupleTableSlot **row)
{
	if (scan->ordered)
		return next_in_order(scan, row);
	*row = scan->row;
	return read_row(scan);
}

/* What the executor is handed is filled with the values of the row. */
static void
show(TupleTableSlot *slot, TupleTableSlot *row)
{
	int natts = slot->tts_tupleDescriptor->natts;

	slot_getallattrs(row);
	memcpy(slot->tts_values, row->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->tts_isnull, natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
}

MsgTracePagerResult
msgtrace_scan_poll(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;
	TupleTableSlot *row = NULL;
	MsgTracePagerResult result;

	ExecClearTuple(node->ss.ss_ScanTupleSlot);
	if (scan->reading.pager == NULL)
		begin_loop(node, scan);
	result = next_row(scan, &row);
	if (result == MSGTRACE_ROW)
		show(node->ss.ss_ScanTupleSlot, row);
	return result;
}

TupleTableSlot *
msgtrace_iterate_scan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	while (msgtrace_scan_poll(node) == MSGTRACE_WAIT)
		msgtrace_pager_wait(scan->reading.pager); /* a cancel does not come back from here */
	return node->ss.ss_ScanTupleSlot;
}

bool
msgtrace_scan_stats(ForeignScanState *node, MsgTraceScanStats *stats, char **first_request)
{
	TraceScan *scan = node->fdw_state;

	if (scan == NULL)
		return false;
	msgtrace_reading_stats(&scan->reading, stats);
	*first_request = scan->reading.first_request;
	return true;
}
