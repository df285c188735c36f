/*-------------------------------------------------------------------------
 *
 * budget.h
 *		The tenant's budget: so many requests in a rolling window, for all
 *		sessions together.
 *
 * Nothing here waits.  Who gets no slot is told when to ask again, and its latch
 * is set when that may be sooner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_BUDGET_H
#define MSGTRACE_BUDGET_H

#include "postgres.h"

#include "net/book.h"
#include "net/shared.h"
#include "net/window.h"

/* A session's way to the budget: it has at most one slot at a time. */
typedef struct MsgTraceBudget MsgTraceBudget;

/* In _PG_init. */
extern void msgtrace_budget_request(void);

/* The terms must live as long as the budget, which is owned by `context`. */
extern MsgTraceBudget *msgtrace_budget_open(MemoryContext context, const MsgTraceBudgetTerms *terms,
											Oid server_id);

/* Whose it is; to be said before a slot is asked for.  Details may have one apart. */
extern void msgtrace_budget_set_tenant(MsgTraceBudget *budget, const char *tenant, const char *api,
									   bool detail_apart);

/*
 * Ask for a slot, or whether there is one now.  False: not yet; ask again when
 * the latch was set or after `wait` milliseconds.
 */
extern bool msgtrace_budget_take(MsgTraceBudget *budget, int64 *wait);

/*
 * Give it back, or no longer wait for it.  A slot that was had counts for a
 * window from now.  Without one nothing happens.
 */
extern void msgtrace_budget_release(MsgTraceBudget *budget);

/*
 * A 429 came: nobody gets a slot for so many milliseconds (-1: for as long as
 * seems right).  To be said while the slot is still held.
 */
extern void msgtrace_budget_throttle(MsgTraceBudget *budget, int64 delay);

/* An answer other than a 429 came; likewise. */
extern void msgtrace_budget_succeed(MsgTraceBudget *budget);

/* How many 429s, each after the pause of the one before it, have come in a row. */
extern int msgtrace_budget_throttlings(MsgTraceBudget *budget);

/* A server that has used a tenant's budget within its window. */
typedef struct MsgTraceBudgetUser
{
	Oid database;
	Oid server;
} MsgTraceBudgetUser;

/* A tenant's budget, as a view shows it. */
typedef struct MsgTraceQuota
{
	char tenant[MSGTRACE_MAX_TENANT];
	char api[MSGTRACE_MAX_API];
	int requests;	 /* of the strictest server */
	int window;		 /* ms; of the same */
	int used;		 /* in that window, those in flight included */
	int in_flight;	 /* slots held now */
	int interactive; /* who waits */
	int batch;		 /* likewise */
	int throttlings; /* 429s in a row */
	int64 paused;	 /* microseconds still; 0 = it is not */
	int64 next_slot; /* microseconds until there is one; 0 = now, -1 = not known */
	MsgTraceSharing sharing;
	MsgTraceBudgetUser users[MSGTRACE_MAX_BUDGET_USERS];
	int user_count;
} MsgTraceQuota;

/* How many budgets there can be at most, for the next call. */
extern int msgtrace_budget_max(void);

/* Those in use now; returns how many. */
extern int msgtrace_budget_list(MsgTraceQuota *quotas);

extern MsgTraceSharing msgtrace_budget_sharing(void);

#endif /* MSGTRACE_BUDGET_H */
