/*-------------------------------------------------------------------------
 *
 * window_call.h
 *		A window of time of which all is wanted that the service sends for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_WINDOW_CALL_H
#define MSGTRACE_WINDOW_CALL_H

#include "postgres.h"

#include "nodes/primnodes.h"

/*
 * The window as a condition that the service can be asked by, "received >= since
 * AND received < until"; NULL if the clause is no call of o365_msgtrace._sent_for().
 */
extern BoolExpr *msgtrace_window_call_read(Expr *clause);

#endif /* MSGTRACE_WINDOW_CALL_H */
