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
#include "fdw/error.h"
#include "fdw/log.h"
#include "fdw/options.h"
#include "fdw/plan.h"
#include "fdw/question.h"
#include "fdw/rejected.h"
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
	MsgTraceScanner scanner;
	List *condition;	/* what is pushed */
	List *value_states; /* ExprStates of its values */
	MsgTracePagerConfig pager_config;
	MsgTraceQuestionNotes notes;
	bool warned_of_retry_after;
	bool warned_of_rejects; /* of this loop */

	/* a loop's own: made at its first row, gone at a rescan */
	MemoryContext loop_context;
	MsgTraceQuestion question;
	MsgTraceStatus status;
	MsgTracePager *pager;
	MsgTraceScanLog *log;

	MsgTraceScanStats earlier; /* of the loops before this one */
	char *first_request;
} TraceScan;

/* ----------------------------------------------------------- begin, end */

void
msgtrace_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	EState *estate = node->ss.ps.state;
	TraceScan *scan;
	MsgTraceTupleMaker *maker;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan = palloc0(sizeof(TraceScan));
	msgtrace_scanner_open(&scan->scanner, &scan->settings, estate,
						  RelationGetRelid(node->ss.ss_currentRelation),
						  msgtrace_check_as_user(node));
	scan->condition = list_nth(plan->fdw_private, MSGTRACE_PLAN_CONDITION);
	scan->value_states = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	maker = msgtrace_tuple_maker(node->ss.ss_currentRelation,
								 list_nth(plan->fdw_private, MSGTRACE_PLAN_COLUMNS),
								 &scan->settings);
	scan->pager_config.dialect = scan->settings.dialect;
	scan->pager_config.reject = scan->settings.reject_bad_rows;
	scan->pager_config.session = &scan->settings.session;
	scan->pager_config.reader = msgtrace_tuple_reader(maker);
	scan->pager_config.rows_per_day = scan->settings.rows_per_day;
	scan->loop_context = AllocSetContextCreate(estate->es_query_cxt, "o365_msgtrace scan",
											   ALLOCSET_DEFAULT_SIZES);
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
	MemoryContext before = MemoryContextSwitchTo(scan->loop_context);

	scan->warned_of_rejects = false;
	msgtrace_question_make(&scan->question, scan->condition,
						   evaluate(scan->value_states, node->ss.ps.ps_ExprContext),
						   &scan->settings, GetCurrentTimestamp(), &scan->notes);
	msgtrace_status_init(&scan->status, scan->loop_context);
	scan->pager = msgtrace_pager_open(scan->loop_context, &scan->pager_config, &scan->question,
									  &scan->status);
	scan->log = msgtrace_log_scan(scan->loop_context, &scan->scanner, &scan->question);
	msgtrace_stats_note_scan(scan->pager);
	MemoryContextSwitchTo(before);
}

static void
note_first_request(ForeignScanState *node, TraceScan *scan)
{
	const char *url = msgtrace_pager_first_url(scan->pager);

	if (scan->first_request == NULL && url)
	{
		MemoryContext before = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);

		scan->first_request = msgtrace_http_unescape(url);
		MemoryContextSwitchTo(before);
	}
}

/* Once in a loop: at its end, or where the query wanted no more. */
static void
warn_of_rejects(TraceScan *scan)
{
	if (scan->warned_of_rejects || msgtrace_pager_counts(scan->pager)->rejected == 0)
		return;
	scan->warned_of_rejects = true;
	msgtrace_error_warn_of_rejects(msgtrace_pager_rejects(scan->pager));
}

static void
end_loop(ForeignScanState *node, TraceScan *scan)
{
	if (scan->pager == NULL)
		return;
	note_first_request(node, scan);
	msgtrace_stats_note_scan(scan->pager);
	msgtrace_stats_add(&scan->earlier, scan->pager);
	msgtrace_rejected_keep(scan->pager, scan->scanner.table_id, scan->scanner.user_id);
	warn_of_rejects(scan);
	msgtrace_log_scan_end(scan->log);
	msgtrace_pager_close(scan->pager);
	scan->pager = NULL;
	MemoryContextReset(scan->loop_context);
}

void
msgtrace_rescan(ForeignScanState *node)
{
	end_loop(node, node->fdw_state);
}

void
msgtrace_end_scan(ForeignScanState *node)
{
	if (node->fdw_state)
		end_loop(node, node->fdw_state);
}

/* -------------------------------------------------------------- iterate */

/* What does not end the query, but must not go unsaid. */
static void
give_warnings(TraceScan *scan)
{
	MsgTracePager *pager = scan->pager;
	int64 skew = msgtrace_pager_skew_to_warn_of(pager);
	int ignored = msgtrace_pager_session_counts(pager)->ignored_retry_after;
	MsgTraceSlice refused;

	if (skew != 0)
		msgtrace_error_warn_of_skew(skew);
	if (msgtrace_pager_refused_end(pager, &refused))
		msgtrace_error_warn_of_refused_end(&refused);
	if (ignored > 0 && !scan->warned_of_retry_after)
	{
		scan->warned_of_retry_after = true;
		msgtrace_error_warn_of_retry_after(ignored, scan->settings.session.retry.max_retry_after);
	}
}

static MsgTracePagerResult
next_row(TraceScan *scan, const MsgTraceRow **row)
{
	MsgTracePagerResult result;

	while ((result = msgtrace_pager_next(scan->pager, row)) == MSGTRACE_WAIT)
	{
		msgtrace_stats_note_scan(scan->pager);
		give_warnings(scan);
		msgtrace_pager_wait(scan->pager); /* a cancel does not come back from here */
	}
	return result;
}

static void
end_of_rows(TraceScan *scan, MsgTracePagerResult result)
{
	const MsgTracePagerCounts *counts = msgtrace_pager_counts(scan->pager);

	if (result == MSGTRACE_ERROR)
		msgtrace_error_raise(&scan->status, counts);
	msgtrace_rejected_keep(scan->pager, scan->scanner.table_id, scan->scanner.user_id);
	msgtrace_log_scan_complete(scan->log);
	warn_of_rejects(scan);
	if (counts->replaced > 0)
		msgtrace_error_warn_of_replaced(counts->replaced);
}

TupleTableSlot *
msgtrace_iterate_scan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	const MsgTraceRow *row = NULL;
	MsgTracePagerResult result;

	ExecClearTuple(slot);
	if (scan->pager == NULL)
		begin_loop(node, scan);
	result = next_row(scan, &row);
	msgtrace_stats_note_scan(scan->pager);
	give_warnings(scan);
	if (result != MSGTRACE_ROW)
	{
		end_of_rows(scan, result);
		return slot;
	}
	msgtrace_log_scan_row(scan->log);
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
	*stats = scan->earlier;
	if (scan->pager)
	{
		note_first_request(node, scan);
		msgtrace_stats_add(stats, scan->pager);
	}
	*first_request = scan->first_request;
	return true;
}
