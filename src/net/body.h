/*-------------------------------------------------------------------------
 *
 * body.h
 *		The body of an answer, as it comes in.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_BODY_H
#define MSGTRACE_BODY_H

#include "postgres.h"

typedef struct MsgTraceBody
{
	char *data; /* malloc'ed, NUL-terminated; NULL as long as nothing came */
	size_t length;
	size_t size;	/* allocated */
	size_t ceiling; /* how long it may become */
	bool too_large; /* it would have become longer */
} MsgTraceBody;

/* Empty it; what is allocated is kept for the next answer, wiped if so wanted. */
extern void msgtrace_body_clear(MsgTraceBody *body, bool wipe);

extern void msgtrace_body_free(MsgTraceBody *body);

/* Append; false when it is too large or there is no memory.  Does not throw. */
extern bool msgtrace_body_add(MsgTraceBody *body, const char *data, size_t length);

#endif /* MSGTRACE_BODY_H */
