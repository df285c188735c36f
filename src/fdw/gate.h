/*-------------------------------------------------------------------------
 *
 * gate.h
 *		Conditions that are the same for all rows of a scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_GATE_H
#define MSGTRACE_GATE_H

#include "postgres.h"

#include "fdw/atom.h"

/*
 * The clause as an expression without columns of the table, or NULL when it has
 * to be looked at row by row.  Where it is not true no row is.
 */
extern Expr *msgtrace_gate_read(PlannerInfo *root, const MsgTraceTable *table, Expr *clause);

#endif /* MSGTRACE_GATE_H */
