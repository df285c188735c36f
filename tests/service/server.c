/*
 * server.c
 *	  Takes requests from libmicrohttpd and finds who answers them.
 *
 * A thread per connection: an answer may wait (page delay, hang, drip) without
 * holding up any other.
 */
#include "server.h"

#include "answer.h"
#include "clock.h"
#include "control.h"
#include "detail.h"
#include "graph.h"
#include "reporting.h"
#include "requestlog.h"
#include "signin.h"
#include "token.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTION_MEMORY (256 * 1024) /* a long URL fits */
#define MAX_BODY (64 * 1024 * 1024)
#define MAX_CONNECTIONS 1000

static struct MHD_Daemon *daemon_handle;

typedef Result (*Handler)(Request *request);

/* ---- routes ---- */

static Result
answer_unknown(Request *request)
{
	return answer_graph_error(request, MHD_HTTP_NOT_FOUND, "ResourceNotFound",
							  "Resource not found for the segment.", NO_HEADER);
}

static Result
answer_wrong_method(Request *request)
{
	return answer_graph_error(request, MHD_HTTP_METHOD_NOT_ALLOWED, "MethodNotAllowed",
							  "The HTTP method is not allowed here.", NO_HEADER);
}

static Handler
find_report(const Request *request, int *request_class)
{
	Handler handler;

	*request_class = CLASS_LIST;
	if (strcmp(request->path, GRAPH_LIST_PATH) == 0)
		handler = graph_list;
	else if (strcmp(request->path, REPORTING_LIST_PATH) == 0)
		handler = reporting_list;
	else if (detail_is_path(request->path) || strcmp(request->path, REPORTING_DETAIL_PATH) == 0)
	{
		*request_class = CLASS_DETAIL;
		handler = detail_is_path(request->path) ? detail_answer : reporting_detail;
	}
	else
		return answer_unknown;
	return strcmp(request->method, "GET") == 0 ? handler : answer_wrong_method;
}

/* Who answers, and of what class the request is (0: no faults, no log). */
static Handler
find_handler(const Request *request, int *request_class)
{
	*request_class = 0;
	if (strncmp(request->path, "/control/", 9) == 0)
		return control_answer;
	if (signin_is_path(request->path))
	{
		*request_class = CLASS_TOKEN;
		return strcmp(request->method, "POST") == 0 ? signin_answer : answer_wrong_method;
	}
	return find_report(request, request_class);
}

/* ---- faults that come before any answer ---- */

static Result
answer_ordered_status(Request *request)
{
	const Fault *fault = &request->fault;
	char date[MOMENT_TEXT_SIZE];
	ExtraHeader extra = {fault->retry_after[0] ? "Retry-After" : NULL, fault->retry_after};
	Buffer body = {0};
	bool json;

	if (fault->has_retry_date)
	{
		moment_write_http(date, clock_now() + fault->retry_after_date * TICKS_PER_SECOND);
		extra = (ExtraHeader){"Retry-After", date};
	}
	if (!fault->has_body)
		return answer_graph_error(
			request, (unsigned) fault->status,
			fault->status == 429 ? "TooManyRequests" : "UnknownError",
			fault->status == 429
				? "Your recent queries have surpassed the permitted limit, please try again later."
				: "An error was ordered by a test.",
			extra);
	buffer_add_text(&body, fault->body);
	json = fault->body[0] == '{';
	return answer_send(request, (unsigned) fault->status,
					   json ? "application/json" : "text/html; charset=utf-8", &body, extra);
}

/*
 * Ends the connection with a reset. Closing it would not do, since libmicrohttpd
 * says an orderly farewell first; dissolving the association resets at once.
 */
static Result
close_hard(const Request *request)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	if (connect(request->socket, &nobody, sizeof(nobody)) != 0)
		perror("msgtrace-service: reset");
	return MHD_NO;
}

static Result
answer_with_fault(Request *request, Handler handler)
{
	switch (request->fault.kind)
	{
		case FAULT_STATUS:
			return answer_ordered_status(request);
		case FAULT_HTML:
			return answer_html_page(request, MHD_HTTP_OK);
		case FAULT_RESET:
			return close_hard(request);
		case FAULT_EXPIRE_TOKEN:
			token_expire_all();
			break;
		case FAULT_DELAY:
			if (!answer_wait(request, request->fault.ms))
				return MHD_NO;
			break;
		case FAULT_HANG:
			if (strcmp(request->fault.variant, "headers") == 0)
			{
				answer_wait(request, -1);
				return MHD_NO;
			}
			break;
		default:
			break;
	}
	return handler(request);
}

/* ---- the log ---- */

typedef struct QueryText
{
	Buffer decoded;
	Buffer json;
} QueryText;

static Result
add_parameter(void *state, enum MHD_ValueKind kind, const char *name, const char *value)
{
	QueryText *text = state;

	(void) kind;
	value = value ? value : "";
	buffer_printf(&text->decoded, "%s%s=%s", text->decoded.length ? "&" : "", name, value);
	buffer_add_text(&text->json, text->json.length ? "," : "{");
	buffer_add_json(&text->json, name);
	buffer_add_text(&text->json, ":");
	buffer_add_json(&text->json, value);
	return MHD_YES;
}

/* The port at which the client's end of the connection is, 0 if unknown. */
static unsigned
peer_port(const Request *request)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	if (getpeername(request->socket, (struct sockaddr *) &address, &size) != 0)
		return 0;
	return ntohs(address.sin_port);
}

