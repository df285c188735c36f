/*-------------------------------------------------------------------------
 *
 * handler.h
 *		The foreign-data wrapper's routines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_HANDLER_H
#define MSGTRACE_HANDLER_H

#include "postgres.h"

#include "fmgr.h"

extern Datum o365_msgtrace_handler(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_HANDLER_H */
