/*-------------------------------------------------------------------------
 *
 * stats.h
 *		What scans did: for EXPLAIN ANALYZE and last_scan().
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_STATS_H
#define MSGTRACE_STATS_H

#include "postgres.h"

#include "trace/pager.h"

typedef struct MsgTraceScanStats
{
	MsgTracePagerCounts pager;
	MsgTraceSessionCounts session;
	int64 kept_loops; /* loops that asked nothing, since their rows were kept */
	bool wide;		  /* the rows of all loops were read at once */
} MsgTraceScanStats;

/* Add a pager's counts to those of earlier loops of the same scan. */
extern void msgtrace_stats_add(MsgTraceScanStats *stats, const MsgTracePager *pager);

extern void msgtrace_stats_add_counts(MsgTraceScanStats *stats, const MsgTracePagerCounts *pager,
									  const MsgTraceSessionCounts *session);

/* What a scan did so far: last_scan() is about it from now on. */
extern void msgtrace_stats_note_scan(const MsgTracePager *pager);
extern void msgtrace_stats_note_counts(const MsgTracePagerCounts *pager,
									   const MsgTraceSessionCounts *session);

#endif /* MSGTRACE_STATS_H */
