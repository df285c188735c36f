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

typedef struct MsgTraceKeyset MsgTraceKeyset;

/* Made in the current context; a reset of it is all the end that it needs. */
extern MsgTraceKeyset *msgtrace_keyset_create(void);

/* Add the row's key; false when it is there already. */
extern bool msgtrace_keyset_add(MsgTraceKeyset *keyset, const MsgTraceRow *row);

#endif /* MSGTRACE_KEYSET_H */
