/*-------------------------------------------------------------------------
 *
 * log.h
 *		What goes into the server log: requests, and scans for audits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_LOG_H
#define MSGTRACE_LOG_H

#include "postgres.h"

#include "auth/session.h"
#include "trace/query.h"

/* Have the session's requests written to the log as far as `level` lets through. */
extern void msgtrace_log_requests(MsgTraceSessionConfig *session, const char *server_name,
								  int level);

/* Who scans what, of one scan of a foreign table. */
typedef struct MsgTraceScanner
{
	Oid table_id;
	Oid user_id; /* whom the scan is checked as */
	const char *server_name;
} MsgTraceScanner;

typedef struct MsgTraceScanLog MsgTraceScanLog;

/*
 * From now on the scan's line is written when `context` is reset or deleted,
 * whatever the reason, unless it ends before.  NULL when scans are not logged,
 * which the functions below take.
 */
extern MsgTraceScanLog *msgtrace_log_scan(MemoryContext context, const MsgTraceScanner *scanner,
										  const MsgTraceQuestion *question);

/* The same of a scan of details, with its deliveries in words. */
extern MsgTraceScanLog *msgtrace_log_details(MemoryContext context, const MsgTraceScanner *scanner,
											 const char *deliveries);

/* A row was handed out; all were. */
extern void msgtrace_log_scan_row(MsgTraceScanLog *log);
extern void msgtrace_log_scan_complete(MsgTraceScanLog *log);

/* It ends in order: the line will not say that it was broken off. */
extern void msgtrace_log_scan_end(MsgTraceScanLog *log);

#endif /* MSGTRACE_LOG_H */
