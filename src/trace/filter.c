/*-------------------------------------------------------------------------
 *
 * filter.c
 *		The parts of a $filter that both APIs write alike.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/filter.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

void
msgtrace_filter_and(StringInfo filter)
{
	if (filter->len > 0)
		appendStringInfoString(filter, " and ");
}

void
msgtrace_filter_utc(StringInfo filter, TimestampTz time)
{
	struct pg_tm tm;
	fsec_t fraction;

	/* slices lie within what the service holds: this cannot be out of range */
	if (timestamp2tm(time, NULL, &tm, &fraction, NULL, NULL) != 0)
		pg_unreachable();
	appendStringInfo(filter, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year, tm.tm_mon, tm.tm_mday,
					 tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* A quote in the value is doubled. */
static void
append_literal(StringInfo filter, const char *value)
{
	appendStringInfoChar(filter, '\'');
	for (; *value; value++)
	{
		if (*value == '\'')
			appendStringInfoChar(filter, '\'');
		appendStringInfoChar(filter, *value);
	}
	appendStringInfoChar(filter, '\'');
}

void
msgtrace_filter_equal(StringInfo filter, const char *property, const char *type, const char *value)
{
	msgtrace_filter_and(filter);
	appendStringInfo(filter, "%s eq %s", property, type);
	append_literal(filter, value);
}

void
msgtrace_filter_test(StringInfo filter, const char *function, const char *property,
					 const char *value)
{
	msgtrace_filter_and(filter);
	appendStringInfo(filter, "%s(%s,", function, property);
	append_literal(filter, value);
	appendStringInfoChar(filter, ')');
}
