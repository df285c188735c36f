/*-------------------------------------------------------------------------
 *
 * page.h
 *		A page of records, read as a stream by the server's JSON parser.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PAGE_H
#define MSGTRACE_PAGE_H

#include "postgres.h"

#include "net/status.h"
#include "trace/dialect.h"
#include "trace/row.h"

/* What a page is read for. */
typedef struct MsgTracePageReader
{
	const MsgTraceDialect *dialect;

	/* properties wanted beyond MsgTraceField: the record's values after those */
	const char *const *extra;
	int extra_count;
	bool normalize;

	/*
	 * Turns a record into the values of a row; false leaves the field at fault
	 * in `bad`.  It may keep what it allocates, and raise errors.
	 */
	bool (*build)(void *arg, MsgTraceRecord *record, MsgTraceRow *row, const char **bad);
	void *arg;
} MsgTracePageReader;

typedef struct MsgTracePage
{
	MsgTraceRow *rows;
	int count;
	char *next_link; /* NULL on the last page */
	int replaced;	 /* characters that text cannot hold, now U+FFFD */
} MsgTracePage;

/*
 * Read a whole page into `context`; `body` is changed.  False, with the facts in
 * `status`, when it is no page or has a row that cannot be read: then nothing
 * of it is delivered.
 */
extern bool msgtrace_page_read(MsgTracePage *page, const MsgTracePageReader *reader, char *body,
							   size_t length, MemoryContext context, MsgTraceStatus *status);

/*
 * Replace the escapes of characters that a text cannot hold, \u0000 and lone
 * surrogates, by that of U+FFFD; returns how many.
 */
extern int msgtrace_page_mend_escapes(char *body, size_t length);

#endif /* MSGTRACE_PAGE_H */
