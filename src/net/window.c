/*-------------------------------------------------------------------------
 *
 * window.c
 *		A rolling window: when requests were made, and how many may be.
 *
 * The service counts a request when it arrives, we when its answer has come.  What
 * we count in a window is thus never less than what the service does.
 *
 * Servers of one tenant may have different terms.  Whatever is asked is answered
 * by all of them, so that the strictest wins.
 *
 *-------------------------------------------------------------------------
 */
#include "net/window.h"

void
msgtrace_window_clear(MsgTraceWindow *window)
{
	window->user_count = 0;
	window->newest = 0;
	window->count = 0;
}

bool
msgtrace_window_user_is_current(const MsgTraceWindowUser *user, int64 now)
{
	return now - user->used_at <= user->window;
}

/* The entry of this server, or the one to be overwritten. */
static MsgTraceWindowUser *
entry_for(MsgTraceWindow *window, const MsgTraceWindowUser *user)
{
	MsgTraceWindowUser *oldest = &window->users[0];

	for (int i = 0; i < window->user_count; i++)
	{
		MsgTraceWindowUser *entry = &window->users[i];

		if (entry->database == user->database && entry->server == user->server)
			return entry;
		if (entry->used_at < oldest->used_at)
			oldest = entry;
	}
	if (window->user_count < MSGTRACE_MAX_BUDGET_USERS)
		return &window->users[window->user_count++];
	return oldest;
}

void
msgtrace_window_use(MsgTraceWindow *window, const MsgTraceWindowUser *user)
{
	*entry_for(window, user) = *user;
}

void
msgtrace_window_touch(MsgTraceWindow *window, Oid database, Oid server, int64 now)
{
	for (int i = 0; i < window->user_count; i++)
	{
		MsgTraceWindowUser *user = &window->users[i];

		if (user->database == database && user->server == server)
			user->used_at = now;
	}
}

void
msgtrace_window_spend(MsgTraceWindow *window, int64 at)
{
	window->newest = (window->newest + 1) % MSGTRACE_MAX_QUOTA;
	window->stamps[window->newest] = at;
	window->count = Min(window->count + 1, MSGTRACE_MAX_QUOTA);
}

/* The time of the request before so many others. */
static int64
stamp_before(const MsgTraceWindow *window, int newer)
{
	return window->stamps[(window->newest - newer + MSGTRACE_MAX_QUOTA) % MSGTRACE_MAX_QUOTA];
}

/*
 * By one server's terms: the newest requests may still count, as many as leave
 * the room that is needed; the one before them must have left the window.
 */
static int64
free_by(const MsgTraceWindow *window, const MsgTraceWindowUser *user, int taken)
{
	int may_count = user->requests - taken;

	if (may_count < 0)
		return MSGTRACE_NOT_KNOWN;
	if (may_count >= window->count)
		return 0;
	return stamp_before(window, may_count) + user->window;
}

int64
msgtrace_window_free_at(const MsgTraceWindow *window, int held, int needed, int64 now)
{
	int64 at = 0;

	for (int i = 0; i < window->user_count; i++)
	{
		if (msgtrace_window_user_is_current(&window->users[i], now))
			at = Max(at, free_by(window, &window->users[i], held + needed));
	}
	return at;
}

static int
count_since(const MsgTraceWindow *window, int64 since)
{
	int count = 0;

	while (count < window->count && stamp_before(window, count) > since)
		count++;
	return count;
}

const MsgTraceWindowUser *
msgtrace_window_strictest(const MsgTraceWindow *window, int held, int64 now, int *used)
{
	const MsgTraceWindowUser *strictest = NULL;
	int least = PG_INT32_MAX;

	for (int i = 0; i < window->user_count; i++)
	{
		const MsgTraceWindowUser *user = &window->users[i];
		int count = held + count_since(window, now - user->window);

		if (!msgtrace_window_user_is_current(user, now) || user->requests - count >= least)
			continue;
		strictest = user;
		least = user->requests - count;
		*used = count;
	}
	return strictest;
}

int
msgtrace_window_lowest(const MsgTraceWindow *window, int64 now)
{
	int lowest = 0;

	for (int i = 0; i < window->user_count; i++)
	{
		const MsgTraceWindowUser *user = &window->users[i];

		if (msgtrace_window_user_is_current(user, now) && (lowest == 0 || user->requests < lowest))
			lowest = user->requests;
	}
	return lowest;
}

int64
msgtrace_window_longest(const MsgTraceWindow *window)
{
	int64 longest = 0;

	for (int i = 0; i < window->user_count; i++)
		longest = Max(longest, window->users[i].window);
	return longest;
}
