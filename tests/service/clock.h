/*
 * clock.h
 *	  The service's own clock: real, fixed, or moved by a test.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include "moment.h"

extern void clock_start(bool fixed, Tick start);
extern void clock_reset(void);
extern Tick clock_now(void);
extern bool clock_running(void);
extern void clock_set(Tick now);
extern void clock_advance(Tick by);
extern void clock_run(bool run);
extern int64_t clock_quota_ms(void);

#endif
