/*-------------------------------------------------------------------------
 *
 * pattern.h
 *		What the service can be asked of a LIKE pattern.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PATTERN_H
#define MSGTRACE_PATTERN_H

#include "postgres.h"

#include "trace/query.h"

/* How a pattern matches. */
typedef enum MsgTracePatternKind
{
	MSGTRACE_PATTERN_LIKE,	   /* LIKE, which minds case */
	MSGTRACE_PATTERN_ILIKE,	   /* ILIKE by lower() of the locale */
	MSGTRACE_PATTERN_ILIKE_C,  /* ILIKE by ASCII alone */
	MSGTRACE_PATTERN_BEGINNING /* no pattern: the text that it begins with */
} MsgTracePatternKind;

/*
 * The one test that all texts matching the pattern pass, and few others.  False
 * when there is none; the text is in the current context.
 */
extern bool msgtrace_pattern_test(const char *pattern, MsgTracePatternKind kind,
								  MsgTraceSubjectTest *test, const char **text);

#endif /* MSGTRACE_PATTERN_H */
