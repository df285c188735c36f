/*-------------------------------------------------------------------------
 *
 * field.h
 *		The fields of a message trace, under our names.
 *
 * What the service calls them is its dialect's: see dialect.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_FIELD_H
#define MSGTRACE_FIELD_H

#include "postgres.h"

typedef enum MsgTraceField
{
	MSGTRACE_ID,
	MSGTRACE_MESSAGE_ID,
	MSGTRACE_RECEIVED,
	MSGTRACE_SENDER,
	MSGTRACE_RECIPIENT,
	MSGTRACE_SUBJECT,
	MSGTRACE_STATUS,
	MSGTRACE_SIZE,
	MSGTRACE_FROM_IP,
	MSGTRACE_TO_IP,
	MSGTRACE_ORGANIZATION,
	MSGTRACE_FIELDS /* how many there are */
} MsgTraceField;

typedef struct MsgTraceFieldInfo
{
	const char *column; /* our name */
	const char *type;	/* the column's type by IMPORT FOREIGN SCHEMA */
	bool on_request;	/* ... which makes it only when asked to */
} MsgTraceFieldInfo;

/* Indexed by MsgTraceField. */
extern const MsgTraceFieldInfo msgtrace_field_info[MSGTRACE_FIELDS];

/* The field of this column name, or -1. */
extern int msgtrace_field_by_column(const char *column);

#endif /* MSGTRACE_FIELD_H */
