/*-------------------------------------------------------------------------
 *
 * relation.h
 *		Which column of a foreign table shows which field.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_RELATION_H
#define MSGTRACE_RELATION_H

#include "postgres.h"

#include "access/attnum.h"
#include "trace/field.h"
#include "utils/relcache.h"

/* What stands for a column in place of a field. */
#define MSGTRACE_NO_FIELD (-1) /* dropped */
#define MSGTRACE_TENANT (-2)   /* the tenant's label */
#define MSGTRACE_RAW (-3)	   /* the record as it was sent */

typedef struct MsgTraceRelation
{
	int natts;
	bool is_detail; /* a table of details, whose MSGTRACE_RECEIVED is the time of an event */

	/*
	 * By column, from 0: a MsgTraceField, MSGTRACE_FIELDS + an index into extra,
	 * or one of the above.
	 */
	int *fields;
	const char **extra; /* the service's properties that we do not know */
	int extra_count;
} MsgTraceRelation;

/* In the current context; an error when a column stands for nothing. */
extern MsgTraceRelation *msgtrace_relation_describe(Relation relation);

#endif /* MSGTRACE_RELATION_H */
