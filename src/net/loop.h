/*-------------------------------------------------------------------------
 *
 * loop.h
 *		One thing to wait for: sockets and alarms behind one epoll descriptor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_LOOP_H
#define MSGTRACE_LOOP_H

#include "postgres.h"

#include <signal.h>

/* Who wants to be woken; each has one alarm. */
typedef enum MsgTraceAlarm
{
	MSGTRACE_ALARM_LIBRARY, /* the HTTP library: its timeouts */
	MSGTRACE_ALARM_PACE,	/* a body's pace is to be looked at */
	MSGTRACE_ALARM_CALLER,	/* who makes the requests: the time of a retry */
	MSGTRACE_ALARMS			/* how many there are */
} MsgTraceAlarm;

typedef struct MsgTraceLoop
{
	int epoll_fd;
	int timer_fd;
	int descriptors;			   /* reserved from the server's account */
	int64 alarms[MSGTRACE_ALARMS]; /* when, by a clock that nobody sets; 0 = not set */
} MsgTraceLoop;

/* What happened to a socket. */
typedef struct MsgTraceLoopEvent
{
	int fd;
	bool readable;
	bool writable;
	bool failed;
} MsgTraceLoopEvent;

/* False when the process has no descriptors left; to be closed all the same. */
extern bool msgtrace_loop_open(MsgTraceLoop *loop);
extern void msgtrace_loop_close(MsgTraceLoop *loop);

/* Watch a socket for this, from now on; or no longer. */
extern void msgtrace_loop_watch(MsgTraceLoop *loop, int fd, bool readable, bool writable);
extern void msgtrace_loop_forget(MsgTraceLoop *loop, int fd);

/* Wake up after so many milliseconds; -1 takes the alarm back. */
extern void msgtrace_loop_set_alarm(MsgTraceLoop *loop, MsgTraceAlarm alarm, int64 delay);
extern bool msgtrace_loop_is_due(const MsgTraceLoop *loop, MsgTraceAlarm alarm);

/* What happened, without waiting for it: how many events were put down. */
extern int msgtrace_loop_events(MsgTraceLoop *loop, MsgTraceLoopEvent *events, int size);

/*
 * Wait until something happens, an alarm is due or the latch is set.  Cancel and
 * terminate end it.  `wait_event` is what pg_stat_activity shows.
 */
extern void msgtrace_loop_wait(MsgTraceLoop *loop, uint32 wait_event);

/* The same of several loops: until something happens in one of them. */
#define MSGTRACE_MAX_LOOPS 16
extern void msgtrace_loop_wait_any(MsgTraceLoop *const *loops, int count, uint32 wait_event);

/*
 * A library that is given the word may start a thread, which inherits the signal
 * mask: with our signals open in it, the server's handlers would run in the
 * wrong thread.
 */
extern void msgtrace_loop_block_signals(sigset_t *before);
extern void msgtrace_loop_unblock_signals(const sigset_t *before);

#endif /* MSGTRACE_LOOP_H */
