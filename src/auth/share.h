/*-------------------------------------------------------------------------
 *
 * share.h
 *		A session's part in what all sessions have in common: the tenant's budget,
 *		and the statistics of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SHARE_H
#define MSGTRACE_SHARE_H

#include "postgres.h"

#include "auth/token.h"
#include "net/budget.h"
#include "net/http.h"

/* What a session did; EXPLAIN ANALYZE and last_scan() show it. */
typedef struct MsgTraceSessionCounts
{
	int64 requests; /* list requests sent, retries included */
	int64 retries;
	int64 sign_ins;
	int64 bytes;			 /* of bodies, after decompression */
	int64 waited;			 /* microseconds in which the backend waited */
	int64 throttled;		 /* 429s */
	int64 budget_waits;		 /* requests that had to wait for the tenant's budget */
	int ignored_retry_after; /* seconds: the longest beyond max_retry_after; 0 = none */
} MsgTraceSessionCounts;

typedef struct MsgTraceShare MsgTraceShare;

/*
 * Owned by `context`, whose end gives back what is held.  Credential and terms
 * must live as long; without a server there are no statistics.
 */
extern MsgTraceShare *msgtrace_share_open(MemoryContext context,
										  const MsgTraceCredential *credential,
										  const MsgTraceBudgetTerms *terms, Oid server_id);

/* Whose budget the next slots are of; the token, or NULL, tells the tenant. */
extern void msgtrace_share_choose(MsgTraceShare *share, const char *token, const char *api,
								  bool detail_apart);

/* Its budget, to take slots of and to give them back. */
extern MsgTraceBudget *msgtrace_share_budget(MsgTraceShare *share);

/*
 * A request has its answer, which tells all who share the budget whether there
 * is any.  `delay` is what a 429 asks of them, in ms, or -1.
 */
extern void msgtrace_share_settle(MsgTraceShare *share, const MsgTraceHttpReply *reply,
								  int64 delay);

/* Add what these counts have grown by since the last time to the statistics. */
extern void msgtrace_share_count(MsgTraceShare *share, const MsgTraceSessionCounts *counts);

/* Add a page that was read, with so many rows that are new. */
extern void msgtrace_share_count_page(MsgTraceShare *share, int64 rows);

#endif /* MSGTRACE_SHARE_H */
