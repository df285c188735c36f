/*-------------------------------------------------------------------------
 *
 * job_timeout.h
 *		The end of a run that takes too long.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_JOB_TIMEOUT_H
#define MSGTRACE_JOB_TIMEOUT_H

#include "postgres.h"

#include "fmgr.h"

extern PGDLLEXPORT Datum o365_msgtrace_arm_job_timeout(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_heed_job_timeout(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_defer_job_timeout(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_job_timed_out(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_JOB_TIMEOUT_H */
