/*-------------------------------------------------------------------------
 *
 * lanes.h
 *		Several requests in flight for one scan: a session for each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_LANES_H
#define MSGTRACE_LANES_H

#include "postgres.h"

#include "auth/session.h"
#include "net/group.h"

typedef struct MsgTraceLane
{
	MsgTraceSession *session; /* NULL = not open */
	MsgTraceStatus status;	  /* of its request */
	void *task;				  /* what it is busy with; NULL = idle */
} MsgTraceLane;

typedef struct MsgTraceLanes
{
	MemoryContext context;
	const MsgTraceSessionConfig *config;
	MsgTraceLane list[MSGTRACE_MAX_HTTPS];
	int max;					  /* that may be open */
	MsgTraceGroup *group;		  /* of their descriptors, while there are several; or NULL */
	bool signed_in;				  /* the first lane has a token, and the others will find it */
	MsgTraceSessionCounts counts; /* of all of them */
	MsgTraceSessionCounts closed; /* of those that are no more */
} MsgTraceLanes;

/* Nothing is opened yet. */
extern void msgtrace_lanes_init(MsgTraceLanes *lanes, MemoryContext context,
								const MsgTraceSessionConfig *config, int max);

/* The first lane, open; NULL when it cannot be, with the reason in its status. */
extern MsgTraceLane *msgtrace_lanes_first(MsgTraceLanes *lanes);

/* A lane with nothing to do, or NULL.  One that cannot be opened is done without. */
extern MsgTraceLane *msgtrace_lanes_idle(MsgTraceLanes *lanes);

/* The sessions of those that are busy, or signing in, at most so many. */
extern int msgtrace_lanes_busy(const MsgTraceLanes *lanes, MsgTraceSession **sessions, int most);

/* Wait until one of them can move on. */
extern void msgtrace_lanes_wait(MsgTraceLanes *lanes);

/* What the first of them waits for. */
extern MsgTraceWait msgtrace_lanes_waits_for(const MsgTraceLanes *lanes);

/* The same for those who wait in a way of their own: see msgtrace_session_socket. */
extern int msgtrace_lanes_socket(MsgTraceLanes *lanes);
extern void msgtrace_lanes_waited(MsgTraceLanes *lanes, int64 microseconds);

/* Bring the counts up to date. */
extern void msgtrace_lanes_count(MsgTraceLanes *lanes);

/* Drop what is in flight, and give back what it holds of the tenant's budget. */
extern void msgtrace_lanes_drop(MsgTraceLanes *lanes);

extern void msgtrace_lanes_close(MsgTraceLanes *lanes);

#endif /* MSGTRACE_LANES_H */
