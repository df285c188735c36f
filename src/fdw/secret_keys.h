/*-------------------------------------------------------------------------
 *
 * secret_keys.h
 *		SQL functions that make, rotate and drop the keys of stored secrets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SECRET_KEYS_H
#define MSGTRACE_SECRET_KEYS_H

#include "postgres.h"

#include "fmgr.h"

extern Datum o365_msgtrace_create_secret_key(PG_FUNCTION_ARGS);
extern Datum o365_msgtrace_rotate_secret_key(PG_FUNCTION_ARGS);
extern Datum o365_msgtrace_drop_secret_key(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_SECRET_KEYS_H */
