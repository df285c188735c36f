/*-------------------------------------------------------------------------
 *
 * retry.c
 *		When to ask again after a fault that may pass.
 *
 * Two kinds of fault pass.  An interruption (one of the policy's status codes,
 * a timeout, a connection that breaks off) is retried max_retries times.  A 429
 * speaks for the whole tenant and is waited out as the service says, within a
 * bound of its own: giving up early would only leave the query without rows.
 *
 * Every pause is a little longer than computed, each time by another part of
 * it, so that sessions that were sent away together do not come back together.
 *
 *-------------------------------------------------------------------------
 */
#include "net/retry.h"

#include "common/pg_prng.h"

#define THROTTLED_PAUSE_MS 30000				  /* times the attempt, without Retry-After */
#define FIRST_THROTTLED_PAUSE_MS INT64CONST(1000) /* at least, doubled at each 429 */
#define MAX_THROTTLED_FLOOR_MS INT64CONST(60000)  /* of that doubling */
#define TOO_MANY_REQUESTS 429

/* What jitter adds at most: to a pause of our own, and to one that we were told. */
#define OWN_JITTER 0.25
#define TOLD_JITTER 0.10

void
msgtrace_retry_init(MsgTraceRetry *retry, const MsgTraceRetryPolicy *policy)
{
	memset(retry, 0, sizeof(*retry));
	retry->policy = policy;
}

void
msgtrace_retry_reset(MsgTraceRetry *retry)
{
	retry->retries = 0;
	retry->throttlings = 0;
	retry->throttled = 0;
}

static int64
with_jitter(int64 delay, double jitter)
{
	return delay + (int64) (delay * jitter * pg_prng_double(&pg_global_prng_state));
}

/* With jitter. */
int64
msgtrace_retry_told(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	int64 delay = reply->retry_after * INT64CONST(1000);

	if (reply->retry_after < 0 || !retry->policy->honor_retry_after)
		return -1;
	if (delay > retry->policy->max_retry_after)
	{
		retry->ignored = Max(retry->ignored, reply->retry_after);
		return -1;
	}
	return with_jitter(delay, TOLD_JITTER);
}

/* The next pause that the policy computes. */
static int64
own_delay(const MsgTraceRetry *retry)
{
	const MsgTraceRetryPolicy *policy = retry->policy;
	double delay = policy->initial_interval;

	if (policy->type == MSGTRACE_RETRY_BACKOFF)
	{
		for (int i = 0; i < retry->retries && delay < policy->max_interval; i++)
			delay *= policy->multiplier;
	}
	return with_jitter((int64) Min(delay, policy->max_interval), OWN_JITTER);
}

static int64
delay_of_throttling(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	int64 delay = msgtrace_retry_told(retry, reply);
	int64 least;

	retry->throttlings++;
	if (delay < 0)
		delay = with_jitter(THROTTLED_PAUSE_MS * (int64) retry->throttlings, OWN_JITTER);
	/* one that asks us back too soon again and again is not believed */
	least = FIRST_THROTTLED_PAUSE_MS << Min(retry->throttlings - 1, 10);
	delay = Max(delay, Min(least, MAX_THROTTLED_FLOOR_MS));
	retry->throttled += delay;
	return retry->throttled <= retry->policy->max_throttled ? delay : -1;
}

static int64
delay_of_interruption(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	int64 delay;

	if (retry->retries >= retry->policy->max_retries)
		return -1;
	delay = msgtrace_retry_told(retry, reply);
	if (delay < 0)
		delay = own_delay(retry);
	retry->retries++;
	return delay;
}

static bool
is_code_to_retry(const MsgTraceRetryPolicy *policy, int http_status)
{
	for (int i = 0; i < policy->code_count; i++)
	{
		if (policy->codes[i] == http_status)
			return true;
	}
	return false;
}

/* May this be otherwise the next time? */
static bool
may_pass(const MsgTraceRetryPolicy *policy, const MsgTraceHttpReply *reply)
{
	switch (reply->fault)
	{
		case MSGTRACE_OK:
			return is_code_to_retry(policy, reply->http_status);
		case MSGTRACE_TIMED_OUT:
		case MSGTRACE_BROKEN_OFF:
		case MSGTRACE_TOO_SLOW:
			return true;
		default:
			return false;
	}
}

int64
msgtrace_retry_delay(MsgTraceRetry *retry, const MsgTraceHttpReply *reply)
{
	if (retry->policy->type == MSGTRACE_RETRY_DISABLED || !may_pass(retry->policy, reply))
		return -1;
	if (reply->fault == MSGTRACE_OK && reply->http_status == TOO_MANY_REQUESTS)
		return delay_of_throttling(retry, reply);
	return delay_of_interruption(retry, reply);
}
