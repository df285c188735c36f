/*
 * shutdown.h
 *	  The end of the program, and waits that it ends.
 */
#ifndef SHUTDOWN_H
#define SHUTDOWN_H

#include <stdbool.h>
#include <stdint.h>

extern void shutdown_prepare(void);
extern void shutdown_await(void);
extern bool shutdown_wait(int connection, int64_t ms);

#endif
