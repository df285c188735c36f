/*-------------------------------------------------------------------------
 *
 * rejects.h
 *		The records that a scan set aside because they cannot be read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_REJECTS_H
#define MSGTRACE_REJECTS_H

#include "postgres.h"

#include "net/crypto.h"
#include "net/status.h"
#include "trace/bad_row.h"
#include "trace/slice.h"

/* A service that sends more of them than this in one scan sends something else. */
#define MSGTRACE_MAX_REJECTS 1000

/* How much of a record is kept, in bytes. */
#define MSGTRACE_MAX_RAW 65536

typedef struct MsgTraceReject
{
	MsgTraceDigest digest; /* of what makes it this record and no other */
	char *id;			   /* as sent; NULL where it cannot be read */
	char *recipient;	   /* likewise */
	bool has_received;	   /* it can be read */
	TimestampTz received;
	char *field;  /* property or column; NULL = all of the record */
	char *reason; /* in words */
	char *raw;	  /* in UTF-8, bytes that are not as \xNN */
} MsgTraceReject;

typedef struct MsgTraceRejects
{
	MemoryContext context; /* owns them */
	MsgTraceReject *list;
	int count;
	int size;
} MsgTraceRejects;

extern void msgtrace_rejects_init(MsgTraceRejects *rejects, MemoryContext context);

/*
 * Take the bad rows of a page that was asked for this slice: set them aside, each
 * once, where `reject` and the rows allow it.  Else the fault with which the scan
 * ends, the row named in `status`.
 */
extern MsgTraceFault msgtrace_rejects_take(MsgTraceRejects *rejects, const MsgTraceBadRow *rows,
										   int count, const MsgTraceSlice *slice,
										   const MsgTraceDialect *dialect, bool reject,
										   MsgTraceStatus *status);

/* Replace what `to` has by a copy. */
extern void msgtrace_rejects_copy(MsgTraceRejects *to, const MsgTraceRejects *from);

#endif /* MSGTRACE_REJECTS_H */
