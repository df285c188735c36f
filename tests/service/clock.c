/*
 * clock.c
 *	  The service's own clock: real, fixed, or moved by a test.
 *
 * Rolling windows (the quota) go by clock_quota_ms: real time plus what a test
 * advanced, so that a fixed clock does not keep a 429 for ever.
 */
#include "clock.h"

#include <pthread.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool start_fixed;
static Tick start_time;
static bool running;  /* all below guarded by lock */
static Tick offset;	  /* while running: to the machine's clock */
static Tick standing; /* while not: the time it shows */
static int64_t advanced_ms;

static Tick
machine_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (Tick) now.tv_sec * TICKS_PER_SECOND + now.tv_nsec / 100;
}

void
clock_start(bool fixed, Tick start)
{
	start_fixed = fixed;
	start_time = start;
	clock_reset();
}

/* Back to what the command line said. */
void
clock_reset(void)
{
	pthread_mutex_lock(&lock);
	running = !start_fixed;
	offset = 0;
	standing = start_time;
	pthread_mutex_unlock(&lock);
}

Tick
clock_now(void)
{
	Tick now;

	pthread_mutex_lock(&lock);
	now = running ? machine_now() + offset : standing;
	pthread_mutex_unlock(&lock);
	return now;
}

bool
clock_running(void)
{
	bool result;

	pthread_mutex_lock(&lock);
	result = running;
	pthread_mutex_unlock(&lock);
	return result;
}

void
clock_set(Tick now)
{
	pthread_mutex_lock(&lock);
	offset = now - machine_now();
	standing = now;
	pthread_mutex_unlock(&lock);
}

void
clock_advance(Tick by)
{
	pthread_mutex_lock(&lock);
	offset += by;
	standing += by;
	advanced_ms += by / TICKS_PER_MS;
	pthread_mutex_unlock(&lock);
}

/* Lets the clock go on from the time it shows, or stop there. */
void
clock_run(bool run)
{
	pthread_mutex_lock(&lock);
	if (run && !running)
		offset = standing - machine_now();
	else if (!run && running)
		standing = machine_now() + offset;
	running = run;
	pthread_mutex_unlock(&lock);
}

int64_t
clock_quota_ms(void)
{
	struct timespec now;
	int64_t result;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&lock);
	result = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000 + advanced_ms;
	pthread_mutex_unlock(&lock);
	return result;
}
