/*
 * shutdown.c
 *	  The end of the program, and waits that it ends.
 *
 * SIGTERM and SIGINT are blocked everywhere and taken by the main thread, which
 * then makes a descriptor readable for good: every wait polls it beside its own
 * connection.
 */
#include "shutdown.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static int ended = -1; /* readable once the program ends */

static void
end_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
}

/* To be called before any thread is started. */
void
shutdown_prepare(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	end_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ended = eventfd(0, EFD_CLOEXEC);
	if (ended < 0)
	{
		perror("msgtrace-service: eventfd");
		exit(1);
	}
}

static void
end_now(int signal_number)
{
	(void) signal_number;
	_exit(0);
}

/*
 * Returns when the program shall end. Whatever still blocks a second later is
 * not waited for.
 */
void
shutdown_await(void)
{
	sigset_t set;
	int signal_number;
	uint64_t one = 1;

	end_signals(&set);
	while (sigwait(&set, &signal_number) != 0)
		;
	if (write(ended, &one, sizeof(one)) < 0)
		perror("msgtrace-service: eventfd");
	signal(SIGALRM, end_now);
	alarm(1);
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Waits, for ever if ms is negative. False when the peer left or the program
 * ends before that.
 */
bool
shutdown_wait(int connection, int64_t ms)
{
	int64_t deadline = now_ms() + ms;

	for (;;)
	{
		struct pollfd polls[2] = {{.fd = ended, .events = POLLIN},
								  {.fd = connection, .events = POLLRDHUP}};
		int64_t left = ms < 0 ? 60000 : deadline - now_ms();

		if (left <= 0)
			return true;
		if (poll(polls, 2, left > 60000 ? 60000 : (int) left) < 0 && errno != EINTR)
			return false;
		if (polls[0].revents || polls[1].revents)
			return false;
	}
}
