/*-------------------------------------------------------------------------
 *
 * check.h
 *		The steps of check() that only C can take, but for those that cost requests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CHECK_H
#define MSGTRACE_CHECK_H

#include "postgres.h"

#include "fmgr.h"

extern PGDLLEXPORT Datum o365_msgtrace_check_options(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_check_credentials(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_check_expiry(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_credentials_end(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_check_hosts(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_check_clock(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_check_budget(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum o365_msgtrace_library_version(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_CHECK_H */
