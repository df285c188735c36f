/*-------------------------------------------------------------------------
 *
 * keyset.h
 *		The keys delivered from one slice, so that none is delivered twice.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_KEYSET_H
#define MSGTRACE_KEYSET_H

#include "postgres.h"

#include "trace/row.h"
#include "trace/slice.h"

typedef struct MsgTraceKeyset MsgTraceKeyset;

/* Made in the current context; a reset of it is all the end that it needs. */
extern MsgTraceKeyset *msgtrace_keyset_create(void);

/*
 * Of these rows keep those that lie in the slice (NULL: anywhere) and whose key is
 * new, and add their keys; returns how many there are.
 */
extern int msgtrace_keyset_keep_new(MsgTraceKeyset *keyset, MsgTraceRow *rows, int count,
									const MsgTraceSlice *slice);

#endif /* MSGTRACE_KEYSET_H */
