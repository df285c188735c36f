/*-------------------------------------------------------------------------
 *
 * session.h
 *		Authorised requests: the token, the retries and the pauses that stand
 *		between "get this URL" and its answer.
 *
 * A session serves one scan and has one request at a time.  It is a state
 * machine that is polled, so that a scan can wait for it in its own way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SESSION_H
#define MSGTRACE_SESSION_H

#include "postgres.h"

#include "auth/share.h"
#include "auth/token.h"
#include "net/budget.h"
#include "net/clock.h"
#include "net/http.h"
#include "net/retry.h"
#include "net/status.h"
#include "net/wait.h"

/* How many requests one query may make; shared by all its scans. */
typedef struct MsgTraceAllowance
{
	int64 made;
	int64 limit; /* 0 = no limit */
} MsgTraceAllowance;

/* One request, as a log shows it. */
typedef struct MsgTraceRequestReport
{
	const char *what;	/* "sign-in", "list" or "detail" */
	const char *method; /* GET or POST */
	const char *url;	/* without secrets and without $skiptoken */
	int http_status;	/* 0 when there was no answer */
	MsgTraceFault fault;
	const char *words; /* of the fault, or NULL */
	int64 elapsed;	   /* microseconds */
	int64 bytes;	   /* of the body */
	int64 retry_in;	   /* ms until it is made again, -1 = it is final */
	const char *client_request_id;
} MsgTraceRequestReport;

typedef struct MsgTraceSessionConfig
{
	const char *report_url; /* the list; its clock is the service's clock */
	MsgTraceCredential credential;
	MsgTraceHttpOptions http;
	MsgTraceRetryPolicy retry;
	MsgTraceBudgetTerms budget;
	const char *api;	/* "graph" or "reporting": each has a budget of its own */
	bool detail_apart;	/* and so have details */
	const char *prefer; /* a header that its requests carry besides, or NULL */
	Oid server_id;		/* of the foreign server, for its statistics */
	bool service_clock; /* the service's clock may differ, and stand still */
	MsgTraceAllowance *allowance;

	/* told of each request when it has ended, or NULL; may write to the log */
	void (*report)(void *arg, const MsgTraceRequestReport *report);
	void *report_arg;
} MsgTraceSessionConfig;

typedef enum MsgTraceProgress
{
	MSGTRACE_PENDING, /* wait, then poll again */
	MSGTRACE_DONE,
	MSGTRACE_FAILED /* the status has the facts */
} MsgTraceProgress;

typedef struct MsgTraceSession MsgTraceSession;

/* Owned by `context`.  NULL with the reason in `status` when it cannot be had. */
extern MsgTraceSession *msgtrace_session_open(MemoryContext context,
											  const MsgTraceSessionConfig *config,
											  MsgTraceStatus *status);
extern void msgtrace_session_close(MsgTraceSession *session);

/* Get a token if there is none yet; after that, service time is known. */
extern void msgtrace_session_sign_in(MsgTraceSession *session);

/* The same, but with a token and a clock that are fresh. */
extern void msgtrace_session_sign_in_anew(MsgTraceSession *session);

/* Get this URL of the list.  The URL must live until the request has ended. */
extern void msgtrace_session_get(MsgTraceSession *session, const char *url);

/* The same of a delivery's details. */
extern void msgtrace_session_get_detail(MsgTraceSession *session, const char *url);

/* For the server's statistics: a page was read, with so many rows that are new. */
extern void msgtrace_session_count_page(MsgTraceSession *session, int64 rows);

extern MsgTraceProgress msgtrace_session_poll(MsgTraceSession *session);
extern void msgtrace_session_wait(MsgTraceSession *session);

/* The same of several, at most MSGTRACE_MAX_HTTPS: until there is something to poll one of them for. */
extern void msgtrace_session_wait_any(MsgTraceSession *const *sessions, int count);

/* What it waits for now, as the wait is called. */
extern MsgTraceWait msgtrace_session_waits_for(const MsgTraceSession *session);

/*
 * The same for those who wait in a way of their own, for several sessions and the
 * latch: a descriptor that is readable when there is something to poll for.  To be
 * asked for anew before each wait, since what the latch announces shows there.
 */
extern int msgtrace_session_socket(MsgTraceSession *session);

/* What they do after it: the wait took so many microseconds. */
extern void msgtrace_session_waited(MsgTraceSession *session, int64 microseconds);

/* Drop what is in flight, for good: it holds nothing of the budget any more. */
extern void msgtrace_session_give_up(MsgTraceSession *session);

/* The answer, whatever its HTTP status below 500 but 401 and 429. */
extern const MsgTraceHttpReply *msgtrace_session_reply(MsgTraceSession *session);

/* Fill the status from an answer that is a refusal. */
extern void msgtrace_session_note_refusal(MsgTraceSession *session);

extern TimestampTz msgtrace_session_now(MsgTraceSession *session);
extern MsgTraceClock *msgtrace_session_clock(MsgTraceSession *session);
extern const MsgTraceSessionCounts *msgtrace_session_counts(MsgTraceSession *session);

#endif /* MSGTRACE_SESSION_H */
