/*
 * given.h
 *	  Rows that a test posted, served beside the generated ones.
 */
#ifndef GIVEN_H
#define GIVEN_H

#include "buffer.h"
#include "moment.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct GivenRow
{
	char *id;			 /* a GUID as posted */
	char *received_text; /* as posted: pages repeat it letter by letter */
	char *recipient;
	char *sender; /* NULL = null, here and below */
	char *message_id;
	char *subject;
	char *status;
	char *from_ip;
	char *to_ip;
	char *extra;  /* further members as JSON text, or NULL */
	int64_t size; /* bytes */
	Tick received;
	Tick visible; /* from then on it is served */
} GivenRow;

/* An immutable set, shared by the requests that began while it was current. */
typedef struct GivenSet
{
	int users; /* guarded by the lock in given.c */
	size_t count;
	GivenRow **rows; /* oldest first */
} GivenSet;

extern GivenSet *given_acquire(void);
extern void given_release(GivenSet *set);
extern size_t given_first_from(const GivenSet *set, Tick from);
extern bool given_post(const char *json, size_t length, Buffer *error);
extern void given_clear(void);

#endif
