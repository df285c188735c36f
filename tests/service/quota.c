/*
 * quota.c
 *	  The tenant's budget of requests in a rolling window, one per API.
 *
 * Requests that are refused do not count.
 */
#include "quota.h"

#include "clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct Window
{
	int64_t *times; /* ms, oldest first */
	size_t count;
	size_t room;
} Window;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Window windows[QUOTA_APIS]; /* guarded by lock */

static void
forget_until(Window *window, int64_t end)
{
	size_t gone = 0;

	while (gone < window->count && window->times[gone] <= end)
		gone++;
	if (gone > 0)
		memmove(window->times, window->times + gone, (window->count - gone) * sizeof(int64_t));
	window->count -= gone;
}

static void
note(Window *window, int64_t now)
{
	if (window->count == window->room)
	{
		window->room = window->room ? window->room * 2 : 128;
		window->times = realloc(window->times, window->room * sizeof(int64_t));
		if (window->times == NULL)
			abort();
	}
	window->times[window->count++] = now;
}

/*
 * Counts a request, or refuses it and says in how many seconds it would pass.
 */
bool
quota_take(QuotaApi api, const Settings *settings, int64_t *retry_after)
{
	Window *window = &windows[api];
	int64_t now = clock_quota_ms();
	int64_t length = settings->quota_window * 1000;
	bool allowed = true;

	pthread_mutex_lock(&lock);
	forget_until(window, now - length);
	if (settings->quota > 0 && window->count >= (size_t) settings->quota)
	{
		int64_t free_at = window->times[window->count - (size_t) settings->quota] + length;

		*retry_after = (free_at - now + 999) / 1000;
		allowed = false;
	}
	else
		note(window, now);
	pthread_mutex_unlock(&lock);
	return allowed;
}

void
quota_reset(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < QUOTA_APIS; i++)
		windows[i].count = 0;
	pthread_mutex_unlock(&lock);
}
