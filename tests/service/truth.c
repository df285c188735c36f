/*
 * truth.c
 *	  What a client should end up with, as CSV for COPY.
 *
 * Reads the same world as the pages, and shares nothing else with them: the
 * walk over the cells, the test of visibility, the status of the moment, the
 * normal form and every format are written a second time here, so that a
 * mistake in one shows as a difference. Rows come oldest first.
 */
#include "truth.h"

#include "answer.h"
#include "directory.h"
#include "events.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICKS_PER_US 10

static const char header[] =
	"message_trace_id,message_id,received,sender_address,recipient_address,"
	"subject,status,size,from_ip,to_ip\n";

typedef struct Truth
{
	World world;
	GivenSet *given;
	int64_t from_us; /* half-open, microseconds */
	int64_t to_us;
	Tick as_of;
	int64_t next_cell;
	int64_t last_cell;
	bool given_done;
	Cell cell;
	Buffer text; /* made and not yet sent */
	size_t sent;
	time_t known_second; /* the one in known_text */
	char known_text[24];
} Truth;

/* ---- CSV ---- */

static void
add_field(Buffer *out, const char *text, size_t length)
{
	if (strpbrk(text, ",\"\n\r") == NULL)
	{
		buffer_add(out, text, length);
		return;
	}
	buffer_add(out, "\"", 1);
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '"')
			buffer_add(out, "\"", 1);
		buffer_add(out, text + i, 1);
	}
	buffer_add(out, "\"", 1);
}

/* NULL is nothing at all; an empty text, which only a posted row can have, is "". */
static void
add_text(Buffer *out, const char *text)
{
	if (text == NULL)
		return;
	if (*text == '\0')
		buffer_add(out, "\"\"", 2);
	else
		add_field(out, text, strlen(text));
}

static void
add_comma(Buffer *out)
{
	buffer_add(out, ",", 1);
}

static void
add_lower(Buffer *out, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	for (char *c = copy; c && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char) (*c - 'A' + 'a');
	add_text(out, copy);
	free(copy);
}

static void
add_received(Truth *truth, Tick received)
{
	int64_t us = received >= 0 ? received / TICKS_PER_US : -((-received + 9) / TICKS_PER_US);
	int64_t part = ((us % 1000000) + 1000000) % 1000000;
	time_t second = (time_t) ((us - part) / 1000000);
	char fraction[8] = ".000000";

	if (second != truth->known_second || truth->known_text[0] == '\0')
	{
		struct tm broken;

		gmtime_r(&second, &broken);
		strftime(truth->known_text, sizeof(truth->known_text), "%Y-%m-%d %H:%M:%S", &broken);
		truth->known_second = second;
	}
	for (int i = 6; i >= 1; i--, part /= 10)
		fraction[i] = (char) ('0' + part % 10);
	buffer_add_text(&truth->text, truth->known_text);
	buffer_add(&truth->text, fraction, 7);
	buffer_add(&truth->text, "+00", 3);
}

static void
add_ip(Buffer *out, const Ip *ip)
{
	char text[INET6_ADDRSTRLEN];
	bool v6 = ip->form == IP_V6 || ip->form == IP_V6_BRACKETS;

	if (ip->form == IP_NULL || ip->form == IP_EMPTY)
		return;
	inet_ntop(v6 ? AF_INET6 : AF_INET, ip->bytes, text, sizeof(text));
	buffer_add_text(out, text);
}

/* The address part of what was posted: brackets and port go. */
static void
add_posted_ip(Buffer *out, const char *text)
{
	char copy[INET6_ADDRSTRLEN + 16];
	char *start = copy;

	if (text == NULL || strlen(text) >= sizeof(copy))
		return;
	memcpy(copy, text, strlen(text) + 1);
	if (*start == '[')
	{
		start[strcspn(start, "]")] = '\0';
		start++;
	}
	else if (strchr(start, ':') == strrchr(start, ':') && strchr(start, '.'))
		start[strcspn(start, ":")] = '\0';
	if (*start)
		add_text(out, start);
}

