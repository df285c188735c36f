/*-------------------------------------------------------------------------
 *
 * question.c
 *		From a condition and its values to what is asked of the service.
 *
 * A scan does this when a loop starts, with the values of that moment, so that
 * prepared statements and now() lose nothing; the planner does it with the
 * values that it can know, for its estimates.
 *
 * The tree is multiplied out into queries, of which each row must satisfy one.
 * Then the cost decides: two queries become one that is wider wherever that
 * takes fewer requests, and so do all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/question.h"

#include <math.h>

#include "common/string.h"
#include "fdw/condition.h"
#include "miscadmin.h"
#include "net/clock.h"
#include "utils/timestamp.h"

/* The service's longest window, documented. */
#define MAX_WINDOW_DAYS 10

/* More queries than this cost more than anybody has. */
#define MAX_QUERIES 1000

/* Of so many each pair is looked at. */
#define MAX_PAIRED 64

bool
msgtrace_question_now(const MsgTraceSettings *settings, TimestampTz *now)
{
	const MsgTraceSessionConfig *session = &settings->session;
	const MsgTraceClock *clock = msgtrace_clock_of(session->report_url);

	*now = msgtrace_clock_now(clock, session->service_clock);
	return !session->service_clock || msgtrace_clock_is_known(clock);
}

/* ------------------------------------------------------------------ cost */

/* What all costs are reckoned with. */
typedef struct Prices
{
	const MsgTraceSettings *settings;
	TimestampTz now;
	TimestampTz earliest;
} Prices;

static Prices
prices_at(const MsgTraceSettings *settings, TimestampTz now)
{
	Prices prices = {settings, now, settings->dialect->earliest(now)};

	return prices;
}

/* Days of the trace that a query asks for, as the service holds them. */
static double
days_of(const MsgTraceQuery *query, const Prices *prices)
{
	TimestampTz from = Max(query->from, prices->earliest);
	TimestampTz to = Min(query->to, prices->now);

	return from < to ? (double) (to - from) / USECS_PER_DAY : 0;
}

static double
rows_of(const MsgTraceQuery *query, const Prices *prices)
{
	return prices->settings->rows_per_day * days_of(query, prices) * query->share;
}

/* What lies in the future, or is held no more, is not asked for. */
static double
requests_of(const MsgTraceQuery *query, const Prices *prices)
{
	double days = days_of(query, prices);
	double pages = rows_of(query, prices) / prices->settings->page_size;

	return days > 0 ? Max(ceil(pages), ceil(days / MAX_WINDOW_DAYS)) : 0;
}

static double
requests_of_all(const MsgTraceAlternatives *all, const Prices *prices)
{
	double requests = 0;

	for (int i = 0; i < all->count; i++)
		requests += requests_of(&all->queries[i], prices);
	return requests;
}

static double
rows_of_all(const MsgTraceAlternatives *all, const Prices *prices)
{
	double rows = 0;

	for (int i = 0; i < all->count; i++)
		rows += rows_of(&all->queries[i], prices);
	return rows;
}

/* --------------------------------------------------------------- queries */

static bool
same_text(const char *one, const char *other)
{
	return one == other || (one && other && strcmp(one, other) == 0);
}

static bool
same_subject(const MsgTraceQuery *one, const MsgTraceQuery *other)
{
	return one->subject_test == other->subject_test && same_text(one->subject, other->subject);
}

/* Does every row of the other satisfy this one, too? */
static bool
covers(const MsgTraceQuery *wide, const MsgTraceQuery *other)
{
	if (wide->from > other->from || wide->to < other->to ||
		(wide->subject_test != MSGTRACE_SUBJECT_ANY && !same_subject(wide, other)))
		return false;
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (wide->equals[field] && !same_text(wide->equals[field], other->equals[field]))
			return false;
	}
	return true;
}

