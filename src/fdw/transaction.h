/*-------------------------------------------------------------------------
 *
 * transaction.h
 *		Whether a procedure may commit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_TRANSACTION_H
#define MSGTRACE_TRANSACTION_H

#include "postgres.h"

#include "fmgr.h"

extern PGDLLEXPORT Datum o365_msgtrace_in_transaction_block(PG_FUNCTION_ARGS);

#endif /* MSGTRACE_TRANSACTION_H */
