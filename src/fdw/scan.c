/*-------------------------------------------------------------------------
 *
 * scan.c
 *		Execution of a scan.
 *
 * Begin resolves who asks and reads the options; the network is first touched
 * when the first row is asked for.  A loop asks its question, unless its rows are
 * kept from one before; when loops have cost more than one reading of what all of
 * them could ask for, that is read, and serves them:
 *
 *		BEFORE --> REPLAYING --> READING			(rows kept; then what is not)
 *		   |
 *		   +-----> FILLING --> SERVED_WIDE			(once; later loops are SERVED_WIDE)
 *
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/scan.h"

#include "executor/executor.h"
#include "fdw/kept.h"
#include "fdw/loops.h"
#include "fdw/ordered.h"
#include "fdw/plan.h"
#include "fdw/question.h"
#include "fdw/reading.h"
#include "fdw/scanner.h"
#include "fdw/shape.h"
#include "fdw/tuple.h"
#include "fdw/wide.h"
#include "net/clock.h"
#include "net/compat.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

typedef enum Phase
{
	BEFORE, /* the loop has not begun */
	REPLAYING,
	READING,
	FILLING,
	SERVED_WIDE
} Phase;

typedef struct TraceScan
{
	MsgTraceSettings settings;
	List *condition;	/* what is pushed */
	List *value_states; /* ExprStates of its values */
	MsgTraceQuestionNotes notes;
	MsgTraceShape shape;
	MsgTraceReading reading;  /* of the loop */
	TupleTableSlot *row;	  /* what was read last */
	const MsgTraceRow *key;	  /* ... and its key */
	MsgTraceOrdered *ordered; /* NULL = as it comes */
	Phase phase;
	bool may_loop;					/* a loop may ask what one before has asked */
	MsgTraceKept *kept;				/* the rows of such loops, else NULL */
	MemoryContext question_context; /* of the question that they are kept for */
	int64 kept_loops;
	bool waits;			/* the last iteration found nothing yet */
	bool stopped_early; /* a loop did not want all: the next ones will not, either */

	/* of the wide reading */
	List *wide_condition;
	List *wide_states;
	MsgTraceWide *wide; /* NULL = there is none */
	bool wide_filled;
	ExprContext *row_context; /* for one row of it */
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

/* What the plan says of a wide reading, if there is one. */
static void
begin_wide(TraceScan *scan, ForeignScanState *node, List *wide, List *states)
{
	List *counts = list_nth_node(List, wide, MSGTRACE_WIDE_COUNTS);
	List *oids = list_nth(wide, MSGTRACE_WIDE_KEY);
	int first = linitial_int(counts);
	int after = first + lsecond_int(counts);
	MsgTraceWideKey key;

	scan->wide_condition = list_nth(wide, MSGTRACE_WIDE_CONDITION);
	scan->wide_states = list_copy_tail(list_truncate(list_copy(states), after), first);
	scan->value_states = list_truncate(list_copy(states), first);
	if (oids != NIL)
	{
		key.of_row = list_nth(states, after);
		key.of_loop = list_nth(states, after + 1);
		key.operator= linitial_oid(oids);
		key.collation = lsecond_oid(oids);
	}
	scan->wide = msgtrace_wide_create(scan->row->tts_tupleDescriptor, oids != NIL ? &key : NULL);
	scan->row_context = CreateExprContext(node->ss.ps.state);
}

void
msgtrace_begin_scan(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	List *wide = list_nth(plan->fdw_private, MSGTRACE_PLAN_WIDE);
	TupleDesc desc = node->ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	TraceScan *scan;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	scan = palloc0(sizeof(TraceScan));
	begin_reading(scan, node, list_nth(plan->fdw_private, MSGTRACE_PLAN_COLUMNS));
	scan->condition = list_nth(plan->fdw_private, MSGTRACE_PLAN_CONDITION);
	scan->value_states = ExecInitExprList(plan->fdw_exprs, (PlanState *) node);
	msgtrace_shape_from_list(&scan->shape, list_nth(plan->fdw_private, MSGTRACE_PLAN_SHAPE));
	scan->row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	if (scan->shape.order != MSGTRACE_ANY_ORDER)
		scan->ordered = msgtrace_ordered_create(desc, scan->shape.received, scan->shape.order);
	if (wide != NIL)
		begin_wide(scan, node, wide, scan->value_states);
	scan->may_loop = scan->shape.loops || (eflags & EXEC_FLAG_REWIND);
	node->fdw_state = scan;
}

/* ---------------------------------------------------------------- loops */

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
make_question(TraceScan *scan, MsgTraceQuestion *question, MemoryContext context, List *condition,
			  List *states, ExprContext *econtext)
{
	MemoryContext before = MemoryContextSwitchTo(context);

	msgtrace_question_make(question, condition, msgtrace_scan_values(states, econtext),
						   &scan->settings, &scan->notes);
	question->order = scan->shape.order;
	question->keeps_strays = scan->shape.keeps_strays;
	MemoryContextSwitchTo(before);
}

/*
 * Have the loops before this one cost more than the wide reading is expected to?
 * It must fit into what the query may still ask.
 */
static bool
wide_pays(TraceScan *scan, const MsgTraceQuestion *wide)
{
	const MsgTraceAllowance *allowance = scan->settings.session.allowance;
	TimestampTz now;
	double expected;

	(void) msgtrace_question_now(&scan->settings, &now);
	expected = msgtrace_question_requests(wide, &scan->settings, now);
	return scan->reading.earlier.session.requests >= Max(expected, 1) &&
		   (allowance->limit == 0 ||
			(double) allowance->made + expected <= (double) allowance->limit);
}

static bool
begin_wide_reading(TraceScan *scan, ExprContext *econtext)
{
	MsgTraceQuestion wide;

	if (scan->wide == NULL || scan->reading.earlier.session.requests < 2)
		return false;
	make_question(scan, &wide, scan->reading.context, scan->wide_condition, scan->wide_states,
				  econtext);
	if (!wide_pays(scan, &wide))
		return false;
	msgtrace_reading_begin(&scan->reading, &wide);
	return true;
}

/* Read the loop's own question; all of it, or what comes after the rows kept. */
static void
begin_own_reading(TraceScan *scan, ExprContext *econtext, bool is_rest)
{
	MsgTraceQuestion question;

	make_question(scan, &question, scan->reading.context, scan->condition, scan->value_states,
				  econtext);
	question.may_stop = scan->shape.may_stop;
	question.wanted = (int64) scan->shape.wanted;
	if (scan->stopped_early)
		question.concurrency = 1;
	if (is_rest)
		msgtrace_kept_narrow(scan->kept, &question);
	msgtrace_reading_begin(&scan->reading, &question);
}

static void
begin_keeping(TraceScan *scan)
{
	MemoryContext before = MemoryContextSwitchTo(scan->reading.scan_context);

	scan->kept = msgtrace_kept_create(scan->row->tts_tupleDescriptor, scan->shape.order,
									  scan->shape.received);
	scan->question_context = AllocSetContextCreate(CurrentMemoryContext, "o365_msgtrace question",
												   ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(before);
}

/* What is kept for the loop that begins. */
static MsgTraceKeptState
look_for_kept(TraceScan *scan, ExprContext *econtext)
{
	MsgTraceQuestion question;
	MsgTraceKeptState state;

	if (!scan->may_loop)
		return MSGTRACE_KEPT_NOTHING;
	if (scan->kept == NULL)
		begin_keeping(scan);
	MemoryContextReset(scan->question_context);
	make_question(scan, &question, scan->question_context, scan->condition, scan->value_states,
				  econtext);
	state = msgtrace_kept_begin(scan->kept, &question);
	if (question.count > 0)
		return state;
	msgtrace_kept_complete(scan->kept); /* no row can satisfy it, and nothing is asked */
	return MSGTRACE_KEPT_ALL;
}

static void
stop_reading(TraceScan *scan)
{
	ExecClearTuple(scan->row);
	if (scan->ordered)
		msgtrace_ordered_clear(scan->ordered);
	msgtrace_reading_end(&scan->reading);
}

static void
begin_loop(TraceScan *scan, ExprContext *econtext)
{
	MsgTraceKeptState state;

	if (scan->wide_filled)
	{
		msgtrace_wide_begin(scan->wide, econtext);
		scan->kept_loops++;
		scan->phase = SERVED_WIDE;
		return;
	}
	state = look_for_kept(scan, econtext);
	if (state != MSGTRACE_KEPT_AT_HAND)
		stop_reading(scan);
	if (state != MSGTRACE_KEPT_NOTHING)
	{
		scan->kept_loops++;
		scan->phase = REPLAYING;
	}
	else if (begin_wide_reading(scan, econtext))
		scan->phase = FILLING;
	else
	{
		begin_own_reading(scan, econtext, false);
		scan->phase = READING;
	}
}

static void
end_loop(TraceScan *scan)
{
	if (scan->kept)
		msgtrace_kept_leave(scan->kept);
	stop_reading(scan);
	scan->phase = BEFORE;
}

void
msgtrace_end_scan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	if (scan == NULL)
		return;
	end_loop(scan);
	if (scan->kept)
		msgtrace_kept_end(scan->kept);
	if (scan->wide)
		msgtrace_wide_end(scan->wide);
}

/* -------------------------------------------------------------- iterate */

/* Read on until there is a row in scan->row. */
static MsgTracePagerResult
read_row(TraceScan *scan)
{
	const MsgTraceRow *row = NULL;
	MsgTracePagerResult result = msgtrace_reading_poll(&scan->reading, &row);
	int natts = scan->row->tts_tupleDescriptor->natts;

	scan->key = row;
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
		else if (result != MSGTRACE_SLICE && result != MSGTRACE_END)
			return result;
		else if (!msgtrace_ordered_sort(scan->ordered) && result == MSGTRACE_END)
			return MSGTRACE_END;
	}
	return MSGTRACE_ROW;
}

