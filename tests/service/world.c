/*
 * world.c
 *	  The rows of the simulated tenant as a pure function of seed and time.
 *
 * A row is never stored: its cell is made anew for each page that touches it.
 * All that varies is drawn from hash_draw(key, DRAW_…), so adding a property
 * does not move the others.
 */
#include "world.h"

#include "hash.h"
#include "subjects.h"

#include <stdlib.h>
#include <string.h>

#define MEAN_RECIPIENTS 1.95	 /* of the mix in draw_recipients */
#define CELL_MESSAGES 60.0		 /* wanted mean per cell */
#define BIG_MESSAGE_SECOND 37800 /* of its day: 10:30:00 */
#define INDEX_BITS 20			 /* of the message number inside an id */

/* shown lateness never reaches a day, so a day later a row is as it stays */
#define LATENESS_LIMIT 86000 /* seconds */

enum
{
	DRAW_TIME,
	DRAW_FRACTION,
	DRAW_RECIPIENTS,
	DRAW_PEOPLE,
	DRAW_CROWD,
	DRAW_LATENESS,
	DRAW_STYLE,
	DRAW_SUBJECT,
	DRAW_SIZE,
	DRAW_FROM_IP,
	DRAW_MESSAGE_ID,
	DRAW_SPELLING,
	/* of a row */
	DRAW_ROW_LATENESS,
	DRAW_STATUS,
	DRAW_CHANGE,
	DRAW_TO_IP
};

/* thousandths of the mean, by hour of the day and by day of the week from Monday */
static const int hour_weight[24] = {250,  200,	180,  180,	220,  350,	600,  1000,
									1600, 1900, 2000, 1900, 1700, 1750, 1850, 1800,
									1600, 1350, 1000, 750,	600,  500,	400,  320};
static const int day_weight[7] = {1250, 1300, 1280, 1250, 1120, 420, 380};

/*
 * One message with 6000 recipients: daily at rates that carry it, every
 * Wednesday at rates where a daily one would be most of the mail, never below.
 */
static int64_t
big_messages_per_week(int64_t rows_per_day)
{
	if (rows_per_day >= 50000)
		return 7;
	return rows_per_day >= 5000 ? 1 : 0;
}

static int64_t
choose_cell_seconds(double messages_per_second)
{
	static const int64_t lengths[] = {3600, 1800, 1200, 600, 300, 120, 60, 30, 20, 10, 5, 2, 1};
	size_t i = 0;

	while (lengths[i] > 1 && (double) lengths[i] * messages_per_second > CELL_MESSAGES)
		i++;
	return lengths[i];
}

void
world_open(World *world, uint64_t seed, int64_t rows_per_day, const GivenSet *given)
{
	double rows = (double) rows_per_day -
				  (double) (big_messages_per_week(rows_per_day) * BIG_MESSAGE_RECIPIENTS) / 7.0;

	world->seed = hash_mix(seed + HASH_STEP);
	world->rows_per_day = rows_per_day;
	world->messages_per_second = rows / MEAN_RECIPIENTS / (double) SECONDS_PER_DAY;
	world->cell_seconds = choose_cell_seconds(world->messages_per_second);
	world->given = given;
}

int64_t
world_cell_number(const World *world, Tick moment)
{
	int64_t seconds = moment_seconds(moment);
	int64_t number = seconds / world->cell_seconds;

	return seconds % world->cell_seconds < 0 ? number - 1 : number;
}

static uint64_t
cell_key(const World *world, int64_t number)
{
	return hash_mix(world->seed ^ hash_mix((uint64_t) number * HASH_STEP));
}

/* A number in [0, 1). */
static double
fraction_of(uint64_t draw)
{
	return (double) (draw >> 11) / 9007199254740992.0;
}

