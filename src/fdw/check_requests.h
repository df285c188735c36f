/*-------------------------------------------------------------------------
 *
 * check_requests.h
 *		The steps of check() that cost requests: token, list and detail.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_CHECK_REQUESTS_H
#define MSGTRACE_CHECK_REQUESTS_H

#include "postgres.h"

#include "fmgr.h"

extern PGDLLEXPORT Datum o365_msgtrace_check_requests(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_CHECK_REQUESTS_H */
