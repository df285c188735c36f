/*
 * detail.c
 *	  The details of one delivery as Microsoft Graph serves them.
 */
#include "detail.h"

#include "answer.h"
#include "events.h"
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTION_START "/getDetailsByRecipient(recipientAddress='"

/* Where the id ends in …/messageTraces/{id}/getDetailsByRecipient(…); or NULL. */
static const char *
function_of(const char *path)
{
	size_t root = strlen(GRAPH_LIST_PATH);

	if (strncmp(path, GRAPH_LIST_PATH "/", root + 1) != 0)
		return NULL;
	return strstr(path + root + 1, FUNCTION_START);
}

bool
detail_is_path(const char *path)
{
	return function_of(path) != NULL;
}

/* The quoted argument, its doubled quotes undone; NULL when it does not end in '). */
static char *
read_argument(const char *from)
{
	char *value = malloc(strlen(from) + 1);
	size_t length = 0;

	if (value == NULL)
		abort();
	while (*from && (*from != '\'' || from[1] == '\''))
	{
		from += *from == '\'';
		value[length++] = *from++;
	}
	value[length] = '\0';
	if (strcmp(from, "')") == 0)
		return value;
	free(value);
	return NULL;
}

static void
add_event(Buffer *body, const Delivery *delivery, const Event *event, const char *id)
{
	char time[MOMENT_TEXT_SIZE];
	char scratch[ROW_SCRATCH];
	Span message_id = row_message_id(&delivery->row, scratch);

	moment_write(time, event->at, 0, true);
	buffer_printf(body, "{\"id\":\"%s\",\"messageId\":", id);
	if (message_id.data)
	{
		char text[2048];

		snprintf(text, sizeof(text), "%.*s", (int) message_id.length, message_id.data);
		buffer_add_json(body, text);
	}
	else
		buffer_add_text(body, "null");
	buffer_printf(body,
				  ",\"dateTime\":\"%s\",\"event\":\"%s\",\"action\":\"%s\",\"description\":", time,
				  event->name, event->action);
	buffer_add_json(body, event->description);
	buffer_add_text(body, ",\"data\":");
	buffer_add_json(body, event->data);
	buffer_add_text(body, "}");
}

static Result
answer_events(Request *request, const char *id, const char *recipient)
{
	Delivery delivery;
	Event events[MAX_EVENTS];
	Buffer body = {0};
	int count = 0;

	if (events_find(&request->world, request->now, id, recipient, &delivery))
		count = events_make(&delivery, request->now, events);
	buffer_add_text(&body, "{\"@odata.context\":\"");
	request_base_url(request, &body);
	buffer_add_text(
		&body,
		"/v1.0/$metadata#Collection(microsoft.graph.exchangeMessageTraceDetail)\",\"value\":[");
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			buffer_add_text(&body, ",");
		add_event(&body, &delivery, &events[i], id);
	}
	buffer_add_text(&body, "]}");
	request->rows = count;
	return answer_json(request, MHD_HTTP_OK, &body);
}

/*
 * GET …/messageTraces/{id}/getDetailsByRecipient(recipientAddress='…')
 */
Result
detail_answer(Request *request)
{
	const char *function = function_of(request->path);
	const char *id_start = request->path + strlen(GRAPH_LIST_PATH) + 1;
	char *recipient;
	char *id;
	Result result;

	if (!graph_admit(request, true, &result))
		return result;
	recipient = read_argument(function + strlen(FUNCTION_START));
	if (recipient == NULL)
		return answer_graph_error(request, MHD_HTTP_BAD_REQUEST, "BadRequest",
								  "Syntax error in the argument of getDetailsByRecipient.",
								  NO_HEADER);
	id = strndup(id_start, (size_t) (function - id_start));
	result = answer_events(request, id, recipient);
	free(id);
	free(recipient);
	return result;
}
