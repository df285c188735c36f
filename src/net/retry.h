/*-------------------------------------------------------------------------
 *
 * retry.h
 *		When to ask again after a fault that may pass.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_RETRY_H
#define MSGTRACE_RETRY_H

#include "postgres.h"

#include "net/http.h"

/* How many status codes may be named as passing. */
#define MSGTRACE_MAX_RETRY_CODES 16

typedef enum MsgTraceRetryType
{
	MSGTRACE_RETRY_BACKOFF, /* each pause is a multiple of the last */
	MSGTRACE_RETRY_STATIC,	/* all are alike */
	MSGTRACE_RETRY_DISABLED /* a fault is final */
} MsgTraceRetryType;

/* What a server's options say of it. */
typedef struct MsgTraceRetryPolicy
{
	MsgTraceRetryType type;
	int initial_interval; /* ms; 0 = at once */
	int max_retries;	  /* of one request; a 429 has its own bound */
	double multiplier;
	int max_interval;					 /* ms */
	int codes[MSGTRACE_MAX_RETRY_CODES]; /* HTTP status codes that may pass */
	int code_count;
	bool honor_retry_after;
	int max_retry_after; /* ms; the service is not believed beyond it */
	int64 max_throttled; /* ms that the 429s of one request may take */
} MsgTraceRetryPolicy;

typedef struct MsgTraceRetry
{
	const MsgTraceRetryPolicy *policy;
	int retries;	 /* made for the request at hand */
	int throttlings; /* 429s met in a row */
	int64 throttled; /* ms spent waiting for them to end */
	int ignored;	 /* seconds: the longest Retry-After that was not believed; 0 = none */
} MsgTraceRetry;

/* The policy must live as long. */
extern void msgtrace_retry_init(MsgTraceRetry *retry, const MsgTraceRetryPolicy *policy);

/* A new request begins. */
extern void msgtrace_retry_reset(MsgTraceRetry *retry);

/*
 * Milliseconds to wait before asking again, or -1 when the reply is final: a
 * success, a fault that will not pass, or one retried often enough.
 */
extern int64 msgtrace_retry_delay(MsgTraceRetry *retry, const MsgTraceHttpReply *reply);

/* Milliseconds that the reply itself asks for, or -1 when it does not or is not believed. */
extern int64 msgtrace_retry_told(MsgTraceRetry *retry, const MsgTraceHttpReply *reply);

#endif /* MSGTRACE_RETRY_H */
