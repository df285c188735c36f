/*-------------------------------------------------------------------------
 *
 * scanner.h
 *		Who scans a foreign table, and with which options.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_SCANNER_H
#define MSGTRACE_SCANNER_H

#include "postgres.h"

#include "fdw/log.h"
#include "fdw/options.h"
#include "nodes/execnodes.h"

/*
 * Read the options for a scan of this table in this query.  `check_as` is whom the
 * plan has it checked as, an invalid one is the current user.
 */
extern void msgtrace_scanner_open(MsgTraceScanner *scanner, MsgTraceSettings *settings,
								  EState *estate, Oid table_id, Oid check_as);

#endif /* MSGTRACE_SCANNER_H */
