/*-------------------------------------------------------------------------
 *
 * question.c
 *		From a condition and its values to what is asked of the service.
 *
 * A scan does this when a loop starts, with the values of that moment, so that
 * prepared statements and now() lose nothing; the planner does it with the
 * values that it can know, for its estimates.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/question.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "fdw/condition.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/formatting.h"
#include "utils/timestamp.h"

/* The share of a tenant's rows that one address has, by experience. */
#define ADDRESS_SHARE 0.001

/* The service's longest window, documented. */
#define MAX_WINDOW_DAYS 10

/*
 * As the comparison operators do it: a date or timestamp beyond what a
 * timestamptz can hold is beyond all of them.
 */
static TimestampTz
time_of(Datum value, Oid type)
{
	int overflow = 0;
	TimestampTz time;

	if (type == TIMESTAMPTZOID)
		return DatumGetTimestampTz(value);
	if (type == DATEOID)
		time = date2timestamptz_opt_overflow(DatumGetDateADT(value), &overflow);
	else
		time = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &overflow);
	if (overflow != 0)
		return overflow < 0 ? DT_NOBEGIN : DT_NOEND;
	return time;
}

/* The instant after this one; the infinities have none. */
static TimestampTz
after(TimestampTz time)
{
	return TIMESTAMP_NOT_FINITE(time) ? time : time + 1;
}

static void
narrow_range(MsgTraceQuery *query, MsgTraceAtomKind kind, TimestampTz time)
{
	switch (kind)
	{
		case MSGTRACE_RECEIVED_LT:
			msgtrace_query_to(query, time);
			break;
		case MSGTRACE_RECEIVED_LE:
			msgtrace_query_to(query, after(time));
			break;
		case MSGTRACE_RECEIVED_EQ:
			msgtrace_query_from(query, time);
			msgtrace_query_to(query, after(time));
			break;
		case MSGTRACE_RECEIVED_GE:
			msgtrace_query_from(query, time);
			break;
		case MSGTRACE_RECEIVED_GT:
			msgtrace_query_from(query, after(time));
			break;
		default:
			Assert(false);
	}
}

static bool
has_upper_ascii(const char *text)
{
	return text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0';
}

static void
warn_of_spelling(const char *column, const char *value)
{
	ereport(
		WARNING, errcode(ERRCODE_FDW_INVALID_STRING_FORMAT),
		errmsg("no %s can equal \"%s\"", column, value),
		errdetail(
			"Addresses are shown with ASCII letters in lower case, so the service was not asked."),
		errhint("Write \"%s\", or set the option normalize to false.",
				asc_tolower(value, strlen(value))));
}

/*
 * What the column shows is in the normal form; a constant outside it is not met.
 * False when no row can have this address.
 */
static bool
ask_for_address(MsgTraceQuery *query, MsgTraceField field, const char *value, bool normalize,
				MsgTraceQuestionNotes *notes)
{
	if (normalize && has_upper_ascii(value))
	{
		if (!notes->warned)
			warn_of_spelling(msgtrace_field_info[field].column, value);
		notes->warned = true;
		return false;
	}
	if (msgtrace_query_can_ask_for(value))
		query->equals[field] = value;
	return true;
}

/* False when no row can satisfy it; a comparison with NULL is true of none. */
static bool
narrow(MsgTraceQuery *query, MsgTraceAtomKind kind, const MsgTraceValue *value,
	   const MsgTraceSettings *settings, MsgTraceQuestionNotes *notes)
{
	bool is_sender = kind == MSGTRACE_SENDER_EQ;

	if (value->known && value->is_null)
		return false;
	if (is_sender || kind == MSGTRACE_RECIPIENT_EQ)
	{
		query->share *= ADDRESS_SHARE;
		return !value->known ||
			   ask_for_address(query, is_sender ? MSGTRACE_SENDER : MSGTRACE_RECIPIENT,
							   TextDatumGetCString(value->value), settings->normalize, notes);
	}
	if (value->known)
		narrow_range(query, kind, time_of(value->value, value->type));
	return !msgtrace_query_is_empty(query);
}

void
msgtrace_question_make(MsgTraceQuestion *question, List *condition, const MsgTraceValue *values,
					   const MsgTraceSettings *settings, TimestampTz now pg_attribute_unused(),
					   MsgTraceQuestionNotes *notes)
{
	MsgTraceQuery *query = palloc(sizeof(MsgTraceQuery));
	bool possible = true;
	ListCell *cell;

	memset(question, 0, sizeof(*question));
	question->page_size = settings->page_size;
	question->concurrency = settings->max_concurrency;
	question->queries = query;
	msgtrace_query_init(query);
	foreach (cell, condition)
	{
		List *atom = lfirst_node(List, cell);

		possible = narrow(query, linitial_int(atom), &values[lsecond_int(atom)], settings, notes) &&
				   possible;
	}
	question->count = possible ? 1 : 0;
}

/* Days of the trace that a query asks for, as the service holds them. */
static double
days_of(const MsgTraceQuery *query, const MsgTraceSettings *settings, TimestampTz now)
{
	TimestampTz from = Max(query->from, settings->dialect->earliest(now));
	TimestampTz to = Min(query->to, now);

	return from < to ? (double) (to - from) / USECS_PER_DAY : 0;
}

double
msgtrace_question_rows(const MsgTraceQuestion *question, const MsgTraceSettings *settings,
					   TimestampTz now)
{
	double rows = 0;

	for (int i = 0; i < question->count; i++)
	{
		const MsgTraceQuery *query = &question->queries[i];

		rows += settings->rows_per_day * days_of(query, settings, now) * query->share;
	}
	return rows;
}

double
msgtrace_question_requests(const MsgTraceQuestion *question, const MsgTraceSettings *settings,
						   TimestampTz now)
{
	double requests = 0;

	for (int i = 0; i < question->count; i++)
	{
		const MsgTraceQuery *query = &question->queries[i];
		double days = days_of(query, settings, now);
		double pages = settings->rows_per_day * days * query->share / question->page_size;

		requests += Max(ceil(pages), ceil(days / MAX_WINDOW_DAYS));
	}
	return requests;
}