static size_t
cell_message_count(const World *world, int64_t number)
{
	int64_t seconds = number * world->cell_seconds;
	int64_t days = seconds / SECONDS_PER_DAY;
	int hour = hour_weight[seconds % SECONDS_PER_DAY / 3600];
	int day = day_weight[(days + 3) % 7];
	double expected = world->messages_per_second * (double) world->cell_seconds * hour * day / 1e6;

	return (size_t) (expected + fraction_of(hash_draw(cell_key(world, number), DRAW_TIME)));
}

/* How many have this message; on average MEAN_RECIPIENTS. */
static uint32_t
draw_recipients(uint64_t key)
{
	uint64_t draw = hash_draw(key, DRAW_RECIPIENTS);
	uint32_t kind = (uint32_t) (draw % 1000);
	uint32_t more = (uint32_t) (draw >> 32);

	if (kind < 800)
		return 1;
	if (kind < 920)
		return 2 + more % 2;
	if (kind < 980)
		return 4 + more % 5;
	return 9 + more % 32;
}

/*
 * Cuts a time to the digits its message is shown with. Some messages fall on
 * the last 100 ns that rounding would move into the next second.
 */
static void
draw_fraction(Message *message)
{
	uint32_t kind = (uint32_t) (hash_draw(message->key, DRAW_FRACTION) & 127);
	Tick second = message->received - message->received % TICKS_PER_SECOND;

	message->digits = 7;
	if (kind < 2)
		message->received = second + 9999996;
	else if (kind < 3)
		message->received = second + 9999999;
	else if (kind < 20)
	{
		message->received = second;
		message->digits = 0;
	}
	else if (kind < 100)
	{
		message->received -= message->received % TICKS_PER_MS;
		message->digits = 3;
	}
}

static Message *
add_message(Cell *cell)
{
	Message *message;

	if (cell->count == cell->room)
	{
		cell->room = cell->room ? cell->room * 2 : 256;
		cell->messages = realloc(cell->messages, cell->room * sizeof(Message));
		if (cell->messages == NULL)
			abort();
	}
	message = &cell->messages[cell->count++];
	memset(message, 0, sizeof(*message));
	return message;
}

/* Each message has a slot of the cell's time, so that they come nearly sorted. */
static void
add_slot_message(const World *world, Cell *cell, uint64_t key, size_t slots)
{
	Message *message = add_message(cell);
	size_t index = cell->count - 1;
	Tick width = world->cell_seconds * TICKS_PER_SECOND / (Tick) slots;
	Tick start = cell->number * world->cell_seconds * TICKS_PER_SECOND + (Tick) index * width;

	message->index = (uint32_t) index;
	message->key = hash_draw(key, index + 1);
	message->recipients = draw_recipients(message->key);
	message->received = start +
						(Tick) (fraction_of(hash_draw(message->key, DRAW_TIME)) * (double) width);
	draw_fraction(message);
}

static void
add_big_message(const World *world, Cell *cell)
{
	int64_t start = cell->number * world->cell_seconds;
	int64_t day = start / SECONDS_PER_DAY;
	int64_t second = day * SECONDS_PER_DAY + BIG_MESSAGE_SECOND;
	int64_t per_week = big_messages_per_week(world->rows_per_day);
	Message *message;

	if (second < start || second >= start + world->cell_seconds)
		return;
	if (per_week == 0 || (per_week == 1 && (day + 3) % 7 != 2))
		return;
	message = add_message(cell);
	message->index = (uint32_t) cell->count - 1;
	message->key = hash_draw(cell_key(world, cell->number), UINT64_C(0x626967));
	message->recipients = BIG_MESSAGE_RECIPIENTS;
	message->received = second * TICKS_PER_SECOND + 1234567;
	message->digits = 7;
}

static void
add_given(const World *world, Cell *cell)
{
	Tick start = cell->number * world->cell_seconds * TICKS_PER_SECOND;
	Tick end = start + world->cell_seconds * TICKS_PER_SECOND;
	const GivenSet *given = world->given;

	if (given == NULL || given->count == 0)
		return;
	for (size_t i = given_first_from(given, start);
		 i < given->count && given->rows[i]->received < end; i++)
	{
		Message *message = add_message(cell);

		message->received = given->rows[i]->received;
		message->index = UINT32_MAX;
		message->recipients = 1;
		message->given = given->rows[i];
	}
}

