/*
 * events.h
 *	  What happened to one delivery, step by step.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "buffer.h"
#include "row.h"

#define MAX_EVENTS 8

typedef struct Event
{
	Tick at; /* whole seconds */
	const char *name;
	const char *action;
	char description[256];
	char data[512];
} Event;

/* The delivery that a detail request names. */
typedef struct Delivery
{
	MessageFacts facts;
	Row row;
	RowDetails details;
} Delivery;

extern bool events_find(const World *world, Tick now, const char *id, const char *recipient,
						Delivery *delivery);
extern int events_make(const Delivery *delivery, Tick now, Event *events);

#endif