/* ---- generated rows ---- */

static const char *
status_at(const RowDetails *details, Tick moment)
{
	if (moment >= details->final_from)
	{
		switch (details->final)
		{
			case STATUS_DELIVERED:
			case STATUS_DELIVERED_CAPITAL:
				return "delivered";
			case STATUS_FAILED:
				return "failed";
			case STATUS_FILTERED:
				return "filteredAsSpam";
			case STATUS_QUARANTINED:
				return "quarantined";
			case STATUS_EXPANDED:
				return "expanded";
			case STATUS_RECALLED:
				return "recalled";
			case STATUS_RESOLVED:
				return "resolved";
			case STATUS_NONE:
				return "none";
			default:
				return "?";
		}
	}
	return moment >= details->pending_from ? "pending" : "gettingStatus";
}

/* What all rows of a message have in common, as text up to `received`. */
typedef struct MessageText
{
	char id[40];
	char message_id[MESSAGE_ID_SIZE];
	char sender[ADDRESS_SIZE];
	char subject[SUBJECT_SIZE];
} MessageText;

static void
digits_of(char *out, uint64_t value, int count)
{
	for (int i = count - 1; i >= 0; i--, value /= 16)
		out[i] = "0123456789abcdef"[value % 16];
}

static void
make_message_text(const MessageFacts *facts, MessageText *text)
{
	char digits[32];

	digits_of(digits, facts->id_high, 16);
	digits_of(digits + 16, facts->id_low, 16);
	snprintf(text->id, sizeof(text->id), "%.8s-%.4s-%.4s-%.4s-%.12s", digits, digits + 8,
			 digits + 12, digits + 16, digits + 20);
	text->message_id[world_message_id(facts, text->message_id)] = '\0';
	text->subject[world_subject(facts, text->subject)] = '\0';
	memcpy(text->sender, facts->sender->text, facts->sender->length);
	text->sender[facts->sender->length] = '\0';
}

static void
add_generated_row(Truth *truth, const MessageText *text, const Row *row)
{
	Buffer *out = &truth->text;
	RowDetails details;
	char number[24];

	world_row_details(row, &details);
	buffer_add(out, text->id, 36);
	add_comma(out);
	add_text(out, text->message_id[0] ? text->message_id : NULL);
	add_comma(out);
	add_received(truth, row->facts->message.received);
	add_comma(out);
	add_text(out, text->sender);
	add_comma(out);
	buffer_add(out, row->recipient->text, row->recipient->length);
	add_comma(out);
	add_text(out, text->subject);
	add_comma(out);
	buffer_add_text(out, status_at(&details, truth->as_of));
	snprintf(number, sizeof(number), ",%" PRId64 ",", details.size);
	buffer_add_text(out, number);
	add_ip(out, &details.from_ip);
	add_comma(out);
	add_ip(out, &details.to_ip);
	buffer_add(out, "\n", 1);
}

static bool
in_window(const Truth *truth, Tick received)
{
	return received >= truth->from_us * TICKS_PER_US && received < truth->to_us * TICKS_PER_US;
}

static void
add_message(Truth *truth, const Message *message)
{
	MessageFacts facts;
	MessageText text;

	if (!in_window(truth, message->received))
		return;
	world_message(&truth->world, truth->cell.number, message, &facts);
	make_message_text(&facts, &text);
	for (uint32_t i = 0; i < message->recipients; i++)
	{
		Row row;

		world_row(&facts, i, &row);
		if (truth->as_of >= row.visible)
			add_generated_row(truth, &text, &row);
	}
}

