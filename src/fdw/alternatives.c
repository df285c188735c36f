/*-------------------------------------------------------------------------
 *
 * alternatives.c
 *		What one atom asks of the service, with its value.
 *
 * A value that the service would not compare as SQL does is not asked for: then
 * the atom asks for everything, and the executor finds the rows.  One that no row
 * can have, since columns are shown in the normal form, asks for nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/alternatives.h"

#include "catalog/pg_type_d.h"
#include "fdw/condition.h"
#include "fdw/pattern.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/formatting.h"
#include "utils/inet.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* What the planner takes an array for whose length it cannot know. */
#define USUAL_ARRAY 10

/* The share of a tenant's rows that one value has, by experience. */
static const double share_of_value[MSGTRACE_FIELDS] = {
	[MSGTRACE_ID] = 1e-7,		  [MSGTRACE_MESSAGE_ID] = 1e-7, [MSGTRACE_SENDER] = 0.001,
	[MSGTRACE_RECIPIENT] = 0.001, [MSGTRACE_SUBJECT] = 0.001,	[MSGTRACE_STATUS] = 0.02,
	[MSGTRACE_FROM_IP] = 0.001,	  [MSGTRACE_TO_IP] = 0.001};
#define SHARE_OF_DELIVERED 0.85
#define SHARE_OF_END 0.002		/* a subject's beginning or end */
#define SHARE_OF_CONTAINED 0.01 /* what it contains */

double
msgtrace_alternatives_share(const MsgTraceQuery *query)
{
	const char *status = query->equals[MSGTRACE_STATUS];
	double share = 1;

	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (query->equals[field])
			share *= share_of_value[field];
	}
	if (status && pg_strcasecmp(status, "delivered") == 0)
		share *= SHARE_OF_DELIVERED / share_of_value[MSGTRACE_STATUS];
	if (query->subject_test == MSGTRACE_SUBJECT_CONTAINS)
		share *= SHARE_OF_CONTAINED;
	else if (query->subject_test != MSGTRACE_SUBJECT_ANY)
		share *= SHARE_OF_END;
	return share;
}

/* One atom with one value. */
typedef struct Test
{
	MsgTraceAtomKind kind;
	MsgTraceField field;
	const MsgTraceSettings *settings;
	bool *warned;
} Test;

typedef enum Verdict
{
	ASKS,		/* the query was narrowed */
	EVERYTHING, /* it was not: the service cannot be asked */
	NOTHING		/* no row can satisfy it */
} Verdict;

void
msgtrace_alternatives_add(MsgTraceAlternatives *alternatives, const MsgTraceQuery *query)
{
	if (alternatives->count == alternatives->size)
	{
		Size bytes;

		alternatives->size = Max(alternatives->size * 2, 4);
		bytes = alternatives->size * sizeof(MsgTraceQuery);
		alternatives->queries = alternatives->queries ? repalloc(alternatives->queries, bytes)
													  : palloc(bytes);
	}
	alternatives->queries[alternatives->count++] = *query;
}

/* ------------------------------------------------------------------ time */

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

static Verdict
narrow_range(MsgTraceQuery *query, MsgTraceAtomKind kind, TimestampTz time)
{
	if (kind == MSGTRACE_RECEIVED_LT)
		msgtrace_query_to(query, time);
	if (kind == MSGTRACE_RECEIVED_LE || kind == MSGTRACE_RECEIVED_EQ)
		msgtrace_query_to(query, after(time));
	if (kind == MSGTRACE_RECEIVED_GE || kind == MSGTRACE_RECEIVED_EQ)
		msgtrace_query_from(query, time);
	if (kind == MSGTRACE_RECEIVED_GT)
		msgtrace_query_from(query, after(time));
	return msgtrace_query_is_empty(query) ? NOTHING : ASKS;
}

/* -------------------------------------------------------------- equality */

static bool
has_upper_ascii(const char *text)
{
	return text[strcspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] != '\0';
}

static bool
is_ascii(const char *text)
{
	for (; *text; text++)
	{
		if (IS_HIGHBIT_SET(*text))
			return false;
	}
	return true;
}

