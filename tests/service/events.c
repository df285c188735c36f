/*
 * events.c
 *	  What happened to one delivery, step by step.
 *
 * A function of the delivery and of the moment, like its status: a step appears
 * when its time has come. Steps of one second come in no order.
 */
#include "events.h"

#include "fold.h"
#include "hash.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool
same_text(Span left, const char *right)
{
	char left_folded[2048];
	char right_folded[2048];
	size_t left_length = fold_text(left_folded, sizeof(left_folded), left.data, left.length);
	size_t right_length = fold_text(right_folded, sizeof(right_folded), right, strlen(right));

	return left_length == right_length && memcmp(left_folded, right_folded, left_length) == 0;
}

static bool
find_given(const World *world, const char *id, const char *recipient, Delivery *delivery)
{
	const GivenSet *given = world->given;

	for (size_t i = 0; i < given->count; i++)
	{
		Message message = {
			.received = given->rows[i]->received, .recipients = 1, .given = given->rows[i]};
		Span address = {given->rows[i]->recipient, strlen(given->rows[i]->recipient)};

		if (strcasecmp(given->rows[i]->id, id) != 0 || !same_text(address, recipient))
			continue;
		world_message(world, 0, &message, &delivery->facts);
		world_row(&delivery->facts, 0, &delivery->row);
		return true;
	}
	return false;
}

static bool
find_generated(const World *world, const char *id, const char *recipient, Delivery *delivery)
{
	uint64_t high;
	uint64_t low;
	char scratch[ROW_SCRATCH];

	if (!row_parse_id(id, strlen(id), &high, &low) ||
		!world_find(world, high, low, &delivery->facts))
		return false;
	for (uint32_t i = 0; i < delivery->facts.message.recipients; i++)
	{
		world_row(&delivery->facts, i, &delivery->row);
		if (!same_text(row_recipient(&delivery->row, scratch), recipient))
			continue;
		world_row_details(&delivery->row, &delivery->details);
		return true;
	}
	return false;
}

/*
 * Finds a delivery that is visible now; it must stay where it is, since its
 * parts refer to each other.
 */
bool
events_find(const World *world, Tick now, const char *id, const char *recipient, Delivery *delivery)
{
	memset(delivery, 0, sizeof(*delivery));
	return (find_given(world, id, recipient, delivery) ||
			find_generated(world, id, recipient, delivery)) &&
		   delivery->row.visible <= now;
}

/* The last step, by what became of the message. */
static const char *
outcome(Status status, const char **description)
{
	switch (status)
	{
		case STATUS_FAILED:
			*description =
				"Reason: [{LED=550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found}]";
			return "Fail";
		case STATUS_FILTERED:
			*description =
				"The message was identified as spam and delivered to the Junk Email folder.";
			return "Spam";
		case STATUS_QUARANTINED:
			*description = "The message was sent to the quarantine.";
			return "Malware";
		case STATUS_EXPANDED:
			*description = "The distribution list was expanded.";
			return "Expand DL";
		case STATUS_NONE:
			*description = "The message was dropped without a report.";
			return "Drop";
		default:
			*description = "The message was successfully delivered.";
			return "Deliver";
	}
}

static Event *
add_event(const Delivery *delivery, Event *events, int *count, int64_t seconds, const char *name,
		  const char *description)
{
	Event *event = &events[(*count)++];
	Tick received = delivery->facts.message.received;

	event->at = (moment_seconds(received) + seconds) * TICKS_PER_SECOND;
	event->name = name;
	event->action = "";
	snprintf(event->description, sizeof(event->description), "%s", description);
	snprintf(event->data, sizeof(event->data),
			 "<root><MEP Name=\"ServerHostName\" String=\"AM0PR%02dMB%04d\"/>"
			 "<MEP Name=\"SequenceNumber\" Long=\"%d\"/></root>",
			 (int) (delivery->row.key % 100), (int) (delivery->row.key >> 8) & 0xfff, *count);
	return event;
}

static int
remove_future(Event *events, int count, Tick now)
{
	int kept = 0;

	for (int i = 0; i < count; i++)
		if (events[i].at <= now)
			events[kept++] = events[i];
	return kept;
}

/*
 * Writes the steps up to now; returns their number.
 */
int
events_make(const Delivery *delivery, Tick now, Event *events)
{
	bool to_others = !delivery->row.given && delivery->facts.recipient_crowd == CROWD_OTHERS;
	Status final = delivery->row.given ? STATUS_DELIVERED : delivery->details.final;
	int64_t end = delivery->row.given
					  ? 4
					  : (delivery->details.final_from - delivery->facts.message.received) /
								TICKS_PER_SECOND +
							4;
	const char *description;
	const char *last = outcome(final, &description);
	int count = 0;

	add_event(delivery, events, &count, 1, "Submit", "The message was submitted.");
	add_event(
		delivery, events, &count, 1, "Receive",
		"Message received by: AM0PR04MB4242.eurprd04.prod.outlook.com using TLS1.2 with AES256");
	if (delivery->row.key % 9 == 0)
		add_event(delivery, events, &count, 2, "Transport rule",
				  "Transport rule: 'Disclaimer', ID: ()")
			->action = "ApplyHtmlDisclaimer";
	if (end > 100)
		add_event(delivery, events, &count, 3, "Defer",
				  "Reason: [{LED=451 4.7.500 Server busy. Please try again later.}]");
	if (to_others && final == STATUS_DELIVERED)
	{
		last = "Send external";
		description = "Message sent to mail.protection.example at 203.0.113.25 using TLS1.2";
	}
	add_event(delivery, events, &count, end, last, description);
	/* of one second, and not in order */
	if (delivery->row.key & 1)
	{
		Event first = events[0];

		events[0] = events[1];
		events[1] = first;
	}
	return remove_future(events, count, now);
}
