/*-------------------------------------------------------------------------
 *
 * transaction.c
 *		Whether a procedure may commit.
 *
 * A run of an input commits after each window.  Inside a transaction block the
 * server refuses that by "invalid transaction termination", which tells nobody
 * what to do; SQL itself has no means to ask beforehand.
 *
 *-------------------------------------------------------------------------
 */
#include "fdw/transaction.h"

#include "access/xact.h"

PG_FUNCTION_INFO_V1(o365_msgtrace_in_transaction_block);

Datum
o365_msgtrace_in_transaction_block(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsTransactionBlock());
}