static MsgTracePagerResult
read_next(TraceScan *scan, TupleTableSlot **row)
{
	if (scan->ordered)
		return next_in_order(scan, row);
	*row = scan->row;
	return read_row(scan);
}

/* The same, kept for a loop that asks the same. */
static MsgTracePagerResult
read_and_keep(TraceScan *scan, TupleTableSlot **row)
{
	MsgTracePagerResult result = read_next(scan, row);

	if (scan->kept == NULL)
		return result;
	while (result == MSGTRACE_ROW && msgtrace_kept_has(scan->kept, scan->key))
		result = read_next(scan, row);
	if (result == MSGTRACE_ROW)
		msgtrace_kept_put(scan->kept, *row, scan->key);
	else if (result == MSGTRACE_END)
		msgtrace_kept_complete(scan->kept);
	return result;
}

/* Read what all loops could ask for, to its end. */
static MsgTracePagerResult
fill_wide(TraceScan *scan)
{
	MsgTracePagerResult result;
	TupleTableSlot *row;

	while ((result = read_next(scan, &row)) == MSGTRACE_ROW)
	{
		msgtrace_wide_put(scan->wide, row, scan->row_context);
		ResetExprContext(scan->row_context);
	}
	return result;
}

static MsgTracePagerResult
next_row(TraceScan *scan, ExprContext *econtext, TupleTableSlot **row)
{
	if (scan->phase == BEFORE)
		begin_loop(scan, econtext);
	if (scan->phase == FILLING)
	{
		if (fill_wide(scan) != MSGTRACE_END)
			return MSGTRACE_WAIT;
		scan->wide_filled = true;
		end_loop(scan);
		begin_loop(scan, econtext);
	}
	if (scan->phase == SERVED_WIDE)
		return (*row = msgtrace_wide_next(scan->wide)) ? MSGTRACE_ROW : MSGTRACE_END;
	if (scan->phase == REPLAYING)
	{
		if ((*row = msgtrace_kept_next(scan->kept)) != NULL)
			return MSGTRACE_ROW;
		if (msgtrace_kept_is_complete(scan->kept))
			return MSGTRACE_END;
		if (scan->reading.pager == NULL)
			begin_own_reading(scan, econtext, true);
		scan->phase = READING;
	}
	return read_and_keep(scan, row);
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
	result = next_row(scan, node->ss.ps.ps_ExprContext, &row);
	if (result == MSGTRACE_ROW)
		show(node->ss.ss_ScanTupleSlot, row);
	return result;
}