/* The narrowest query that covers both. */
static MsgTraceQuery
hull_of(const MsgTraceQuery *one, const MsgTraceQuery *other)
{
	MsgTraceQuery hull;

	if (covers(one, other))
		return *one;
	if (covers(other, one))
		return *other;
	hull = *one;
	hull.from = Min(one->from, other->from);
	hull.to = Max(one->to, other->to);
	if (!same_subject(one, other))
	{
		hull.subject_test = MSGTRACE_SUBJECT_ANY;
		hull.subject = NULL;
	}
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (!same_text(one->equals[field], other->equals[field]))
			hull.equals[field] = NULL;
	}
	hull.share = msgtrace_alternatives_share(&hull);
	return hull;
}

/*
 * Beyond ASCII one row may satisfy both where they are compared by different
 * rules: lower() makes "k" of a Kelvin sign.
 */
static bool
exclude_each_other(const char *one, const char *other)
{
	return pg_is_ascii(one) && pg_is_ascii(other) && pg_strcasecmp(one, other) != 0;
}

/* Both at a time.  False when no row can satisfy both. */
static bool
intersect(MsgTraceQuery *both, const MsgTraceQuery *one, const MsgTraceQuery *other)
{
	*both = *one;
	both->from = Max(one->from, other->from);
	both->to = Min(one->to, other->to);
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (other->equals[field] == NULL)
			continue;
		if (one->equals[field] && exclude_each_other(one->equals[field], other->equals[field]))
			return false;
		both->equals[field] = other->equals[field];
	}
	/* of two tests of the subject the longer one */
	if (one->subject_test == MSGTRACE_SUBJECT_ANY ||
		(other->subject_test != MSGTRACE_SUBJECT_ANY &&
		 strlen(other->subject) > strlen(one->subject)))
	{
		both->subject_test = other->subject_test;
		both->subject = other->subject;
	}
	both->share = msgtrace_alternatives_share(both);
	return !msgtrace_query_is_empty(both);
}

/* ---------------------------------------------------------------- status */

/*
 * Can a row have one status, and a moment later the other?  Then it could slip
 * through between two requests.  What has failed or was expanded stays so; all
 * else may come from what is pending, and mail is quarantined, released, found
 * to be spam and recalled after its delivery.
 */
static bool
is_settled(const char *status)
{
	return pg_strcasecmp(status, "failed") == 0 || pg_strcasecmp(status, "expanded") == 0;
}

static bool
is_on_its_way(const char *status)
{
	return pg_strcasecmp(status, "pending") == 0 || pg_strcasecmp(status, "gettingStatus") == 0 ||
		   *status == '?'; /* the planner does not know */
}

static bool
may_turn(const char *one, const char *other)
{
	if (is_on_its_way(one) || is_on_its_way(other))
		return *one != '?' || *other != '?';
	return !is_settled(one) && !is_settled(other);
}

/* Could the same row be meant by both, but for its status? */
static bool
slips_through(const MsgTraceQuery *one, const MsgTraceQuery *other)
{
	const char *status = one->equals[MSGTRACE_STATUS];
	const char *other_status = other->equals[MSGTRACE_STATUS];

	if (status == NULL || other_status == NULL || pg_strcasecmp(status, other_status) == 0 ||
		one->from >= other->to || other->from >= one->to)
		return false;
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (field != MSGTRACE_STATUS && one->equals[field] && other->equals[field] &&
			exclude_each_other(one->equals[field], other->equals[field]))
			return false;
	}
	return may_turn(status, other_status);
}

static void
forget_status(MsgTraceQuery *query)
{
	query->equals[MSGTRACE_STATUS] = NULL;
	query->share = msgtrace_alternatives_share(query);
}

static void
forget_statuses(MsgTraceAlternatives *all)
{
	for (int i = 0; i < all->count; i++)
	{
		for (int j = i + 1; j < all->count; j++)
		{
			if (slips_through(&all->queries[i], &all->queries[j]))
			{
				forget_status(&all->queries[i]);
				forget_status(&all->queries[j]);
			}
		}
	}
}

/* ---------------------------------------------------------- alternatives */

static bool
is_covered(const MsgTraceAlternatives *all, const MsgTraceQuery *query)
{
	for (int i = 0; i < all->count; i++)
	{
		if (covers(&all->queries[i], query))
			return true;
	}
	return false;
}