/* Insertion sort: stable, and linear where almost all are in place. */
static void
sort_messages(Cell *cell)
{
	for (size_t i = 1; i < cell->count; i++)
	{
		Message moving = cell->messages[i];
		size_t j = i;

		for (; j > 0 && cell->messages[j - 1].received > moving.received; j--)
			cell->messages[j] = cell->messages[j - 1];
		cell->messages[j] = moving;
	}
}

/*
 * Makes one cell; `cell` is reused from call to call.
 */
void
world_cell(const World *world, int64_t number, bool with_given, Cell *cell)
{
	size_t slots = number < 0 ? 0 : cell_message_count(world, number);
	uint64_t key = cell_key(world, number);

	cell->number = number;
	cell->count = 0;
	while (cell->count < slots)
		add_slot_message(world, cell, key, slots);
	if (number >= 0)
		add_big_message(world, cell);
	if (with_given)
		add_given(world, cell);
	sort_messages(cell);
}

void
world_cell_free(Cell *cell)
{
	free(cell->messages);
	memset(cell, 0, sizeof(*cell));
}

/* A person; low numbers write and get most of the mail. */
static uint32_t
draw_person(uint64_t draw)
{
	uint32_t a = (uint32_t) (draw & 0xffff);
	uint32_t b = (uint32_t) ((draw >> 16) & 0xffff);

	return (uint32_t) (((uint64_t) a * b * PEOPLE_COUNT) >> 32);
}

static Spelling
draw_spelling(uint32_t draw)
{
	uint32_t kind = draw % 20;

	if (kind < 14)
		return SPELLING_LOWER;
	if (kind < 18)
		return SPELLING_TITLE;
	return kind == 18 ? SPELLING_UPPER : SPELLING_DOMAIN;
}

/*
 * How long after the message its row appears: mostly within minutes, for one
 * in twenty up to a day.
 */
static Tick
draw_lateness(uint64_t draw)
{
	uint32_t kind = (uint32_t) (draw % 100);
	int64_t more = (int64_t) (draw >> 32);

	if (kind < 70)
		return (20 + more % 160) * TICKS_PER_SECOND;
	if (kind < 95)
		return (180 + more % 3420) * TICKS_PER_SECOND;
	return (3600 + more % (LATENESS_LIMIT - 3600)) * TICKS_PER_SECOND;
}

static void
draw_parties(MessageFacts *facts)
{
	uint64_t key = facts->message.key;
	uint64_t people = hash_draw(key, DRAW_PEOPLE);
	uint64_t crowd = hash_draw(key, DRAW_CROWD);
	uint32_t direction = (uint32_t) (crowd % 10); /* 0-4 in, 5-7 out, 8-9 inside */
	Crowd senders = direction < 5 ? CROWD_OTHERS : CROWD_OWN;

	facts->sender = people_address(senders, draw_person(people));
	facts->sender_spelling = draw_spelling((uint32_t) (crowd >> 32) & 0xffff);
	facts->recipient_crowd = direction >= 5 && direction < 8 ? CROWD_OTHERS : CROWD_OWN;
	facts->recipient_first = draw_person(people >> 32);
	facts->recipient_stride = ((uint32_t) (crowd >> 48) & 0x7ff) | 1;
}

/*
 * Ids are found again without a search: the high half is a bijection of cell
 * and index, the low half proves that the id is one of ours.
 */
static uint64_t
id_low_of(const World *world, uint64_t id_high)
{
	return hash_mix(id_high ^ world->seed);
}

/*
 * What all rows of a message share.
 */
