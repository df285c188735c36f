/*
 * walk.h
 *	  The rows of a window one after another, from any position.
 */
#ifndef WALK_H
#define WALK_H

#include "row.h"

#define WALK_RECIPIENT_SIZE 2048

/*
 * Where a walk stands. Newest first it is told by the last row given, which
 * means the same whatever appears meanwhile; shuffled, by three ordinals.
 */
typedef struct WalkMark
{
	bool shuffled;
	Tick received;			  /* newest first: of the last row */
	char id[ROW_ID_SIZE + 1]; /* empty: no row yet */
	char recipient[WALK_RECIPIENT_SIZE];
	int64_t cell; /* shuffled: the next row's place */
	uint64_t message;
	uint32_t delivery;
} WalkMark;

typedef struct Walk
{
	const World *world;
	Tick from; /* inclusive, both */
	Tick to;
	bool shuffled;
	int64_t first_cell;
	int64_t cells;
	Cell cell;
	bool cell_loaded;
	MessageFacts facts;	  /* of the message in progress */
	int64_t cell_ordinal; /* of the next row, as are the two below */
	uint64_t message;
	uint32_t delivery;
} Walk;

extern void walk_begin(Walk *walk, const World *world, Tick from, Tick to, bool shuffled);
extern bool walk_next(Walk *walk, Row *row);
extern void walk_mark(const Walk *walk, const Row *row, WalkMark *mark);
extern bool walk_resume(Walk *walk, const WalkMark *mark);
extern void walk_end(Walk *walk);

#endif
