/*-------------------------------------------------------------------------
 *
 * retry.c
 *		When to ask again after a fault that may pass.
 *
 * Two kinds of fault pass.  An interruption (503, a connection that breaks off)
 * is retried max_retries times, each time after twice the interval.  A 429
 * speaks for the whole tenant and is waited out as the service says, within a
 * bound of its own: giving up early would only leave the query without rows.
 *
 *-------------------------------------------------------------------------
 */
#include "net/retry.h"

#define MAX_INTERVAL_MS 60000					  /* of the doubling */
#define MAX_RETRY_AFTER_S 300					  /* a longer Retry-After is not believed */
#define THROTTLED_PAUSE_MS 30000				  /* times the attempt, without Retry-After */
#define FIRST_THROTTLED_PAUSE_MS INT64CONST(1000) /* at least, doubled at each 429 */
#define MAX_THROTTLED_MS 600000					  /* two quota windows of five minutes */

void
msgtrace_retry_reset(MsgTraceRetry *retry)
{
	retry->retries = 0;
	retry->throttlings = 0;
	retry->throttled = 0;
}

static int64
told_delay(const MsgTraceHttpReply *reply)
{
	if (reply->retry_after < 0 || reply->retry_after > MAX_RETRY_AFTER_S)
		return -1;
	return reply->retry_after * INT64CONST(1000);
}

static int64
delay_of_throttling(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	int64 delay = told_delay(reply);

	retry->throttlings++;
	if (delay < 0)
		delay = THROTTLED_PAUSE_MS * (int64) retry->throttlings;
	/* one that asks us back too soon again and again is not believed */
	delay = Max(delay, Min(FIRST_THROTTLED_PAUSE_MS << (retry->throttlings - 1), MAX_INTERVAL_MS));
	retry->throttled += delay;
	return retry->throttled <= MAX_THROTTLED_MS ? delay : -1;
}

static int64
delay_of_interruption(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	int64 delay = told_delay(reply);

	if (retry->retries >= retry->policy->max_retries)
		return -1;
	if (delay < 0)
		delay = Min((int64) retry->policy->initial_interval << retry->retries, MAX_INTERVAL_MS);
	retry->retries++;
	return delay;
}

int64
msgtrace_retry_delay(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	if (reply->fault == MSGTRACE_OK && reply->http_status == 429)
		return delay_of_throttling(retry, reply);
	if (reply->fault == MSGTRACE_BROKEN_OFF ||
		(reply->fault == MSGTRACE_OK && reply->http_status == 503))
		return delay_of_interruption(retry, reply);
	return -1;
}
