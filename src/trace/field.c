/*-------------------------------------------------------------------------
 *
 * field.c
 *		The fields of a message trace and of its details, under our names.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/field.h"

/* In the order of the columns that IMPORT FOREIGN SCHEMA makes. */
const MsgTraceFieldInfo msgtrace_field_info[MSGTRACE_FIELDS] = {
	/* the message in the trace; shared by all its recipients */
	[MSGTRACE_ID] = {"message_trace_id", "uuid", .detail_column = "message_trace_id"},
	/* message-ID header, usually in angle brackets; not every message has one */
	[MSGTRACE_MESSAGE_ID] = {"message_id", "text", .detail_column = "message_id"},
	/* when the service received the message, cut to microseconds */
	[MSGTRACE_RECEIVED] = {"received", "timestamptz", .detail_column = "event_time"},
	/* sender, ASCII letters in lower case */
	[MSGTRACE_SENDER] = {"sender_address", "text"},
	/* recipient, ASCII letters in lower case; one row for each */
	[MSGTRACE_RECIPIENT] = {"recipient_address", "text", .detail_column = "recipient_address"},
	/* subject line */
	[MSGTRACE_SUBJECT] = {"subject", "text"},
	/* what became of it: delivered, failed, pending, quarantined, ...; may change later */
	[MSGTRACE_STATUS] = {"status", "text"},
	/* size of the message in bytes */
	[MSGTRACE_SIZE] = {"size", "bigint"},
	/* address that the message came from; NULL for mail from inside */
	[MSGTRACE_FROM_IP] = {"from_ip", "inet"},
	/* address that the message went to; NULL where there was none */
	[MSGTRACE_TO_IP] = {"to_ip", "inet"},
	/* the tenant's domain, as Reporting has it; Graph does not say */
	[MSGTRACE_ORGANIZATION] = {"organization", "text", .on_request = true,
							   .detail_column = "organization"},
	/* what happened to the message: Receive, Deliver, Fail, ... */
	[MSGTRACE_EVENT] = {NULL, "text", .detail_column = "event"},
	/* what was done to it, by a rule for example */
	[MSGTRACE_ACTION] = {NULL, "text", .detail_column = "action"},
	/* the event in words */
	[MSGTRACE_DESCRIPTION] = {NULL, "text", .detail_column = "detail"},
	/* more of it, as XML */
	[MSGTRACE_DATA] = {NULL, "text", .detail_column = "data"},
};

const MsgTraceField msgtrace_detail_fields[MSGTRACE_DETAIL_FIELDS] = {
	MSGTRACE_ID,	MSGTRACE_RECIPIENT, MSGTRACE_MESSAGE_ID,  MSGTRACE_RECEIVED,
	MSGTRACE_EVENT, MSGTRACE_ACTION,	MSGTRACE_DESCRIPTION, MSGTRACE_DATA};

const char *
msgtrace_field_column(MsgTraceField field, bool detail)
{
	const MsgTraceFieldInfo *info = &msgtrace_field_info[field];

	return detail ? info->detail_column : info->column;
}

int
msgtrace_field_by_column(const char *column, bool detail)
{
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		const char *name = msgtrace_field_column(field, detail);

		if (name && strcmp(name, column) == 0)
			return field;
	}
	return -1;
}
