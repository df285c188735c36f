/*-------------------------------------------------------------------------
 *
 * async.h
 *		Scans of several tenants under one Append, all in flight at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ASYNC_H
#define MSGTRACE_ASYNC_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

/* Details, and joins with them, wait for themselves. */
extern bool msgtrace_async_is_capable(ForeignPath *path);

extern void msgtrace_async_request(AsyncRequest *request);
extern void msgtrace_async_configure_wait(AsyncRequest *request);
extern void msgtrace_async_notify(AsyncRequest *request);

#endif /* MSGTRACE_ASYNC_H */
