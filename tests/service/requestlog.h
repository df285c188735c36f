/*
 * requestlog.h
 *	  What was asked of the service, for tests that count requests.
 */
#ifndef REQUESTLOG_H
#define REQUESTLOG_H

#include "buffer.h"
#include "moment.h"

typedef struct LogEntry
{
	Tick at; /* the service's clock */
	const char *method;
	const char *path;
	const char *query;		   /* decoded, name=value joined by & */
	const char *parameters;	   /* the same as a JSON object */
	const char *fault;		   /* name, or NULL */
	const char *authorization; /* header or NULL, as are the two below */
	const char *accept;
	const char *prefer;
	const char *client_request_id; /* or NULL */
	const char *request_id;
	unsigned port; /* the client's */
} LogEntry;

extern uint64_t requestlog_add(const LogEntry *entry);
extern void requestlog_answered(uint64_t number, unsigned status, long rows);
extern void requestlog_show(Buffer *out);
extern void requestlog_clear(void);

#endif
