/*-------------------------------------------------------------------------
 *
 * group.h
 *		Several descriptors behind one that is readable when one of them is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_GROUP_H
#define MSGTRACE_GROUP_H

#include "postgres.h"

typedef struct MsgTraceGroup MsgTraceGroup;

/* Owned by `context`; NULL when the process has no descriptor left for it. */
extern MsgTraceGroup *msgtrace_group_open(MemoryContext context);
extern void msgtrace_group_close(MsgTraceGroup *group);

/* From now on the descriptor is one of them, or is not. */
extern void msgtrace_group_set(MsgTraceGroup *group, int fd, bool is_member);

extern int msgtrace_group_socket(const MsgTraceGroup *group);

#endif /* MSGTRACE_GROUP_H */
