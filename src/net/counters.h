/*-------------------------------------------------------------------------
 *
 * counters.h
 *		What was asked of each foreign server, by all sessions together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_COUNTERS_H
#define MSGTRACE_COUNTERS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "net/shared.h"

/* Servers that are counted at a time, of all databases. */
#define MSGTRACE_MAX_COUNTED_SERVERS 256

/* Of an error, message and detail together: bytes, with the end. */
#define MSGTRACE_MAX_LAST_ERROR 1024

typedef struct MsgTraceServerCounts
{
	int64 requests; /* lists and details, retries included */
	int64 pages;
	int64 rows;
	int64 bytes;
	int64 retries;
	int64 throttled;	/* 429s */
	int64 budget_waits; /* requests that had to wait for the tenant's budget */
	int64 waited;		/* microseconds, for whatever */
	int64 sign_ins;
} MsgTraceServerCounts;

/* One server of this database. */
typedef struct MsgTraceServerStats
{
	Oid server_id;
	TimestampTz since;
	MsgTraceServerCounts counts;
	TimestampTz failed_at; /* 0 = never */
	int sqlstate;
	char error[MSGTRACE_MAX_LAST_ERROR];
} MsgTraceServerStats;

/* In _PG_init. */
extern void msgtrace_counters_request(void);

/* Add to those of a server of this database.  A rollback does not take it back. */
extern void msgtrace_counters_add(Oid server_id, const MsgTraceServerCounts *more);

/* The server's last error, in words without secrets. */
extern void msgtrace_counters_note_error(Oid server_id, int sqlstate, const char *words);

/* Begin again at zero, if there is anything counted. */
extern void msgtrace_counters_reset(Oid server_id);

/* Those of this database, at most MSGTRACE_MAX_COUNTED_SERVERS; returns how many. */
extern int msgtrace_counters_list(MsgTraceServerStats *stats);

extern MsgTraceSharing msgtrace_counters_sharing(void);

#endif /* MSGTRACE_COUNTERS_H */