/* An event as a client should have it: message_id is the message's, times are whole seconds. */
static void
add_event(Buffer *out, const Delivery *delivery, const Event *event, const char *id,
		  const char *recipient)
{
	const MessageFacts *facts = &delivery->facts;
	char message_id[MESSAGE_ID_SIZE] = "";
	time_t second = (time_t) (event->at / TICKS_PER_SECOND);
	char time[32];
	struct tm broken;

	if (delivery->row.given == NULL)
		message_id[world_message_id(facts, message_id)] = '\0';
	else if (delivery->row.given->message_id)
		snprintf(message_id, sizeof(message_id), "%s", delivery->row.given->message_id);
	gmtime_r(&second, &broken);
	strftime(time, sizeof(time), "%Y-%m-%d %H:%M:%S+00", &broken);
	add_lower(out, id);
	add_comma(out);
	add_lower(out, recipient);
	add_comma(out);
	add_text(out, message_id[0] ? message_id : NULL);
	add_comma(out);
	add_text(out, time);
	add_comma(out);
	add_text(out, event->name);
	add_comma(out);
	add_text(out, *event->action ? event->action : NULL);
	add_comma(out);
	add_text(out, event->description);
	add_comma(out);
	add_text(out, event->data);
	buffer_add(out, "\n", 1);
}

/* ---- posted rows ---- */

/* Graph's spelling: the first letter in lower case. */
static void
add_posted_status(Buffer *out, const char *status)
{
	char first;

	if (status == NULL || *status == '\0')
	{
		add_text(out, status);
		return;
	}
	first = (*status >= 'A' && *status <= 'Z') ? (char) (*status - 'A' + 'a') : *status;
	buffer_add(out, &first, 1);
	buffer_add_text(out, status + 1);
}

static void
add_posted_row(Truth *truth, const GivenRow *row)
{
	Buffer *out = &truth->text;

	add_lower(out, row->id);
	add_comma(out);
	add_text(out, row->message_id);
	add_comma(out);
	add_received(truth, row->received);
	add_comma(out);
	add_lower(out, row->sender);
	add_comma(out);
	add_lower(out, row->recipient);
	add_comma(out);
	add_text(out, row->subject);
	add_comma(out);
	add_posted_status(out, row->status);
	buffer_printf(out, ",%" PRId64 ",", row->size);
	add_posted_ip(out, row->from_ip);
	add_comma(out);
	add_posted_ip(out, row->to_ip);
	buffer_add(out, "\n", 1);
}

static void
add_posted(Truth *truth)
{
	for (size_t i = 0; i < truth->given->count; i++)
	{
		const GivenRow *row = truth->given->rows[i];

		if (in_window(truth, row->received) && truth->as_of >= row->visible)
			add_posted_row(truth, row);
	}
	truth->given_done = true;
}

/* ---- the stream ---- */

/* Makes more text; false at the end. */
static bool
make_more(Truth *truth)
{
	truth->text.length = truth->sent = 0;
	while (truth->text.length < 32 * 1024)
	{
		if (!truth->given_done)
			add_posted(truth);
		else if (truth->next_cell > truth->last_cell)
			break;
		else
		{
			world_cell(&truth->world, truth->next_cell++, false, &truth->cell);
			for (size_t i = 0; i < truth->cell.count; i++)
				add_message(truth, &truth->cell.messages[i]);
		}
	}
	return truth->text.length > 0;
}

static ssize_t
stream(void *state, uint64_t position, char *out, size_t room)
{
	Truth *truth = state;
	size_t part;

	(void) position;
	if (truth->sent == truth->text.length && !make_more(truth))
		return MHD_CONTENT_READER_END_OF_STREAM;
	part = truth->text.length - truth->sent;
	if (part > room)
		part = room;
	memcpy(out, truth->text.data + truth->sent, part);
	truth->sent += part;
	return (ssize_t) part;
}

static void
release(void *state)
{
	Truth *truth = state;

	world_cell_free(&truth->cell);
	buffer_free(&truth->text);
	given_release(truth->given);
	free(truth);
}

/* A time parameter in ticks. */
static bool
read_time(const Request *request, const char *name, Tick missing, Tick *moment)
{
	const char *text = request_parameter(request, name);

	*moment = missing;
	return text == NULL || moment_parse(text, strlen(text), false, moment);
}

