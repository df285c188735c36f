/*
 * answer.c
 *	  Sends answers, whole or damaged by order.
 *
 * The one place that hands a response to libmicrohttpd: it gives each its Date
 * header by the service's clock and completes the request log. Each connection
 * has a thread of its own, so a damaged body may simply wait.
 */
#include "answer.h"

#include "clock.h"
#include "hash.h"
#include "requestlog.h"
#include "shutdown.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BLOCK (64 * 1024)

/* A body that is not simply sent. */
typedef struct DamagedBody
{
	Fault fault;
	int socket;
	Buffer body;
	uint64_t limit; /* bytes before it breaks, hangs or goes on for ever */
} DamagedBody;

/* A GUID that differs with each call. */
void
answer_guid(char *out)
{
	static atomic_ullong counter;
	uint64_t high = hash_mix(atomic_fetch_add(&counter, 1) + 0x67756964);
	uint64_t low = hash_mix(high);

	snprintf(out, GUID_SIZE, "%08x-%04x-4%03x-a%03x-%012llx", (unsigned) (high >> 32),
			 (unsigned) (high >> 16 & 0xffff), (unsigned) (high & 0xfff), (unsigned) (low >> 52),
			 (unsigned long long) (low & 0xffffffffffffULL));
}

bool
answer_wait(const Request *request, int64_t ms)
{
	return shutdown_wait(request->socket, ms);
}

