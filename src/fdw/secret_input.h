/*-------------------------------------------------------------------------
 *
 * secret_input.h
 *		The trigger of the view secret_input: secrets that come by COPY.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SECRET_INPUT_H
#define MSGTRACE_SECRET_INPUT_H

#include "postgres.h"

#include "fmgr.h"

extern PGDLLEXPORT Datum o365_msgtrace_secret_input(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_SECRET_INPUT_H */