static void
warn_of_spelling(const Test *test, const char *value, const char *right, const char *rule)
{
	if (*test->warned)
		return;
	*test->warned = true;
	ereport(WARNING, errcode(ERRCODE_FDW_INVALID_STRING_FORMAT),
			errmsg("no %s can equal \"%s\"", msgtrace_field_info[test->field].column, value),
			errdetail("%s, so the service was not asked.", rule),
			errhint("Write \"%s\", or set the option normalize to false.", right));
}

/* Does the normal form rule out that a column shows this? */
static bool
is_never_shown(const Test *test, const char *value)
{
	bool is_address = test->field == MSGTRACE_SENDER || test->field == MSGTRACE_RECIPIENT;

	if (!test->settings->normalize)
		return false;
	if (*value == '\0') /* shown as NULL */
		return true;
	if (test->kind != MSGTRACE_EQUAL)
		return false;
	if (is_address && has_upper_ascii(value))
	{
		warn_of_spelling(test, value, asc_tolower(value, strlen(value)),
						 "Addresses are shown with ASCII letters in lower case");
		return true;
	}
	if (test->field == MSGTRACE_STATUS && *value >= 'A' && *value <= 'Z')
	{
		warn_of_spelling(test, value,
						 psprintf("%c%s", pg_ascii_tolower((unsigned char) *value), value + 1),
						 "A status is shown with its first letter in lower case");
		return true;
	}
	return false;
}

