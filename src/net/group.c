/*-------------------------------------------------------------------------
 *
 * group.c
 *		Several descriptors behind one that is readable when one of them is.
 *
 * A descriptor of epoll can be watched by another one.
 *
 *-------------------------------------------------------------------------
 */
#include "net/group.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/memutils.h"

struct MsgTraceGroup
{
	int epoll_fd; /* -1 = closed */
	MemoryContextCallback release;
};

void
msgtrace_group_close(MsgTraceGroup *group)
{
	if (group->epoll_fd < 0)
		return;
	close(group->epoll_fd);
	group->epoll_fd = -1;
	ReleaseExternalFD();
}

static void
on_owner_gone(void *arg)
{
	msgtrace_group_close(arg);
}

MsgTraceGroup *
msgtrace_group_open(MemoryContext context)
{
	MsgTraceGroup *group = MemoryContextAllocZero(context, sizeof(MsgTraceGroup));

	group->epoll_fd = -1;
	group->release.func = on_owner_gone;
	group->release.arg = group;
	MemoryContextRegisterResetCallback(context, &group->release);
	if (!AcquireExternalFD())
		return NULL;
	group->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (group->epoll_fd >= 0)
		return group;
	ReleaseExternalFD();
	return NULL;
}

void
msgtrace_group_set(MsgTraceGroup *group, int fd, bool is_member)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	/* what is one already, or is none, stays so */
	(void) epoll_ctl(group->epoll_fd, is_member ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event);
}

int
msgtrace_group_socket(const MsgTraceGroup *group)
{
	return group->epoll_fd;
}
