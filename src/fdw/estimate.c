/*-------------------------------------------------------------------------
 *
 * estimate.c
 *		What a scan is expected to bring, and to cost.
 *
 * Requests are what a scan costs: the service gives a hundred in five minutes,
 * and each takes seconds.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/estimate.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "fdw/question.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/timestamp.h"

/*
 * A request takes seconds where a page of a table takes microseconds; but a cost
 * in that proportion would have every small query compiled by the JIT.
 */
#define REQUEST_COST 1000.0

/*
 * Slices of about a page are not all full, and few of them are asked for at a
 * time.  That it saves a sort is not worth it: so much dearer, it is chosen
 * for a LIMIT only.
 */
#define ORDERED_REQUESTS 1.5

/* ---------------------------------------------------------------- values */

/*
 * Times that only the execution knows (a column of another relation, a
 * parameter) are taken to be a day ago, and an hour from each other; so "between
 * a.since and a.since + '1 hour'" is an hour, whatever the hour.
 */
typedef struct Guesses
{
	TimestampTz first;
	int64 step; /* from one to the next; microseconds; 0 = guess nothing */
	List *guessed;
} Guesses;

static Const *
constant_of(Oid type, Datum value, bool by_value)
{
	return makeConst(type, -1, InvalidOid, by_value ? sizeof(int64) : sizeof(Interval), value,
					 false, by_value);
}

static Const *
guess_of(Node *unknown, Guesses *guesses)
{
	Oid type = exprType(unknown);
	int place = 0;

	if (type == INTERVALOID)
	{
		Interval *day = palloc0(sizeof(Interval));

		day->day = 1;
		return constant_of(type, IntervalPGetDatum(day), false);
	}
	while (place < list_length(guesses->guessed) &&
		   !equal(list_nth(guesses->guessed, place), unknown))
		place++;
	if (place == list_length(guesses->guessed))
		guesses->guessed = lappend(guesses->guessed, unknown);
	return constant_of(type, TimestampTzGetDatum(guesses->first + place * guesses->step), true);
}

static Node *
guess_times(Node *node, void *guesses)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) || IsA(node, Param))
	{
		Oid type = exprType(node);

		if (type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == INTERVALOID)
			return (Node *) guess_of(node, guesses);
	}
	return expression_tree_mutator(node, guess_times, guesses);
}

/* What the planner can know of the values already, or guess. */
static MsgTraceValue *
estimate_values(PlannerInfo *root, List *values, Guesses *guesses)
{
	MsgTraceValue *estimates = palloc0(Max(list_length(values), 1) * sizeof(MsgTraceValue));

	for (int i = 0; i < list_length(values); i++)
	{
		Node *expr = list_nth(values, i);
		Node *value = estimate_expression_value(root, expr);
		Const *constant;

		if (!IsA(value, Const) && guesses->step != 0)
			value = estimate_expression_value(root, guess_times(value, guesses));
		constant = (Const *) value;
		estimates[i].type = exprType(expr);
		estimates[i].known = IsA(constant, Const);
		if (!estimates[i].known)
			continue;
		estimates[i].value = constant->constvalue;
		estimates[i].is_null = constant->constisnull;
	}
	return estimates;
}

/* ----------------------------------------------------------------- range */

/*
 * The hull of the queries' ranges where they name one: what `from` and `to` were
 * set to remains otherwise.
 */
static void
named_range(const MsgTraceQuestion *question, TimestampTz *from, TimestampTz *to)
{
	TimestampTz oldest = DT_NOEND;
	TimestampTz newest = DT_NOBEGIN;

	for (int i = 0; i < question->count; i++)
	{
		oldest = Min(oldest, question->queries[i].from);
		newest = Max(newest, question->queries[i].to);
	}
	if (!TIMESTAMP_NOT_FINITE(oldest))
		*from = oldest;
	if (!TIMESTAMP_NOT_FINITE(newest))
		*to = newest;
}