static void
log_request(Request *request)
{
	QueryText text = {0};
	LogEntry entry = {.at = request->now, .method = request->method, .path = request->path};

	MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, add_parameter, &text);
	buffer_add_text(&text.json, text.json.length ? "}" : "{}");
	entry.query = buffer_text(&text.decoded);
	entry.parameters = buffer_text(&text.json);
	entry.authorization = request_header(request, "Authorization");
	entry.accept = request_header(request, "Accept");
	entry.prefer = request_header(request, "Prefer");
	entry.client_request_id = request_header(request, "client-request-id");
	entry.request_id = request->id;
	entry.port = peer_port(request);
	entry.fault = request->fault.kind ? fault_name(request->fault.kind) : NULL;
	request->log_number = requestlog_add(&entry);
	if (options_get()->log_requests)
		fprintf(stderr, "%s %s?%s%s%s\n", entry.method, entry.path, entry.query,
				entry.fault ? " fault: " : "", entry.fault ? entry.fault : "");
	buffer_free(&text.decoded);
	buffer_free(&text.json);
}

/* ---- one request ---- */

static void
take_moment(Request *request)
{
	request->now = clock_now();
	request->settings = settings_get();
	request->given = given_acquire();
	answer_guid(request->id);
	world_open(&request->world, options_seed(0), request->settings.rows_per_day, request->given);
}

static Result
answer_request(Request *request)
{
	int request_class;
	Handler handler = find_handler(request, &request_class);

	take_moment(request);
	if (request_class == 0)
		return handler(request);
	faults_take(request_class, &request->fault);
	log_request(request);
	return answer_with_fault(request, handler);
}

/* Called when the URL is known: the request's life begins. */
static void *
begin_request(void *state, const char *url, struct MHD_Connection *connection)
{
	Request *request = calloc(1, sizeof(Request));
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	(void) state;
	if (request == NULL)
		return NULL;
	request->connection = connection;
	request->raw_url = strdup(url);
	request->socket = info ? (int) info->connect_fd : -1;
	return request;
}

static void
end_request(void *state, struct MHD_Connection *connection, void **request_state,
			enum MHD_RequestTerminationCode code)
{
	Request *request = *request_state;

	(void) state;
	(void) connection;
	(void) code;
	if (request == NULL)
		return;
	given_release(request->given);
	buffer_free(&request->body);
	free(request->raw_url);
	free(request->method);
	free(request->path);
	free(request);
	*request_state = NULL;
}

static Result
take_request(void *state, struct MHD_Connection *connection, const char *url, const char *method,
			 const char *version, const char *upload, size_t *upload_size, void **request_state)
{
	Request *request = *request_state;

	(void) state;
	(void) connection;
	(void) version;
	if (request == NULL)
		return MHD_NO;
	if (request->method == NULL)
	{
		request->method = strdup(method);
		request->path = strdup(url);
		return MHD_YES;
	}
	if (*upload_size > 0)
	{
		if (request->body.length + *upload_size > MAX_BODY)
			request->too_long = true;
		else
			buffer_add(&request->body, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	return answer_request(request);
}

/* ---- the daemon ---- */

static char *
read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	Buffer text = {0};
	size_t got;

	if (file == NULL)
	{
		perror(path);
		return NULL;
	}
	while ((got = fread(buffer_reserve(&text, 4096), 1, 4096, file)) > 0)
		text.length += got;
	fclose(file);
	buffer_text(&text);
	return text.data;
}

static void
quiet(void *state, const char *format, va_list args)
{
	if (options_get()->log_requests)
		vfprintf(stderr, format, args);
	(void) state;
}

static struct MHD_Daemon *
start_daemon(const struct sockaddr *address, const char *cert, const char *key)
{
	unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
					 MHD_USE_POLL | MHD_USE_ITC | MHD_USE_SUPPRESS_DATE_NO_CLOCK |
					 MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls[] = {
		{cert ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END, 0, (void *) cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) key},
		{MHD_OPTION_END, 0, NULL}};

	return MHD_start_daemon(
		flags | (cert ? MHD_USE_TLS : 0), 0, NULL, NULL, take_request, NULL,
		MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL, MHD_OPTION_SOCK_ADDR, address,
		MHD_OPTION_URI_LOG_CALLBACK, begin_request, NULL, MHD_OPTION_NOTIFY_COMPLETED, end_request,
		NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned) MAX_CONNECTIONS, MHD_OPTION_LISTENING_ADDRESS_REUSE,
		1u, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/*
 * Begins to listen; on false the reason has been printed.
 */
bool
server_start(uint16_t *port)
{
	const Options *options = options_get();
	struct sockaddr_in address = {.sin_family = AF_INET,
								  .sin_port = htons((uint16_t) options->port)};
	char *cert = options->tls_cert ? read_file(options->tls_cert) : NULL;
	char *key = options->tls_key ? read_file(options->tls_key) : NULL;
	const union MHD_DaemonInfo *info;

	if (options->tls_cert && (cert == NULL || key == NULL))
		return false;
	if (inet_pton(AF_INET, options->listen, &address.sin_addr) != 1)
	{
		fprintf(stderr, "msgtrace-service: --listen takes an IPv4 address\n");
		return false;
	}
	daemon_handle = start_daemon((const struct sockaddr *) &address, cert, key);
	free(cert);
	free(key);
	info = daemon_handle ? MHD_get_daemon_info(daemon_handle, MHD_DAEMON_INFO_BIND_PORT) : NULL;
	if (info == NULL)
	{
		fprintf(stderr, "msgtrace-service: cannot listen at %s port %lld\n", options->listen,
				(long long) options->port);
		return false;
	}
	*port = info->port;
	return true;
}

void
server_stop(void)
{
	MHD_stop_daemon(daemon_handle);
}
