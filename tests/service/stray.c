/*
 * stray.c
 *	  A row from outside of the window, where one is ordered.
 *
 * It is a row of the world like any other, so that the truth has it: only the
 * time that was asked for is not heeded.
 */
#include "stray.h"

/*
 * The newest row that the client could see, so many seconds from the beginning of
 * the window or earlier, up to a day; false when there is none.
 */
bool
stray_find(const Request *request, const Filter *filter, Tick from, Walk *walk, Row *row)
{
	Tick newest = from + request->fault.seconds * TICKS_PER_SECOND;

	walk_begin(walk, &request->world, newest - TICKS_PER_DAY, newest, false);
	while (walk_next(walk, row))
		if (row->visible <= request->now && filter_match(filter, row, request->now))
			return true;
	return false;
}
