/*-------------------------------------------------------------------------
 *
 * row.h
 *		One record of a page: its members as sent, its key and time as read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_ROW_H
#define MSGTRACE_ROW_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "trace/field.h"
#include "utils/uuid.h"

/* The longest address that goes into a key, in bytes. */
#define MSGTRACE_MAX_KEY_BYTES 1000

/*
 * A record as it was sent: text, or NULL for null and for what was not there.
 * The fields beyond MSGTRACE_FIELDS are properties that a column asks for by its
 * option "field".
 */
typedef struct MsgTraceRecord
{
	char **values;
	bool *nested;	 /* an object or array stood there */
	const char *raw; /* all of it, from brace to brace, byte by byte as sent */
	size_t raw_length;
} MsgTraceRecord;

/* A row ready for delivery; everything lives in its page's context. */
typedef struct MsgTraceRow
{
	TimestampTz received;
	pg_uuid_t id;
	const char *recipient; /* with id the key of the row */
	const char *sender;	   /* only for a reader that asks for it; "" = none */
	Datum *values;		   /* by column of the foreign table */
	bool *nulls;
} MsgTraceRow;

/* An id in the form 8-4-4-4-12 only, as the service writes it. */
extern bool msgtrace_row_read_id(const char *text, pg_uuid_t *id);

/* The same the other way round, into a text of this size. */
#define MSGTRACE_ID_TEXT_SIZE 37
extern char *msgtrace_row_write_id(const pg_uuid_t *id, char *text);

/*
 * Read the key and the time; false when the record has no such thing, with `bad`
 * the field at fault and `reason` in words.
 */
extern bool msgtrace_row_read(const MsgTraceRecord *record, MsgTraceRow *row, MsgTraceField *bad,
							  const char **reason);

/* Bring a record into the normal form, in place. */
extern void msgtrace_row_normalize(MsgTraceRecord *record);

/* The address in what the service calls an IP (brackets, a port); in place. */
extern char *msgtrace_row_ip_address(char *text);

/* A service's timestamp (ISO 8601, or /Date(ms)/), read as UTC and cut to microseconds. */
extern bool msgtrace_row_read_time(const char *text, TimestampTz *time);

#endif /* MSGTRACE_ROW_H */
