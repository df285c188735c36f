/*-------------------------------------------------------------------------
 *
 * clock.h
 *		Service time, as learned from the Date headers of a service.
 *
 * The service refuses a window that ends in its future or begins before what
 * it holds, so every clamp is computed from its clock, not from ours.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CLOCK_H
#define MSGTRACE_CLOCK_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct MsgTraceClock MsgTraceClock;

/*
 * Microseconds by a clock of this machine that nobody sets and that counts while
 * it sleeps; the same for all processes.
 */
extern int64 msgtrace_uptime(void);

/* The clock of the service at this URL; one for all scans of the backend. */
extern MsgTraceClock *msgtrace_clock_of(const char *url);

/* The service's clock read `service_time` when ours read `our_time`. */
extern void msgtrace_clock_learn(MsgTraceClock *clock, TimestampTz service_time,
								 TimestampTz our_time);

/* It is to be learned anew. */
extern void msgtrace_clock_forget(MsgTraceClock *clock);

/* Has the service said what time it is? */
extern bool msgtrace_clock_is_known(const MsgTraceClock *clock);

/*
 * Service time now.  With `as_last_told` the service's clock is taken to stand
 * still between its answers, as a simulated one may.
 */
extern TimestampTz msgtrace_clock_now(const MsgTraceClock *clock, bool as_last_told);

/* How far the service's clock is ahead of ours, in seconds. */
extern int64 msgtrace_clock_skew(const MsgTraceClock *clock);

/* True the first time that it is asked: a warning about it was not yet given. */
extern bool msgtrace_clock_warn_once(MsgTraceClock *clock);

#endif /* MSGTRACE_CLOCK_H */