/* Of the tenant that is named, else of the first one. */
static bool
read_seed(const Request *request, uint64_t *seed)
{
	const char *name = request_parameter(request, "tenant");
	Tenant tenant = {0};

	if (name && !directory_tenant(name, &tenant))
		return false;
	*seed = options_seed(tenant.world);
	return true;
}

static Result
answer_refused(Request *request, const char *why)
{
	Buffer body = {0};

	buffer_printf(&body, "{\"error\":\"%s\"}\n", why);
	return answer_json(request, MHD_HTTP_BAD_REQUEST, &body);
}

/* The first microsecond that begins at or after a moment. */
static int64_t
microsecond_from(Tick moment)
{
	return moment / TICKS_PER_US + (moment % TICKS_PER_US > 0);
}

/* ---- details ---- */

/* One delivery's events; false when it is not told as {"id":…,"recipient":…}. */
static bool
add_events(Buffer *out, const Request *request, const json_t *wanted)
{
	const char *id = json_string_value(json_object_get(wanted, "id"));
	const char *recipient = json_string_value(json_object_get(wanted, "recipient"));
	Event events[MAX_EVENTS];
	Delivery delivery;
	int count;

	if (id == NULL || recipient == NULL)
		return false;
	if (!events_find(&request->world, request->now, id, recipient, &delivery))
		return true;
	count = events_make(&delivery, request->now, events);
	for (int i = 0; i < count; i++)
		add_event(out, &delivery, &events[i], id, recipient);
	return true;
}

/*
 * POST /control/truth/details, an array of {"id":…,"recipient":…}: the events of
 * these deliveries, as CSV with a header.
 */
Result
truth_answer_details(Request *request)
{
	json_t *list = json_loadb(buffer_text(&request->body), request->body.length, 0, NULL);
	Buffer body = {0};
	uint64_t seed;
	bool good = json_is_array(list) && read_seed(request, &seed);

	if (good)
		world_open(&request->world, seed, request->settings.rows_per_day, request->given);
	buffer_add_text(&body, "message_trace_id,recipient_address,message_id,event_time,event,action,"
						   "detail,data\n");
	for (size_t i = 0; good && i < json_array_size(list); i++)
		good = add_events(&body, request, json_array_get(list, i));
	json_decref(list);
	if (good)
		return answer_send(request, MHD_HTTP_OK, "text/csv; charset=utf-8", &body, NO_HEADER);
	buffer_free(&body);
	return answer_refused(request, "an array of id and recipient is expected, and a known tenant");
}

/* ---- rows ---- */

/*
 * GET /control/truth?from=…&to=…[&as_of=…][&tenant=…]
 */
Result
truth_answer(Request *request)
{
	Truth *truth;
	Tick from;
	Tick to;
	Tick as_of;
	uint64_t seed;

	if (!read_time(request, "from", INT64_MIN, &from) ||
		!read_time(request, "to", INT64_MIN, &to) ||
		!read_time(request, "as_of", request->now, &as_of) || from == INT64_MIN || to == INT64_MIN)
		return answer_refused(request,
							  "from and to are needed, as times like 2026-11-20T08:00:00Z");
	if (!read_seed(request, &seed))
		return answer_refused(request, "no such tenant");
	truth = calloc(1, sizeof(Truth));
	if (truth == NULL)
		return MHD_NO;
	truth->given = given_acquire();
	world_open(&truth->world, seed, request->settings.rows_per_day, NULL);
	truth->from_us = microsecond_from(from);
	truth->to_us = microsecond_from(to);
	truth->as_of = as_of;
	truth->next_cell = world_cell_number(&truth->world, from);
	truth->last_cell = world_cell_number(&truth->world, to);
	buffer_add(&truth->text, header, sizeof(header) - 1);
	return answer_stream(request, "text/csv; charset=utf-8", stream, truth, release);
}
