/*-------------------------------------------------------------------------
 *
 * server_stats.h
 *		What the views quota and server_stats show.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SERVER_STATS_H
#define MSGTRACE_SERVER_STATS_H

#include "postgres.h"

#include "fmgr.h"

extern PGDLLEXPORT Datum o365_msgtrace_quota(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_server_stats(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_reset_server_stats(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_SERVER_STATS_H */
