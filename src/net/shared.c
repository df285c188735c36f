/*-------------------------------------------------------------------------
 *
 * shared.c
 *		Memory that all backends of the server share, where it can be had.
 *
 * There are three ways to it.  A library that is preloaded reserves it while the
 * server starts.  From PostgreSQL 17 on the server's registry of named segments
 * gives it to whoever asks first.  Where neither is possible each backend has
 * its own: what is built on it then holds for that backend alone, and
 * msgtrace_shared_sharing() says so.
 *
 * A crash of a backend makes the server throw away all of it and begin anew.
 *
 *-------------------------------------------------------------------------
 */
#include "net/shared.h"

#include "miscadmin.h"
#include "net/clock.h"
#include "net/compat.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

/* Some areas may be requested; there is no need for more. */
#define MAX_AREAS 4

/*
 * To be raised when the contents of an area change.  After an update the library
 * of before runs on in some backends; without preloading the registry would hand
 * the new one the area of the old.
 */
#define LAYOUT 1

typedef struct MsgTraceSharedHeader
{
	LWLock lock;
	int64 born; /* by msgtrace_uptime() */
} MsgTraceSharedHeader;

static MsgTraceShared *requested[MAX_AREAS];
static int requested_count = 0;

static shmem_request_hook_type former_request_hook = NULL;
static shmem_startup_hook_type former_startup_hook = NULL;

/* The registry's callback is not told which area it makes. */
static MsgTraceShared *being_made = NULL;

static Size
whole_size(const MsgTraceShared *area)
{
	return add_size(MAXALIGN(sizeof(MsgTraceSharedHeader)), area->size);
}

static void *
contents(MsgTraceSharedHeader *header)
{
	return (char *) header + MAXALIGN(sizeof(MsgTraceSharedHeader));
}

static void
make(const MsgTraceShared *area, MsgTraceSharedHeader *header, bool with_lock)
{
	memset(header, 0, sizeof(*header));
	if (with_lock)
		LWLockInitialize(&header->lock, LWLockNewTrancheId());
	header->born = msgtrace_uptime();
	area->init(contents(header));
}

/* ---------------------------------------------------------- three ways to it */

static void
on_shmem_request(void)
{
	if (former_request_hook)
		former_request_hook();
	for (int i = 0; i < requested_count; i++)
		RequestAddinShmemSpace(whole_size(requested[i]));
}

/* In the postmaster; backends inherit what it writes here. */
static void
on_shmem_startup(void)
{
	if (former_startup_hook)
		former_startup_hook();
	for (int i = 0; i < requested_count; i++)
	{
		MsgTraceShared *area = requested[i];
		bool found;

		LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
		area->header = ShmemInitStruct(area->name, whole_size(area), &found);
		if (!found)
			make(area, area->header, true);
		LWLockRelease(AddinShmemInitLock);
		LWLockRegisterTranche(area->header->lock.tranche, area->name);
		area->sharing = MSGTRACE_PRELOADED;
	}
}

void
msgtrace_shared_request(MsgTraceShared *area)
{
	if (!process_shared_preload_libraries_in_progress || requested_count == MAX_AREAS)
		return;
	if (requested_count == 0)
	{
		former_request_hook = shmem_request_hook;
		shmem_request_hook = on_shmem_request;
		former_startup_hook = shmem_startup_hook;
		shmem_startup_hook = on_shmem_startup;
	}
	requested[requested_count++] = area;
}

static void
make_registered(void *memory)
{
	make(being_made, memory, true);
}

static bool
find_registered(MsgTraceShared *area)
{
	char name[64]; /* the registry's longest */

	snprintf(name, sizeof(name), "%s %d %zu", area->name, LAYOUT, whole_size(area));
	being_made = area;
	area->header = msgtrace_named_segment(name, whole_size(area), make_registered);
	if (area->header == NULL)
		return false;
	LWLockRegisterTranche(area->header->lock.tranche, area->name);
	area->sharing = MSGTRACE_REGISTERED;
	return true;
}

static MsgTraceSharedHeader *
make_private(const MsgTraceShared *area)
{
	MsgTraceSharedHeader *header = MemoryContextAlloc(TopMemoryContext, whole_size(area));

	make(area, header, false);
	return header;
}

static MsgTraceSharedHeader *
header_of(MsgTraceShared *area)
{
	if (area->header == NULL && !find_registered(area))
	{
		area->header = make_private(area);
		area->sharing = MSGTRACE_OF_BACKEND;
	}
	return area->header;
}

/* -------------------------------------------------------------------- use */

void *
msgtrace_shared_memory(MsgTraceShared *area)
{
	return contents(header_of(area));
}

void *
msgtrace_shared_make_private(MsgTraceShared *area)
{
	return contents(make_private(area));
}

MsgTraceSharing
msgtrace_shared_sharing(MsgTraceShared *area)
{
	(void) header_of(area);
	return area->sharing;
}

const char *
msgtrace_sharing_name(MsgTraceSharing sharing)
{
	switch (sharing)
	{
		case MSGTRACE_PRELOADED:
			return "preloaded";
		case MSGTRACE_REGISTERED:
			return "registered";
		case MSGTRACE_OF_BACKEND:
			break;
	}
	return "backend";
}

int64
msgtrace_shared_born(MsgTraceShared *area)
{
	return header_of(area)->born;
}

void
msgtrace_shared_lock(MsgTraceShared *area)
{
	MsgTraceSharedHeader *header = header_of(area);

	if (area->sharing != MSGTRACE_OF_BACKEND)
		LWLockAcquire(&header->lock, LW_EXCLUSIVE);
}

void
msgtrace_shared_unlock(MsgTraceShared *area)
{
	if (area->sharing != MSGTRACE_OF_BACKEND)
		LWLockRelease(&area->header->lock);
}
