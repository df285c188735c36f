/*-------------------------------------------------------------------------
 *
 * query.c
 *		What is asked of the service, as small plain values.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/query.h"

#include "utils/timestamp.h"

/* The service's own limit is not known; nothing longer was seen in a filter. */
#define MAX_VALUE_BYTES 256

void
msgtrace_query_init(MsgTraceQuery *query)
{
	memset(query, 0, sizeof(*query));
	query->from = DT_NOBEGIN;
	query->to = DT_NOEND;
	query->share = 1;
}

void
msgtrace_query_from(MsgTraceQuery *query, TimestampTz from)
{
	query->from = Max(query->from, from);
}

void
msgtrace_query_to(MsgTraceQuery *query, TimestampTz to)
{
	query->to = Min(query->to, to);
}

bool
msgtrace_query_is_empty(const MsgTraceQuery *query)
{
	return query->from >= query->to;
}

/*
 * The empty string is how the service spells "none", a star is a wildcard to
 * it, and it may trim or refuse the rest: such values are compared by us alone.
 */
bool
msgtrace_query_can_ask_for(const char *value)
{
	size_t length = strlen(value);

	if (length == 0 || length > MAX_VALUE_BYTES)
		return false;
	if (value[0] == ' ' || value[length - 1] == ' ')
		return false;
	if (strstr(value, "\xef\xbf\xbd"))
		return false; /* U+FFFD stands for what the service holds as something else */
	for (const char *c = value; *c; c++)
	{
		if (*c == '*' || (unsigned char) *c < ' ' || *c == 0x7f)
			return false;
	}
	return true;
}
