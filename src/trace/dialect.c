/*-------------------------------------------------------------------------
 *
 * dialect.c
 *		What differs between the two APIs of the service.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/dialect.h"

#include "net/http.h"
#include "trace/filter.h"
#include "trace/graph.h"
#include "trace/reporting.h"

static const MsgTraceDialect *const dialects[] = {&msgtrace_graph, &msgtrace_reporting};

const MsgTraceDialect *
msgtrace_dialect_find(const char *name)
{
	for (size_t i = 0; i < lengthof(dialects); i++)
	{
		if (strcmp(dialects[i]->name, name) == 0)
			return dialects[i];
	}
	return NULL;
}

/* The names of one API are none of the other's: a table may be of either. */
int
msgtrace_dialect_field(const char *property)
{
	for (size_t i = 0; i < lengthof(dialects); i++)
	{
		for (int field = 0; field < MSGTRACE_FIELDS; field++)
		{
			const char *name = dialects[i]->properties[field];

			if (name && strcmp(name, property) == 0)
				return field;
		}
	}
	return -1;
}

char *
msgtrace_dialect_list_url(const MsgTraceDialect *dialect, const char *report_url,
						  const MsgTraceQuery *query, const MsgTraceSlice *slice, int page_size)
{
	static const char *const tests[] = {[MSGTRACE_SUBJECT_STARTS] = "startsWith",
										[MSGTRACE_SUBJECT_ENDS] = "endsWith",
										[MSGTRACE_SUBJECT_CONTAINS] = "contains"};
	StringInfoData filter;
	char *escaped;
	char *url;

	initStringInfo(&filter);
	dialect->append_window(&filter, slice);
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (query->equals[field])
			msgtrace_filter_equal(&filter, dialect->properties[field],
								  dialect->asked[field] == MSGTRACE_ASKED_AS_GUID ? "guid" : "",
								  query->equals[field]);
	}
	if (query->subject_test != MSGTRACE_SUBJECT_ANY)
		msgtrace_filter_test(&filter, tests[query->subject_test],
							 dialect->properties[MSGTRACE_SUBJECT], query->subject);
	escaped = msgtrace_http_escape(filter.data);
	url = psprintf("%s?$filter=%s&$top=%d", report_url, escaped, page_size);
	pfree(escaped);
	pfree(filter.data);
	return url;
}
