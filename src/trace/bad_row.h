/*-------------------------------------------------------------------------
 *
 * bad_row.h
 *		Records that cannot be read, and how to find those that are not even JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_BAD_ROW_H
#define MSGTRACE_BAD_ROW_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "trace/dialect.h"

/* What a message shows of a value at most, in bytes. */
#define MSGTRACE_MAX_SHOWN 300

typedef struct MsgTraceBadRow
{
	const char *id;		   /* as sent; NULL where it cannot be read */
	const char *recipient; /* likewise */
	const char *received;  /* likewise */
	const char *field;	   /* property or column at fault; NULL = all of the record */
	const char *reason;	   /* in words */
	bool final;			   /* not even "reject" can set it aside */
	const char *raw;	   /* the record as it was sent: bytes, not always UTF-8 */
	size_t raw_length;
} MsgTraceBadRow;

/* A record that is no JSON, or not in UTF-8. */
typedef struct MsgTraceBrokenRecord
{
	const char *start; /* its brace in the document */
	MsgTraceBadRow bad;
} MsgTraceBrokenRecord;

/* In the order of the document. */
typedef struct MsgTraceBrokenRecords
{
	MsgTraceBrokenRecord *list;
	int count;
	int size;
	bool several; /* what could not be told apart: the document is of no use */
} MsgTraceBrokenRecords;

/*
 * In an array of records, of which `first` is the opening brace of one: find
 * those from there on that the parser would give up the document for, and blank
 * them out, so that it will read the rest.  What is allocated is in the current
 * context, and the raw text of the records a copy.
 */
extern void msgtrace_bad_row_isolate(char *first, char *end, const MsgTraceDialect *dialect,
									 MsgTraceBrokenRecords *broken);

/* A value as a message may show it: its start, in valid UTF-8. */
extern char *msgtrace_bad_row_shown(const char *value);

#endif /* MSGTRACE_BAD_ROW_H */
