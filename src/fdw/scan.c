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
#include "fdw/plan.h"
#include "fdw/question.h"
#include "fdw/reading.h"
#include "fdw/scanner.h"
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
	MsgTraceReading reading; /* of the loop; begun at its first row */
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
	node->fdw_state = scan;
}

/* The values of the moment, in the context that is current. */
static MsgTraceValue *
evaluate(List *states, ExprContext *econtext)
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
						   evaluate(scan->value_states, node->ss.ps.ps_ExprContext),
						   &scan->settings, GetCurrentTimestamp(), &scan->notes);
	MemoryContextSwitchTo(before);
	msgtrace_reading_begin(&scan->reading, &question);
}

void
msgtrace_rescan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	msgtrace_reading_end(&scan->reading);
}

void
msgtrace_end_scan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	if (scan)
		msgtrace_reading_end(&scan->reading);
}

/* -------------------------------------------------------------- iterate */

TupleTableSlot *
msgtrace_iterate_scan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	const MsgTraceRow *row = NULL;

	ExecClearTuple(slot);
	if (scan->reading.pager == NULL)
		begin_loop(node, scan);
	if (msgtrace_reading_next(&scan->reading, &row) != MSGTRACE_ROW)
		return slot;
	memcpy(slot->tts_values, row->values, slot->tts_tupleDescriptor->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, slot->tts_tupleDescriptor->natts * sizeof(bool));
	return ExecStoreVirtualTuple(slot);
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
