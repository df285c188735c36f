/*-------------------------------------------------------------------------
 *
 * shared.h
 *		Memory that all backends of the server share, where it can be had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SHARED_H
#define MSGTRACE_SHARED_H

#include "postgres.h"

/* How far an area is shared. */
typedef enum MsgTraceSharing
{
	MSGTRACE_OF_BACKEND, /* not at all: each backend has its own */
	MSGTRACE_PRELOADED,	 /* by all: the library is in shared_preload_libraries */
	MSGTRACE_REGISTERED	 /* by all: made on first use (PostgreSQL 17 and later) */
} MsgTraceSharing;

/* One such piece of memory.  Its owner fills in the first three members. */
typedef struct MsgTraceShared
{
	const char *name; /* of the area and its lock, for all backends */
	Size size;
	void (*init)(void *memory); /* makes the contents; what is new is not zeroed */

	struct MsgTraceSharedHeader *header; /* where this backend sees it; NULL before */
	MsgTraceSharing sharing;
} MsgTraceShared;

/* In _PG_init: if the library is being preloaded, have it made with the server. */
extern void msgtrace_shared_request(MsgTraceShared *area);

/* The memory, which is made at the first call, if need be. */
extern void *msgtrace_shared_memory(MsgTraceShared *area);

/* An area of this backend's own, beside one that is shared. */
extern void *msgtrace_shared_make_private(MsgTraceShared *area);

/* How it is shared; makes it if need be. */
extern MsgTraceSharing msgtrace_shared_sharing(MsgTraceShared *area);
extern const char *msgtrace_sharing_name(MsgTraceSharing sharing);

/* When it was made, by msgtrace_uptime(). */
extern int64 msgtrace_shared_born(MsgTraceShared *area);

/* Held for as long as memory is looked at; nothing may be thrown meanwhile. */
extern void msgtrace_shared_lock(MsgTraceShared *area);
extern void msgtrace_shared_unlock(MsgTraceShared *area);

#endif /* MSGTRACE_SHARED_H */
