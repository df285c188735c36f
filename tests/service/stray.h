/*
 * stray.h
 *	  A row from outside of the window, where one is ordered.
 */
#ifndef STRAY_H
#define STRAY_H

#include "filter.h"
#include "request.h"
#include "walk.h"

/* The row is good until the walk ends, which is the caller's to do in any case. */
extern bool stray_find(const Request *request, const Filter *filter, Tick from, Walk *walk,
					   Row *row);

#endif