static Result
queue(Request *request, unsigned status, const char *type, struct MHD_Response *response,
	  ExtraHeader extra)
{
	char date[MOMENT_TEXT_SIZE];
	Tick skew = request->fault.kind == FAULT_CLOCK_SKEW ? request->fault.seconds * TICKS_PER_SECOND
														: 0;
	Result result;

	if (response == NULL)
		return MHD_NO;
	moment_write_http(date, clock_now() + skew);
	MHD_add_response_header(response, "Date", date);
	MHD_add_response_header(response, "Content-Type", type);
	if (request->log_number)
		MHD_add_response_header(response, "request-id", request->id);
	if (extra.name && *extra.value)
		MHD_add_response_header(response, extra.name, extra.value);
	if (request->log_number)
		requestlog_answered(request->log_number, status, request->rows);
	result = MHD_queue_response(request->connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Repeats `text` to fill the room from position on. */
static ssize_t
fill(char *out, size_t room, const char *text, size_t length, uint64_t position)
{
	for (size_t i = 0; i < room; i++)
		out[i] = text[(position + i) % length];
	return (ssize_t) room;
}

static ssize_t
endless_part(const DamagedBody *damaged, uint64_t position, char *out, size_t room)
{
	static const char row[] =
		"{\"id\":\"00000000-0000-0000-0000-000000000000\",\"senderAddress\":\"a@b.example\","
		"\"recipientAddress\":\"c@d.example\",\"messageId\":null,\"receivedDateTime\":\"2026-01-01T00:00:00Z\","
		"\"subject\":\"endless\",\"size\":1,\"fromIP\":null,\"toIP\":null,\"status\":\"delivered\"},";

	if (strcmp(damaged->fault.variant, "rows") == 0)
		return fill(out, room, row, sizeof(row) - 1, position);
	memset(out, ' ', room);
	return (ssize_t) room;
}

static ssize_t
past_limit(const DamagedBody *damaged, uint64_t position, char *out, size_t room)
{
	if (damaged->fault.kind == FAULT_ENDLESS && shutdown_wait(damaged->socket, 0))
		return endless_part(damaged, position - damaged->limit, out, room);
	if (damaged->fault.kind == FAULT_HANG)
		shutdown_wait(damaged->socket, -1);
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t
damaged_part(void *state, uint64_t position, char *out, size_t room)
{
	const DamagedBody *damaged = state;
	size_t part;

	if (position >= damaged->limit)
		return past_limit(damaged, position, out, room);
	part = damaged->limit - position < room ? (size_t) (damaged->limit - position) : room;
	if (damaged->fault.kind == FAULT_DRIP)
	{
		/* twenty pieces a second, or less where that is under a byte */
		int64_t rate = damaged->fault.bytes_per_second;
		size_t piece = rate >= 20 ? (size_t) rate / 20 : 1;

		if (!shutdown_wait(damaged->socket, rate >= 20 ? 50 : 1000 / rate))
			return MHD_CONTENT_READER_END_WITH_ERROR;
		part = part < piece ? part : piece;
	}
	memcpy(out, damaged->body.data + position, part);
	return (ssize_t) part;
}

static void
damaged_release(void *state)
{
	DamagedBody *damaged = state;

	buffer_free(&damaged->body);
	free(damaged);
}

static bool
damages_body(const Fault *fault)
{
	return fault->kind == FAULT_CUT || fault->kind == FAULT_ENDLESS || fault->kind == FAULT_DRIP ||
		   (fault->kind == FAULT_HANG && strcmp(fault->variant, "body") == 0);
}

static struct MHD_Response *
damaged_response(const Request *request, Buffer *body)
{
	DamagedBody *damaged = calloc(1, sizeof(DamagedBody));
	uint64_t size = body->length;
	const char *start = "{\"value\":[";

	if (damaged == NULL)
		return NULL;
	damaged->fault = request->fault;
	damaged->socket = request->socket;
	if (request->fault.kind == FAULT_ENDLESS)
	{
		/* what follows for ever makes sense only inside an open array */
		buffer_add_text(&damaged->body, start);
		buffer_free(body);
		damaged->limit = strlen(start);
		size = MHD_SIZE_UNKNOWN;
	}
	else
	{
		damaged->body = *body;
		damaged->limit = request->fault.kind == FAULT_DRIP ? size : size / 2;
		if (request->fault.after >= 0 && (uint64_t) request->fault.after < size)
			damaged->limit = (uint64_t) request->fault.after;
	}
	memset(body, 0, sizeof(*body));
	return MHD_create_response_from_callback(size, STREAM_BLOCK, damaged_part, damaged,
											 damaged_release);
}

/*
 * Sends an answer; the body's memory is taken over.
 */
Result
answer_send(Request *request, unsigned status, const char *type, Buffer *body, ExtraHeader extra)
{
	struct MHD_Response *response;

	buffer_text(body);
	if (damages_body(&request->fault))
		response = damaged_response(request, body);
	else
		response = MHD_create_response_from_buffer(body->length, body->data, MHD_RESPMEM_MUST_FREE);
	memset(body, 0, sizeof(*body));
	return queue(request, status, type, response, extra);
}

/*
 * Sends a body of unknown length piece by piece.
 */
Result
answer_stream(Request *request, const char *type, AnswerStream stream, void *state,
			  void (*release)(void *state))
{
	return queue(
		request, MHD_HTTP_OK, type,
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream, state, release),
		NO_HEADER);
}

Result
answer_json(Request *request, unsigned status, Buffer *body)
{
	return answer_send(request, status, "application/json; charset=utf-8", body, NO_HEADER);
}

/* What a browser would show: the sign-in page. */
Result
answer_html_page(Request *request, unsigned status)
{
	Buffer body = {0};

	buffer_add_text(
		&body,
		"<!DOCTYPE html>\r\n<html><head><title>Sign in to your account</title></head>\r\n"
		"<body><h1>Sign in</h1><p>To continue to Microsoft 365, sign in.</p></body></html>\r\n");
	return answer_send(request, status, "text/html; charset=utf-8", &body, NO_HEADER);
}

/* An error in the form of Graph. */
Result
answer_graph_error(Request *request, unsigned status, const char *code, const char *message,
				   ExtraHeader extra)
{
	const char *client_id = request_header(request, "client-request-id");
	char date[MOMENT_TEXT_SIZE];
	Buffer body = {0};

	moment_write(date, clock_now(), 0, false);
	buffer_add_text(&body, "{\"error\":{\"code\":");
	buffer_add_json(&body, code);
	buffer_add_text(&body, ",\"message\":");
	buffer_add_json(&body, message);
	buffer_printf(&body,
				  ",\"innerError\":{\"date\":\"%s\",\"request-id\":\"%s\",\"client-request-id\":",
				  date, request->id);
	buffer_add_json(&body, client_id ? client_id : request->id);
	buffer_add_text(&body, "}}}");
	return answer_send(request, status, "application/json", &body, extra);
}