static void
drop_covered(MsgTraceAlternatives *all, const MsgTraceQuery *by)
{
	int kept = 0;

	for (int i = 0; i < all->count; i++)
	{
		if (!covers(by, &all->queries[i]))
			all->queries[kept++] = all->queries[i];
	}
	all->count = kept;
}

/* Drop what another one covers. */
static void
absorb(MsgTraceAlternatives *all)
{
	int count = all->count;

	all->count = 0;
	for (int i = 0; i < count; i++)
	{
		MsgTraceQuery query = all->queries[i];

		CHECK_FOR_INTERRUPTS();
		if (is_covered(all, &query))
			continue;
		drop_covered(all, &query);
		all->queries[all->count++] = query;
	}
}

static void
merge_all(MsgTraceAlternatives *all)
{
	for (int i = 1; i < all->count; i++)
		all->queries[0] = hull_of(&all->queries[0], &all->queries[i]);
	all->count = Min(all->count, 1);
}

/* Join the pair that saves most; false when none saves anything. */
static bool
merge_pair(MsgTraceAlternatives *all, const Prices *prices)
{
	int best = -1;
	int partner = -1;
	double most = 0;
	MsgTraceQuery best_hull;

	for (int i = 0; i < all->count; i++)
	{
		for (int j = i + 1; j < all->count; j++)
		{
			MsgTraceQuery hull = hull_of(&all->queries[i], &all->queries[j]);
			double saved = requests_of(&all->queries[i], prices) +
						   requests_of(&all->queries[j], prices) - requests_of(&hull, prices);

			if (saved > most)
			{
				most = saved;
				best = i;
				partner = j;
				best_hull = hull;
			}
		}
	}
	if (best < 0)
		return false;
	all->queries[best] = best_hull;
	all->queries[partner] = all->queries[--all->count];
	return true;
}

static MsgTraceAlternatives
copy_of(const MsgTraceAlternatives *all)
{
	MsgTraceAlternatives copy = {0};

	for (int i = 0; i < all->count; i++)
		msgtrace_alternatives_add(&copy, &all->queries[i]);
	return copy;
}

/* The cheapest way to ask for them all. */
static void
choose(MsgTraceAlternatives *all, const Prices *prices)
{
	MsgTraceAlternatives wide = copy_of(all);

	merge_all(&wide);
	while (all->count > 1 && all->count <= MAX_PAIRED && merge_pair(all, prices))
		;
	if (requests_of_all(&wide, prices) < requests_of_all(all, prices))
		*all = wide;
}

/* -------------------------------------------------------------- the tree */

/* What making a question goes by. */
typedef struct Making
{
	const MsgTraceValue *values;
	Prices prices;
	MsgTraceQuestionNotes *notes;
} Making;

static MsgTraceAlternatives multiply_out(Making *making, List *condition);

static void
everything(MsgTraceAlternatives *all)
{
	MsgTraceQuery query;

	memset(all, 0, sizeof(*all));
	msgtrace_query_init(&query);
	msgtrace_alternatives_add(all, &query);
}

static MsgTraceAlternatives
product_of(const MsgTraceAlternatives *one, const MsgTraceAlternatives *other)
{
	MsgTraceAlternatives product = {0};

	for (int i = 0; i < one->count; i++)
	{
		for (int j = 0; j < other->count; j++)
		{
			MsgTraceQuery both;

			if (intersect(&both, &one->queries[i], &other->queries[j]))
				msgtrace_alternatives_add(&product, &both);
		}
	}
	absorb(&product);
	return product;
}

/*
 * One more condition on all of them.  Several values for a second property
 * multiply the queries: they may better be checked here.
 */
static void
narrow_by(MsgTraceAlternatives *all, MsgTraceAlternatives *by, Making *making)
{
	MsgTraceAlternatives wide = copy_of(by);
	MsgTraceAlternatives product;

	merge_all(&wide);
	wide = product_of(all, &wide);
	if (by->count > 1 && (double) all->count * by->count > MAX_QUERIES)
	{
		making->notes->is_wide = true;
		*all = wide;
		return;
	}
	product = product_of(all, by);
	if (all->count > 1 && by->count > 1 &&
		requests_of_all(&wide, &making->prices) < requests_of_all(&product, &making->prices))
	{
		making->notes->is_wide = true;
		product = wide;
	}
	*all = product;
}

