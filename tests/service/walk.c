/*
 * walk.c
 *	  The rows of a window one after another, from any position.
 *
 * Walks over all rows, visible or not: so a position stays good when rows
 * appear between two pages. Shuffled, the cells and the messages of each cell
 * come in an order given by an affine permutation, which needs no memory.
 */
#include "walk.h"

#include "hash.h"

#include <string.h>
#include <strings.h>

void
walk_begin(Walk *walk, const World *world, Tick from, Tick to, bool shuffled)
{
	memset(walk, 0, sizeof(*walk));
	walk->world = world;
	walk->from = from;
	walk->to = to;
	walk->shuffled = shuffled;
	walk->first_cell = world_cell_number(world, from);
	walk->cells = world_cell_number(world, to) - walk->first_cell + 1;
	if (to < from)
		walk->cells = 0;
}

void
walk_end(Walk *walk)
{
	world_cell_free(&walk->cell);
}

static uint64_t
common_divisor(uint64_t a, uint64_t b)
{
	while (b != 0)
	{
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* The ordinal-th of `count` things in an order of its own, given by `key`. */
static uint64_t
shuffle(uint64_t ordinal, uint64_t count, uint64_t key)
{
	uint64_t factor = (uint64_t) ((double) count * 0.6180339887) + 1;

	while (common_divisor(factor, count) != 1)
		factor++;
	return (uint64_t) (((unsigned __int128) ordinal * factor + key % count) % count);
}

static void
load_cell(Walk *walk)
{
	int64_t number;

	if (walk->shuffled)
		number = walk->first_cell + (int64_t) shuffle((uint64_t) walk->cell_ordinal,
													  (uint64_t) walk->cells, walk->world->seed);
	else
		number = walk->first_cell + walk->cells - 1 - walk->cell_ordinal;
	world_cell(walk->world, number, true, &walk->cell);
	walk->cell_loaded = true;
	walk->facts.facts_known = false;
}

static const Message *
current_message(const Walk *walk)
{
	size_t count = walk->cell.count;

	if (walk->message >= count)
		return NULL;
	if (walk->shuffled)
		return &walk->cell.messages[shuffle(walk->message, count,
											hash_mix((uint64_t) walk->cell.number))];
	return &walk->cell.messages[count - 1 - walk->message];
}

static void
next_message(Walk *walk)
{
	walk->message++;
	walk->delivery = 0;
	walk->facts.facts_known = false;
}

static void
next_cell(Walk *walk)
{
	walk->cell_ordinal++;
	walk->message = 0;
	walk->delivery = 0;
	walk->cell_loaded = false;
}

/*
 * The next row; it refers to the walk and is good until the next call.
 */
bool
walk_next(Walk *walk, Row *row)
{
	while (walk->cell_ordinal < walk->cells)
	{
		const Message *message;

		if (!walk->cell_loaded)
			load_cell(walk);
		message = current_message(walk);
		if (message == NULL)
			next_cell(walk);
		else if (walk->delivery >= message->recipients || message->received < walk->from ||
				 message->received > walk->to)
			next_message(walk);
		else
		{
			if (!walk->facts.facts_known)
				world_message(walk->world, walk->cell.number, message, &walk->facts);
			world_row(&walk->facts, walk->delivery++, row);
			return true;
		}
	}
	return false;
}

/*
 * Notes where the walk stands after `row`; without a row, at its beginning.
 */
void
walk_mark(const Walk *walk, const Row *row, WalkMark *mark)
{
	mark->shuffled = walk->shuffled;
	mark->received = walk->to;
	mark->id[0] = mark->recipient[0] = '\0';
	mark->cell = row ? walk->cell_ordinal : 0;
	mark->message = row ? walk->message : 0;
	mark->delivery = row ? walk->delivery : 0;
	if (row && !walk->shuffled)
	{
		char scratch[ROW_SCRATCH];
		Span recipient = row_recipient(row, scratch);
		size_t length = recipient.length < WALK_RECIPIENT_SIZE ? recipient.length
															   : WALK_RECIPIENT_SIZE - 1;

		mark->received = row->facts->message.received;
		row_write_id(row, mark->id);
		mark->id[ROW_ID_SIZE] = '\0';
		memcpy(mark->recipient, recipient.data, length);
		mark->recipient[length] = '\0';
	}
}

static bool
is_marked_row(const Row *row, const WalkMark *mark)
{
	char id[ROW_ID_SIZE];
	char scratch[ROW_SCRATCH];
	Span recipient;

	row_write_id(row, id);
	if (strncasecmp(id, mark->id, ROW_ID_SIZE) != 0)
		return false;
	recipient = row_recipient(row, scratch);
	return recipient.length == strlen(mark->recipient) &&
		   strncasecmp(recipient.data, mark->recipient, recipient.length) == 0;
}

static bool
resume_newest_first(Walk *walk, const WalkMark *mark)
{
	Row row;

	if (mark->recipient[0] == '\0')
		return true;
	if (mark->received < walk->from || mark->received > walk->to)
		return false;
	walk->cell_ordinal = world_cell_number(walk->world, walk->to) -
						 world_cell_number(walk->world, mark->received);
	while (walk_next(walk, &row))
	{
		if (row.facts->message.received < mark->received)
			return false;
		if (row.facts->message.received == mark->received && is_marked_row(&row, mark))
			return true;
	}
	return false;
}

/*
 * Goes on where the mark was made; false when there is no such place.
 */
bool
walk_resume(Walk *walk, const WalkMark *mark)
{
	if (!mark->shuffled)
		return resume_newest_first(walk, mark);
	if (mark->cell < 0 || mark->cell > walk->cells)
		return false;
	walk->cell_ordinal = mark->cell;
	walk->message = mark->message;
	walk->delivery = mark->delivery;
	return true;
}
