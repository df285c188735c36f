/*-------------------------------------------------------------------------
 *
 * dialect.h
 *		What differs between the two APIs of the service.
 *
 * All that stands above (slices, pages, rows, columns) is the same for both; a
 * dialect is a value that says how this one is written and read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DIALECT_H
#define MSGTRACE_DIALECT_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "trace/field.h"
#include "trace/query.h"
#include "trace/slice.h"

/* How a filter compares a property with a value, if it can. */
typedef enum MsgTraceAsked
{
	MSGTRACE_UNASKED,
	MSGTRACE_ASKED_AS_TEXT, /* 'value' */
	MSGTRACE_ASKED_AS_GUID	/* guid'value' */
} MsgTraceAsked;

typedef struct MsgTraceDialect
{
	const char *name;	/* value of the server option api */
	int max_page_size;	/* rows */
	int days_held;		/* how far back the service can be asked */
	const char *prefer; /* a header that its requests carry besides, or NULL */
	bool wrapped;		/* its pages may stand within a member "d" */
	bool of_delivery;	/* its records are the events of one delivery, and have no key */

	/* by MsgTraceField; NULL where the API has no such property */
	const char *properties[MSGTRACE_FIELDS];
	MsgTraceAsked asked[MSGTRACE_FIELDS]; /* equality of which can be asked for */
	bool subject_tests;					  /* startsWith() and the like of the subject, too */

	/* members of a record that echo the question or change from page to page; NULL ends them */
	const char *const *echoes;

	/* the oldest instant that can be asked for at this time of the service's clock */
	TimestampTz (*earliest)(TimestampTz service_now);

	/*
	 * The conditions that a filter begins with: a window with both ends in it and
	 * in whole seconds.  Widened outwards it holds every row of the slice, and we
	 * drop what lies outside.
	 */
	void (*append_window)(StringInfo filter, const MsgTraceSlice *slice);

	/* a link of a page as the URL that it means, always a copy */
	char *(*resolve_link)(const char *report_url, const char *link);

	/* the next page of one that has rows but cannot carry a link; NULL = there is no such page */
	char *(*page_after)(const char *list_url, int64 rows);
} MsgTraceDialect;

/* The URL of the first page of a slice. */
extern char *msgtrace_dialect_list_url(const MsgTraceDialect *dialect, const char *report_url,
									   const MsgTraceQuery *query, const MsgTraceSlice *slice,
									   int page_size);

/* By the value of the option api, or NULL. */
extern const MsgTraceDialect *msgtrace_dialect_find(const char *name);

/* The field that one of the APIs calls by this name, or -1. */
extern int msgtrace_dialect_field(const char *property);

#endif /* MSGTRACE_DIALECT_H */
