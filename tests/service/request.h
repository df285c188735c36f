/*
 * request.h
 *	  One request while it is answered.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "buffer.h"
#include "faults.h"
#include "options.h"
#include "world.h"

#include <microhttpd.h>

typedef enum MHD_Result Result;

#define GUID_SIZE 37

/*
 * Clock, settings and posted rows are taken once, so that one answer is of one
 * moment whatever a test changes meanwhile.
 */
typedef struct Request
{
	struct MHD_Connection *connection;
	int socket;
	char *raw_url; /* path and query as sent */
	char *method;
	char *path; /* decoded */
	Buffer body;
	bool too_long; /* the body, that is */
	Tick now;
	Settings settings;
	GivenSet *given;
	World world;
	char id[GUID_SIZE];		/* what the service calls it */
	char organization[256]; /* domain of the tenant that asks, once it is known */
	Fault fault;
	uint64_t log_number; /* 0 = not in the log */
	long rows;			 /* in the answer */
} Request;

extern const char *request_parameter(const Request *request, const char *name);
extern const char *request_header(const Request *request, const char *name);
extern void request_base_url(const Request *request, Buffer *out);

#endif