/* ------------------------------------------------------------- question */

static void
guess_question(MsgTraceQuestion *question, PlannerInfo *root, List *condition, List *values,
			   const MsgTraceSettings *settings, Guesses *guesses, MsgTraceQuestionNotes *notes)
{
	memset(notes, 0, sizeof(*notes));
	notes->warned = true; /* the scan itself will warn */
	msgtrace_question_make(question, condition, estimate_values(root, values, guesses), settings,
						   notes);
}

/*
 * First with what is known; then with guesses in that range.  Two unknown bounds
 * may have been guessed in the wrong order.
 */
static void
estimate_question(MsgTraceEstimate *estimate, PlannerInfo *root, List *condition, List *values,
				  const MsgTraceSettings *settings)
{
	MsgTraceQuestion question;
	MsgTraceQuestionNotes notes;
	Guesses guesses = {0};
	TimestampTz now;
	bool known = msgtrace_question_now(settings, &now);
	TimestampTz from = now - USECS_PER_DAY;
	TimestampTz to = now;

	guess_question(&question, root, condition, values, settings, &guesses, &notes);
	named_range(&question, &from, &to);
	if (!known)
		now = Max(to, from + USECS_PER_DAY);
	guesses.first = Max(from, to - USECS_PER_DAY);
	guesses.step = Min(USECS_PER_HOUR, Max(to - guesses.first, 0) / 4 + 1);
	guess_question(&question, root, condition, values, settings, &guesses, &notes);
	if (question.count == 0)
	{
		guesses.step = -guesses.step;
		guesses.first -= 2 * guesses.step;
		guess_question(&question, root, condition, values, settings, &guesses, &notes);
	}
	estimate->queries = question.count;
	estimate->is_wide = notes.is_wide;
	estimate->fetched = msgtrace_question_rows(&question, settings, now);
	estimate->matching = Min(notes.matching, estimate->fetched);
	estimate->requests = msgtrace_question_requests(&question, settings, now);
}

/* Conditions that the service is asked for are in the question's rows already. */
static List *
conditions_checked_here(List *clauses, List *reasons)
{
	List *local = NIL;
	ListCell *clause;
	ListCell *reason;

	forboth(clause, clauses, reason, reasons)
	{
		if (*strVal(lfirst(reason)))
			local = lappend(local, lfirst(clause));
	}
	return local;
}

static void
estimate_costs(MsgTraceEstimate *estimate, PlannerInfo *root, List *clauses)
{
	QualCost per_tuple;

	cost_qual_eval(&per_tuple, clauses, root);
	estimate->startup = Min(estimate->requests, 1) * REQUEST_COST + per_tuple.startup;
	estimate->total = estimate->requests * REQUEST_COST + per_tuple.startup +
					  estimate->fetched * (cpu_tuple_cost + per_tuple.per_tuple);
}

void
msgtrace_estimate(MsgTraceEstimate *estimate, PlannerInfo *root, RelOptInfo *rel,
				  const MsgTraceTable *table, List *clauses)
{
	List *values;
	List *reasons;
	List *condition = msgtrace_condition_make(root, table, clauses, &values, &reasons);

	estimate_question(estimate, root, condition, values, table->settings);
	estimate->rows = clamp_row_est(
		estimate->matching * clauselist_selectivity(root, conditions_checked_here(clauses, reasons),
													(int) rel->relid, JOIN_INNER, NULL));
	estimate_costs(estimate, root, clauses);
}

/* Each slice is sorted by itself. */
void
msgtrace_estimate_ordered(MsgTraceEstimate *estimate, const MsgTraceTable *table)
{
	double slice = clamp_row_est(Min(estimate->fetched, table->settings->page_size));
	double extra = estimate->requests * (ORDERED_REQUESTS - 1);

	estimate->total += extra * REQUEST_COST +
					   2.0 * cpu_operator_cost * estimate->fetched * log2(Max(slice, 2));
}
