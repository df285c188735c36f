/*
 * page.c
 *	  Rows as JSON, as Graph's list shows them.
 *
 * The fast part of the service: it writes through a pointer into memory that
 * was reserved for the worst case of a whole row. Spellings that the service
 * varies (order of members, escapes, an unknown member) follow the message.
 */
#include "page.h"

#include "escape.h"

#include <string.h>

#define GENERATED_ROW_ROOM (ESCAPE_ROOM(SUBJECT_SIZE + MESSAGE_ID_SIZE + 2 * ADDRESS_SIZE) + 1024)
#define MEMBERS 10

typedef enum Member
{
	MEMBER_ID,
	MEMBER_SENDER,
	MEMBER_RECIPIENT,
	MEMBER_MESSAGE_ID,
	MEMBER_RECEIVED,
	MEMBER_SUBJECT,
	MEMBER_SIZE,
	MEMBER_FROM_IP,
	MEMBER_TO_IP,
	MEMBER_STATUS
} Member;

static const unsigned char member_orders[3][MEMBERS] = {
	{MEMBER_ID, MEMBER_SENDER, MEMBER_RECIPIENT, MEMBER_MESSAGE_ID, MEMBER_RECEIVED, MEMBER_SUBJECT,
	 MEMBER_SIZE, MEMBER_FROM_IP, MEMBER_TO_IP, MEMBER_STATUS},
	{MEMBER_STATUS, MEMBER_RECEIVED, MEMBER_SIZE, MEMBER_TO_IP, MEMBER_FROM_IP, MEMBER_SUBJECT,
	 MEMBER_RECIPIENT, MEMBER_SENDER, MEMBER_MESSAGE_ID, MEMBER_ID},
	{MEMBER_RECIPIENT, MEMBER_ID, MEMBER_SUBJECT, MEMBER_STATUS, MEMBER_MESSAGE_ID, MEMBER_FROM_IP,
	 MEMBER_TO_IP, MEMBER_SENDER, MEMBER_SIZE, MEMBER_RECEIVED}};

typedef struct RowView
{
	const Row *row;
	RowDetails details;
	Tick now;
	bool all_statuses; /* may say `recalled` */
	PageDamage damage;
	EscapeStyle escapes;
} RowView;

#define PUT_LITERAL(out, text) (memcpy((out), (text), sizeof(text) - 1), (out) + sizeof(text) - 1)

