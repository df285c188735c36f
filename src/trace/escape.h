/*-------------------------------------------------------------------------
 *
 * escape.h
 *		Escapes of characters that PostgreSQL's text cannot hold.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ESCAPE_H
#define MSGTRACE_ESCAPE_H

#include "postgres.h"

/* Where a document was changed, in order, so that it can be shown as it was. */
typedef struct MsgTraceMends
{
	struct MsgTraceMend *list;
	int count;
	int size;
} MsgTraceMends;

/*
 * Replace \u0000 and lone surrogates by \ufffd, in place.  `mends` is empty
 * before, and its list is made in the current context.
 */
extern void msgtrace_escape_mend(char *document, size_t length, MsgTraceMends *mends);

/* A part of the document as it was before: itself, or a copy in the current context. */
extern const char *msgtrace_escape_original(const MsgTraceMends *mends, const char *document,
											const char *part, size_t length);

/* The same for a copy of a part that was made after the change; in place. */
extern char *msgtrace_escape_restore(const MsgTraceMends *mends, const char *document,
									 const char *part, char *copy, size_t length);

#endif /* MSGTRACE_ESCAPE_H */
