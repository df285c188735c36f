/*
 * world.h
 *	  The rows of the simulated tenant as a pure function of seed and time.
 *
 * This is data, not formatting: pages and truth make text of it each in their
 * own way. Time is divided into cells of a fixed length, long enough to hold
 * some sixty messages on average; each cell is made from nothing but the seed
 * and its number.
 */
#ifndef WORLD_H
#define WORLD_H

#include "given.h"
#include "moment.h"
#include "people.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIG_MESSAGE_RECIPIENTS 6000
#define SUBJECT_SIZE 512 /* bytes a generated subject may take */
#define MESSAGE_ID_SIZE 128

typedef struct World
{
	uint64_t seed;
	int64_t rows_per_day;
	int64_t cell_seconds;		/* a divisor of 3600 */
	double messages_per_second; /* mean, without the big message */
	const GivenSet *given;
} World;

/* One message as its cell lists it. */
typedef struct Message
{
	Tick received;
	uint64_t key;	/* its stream of draws */
	uint32_t index; /* its number in the cell as generated */
	uint32_t recipients;
	uint8_t digits;		   /* digits of a second it is shown with: 0, 3, 7 */
	const GivenRow *given; /* or NULL: generated */
} Message;

typedef struct Cell
{
	int64_t number;
	size_t count;
	size_t room;
	Message *messages; /* oldest first */
} Cell;

typedef enum Status
{
	STATUS_DELIVERED,
	STATUS_DELIVERED_CAPITAL, /* spelled `Delivered` */
	STATUS_FAILED,
	STATUS_FILTERED,
	STATUS_QUARANTINED,
	STATUS_EXPANDED,
	STATUS_RECALLED,
	STATUS_RESOLVED,
	STATUS_NONE,
	STATUS_PENDING,
	STATUS_GETTING
} Status;

typedef enum IpForm
{
	IP_NULL,
	IP_EMPTY,
	IP_V4,
	IP_V6,
	IP_V4_PORT,	   /* 203.0.113.9:25 */
	IP_V6_BRACKETS /* [2001:db8::9] */
} IpForm;

typedef struct Ip
{
	IpForm form;
	uint8_t bytes[16];
	uint16_t port;
} Ip;

/* What all rows of one message share. */
typedef struct MessageFacts
{
	Message message;
	uint64_t id_high;
	uint64_t id_low;
	const Address *sender;
	Spelling sender_spelling;
	Crowd recipient_crowd;
	uint32_t recipient_first;
	uint32_t recipient_stride; /* odd, so that no recipient comes twice */
	Tick lateness;
	uint64_t style; /* bits that only change how a page spells things */
	bool zulu;		/* its time ends in Z */
	bool facts_known;
} MessageFacts;

/* One delivery. */
typedef struct Row
{
	const MessageFacts *facts;
	const GivenRow *given; /* or NULL: generated */
	uint64_t key;
	const Address *recipient;
	Spelling recipient_spelling;
	Tick visible; /* from then on the service shows it */
} Row;

/* The part of a delivery that a rejected row does not need. */
typedef struct RowDetails
{
	Status final;
	Tick pending_from; /* `gettingStatus` before it */
	Tick final_from;   /* `pending` before it */
	int64_t size;	   /* bytes */
	Ip from_ip;
	Ip to_ip;
} RowDetails;

extern void world_open(World *world, uint64_t seed, int64_t rows_per_day, const GivenSet *given);
extern int64_t world_cell_number(const World *world, Tick moment);
extern void world_cell(const World *world, int64_t number, bool with_given, Cell *cell);
extern void world_cell_free(Cell *cell);
extern void world_message(const World *world, int64_t cell, const Message *message,
						  MessageFacts *facts);
extern void world_row(const MessageFacts *facts, uint32_t ordinal, Row *row);
extern void world_row_details(const Row *row, RowDetails *details);
extern size_t world_subject(const MessageFacts *facts, char *out);
extern size_t world_message_id(const MessageFacts *facts, char *out);
extern bool world_find(const World *world, uint64_t id_high, uint64_t id_low, MessageFacts *facts);

#endif
