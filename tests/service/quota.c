/*
 * quota.c
 *	  A tenant's budget of requests in a rolling window, one per interface.
 *
 * Requests that are refused do not count, unless that was asked for. Beside the
 * counting it is noted how full a window has ever been, refused requests
 * included: so that a test can say whether a client kept to a budget.
 */
#include "quota.h"

#include "clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BUDGETS 1024

typedef struct Window
{
	int64_t *times; /* ms, oldest first */
	size_t count;
	size_t room;
} Window;

typedef struct Budget
{
	char tenant[DIRECTORY_TEXT];
	Api api;
	QuotaPart part;
	Window counted;
	Window arrived; /* refused ones, too */
	size_t highest; /* that `arrived` ever was */
	int64_t allowed;
	int64_t refused;
} Budget;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Budget budgets[MAX_BUDGETS]; /* guarded by lock, as is the count */
static size_t budget_count;

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

/* Caller holds the lock. When there are too many, the last one serves for all. */
static Budget *
find_budget(const char *tenant, Api api, QuotaPart part)
{
	Budget *budget;

	for (size_t i = 0; i < budget_count; i++)
		if (budgets[i].api == api && budgets[i].part == part &&
			strcmp(budgets[i].tenant, tenant) == 0)
			return &budgets[i];
	if (budget_count == MAX_BUDGETS)
		return &budgets[MAX_BUDGETS - 1];
	budget = &budgets[budget_count++];
	snprintf(budget->tenant, sizeof(budget->tenant), "%s", tenant);
	budget->api = api;
	budget->part = part;
	return budget;
}

static bool
take(Budget *budget, const Settings *settings, int64_t *retry_after)
{
	int64_t now = clock_quota_ms();
	int64_t length = settings->quota_window * 1000;
	Window *counted = &budget->counted;
	bool allowed = true;

	forget_until(counted, now - length);
	forget_until(&budget->arrived, now - length);
	if (settings->quota > 0 && counted->count >= (size_t) settings->quota)
	{
		int64_t free_at = counted->times[counted->count - (size_t) settings->quota] + length;

		*retry_after = (free_at - now + 999) / 1000;
		allowed = false;
	}
	if (allowed || settings->quota_counts_refused)
		note(counted, now);
	note(&budget->arrived, now);
	if (budget->arrived.count > budget->highest)
		budget->highest = budget->arrived.count;
	budget->allowed += allowed;
	budget->refused += !allowed;
	return allowed;
}

/*
 * Counts a request, or refuses it and says in how many seconds it would pass.
 */
bool
quota_take(const char *tenant, Api api, QuotaPart part, const Settings *settings,
		   int64_t *retry_after)
{
	bool allowed;

	pthread_mutex_lock(&lock);
	allowed = take(find_budget(tenant, api, part), settings, retry_after);
	pthread_mutex_unlock(&lock);
	return allowed;
}

/*
 * All budgets as a JSON array.
 */
void
quota_show(Buffer *out)
{
	static const char *const apis[] = {[API_GRAPH] = "graph", [API_REPORTING] = "reporting"};
	static const char *const parts[] = {
		[QUOTA_ALL] = "all", [QUOTA_LIST] = "list", [QUOTA_DETAIL] = "detail"};

	buffer_add_text(out, "[");
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < budget_count; i++)
	{
		const Budget *budget = &budgets[i];

		buffer_add_text(out, i ? ",\n{\"tenant\":" : "{\"tenant\":");
		buffer_add_json(out, budget->tenant);
		buffer_printf(out,
					  ",\"api\":\"%s\",\"requests\":\"%s\",\"highest\":%zu,\"allowed\":%lld,"
					  "\"refused\":%lld}",
					  apis[budget->api], parts[budget->part], budget->highest,
					  (long long) budget->allowed, (long long) budget->refused);
	}
	pthread_mutex_unlock(&lock);
	buffer_add_text(out, "]\n");
}

void
quota_reset(void)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < budget_count; i++)
	{
		free(budgets[i].counted.times);
		free(budgets[i].arrived.times);
	}
	memset(budgets, 0, sizeof(budgets));
	budget_count = 0;
	pthread_mutex_unlock(&lock);
}
