/*-------------------------------------------------------------------------
 *
 * detail.h
 *		How the details of one delivery are asked for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_DETAIL_H
#define MSGTRACE_DETAIL_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* One delivery, by the values of its row; Graph asks for the first two only. */
typedef struct MsgTraceDelivery
{
	const char *id;
	const char *recipient_address;
	const char *sender_address;
	TimestampTz received;
} MsgTraceDelivery;

/* The URL of its details, beside that of the list of this API. */
extern char *msgtrace_detail_url(const char *api, const char *report_url,
								 const MsgTraceDelivery *delivery);

#endif /* MSGTRACE_DETAIL_H */
