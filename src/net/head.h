/*-------------------------------------------------------------------------
 *
 * head.h
 *		The head of an answer: what we read of its lines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef MSGTRACE_HEAD_H
#define MSGTRACE_HEAD_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* The ids that are seen are GUIDs; a longer text is no id. */
#define MSGTRACE_REQUEST_ID_SIZE 64

typedef struct MsgTraceHead
{
	TimestampTz date;	  /* 0 = no such line */
	TimestampTz date_at;  /* our clock when it came: the body may take minutes */
	int retry_after;	  /* seconds; -1 = no such line, or none that can be read */
	TimestampTz retry_at; /* the same as a date; 0 likewise */
	char request_id[MSGTRACE_REQUEST_ID_SIZE]; /* the service's; "" = no such line */
} MsgTraceHead;

extern void msgtrace_head_clear(MsgTraceHead *head);

/* A line came, with its end; a status line begins a new head.  Does not throw. */
extern void msgtrace_head_add(MsgTraceHead *head, const char *line, size_t length);

/* Seconds that the answer asks us to wait, or -1 when it does not. */
extern int msgtrace_head_retry_after(const MsgTraceHead *head);

#endif /* MSGTRACE_HEAD_H */
