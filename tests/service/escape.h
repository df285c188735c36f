/*
 * escape.h
 *	  JSON strings as different servers write them.
 */
#ifndef ESCAPE_H
#define ESCAPE_H

#include "row.h"

typedef enum EscapeStyle
{
	ESCAPE_PLAIN, /* only what JSON demands */
	ESCAPE_HTML,  /* also < > & ' + as \u003C */
	ESCAPE_ASCII, /* also all that is not ASCII, with surrogate pairs */
	ESCAPE_STYLES
} EscapeStyle;

/* bytes a string of n bytes may take, with its quotes */
#define ESCAPE_ROOM(n) (6 * (n) + 2)

extern void escape_start(void);
extern char *escape_json(char *out, Span text, EscapeStyle style);

#endif