void
world_message(const World *world, int64_t cell, const Message *message, MessageFacts *facts)
{
	uint64_t number = ((uint64_t) cell << INDEX_BITS) + message->index;

	facts->message = *message;
	facts->facts_known = true;
	if (message->given)
		return;
	facts->id_high = hash_mix(number + world->seed);
	facts->id_low = id_low_of(world, facts->id_high);
	facts->lateness = draw_lateness(hash_draw(message->key, DRAW_LATENESS));
	facts->style = hash_draw(message->key, DRAW_STYLE);
	facts->zulu = (facts->style >> 60) != 0;
	draw_parties(facts);
}

/*
 * The part of a delivery by which it is chosen or not.
 */
void
world_row(const MessageFacts *facts, uint32_t ordinal, Row *row)
{
	uint64_t draw;

	row->facts = facts;
	row->given = facts->message.given;
	if (row->given)
	{
		row->visible = row->given->visible;
		return;
	}
	row->key = hash_draw(facts->message.key, UINT64_C(0x726f7700) + ordinal);
	row->recipient = people_address(facts->recipient_crowd,
									facts->recipient_first + ordinal * facts->recipient_stride);
	draw = hash_draw(row->key, DRAW_ROW_LATENESS);
	row->recipient_spelling = draw_spelling((uint32_t) draw & 0xffff);
	/* one recipient in sixteen appears apart from the others */
	row->visible = facts->message.received +
				   ((draw >> 60) ? facts->lateness : draw_lateness(hash_mix(draw)));
}

static Status
draw_status(uint32_t kind)
{
	if (kind < 9000)
		return STATUS_DELIVERED;
	if (kind < 9060)
		return STATUS_DELIVERED_CAPITAL;
	if (kind < 9420)
		return STATUS_FAILED;
	if (kind < 9680)
		return STATUS_FILTERED;
	if (kind < 9800)
		return STATUS_QUARANTINED;
	if (kind < 9930)
		return STATUS_EXPANDED;
	if (kind < 9960)
		return STATUS_RECALLED;
	return kind < 9980 ? STATUS_RESOLVED : STATUS_NONE;
}

/*
 * One delivery in eight takes its time: gettingStatus, then pending, and within
 * a day its final status.
 */
static void
draw_changes(const Row *row, RowDetails *details)
{
	uint64_t draw = hash_draw(row->key, DRAW_CHANGE);
	uint32_t kind = (uint32_t) (draw % 80);
	int64_t more = (int64_t) (draw >> 32);
	int64_t seconds;
	Tick received = row->facts->message.received;

	details->pending_from = details->final_from = received;
	if (kind >= 10 || (details->final != STATUS_DELIVERED && details->final != STATUS_FAILED))
		return;
	if (kind < 6)
		seconds = 120 + more % 1800;
	else if (kind < 9)
		seconds = 1800 + more % 14400;
	else
		seconds = 14400 + more % (LATENESS_LIMIT - 14400);
	details->final_from = received + seconds * TICKS_PER_SECOND;
	details->pending_from = received + seconds / 4 * TICKS_PER_SECOND;
}

static void
draw_v4(uint64_t draw, Ip *ip)
{
	static const uint8_t nets[][3] = {{203, 0, 113}, {198, 51, 100}, {192, 0, 2},	 {40, 92, 11},
									  {40, 107, 7},	 {104, 47, 66},	 {52, 101, 132}, {10, 20, 30}};

	memcpy(ip->bytes, nets[draw & 7], 3);
	ip->bytes[3] = (uint8_t) (1 + (draw >> 8) % 254);
	ip->port = (uint16_t) (1024 + (draw >> 20) % 60000);
}

static void
draw_v6(uint64_t draw, Ip *ip)
{
	memset(ip->bytes, 0, sizeof(ip->bytes));
	memcpy(ip->bytes, "\x20\x01\x0d\xb8", 4);
	ip->bytes[5] = (uint8_t) (draw & 15);
	/* some with no run of zeroes, some with two */
	if (draw & 16)
		memcpy(ip->bytes + 6, &draw, 8);
	if (draw & 32)
		ip->bytes[9] = 1;
	ip->bytes[14] = (uint8_t) ((draw >> 8) & 3);
	ip->bytes[15] = (uint8_t) (1 + (draw >> 16) % 250);
}