/* Of others it is not known whether a filter takes them. */
static bool
is_known_status(const char *value)
{
	static const char *const known[] = {"gettingStatus",  "pending",  "failed",
										"delivered",	  "expanded", "quarantined",
										"filteredAsSpam", "recalled"};

	for (size_t i = 0; i < lengthof(known); i++)
	{
		if (pg_strcasecmp(value, known[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_canonical_uuid(const char *value)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(value) != strlen(form))
		return false;
	for (int i = 0; form[i]; i++)
	{
		if (form[i] == '-' ? value[i] != '-' : strchr("0123456789abcdefABCDEF", value[i]) == NULL)
			return false;
	}
	return true;
}

/* Four numbers; of other forms it is not known how the service writes them. */
static bool
is_ipv4(const char *value)
{
	return *value && value[strspn(value, "0123456789.")] == '\0';
}

static bool
can_ask_for(const Test *test, const char *value)
{
	if (!msgtrace_query_can_ask_for(value))
		return false;
	if (test->kind != MSGTRACE_EQUAL && !is_ascii(value))
		return false; /* it ignores case by other rules */
	switch (test->field)
	{
		case MSGTRACE_ID:
			return is_canonical_uuid(value);
		case MSGTRACE_STATUS:
			return is_known_status(value);
		case MSGTRACE_FROM_IP:
		case MSGTRACE_TO_IP:
			return is_ipv4(value);
		default:
			return true;
	}
}

/* An address with a mask has it in its text, and is not asked for. */
static char *
text_of(Datum value, Oid type)
{
	Oid output;
	bool is_varlena;

	if (type == TEXTOID)
		return TextDatumGetCString(value);
	getTypeOutputInfo(type, &output, &is_varlena);
	return OidOutputFunctionCall(output, value);
}

static Verdict
narrow_to_value(MsgTraceQuery *query, const Test *test, const char *value)
{
	if (is_never_shown(test, value) ||
		(test->kind == MSGTRACE_EQUAL_LOWER && has_upper_ascii(value)))
		return NOTHING;
	if (!can_ask_for(test, value))
		return EVERYTHING;
	query->equals[test->field] = value;
	return ASKS;
}

/* --------------------------------------------------------------- subject */

static Verdict
narrow_to_subject(MsgTraceQuery *query, const Test *test, const char *pattern)
{
	MsgTracePatternKind kind = test->kind == MSGTRACE_LIKE	   ? MSGTRACE_PATTERN_LIKE
							   : test->kind == MSGTRACE_ILIKE  ? MSGTRACE_PATTERN_ILIKE
							   : test->kind == MSGTRACE_BEGINS ? MSGTRACE_PATTERN_BEGINNING
															   : MSGTRACE_PATTERN_ILIKE_C;

	if (!msgtrace_pattern_test(pattern, kind, &query->subject_test, &query->subject))
		return EVERYTHING;
	return ASKS;
}

/* ----------------------------------------------------------------- atoms */

static Verdict
narrow(MsgTraceQuery *query, const Test *test, Datum value, Oid type)
{
	if (test->kind <= MSGTRACE_RECEIVED_GT)
		return narrow_range(query, test->kind, time_of(value, type));
	if (test->kind >= MSGTRACE_LIKE)
		return narrow_to_subject(query, test, text_of(value, type));
	return narrow_to_value(query, test, text_of(value, type));
}

/* For the planner: a value that will be there, different from all others. */
static Verdict
narrow_to_unknown(MsgTraceQuery *query, const Test *test, int value, int element)
{
	if (test->kind <= MSGTRACE_RECEIVED_GT)
		return EVERYTHING;
	if (test->kind >= MSGTRACE_LIKE)
	{
		query->subject_test = MSGTRACE_SUBJECT_CONTAINS;
		query->subject = psprintf("?%d.%d", value, element);
		return ASKS;
	}
	query->equals[test->field] = psprintf("?%d.%d", value, element);
	return ASKS;
}

/* False when the atom asks for everything, whatever its other elements ask for. */
static bool
add(MsgTraceAlternatives *alternatives, MsgTraceQuery *query, Verdict verdict)
{
	if (verdict == ASKS)
	{
		query->share = msgtrace_alternatives_share(query);
		msgtrace_alternatives_add(alternatives, query);
	}
	else if (verdict == EVERYTHING)
	{
		MsgTraceQuery everything;

		msgtrace_query_init(&everything);
		alternatives->count = 0;
		msgtrace_alternatives_add(alternatives, &everything);
		return false;
	}
	return true;
}

static void
add_elements(MsgTraceAlternatives *alternatives, const Test *test, const MsgTraceValue *value)
{
	ArrayType *array = DatumGetArrayTypeP(value->value);
	int16 length;
	bool by_value;
	char alignment;
	Datum *elements;
	bool *nulls;
	int count;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &elements, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
	{
		MsgTraceQuery query;
		Verdict verdict = NOTHING; /* a comparison with NULL is true of no row */

		msgtrace_query_init(&query);
		if (!nulls[i])
			verdict = narrow(&query, test, elements[i], ARR_ELEMTYPE(array));
		if (!add(alternatives, &query, verdict))
			return;
	}
}

static void
add_unknown(MsgTraceAlternatives *alternatives, const Test *test, int value, bool any)
{
	int count = any ? USUAL_ARRAY : 1;

	for (int i = 0; i < count; i++)
	{
		MsgTraceQuery query;

		msgtrace_query_init(&query);
		if (!add(alternatives, &query, narrow_to_unknown(&query, test, value, i)))
			return;
	}
}

void
msgtrace_alternatives_of_atom(MsgTraceAlternatives *alternatives, const List *atom,
							  const MsgTraceValue *values, const MsgTraceSettings *settings,
							  bool *warned)
{
	Test test = {list_nth_int(atom, MSGTRACE_ATOM_KIND), list_nth_int(atom, MSGTRACE_ATOM_FIELD),
				 settings, warned};
	bool any = list_nth_int(atom, MSGTRACE_ATOM_ANY);
	int number = list_nth_int(atom, MSGTRACE_ATOM_VALUE);
	const MsgTraceValue *value = &values[number];
	MsgTraceQuery query;

	memset(alternatives, 0, sizeof(*alternatives));
	msgtrace_query_init(&query);
	if (test.kind == MSGTRACE_GATE)
	{
		if (!value->known || (!value->is_null && DatumGetBool(value->value)))
			msgtrace_alternatives_add(alternatives, &query);
	}
	else if (!value->known)
		add_unknown(alternatives, &test, number, any);
	else if (value->is_null)
		return;
	else if (any)
		add_elements(alternatives, &test, value);
	else
		(void) add(alternatives, &query, narrow(&query, &test, value->value, value->type));
}
