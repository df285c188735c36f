/*-------------------------------------------------------------------------
 *
 * window.h
 *		A rolling window: when requests were made, and how many may be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_WINDOW_H
#define MSGTRACE_WINDOW_H

#include "postgres.h"

/* Most requests in a window that can be kept count of. */
#define MSGTRACE_MAX_QUOTA 4096

/* How many servers of a tenant are known at once. */
#define MSGTRACE_MAX_BUDGET_USERS 16

/* What a server's options say of it. */
typedef struct MsgTraceBudgetTerms
{
	int requests; /* in a window; 0 = no budget */
	int window;	  /* ms */
	bool batch;	  /* gives way to interactive queries */
} MsgTraceBudgetTerms;

/* A time that nobody knows yet. */
#define MSGTRACE_NOT_KNOWN PG_INT64_MAX

/* A server's terms; they count as long as it has been used within its window. */
typedef struct MsgTraceWindowUser
{
	Oid database;
	Oid server;
	int requests;
	int64 window;  /* microseconds */
	int64 used_at; /* by msgtrace_uptime(), as all times here */
} MsgTraceWindowUser;

typedef struct MsgTraceWindow
{
	MsgTraceWindowUser users[MSGTRACE_MAX_BUDGET_USERS];
	int user_count;
	int newest; /* in stamps */
	int count;
	int64 stamps[MSGTRACE_MAX_QUOTA]; /* when requests were over: a ring, ascending */
} MsgTraceWindow;

extern void msgtrace_window_clear(MsgTraceWindow *window);

/* This server uses it now, on these terms. */
extern void msgtrace_window_use(MsgTraceWindow *window, const MsgTraceWindowUser *user);

/* It still does: it has a request in flight, or waits. */
extern void msgtrace_window_touch(MsgTraceWindow *window, Oid database, Oid server, int64 now);

/* A request was over at this time, which is no earlier than any told before. */
extern void msgtrace_window_spend(MsgTraceWindow *window, int64 at);

/*
 * When as many slots as are needed are free, with so many held that do not yet
 * count from any time: by the terms of all servers that use it.
 */
extern int64 msgtrace_window_free_at(const MsgTraceWindow *window, int held, int needed, int64 now);

/* The terms that leave least, and how many requests they count; NULL = none. */
extern const MsgTraceWindowUser *msgtrace_window_strictest(const MsgTraceWindow *window, int held,
														   int64 now, int *used);

/* Does this server's use still count? */
extern bool msgtrace_window_user_is_current(const MsgTraceWindowUser *user, int64 now);

/* The lowest limit of all servers that use it; 0 when there is none. */
extern int msgtrace_window_lowest(const MsgTraceWindow *window, int64 now);

/* The longest window of any server; 0 when there is none. */
extern int64 msgtrace_window_longest(const MsgTraceWindow *window);

#endif /* MSGTRACE_WINDOW_H */
