/*-------------------------------------------------------------------------
 *
 * field.h
 *		The fields of a message trace and of its details, under our names.
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
	MSGTRACE_EVENT, /* of a delivery's details, as are the next; RECEIVED is its time there */
	MSGTRACE_ACTION,
	MSGTRACE_DESCRIPTION,
	MSGTRACE_DATA,
	MSGTRACE_FIELDS /* how many there are */
} MsgTraceField;

typedef struct MsgTraceFieldInfo
{
	const char *column;		   /* our name in message_trace, or NULL */
	const char *type;		   /* the column's type by IMPORT FOREIGN SCHEMA */
	bool on_request;		   /* ... which makes it only when asked to */
	const char *detail_column; /* our name in message_trace_detail, or NULL */
} MsgTraceFieldInfo;

/* Indexed by MsgTraceField. */
extern const MsgTraceFieldInfo msgtrace_field_info[MSGTRACE_FIELDS];

/* The fields of message_trace_detail, in the order of its columns. */
#define MSGTRACE_DETAIL_FIELDS 8
extern const MsgTraceField msgtrace_detail_fields[MSGTRACE_DETAIL_FIELDS];

/* A field's column name in message_trace or message_trace_detail, or NULL. */
extern const char *msgtrace_field_column(MsgTraceField field, bool detail);

/* The field of this column name there, or -1. */
extern int msgtrace_field_by_column(const char *column, bool detail);

#endif /* MSGTRACE_FIELD_H */
