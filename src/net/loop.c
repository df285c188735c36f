/*-------------------------------------------------------------------------
 *
 * loop.c
 *		One thing to wait for: sockets and alarms behind one epoll descriptor.
 *
 * The backend waits for that descriptor together with its latch, so that an
 * interrupt ends any wait at once.  A timer among the sockets stands for the
 * alarm that is due first.
 *
 * All but the wait may be called from a C library's callbacks: nothing here
 * allocates or throws.
 *
 *-------------------------------------------------------------------------
 */
#include "net/loop.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "net/compat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

/* What a loop takes of the process's descriptors: epoll, timer, and curl's. */
#define LOOP_DESCRIPTORS 6

#define MAX_EVENTS 8

static bool
reserve_descriptors(MsgTraceLoop *loop)
{
	while (loop->descriptors < LOOP_DESCRIPTORS)
	{
		if (!AcquireExternalFD())
			return false;
		loop->descriptors++;
	}
	return true;
}

bool
msgtrace_loop_open(MsgTraceLoop *loop)
{
	struct epoll_event event = {.events = EPOLLIN};

	memset(loop, 0, sizeof(*loop));
	loop->epoll_fd = loop->timer_fd = -1;
	if (!reserve_descriptors(loop))
		return false;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->epoll_fd < 0 || loop->timer_fd < 0)
		return false;
	event.data.fd = loop->timer_fd;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) == 0;
}

void
msgtrace_loop_close(MsgTraceLoop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	while (loop->descriptors > 0)
	{
		ReleaseExternalFD();
		loop->descriptors--;
	}
}

void
msgtrace_loop_watch(MsgTraceLoop *loop, int fd, bool readable, bool writable)
{
	struct epoll_event event = {.data.fd = fd};

	event.events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void
msgtrace_loop_forget(MsgTraceLoop *loop, int fd)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* ---------------------------------------------------------------- alarms */

/* Microseconds by the clock of the timer, which nobody sets. */
static int64
uptime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

static int64
first_alarm(const MsgTraceLoop *loop)
{
	int64 first = 0;

	for (int i = 0; i < MSGTRACE_ALARMS; i++)
	{
		if (loop->alarms[i] != 0 && (first == 0 || loop->alarms[i] < first))
			first = loop->alarms[i];
	}
	return first;
}

static void
arm_timer(MsgTraceLoop *loop)
{
	struct itimerspec spec = {0};
	int64 when = first_alarm(loop);

	if (when != 0)
	{
		/* zero would disarm it, so what is due is due in a microsecond */
		int64 wait = Max(when - uptime(), 1);

		spec.it_value.tv_sec = wait / USECS_PER_SEC;
		spec.it_value.tv_nsec = (wait % USECS_PER_SEC) * 1000;
	}
	timerfd_settime(loop->timer_fd, 0, &spec, NULL);
}

void
msgtrace_loop_set_alarm(MsgTraceLoop *loop, MsgTraceAlarm alarm, int64 delay)
{
	loop->alarms[alarm] = delay < 0 ? 0 : uptime() + delay * 1000;
	arm_timer(loop);
}

bool
msgtrace_loop_is_due(const MsgTraceLoop *loop, MsgTraceAlarm alarm)
{
	return loop->alarms[alarm] != 0 && loop->alarms[alarm] <= uptime();
}

/* ---------------------------------------------------------------- events */

/* The timer has done its work; the next alarm, or the same, is its next. */
static void
drain_timer(MsgTraceLoop *loop)
{
	uint64 expirations;

	if (read(loop->timer_fd, &expirations, sizeof(expirations)) > 0)
		arm_timer(loop);
}

int
msgtrace_loop_events(MsgTraceLoop *loop, MsgTraceLoopEvent *events, int size)
{
	struct epoll_event happened[MAX_EVENTS];
	int count = epoll_wait(loop->epoll_fd, happened, Min(size, MAX_EVENTS), 0);
	int kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (happened[i].data.fd == loop->timer_fd)
		{
			drain_timer(loop);
			continue;
		}
		events[kept].fd = happened[i].data.fd;
		events[kept].readable = (happened[i].events & (EPOLLIN | EPOLLHUP)) != 0;
		events[kept].writable = (happened[i].events & EPOLLOUT) != 0;
		events[kept].failed = (happened[i].events & EPOLLERR) != 0;
		kept++;
	}
	return kept;
}

void
msgtrace_loop_wait(MsgTraceLoop *loop, uint32 wait_event)
{
	int events = WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH,
								   loop->epoll_fd, -1, wait_event);

	if (events & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
msgtrace_loop_wait_any(MsgTraceLoop *const *loops, int count, uint32 wait_event)
{
	WaitEventSet *set = msgtrace_wait_event_set(count + 2);
	WaitEvent events[MSGTRACE_MAX_LOOPS + 1];
	bool is_latch_set = false;
	int happened;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < count; i++)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, loops[i]->epoll_fd, NULL, NULL);
	happened = WaitEventSetWait(set, -1, events, lengthof(events), wait_event);
	FreeWaitEventSet(set);
	for (int i = 0; i < happened; i++)
		is_latch_set |= (events[i].events & WL_LATCH_SET) != 0;
	if (is_latch_set)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
msgtrace_loop_block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, before);
}

void
msgtrace_loop_unblock_signals(const sigset_t *before)
{
	sigprocmask(SIG_SETMASK, before, NULL);
}
