/*-------------------------------------------------------------------------
 *
 * document.h
 *		Small JSON documents of the service: tokens and errors.
 *
 * The only door to jansson.  Pages of rows do not pass through it; they are
 * read by trace/page.c as a stream.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DOCUMENT_H
#define MSGTRACE_DOCUMENT_H

#include "postgres.h"

typedef struct MsgTraceDocument MsgTraceDocument;

/* Owned by the current memory context; NULL when the text is no JSON object. */
extern MsgTraceDocument *msgtrace_document_read(const char *text, size_t length);
extern void msgtrace_document_free(MsgTraceDocument *document);

/*
 * A member by its path ("error/message"; names may hold dots), NULL or false when it is absent or of
 * another type.  Strings live as long as the document.  A number in a string
 * passes for a number, as some answers have it.
 */
extern const char *msgtrace_document_string(const MsgTraceDocument *document, const char *path);
extern bool msgtrace_document_integer(const MsgTraceDocument *document, const char *path,
									  int64 *value);

/* An array's strings, parted by spaces, as a copy; NULL when it is no array. */
extern char *msgtrace_document_strings(const MsgTraceDocument *document, const char *path);

/* A member of an object to be written: a string, or a number where that is NULL. */
typedef struct MsgTraceMember
{
	const char *name;
	const char *string;
	int64 number;
} MsgTraceMember;

/* The object as JSON on one line; palloc'd, NULL when jansson refuses (text that is no UTF-8). */
extern char *msgtrace_document_write(const MsgTraceMember *members, int count);

#endif /* MSGTRACE_DOCUMENT_H */
