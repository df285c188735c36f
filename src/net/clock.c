/*-------------------------------------------------------------------------
 *
 * clock.c
 *		Service time, learned from Date headers.
 *
 * From one Date header to the next, time is counted by a clock that nobody sets:
 * when an administrator or NTP puts this machine's clock right, service time as
 * we know it does not move.
 *
 * A Date header is cut to the second and was written before it came here, so the
 * offset learned is at most too small, by about a second, never too large:
 * service time as we know it does not run ahead of the service.
 *
 *-------------------------------------------------------------------------
 */
#include "net/clock.h"

#include <time.h>

#include "utils/hsearch.h"
#include "utils/timestamp.h"

#define MAX_ORIGIN 256

struct MsgTraceClock
{
	char origin[MAX_ORIGIN]; /* hash key: scheme://host:port */
	bool known;
	bool warned;
	TimestampTz told; /* the last Date header */
	int64 told_at;	  /* when it came, by msgtrace_uptime() */
};

/* One entry for each service that this backend has talked to. */
static HTAB *clocks = NULL;

static void
copy_origin(char *origin, const char *url)
{
	const char *authority = strstr(url, "://");
	size_t length;

	authority = authority ? authority + 3 : url;
	length = (authority - url) + strcspn(authority, "/?#");
	memset(origin, 0, MAX_ORIGIN);
	memcpy(origin, url, Min(length, MAX_ORIGIN - 1));
}

MsgTraceClock *
msgtrace_clock_of(const char *url)
{
	MsgTraceClock *clock;
	char origin[MAX_ORIGIN];
	bool found;

	if (clocks == NULL)
	{
		HASHCTL ctl = {.keysize = MAX_ORIGIN, .entrysize = sizeof(MsgTraceClock)};

		clocks = hash_create("o365_msgtrace clocks", 8, &ctl, HASH_ELEM | HASH_STRINGS);
	}
	copy_origin(origin, url);
	clock = hash_search(clocks, origin, HASH_ENTER, &found);
	if (!found)
	{
		clock->known = false;
		clock->warned = false;
		clock->told = 0;
		clock->told_at = 0;
	}
	return clock;
}

int64
msgtrace_uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

void
msgtrace_clock_learn(MsgTraceClock *clock, TimestampTz service_time, TimestampTz our_time)
{
	clock->told = service_time;
	clock->told_at = msgtrace_uptime() - (GetCurrentTimestamp() - our_time);
	clock->known = true;
}

void
msgtrace_clock_forget(MsgTraceClock *clock)
{
	clock->known = false;
}

bool
msgtrace_clock_is_known(const MsgTraceClock *clock)
{
	return clock->known;
}

TimestampTz
msgtrace_clock_now(const MsgTraceClock *clock, bool as_last_told)
{
	if (!clock->known)
		return GetCurrentTimestamp();
	if (as_last_told)
		return clock->told;
	return clock->told + (msgtrace_uptime() - clock->told_at);
}

int64
msgtrace_clock_skew(const MsgTraceClock *clock)
{
	return (msgtrace_clock_now(clock, false) - GetCurrentTimestamp()) / USECS_PER_SEC;
}

bool
msgtrace_clock_warn_once(MsgTraceClock *clock)
{
	bool first = !clock->warned;

	clock->warned = true;
	return first;
}
