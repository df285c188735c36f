/*-------------------------------------------------------------------------
 *
 * field.c
 *		The fields of a message trace, under our names.
 *
 *-------------------------------------------------------------------------
 */
#include "trace/field.h"

/* In the order of the columns that IMPORT FOREIGN SCHEMA makes. */
const MsgTraceFieldInfo msgtrace_field_info[MSGTRACE_FIELDS] = {
	/* the message in the trace; shared by all its recipients */
	[MSGTRACE_ID] = {"message_trace_id", "uuid"},
	/* message-ID header, usually in angle brackets; not every message has one */
	[MSGTRACE_MESSAGE_ID] = {"message_id", "text"},
	/* when the service received the message, cut to microseconds */
	[MSGTRACE_RECEIVED] = {"received", "timestamptz"},
	/* sender, ASCII letters in lower case */
	[MSGTRACE_SENDER] = {"sender_address", "text"},
	/* recipient, ASCII letters in lower case; one row for each */
	[MSGTRACE_RECIPIENT] = {"recipient_address", "text"},
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
	[MSGTRACE_ORGANIZATION] = {"organization", "text", .on_request = true},
};

int
msgtrace_field_by_column(const char *column)
{
	for (int field = 0; field < MSGTRACE_FIELDS; field++)
	{
		if (strcmp(msgtrace_field_info[field].column, column) == 0)
			return field;
	}
	return -1;
}
