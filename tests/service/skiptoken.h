/*
 * skiptoken.h
 *	  The $skiptoken of Graph's list: where the next page begins.
 */
#ifndef SKIPTOKEN_H
#define SKIPTOKEN_H

#include "buffer.h"
#include "walk.h"

typedef struct SkipToken
{
	Tick from; /* start of the window */
	Tick to;   /* newest first: of the last row; shuffled: end of the window */
	WalkMark mark;
} SkipToken;

typedef enum SkipTokenHealth
{
	SKIPTOKEN_GOOD,
	SKIPTOKEN_ENCODED_TWICE, /* its values are JSON texts inside JSON texts */
	SKIPTOKEN_BAD_RECIPIENT	 /* it starts at somebody who is not there */
} SkipTokenHealth;

extern void skiptoken_write(Buffer *out, const SkipToken *token, long page_size,
							SkipTokenHealth health);
extern bool skiptoken_read(const char *text, SkipToken *token);

#endif
