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

typedef struct MsgTraceRetry
{
	int max_retries;
	int initial_interval; /* ms */
	int retries;		  /* made for the request at hand */
	int throttlings;	  /* 429s met in a row */
	int64 throttled;	  /* ms spent waiting for them to end */
} MsgTraceRetry;

/* A new request begins. */
extern void msgtrace_retry_reset(MsgTraceRetry *retry);

/*
 * Milliseconds to wait before asking again, or -1 when the reply is final: a
 * success, a fault that will not pass, or one retried often enough.
 */
extern int64 msgtrace_retry_delay(MsgTraceRetry *retry, const MsgTraceHttpReply *reply);

#endif /* MSGTRACE_RETRY_H */
