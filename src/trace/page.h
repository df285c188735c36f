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
#include "trace/bad_row.h"
#include "trace/detail.h"
#include "trace/dialect.h"
#include "trace/row.h"

/* What is wrong with a value. */
typedef struct MsgTraceBadValue
{
	const char *field;	/* the property or column */
	const char *reason; /* in words, allocated */
	bool final;			/* not even "reject" can set its row aside */
} MsgTraceBadValue;

/* What a page is read for. */
typedef struct MsgTracePageReader
{
	const MsgTraceDialect *dialect;
	const MsgTraceDelivery *delivery; /* whose details the records are, or NULL */

	/* properties wanted beyond MsgTraceField: the record's values after those */
	const char *const *extra;
	int extra_count;
	bool normalize;
	bool wants_sender; /* in each row */

	/*
	 * Turns a record into the values of a row; false says in `bad` what cannot be
	 * read.  It may keep what it allocates, and raise errors.
	 */
	bool (*build)(void *arg, MsgTraceRecord *record, MsgTraceRow *row, MsgTraceBadValue *bad);
	void *arg;
} MsgTracePageReader;

typedef struct MsgTracePage
{
	MsgTraceRow *rows;
	int count;
	MsgTraceBadRow *bad_rows; /* what cannot be read */
	int bad_count;
	int records;	 /* of all kinds */
	char *next_link; /* as sent; NULL on the last page */
	bool linkless;	 /* of a shape that cannot carry a link */
	int replaced;	 /* characters that text cannot hold, now U+FFFD */
} MsgTracePage;

/*
 * Read a whole page into `context`; `body` is changed.  False, with the facts in
 * `status`, when it is no page; then it has no rows.
 */
extern bool msgtrace_page_read(MsgTracePage *page, const MsgTracePageReader *reader, char *body,
							   size_t length, MemoryContext context, MsgTraceStatus *status);

#endif /* MSGTRACE_PAGE_H */
