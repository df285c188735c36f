/*-------------------------------------------------------------------------
 *
 * pager.h
 *		A TraceQuery answered row by row: slices, pages, links.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_PAGER_H
#define MSGTRACE_PAGER_H

#include "postgres.h"

#include "auth/session.h"
#include "net/status.h"
#include "trace/dialect.h"
#include "trace/page.h"
#include "trace/query.h"
#include "trace/rejects.h"
#include "trace/slice.h"

typedef struct MsgTracePager MsgTracePager;

typedef enum MsgTracePagerResult
{
	MSGTRACE_ROW,	/* a row; valid until the next call */
	MSGTRACE_SLICE, /* where an order was asked for: all rows of a slice were handed out */
	MSGTRACE_WAIT,	/* nothing yet: wait, then ask again */
	MSGTRACE_END,	/* all rows were delivered */
	MSGTRACE_ERROR	/* the status has the facts */
} MsgTracePagerResult;

typedef struct MsgTracePagerConfig
{
	const MsgTraceSessionConfig *session;
	const MsgTraceDialect *dialect;
	const MsgTracePageReader *reader;
	bool reject;		  /* rows that cannot be read are set aside */
	double rows_per_day;  /* of the tenant, until the density is seen */
	double rows_expected; /* of the whole range; 0 = not known */
} MsgTracePagerConfig;

/* What the pager did; EXPLAIN ANALYZE and last_scan() show it. */
typedef struct MsgTracePagerCounts
{
	TimestampTz asked_from; /* what was asked for after the clamps; 0, 0 before */
	TimestampTz asked_to;
	TimestampTz service_time_at_start; /* 0 before */
	bool complete;					   /* all of it was read and delivered */
	int64 slices;					   /* begun */
	int64 pages;					   /* read */
	int64 received;					   /* rows in them */
	int64 delivered; /* of those, for the first time and of their slice, or kept */
	int64 rejected;	 /* records set aside, each counted once */
	int64 replaced;	 /* characters that text cannot hold */
} MsgTracePagerCounts;

/*
 * Nothing is asked of the network before the first call of _next.  The config,
 * the question and the status must live as long as the pager, which is owned by
 * `context`.
 */
extern MsgTracePager *msgtrace_pager_open(MemoryContext context, const MsgTracePagerConfig *config,
										  const MsgTraceQuestion *question, MsgTraceStatus *status);
extern void msgtrace_pager_close(MsgTracePager *pager);

extern MsgTracePagerResult msgtrace_pager_next(MsgTracePager *pager, const MsgTraceRow **row);
extern void msgtrace_pager_wait(MsgTracePager *pager);

/* What it waits for, to be waited for with others: at most so many sessions. */
extern int msgtrace_pager_busy(const MsgTracePager *pager, MsgTraceSession **sessions, int most);

/*
 * The same for those who wait in a way of their own after MSGTRACE_WAIT: see
 * msgtrace_session_socket.
 */
extern int msgtrace_pager_socket(MsgTracePager *pager);
extern MsgTraceWait msgtrace_pager_waits_for(const MsgTracePager *pager);
extern void msgtrace_pager_waited(MsgTracePager *pager, int64 microseconds);
extern void msgtrace_pager_give_up(MsgTracePager *pager);

extern const MsgTracePagerCounts *msgtrace_pager_counts(const MsgTracePager *pager);
extern const MsgTraceSessionCounts *msgtrace_pager_session_counts(const MsgTracePager *pager);

/* The records set aside so far; they live as long as the pager's context. */
extern const MsgTraceRejects *msgtrace_pager_rejects(const MsgTracePager *pager);

/* The URL of the first list request, without which nothing was asked; or NULL. */
extern const char *msgtrace_pager_first_url(const MsgTracePager *pager);

/*
 * What the question asked for at the newest end and the service refused, once; false
 * when there is no such thing.
 */
extern bool msgtrace_pager_refused_end(MsgTracePager *pager, MsgTraceSlice *refused);

/* Seconds of clock skew that a user should be warned of, once; else 0. */
extern int64 msgtrace_pager_skew_to_warn_of(MsgTracePager *pager);

#endif /* MSGTRACE_PAGER_H */