TupleTableSlot *
msgtrace_iterate_scan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	while ((scan->waits = msgtrace_scan_poll(node) == MSGTRACE_WAIT) && !node->ss.ps.async_capable)
		msgtrace_pager_wait(scan->reading.pager); /* a cancel does not come back from here */
	return node->ss.ss_ScanTupleSlot;
}

void
msgtrace_scan_limit_concurrency(ForeignScanState *node, int most)
{
	TraceScan *scan = node->fdw_state;

	scan->settings.max_concurrency = Min(scan->settings.max_concurrency, most);
}

bool
msgtrace_scan_has_begun(ForeignScanState *node)
{
	return ((TraceScan *) node->fdw_state)->phase != BEFORE;
}

MsgTracePager *
msgtrace_scan_waits_for(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	return scan->waits ? scan->reading.pager : NULL;
}

/* --------------------------------------------------------------- rescan */

/*
 * What the loop that ends has not taken is kept, too, where it has come already:
 * the rest of a slice that was sorted, and of an answer that is one page.
 */
static void
keep_what_came(TraceScan *scan)
{
	TupleTableSlot *row;

	while (scan->ordered && (row = msgtrace_ordered_next(scan->ordered)) != NULL)
		msgtrace_kept_put(scan->kept, row, NULL);
	if (scan->reading.pager == NULL || scan->shape.requests > 1 ||
		msgtrace_kept_is_complete(scan->kept))
		return;
	while (read_and_keep(scan, &row) == MSGTRACE_ROW)
		;
}

/*
 * Another loop.  It may have the same question, whatever has changed, so the
 * reading goes on until the question is known.
 */
void
msgtrace_rescan(ForeignScanState *node)
{
	TraceScan *scan = node->fdw_state;

	scan->may_loop = true;
	scan->waits = false;
	if (scan->phase == BEFORE || scan->phase == FILLING)
		return;
	if (scan->kept && scan->phase != SERVED_WIDE)
	{
		keep_what_came(scan);
		scan->stopped_early = scan->stopped_early || !msgtrace_kept_is_complete(scan->kept);
		scan->phase = BEFORE;
	}
	else
		end_loop(scan);
}

bool
msgtrace_scan_stats(ForeignScanState *node, MsgTraceScanStats *stats, char **first_request)
{
	TraceScan *scan = node->fdw_state;

	if (scan == NULL)
		return false;
	msgtrace_reading_stats(&scan->reading, stats);
	stats->kept_loops = scan->kept_loops;
	stats->wide = scan->wide_filled;
	*first_request = scan->reading.first_request;
	return true;
}