static char *
put_number(char *out, int64_t number)
{
	char digits[20];
	int count = 0;
	uint64_t rest = number < 0 ? (uint64_t) 0 - (uint64_t) number : (uint64_t) number;

	if (number < 0)
		*out++ = '-';
	do
	{
		digits[count++] = (char) ('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	while (count > 0)
		*out++ = digits[--count];
	return out;
}

static char *
put_received(char *out, const RowView *view)
{
	const MessageFacts *facts = view->row->facts;

	*out++ = '"';
	if (view->row->given)
	{
		size_t length = strlen(view->row->given->received_text);

		memcpy(out, view->row->given->received_text, length);
		out += length;
	}
	else
		out += moment_write(out, facts->message.received, facts->message.digits, facts->zulu);
	*out++ = '"';
	return out;
}

static char *
put_id(char *out, const Row *row)
{
	*out++ = '"';
	row_write_id(row, out);
	out += ROW_ID_SIZE;
	*out++ = '"';
	return out;
}

static char *
put_subject(char *out, const RowView *view)
{
	static const char *const endings[] = {"", "\\u0000", "\\ud800", "\xff"};
	char scratch[ROW_SCRATCH];
	Span subject = row_subject(view->row, scratch);

	if (view->damage != DAMAGE_NONE && subject.data == NULL)
		subject.data = "";
	out = escape_json(out, subject, view->escapes);
	if (view->damage == DAMAGE_NONE)
		return out;
	out--;
	memcpy(out, endings[view->damage], strlen(endings[view->damage]));
	out += strlen(endings[view->damage]);
	*out++ = '"';
	return out;
}

static char *
put_status(char *out, const RowView *view)
{
	Span status = row_status(view->row, &view->details, view->now);

	if (!view->all_statuses && status.length == 8 && memcmp(status.data, "recalled", 8) == 0)
		return PUT_LITERAL(out, "\"unknownFutureValue\"");
	return escape_json(out, status, ESCAPE_PLAIN);
}

static char *
put_member(char *out, Member member, const RowView *view)
{
	const Row *row = view->row;
	char scratch[ROW_SCRATCH];

	switch (member)
	{
		case MEMBER_ID:
			return put_id(PUT_LITERAL(out, "\"id\":"), row);
		case MEMBER_SENDER:
			return escape_json(PUT_LITERAL(out, "\"senderAddress\":"), row_sender(row, scratch),
							   view->escapes);
		case MEMBER_RECIPIENT:
			return escape_json(PUT_LITERAL(out, "\"recipientAddress\":"),
							   row_recipient(row, scratch), view->escapes);
		case MEMBER_MESSAGE_ID:
			return escape_json(PUT_LITERAL(out, "\"messageId\":"), row_message_id(row, scratch),
							   view->escapes);
		case MEMBER_RECEIVED:
			return put_received(PUT_LITERAL(out, "\"receivedDateTime\":"), view);
		case MEMBER_SUBJECT:
			return put_subject(PUT_LITERAL(out, "\"subject\":"), view);
		case MEMBER_SIZE:
			return put_number(PUT_LITERAL(out, "\"size\":"),
							  row->given ? row->given->size : view->details.size);
		case MEMBER_FROM_IP:
			return escape_json(PUT_LITERAL(out, "\"fromIP\":"),
							   row_from_ip(row, &view->details, scratch), ESCAPE_PLAIN);
		case MEMBER_TO_IP:
			return escape_json(PUT_LITERAL(out, "\"toIP\":"),
							   row_to_ip(row, &view->details, scratch), ESCAPE_PLAIN);
		case MEMBER_STATUS:
			return put_status(PUT_LITERAL(out, "\"status\":"), view);
	}
	return out;
}

static size_t
room_of(const char *text)
{
	return text ? ESCAPE_ROOM(strlen(text)) : 4;
}

static size_t
row_room(const Row *row)
{
	const GivenRow *given = row->given;

	if (given == NULL)
		return GENERATED_ROW_ROOM;
	return 1024 + room_of(given->sender) + room_of(given->recipient) + room_of(given->subject) +
		   room_of(given->message_id) + room_of(given->status) + room_of(given->from_ip) +
		   room_of(given->to_ip) + room_of(given->extra) + room_of(given->received_text);
}

/* A member nobody announced: from the posted row, or now and then our own. */
static char *
put_extra(char *out, const RowView *view)
{
	const GivenRow *given = view->row->given;

	if (given == NULL && (view->row->facts->style >> 12 & 31) == 0)
		return PUT_LITERAL(out, "\"@odata.type\":\"#microsoft.graph.exchangeMessageTrace\",");
	if (given == NULL || given->extra == NULL)
		return out;
	memcpy(out, given->extra, strlen(given->extra));
	out += strlen(given->extra);
	*out++ = ',';
	return out;
}

/*
 * Adds one row, without a comma around it.
 */
void
page_add_row(Buffer *page, const Row *row, Tick now, bool all_statuses, PageDamage damage)
{
	RowView view = {.row = row, .now = now, .all_statuses = all_statuses, .damage = damage};
	uint64_t style = row->given ? 0xffff : row->facts->style;
	const unsigned char *order = member_orders[(style >> 8 & 15) < 2 ? (style >> 8 & 15) + 1 : 0];
	char *out = buffer_reserve(page, row_room(row));
	char *start = out;

	view.escapes = (style & 3) == 3 ? ESCAPE_PLAIN : (EscapeStyle) (style & 3);
	if (!row->given)
		world_row_details(row, &view.details);
	*out++ = '{';
	out = put_extra(out, &view);
	for (int i = 0; i < MEMBERS; i++)
	{
		out = put_member(out, (Member) order[i], &view);
		*out++ = i + 1 < MEMBERS ? ',' : '}';
	}
	page->length += (size_t) (out - start);
}

/*
 * Adds a row that no reader can use as it is. False for an unknown kind.
 */
bool
page_add_bad_row(Buffer *page, const char *kind, Tick received)
{
	bool no_id = strcmp(kind, "no_id") == 0;
	bool no_recipient = strcmp(kind, "no_recipient") == 0;
	bool no_received = strcmp(kind, "no_received") == 0;
	bool number_subject = strcmp(kind, "number_subject") == 0;
	bool garbage_time = strcmp(kind, "garbage_time") == 0;
	bool long_key = strcmp(kind, "long_key") == 0;
	char time[MOMENT_TEXT_SIZE];

	if (!no_id && !no_recipient && !no_received && !number_subject && !garbage_time && !long_key)
		return false;
	moment_write(time, received, 7, true);
	buffer_add_text(page, "{\"senderAddress\":\"bad@fabrikam.com\",\"messageId\":null,\"size\":1,"
						  "\"fromIP\":null,\"toIP\":null,\"status\":\"delivered\"");
	if (!no_id)
		buffer_add_text(page, ",\"id\":\"badbadba-dbad-badb-adba-dbadbadbadba\"");
	if (!no_received)
		buffer_printf(page, ",\"receivedDateTime\":\"%s\"",
					  garbage_time ? "the day before yesterday" : time);
	if (!no_recipient)
		buffer_printf(page, ",\"recipientAddress\":\"%0*d@contoso.com\"", long_key ? 1200 : 1, 7);
	buffer_printf(page, ",\"subject\":%s}", number_subject ? "12345" : "\"a bad row\"");
	return true;
}
