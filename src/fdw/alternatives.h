/*-------------------------------------------------------------------------
 *
 * alternatives.h
 *		What one atom asks of the service, with its value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ALTERNATIVES_H
#define MSGTRACE_ALTERNATIVES_H

#include "postgres.h"

#include "fdw/options.h"
#include "nodes/pg_list.h"
#include "trace/query.h"

/* The value of a condition's expression. */
typedef struct MsgTraceValue
{
	Datum value;
	bool is_null;
	bool known; /* false only when planning, of what is known later */
	Oid type;
} MsgTraceValue;

/* Queries of which a row must satisfy one; none: no row can. */
typedef struct MsgTraceAlternatives
{
	MsgTraceQuery *queries;
	int count;
	int size; /* allocated */
} MsgTraceAlternatives;

extern void msgtrace_alternatives_add(MsgTraceAlternatives *alternatives,
									  const MsgTraceQuery *query);

/* The share of a tenant's rows that a query is expected to bring, whatever its range. */
extern double msgtrace_alternatives_share(const MsgTraceQuery *query);

/*
 * The alternatives of an atom (see condition.h).  `warned` is set once a value
 * was met that the normal form excludes, so that none is warned of again.
 */
extern void msgtrace_alternatives_of_atom(MsgTraceAlternatives *alternatives, const List *atom,
										  const MsgTraceValue *values,
										  const MsgTraceSettings *settings, bool *warned);

#endif /* MSGTRACE_ALTERNATIVES_H */
