/*-------------------------------------------------------------------------
 *
 * detail.h
 *		How the details of one delivery are asked for, and what they are made of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_H
#define MSGTRACE_DETAIL_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "trace/dialect.h"

/* One delivery: its key, and what Reporting wants to know besides. */
typedef struct MsgTraceDelivery
{
	const char *id;
	const char *recipient_address;
	bool located;				/* the two below are known */
	const char *sender_address; /* "" = none */
	TimestampTz received;
} MsgTraceDelivery;

/* How the records of details are read, where lists are read by this dialect. */
extern const MsgTraceDialect *msgtrace_detail_dialect(const MsgTraceDialect *list);

/* The field of a record of details that one of the APIs calls by this name, or -1. */
extern int msgtrace_detail_field(const char *property);

/* Can there be such a delivery, and does the service compare its key as we do? */
extern bool msgtrace_detail_can_ask_for(const char *id, const char *recipient_address);

/* Must a delivery be located before its details are asked for? */
extern bool msgtrace_detail_needs_row(const MsgTraceDialect *list);

/* The URL of the list that has its row, if the service holds it at this time of its clock. */
extern char *msgtrace_detail_row_url(const MsgTraceDialect *list, const char *report_url,
									 const MsgTraceDelivery *delivery, TimestampTz service_now);

/* The URL of its details, beside that of the list. */
extern char *msgtrace_detail_url(const MsgTraceDialect *list, const char *report_url,
								 const MsgTraceDelivery *delivery, TimestampTz service_now);

#endif /* MSGTRACE_DETAIL_H */