static int
by_count(const ListCell *one, const ListCell *other)
{
	return ((MsgTraceAlternatives *) lfirst(one))->count -
		   ((MsgTraceAlternatives *) lfirst(other))->count;
}

static MsgTraceAlternatives
multiply_and(Making *making, List *parts)
{
	MsgTraceAlternatives all;
	List *factors = NIL;
	ListCell *cell;

	for_each_from(cell, parts, 1)
	{
		MsgTraceAlternatives *factor = palloc(sizeof(MsgTraceAlternatives));

		*factor = multiply_out(making, lfirst(cell));
		factors = lappend(factors, factor);
	}
	list_sort(factors, by_count); /* what narrows without multiplying goes first */
	everything(&all);
	foreach (cell, factors)
		narrow_by(&all, lfirst(cell), making);
	return all;
}

static MsgTraceAlternatives
multiply_or(Making *making, List *parts)
{
	MsgTraceAlternatives all = {0};
	ListCell *cell;

	for_each_from(cell, parts, 1)
	{
		MsgTraceAlternatives part = multiply_out(making, lfirst(cell));

		for (int i = 0; i < part.count; i++)
			msgtrace_alternatives_add(&all, &part.queries[i]);
	}
	return all;
}

static MsgTraceAlternatives
multiply_out(Making *making, List *condition)
{
	MsgTraceAlternatives all;

	if (condition == NIL)
		everything(&all);
	else if (msgtrace_condition_is_atom(condition))
		msgtrace_alternatives_of_atom(&all, condition, making->values, making->prices.settings,
									  &making->notes->warned);
	else if (msgtrace_condition_is_or(condition))
		all = multiply_or(making, condition);
	else
		all = multiply_and(making, condition);
	if (all.count > MAX_QUERIES) /* comparing each with each would take long, too */
	{
		making->notes->is_wide = true;
		merge_all(&all);
	}
	absorb(&all);
	return all;
}

/* Where the service's clock is not known, it has all that is asked for. */
static TimestampTz
newest_end(const MsgTraceAlternatives *all, TimestampTz now)
{
	TimestampTz newest = DT_NOBEGIN;

	for (int i = 0; i < all->count; i++)
		newest = Max(newest, all->queries[i].to);
	return TIMESTAMP_NOT_FINITE(newest) ? now : newest;
}

void
msgtrace_question_make(MsgTraceQuestion *question, List *condition, const MsgTraceValue *values,
					   const MsgTraceSettings *settings, MsgTraceQuestionNotes *notes)
{
	Making making = {.values = values, .notes = notes};
	MsgTraceAlternatives all;
	TimestampTz now;
	bool known = msgtrace_question_now(settings, &now);
	int asked_apart;

	notes->is_wide = false;
	making.prices = prices_at(settings, now);
	all = multiply_out(&making, condition);
	if (!known)
		making.prices = prices_at(settings, newest_end(&all, now));
	notes->matching = rows_of_all(&all, &making.prices);
	asked_apart = all.count;
	forget_statuses(&all);
	absorb(&all);
	choose(&all, &making.prices);
	notes->is_wide = notes->is_wide || (all.count == 1 && asked_apart > 1);
	memset(question, 0, sizeof(*question));
	question->page_size = settings->page_size;
	question->concurrency = settings->max_concurrency;
	question->queries = all.queries;
	question->count = all.count;
}

double
msgtrace_question_rows(const MsgTraceQuestion *question, const MsgTraceSettings *settings,
					   TimestampTz now)
{
	Prices prices = prices_at(settings, now);
	MsgTraceAlternatives all = {question->queries, question->count, question->count};

	return rows_of_all(&all, &prices);
}

double
msgtrace_question_requests(const MsgTraceQuestion *question, const MsgTraceSettings *settings,
						   TimestampTz now)
{
	Prices prices = prices_at(settings, now);
	MsgTraceAlternatives all = {question->queries, question->count, question->count};

	return requests_of_all(&all, &prices);
}
