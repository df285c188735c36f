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

#include "fdw/alternatives.h"

/* What making a question brought to light. */
typedef struct MsgTraceQuestionNotes
{
	bool warned;	 /* of a constant that the normal form excludes: not again */
	double matching; /* rows that satisfy the condition; fewer than are asked for, if it is wide */
	bool is_wide;	 /* several values are checked here, since asking for each would cost more */
} MsgTraceQuestionNotes;

/*
 * Service time as far as this backend knows it: what questions are made for.
 * False when the service's clock is its own and was not seen yet.
 */
extern bool msgtrace_question_now(const MsgTraceSettings *settings, TimestampTz *now);

/* In the current context.  Order, may_stop and wanted are the caller's to say. */
extern void msgtrace_question_make(MsgTraceQuestion *question, List *condition,
								   const MsgTraceValue *values, const MsgTraceSettings *settings,
								   MsgTraceQuestionNotes *notes);

/* What it is expected to bring and to cost. */
extern double msgtrace_question_rows(const MsgTraceQuestion *question,
									 const MsgTraceSettings *settings, TimestampTz now);
extern double msgtrace_question_requests(const MsgTraceQuestion *question,
										 const MsgTraceSettings *settings, TimestampTz now);

#endif /* MSGTRACE_QUESTION_H */
