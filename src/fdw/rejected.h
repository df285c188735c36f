/*-------------------------------------------------------------------------
 *
 * rejected.h
 *		The rejected records of the last scan, for the ingest.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_REJECTED_H
#define MSGTRACE_REJECTED_H

#include "postgres.h"

#include "trace/pager.h"

/*
 * Keep what a scan of this table, made as this user, has set aside, if it has read
 * all its rows, in place of another's.
 */
extern void msgtrace_rejected_keep(const MsgTracePager *pager, Oid table_id, Oid user_id);

#endif /* MSGTRACE_REJECTED_H */