/* `none` thousandths have no address: half of them null, half an empty string. */
static void
draw_ip(uint64_t draw, uint32_t none, Ip *ip)
{
	uint32_t kind = (uint32_t) (draw % 1000);

	draw = draw >> 12 | draw << 52;
	if (kind < none)
		ip->form = kind % 2 ? IP_EMPTY : IP_NULL;
	else if (kind >= 998)
		ip->form = kind == 998 ? IP_V4_PORT : IP_V6_BRACKETS;
	else
		ip->form = kind >= 900 ? IP_V6 : IP_V4;
	if (ip->form == IP_V4 || ip->form == IP_V4_PORT)
		draw_v4(draw, ip);
	else if (ip->form == IP_V6 || ip->form == IP_V6_BRACKETS)
		draw_v6(draw, ip);
}

static int64_t
draw_size(const Row *row)
{
	uint64_t draw = hash_draw(row->facts->message.key, DRAW_SIZE);
	int64_t size = 2000 + (int64_t) (draw & 0x3fff);
	int attachment = (int) (draw >> 32) & 0xff;

	if (attachment < 48)
		size += (int64_t) (draw >> 40) << (attachment & 3);
	if ((draw >> 20 & 0x3ff) == 0)
		size += INT64_C(3000000000); /* more than an Int32 holds */
	return size + (int64_t) (row->key % 977);
}

/*
 * The rest of a delivery.
 */
void
world_row_details(const Row *row, RowDetails *details)
{
	details->final = draw_status((uint32_t) (hash_draw(row->key, DRAW_STATUS) % 10000));
	draw_changes(row, details);
	details->size = draw_size(row);
	draw_ip(hash_draw(row->facts->message.key, DRAW_FROM_IP), 40, &details->from_ip);
	draw_ip(hash_draw(row->key, DRAW_TO_IP), 450, &details->to_ip);
}

size_t
world_subject(const MessageFacts *facts, char *out)
{
	return subject_write(out, hash_draw(facts->message.key, DRAW_SUBJECT));
}

/*
 * The Internet message id with its angle brackets; nothing for the one in two
 * hundred that has none.
 */
size_t
world_message_id(const MessageFacts *facts, char *out)
{
	static const char hex[] = "0123456789ABCDEF";
	uint64_t draw = hash_draw(facts->message.key, DRAW_MESSAGE_ID);
	const Address *sender = facts->sender;
	size_t domain = (size_t) (sender->length - sender->at);
	uint64_t more = hash_mix(draw);

	if (draw % 200 == 0)
		return 0;
	out[0] = '<';
	for (int i = 0; i < 16; i++)
		out[1 + i] = hex[more >> (4 * i) & 15];
	out[17] = (draw & 256) ? '.' : '$';
	for (int i = 0; i < 8; i++)
		out[18 + i] = hex[draw >> (4 * i + 16) & 15];
	memcpy(out + 26, sender->text + sender->at, domain);
	out[26 + domain] = '>';
	return 27 + domain;
}

/*
 * Finds a generated message by its id.
 */
bool
world_find(const World *world, uint64_t id_high, uint64_t id_low, MessageFacts *facts)
{
	uint64_t number = hash_unmix(id_high) - world->seed;
	int64_t cell_number = (int64_t) (number >> INDEX_BITS);
	uint32_t index = (uint32_t) (number & ((1 << INDEX_BITS) - 1));
	Cell cell = {0};
	bool found = false;

	/* the cells of the next thousand years, as a guard against overflow */
	if (id_low != id_low_of(world, id_high) || cell_number > INT64_C(1) << 35)
		return false;
	world_cell(world, cell_number, false, &cell);
	for (size_t i = 0; i < cell.count && !found; i++)
	{
		if (cell.messages[i].index != index)
			continue;
		world_message(world, cell_number, &cell.messages[i], facts);
		found = true;
	}
	world_cell_free(&cell);
	return found;
}
