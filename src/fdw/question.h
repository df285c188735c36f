/*-------------------------------------------------------------------------
 *
 * question.h
 *		From a condition and its values to what is asked of the service.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_QUESTION_H
#define MSGTRACE_QUESTION_H

#include "postgres.h"

#include "fdw/options.h"
#include "nodes/pg_list.h"
#include "trace/query.h"

/* The value of a condition's expression. */
typedef struct MsgTraceValue
{
	Datum value;
	bool is_null;
	bool known; /* false only when planning, of what is known later */
	Oid type;
} MsgTraceValue;

/* What making a question brought to light. */
typedef struct MsgTraceQuestionNotes
{
	bool warned; /* of a constant that the normal form excludes: not again */
} MsgTraceQuestionNotes;

/* In the current context.  Order, may_stop and wanted are the caller's to say. */
extern void msgtrace_question_make(MsgTraceQuestion *question, List *condition,
								   const MsgTraceValue *values, const MsgTraceSettings *settings,
								   TimestampTz now, MsgTraceQuestionNotes *notes);

/* What it is expected to bring and to cost. */
extern double msgtrace_question_rows(const MsgTraceQuestion *question,
									 const MsgTraceSettings *settings, TimestampTz now);
extern double msgtrace_question_requests(const MsgTraceQuestion *question,
										 const MsgTraceSettings *settings, TimestampTz now);

#endif /* MSGTRACE_QUESTION_H */
