/*
 * request.c
 *	  One request while it is answered: what was asked.
 */
#include "request.h"

/* A query parameter, decoded; NULL when absent. */
const char *
request_parameter(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *
request_header(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* scheme://host:port under which the client reached us. */
void
request_base_url(const Request *request, Buffer *out)
{
	const char *host = request_header(request, "Host");

	buffer_printf(out, "%s://%s", options_get()->tls_cert ? "https" : "http",
				  host ? host : "localhost");
}
